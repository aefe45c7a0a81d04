"""Recurrent DQN and Asymmetric DQN: one algorithm, whose variants differ in what a critic may see.

Without a critic: Q(h) learns by (double) Q-learning over whole episodes. With one, Asymmetric DQN (Baisero, Daley &
Amato, UAI 2022): U(h, s), or the state-only U(s), supplies the bootstrap value of Q's greedy action, and both regress
to the same target of the same time step; or, with reduced variance, Q regresses to U itself.
"""

from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.agents.assembly import (
    check_folds,
    critic_trunk,
    frozen_views,
    make_extensions,
    policy_head,
    shares_memory,
)
from policies.agents.base import Array
from policies.agents.exploration import EpsilonGreedy
from policies.agents.learner import Learner, linear
from policies.extensions import Extensions
from policies.losses import lambda_returns, last_steps, masked_mean, spread, taken
from policies.models.heads import Critic
from policies.models.policy import HistoryPolicy
from policies.models.sources import Sources
from policies.models.trunk import Trunk
from policies.models.views import PrivilegedViews, Views
from torchkit.actions import Actions, ActionValues
from utils.errors import UserError, choose_name
from utils.reads import ANY, FROM_ZERO, POSITIVE, SHARE, Reads

Q_TARGETS = ("return", "critic", "released")


class ValueNetworks(nn.Module):
    """Q(history views), and for asymmetric learning U(views, the state's among them)."""

    def __init__(self, policy: HistoryPolicy, critic: Critic | None):
        super().__init__()
        self.policy, self.critic = policy, critic

    def forward(self, batch: EpisodeBatch, state_views: Views) -> tuple[Views, Tensor, Tensor | None]:
        """Views, the state's among them, Q and U of every row: (T+1, B, F), (T+1, B, A), (T+1, B, A) or None."""
        views = self.policy.public(batch) | state_views
        q = self.policy.head(views, batch)
        u = None if self.critic is None else self.critic(self.critic.views(batch, views), batch)[0]
        return views, q, u


class DQN(Learner):
    """ε-greedy on Q, trained on replayed episodes; see the module's docstring.

    Args:
        networks: the online networks; a target copy is made here.
        state_views, extensions, config, seed: see `Learner`; settings are those of configs/rl/dqn.py.
    """

    learns_from = "replayed_envs"
    steps_apart = True
    discrete_actions = ActionValues()
    reads: ClassVar[Reads] = {
        **dict.fromkeys(("lr", "predictor_lr", "aux_batch_size"), POSITIVE),
        **dict.fromkeys(("discount", "return_lambda", "exploration.start", "exploration.end"), SHARE),
        **dict.fromkeys(("exploration.zeta", "exploration.steps"), FROM_ZERO),
        **dict.fromkeys(("exploration.weights", "cut_traces", "double_q", "q_target"), ANY),
        **dict.fromkeys(("vr_all_actions", "critic_inputs", "critic_memory"), ANY),
    }
    under_vmap = True

    def __init__(
        self,
        networks: ValueNetworks,
        state_views: PrivilegedViews,
        extensions: Extensions,
        config: ConfigDict,
        num_actions: int,
        seed: int,
        device: torch.device,
    ):
        super().__init__(networks.policy, state_views, extensions, config, seed)
        self.online = networks
        self.exploration = EpsilonGreedy(num_actions, config.exploration.zeta, self._rng, config.exploration.weights)
        self._settle(device)
        self.target = self._copy_of(self.online)
        self._follow(self.target, self.online)
        if config.deploy == "average":
            self._deployed = [self.target.policy]
        self._train_with("values", [*self.online.parameters(), *self.extensions.learned()], config.lr)
        if self.wants_aux_batch:
            self._train_with("predictor", self.extensions.learned(), config.predictor_lr)

    @classmethod
    def build(cls, sources: Sources, actions: Actions, seed: int, device: torch.device) -> Self:
        """A DQN of any variant."""
        rl, spec = sources.config.rl, sources.spec
        choose_name(Q_TARGETS, rl.q_target, "--config_rl.q_target")
        shares_memory(rl)  # a wrong name is refused with or without a critic
        if rl.q_target != "return" and not rl.critic_inputs:
            raise UserError(f"--config_rl.q_target={rl.q_target}: needs a critic, name its views in critic_inputs")
        trunk, critic = Trunk(sources, actions), None
        head = policy_head(trunk)
        if rl.critic_inputs:
            own = critic_trunk(trunk)
            critic_head = own.head(rl.critic_inputs, spec.action_dim)
            critic = Critic(None if own is trunk else own.public(), own.privileged(), [critic_head])
            untrained = [view for view, fold in own.folds.items() if fold.trained_by is not None]
            if own is not trunk and untrained:
                raise UserError(
                    f"--config_rl.critic_memory=separate: nothing would train the critic's own {untrained[0]}; choose "
                    "shared"
                )
        check_folds(trunk, rl.auxiliary.use, "use")
        extensions = make_extensions(trunk, rl.auxiliary.use, rl.intrinsic.use)
        networks = ValueNetworks(HistoryPolicy(trunk.public(), head, actions), critic)
        return cls(networks, frozen_views(sources), extensions, rl, spec.action_dim, seed, device)

    @cached_property
    def _carry_size(self) -> int:
        """The parts of the policy's own carry."""
        return len(self.policy.public.initial_carry(1))

    def epsilon(self) -> float:
        """The exploration rate now."""
        settings = self.config.exploration
        return linear(settings.start, settings.end, settings.steps, self.env_steps)

    def packed(self, carry: Any) -> Array:
        return super().packed(carry[len(carry) - self._carry_size :])  # without what exploration keeps

    def _explored(self, output: Tensor) -> Tensor:
        """As if each random action were one step long."""
        share = self.epsilon()
        greedy = torch.nn.functional.one_hot(output.argmax(-1), output.shape[-1]).to(output.dtype)
        return greedy * (1 - share) + share * self.exploration.share_A.to(output)

    @torch.inference_mode()
    def act(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any, explore: bool
    ) -> tuple[Array, Any]:
        kept_2N = None
        if carry is not None and len(carry) > self._carry_size:  # as an exploring step left it
            kept_2N, *carry = carry
        output, carry = self._policy_step(obs_NO, prev_action_NA, prev_reward_N, start_N, carry, explore)
        action_N = self.policy.greedy(output).cpu()
        if not explore:
            return action_N.numpy(), carry
        action_N, kept_2N = self.exploration(action_N, self.epsilon(), torch.from_numpy(np.asarray(start_N)), kept_2N)
        return action_N.numpy(), carry if kept_2N is None else (kept_2N, *carry)

    def losses(self, batch: EpisodeBatch, metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        with batch.encoding_once():
            with self._autocast():
                state_views = self.state_views(batch)
                views, q_TBA, u_TBA = self._look(batch, state_views)
            with torch.no_grad(), self._autocast():
                acting_views, acting_q_TBA = views, q_TBA
                if self.has_dropout:
                    acting_views, acting_q_TBA = self._without_dropout(batch, state_views)
                bonus_TB = self._bonus(acting_views, batch, metrics, acting_q_TBA)
                targets = self._targets(acting_q_TBA, batch, state_views, bonus_TB)

        metrics["loss/td"] = loss = masked_mean(self._q_error(q_TBA[:-1], targets, batch), batch.mask)
        if u_TBA is not None:
            error_TB = (taken(u_TBA[:-1], batch.action) - targets.returns_TB).square()
            metrics["loss/critic"] = critic_loss = masked_mean(error_TB, batch.mask)
            loss = loss + critic_loss
        metrics["q/taken"] = masked_mean(taken(q_TBA[:-1], batch.action), batch.mask)
        metrics["q/target"] = masked_mean(targets.returns_TB, batch.mask)
        metrics["policy/spread"] = spread(q_TBA[:-1], batch.mask)
        metrics["q/max"] = masked_mean(q_TBA[:-1].amax(-1), batch.mask)
        return {"values": loss + self.extensions.total(views, batch, metrics)}

    def _learning(self) -> tuple[nn.Module, ...]:
        return (self.online,)

    def _look(self, batch: EpisodeBatch, state_views: Views) -> tuple[Views, Tensor, Tensor | None]:
        """All views, the extensions' among them, Q and U."""
        views, q_TBA, u_TBA = self.online(batch, state_views)
        self.extensions.extend(views, batch)
        return views, q_TBA, u_TBA

    def _without_dropout(self, batch: EpisodeBatch, state_views: Views) -> tuple[Views, Tensor]:
        """Views and Q as the acting agent computes them, for bonuses and for the choice of actions in the targets."""
        with self._as_acting():
            views, q_TBA, _ = self._look(batch, state_views)
        return views, q_TBA

    def _part_views(self, batch: EpisodeBatch) -> Views:
        return self.online.policy.public(batch) | self.state_views(batch)

    def _targets(self, q_online_TBA: Tensor, batch: EpisodeBatch, state_views: Views, bonus_TB: Tensor) -> "Targets":
        """λ-returns with the target networks' bootstrap values, U's where there is a critic."""
        _, q_target_TBA, u_target_TBA = self.target(batch, state_views)
        select_TBA = q_online_TBA if self.config.double_q else q_target_TBA
        evaluate_TBA = q_target_TBA if u_target_TBA is None else u_target_TBA
        best_TB = select_TBA.argmax(dim=-1)
        greedy_TB = best_TB[:-1] == batch.action
        keep_TB = greedy_TB if self.config.cut_traces else torch.ones_like(greedy_TB)
        next_TB = taken(evaluate_TBA, best_TB)[1:]
        returns_TB = lambda_returns(
            batch.reward + bonus_TB,
            self.config.discount * batch.discount,
            next_TB,
            keep_TB.to(batch.reward.dtype),
            last_steps(batch.mask),
            self.config.return_lambda,
        )
        return Targets(returns_TB, evaluate_TBA[:-1], next_TB)

    def _q_error(self, q_TBA: Tensor, targets: "Targets", batch: EpisodeBatch) -> Tensor:
        """The squared error (T, B) of Q by what `q_target` says it regresses to."""
        if self.config.q_target == "return":
            return (taken(q_TBA, batch.action) - targets.returns_TB).square()
        if self.config.q_target == "released":
            return (q_TBA - targets.next_TB[..., None]).square().sum(-1)
        error_TBA = (q_TBA - targets.now_TBA).square()
        return error_TBA.mean(-1) if self.config.vr_all_actions else taken(error_TBA, batch.action)


class Targets(NamedTuple):
    """What Q and U may regress to: returns, and the target critic's values of this row and the next."""

    returns_TB: Tensor
    now_TBA: Tensor
    next_TB: Tensor
