"""Recurrent Soft Actor-Critic with twin critics, whose variants differ in what actor and critics may see.

Haarnoja et al. (2018) over whole stored episodes: continuous actions by a Gaussian under tanh, discrete ones by a
softmax, whose expectations are then sums. Actor and critics keep memories of their own, or share the critics'.
"""

from typing import ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.agents.actor_critic import ActorCritic, Networks, detached
from policies.agents.assembly import critic_trunk, policy_head
from policies.losses import lambda_returns, last_steps, masked_mean, spread, taken
from policies.models.encoders import vector_embedder
from policies.models.sources import Sources
from policies.models.trunk import Trunk
from policies.models.views import Views, after_steps, before_steps
from torchkit.actions import Actions
from utils.errors import UserError, at_least_one
from utils.reads import ANY, POSITIVE, SHARE, Reads


class SAC(ActorCritic):
    """See the module's docstring, and `Networks` for what it learns with; settings are those of configs/rl/sac.py.

    Where the policy's public views are also the critic's, the critics' loss alone trains them. A target copy of the
    critics is made here.
    """

    learns_from = "replayed_envs"
    steps_apart = True
    reads: ClassVar[Reads] = {
        **dict.fromkeys(("predictor_lr", "aux_batch_size", "temperature.initial", "temperature.lr"), POSITIVE),
        "temperature.target_share": SHARE,
        **dict.fromkeys(("action_dim", "temperature.auto", "temperature.target_entropy"), ANY),
    }

    def __init__(self, networks: Networks, config: ConfigDict, action_dim: int, seed: int, device: torch.device):
        super().__init__(networks, config, seed)
        policy, critic, extensions = self.actor, self.critic, self.extensions
        self.shared = critic.public is policy.public
        self.target_entropy = target_entropy(config.temperature, action_dim, self.discrete)
        self.log_alpha = nn.Parameter(torch.tensor(float(config.temperature.initial)).log())
        self._settle(device)
        self.target = self._copy_of(critic)
        self._follow(self.target, critic)
        if config.deploy == "average":
            self.average = self._copy_of(policy)
            self._follow(self.average, policy)
            self._deployed = [self.average]
        actor = policy.head if self.shared else policy
        self._train_with("critic", [*critic.parameters(), *extensions.learned()], config.critic_lr)
        self._train_with("actor", [*actor.parameters(), *self.actor_extensions.learned()], config.actor_lr)
        self._train_with("temperature", [self.log_alpha], config.temperature.lr)
        if self.wants_aux_batch:
            self._train_with("predictor", extensions.learned(), config.predictor_lr)

    @classmethod
    def build(cls, sources: Sources, actions: Actions, seed: int, device: torch.device) -> Self:
        """A SAC of any variant."""
        rl, spec = sources.config.rl, sources.spec
        at_least_one({"--config_rl.action_dim": rl.action_dim})
        trunk = Trunk(sources, actions)
        head = policy_head(trunk)
        own = critic_trunk(trunk)
        if own is trunk and (left_out := sorted(set(rl.policy_inputs) - set(rl.critic_inputs))):
            raise UserError(
                "--config_rl.critic_memory=shared: the critics' loss alone trains what both read, and critic_inputs "
                f"lack {', '.join(left_out)}; choose separate"
            )
        if spec.discrete:
            heads = [own.head(rl.critic_inputs, spec.action_dim) for _ in range(2)]
            action_embedder = None
        else:
            heads = [own.head(rl.critic_inputs, 1, action=rl.action_dim) for _ in range(2)]
            action_embedder = vector_embedder(spec.action_dim, rl.action_dim)
        return cls(Networks.of(trunk, head, own, heads, action_embedder), rl, spec.action_dim, seed, device)

    def losses(self, batch: EpisodeBatch, metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        alpha = self.log_alpha.detach().exp()
        with batch.encoding_once():
            with self._autocast():
                state_views = self.state_views(batch)
                critic_views, actor_views = self._look(batch, state_views)
                stored = self._values(self.critic, before_steps(critic_views), batch, batch.action)
                action, log_prob = self.actions.fresh(actor_views["policy"])
                if self.discrete:
                    expected = torch.stack(stored).amin(0).detach()
                else:
                    seen = before_steps(detached(critic_views))
                    expected = torch.stack(self._values(self.critic, seen, batch, action[:-1])).amin(0)
            with torch.no_grad(), self._autocast():
                acting_views, output, next_action, next_log_prob = critic_views, actor_views["policy"], action, log_prob
                if self.has_dropout:
                    acting_views, output, next_action, next_log_prob = self._without_dropout(batch, state_views)
                bonus_TB = self._bonus(acting_views, batch, metrics, output)
                ahead = after_steps(self.target.views(batch, state_views))
                target_values = self._values(self.target, ahead, batch, next_action[1:])
                value_TB = self._expected(torch.stack(target_values).amin(0), next_log_prob[1:])
                discount_TB = self.config.discount * batch.discount
                entropy_TB = self._expected(-alpha * next_log_prob, next_log_prob)[1:]  # to come, weighted
                target_TB = lambda_returns(
                    batch.reward + bonus_TB + discount_TB * entropy_TB,
                    discount_TB,
                    value_TB,
                    torch.ones_like(batch.reward),
                    last_steps(batch.mask),
                    self.config.return_lambda,
                )
        taken_values = [taken(q, batch.action) if self.discrete else q for q in stored]
        errors = [masked_mean((q_TB - target_TB).square(), batch.mask) for q_TB in taken_values]
        metrics["loss/td"] = torch.stack(errors).sum()
        log_prob = log_prob[:-1]
        actor_TB = self._expected(alpha * log_prob - expected, log_prob)
        metrics["loss/actor"] = masked_mean(actor_TB, batch.mask)
        entropy = masked_mean(self._expected(-log_prob, log_prob), batch.mask).detach()
        losses = {
            "critic": metrics["loss/td"] + self.extensions.total(critic_views, batch, metrics),
            "actor": metrics["loss/actor"] + self.actor_extensions.total(actor_views, batch, metrics, "actor_"),
        }
        if self.config.temperature.auto:
            losses["temperature"] = self.log_alpha.exp() * (entropy - self.target_entropy)
        metrics |= {"policy/entropy": entropy, "policy/temperature": alpha}
        metrics["policy/spread"] = spread(actor_views["policy"][:-1], batch.mask)
        metrics["q/taken"] = masked_mean(taken_values[0], batch.mask)
        metrics["q/target"] = masked_mean(target_TB, batch.mask)
        return losses

    def _actor_views(self, batch: EpisodeBatch, state_views: Views, critic_views: Views) -> Views:
        return detached(critic_views) if self.shared else super()._actor_views(batch, state_views, critic_views)

    def _without_dropout(self, batch: EpisodeBatch, state_views: Views) -> tuple[Views, Tensor, Tensor, Tensor]:
        """The critic's views, the acting head's output and fresh actions of it with their log-probability.

        As the acting agent computes them, for bonuses and targets.
        """
        with self._as_acting():
            critic_views, actor_views = self._look(batch, state_views)
        return critic_views, actor_views["policy"], *self.actions.fresh(actor_views["policy"])


def target_entropy(temperature: ConfigDict, action_dim: int, discrete: bool) -> float:
    """The entropy in nats that the temperature is to hold.

    Of continuous actions `target_entropy` a dimension; of discrete ones the share `target_share` of log A.
    """
    if discrete:
        return temperature.target_share * float(torch.tensor(float(action_dim)).log())
    return temperature.target_entropy * action_dim
