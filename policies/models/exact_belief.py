"""The view `exact_belief` of a finite POMDP, and the head that acts on it by alpha vectors; nothing in them is learned.

Dimension key: N envs, S states, A actions, V views of observations, K alpha vectors.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from buffers.batch import PublicBatch
from policies.models.heads import Head
from policies.models.sources import Sources
from policies.models.views import Fold, Inputs, Views
from torchkit.sequence import Carry
from utils.errors import UserError


@dataclass(frozen=True)
class SolvedSizes:
    """Sizes of a solved POMDP.

    Attributes:
        states, actions: S and A.
        views: V, what observations may look like.
        view_width: the numbers of one.
        vectors: K.
        horizon: the number of steps that it was solved for, 0 for no end.
    """

    states: int
    actions: int
    views: int
    view_width: int
    vectors: int
    horizon: int

    def __post_init__(self) -> None:
        sizes = asdict(self)
        if not all(isinstance(size, int) and size >= (name != "horizon") for name, size in sizes.items()):
            raise ValueError(f"sizes of a solved POMDP are out of range, {sizes}")


def _table(*shape: int) -> nn.Parameter:
    """Room for numbers that are loaded or copied in and never trained."""
    return nn.Parameter(torch.zeros(shape), requires_grad=False)


def _normalised(weight_NS: Tensor, otherwise_NS: Tensor) -> Tensor:
    """Weights that sum to 1; others where they are all 0 or next to it, but not where one is NaN."""
    total_N1 = weight_NS.sum(dim=1, keepdim=True)
    return torch.where(total_N1 < 1e-30, otherwise_NS, weight_NS / total_N1.clamp(min=1e-30))


class ExactBelief(Fold):
    """`exact_belief` (…, S + 1): Pr(state | what was seen and done, and that the episode goes on); and the steps left.

    What no state explains is passed over: the belief goes on by the action alone, or where that ends the episode for
    certain, it is that of a start which looks like what is seen.
    """

    kept_as: ClassVar[str | None] = "exact_belief"

    def __init__(self, sizes: SolvedSizes):
        super().__init__()
        self.sizes, self.out_dim = sizes, sizes.states + 1
        num_S, num_A, num_V = sizes.states, sizes.actions, sizes.views
        self.view_VD = _table(num_V, sizes.view_width)
        self.first_VS = _table(num_V, num_S)  # the belief after each first observation
        self.on_SM = _table(num_S, num_A * num_S)  # Pr(s', goes on | s, a), the actions side by side
        self.seen_MS = _table(num_A * num_V, num_S)  # Pr(o | a, s'), the actions one below the other

    @classmethod
    def build(cls, sources: Sources, training_only: dict[str, nn.Module]) -> Self:
        if "exact_belief" not in sources.kept:
            raise UserError("--config_rl: the view exact_belief is of policies that scripts/solve.py writes")
        return cls(sources.kept["exact_belief"])

    def to_json(self) -> dict[str, Any]:
        return asdict(self.sizes)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SolvedSizes:
        return SolvedSizes(**values)

    def initial_carry(self, batch_size: int) -> Carry:
        return self.first_VS.new_zeros(batch_size, self.sizes.states), self.first_VS.new_zeros(batch_size, 1)

    def forward(self, batch: PublicBatch, carry: Carry | None = None) -> Views:
        obs_TBO, steps = batch.obs.full(), []
        for t, obs_BO in enumerate(obs_TBO):
            view, carry = self.step(Inputs(obs_BO, batch.prev_action[t], batch.prev_reward[t], batch.start[t]), carry)
            steps.append(view)
        return {"exact_belief": torch.stack(steps)}

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Tensor, Carry]:
        sizes = self.sizes
        before_NS, left_N1 = self.initial_carry(len(now.obs_NO)) if carry is None else carry
        # the nearest view, by differences: products of large numbers would lose units
        view_N = torch.cdist(now.obs_NO, self.view_VD, compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=1)
        after_NAS = (before_NS @ self.on_SM).view(-1, sizes.actions, sizes.states)
        after_NS = (after_NAS * now.prev_action_NA[..., None]).sum(dim=1)
        weight_NS = after_NS * self.seen_MS[now.prev_action_NA.argmax(dim=1) * sizes.views + view_N]
        belief_NS = _normalised(weight_NS, _normalised(after_NS, self.first_VS[view_N]))
        start_N1 = now.start_N[:, None] > 0
        belief_NS = torch.where(start_N1, self.first_VS[view_N], belief_NS)
        left_N1 = torch.where(start_N1, torch.full_like(left_N1, sizes.horizon), (left_N1 - 1).clamp(min=1))
        return torch.cat([belief_NS, left_N1], dim=1), (belief_NS, left_N1)


class AlphaVectors(nn.Module):
    """The greatest value of a belief (…, S + 1) by the vectors that begin with each action (…, A); else `least`."""

    def __init__(self, sizes: SolvedSizes):
        super().__init__()
        self.sizes = sizes
        self.vector_KS = _table(sizes.vectors, sizes.states)
        self.action_K, self.left_K = _table(sizes.vectors), _table(sizes.vectors)
        self.least = _table(1)

    def forward(self, belief: Tensor) -> Tensor:
        """Action values, which the vectors promise at least; less what they were kept without."""
        belief = belief.float()
        value_K = belief[..., :-1] @ self.vector_KS.T
        if self.sizes.horizon:
            value_K = torch.where(self.left_K == belief[..., -1:], value_K, self.least)
        return torch.stack(
            [
                torch.where(self.action_K == action, value_K, self.least).amax(-1)
                for action in range(self.sizes.actions)
            ],
            dim=-1,
        )


class AlphaVectorHead(Head):
    """A head whose outputs are alpha vectors' values of the exact belief."""

    def __init__(self, sizes: SolvedSizes):
        nn.Module.__init__(self)
        self.inputs = ("exact_belief",)
        self.net = nn.Sequential(AlphaVectors(sizes))  # type: ignore[assignment]

    def forward(self, views: Any, batch: PublicBatch | None = None) -> Tensor:
        """Action values (…, A)."""
        values: Tensor = self.net(views["exact_belief"])
        return values
