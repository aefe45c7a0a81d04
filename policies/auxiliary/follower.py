"""A follower does what the teacher advises, and its value tells where that gets it: half of ELF (Walsman et al., 2023).

"Impossibly good experts and how to follow them" (ICLR 2023) trains two policies together: a follower by the advice
alone, and an explorer by rewards that the follower's value V_F shapes, so that it goes to where following pays: of a
teacher who knows what the student does not, to where the student has found it out. Here both read one history:

    L = -log π_F(a* | h) + (Q_F(h, a) - G)²,    V_F(h) = Σ_a π_F(a | h) Q_F⁻(h, a),
    G_t = r_t + γ_t [V_F(h_{t+1}) + λ π_F(a_{t+1} | h_{t+1}) (G_{t+1} - Q_F⁻(h_{t+1}, a_{t+1}))],

the tree-backup returns (Precup, Sutton & Singh, ICML 2000), by which the value of a policy that did not always act is
learned of a replay. Q_F⁻ follows Q_F by τ. Of continuous actions V_F(h) = Q_F⁻(h, a_F), a_F the follower's best action,
and λ is 0. The shaping is `policies.intrinsic.follower_value`; that the explorer hands over to the follower at some
step of an episode, as in the paper, is `policies.agents.handover`.
"""

import copy
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor

from buffers.batch import AdvisedBatch, EpisodeBatch
from policies.extensions import AuxiliaryLoss, transition_rows
from policies.losses import lambda_returns, last_steps, taken, tree_backup_returns
from policies.models.heads import Head
from policies.models.trunk import Trunk
from torchkit.actions import Categorical, Distribution, TanhGaussian
from utils.errors import UserError
from utils.reads import SHARE, Reads


class Follower(AuxiliaryLoss):
    """The follower's head and its value's; the former alone moves the memory.

    Args:
        head: of the follower, over public views.
        value: of Q_F, over the same views: of all discrete actions, or with a view `action` of a continuous one.
        actions: what the head's outputs mean.
        discount: γ.
        return_lambda: λ, of discrete actions.
        settings: `weight` of the loss, `handover`, the probability with which it takes over from the explorer.
    """

    of_teacher = True
    reads: ClassVar[Reads] = {"handover": SHARE}

    def __init__(
        self,
        head: Head,
        value: Head,
        actions: Distribution,
        discount: float,
        return_lambda: float,
        settings: ConfigDict,
    ):
        super().__init__()
        self.head, self.value, self.actions = head, value, actions
        self.slow = copy.deepcopy(value).requires_grad_(False)
        self.discount, self.return_lambda = discount, return_lambda
        self.loss_weight, self.leads = settings.weight, settings.handover

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        rl, spec = trunk.config.rl, trunk.spec
        if not rl.get("teacher"):
            raise UserError("--config_rl.teacher: needed by auxiliary.use=('follower',), as expert or informed")
        actions: Distribution = Categorical() if spec.discrete else TanhGaussian()
        head = trunk.head(rl.policy_inputs, actions.out_dim(spec.action_dim), out_bound=actions.first_bound)
        if spec.discrete:
            value = trunk.head(rl.policy_inputs, spec.action_dim)
        else:
            value = trunk.head(rl.policy_inputs, 1, action=spec.action_dim)
        return cls(head, value, actions, rl.discount, rl.return_lambda, settings)

    def lead(self, views: Mapping[str, Tensor], rng: torch.Generator) -> Tensor:
        return self.actions.draw(self.head(views).cpu(), rng)

    def extend(self, views: dict[str, Tensor], batch: EpisodeBatch) -> None:
        """Adds the follower's outputs `follower`, its value `follower_value` (T+1, B, 1), and Q_F and Q_F⁻."""
        views["follower"] = output = self.head(views, batch)
        discrete = self.actions.discrete
        views["follower_q"] = self._values(
            self.value, views, batch, None if discrete else transition_rows(batch.action)
        )
        with torch.no_grad():
            best_TBA = None if discrete else self.actions.best(output)
            views["follower_slow_q"] = slow = self._values(self.slow, views, batch, best_TBA)
            views["follower_value"] = (output.softmax(-1) * slow).sum(-1, keepdim=True) if discrete else slow

    def _values(self, net: Head, views: Mapping[str, Tensor], batch: EpisodeBatch, action: Tensor | None) -> Tensor:
        """Q_F (T+1, B, A) of all actions, or (T+1, B, 1) of the given ones, by views that learn nothing of it."""
        seen = {name: views[name].detach() for name in net.inputs if name != "action"}
        return net(seen if action is None else seen | {"action": action.float()}, batch)

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """Both losses of every transition, as rows (T+1, B)."""
        if not isinstance(batch, AdvisedBatch):
            return torch.zeros_like(batch.row_mask)
        surprise_TB = self.actions.surprise(views["follower"][:-1], batch.advice)
        q = views["follower_q"][:-1]
        q_TB = taken(q, batch.action) if self.actions.discrete else q.squeeze(-1)
        return transition_rows(surprise_TB + (q_TB - self.returns(views, batch)).square())

    @torch.no_grad()
    def returns(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """G (T, B), of the env's rewards alone."""
        next_TB = views["follower_value"][1:, :, 0]
        discount_TB, last_TB = self.discount * batch.discount, last_steps(batch.mask)
        if not self.actions.discrete:
            return lambda_returns(batch.reward, discount_TB, next_TB, last_TB, last_TB, 0.0)
        taken_TB = taken(views["follower_slow_q"][:-1], batch.action)
        chance_TB = taken(views["follower"][:-1].softmax(-1), batch.action)
        return tree_backup_returns(batch.reward, discount_TB, next_TB, taken_TB, chance_TB, last_TB, self.return_lambda)

    def mask(self, batch: EpisodeBatch) -> Tensor:
        """Nothing counts of episodes without advice."""
        return transition_rows(batch.mask) * isinstance(batch, AdvisedBatch)

    @torch.no_grad()
    def after_step(self, tau: float) -> None:
        torch._foreach_lerp_(list(self.slow.parameters()), list(self.value.parameters()), tau)
