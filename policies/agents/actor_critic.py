"""What actor-critics share: an actor, critics of their own, and extensions on the views of either."""

from typing import ClassVar

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.agents.learner import Learner
from policies.extensions import Extensions
from policies.models.heads import Critic
from policies.models.policy import HistoryPolicy
from policies.models.views import PrivilegedViews, Views
from torchkit.actions import Categorical, Distribution, TanhGaussian
from utils.reads import ANY, POSITIVE, SHARE, Reads


class ActorCritic(Learner):
    """A learner whose policy is an actor, judged by critics of their own.

    Args:
        policy: the actor.
        critic: the online critics.
        extensions: auxiliary losses and intrinsic rewards on the critics' views.
        actor_extensions: auxiliary losses on the actor's own views.
        state_views, config, seed: see `Learner`.
    """

    discrete_actions = Categorical()
    continuous_actions = TanhGaussian()
    reads: ClassVar[Reads] = {
        **dict.fromkeys(("actor_lr", "critic_lr"), POSITIVE),
        **dict.fromkeys(("discount", "return_lambda"), SHARE),
        **dict.fromkeys(("critic_inputs", "critic_memory", "auxiliary.use_actor"), ANY),
    }

    def __init__(
        self,
        policy: HistoryPolicy,
        critic: Critic,
        state_views: PrivilegedViews,
        extensions: Extensions,
        actor_extensions: Extensions,
        config: ConfigDict,
        seed: int,
    ):
        super().__init__(policy, state_views, extensions, config, seed)
        self.actor, self.critic = policy, critic
        self.add_module("actor_parts", actor_extensions)  # by the name that checkpoints have for them
        assert isinstance(policy.actions, Distribution)
        self.actions: Distribution = policy.actions

    @property
    def actor_extensions(self) -> Extensions:
        """Auxiliary losses on the actor's own views."""
        return self.get_submodule("actor_parts")  # type: ignore[return-value]

    def _learning(self) -> tuple[nn.Module, ...]:
        return self.actor, self.critic

    def _all_extensions(self) -> tuple[Extensions, ...]:
        return self.extensions, self.actor_extensions

    def _after_step(self) -> None:
        super()._after_step()
        self.actor_extensions.after_step(self.config.tau)

    @torch.no_grad()
    def look_back(self, batch: EpisodeBatch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        losses, full = super().look_back(batch)
        if len(self.actor_extensions.auxiliary):
            with self._autocast():
                _, actor_views = self._look(batch, self.state_views(batch))
                of_actor = self.actor_extensions.row_losses(actor_views, batch)
            losses |= {f"actor_{name}": loss for name, loss in of_actor.items()}
        return losses, full

    def _part_views(self, batch: EpisodeBatch) -> Views:
        return self.critic.views(batch, self.state_views(batch))

    def _look(self, batch: EpisodeBatch, state_views: Views) -> tuple[Views, Views]:
        """The views of critic and actor, the extensions' and the actor's output `policy` among them."""
        critic_views = self.critic.views(batch, state_views)
        self.extensions.extend(critic_views, batch)
        actor_views = self._actor_views(batch, state_views, critic_views)
        actor_views["policy"] = self.policy.head(actor_views, batch)
        self.actor_extensions.extend(actor_views, batch)
        return critic_views, actor_views

    def _actor_views(self, batch: EpisodeBatch, state_views: Views, critic_views: Views) -> Views:
        """The actor's own; a family in which it may share the critics' says so."""
        return state_views | self.policy.public(batch)
