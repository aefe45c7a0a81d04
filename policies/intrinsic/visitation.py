"""Pay for how widely spread is what will be visited: r_int = H(q(· | h, a)) (Bolland, Lambrechts & Ernst, 2024; 2026).

q(z | c, a) = (1-γ) Σ_{Δ≥1} γ^{Δ-1} Pr(z_{t+Δ} = z | c_t = c, a_t = a, π) is the measure of what the policy will come by
after an action, learned off-policy as the fixed point of a contraction. An episode that has ended stays where it is, so
that nothing more is uncertain: -KL to the uniform distribution, the papers' reward, less what it is there. Beside it
the marginal measure, of what an episode comes by, whose reward is -log q(z).

Dimension key: T steps, B batch, A actions, F features of the condition, K cells.
"""

import copy
import math
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, NamedTuple, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch, Rows
from policies.extensions import IntrinsicReward
from policies.intrinsic.cells import WHOLE, Cells, rows_of
from policies.losses import VISIT_CORRECTIONS, masked_mean, taken, visit_targets
from policies.models.trunk import Trunk
from torchkit.fast.adam import Adam
from torchkit.networks import mlp
from utils.errors import UserError, choose_name
from utils.reads import ANY, POSITIVE, SHARE, WIDTH, Reads

FLAG = "--config_rl.intrinsic"
ESTIMATES = ("exact", "sampled")
BELOW_UNIFORM = 1000.0  # a sampled reward is at most that of a cell so many times less likely than by chance


class Looked(NamedTuple):
    """What an update has made of a batch: cells (T+1, B), log q of the actions taken and its targets (T, B, K)."""

    batch: EpisodeBatch
    log_q_TBK: Tensor
    target_TBK: Tensor


class FutureVisitation(IntrinsicReward):
    """The entropy, in nats, of the learned measure of what will be visited.

    `condition` says what it is given beside the action, `features` what is counted. `steps` is N of the N-step targets,
    `correction` what is done about stored actions that are not the policy's: `none`, as published, which biases N > 1;
    `tree`, which lets a target go on along the stored actions by their probability under the policy (tree backup;
    Precup, Sutton & Singh, 2000) and needs no probabilities of the behaviour, which no replay has. `estimate` is
    `exact`, the entropy over all cells, or `sampled`: -log q of one cell that is drawn from the target, which is paid
    within 0 and log(1000 K) of the K cells that were found. With `relative` the reward is less log K, as published: -KL
    to the uniform distribution, never above 0. Since nothing is paid after a true ending, to end is then to be spared
    it, where else it is to lose it, as in a state that is never left.
    """

    of_policy = True
    reads: ClassVar[Reads] = {
        **Cells.reads,
        **dict.fromkeys(("condition", "correction", "estimate", "relative"), ANY),
        **dict.fromkeys(("hidden_dims", "steps"), WIDTH),
        "lr": POSITIVE,
        "tau": SHARE,
    }

    def __init__(
        self, cells: Cells, condition_dim: int, action_dim: int, discrete: bool, discount: float, settings: ConfigDict
    ):
        super().__init__()
        name = f"{FLAG}.future_visitation"
        self.condition = choose_name(WHOLE, settings.condition, f"{name}.condition")
        self.correction = choose_name(VISIT_CORRECTIONS, settings.correction, f"{name}.correction")
        self.estimate = choose_name(ESTIMATES, settings.estimate, f"{name}.estimate")
        self.relative = settings.relative
        self.steps, self.tau, self.lr, self.discount = settings.steps, settings.tau, settings.lr, discount
        self.cells, self.discrete, self.num_actions = cells, discrete, action_dim
        sizes = (condition_dim, action_dim * cells.num) if discrete else (condition_dim + action_dim, cells.num)
        self.model = mlp(sizes[0], settings.hidden_dims, sizes[1])
        self.slow = copy.deepcopy(self.model).requires_grad_(False)
        self._looked: Looked | None = None

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        cells, spec = Cells.build(trunk, settings, f"{FLAG}.future_visitation"), trunk.spec
        dims = {"state": spec.state_dim, "observation": spec.obs_dim}
        condition_dim = dims.get(settings.condition) or trunk.width("history")
        return cls(cells, condition_dim, spec.action_dim, spec.discrete, discount_of_visits(trunk), settings)

    @cached_property
    def adam(self) -> Adam:
        """Of the model; made where the agent is."""
        return Adam(self.model.parameters(), self.lr)

    def optimisers(self) -> dict[str, Adam]:
        return {"model": self.adam}

    def _logits(self, net: nn.Module, views: Mapping[str, Tensor], batch: EpisodeBatch, action: Tensor) -> Rows:
        """Of the cells given each row and each discrete action (·, A·K), or given the action of each row (·, K)."""
        rows = rows_of(self.condition, views, batch)
        if self.discrete and isinstance(rows, Rows):
            return Rows(net(rows.distinct), rows.place, rows.in_order)
        known = rows.full() if isinstance(rows, Rows) else rows
        if not self.discrete:
            known = torch.cat([known, action.float()], dim=-1)
        return Rows.all_different(batch.on_real_rows(net, known))

    def _of_actions(self, logits: Rows) -> tuple[Tensor, Tensor]:
        """The rows of logits of one action each (·, K), and where those of each row's first action are (T+1, B)."""
        return logits.distinct.view(-1, self.cells.num), logits.place * (self.num_actions if self.discrete else 1)

    def reward(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        entropy_TB = self._entropy(views, batch)
        return entropy_TB - math.log(self.cells.taken) if self.relative else entropy_TB

    def _entropy(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """In nats (T, B), exact or sampled."""
        with torch.autocast(batch.mask.device.type, enabled=False):
            self._looked = None
            if "policy_action" in views:  # in an update, of which `learn` is the end
                self.cells.take_in(batch)
                with torch.enable_grad():
                    self._looked = self._look(views, batch)
                log_q_TBK = self._looked.log_q_TBK.detach()
            else:
                log_q_TBK = self._taken(self.model, views, batch)
            if self.estimate == "exact" or self._looked is None:
                return -(log_q_TBK.exp() * log_q_TBK).sum(-1)
            drawn_TB1 = torch.distributions.Categorical(self._looked.target_TBK).sample()[..., None]
            most = math.log(BELOW_UNIFORM * self.cells.taken)
            return -log_q_TBK.gather(-1, drawn_TB1).squeeze(-1).clamp(-most, 0.0)

    def _taken(self, net: nn.Module, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """The measure's log q(· | c, a) of the actions that were taken (T, B, K)."""
        after = torch.cat([batch.prev_action[1:], torch.zeros_like(batch.prev_action[:1])])
        logits_RK, first_TB = self._of_actions(self._logits(net, views, batch, after))
        row_TB = first_TB[:-1] + (batch.action if self.discrete else 0)
        return self.cells.log_softmax(at_rows(logits_RK, row_TB))

    def _look(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Looked:
        """With gradients through log q alone; targets come from the slow copy."""
        log_q_TBK = self._taken(self.model, views, batch)
        with torch.no_grad():
            policy = views["policy_action"].float()
            kept: tuple[Tensor, Tensor] | tuple[None, None] = (None, None)
            logits_RK, first_TB = self._of_actions(self._logits(self.slow, views, batch, policy))
            slow_RK = self.cells.log_softmax(logits_RK).exp()
            if self.discrete:
                each = torch.arange(self.num_actions, device=first_TB.device)
                ahead = (at_rows(slow_RK, first_TB[..., None] + each) * policy[..., None]).sum(-2)
                if self.correction == "tree":
                    kept = taken(policy[:-1], batch.action), at_rows(slow_RK, first_TB[:-1] + batch.action)
            else:
                ahead = at_rows(slow_RK, first_TB)
            cell = self.cells(views, batch)
            target_TBK = visit_targets(cell, ahead, batch.discount, batch.mask, self.discount, self.steps, *kept)
        return Looked(batch, log_q_TBK, target_TBK)

    def learn(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """A step of the model on the batch whose reward was asked for, then of its slow copy."""
        looked, self._looked = self._looked, None
        assert looked is not None and looked.batch is batch, "an update asks for the reward first"
        loss = masked_mean(-(looked.target_TBK * looked.log_q_TBK).sum(-1), batch.mask)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        with torch.no_grad():
            slow: list[Tensor] = list(self.slow.parameters())
            torch._foreach_lerp_(slow, list(self.model.parameters()), self.tau)
        target_TB = -(looked.target_TBK * looked.target_TBK.clamp(min=1e-30).log()).sum(-1)
        return {"loss": loss.detach(), "divergence": loss.detach() - masked_mean(target_TB, batch.mask)}


def discount_of_visits(trunk: Trunk) -> float:
    """γ of the measure of visits, (1-γ) Σ γ^t Pr(z_t), which there is below 1 alone.

    Raises:
        UserError: it is 1.
    """
    discount = float(trunk.config.rl.discount)
    if discount >= 1:
        raise UserError(f"--config_rl.discount={discount:g}: {FLAG}.use counts visits discounted by less than 1")
    return discount


class MarginalVisitation(IntrinsicReward):
    """-log q(z), in nats, of the row after each step, where q is the discounted measure of stored episodes."""

    reads: ClassVar[Reads] = {**Cells.reads, "lr": POSITIVE, "relative": ANY}

    def __init__(self, cells: Cells, lr: float, discount: float, relative: bool = False):
        super().__init__()
        self.cells, self.lr, self.discount, self.relative = cells, lr, discount, relative
        self.logit_K = nn.Parameter(torch.zeros(cells.num))

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        cells = Cells.build(trunk, settings, f"{FLAG}.marginal_visitation")
        return cls(cells, settings.lr, discount_of_visits(trunk), settings.relative)

    @cached_property
    def adam(self) -> Adam:
        """Of the logits; made where the agent is."""
        return Adam([self.logit_K], self.lr)

    def optimisers(self) -> dict[str, Adam]:
        return {"logits": self.adam}

    def reward(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        cell, new = self.cells.look(views, batch)
        known_K, fresh = self.logit_K[: self.cells.taken], torch.zeros_like(self.logit_K[0])  # the logit of a new cell
        fresh_surprise = torch.logaddexp(known_K.logsumexp(-1), fresh)
        surprise_TB = torch.where(new, fresh_surprise, -self.cells.log_softmax(self.logit_K)[cell])[1:]
        return surprise_TB - math.log(self.cells.taken) if self.relative else surprise_TB

    def weights(self, batch: EpisodeBatch) -> Tensor:
        """(1-γ) γ^t of each row (T+1, B), and of the last one all that is to come where the episode has ended."""
        mask = batch.row_mask
        step_R1 = torch.arange(len(mask), device=mask.device, dtype=mask.dtype)[:, None]
        ended = torch.cat([torch.zeros_like(mask[:1]), batch.mask * (1 - batch.discount.nan_to_num())])
        return mask * self.discount**step_R1 * torch.where(ended > 0, 1.0, 1 - self.discount)

    def learn(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """A step of the logits by the weighted likelihood of the batch's rows."""
        cell = self.cells.of_learned(batch)
        weight, log_q = self.weights(batch), self.cells.log_softmax(self.logit_K)
        visits_K = torch.zeros_like(log_q).index_add(0, cell.flatten(), weight.flatten()) / weight.sum()
        loss = -(visits_K * log_q).sum()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return {"loss": loss.detach(), "entropy": -(log_q.exp() * log_q).sum().detach()}


def at_rows(x_RK: Tensor, row: Tensor) -> Tensor:
    """The rows of these numbers (…): (R, K) -> (…, K)."""
    return x_RK.index_select(0, row.flatten()).view(*row.shape, -1)
