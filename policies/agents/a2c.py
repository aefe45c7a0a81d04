"""Recurrent Advantage Actor-Critic on whole fresh episodes, whose variants differ in what the critic may see.

V(h) is the symmetric one, V(h, s) unbiased asymmetric learning (Baisero & Amato, AAMAS 2022), V(h, i) its
generalisation to any signal i that depends on the state (informed asymmetric actor-critic, Ebi et al., 2026), V(s) the
biased one. The critic learns by temporal differences from a frozen copy, which is replaced every so many updates.
"""

from typing import Any, ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor

from buffers.batch import EpisodeBatch
from policies.agents.actor_critic import ActorCritic, Networks
from policies.agents.assembly import critic_trunk, policy_head
from policies.agents.learner import linear
from policies.losses import lambda_returns, last_steps, masked_mean, policy_gradient, spread
from policies.models.sources import Sources
from policies.models.trunk import Trunk
from policies.models.views import Views
from torchkit.actions import Actions
from utils.checkpoint import whole
from utils.errors import UserError
from utils.reads import ANY, FROM_ZERO, POSITIVE, Reads


class A2C(ActorCritic):
    """See the module's docstring, and `Networks` for what it learns with; settings are those of configs/rl/a2c.py.

    The critic is V, with views of its own; a frozen copy is made here.
    """

    learns_from = "fresh_episodes"
    reads: ClassVar[Reads] = {
        "target_interval": POSITIVE,
        **dict.fromkeys(("entropy.start", "entropy.end", "entropy.steps"), FROM_ZERO),
        "discounted_gradient": ANY,
    }

    def __init__(self, networks: Networks, config: ConfigDict, seed: int, device: torch.device):
        super().__init__(networks, config, seed)
        self.updates = 0
        self._settle(device)
        self.target = self._copy_of(self.critic)
        self._train_with("critic", [*self.critic.parameters(), *self.extensions.learned()], config.critic_lr)
        self._train_with("actor", [*self.actor.parameters(), *self.actor_extensions.learned()], config.actor_lr)

    @classmethod
    def build(cls, sources: Sources, actions: Actions, seed: int, device: torch.device) -> Self:
        """An A2C of any variant."""
        rl = sources.config.rl
        if rl.updates_per_step:
            raise UserError("--updates_per_step: a2c learns once from each batch of fresh episodes; leave the flag out")
        if rl.critic_memory == "shared":
            raise UserError("--config_rl.critic_memory: a2c's critic has a memory of its own; choose separate")
        trunk = Trunk(sources, actions)
        head = policy_head(trunk)
        own = critic_trunk(trunk)
        return cls(Networks.of(trunk, head, own, [own.head(rl.critic_inputs, 1)]), rl, seed, device)

    def entropy_weight(self) -> float:
        """What the entropy is worth now."""
        settings = self.config.entropy
        return linear(settings.start, settings.end, settings.steps, self.env_steps)

    def losses(self, batch: EpisodeBatch, metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of episodes that the present policy has played."""
        with self._autocast():
            state_views = self.state_views(batch)
            critic_views, actor_views = self._look(batch, state_views)
            value_TB = self.critic(critic_views, batch)[0].squeeze(-1)
        with torch.no_grad():
            with self._autocast():
                acting_views, acting_output = critic_views, actor_views["policy"]
                if self.has_dropout:
                    acting_views, acting_output = self._without_dropout(batch, state_views)
                frozen_TB = self.target(self.target.views(batch, state_views), batch)[0].squeeze(-1)
            bonus_TB = self._bonus(acting_views, batch, metrics, acting_output)
            target_TB = lambda_returns(
                batch.reward + bonus_TB,
                self.config.discount * batch.discount,
                frozen_TB[1:],
                torch.ones_like(batch.reward),
                last_steps(batch.mask),
                self.config.return_lambda,
            )
            advantage_TB = target_TB - value_TB[:-1]
        output = actor_views["policy"][:-1]
        log_prob_TB, entropy_TB = self.actions.log_prob(output, batch.action), self.actions.entropy(output)
        discount = self.config.discount if self.config.discounted_gradient else 1.0
        metrics["loss/td"] = masked_mean((value_TB[:-1] - target_TB).square(), batch.mask)
        metrics["loss/actor"] = masked_mean(policy_gradient(log_prob_TB, advantage_TB, discount), batch.mask)
        metrics["policy/entropy"] = masked_mean(entropy_TB, batch.mask)
        metrics["policy/spread"] = spread(output, batch.mask)
        weight = self.entropy_weight()
        losses = {
            "critic": metrics["loss/td"] + self.extensions.total(critic_views, batch, metrics),
            "actor": metrics["loss/actor"]
            - weight * metrics["policy/entropy"]
            + self.actor_extensions.total(actor_views, batch, metrics, "actor_"),
        }
        metrics["q/target"] = masked_mean(target_TB, batch.mask)
        metrics["policy/entropy_weight"] = torch.tensor(weight)
        return losses

    def refresh_targets(self) -> None:
        super().refresh_targets()
        self.target.load_state_dict(self.critic.state_dict())

    def _after_step(self) -> None:
        super()._after_step()
        self.updates += 1
        if self.updates % self.config.target_interval == 0:
            self.target.load_state_dict(self.critic.state_dict())

    def checkpoint(self) -> dict[str, Any]:
        return super().checkpoint() | {"updates": self.updates}

    def load_checkpoint(self, state: dict[str, Any]) -> None:
        super().load_checkpoint(state)
        self.updates = whole(state["updates"], "updates")

    def _without_dropout(self, batch: EpisodeBatch, state_views: Views) -> tuple[Views, Tensor]:
        """The critic's views and the acting head's output as the acting agent computes them: for bonuses."""
        with self._as_acting():
            critic_views, actor_views = self._look(batch, state_views)
        return critic_views, actor_views["policy"]
