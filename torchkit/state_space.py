"""A recurrent state-space model: what a history is folded into, and how that goes on where nothing is observed.

After DreamerV3 (Hafner et al., Nature 2025): a deterministic state h and categorical codes e,

    h_t = GRU(h_{t-1}; e_{t-1}, a_{t-1}),    prior p(e_t | h_t),    posterior q(e_t | h_t, o_t).

A latent is (h, e) side by side. Its layers are linear ones with ReLU, without normalisation.

Dimension key: T steps, B batch, R rows, H deterministic state, G groups of codes, C classes of each, O embedding of an
observation, A action, F = H + G·C latent.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchkit.networks import init_linear, mlp
from utils.errors import at_least_one

UNIFORM = 0.01  # share of the uniform distribution in each group of codes


@dataclass(frozen=True)
class StateSpaceSizes:
    """Widths: H, G, C, and of the hidden layer of prior and posterior."""

    deterministic: int
    groups: int
    classes: int
    hidden: int

    @property
    def codes(self) -> int:
        """G·C."""
        return self.groups * self.classes

    @property
    def out_dim(self) -> int:
        """F."""
        return self.deterministic + self.codes


class Unrolled(NamedTuple):
    """Latents (T, B, F), and log-probabilities of prior and posterior (T, B, G, C)."""

    latent: Tensor
    prior: Tensor
    posterior: Tensor


class StateSpace(nn.Module):
    """See the module's docstring; observations come embedded, and actions as a network reads them.

    In training mode codes are samples, with straight-through gradients. In evaluation mode they are the likeliest ones,
    so that a latent is a function of the history.

    Args:
        obs_dim: O.
        action_dim: A.
        sizes: of the latent.

    Raises:
        UserError: a size is below 1.
    """

    def __init__(self, obs_dim: int, action_dim: int, sizes: StateSpaceSizes):
        super().__init__()
        at_least_one(vars(sizes))
        self.sizes = sizes
        self.register_buffer("classes", torch.arange(sizes.classes), persistent=False)
        self.classes: Tensor
        gates, codes = 3 * sizes.deterministic, sizes.codes
        self.of_codes = nn.Linear(codes, gates, bias=False)
        self.of_action = nn.Linear(action_dim, gates)
        self.of_state = nn.Linear(sizes.deterministic, gates)
        for layer in (self.of_codes, self.of_action, self.of_state):
            nn.init.orthogonal_(layer.weight)
        nn.init.zeros_(self.of_action.bias)
        nn.init.zeros_(self.of_state.bias)
        self.prior_net = mlp(sizes.deterministic, (sizes.hidden,), codes, out_bound=None)
        self.seen_state = nn.Linear(sizes.deterministic, sizes.hidden, bias=False)
        nn.init.uniform_(self.seen_state.weight, -(sizes.hidden**-0.5), sizes.hidden**-0.5)
        self.seen_obs = init_linear(nn.Linear(obs_dim, sizes.hidden))
        self.posterior_out = init_linear(nn.Linear(sizes.hidden, codes))

    def initial(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """The state h (B, H) and codes e (B, G·C) before an episode."""
        weight, sizes = self.of_state.weight, self.sizes
        return weight.new_zeros(batch_size, sizes.deterministic), weight.new_zeros(batch_size, sizes.codes)

    def unroll(self, action_TBX: Tensor, obs_TBX: Tensor, before: tuple[Tensor, Tensor]) -> Unrolled:
        """The latents of T steps after `before`.

        Args:
            action_TBX: the previous actions through `of_action`, which does not wait for the latent.
            obs_TBX: embedded observations through `seen_obs`, likewise.
            before: h and e of the step before, as of `initial`.
        """
        with torch.autocast(obs_TBX.device.type, enabled=False):
            return self._unroll(action_TBX.float(), obs_TBX.float(), before)

    def _unroll(self, action_TBX: Tensor, obs_TBX: Tensor, before: tuple[Tensor, Tensor]) -> Unrolled:
        num_gates, (h, e) = self.of_state.out_features, before
        weight = torch.cat([self.of_state.weight, self.seen_state.weight]).t()
        bias = torch.cat([self.of_state.bias, torch.zeros_like(self.seen_obs.bias)])
        of_codes, out, rows, shares = self.of_codes.weight.t(), self.posterior_out, list[Tensor](), list[Tensor]()
        both = torch.addmm(bias, h, weight)  # what the next step and this step's posterior read of h
        for action_BX, obs_BX in zip(action_TBX.unbind(0), obs_TBX.unbind(0), strict=True):
            h = _gru(torch.addmm(action_BX, e, of_codes), both[:, :num_gates], h)
            both = torch.addmm(bias, h, weight)
            share = self._shares(F.linear(torch.relu(both[:, num_gates:] + obs_BX), out.weight, out.bias))
            e = self._codes(share)
            rows.append(torch.cat([h, e], dim=-1))
            shares.append(share)
        latent_TBF = torch.stack(rows)
        prior = self._shares(self.prior_net(latent_TBF[..., : self.sizes.deterministic]))
        return Unrolled(latent_TBF, prior.log(), torch.stack(shares).log())

    def imagine(self, latent_RF: Tensor, action_RA: Tensor) -> Tensor:
        """The latents (R, F) after actions, where nothing is observed: codes are drawn from the prior."""
        h, e = latent_RF.split([self.sizes.deterministic, self.sizes.codes], dim=-1)
        with torch.autocast(h.device.type, enabled=False):  # as in `unroll`, lest dreams drift off
            h = _gru(self.of_action(action_RA) + self.of_codes(e), self.of_state(h), h)
            return torch.cat([h, self._codes(self._shares(self.prior_net(h)))], dim=-1)

    def _shares(self, logits: Tensor) -> Tensor:
        """Probabilities (…, G, C) of logits (…, G·C), none below UNIFORM / C."""
        groups = logits.float().unflatten(-1, (self.sizes.groups, self.sizes.classes))
        return groups.softmax(-1) * (1 - UNIFORM) + UNIFORM / self.sizes.classes

    def _codes(self, share: Tensor) -> Tensor:
        """One-hot codes (…, G·C) of probabilities (…, G, C), with the gradient of these."""
        known = share.detach()
        if self.training:  # as many classes lie below a number that is drawn uniformly
            below = known[..., :-1].cumsum(-1) < torch.rand_like(known[..., :1])
            chosen = below.sum(-1, keepdim=True)
        else:
            chosen = known.argmax(-1, keepdim=True)
        hard = (chosen == self.classes).to(known.dtype)
        if share.requires_grad:
            hard = share + (hard - share).detach()
        return hard.flatten(-2)


def _gru(inputs: Tensor, recurrent: Tensor, h: Tensor) -> Tensor:
    """A step of a GRU from both products (…, 3H), of inputs and of h (…, H)."""
    size = h.shape[-1]
    gates = (inputs[..., : 2 * size] + recurrent[..., : 2 * size]).sigmoid()
    reset, update = gates.split(size, dim=-1)
    new = torch.addcmul(inputs[..., 2 * size :], reset, recurrent[..., 2 * size :]).tanh()
    return torch.lerp(new, h, update)
