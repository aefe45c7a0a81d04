"""What actor-critics share: an actor, critics of their own, and extensions on the views of either."""

from typing import Any

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.agents.base import Array
from policies.agents.learner import Learner
from policies.extensions import PartSet
from policies.models.heads import Critic
from policies.models.policy import HistoryPolicy
from policies.models.views import PrivilegedViews, Views
from torchkit.actions import Categorical, Distribution, TanhGaussian


class ActorCritic(Learner):
    """A learner whose policy is an actor, judged by critics of their own.

    Args:
        policy: the actor.
        critic: the online critics.
        parts: auxiliary losses and intrinsic rewards on the critics' views.
        actor_parts: auxiliary losses on the actor's own views.
        state_views, config, seed: see `Learner`.
    """

    discrete_actions = Categorical()
    continuous_actions = TanhGaussian()

    def __init__(
        self,
        policy: HistoryPolicy,
        critic: Critic,
        state_views: PrivilegedViews,
        parts: PartSet,
        actor_parts: PartSet,
        config: ConfigDict,
        seed: int,
    ):
        super().__init__(policy, state_views, parts, config, seed)
        self.actor, self.critic, self.actor_parts = policy, critic, actor_parts
        assert isinstance(policy.actions, Distribution)
        self.actions: Distribution = policy.actions

    def _learning(self) -> tuple[nn.Module, ...]:
        return self.actor, self.critic

    def _part_sets(self) -> tuple[PartSet, ...]:
        return self.parts, self.actor_parts

    def _after_step(self) -> None:
        super()._after_step()
        self.actor_parts.after_step(self.config.tau)

    @torch.inference_mode()
    def act(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any, explore: bool
    ) -> tuple[Array, Any]:
        output, carry = self._policy_step(obs_NO, prev_action_NA, prev_reward_N, start_N, carry, explore)
        output = output.cpu()
        action = self.actions.draw(output, self._rng) if explore else self.actions.best(output)
        return action.numpy(), carry

    @torch.no_grad()
    def look_back(self, batch: EpisodeBatch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        losses, full = super().look_back(batch)
        if len(self.actor_parts.auxiliary):
            with self._autocast():
                _, actor_views = self._look(batch, self.state_views(batch))
                of_actor = self.actor_parts.row_losses(actor_views, batch)
            losses |= {f"actor_{name}": loss for name, loss in of_actor.items()}
        return losses, full

    def _part_views(self, batch: EpisodeBatch) -> Views:
        return self.critic.views(batch, self.state_views(batch))

    def _look(self, batch: EpisodeBatch, given: Views) -> tuple[Views, Views]:
        """The views of critic and actor, the parts' and the actor's output `policy` among them."""
        critic_views = self.critic.views(batch, given)
        self.parts.extend(critic_views, batch)
        actor_views = self._actor_views(batch, given, critic_views)
        actor_views["policy"] = self.policy.head(actor_views, batch)
        self.actor_parts.extend(actor_views, batch)
        return critic_views, actor_views

    def _actor_views(self, batch: EpisodeBatch, given: Views, critic_views: Views) -> Views:
        """The actor's own; a family in which it may share the critics' says so."""
        return given | self.policy.public(batch)
