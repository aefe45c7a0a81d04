"""Distillation of a teacher: a policy with a memory does, after each history, what the teacher would have done.

L = -E log π(a* | h), where a* is the teacher's advice; which histories come, the experience decides by β. With β = 1
for ever it is behaviour cloning of the teacher's own episodes, with β that falls to 0 DAgger (Ross, Gordon & Bagnell,
AISTATS 2011). Of a teacher that knows more than the history the limit is π(a | h) = Σ_s Pr(s | h) π*(a | s): what
depends on the hidden fact is guessed, and what would show it is not sought, as the teacher has no need of it (the
imitation gap, Weihs et al., NeurIPS 2021; `policies.exact.tabular.imitation_limit`).
"""

from typing import ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import AdvisedBatch, EpisodeBatch
from policies.agents.assembly import check_folds, frozen_views, make_extensions, policy_head
from policies.agents.learner import Learner
from policies.extensions import Extensions
from policies.losses import masked_mean, spread
from policies.models.policy import HistoryPolicy
from policies.models.sources import Sources
from policies.models.trunk import Trunk
from policies.models.views import PrivilegedViews, Views
from torchkit.actions import Actions, Categorical, Distribution, TanhGaussian
from utils.reads import POSITIVE, SHARE, Reads


class Distill(Learner):
    """See the module's docstring; settings are those of configs/rl/distill.py. No value is learned."""

    learns_from = "relabelled_episodes"
    of_teacher = True
    discrete_actions, continuous_actions = Categorical(), TanhGaussian()
    reads: ClassVar[Reads] = {"lr": POSITIVE, "discount": SHARE}

    def __init__(
        self,
        policy: HistoryPolicy,
        state_views: PrivilegedViews,
        extensions: Extensions,
        config: ConfigDict,
        seed: int,
        device: torch.device,
    ):
        super().__init__(policy, state_views, extensions, config, seed)
        self.actor = policy
        self._settle(device)
        self._train_with("actor", [*policy.parameters(), *extensions.learned()], config.lr)

    @classmethod
    def build(cls, sources: Sources, actions: Actions, seed: int, device: torch.device) -> Self:
        """A student of any variant."""
        rl = sources.config.rl
        trunk = Trunk(sources, actions)
        head = policy_head(trunk)
        check_folds(trunk, rl.auxiliary.use, "use")
        extensions = make_extensions(trunk, rl.auxiliary.use, ())
        policy = HistoryPolicy(trunk.public(), head, actions)
        return cls(policy, frozen_views(sources), extensions, rl, seed, device)

    def losses(self, batch: EpisodeBatch, metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        actions = self.policy.actions
        assert isinstance(actions, Distribution) and isinstance(batch, AdvisedBatch), "as its class says"
        with self._autocast():
            views = self._part_views(batch)
            self.extensions.extend(views, batch)
            output_TBX = self.policy.head(views, batch)[:-1]
        metrics["loss/imitation"] = loss = masked_mean(actions.surprise(output_TBX, batch.advice), batch.mask)
        if actions.discrete:
            agrees_TB = actions.best(output_TBX) == batch.advice
            metrics["policy/agreement"] = masked_mean(agrees_TB.to(loss.dtype), batch.mask)
        metrics["policy/entropy"] = masked_mean(actions.entropy(output_TBX), batch.mask)
        metrics["policy/spread"] = spread(output_TBX, batch.mask)
        return {"actor": loss + self.extensions.total(views, batch, metrics)}

    def _learning(self) -> tuple[nn.Module, ...]:
        return (self.actor,)

    def _part_views(self, batch: EpisodeBatch) -> Views:
        return self.actor.public(batch) | self.state_views(batch)
