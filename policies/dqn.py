"""Recurrent DQN and Asymmetric DQN: one algorithm, whose variants differ in what a critic may see.

Without a critic: Q(h) learns by (double) Q-learning over whole episodes. With one, Asymmetric DQN (Baisero, Daley &
Amato, UAI 2022): U(h, s), or the state-only U(s), supplies the bootstrap value of Q's greedy action, and both regress
to the same target of the same time step.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.agent import Agent, Array, HistoryPolicy, to_tensors
from policies.losses import lambda_returns, last_steps, masked_mean, taken
from policies.parts import AuxiliaryLoss, IntrinsicReward
from policies.views import Head, PrivilegedViews, Views
from utils.errors import DivergenceError


class ValueNetworks(nn.Module):
    """Q(history views), and for asymmetric learning U(views, the state's among them)."""

    def __init__(self, policy: HistoryPolicy, critic: Head | None, privileged: PrivilegedViews):
        super().__init__()
        self.policy, self.critic, self.privileged = policy, critic, privileged

    def forward(self, batch: EpisodeBatch) -> tuple[Views, Tensor, Tensor | None]:
        """All views, Q and U of every row: (T+1, B, F), (T+1, B, A), (T+1, B, A) or None."""
        views = self.policy.public(batch)
        q = self.policy.head(views, batch)
        if self.critic is None:
            return views, q, None
        views |= self.privileged(batch)
        return views, q, self.critic(views, batch)


class DQN(Agent):
    """ε-greedy on Q, trained on replayed episodes; see the module's docstring.

    Args:
        networks: the online networks; a target copy is made here.
        state_target: φ, for parts that are held against z^s.
        auxiliary: losses by name. intrinsic: bonuses by name, with their weights.
        config: the family's settings (configs/rl/dqn.py).
    """

    def __init__(
        self,
        networks: ValueNetworks,
        state_target: PrivilegedViews,
        auxiliary: Mapping[str, AuxiliaryLoss],
        intrinsic: Mapping[str, tuple[IntrinsicReward, float]],
        config: ConfigDict,
        num_actions: int,
        seed: int,
        device: torch.device,
    ):
        super().__init__()
        self.config, self.num_actions, self.device = config, num_actions, device
        self.online, self.state_target = networks, state_target
        self.auxiliary, self.intrinsic = nn.ModuleDict(auxiliary), intrinsic
        self._losses = dict(auxiliary)  # the same, with their types
        self.to(device)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.eval()
        self._has_dropout = any(getattr(module, "dropout", 0) for module in self.online.modules())
        self.wants_aux_batch = config.predictor_step == "separate" and len(self.auxiliary) > 0
        self._trained = [p for p in [*self.online.parameters(), *self.auxiliary.parameters()] if p.requires_grad]
        self._optimiser = torch.optim.Adam(self._trained, lr=config.lr, eps=config.adam_eps, fused=True)
        if self.wants_aux_batch:
            predictors = self.auxiliary.parameters()
            self._predictor_optimiser = torch.optim.Adam(predictors, lr=config.predictor_lr, fused=True)
        self._target_parameters: list[Tensor] = list(self.target.parameters())
        self._online_parameters: list[Tensor] = list(self.online.parameters())
        self._rng = torch.Generator().manual_seed(seed)

    @property
    def policy(self) -> HistoryPolicy:
        """The module that acts."""
        return self.online.policy

    def epsilon(self) -> float:
        """The exploration rate now: linear from `start` to `end` over `steps` env steps."""
        settings = self.config.exploration
        done = min(1.0, self.env_steps / max(1, settings.steps))
        return settings.start + done * (settings.end - settings.start)

    @torch.inference_mode()
    def act(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any, explore: bool
    ) -> tuple[Array, Any]:
        carry = None if carry is None else tuple(c.to(self.device) for c in carry)  # a checkpoint's are on the CPU
        q_NA, carry = self.policy.step(to_tensors(self.device, obs_NO, prev_action_NA, prev_reward_N, start_N), carry)
        action_N = q_NA.argmax(dim=-1).cpu()
        if explore:
            draw_N = torch.rand(len(action_N), generator=self._rng)
            random_N = torch.randint(self.num_actions, (len(action_N),), generator=self._rng)
            action_N = torch.where(draw_N < self.epsilon(), random_N, action_N)
        return action_N.numpy(), carry

    def update(self, batch: EpisodeBatch, aux_batch: EpisodeBatch | None = None) -> dict[str, Tensor]:
        self.online.train()
        metrics: dict[str, Tensor] = {}
        if aux_batch is not None:
            metrics["loss/predictor_step"] = self._predictor_step(aux_batch)
        with self._autocast():
            views, q_TBA, u_TBA = self.online(batch)
            views |= self.state_target(batch)
            for part in self._losses.values():
                part.extend(views, batch)
        with torch.no_grad():
            seen, judged_TBA = self._without_dropout(batch) if self._has_dropout else (views, q_TBA)
            bonus_TB = self._bonus(seen, batch, metrics)
            target_TB = self._targets(judged_TBA, batch, bonus_TB)

        loss = masked_mean((taken(q_TBA[:-1], batch.action) - target_TB).square(), batch.mask)
        metrics["loss/td"] = loss.detach()
        if u_TBA is not None:
            critic_loss = masked_mean((taken(u_TBA[:-1], batch.action) - target_TB).square(), batch.mask)
            metrics["loss/critic"] = critic_loss.detach()
            loss = loss + critic_loss
        for name, part in self._losses.items():
            auxiliary_loss = masked_mean(part.loss(views, batch), batch.row_mask)
            metrics[f"loss/{name}"] = auxiliary_loss.detach()
            loss = loss + part.loss_weight * auxiliary_loss
        metrics["grad_norm"] = self._step(loss)
        metrics["q/taken"] = masked_mean(taken(q_TBA.detach()[:-1], batch.action), batch.mask)
        metrics["q/target"] = masked_mean(target_TB, batch.mask)
        metrics["q/max"] = masked_mean(q_TBA.detach()[:-1].amax(-1), batch.mask)
        self.online.eval()
        return metrics

    def _without_dropout(self, batch: EpisodeBatch) -> tuple[Views, Tensor]:
        """Views and Q as the acting agent computes them, for bonuses and for the choice of actions in the targets."""
        self.online.eval()
        with self._autocast():
            views, q_TBA, _ = self.online(batch)
            views |= self.state_target(batch)
            for part in self._losses.values():
                part.extend(views, batch)
        self.online.train()
        return views, q_TBA

    def _autocast(self) -> torch.autocast:
        """bfloat16 for the large products of a forward pass, where the config asks for it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _bonus(self, views: Views, batch: EpisodeBatch, metrics: dict[str, Tensor]) -> Tensor:
        """The weighted sum of all intrinsic rewards (T, B)."""
        total_TB = torch.zeros_like(batch.reward)
        for name, (part, weight) in self.intrinsic.items():
            bonus_TB = part.reward(views, batch)
            metrics[f"bonus/{name}"] = masked_mean(bonus_TB, batch.mask)
            metrics[f"bonus/{name}_abs"] = masked_mean(bonus_TB.abs(), batch.mask)
            total_TB = total_TB + weight * bonus_TB
        return total_TB

    def _targets(self, q_online_TBA: Tensor, batch: EpisodeBatch, bonus_TB: Tensor) -> Tensor:
        """λ-returns (T, B) with the target networks' bootstrap values; U's where there is a critic."""
        with self._autocast():
            _, q_target_TBA, u_target_TBA = self.target(batch)
        select_TBA = q_online_TBA if self.config.double_q else q_target_TBA
        evaluate_TBA = q_target_TBA if u_target_TBA is None else u_target_TBA
        best_TB = select_TBA.argmax(dim=-1)
        greedy_TB = best_TB[:-1] == batch.action
        keep_TB = greedy_TB if self.config.cut_traces else torch.ones_like(greedy_TB)
        return lambda_returns(
            batch.reward + bonus_TB,
            self.config.discount * batch.discount,
            taken(evaluate_TBA, best_TB)[1:],
            keep_TB.to(batch.reward.dtype),
            last_steps(batch.mask),
            self.config.return_lambda,
        )

    def _predictor_step(self, batch: EpisodeBatch) -> Tensor:
        """The released code's own step of the predictors, on a batch of their own and with the memory left alone."""
        with torch.no_grad():
            views = self.online.policy.public(batch) | self.state_target(batch)
        loss = torch.zeros((), device=self.device)
        for part in self._losses.values():
            part.extend(views, batch)
            loss = loss + masked_mean(part.loss(views, batch), batch.row_mask)
        if not torch.isfinite(loss):
            raise DivergenceError(f"the loss of the predictor step is {loss.item()}")
        self._predictor_optimiser.zero_grad()
        loss.backward()
        self._predictor_optimiser.step()
        return loss.detach()

    def _step(self, loss: Tensor) -> Tensor:
        """One optimiser step and the target networks' Polyak step; returns the gradient norm before clipping."""
        self._optimiser.zero_grad()
        loss.backward()
        grad_norm = nn.utils.clip_grad_norm_(self._trained, self.config.max_grad_norm)
        if not torch.isfinite(grad_norm):
            raise DivergenceError(f"the loss is {loss.item()} and its gradient norm {grad_norm.item()}")
        self._optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(self._target_parameters, self._online_parameters, self.config.tau)
        return grad_norm.detach()

    def checkpoint(self) -> dict[str, Any]:
        optimisers = [self._optimiser] + ([self._predictor_optimiser] if self.wants_aux_batch else [])
        return {
            "modules": self.state_dict(),
            "optimisers": [o.state_dict() for o in optimisers],
            "rng": self._rng.get_state(),
            "env_steps": self.env_steps,
        }

    def load_checkpoint(self, state: dict[str, Any]) -> None:
        optimisers = [self._optimiser] + ([self._predictor_optimiser] if self.wants_aux_batch else [])
        self.load_state_dict(state["modules"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self._rng.set_state(state["rng"])
        self.env_steps = state["env_steps"]
