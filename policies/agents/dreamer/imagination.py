"""Trajectories that a world model dreams, and the scale of what is dreamed of.

Dimension key: K imagined steps, R starts, F latent, A action.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from torchkit.actions import Distribution
from torchkit.state_space import StateSpace


class Imagined(NamedTuple):
    """Latents (K+1, R, F), the starts first, and the actions between them (K, R), or (K, R, A)."""

    latent: Tensor
    action: Tensor


@torch.no_grad()
def imagine(
    model: StateSpace, act: Callable[[Tensor], Tensor], actions: Distribution, start_RF: Tensor, horizon: int
) -> Imagined:
    """K = `horizon` steps from each start; actions and codes are drawn by torch's own generator.

    Args:
        model: says what comes after an action.
        act: the outputs (R, X) of the acting head on latents (R, F), which `actions` interprets.
        actions: as what.
        start_RF: latents of rows that were played.
        horizon: K.
    """
    latents, taken = [start_RF], list[Tensor]()
    for _ in range(horizon):
        action_R = actions.draw(act(latents[-1]).nan_to_num(), None)  # of NaN the losses tell
        taken.append(action_R)
        latents.append(model.imagine(latents[-1], _features(action_R, model.of_action.in_features)))
    return Imagined(torch.stack(latents), torch.stack(taken))


def _features(action_R: Tensor, action_dim: int) -> Tensor:
    """Actions as a network reads them (R, A): discrete ones one-hot."""
    if action_R.ndim > 1:
        return action_R
    return torch.zeros(len(action_R), action_dim, device=action_R.device).scatter_(1, action_R[:, None], 1.0)


class ReturnScale(nn.Module):
    """The range from the 5th to the 95th percentile of returns, averaged over updates, and 1 at least.

    By it advantages are divided, so that one weight of the entropy serves returns of any size (Hafner et al., Nature
    2025, eq. 7). Small returns are not blown up: what is below 1 may be noise.

    Args:
        rate: of the averages; the first returns are taken whole.
    """

    SHARES = (0.05, 0.95)

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate
        self.bounds: Tensor = nn.Buffer(torch.zeros(2))
        self.known: Tensor = nn.Buffer(torch.zeros((), dtype=torch.bool))

    def after(self, returns: Tensor) -> Tensor:
        """The averages (2,) once these returns are taken in; they are only kept by `keep`."""
        shares = torch.tensor(self.SHARES, device=returns.device)
        found = torch.quantile(returns.detach().float().flatten(), shares)
        return torch.where(self.known, torch.lerp(self.bounds, found, self.rate), found)

    @torch.no_grad()
    def keep(self, bounds: Tensor) -> None:
        """Goes on with these averages."""
        self.bounds.copy_(bounds)
        self.known.fill_(True)

    @staticmethod
    def of(bounds: Tensor) -> Tensor:
        """The scale, ()."""
        return (bounds[1] - bounds[0]).clamp(min=1.0)
