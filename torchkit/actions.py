"""What the outputs of a head mean for actions: values of discrete ones, or the parameters of a distribution.

A family says which of these its policies use, in `discrete_actions` and `continuous_actions`. `discrete` tells two
exceptions apart: an exported action can be -1, and a soft actor-critic takes expectations of discrete actions as sums.

Dimension key: A actions, or numbers of a continuous one; X outputs.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from torchkit.distributions import (
    LOG_STD_BOUNDS,
    Bounds,
    entropy_tanh_gaussian,
    log_prob_gaussian,
    log_prob_tanh_gaussian,
    mode_tanh_gaussian,
    sample_tanh_gaussian,
    split_gaussian,
)

LEAST_STD, EDGE = 0.1, 0.98  # of what a teacher advises


class Actions:
    """How outputs (…, X) become actions, (…) of discrete ones and (…, A) of continuous ones.

    `output` is what a number of them is called, `first_bound` the range of the weights with which the head begins.
    """

    discrete: ClassVar[bool] = True
    output: ClassVar[str]
    first_bound: ClassVar[float] = 3e-3

    def out_dim(self, action_dim: int) -> int:
        """X for A actions."""
        return action_dim

    def best(self, output: Tensor) -> Tensor:
        """The greedy action."""
        return output.argmax(dim=-1)

    def explained(self, output: Tensor) -> tuple[str, dict[str, Tensor]]:
        """What the outputs tell, and as which numbers (…, A) by name."""
        raise NotImplementedError


class ActionValues(Actions):
    """A value for each discrete action; how to explore is the family's own."""

    output = "value"

    def explained(self, output: Tensor) -> tuple[str, dict[str, Tensor]]:
        return "action values", {"Q": output}


class Distribution(Actions):
    """Outputs from which actions are drawn."""

    def draw(self, output: Tensor, rng: torch.Generator | None) -> Tensor:
        """An action for each row (N, X), on the generator's device; by torch's own generator where none is given."""
        raise NotImplementedError

    def fresh(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Actions (…, A) through which gradients go, and their log-densities (…), by torch's global generator.

        Of discrete actions the outputs as they are, and all log-probabilities (…, A).
        """
        raise NotImplementedError

    def log_prob(self, output: Tensor, action: Tensor) -> Tensor:
        """The logarithm of the probability, or of the density, of given actions: (…)."""
        raise NotImplementedError

    def entropy(self, output: Tensor) -> Tensor:
        """In nats: (…)."""
        raise NotImplementedError

    def distance(self, output: Tensor, action: Tensor) -> Tensor:
        """How far the policy is from given actions (…), which behaviour cloning lowers."""
        raise NotImplementedError

    def surprise(self, output: Tensor, action: Tensor) -> Tensor:
        """The negative logarithm of the likelihood (…) of what a teacher advises, but for a constant."""
        raise NotImplementedError


class Categorical(Distribution):
    """Logits of discrete actions."""

    output = "logit"

    def draw(self, output: Tensor, rng: torch.Generator | None) -> Tensor:
        return torch.multinomial(output.softmax(-1), 1, generator=rng)[:, 0]

    def fresh(self, output: Tensor) -> tuple[Tensor, Tensor]:
        return output, output.log_softmax(-1)

    def log_prob(self, output: Tensor, action: Tensor) -> Tensor:
        return output.log_softmax(-1).gather(-1, action[..., None]).squeeze(-1)

    def entropy(self, output: Tensor) -> Tensor:
        log_prob = output.log_softmax(-1)
        return -(log_prob.exp() * log_prob).sum(-1)

    def distance(self, output: Tensor, action: Tensor) -> Tensor:
        """The cross-entropy."""
        return F.cross_entropy(output.movedim(-1, 1), action, reduction="none")

    def surprise(self, output: Tensor, action: Tensor) -> Tensor:
        """As `distance`: the cross-entropy."""
        return self.distance(output, action)

    def explained(self, output: Tensor) -> tuple[str, dict[str, Tensor]]:
        return "action probabilities", {"probability": output.softmax(-1)}


class TanhGaussian(Distribution):
    """Mean and log standard deviation of a Gaussian under tanh, which continuous actions in (-1, 1) are drawn from.

    Args:
        log_std_bounds: what the log standard deviation is kept within.
    """

    discrete = False
    output = "gaussian"
    first_bound = 1e-3

    def __init__(self, log_std_bounds: Bounds = LOG_STD_BOUNDS):
        self.log_std_bounds = log_std_bounds

    def split(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation before the tanh, each (…, A)."""
        return split_gaussian(output, self.log_std_bounds)

    def out_dim(self, action_dim: int) -> int:
        return 2 * action_dim

    def best(self, output: Tensor) -> Tensor:
        return mode_tanh_gaussian(output)

    def draw(self, output: Tensor, rng: torch.Generator | None) -> Tensor:
        device = output.device if rng is None else rng.device
        noise = torch.randn(output.shape[0], output.shape[1] // 2, generator=rng, device=device)
        return sample_tanh_gaussian(output, noise, self.log_std_bounds)[0]

    def fresh(self, output: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.randn_like(output[..., : output.shape[-1] // 2])
        return sample_tanh_gaussian(output, noise, self.log_std_bounds)

    def log_prob(self, output: Tensor, action: Tensor) -> Tensor:
        return log_prob_tanh_gaussian(output, action, self.log_std_bounds)

    def entropy(self, output: Tensor) -> Tensor:
        """Of the actions, after the tanh, nearly: see `entropy_tanh_gaussian`."""
        return entropy_tanh_gaussian(output, self.log_std_bounds)

    def distance(self, output: Tensor, action: Tensor) -> Tensor:
        """The squared distance of the greedy action."""
        return (self.best(output) - action).square().sum(-1)

    def surprise(self, output: Tensor, action: Tensor) -> Tensor:
        """That of the Gaussian before the tanh, Σ ½ ((u - μ) / σ)² + log σ with u = artanh a.

        Of a teacher that is always the same σ would go to 0 and the loss out of all bounds; and of actions on the edge
        u is infinite. So σ is at least `LEAST_STD`, and a at most `EDGE` from 0.
        """
        mean, log_std = split_gaussian(output)
        log_std = log_std.clamp(min=math.log(LEAST_STD))
        raw = torch.atanh(action.clamp(-EDGE, EDGE))
        return (0.5 * ((raw - mean) / log_std.exp()).square() + log_std).sum(-1)

    def explained(self, output: Tensor) -> tuple[str, dict[str, Tensor]]:
        mean, log_std = self.split(output)
        return "mean and spread", {"mean": torch.tanh(mean), "std before tanh": log_std.exp()}


class GaussianMixture(Distribution):
    """Logits, means and log standard deviations of several Gaussians, of which continuous actions in [-1, 1] are drawn.

    Greedy is the mean of the likeliest one, so that of two ways one is taken and not what lies between them. Nothing
    squashes it, lest actions on the edge be out of reach; what is drawn beyond is clipped to it.

    Args:
        components: K.
    """

    discrete = False
    output = "mixture"
    first_bound = 0.05  # components that begin alike would learn alike
    LOG_STD_BOUNDS: ClassVar[Bounds] = (-3.2, 1.0)  # wide enough at the least that one surprise does not rule a batch

    def __init__(self, components: int):
        self.components = components

    def out_dim(self, action_dim: int) -> int:
        return self.components * (1 + 2 * action_dim)

    def split(self, output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (…, K), and means and log standard deviations, each (…, K, A)."""
        K = self.components
        logit, rest = output[..., :K], output[..., K:].unflatten(-1, (2, K, -1))
        return logit, rest[..., 0, :, :], rest[..., 1, :, :].clamp(*self.LOG_STD_BOUNDS)

    def best(self, output: Tensor) -> Tensor:
        return self._likeliest(output)[0].clamp(-1, 1)

    def _likeliest(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, each (…, A), of the likeliest Gaussian."""
        logit, mean, log_std = self.split(output)
        chosen = F.one_hot(logit.argmax(-1), self.components)[..., None].to(mean.dtype)
        return (chosen * mean).sum(-2), (chosen * log_std).sum(-2)

    def draw(self, output: Tensor, rng: torch.Generator | None) -> Tensor:
        logit, mean, log_std = self.split(output)
        chosen = torch.multinomial(logit.softmax(-1), 1, generator=rng)[..., None].expand(-1, 1, mean.shape[-1])
        mean, std = mean.gather(-2, chosen).squeeze(-2), log_std.gather(-2, chosen).squeeze(-2).exp()
        device = output.device if rng is None else rng.device
        return (mean + std * torch.randn(mean.shape, generator=rng, device=device)).clamp(-1, 1)

    def log_prob(self, output: Tensor, action: Tensor) -> Tensor:
        """Before clipping."""
        logit, mean, log_std = self.split(output)
        each = log_prob_gaussian(mean, log_std, action[..., None, :])
        return (logit.log_softmax(-1) + each).logsumexp(-1)

    def distance(self, output: Tensor, action: Tensor) -> Tensor:
        """Minus the log-density."""
        return -self.log_prob(output, action)

    def surprise(self, output: Tensor, action: Tensor) -> Tensor:
        """As `distance`."""
        return self.distance(output, action)

    def explained(self, output: Tensor) -> tuple[str, dict[str, Tensor]]:
        mean, log_std = self._likeliest(output)
        return "mean and spread of the likeliest", {"mean": mean.clamp(-1, 1), "std": log_std.exp()}
