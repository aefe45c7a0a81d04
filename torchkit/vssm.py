"""The variational state-space model, trained and sampled in parallel, and models that go a step at a time, beside it.

Rebuilt from what is known of VSSMs by abstract alone (De Geeter et al., 2026): a variational autoencoder (Kingma &
Welling, 2014) of sequences whose encoder and decoder are memories. Latents are independent of each other and of what
came out before, so that all of them are drawn at once and one scan makes a sequence of them.

Dimension key: T steps, B batch, F pixels of a row, V values of a pixel, W width, Z latent, K samples.
"""

import math

import torch
from torch import Tensor, nn

from torchkit.cvae import Gaussian
from torchkit.networks import mlp
from torchkit.sequence import Memory
from torchkit.sequence.base import Carry

MIN_STD = 1e-3


class SequenceModel(nn.Module):
    """A distribution of sequences x (T, B, F) of whole numbers below V; rows of a step are told from a feature (W).

    Attributes:
        goes_on: whether it can go on from a prefix.
    """

    goes_on = True

    def __init__(self, pixels: int, values: int, width: int):
        super().__init__()
        self.pixels, self.values, self.width = pixels, values, width
        self.embed = mlp(pixels, (width,), width, out_bound=None)
        self.head = mlp(width, (width,), pixels * values)

    def features(self, x_TBF: Tensor) -> Tensor:
        """What memories read of rows: (T, B, F) to (T, B, W)."""
        return self.embed(x_TBF.float() / (self.values - 1) - 0.5)

    def logits(self, h: Tensor) -> Tensor:
        """Of each pixel's values: (…, W) to (…, F, V)."""
        return self.head(h).unflatten(-1, (self.pixels, self.values))

    def told(self, h: Tensor, x: Tensor) -> Tensor:
        """Log p(x | h), in nats, of rows (…, F): (…)."""
        log_prob = self.logits(h).log_softmax(-1).gather(-1, x[..., None])
        return log_prob.squeeze(-1).sum(-1)

    def drawn(self, h: Tensor, generator: torch.Generator) -> Tensor:
        """Rows (…, F) by their probabilities, from features (…, W)."""
        share = self.logits(h).softmax(-1)
        return torch.multinomial(share.flatten(0, -2), 1, generator=generator).view(share.shape[:-1])

    def bound(self, x_TBF: Tensor, generator: torch.Generator, samples: int = 1) -> Tensor:
        """Log p(x), or what is below it in the mean, in nats (B,); with more samples nearer."""
        raise NotImplementedError

    def continuation(self, x_TBF: Tensor, known: int, generator: torch.Generator, samples: int = 1) -> Tensor:
        """The same of the rows from `known` on, given those before: (B,)."""
        raise NotImplementedError

    def sample(self, prefix_TBF: Tensor, steps: int, generator: torch.Generator) -> Tensor:
        """The T steps that go on from a prefix, which may be of no step: (T, B, F)."""
        raise NotImplementedError


class VSSM(SequenceModel):
    """Latents z_t ~ N(0, 1) of each step, and p(x_t | z_1 … z_t) by a memory over them.

    The encoder tells q(z_t | x) from rows up to t, or with `back` from all of them: then nothing can go on from a
    prefix. The loss is the evidence bound, with the divergence of each step in closed form.

    Args:
        encoder, back, decoder: memories of inputs and outputs W wide.
    """

    def __init__(
        self, pixels: int, values: int, width: int, latent: int, encoder: Memory, decoder: Memory, back: Memory | None
    ):
        super().__init__(pixels, values, width)
        self.latent, self.encoder, self.decoder, self.back = latent, encoder, decoder, back
        self.goes_on = back is None
        self.posterior_head = nn.Linear(width if back is None else 2 * width, 2 * latent)
        self.of_latent = nn.Linear(latent, width)

    def posterior(self, x_TBF: Tensor) -> Gaussian:
        """q(z_t | x), (T, B, Z)."""
        rows = self.features(x_TBF)
        histories = [self.encoder.encode(rows)]
        if self.back is not None:
            histories.append(self.back.encode(rows.flip(0)).flip(0))
        return Gaussian.of(self.posterior_head(torch.cat(histories, dim=-1)), MIN_STD)

    def decoded(self, z_TBZ: Tensor, carry: Carry | None = None) -> tuple[Tensor, Carry]:
        """Features (T, B, W) of latents, by one scan, and the state after them."""
        return self.decoder(self.of_latent(z_TBZ), z_TBZ.new_zeros(z_TBZ.shape[:2]), carry)

    def elbo(self, x_TBF: Tensor, generator: torch.Generator) -> Tensor:
        """The evidence bound (B,) by one draw, its divergences in closed form."""
        q = self.posterior(x_TBF)
        h_TBW, _ = self.decoded(q.at(_noise(q.mean, generator)))
        return (self.told(h_TBW, x_TBF) - q.kl_to_standard()).sum(0)

    def bound(self, x_TBF: Tensor, generator: torch.Generator, samples: int = 1) -> Tensor:
        """By importance weights where there is more than one sample (Burda et al., 2016)."""
        if samples == 1:
            return self.elbo(x_TBF, generator)
        B = x_TBF.shape[1]
        q = Gaussian(*(p.repeat(1, samples, 1) for p in self.posterior(x_TBF)))
        z = q.at(_noise(q.mean, generator))
        prior = Gaussian(torch.zeros_like(z), torch.ones_like(z))
        told = self.told(self.decoded(z)[0], x_TBF.repeat(1, samples, 1))
        weight_KB = (told + prior.log_prob(z) - q.log_prob(z)).sum(0).view(samples, B)
        return weight_KB.logsumexp(0) - math.log(samples)

    def continuation(self, x_TBF: Tensor, known: int, generator: torch.Generator, samples: int = 1) -> Tensor:
        """The mean likelihood under latents of the prefix by the encoder, later ones by the prior."""
        B, later_TBF = x_TBF.shape[1], x_TBF[known:].repeat(1, samples, 1)
        carry = self._after(x_TBF[:known].repeat(1, samples, 1), generator)
        h_TBW, _ = self.decoded(self._prior(len(later_TBF), samples * B, generator), carry)
        return self.told(h_TBW, later_TBF).sum(0).view(samples, B).logsumexp(0) - math.log(samples)

    def sample(self, prefix_TBF: Tensor, steps: int, generator: torch.Generator) -> Tensor:
        """By one scan of the decoder, after one over the prefix."""
        carry = self._after(prefix_TBF, generator) if len(prefix_TBF) else None
        h_TBW, _ = self.decoded(self._prior(steps, prefix_TBF.shape[1], generator), carry)
        return self.drawn(h_TBW, generator)

    def _after(self, prefix_TBF: Tensor, generator: torch.Generator) -> Carry:
        """The decoder's state after a prefix."""
        assert self.goes_on, "what reads from the end cannot go on from a prefix"
        q = self.posterior(prefix_TBF)
        return self.decoded(q.at(_noise(q.mean, generator)))[1]

    def _prior(self, steps: int, count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(steps, count, self.latent, generator=generator)


class Autoregressive(SequenceModel):
    """p(x_t | x_1 … x_{t-1}) by a memory, pixels of a row independent of each other; sampled a step at a time."""

    def __init__(self, pixels: int, values: int, width: int, memory: Memory):
        super().__init__(pixels, values, width)
        self.memory = memory
        self.first = nn.Parameter(torch.zeros(width))  # what stands before the first row

    def _shifted(self, x_TBF: Tensor) -> Tensor:
        """What is read before each row of x, and of the one that would follow: (T+1, B, W)."""
        return torch.cat([self.first.expand(1, x_TBF.shape[1], -1), self.features(x_TBF)])

    def bound(self, x_TBF: Tensor, generator: torch.Generator, samples: int = 1) -> Tensor:
        """Exact."""
        return self.told(self.memory.encode(self._shifted(x_TBF[:-1])), x_TBF).sum(0)

    def continuation(self, x_TBF: Tensor, known: int, generator: torch.Generator, samples: int = 1) -> Tensor:
        return self.told(self.memory.encode(self._shifted(x_TBF[:-1]))[known:], x_TBF[known:]).sum(0)

    def sample(self, prefix_TBF: Tensor, steps: int, generator: torch.Generator) -> Tensor:
        rows = self._shifted(prefix_TBF)
        nowhere, carry, found = rows.new_zeros(rows.shape[:2]), None, []
        for _ in range(steps):
            h_TBW, carry = self.memory(rows, nowhere, carry)
            found.append(self.drawn(h_TBW[-1], generator))
            rows, nowhere = self.features(found[-1][None]), nowhere[:1]
        return torch.stack(found)


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator)
