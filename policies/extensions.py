"""Extensions of an agent: auxiliary losses and intrinsic rewards, built on a trunk, of which they may ask for views.

An agent has one set of them for each network that remembers: one for a DQN, two where actor and critic keep memories of
their own.

Dimension key: T steps, B batch. A batch has T+1 rows: the one after the last action counts.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.losses import masked_mean
from policies.models.trunk import Trunk
from torchkit.fast.adam import Adam
from torchkit.moments import Moments
from utils.errors import UserError
from utils.reads import FROM_ZERO, Reads


class Extension(nn.Module):
    """What auxiliary losses and intrinsic rewards have in common: what they hold is in the agent's checkpoint.

    What one learns or counts for itself it does in `learn`: as buffers, or as parameters with an optimiser of its own,
    which it names in `optimisers`.

    Attributes:
        under_vmap: whether it works under `torch.func.vmap` (updates of several seeds as one batch), where `learn` is
            not called.
        reads: fields of its row of the config.
    """

    under_vmap: ClassVar[bool] = False
    reads: ClassVar[Reads] = {"weight": FROM_ZERO}

    def learn(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """Called once an update, after the agent's own step; returns scalar metrics."""
        return {}

    def optimisers(self) -> dict[str, Adam]:
        """Those of `learn`, by name."""
        return {}

    def after_step(self, tau: float) -> None:
        """Called after each step of the agent's optimisers, with the rate of the target networks."""


class AuxiliaryLoss(Extension):
    """A further loss on the views of a batch; its own parameters learn with the agent's.

    `loss_weight` is its share in the total. What an intrinsic reward must learn of the agent's views is an auxiliary
    loss, too: the reward reads the view that the loss publishes by `extend`.
    """

    loss_weight: float = 1.0
    of_actor = False  # reads the view `policy`, which an actor alone has
    of_expert = False  # says something on the expert's episodes alone
    of_teacher = False  # learns of a teacher's advice
    leads = 0.0  # the probability with which, before each step, who explores hands over to it (`lead`)

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        """The loss that `settings` ask for, `config_rl.auxiliary.<name>`."""
        raise NotImplementedError

    def extend(self, views: dict[str, Tensor], batch: EpisodeBatch) -> None:
        """Adds views (T+1, B, F) that the loss or others read; its networks run here, in the precision of an update."""

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """The loss of each row (T+1, B), unweighted; what stands where `mask` is 0 is not read."""
        raise NotImplementedError

    def lead(self, views: Mapping[str, Tensor], rng: torch.Generator) -> Tensor:
        """What it would do, (N,) or (N, A) on the generator's device, by public views (N, F) of one step."""
        raise NotImplementedError

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Views of the state whose moments it must be told before it learns."""
        return ()

    def measure(self, moments: Mapping[str, Moments]) -> None:
        """Takes over the moments of the views that were `unmeasured`."""

    def mask(self, batch: EpisodeBatch) -> Tensor:
        """1 where there is a loss, (T+1, B), over which its mean is taken: all rows, unless it says otherwise."""
        return batch.row_mask


def wants_expert(agent: nn.Module) -> bool:
    """Whether one of its losses says something on the expert's episodes alone."""
    return any(isinstance(module, AuxiliaryLoss) and module.of_expert for module in agent.modules())


def transition_rows(value_TB: Tensor) -> Tensor:
    """What is known of transitions (T, B) as rows (T+1, B); the last row has none."""
    return torch.cat([value_TB, torch.zeros_like(value_TB[:1])])


def shaped(value: Tensor, letters: str, shape: torch.Size, who: str) -> Tensor:
    """The value that an extension has returned, if it is of this shape: any other would be broadcast without a word.

    Raises:
        UserError: it is not; begins with `who`.
    """
    found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    if found != shape:
        raise UserError(f"{who} returned {found}; {letters} = {tuple(shape)} is needed")
    return value


class IntrinsicReward(Extension):
    """A bonus for each step, computed anew whenever the step is replayed; `weight` is that of its settings."""

    weight: float = 1.0
    of_policy = False  # reads the view `policy_action`, which an update alone has: what the policy does at each row

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        """The reward that `settings` ask for, `config_rl.intrinsic.<name>`; auxiliary losses are there already."""
        raise NotImplementedError

    def reward(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """The unweighted bonus of each step (T, B); called without gradients."""
        raise NotImplementedError


class Extensions(nn.Module):
    """The auxiliary losses and intrinsic rewards of one network, by name."""

    def __init__(
        self,
        auxiliary: Mapping[str, AuxiliaryLoss] | None = None,
        intrinsic: Mapping[str, IntrinsicReward] | None = None,
    ):
        super().__init__()
        self._losses, self._rewards = dict(auxiliary or {}), dict(intrinsic or {})  # the same, with their types
        self.auxiliary, self.intrinsic = nn.ModuleDict(self._losses), nn.ModuleDict(self._rewards)

    def all(self) -> dict[str, Extension]:
        """Every one of them, as `auxiliary.<name>` and `intrinsic.<name>`."""
        kinds: dict[str, Mapping[str, Extension]] = {"auxiliary": self._losses, "intrinsic": self._rewards}
        return {f"{kind}.{name}": one for kind, ones in kinds.items() for name, one in ones.items()}

    def leader(self) -> AuxiliaryLoss | None:
        """The first that leads."""
        return next((one for one in self._losses.values() if one.leads), None)

    def learned(self) -> Iterator[nn.Parameter]:
        """The parameters that learn with the agent's, by its losses."""
        return self.auxiliary.parameters()

    def optimisers(self) -> dict[str, Adam]:
        """Those that extensions own, by the extension's name and theirs."""
        return {f"{name}.{own}": o for name, one in self.all().items() for own, o in one.optimisers().items()}

    def extend(self, views: dict[str, Tensor], batch: EpisodeBatch) -> None:
        """Adds the views that the losses publish."""
        for loss in self._losses.values():
            loss.extend(views, batch)

    def losses(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> dict[str, tuple[Tensor, float]]:
        """The mean of each loss and its weight."""
        found = self._of_rows(views, batch).items()
        return {name: (masked_mean(*loss_and_mask), self._losses[name].loss_weight) for name, loss_and_mask in found}

    def _of_rows(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """Each loss of each row (T+1, B), unweighted, and where it is one."""
        rows = ("(T+1, B)", batch.row_mask.shape)
        return {
            name: (
                shaped(one.loss(views, batch), *rows, f"auxiliary.{name}: loss"),
                shaped(one.mask(batch), *rows, f"auxiliary.{name}: mask"),
            )
            for name, one in self._losses.items()
        }

    def total(
        self, views: Mapping[str, Tensor], batch: EpisodeBatch, metrics: dict[str, Tensor], prefix: str = ""
    ) -> Tensor:
        """The weighted sum of the losses, each logged as `loss/<prefix><name>`."""
        total = torch.zeros((), device=batch.mask.device)
        for name, (loss, weight) in self.losses(views, batch).items():
            metrics[f"loss/{prefix}{name}"] = loss.detach()
            total = total + weight * loss
        return total

    @torch.no_grad()
    def row_losses(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> dict[str, Tensor]:
        """Each loss of each row (T+1, B), unweighted; NaN where there is none."""
        return {name: loss.where(mask > 0, torch.nan) for name, (loss, mask) in self._of_rows(views, batch).items()}

    @torch.no_grad()
    def bonuses(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> dict[str, tuple[Tensor, float]]:
        """Each intrinsic reward (T, B), unweighted, and its weight."""
        steps = ("(T, B)", batch.mask.shape)
        return {
            name: (shaped(one.reward(views, batch), *steps, f"intrinsic.{name}: reward"), one.weight)
            for name, one in self._rewards.items()
        }

    @torch.no_grad()
    def bonus(
        self, views: Mapping[str, Tensor], batch: EpisodeBatch, metrics: dict[str, Tensor], share: float = 1.0
    ) -> Tensor:
        """`share` of the weighted sum of the intrinsic rewards (T, B), each logged in full as `bonus/<name>`."""
        total_TB = torch.zeros_like(batch.reward)
        for name, (bonus_TB, weight) in self.bonuses(views, batch).items():
            metrics[f"bonus/{name}"] = masked_mean(bonus_TB, batch.mask)
            metrics[f"bonus/{name}_abs"] = masked_mean(bonus_TB.abs(), batch.mask)
            total_TB = total_TB + share * weight * bonus_TB
        return total_TB

    @property
    def of_policy(self) -> bool:
        """Whether a reward reads what the policy does."""
        return any(one.of_policy for one in self._rewards.values())

    @property
    def unmeasured(self) -> set[str]:
        """Views of the state whose moments the losses must be told before they learn."""
        return {view for one in self._losses.values() for view in one.unmeasured}

    def measure(self, moments: Mapping[str, Moments]) -> None:
        """Tells those losses that wait for moments of views of the state."""
        for one in self._losses.values():
            if one.unmeasured:
                one.measure(moments)

    def learn(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """What each learns by itself; its metrics under its name."""
        found = ((name, one.learn(batch)) for name, one in self.all().items())
        return {f"{name.replace('.', '/')}/{key}": value for name, metrics in found for key, value in metrics.items()}

    def after_step(self, tau: float) -> None:
        """Lets target networks that extensions own follow."""
        for one in self.all().values():
            one.after_step(tau)
