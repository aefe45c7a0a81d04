"""What the families that learn by gradient share: extensions, optimisers, target networks, checkpoints."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from buffers.batch import EpisodeBatch
from policies.acting.rollout import Policy
from policies.agents.base import Agent, Array
from policies.agents.handover import HandingOver, Leading
from policies.extensions import Extensions
from policies.models.policy import HistoryPolicy, to_tensors
from policies.models.sources import normalised_views
from policies.models.views import PrivilegedViews, PublicViews, Views
from torchkit.actions import Distribution
from torchkit.fast.adam import Adam
from torchkit.moments import Moments
from torchkit.normalise import RewardScale, RunningNorm, Statistics, statistics
from utils.checkpoint import whole
from utils.device import choose_precision
from utils.errors import DivergenceError, UserError, check_written, choose, choose_name
from utils.reads import ANY, FROM_ZERO, POSITIVE, SHARE, Reads

M = TypeVar("M", bound=nn.Module)


class Learner(Agent):
    """An agent whose update is one forward pass of each network and one backward pass an optimiser.

    A family says what its losses are, and which networks learn.

    Args:
        policy: the module that acts.
        state_views: frozen views of the state, such as `z_state`, that extensions and critics are given.
        extensions: auxiliary losses and intrinsic rewards of the network that learns values.
        config: the family's settings.
        seed: of exploration.

    Attributes:
        optimisers, parameters_of: Adam and what it trains, by the name of a loss.
        followers: pairs of the parameters of a target network and those of the network that it follows.
        has_dropout: whether a network drops values while it learns.
        steps_apart: whether its predictors may have steps, an optimiser and batches of their own.
    """

    steps_apart: ClassVar[bool] = False
    reads: ClassVar[Reads] = {
        **dict.fromkeys(("precision", "predictor_step", "policy_inputs", "head_dims"), ANY),
        **dict.fromkeys(("adam_eps", "max_grad_norm"), POSITIVE),
        "tau": SHARE,
        **dict.fromkeys(("auxiliary.use", "intrinsic.use"), ANY),
        "intrinsic.anneal_steps": FROM_ZERO,
    }

    def __init__(
        self, policy: HistoryPolicy, state_views: PrivilegedViews, extensions: Extensions, config: ConfigDict, seed: int
    ):
        super().__init__()
        check_written(type(self), Learner, "losses", "_learning", "_part_views")
        self._check_served(config, extensions)
        choose_name(("average", "online"), config.get("deploy", "online"), "--config_rl.deploy")
        # in lists: the family decides under which names they are kept
        self.config, self._policy, self._deployed = config, [policy], [policy]
        self.state_views = state_views
        self.add_module("parts", extensions)  # by the name that checkpoints have for them
        self.wants_aux_batch = config.predictor_step == "separate" and len(extensions.auxiliary) > 0
        self._rng = torch.Generator().manual_seed(seed)
        self.reward_scale = RewardScale(config.discount) if "reward" in normalised_views(config) else None
        self._norms: list[RunningNorm | RewardScale] | None = None
        self._modes: list[nn.Module] | None = None
        self.optimisers: dict[str, Adam] = {}
        self.parameters_of: dict[str, list[Tensor]] = {}
        self.followers: list[tuple[list[Tensor], list[Tensor]]] = []

    def _check_served(self, config: ConfigDict, extensions: Extensions) -> None:
        """Refuses what the family would pass over.

        Raises:
            UserError: names the field.
        """
        choose_name(("shared", "separate"), config.predictor_step, "--config_rl.predictor_step")
        if config.predictor_step == "separate" and not self.steps_apart:
            raise UserError(f"--config_rl.predictor_step: {config.family} has one batch for all; choose shared")
        if config.intrinsic.use and not extensions.intrinsic:
            raise UserError(f"--config_rl.intrinsic.use: {config.family} learns from no bonus; leave it empty")

    @property
    def policy(self) -> HistoryPolicy:
        return self._policy[0]

    @property
    def deployed(self) -> HistoryPolicy:
        return self._deployed[0]

    @property
    def unmeasured(self) -> bool:
        return any(ones.unmeasured for ones in self._all_extensions())

    @torch.no_grad()
    def measure(self, batch: EpisodeBatch) -> None:
        views, real_R = self.state_views(batch), batch.row_mask.flatten()
        for ones in self._all_extensions():
            ones.measure({name: Moments.of(views[name].flatten(0, 1), real_R) for name in ones.unmeasured})

    def exploring(self) -> Policy:
        explorer, leader = super().exploring(), self.extensions.leader()
        if leader is None:
            return explorer
        leading = Leading(self._extended_views(), leader, self._rng, self.device)
        return HandingOver(explorer, leading, leader.leads, self._rng)

    def _extended_views(self) -> PublicViews:
        """The public views that `extensions` are on."""
        return self.policy.public

    def _all_extensions(self) -> tuple[Extensions, ...]:
        """Those of all its networks."""
        return (self.extensions,)

    @property
    def extensions(self) -> Extensions:
        """Auxiliary losses and intrinsic rewards."""
        return self.get_submodule("parts")  # type: ignore[return-value]

    def update(self, batch: EpisodeBatch, aux_batch: EpisodeBatch | None = None) -> dict[str, Tensor]:
        if self.unmeasured:
            self.measure(batch)
        metrics: dict[str, Tensor] = {}
        batch = self._normalised(batch)
        self._in_training_mode(True)
        try:
            if aux_batch is not None:
                metrics["loss/predictor_step"] = self._predictor_step(aux_batch)
            self._step(self.scalar_losses(batch, metrics), metrics)
            self._after_step()
            for ones in self._all_extensions():
                metrics |= ones.learn(batch)
        finally:
            self._in_training_mode(False)
        return {name: value.detach() for name, value in metrics.items()}

    def _normalised(self, batch: EpisodeBatch) -> EpisodeBatch:
        """The batch with rewards as they are learned from; running statistics take it in."""
        self.show(batch)
        if self.reward_scale is None:
            return batch
        return replace(batch, reward=self.reward_scale(batch.reward))

    def show(self, batch: EpisodeBatch) -> None:
        """Has running statistics take the batch in."""
        if self._norms is None:  # target networks' among them, which are there by now
            self._norms = [m for m in self.modules() if isinstance(m, RunningNorm | RewardScale)]
        known: dict[str, Statistics] = {}
        for norm in self._norms:
            if isinstance(norm, RewardScale):
                norm.show(batch.reward, batch.mask, batch.past_return)
            elif norm.of != "reward":
                if norm.of not in known:
                    known[norm.of] = statistics(getattr(batch, norm.of).full()[batch.row_mask > 0])
                norm.merge(known[norm.of])

    def losses(self, batch: EpisodeBatch, metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        """What each optimiser descends, by its name; metrics are added."""
        raise NotImplementedError

    def scalar_losses(self, batch: EpisodeBatch, metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        """`losses`, if each is a scalar and an optimiser's.

        Raises:
            UserError: one is not.
        """
        losses, who = self.losses(batch, metrics), f"{type(self).__name__}.losses"
        for name, loss in losses.items():
            choose(self.parameters_of, name, who)
            if loss.shape:
                raise UserError(f"{who}: {name} is of shape {tuple(loss.shape)}; a scalar is needed")
        return losses

    def _learning(self) -> tuple[nn.Module, ...]:
        """The networks that drop values while they learn."""
        raise NotImplementedError

    def _after_step(self) -> None:
        """Called after each step of the optimisers."""
        self.extensions.after_step(self.config.tau)

    def _in_training_mode(self, on: bool) -> None:
        if self._modes is None:  # asked for at each update, and slow to find
            self._modes = [module for network in self._learning() for module in network.modules()]
        for module in self._modes:
            object.__setattr__(module, "training", on)  # that of nn.Module looks for parameters first

    @contextmanager
    def _as_acting(self) -> Iterator[None]:
        """Within it nothing is dropped, as when the agent acts: for bonuses and targets."""
        self._in_training_mode(False)
        try:
            yield
        finally:
            self._in_training_mode(True)

    def _settle(self, device: torch.device) -> None:
        """Moves all modules to the device; to be called when they are there, before targets and optimisers."""
        choose_precision(self.config.precision, device, "--config_rl.precision")
        self.device = device
        self.to(device)
        self.eval()
        self.has_dropout = has_dropout(self)

    def _train_with(self, name: str, parameters: Iterable[Tensor], lr: float) -> None:
        """Adam on those parameters that learn."""
        mine = [p for p in parameters if p.requires_grad]
        self.parameters_of[name] = mine
        self.optimisers[name] = Adam(mine, lr, self.config.adam_eps)

    def _copy_of(self, online: M) -> M:
        """A frozen copy, to be a target network."""
        copied = copy.deepcopy(online).requires_grad_(False)
        for module in copied.modules():
            if isinstance(module, nn.RNNBase):
                module.flatten_parameters()  # which a copy undoes; else cuDNN gathers them at each call
        return copied

    def _follow(self, target: nn.Module, online: nn.Module) -> None:
        """From now on the target, or what is left of it, moves after the online network, by τ a step."""
        followed = dict(online.named_parameters())
        self.followers.append((list(target.parameters()), [followed[name] for name, _ in target.named_parameters()]))

    @torch.no_grad()
    def refresh_targets(self) -> None:
        """Makes every target network equal to the one that it follows: what learns was changed by no update."""
        for target, online in self.followers:
            for mine, theirs in zip(target, online, strict=True):
                mine.copy_(theirs)
        for ones in self._all_extensions():
            ones.after_step(1.0)

    @torch.inference_mode()
    def act(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any, explore: bool
    ) -> tuple[Array, Any]:
        output, carry = self._policy_step(obs_NO, prev_action_NA, prev_reward_N, start_N, carry, explore)
        output, actions = output.cpu(), self.policy.actions
        assert isinstance(actions, Distribution), "how to explore by values is the family's own"
        action = actions.draw(output, self._rng) if explore else actions.best(output)
        return action.numpy(), carry

    def packed(self, carry: Any) -> Array:
        return self.policy.public.packed(carry).cpu().numpy()

    def _policy_step(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any, explore: bool
    ) -> tuple[Tensor, Any]:
        """The policy head's output (N, ·) and the carry."""
        policy = self.policy if explore else self.deployed
        carry = None if carry is None else tuple(c.to(self.device) for c in carry)  # a checkpoint's are on the CPU
        return policy.step(to_tensors(self.device, obs_NO, prev_action_NA, prev_reward_N, start_N), carry)

    def _autocast(self) -> torch.autocast:
        """bfloat16 for the large products of a forward pass, where the config asks for it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    @torch.no_grad()
    def look_back(self, batch: EpisodeBatch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What an update would make of a batch: each auxiliary loss (T+1, B), and each bonus in full (T, B)."""
        with self._autocast():
            views = self._part_views(batch)
            self.extensions.extend(views, batch)
            full = {name: weight * bonus for name, (bonus, weight) in self.extensions.bonuses(views, batch).items()}
            return self.extensions.row_losses(views, batch), full

    def _predictor_step(self, batch: EpisodeBatch) -> Tensor:
        """The released code's own step of the predictors, on a batch of their own and with the memory left alone."""
        with torch.no_grad():
            views = self._part_views(batch)
        self.extensions.extend(views, batch)
        loss = torch.stack([loss for loss, _ in self.extensions.losses(views, batch).values()]).sum()
        if not torch.isfinite(loss):
            raise DivergenceError(f"the loss of the predictor step is {loss.item()}")
        self.optimisers["predictor"].zero_grad()
        loss.backward()
        self.optimisers["predictor"].step()
        return loss.detach()

    def _bonus(self, views: Views, batch: EpisodeBatch, metrics: dict[str, Tensor], output: Tensor) -> Tensor:
        """The intrinsic rewards (T, B); over `anneal_steps` of the clock, where given, their weights fall to 0.

        `output` (T+1, B, X) is that of the acting head.
        """
        if self.extensions.of_policy:
            views = views | {"policy_action": self._explored(output.detach().float())}
        return self.extensions.bonus(views, batch, metrics, self.bonus_share())

    def _explored(self, output: Tensor) -> Tensor:
        """What exploring does by the acting head's output: probabilities of discrete actions, or actions, (…, A)."""
        actions = self.policy.actions
        if actions.discrete:
            return output.softmax(-1)
        assert isinstance(actions, Distribution)
        return actions.fresh(output)[0]

    def bonus_share(self) -> float:
        """What is paid of the bonuses now, 1 where they are not annealed."""
        steps = self.config.intrinsic.anneal_steps
        return linear(1.0, 0.0, steps, self.env_steps) if steps else 1.0

    def _part_views(self, batch: EpisodeBatch) -> Views:
        """The views that `extensions` read."""
        raise NotImplementedError

    def _step(self, losses: dict[str, Tensor], metrics: dict[str, Tensor]) -> None:
        """One step of each named optimiser on its own loss, then of the targets; logs gradient norms before clipping.

        Raises:
            DivergenceError: a loss or its gradient is not finite; nothing has been changed.
        """
        for name, loss in losses.items():
            mine = self.parameters_of[name]
            self.optimisers[name].zero_grad()
            torch.autograd.backward(loss, inputs=mine)
            norm = clip_gradients(mine, self.config.max_grad_norm)
            if not torch.isfinite(norm):
                raise DivergenceError(f"the {name} loss is {loss.item()} and its gradient norm {norm.item()}")
            metrics["grad_norm" if len(losses) == 1 else f"grad_norm/{name}"] = norm
        for name in losses:
            self.optimisers[name].step()
        with torch.no_grad():
            for target, online in self.followers:
                torch._foreach_lerp_(target, online, self.config.tau)

    def _all_optimisers(self) -> dict[str, Adam]:
        """The agent's and those that extensions own."""
        return self.optimisers | self.extensions.optimisers()

    def checkpoint(self) -> dict[str, Any]:
        return {
            "modules": self.state_dict(),
            "optimisers": {name: o.state_dict() for name, o in self._all_optimisers().items()},
            "rng": self._rng.get_state(),
            "env_steps": self.env_steps,
        }

    def load_checkpoint(self, state: dict[str, Any]) -> None:
        self.load_state_dict(state["modules"])
        for name, optimiser in self._all_optimisers().items():
            optimiser.load_state_dict(state["optimisers"][name])
        self._rng.set_state(state["rng"])
        self.env_steps = whole(state["env_steps"], "env_steps")


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], most: float) -> Tensor:
    """Scales gradients, all on one device, to a norm of at most `most`; returns the norm (), as it was.

    The same as `torch.nn.utils.clip_grad_norm_`, without its search for devices and types.
    """
    if not (gradients := [p.grad for p in parameters if p.grad is not None]):
        return torch.zeros(())
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_mul_(gradients, (most / (norm + 1e-6)).clamp(max=1.0))
    return norm


def linear(start: float, end: float, steps: int, now: int) -> float:
    """A number that goes from `start` to `end` over so many env steps, and stays there."""
    done = min(1.0, now / max(1, steps))
    return start + done * (end - start)


def has_dropout(network: nn.Module) -> bool:
    """Whether a part of it drops values in training: a layer of torch's, or one that has a rate named `dropout`."""
    rates = (m.p if isinstance(m, _DropoutNd) else getattr(m, "dropout", 0.0) for m in network.modules())
    return any(isinstance(rate, float | int) and rate > 0 for rate in rates)
