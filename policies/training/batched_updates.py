"""The updates of several seeds as one batch: stacked parameters, and `torch.func.vmap` over the loss of a learner.

For a GPU, which one small network leaves idle. Each seed acts, keeps its replay and its checkpoint in a process of its
own (`policies.training.many_seeds`); there a `RemoteLearner` stands for the agent, sends its batches to the one process
that computes and acts by what that process leaves in shared memory. An update begins when every seed that is training
waits for one.

Dimension key: K seeds, P parameters of one seed, T steps, B batch.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from buffers.batch import VIEWS_OF_ROWS, EpisodeBatch, Rows
from policies.agents.base import Agent, Array
from policies.agents.learner import Learner
from policies.auxiliary import AUXILIARY
from policies.build import FAMILIES
from policies.extensions import Extension
from policies.intrinsic import INTRINSIC
from policies.models.policy import HistoryPolicy
from torchkit.fast.adam import BETAS
from torchkit.networks import MLP, Encoder
from torchkit.sequence import MEMORIES, Memory
from utils.errors import DivergenceError, UserError
from utils.stopping import UNFINISHED

Packed = dict[str, Any]  # a batch as NumPy arrays
OF_WINDOWS = ("carry", "before", "past_return")  # what there is of none, since `batchable` refuses them
STEPS = [f.name for f in fields(EpisodeBatch) if f.name not in (*VIEWS_OF_ROWS, *OF_WINDOWS)]  # what else it has


def batchable(agent: Agent) -> Learner:
    """The agent, if updates of several such can be computed as one batch.

    Raises:
        UserError: names the field, and what can be.
    """
    flag, else_ = "--batch_seeds: updates of several seeds as one batch are for", "give --nobatch_seeds"
    by = "(under_vmap = True in its class)"
    if not isinstance(agent, Learner) or not agent.under_vmap:
        families = " or ".join(
            f"--config_rl=configs/rl/{name}.py" for name, kind in FAMILIES.items() if kind.under_vmap
        )
        raise UserError(f"{flag} {families} {by}; {else_}")
    memories = [module for module in agent.modules() if isinstance(module, Memory)]
    if not all(memory.under_vmap for memory in memories):
        able = ", ".join(name for name, kind in MEMORIES.items() if kind.under_vmap)
        raise UserError(f"{flag} the memories {able} {by}; {else_}")
    if agent.config.get("burn_in") or agent.config.get("carry", "zero") != "zero":
        raise UserError(f"{flag} burn_in=0 and carry=zero; {else_}")
    if agent.config.get("normalise"):
        raise UserError(f"{flag} normalise=(); {else_}")
    if agent.has_dropout:
        raise UserError(
            f"{flag} memories that drop nothing; give --config_seq.kwargs.dropout=0 and --config_rl.drop_action=0, or "
            "--nobatch_seeds"
        )
    if unable := [name for name, one in agent.extensions.all().items() if not one.under_vmap]:
        tables: dict[str, Mapping[str, type[Extension]]] = {"auxiliary": AUXILIARY, "intrinsic": INTRINSIC}
        can = [f"{of}.{name}" for of, table in tables.items() for name, kind in table.items() if kind.under_vmap]
        raise UserError(f"{flag} the extensions {', '.join(can)} {by}, not {', '.join(unable)}; {else_}")
    if lost := {name: parts for name, one in agent.extensions.all().items() if (parts := left_alone(one))}:
        told = ", ".join(f"{name} ({parts})" for name, parts in lost.items())
        raise UserError(f"{flag} extensions that neither learn by themselves nor hold buffers, not {told}; {else_}")
    config = agent.config
    if config.precision != "fp32" or config.predictor_step != "shared" or config.intrinsic.anneal_steps:
        raise UserError(f"{flag} precision=fp32, predictor_step=shared and no anneal_steps; {else_}")
    if len(agent.optimisers) != 1 or type(agent)._after_step is not Learner._after_step:
        raise UserError(
            f"{flag} families of one optimiser and no _after_step, not {type(agent).__name__} with "
            f"{', '.join(agent.optimisers)}; {else_}"
        )
    return agent


def left_alone(extension: Extension) -> str:
    """What of an extension nothing would call or change, were it admitted by `under_vmap`."""
    kind, parameters = type(extension), dict(extension.named_parameters())
    methods = [name for name in ("learn", "after_step") if getattr(kind, name) is not getattr(Extension, name)]
    return ", ".join([*methods, *(name for name in extension.state_dict() if name not in parameters)])


@dataclass
class SharedSeeds:
    """What K seeds have learned, in memory that their processes share.

    Attributes:
        values: all parameters (K, P), those of the policies that act first.
        mean, square: Adam's moments (K, P), 0 where nothing learns.
        steps: how many updates each seed has had (K,).
    """

    values: Tensor
    mean: Tensor
    square: Tensor
    steps: Tensor

    @classmethod
    def empty(cls, num_seeds: int, size: int) -> "SharedSeeds":
        """Room for K seeds of P parameters."""
        shapes = [(num_seeds, size)] * 3 + [(num_seeds,)]
        return cls(*(torch.zeros(shape).share_memory_() for shape in shapes))


def who_acts(agent: Learner) -> set[int]:
    """The ids of the parameters of both policies that act: the one that explores and the one that is evaluated."""
    return {id(p) for policy in (agent.policy, agent.deployed) for p in policy.parameters()}


def ordered(agent: Learner) -> dict[str, nn.Parameter]:
    """All parameters by name, those of the policies that act first."""
    acting = who_acts(agent)
    return dict(sorted(agent.named_parameters(), key=lambda item: id(item[1]) not in acting))


def spans(agent: Learner) -> dict[str, slice]:
    """Where each parameter stands among the P numbers."""
    begin, found = 0, {}
    for name, parameter in ordered(agent).items():
        found[name] = slice(begin, begin + parameter.numel())
        begin += parameter.numel()
    return found


class RemoteLearner(Agent):
    """A seed's agent whose updates another process computes; its parameters and moments lie in shared memory."""

    def __init__(self, agent: Learner, shared: SharedSeeds, index: int, pipe: Connection):
        super().__init__()
        self.agent, self.shared, self.index, self.pipe = agent, shared, index, pipe
        self.device, self.env_steps, self.learns_from = agent.device, agent.env_steps, agent.learns_from
        self._attach()

    @property
    def policy(self) -> HistoryPolicy:
        return self.agent.policy

    @property
    def deployed(self) -> HistoryPolicy:
        return self.agent.deployed

    @property
    def unmeasured(self) -> bool:
        return self.agent.unmeasured

    def measure(self, batch: EpisodeBatch) -> None:
        self.agent.measure(batch)

    def act(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any, explore: bool
    ) -> tuple[Array, Any]:
        self.agent.env_steps = self.env_steps
        return self.agent.act(obs_NO, prev_action_NA, prev_reward_N, start_N, carry, explore)

    def update(self, batch: EpisodeBatch, aux_batch: EpisodeBatch | None = None) -> Mapping[str, Tensor]:
        self.agent.env_steps = self.env_steps
        metrics, error = self._ask("update", packed(batch))
        if error is not None:
            raise DivergenceError(error)
        return {name: torch.tensor(value) for name, value in metrics.items()}

    def checkpoint(self) -> dict[str, Any]:
        self._ask("pull")  # has all that was learned put into the shared memory
        self.agent.env_steps = self.env_steps
        return self.agent.checkpoint()

    def load_checkpoint(self, state: dict[str, Any]) -> None:
        self.agent.load_checkpoint(state)
        self.env_steps = self.agent.env_steps
        self._attach()

    def _ask(self, kind: str, content: Packed | None = None) -> Any:
        """The answer of the process that computes; where that has gone, this one ends: it has nothing to save."""
        try:
            self.pipe.send((kind, content))
            return self.pipe.recv()
        except (EOFError, OSError):
            os._exit(UNFINISHED)

    def _attach(self) -> None:
        """Puts what the agent holds into the shared memory, and has it hold that."""
        (optimiser,) = self.agent.optimisers.values()
        row = SharedSeeds(*(tensor[self.index] for tensor in vars(self.shared).values()))
        row.steps.copy_(optimiser.state[0]["step"])
        number = {id(parameter): i for i, parameter in enumerate(optimiser.parameters)}
        shared: dict[int, dict[str, Tensor]] = {}
        for span, parameter in zip(spans(self.agent).values(), ordered(self.agent).values(), strict=True):
            value = row.values[span].view_as(parameter)
            value.copy_(parameter.data)
            parameter.data = value
            if (i := number.get(id(parameter))) is not None:
                moments = {"exp_avg": row.mean[span].view_as(value), "exp_avg_sq": row.square[span].view_as(value)}
                for key, moment in moments.items():
                    moment.copy_(optimiser.state[i][key])
                shared[i] = {"step": row.steps, **moments}
        optimiser.hand_over(shared)


class BatchedLearner:
    """Computes the updates of all seeds that wait, on one device.

    Args:
        agent: one seed's agent, on the CPU; its shape is that of all.
        shared: where the seeds' processes put what they begin with.
    """

    def __init__(self, agent: Learner, shared: SharedSeeds, device: torch.device):
        self.shared, self.device, self.config = shared, device, agent.config
        ((self.loss, optimiser),) = agent.optimisers.items()
        self.lr = optimiser.lr
        self.spans = spans(agent)
        self.skeleton = _Loss(agent).to(device)
        agent.device = device
        self.shapes = {name: p.shape for name, p in agent.named_parameters()}
        trained = {id(p) for p in agent.parameters_of[self.loss]}
        names = {id(p): name for name, p in agent.named_parameters()}
        self.trained = [name for name, p in agent.named_parameters() if id(p) in trained]
        self.followers = [
            (names[id(target)], names[id(online)])
            for targets, onlines in agent.followers
            for target, online in zip(targets, onlines, strict=True)
        ]
        acting = who_acts(agent)
        self.acting_size = sum(p.numel() for p in agent.parameters() if id(p) in acting)
        self.members: list[int] = []
        self.now = SharedSeeds(*(tensor[:0].to(device) for tensor in vars(shared).values()))
        self._losses = torch.func.vmap(
            lambda parameters, batch: torch.func.functional_call(
                self.skeleton, {f"agent.{name}": value for name, value in parameters.items()}, (batch,)
            )
        )

    def update(self, waiting: Mapping[int, Packed]) -> dict[int, tuple[dict[str, float], str | None]]:
        """One update of each seed that waits: its metrics, and why it could not be made, None where it was."""
        self._gather(sorted(waiting))
        batch = stacked([waiting[k] for k in self.members], self.device)
        parameters = self._views()
        for name in self.trained:
            parameters[name] = parameters[name].detach().requires_grad_()
        loss_K, metrics = self._losses(parameters, batch)
        gradients = torch.autograd.grad(loss_K.sum(), [parameters[name] for name in self.trained], allow_unused=True)
        gradient = torch.zeros_like(self.now.values)
        for name, part in zip(self.trained, gradients, strict=True):
            if part is not None:
                gradient[:, self.spans[name]] = part.flatten(1)
        norm_K = gradient.norm(dim=1)
        good_K = norm_K.isfinite()
        gradient *= (self.config.max_grad_norm / (norm_K + 1e-6)).clamp(max=1.0)[:, None]
        with torch.no_grad():
            self._step(gradient, good_K)
        metrics["grad_norm"] = norm_K
        columns = torch.stack([value.detach() for value in metrics.values()]).cpu().tolist()
        table = dict(zip(metrics, columns, strict=True))
        self.shared.values[self.members, : self.acting_size] = self.now.values[:, : self.acting_size].cpu()
        answers: dict[int, tuple[dict[str, float], str | None]] = {}
        for row, (seed, good, loss) in enumerate(zip(self.members, good_K.tolist(), loss_K.tolist(), strict=True)):
            error = None if good else f"the {self.loss} loss is {loss} and its gradient norm {table['grad_norm'][row]}"
            answers[seed] = {name: column[row] for name, column in table.items()}, error
        return answers

    def pull(self, seed: int) -> None:
        """Puts all that a seed has learned into the shared memory."""
        if seed in self.members:
            self._scatter()

    def leave(self, seed: int) -> None:
        """A seed has come to its end: the others go on without it."""
        if seed in self.members:
            self._gather([k for k in self.members if k != seed])

    def _step(self, gradient: Tensor, good_K: Tensor) -> None:
        """Adam (Kingma & Ba, 2015) and the targets, for the seeds whose gradient is finite."""
        now, good_K1 = self.now, good_K[:, None]
        gradient = torch.where(good_K1, gradient, 0.0)
        before = SharedSeeds(*(t.clone() for t in vars(now).values())) if not bool(good_K.all()) else None
        now.steps += 1
        now.mean.lerp_(gradient, 1 - BETAS[0])
        now.square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        rate_K1 = self.lr / (1 - BETAS[0] ** now.steps)[:, None]
        root = (now.square / (1 - BETAS[1] ** now.steps)[:, None]).sqrt_().add_(self.config.adam_eps)
        now.values.sub_(now.mean / root * rate_K1)
        for target, online in self.followers:
            now.values[:, self.spans[target]].lerp_(now.values[:, self.spans[online]], self.config.tau)
        if before is not None:
            for after, old in zip(vars(now).values(), vars(before).values(), strict=True):
                after.copy_(torch.where(good_K1 if after.ndim == 2 else good_K, after, old))

    def _views(self) -> dict[str, Tensor]:
        """All parameters by name, (K, …) each."""
        return {
            name: self.now.values[:, span].unflatten(1, self.shapes[name] or (1,)) for name, span in self.spans.items()
        }

    def _gather(self, members: list[int]) -> None:
        """From now on these seeds are computed; what others have learned goes back into the shared memory."""
        if members == self.members:
            return
        self._scatter()
        self.members = members
        self.now = SharedSeeds(*(tensor[members].to(self.device) for tensor in vars(self.shared).values()))

    def _scatter(self) -> None:
        for mine, theirs in zip(vars(self.now).values(), vars(self.shared).values(), strict=True):
            theirs[self.members] = mine.cpu()


class _Loss(nn.Module):
    """One seed's loss and metrics as a function of its batch, in operations that `vmap` knows."""

    def __init__(self, agent: Learner):
        super().__init__()
        self.agent = agent
        for module in agent.modules():
            if isinstance(module, Memory):
                module.prepare_vmap()
            elif isinstance(module, Encoder):
                module.layout = torch.contiguous_format  # the one that `vmap` knows
            elif isinstance(module, MLP):
                module.fast = False

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        views = {view: Rows(batch[f"{view}_distinct"], batch[f"{view}_place"]) for view in VIEWS_OF_ROWS}
        steps = {name: batch[name] for name in STEPS}
        whole = EpisodeBatch(**views, **steps).with_padding()  # type: ignore[arg-type]
        metrics: dict[str, Tensor] = {}
        (loss,) = self.agent.scalar_losses(whole, metrics).values()
        return loss, {name: value.detach() for name, value in metrics.items()}


def packed(batch: EpisodeBatch) -> Packed:
    """A batch as arrays, to be sent to another process."""
    parts = ("distinct", "place")
    views = {f"{view}_{part}": getattr(getattr(batch, view), part) for view in VIEWS_OF_ROWS for part in parts}
    steps = {name: getattr(batch, name) for name in STEPS}
    return {name: tensor.numpy() for name, tensor in {**views, **steps}.items()}


def stacked(batches: list[Packed], device: torch.device) -> dict[str, Tensor]:
    """Batches side by side (K, …), filled up with zeros, which the mask keeps from counting, to one length."""
    whole = {}
    for name in batches[0]:
        arrays = [batch[name] for batch in batches]
        length = max(len(array) for array in arrays)
        room = np.zeros((len(arrays), length, *arrays[0].shape[1:]), arrays[0].dtype)
        for row, array in zip(room, arrays, strict=True):
            row[: len(array)] = array
        whole[name] = torch.from_numpy(room).to(device)
    return whole
