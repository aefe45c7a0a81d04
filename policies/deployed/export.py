"""The acting policy as one file that runs without this program: a stateful step in ONNX or TorchScript.

It is traced from a `HistoryPolicy` alone, whose step has no argument for the state. The number of envs N is free.
"""

import copy
import io
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from envs.base import AsymmetricVectorEnv, EnvSpec
from policies.acting.rollout import RandomPolicy, run_episodes
from policies.models.policy import HistoryPolicy, to_tensors
from policies.models.views import Inputs
from torchkit.sequence import Carry, Memory
from utils.config import to_dict
from utils.errors import UserError, choose
from utils.optional import need

Array = NDArray[Any]

OPSET = 18
TOLERANCE = 1e-5  # on outputs, carries and continuous actions; relative where these are above 1
OWN, MOST = 2.0, 1e-3  # how often the policy's own rounding is allowed where it is more than that, and never more than
PAST = ("prev_action", "prev_reward")  # what a policy may do without
MEANING = {
    "obs": "the observation",
    "prev_action": "the previous action, one-hot if discrete; not read where start is 1",
    "prev_reward": "the previous reward; not read where start is 1",
    "start": "1 at the first step of an episode, else 0; where it is 1 all that was before is forgotten",
    "carry": "what next_carry of the same number was a step before; zeros at the very first step",
    "action": "what the policy does; -1, or NaN if continuous, beyond longest_episode or where obs is no number",
    "next_carry": "the carry of the next step",
}
SEEN = ("vector_entry", "wrappers", "obs_keys", "obs_image", "resize", "gray")  # what else may change observations
OUTPUT = {
    "value": "the value of each action, the action being the best",
    "logit": "the unnormalised log-probability of each action, the action being the likeliest",
    "mixture": "of K Gaussians the unnormalised log-weights, the means and the log standard deviations, the action "
    "being the mean of the likeliest, clipped to [-1, 1]",
    "gaussian": "mean and log standard deviation of the action before the tanh, the action being tanh of the mean",
}


@dataclass(frozen=True)
class Port:
    """One input or output of an exported step; "N" in `shape` stands for the number of envs."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str

    @classmethod
    def of(cls, name: str, tensors: tuple[Tensor, Tensor], meaning: str) -> "Port":
        """From what stands there for two and for three envs."""
        two, three = (tuple(tensor.shape) for tensor in tensors)
        dtype = str(tensors[0].dtype).removeprefix("torch.")
        return cls(name, dtype, tuple(a if a == b else "N" for a, b in zip(two, three, strict=True)), meaning)

    def zeros(self, num: int) -> Array:
        """The array of `num` envs that a first step is given."""
        return np.zeros([num if size == "N" else int(size) for size in self.shape], self.dtype)


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of an exported step, in order."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a json file."""
        return asdict(self)


class StatefulStep(nn.Module):
    """One step of a policy from tensors to tensors: (obs, …, start, carry…) -> (action, output, carry…).

    Args:
        policy: what acts.
        names: of the inputs before the carry.
    """

    def __init__(self, policy: HistoryPolicy, names: Iterable[str]):
        super().__init__()
        self.policy, self.names = policy, tuple(names)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Action (N,) or (N, A), the head's output (N, ·), carry. A discrete action is -1 where its output is NaN."""
        given = dict(zip(self.names, tensors))
        none_N = torch.zeros_like(given["obs"][:, 0])
        start_N = given.get("start", none_N)
        prev_action_NA = given.get("prev_action", none_N[:, None])
        now = Inputs(
            given["obs"],
            torch.where(start_N[:, None] > 0, torch.zeros_like(prev_action_NA), prev_action_NA),
            torch.where(start_N > 0, none_N, given.get("prev_reward", none_N)),
            start_N,
        )
        output, carry = self.policy.step(now, tensors[len(self.names) :])
        broken_N = given["obs"].isnan().any(dim=-1)  # onnxruntime makes a number of a NaN (findings)
        output = output.masked_fill(broken_N[:, None], torch.nan)
        action = self.policy.greedy(output)
        if self.policy.actions.discrete:
            action = action.masked_fill(output.isnan().any(dim=-1), -1)
        return action, output, *carry


class Exported(Protocol):
    """An exported step that was read back from its file: arrays by the names of its inputs to arrays in order."""

    def __call__(self, given: dict[str, Array]) -> list[Array]: ...


class OnnxFile:
    """A step in ONNX, run by onnxruntime."""

    def __init__(self, file: Path, signature: Signature):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def __call__(self, given: dict[str, Array]) -> list[Array]:
        return list(self.session.run(None, given))


class TorchScriptFile:
    """A step in TorchScript."""

    def __init__(self, file: Path, signature: Signature):
        self.step, self.names = torch.jit.load(str(file)), [port.name for port in signature.inputs]

    def __call__(self, given: dict[str, Array]) -> list[Array]:
        with torch.inference_mode():
            return [out.numpy() for out in self.step(*(torch.from_numpy(given[name]) for name in self.names))]


class Unexported:
    """The step itself, in the place of its file."""

    def __init__(self, policy: HistoryPolicy, signature: Signature):
        self.names = [port.name for port in signature.inputs]
        self.step = StatefulStep(policy, (name for name in self.names if not name.startswith("carry_")))

    def __call__(self, given: dict[str, Array]) -> list[Array]:
        with torch.inference_mode():
            return [out.numpy() for out in self.step(*(torch.from_numpy(given[name]) for name in self.names))]


Writer = Callable[[StatefulStep, tuple[Tensor, ...], Path, Signature], None]


def _write_onnx(step: StatefulStep, example: tuple[Tensor, ...], file: Path, signature: Signature) -> None:
    ports = (*signature.inputs, *signature.outputs)
    torch.onnx.export(
        step,
        example,
        str(file),
        dynamo=False,  # the newer exporter takes forty times as long, and gives the same
        opset_version=OPSET,
        input_names=[port.name for port in signature.inputs],
        output_names=[port.name for port in signature.outputs],
        dynamic_axes={port.name: {port.shape.index("N"): "N"} for port in ports},
    )


def _write_torchscript(step: StatefulStep, example: tuple[Tensor, ...], file: Path, signature: Signature) -> None:
    content = io.BytesIO()  # on a full disk torch's own writer ends the process
    torch.jit.save(torch.jit.trace(step, example, check_trace=False), content)
    file.write_bytes(content.getvalue())


FORMATS: dict[str, tuple[str, Writer, Callable[[Path, Signature], Exported]]] = {
    "onnx": (".onnx", _write_onnx, OnnxFile),
    "torchscript": (".pt", _write_torchscript, TorchScriptFile),
}
NEEDS = {"onnx": ("onnx", "onnxruntime")}  # packages of a format that the core has not


def domain_of(config_env: Mapping[str, Any]) -> dict[str, Any]:
    """What there is to know of a domain, in plain values, to make of its observations what the step reads."""
    fields = to_dict(config_env)
    asked = {name: fields[name] for name in SEEN if fields.get(name)}
    return {name: fields[name] for name in ("id", "kwargs", "horizon", "hidden")} | asked


def image_of(spec: EnvSpec) -> dict[str, Any]:
    """How an image lies in the rows of `obs`, and between which numbers each channel if that is known; else nothing."""
    if spec.obs_image_shape is None:
        return {}
    bounds = [[low, high] for low, high, _ in spec.obs_storage] or None
    return {"obs_image": {"channels_height_width": list(spec.obs_image_shape), "from_to": bounds}}


@torch.no_grad()
def signature_of(policy: HistoryPolicy, spec: EnvSpec, output: str) -> Signature:
    """What the policy reads and gives; of its past only what changes anything.

    Args:
        policy: what acts.
        spec: sizes of the domain.
        output: what the head gives, a key of `OUTPUT`.
    """
    two, three = (_blank(spec, num) for num in (2, 3))
    carries = [policy.public.initial_carry(num) for num in (2, 3)]
    names = ["obs", *(name for name in PAST if _reads(policy, two, carries[0], name))]
    if len(names) > 1 or carries[0]:
        names.append("start")
    given = [{"obs": x.obs_NO, "prev_action": x.prev_action_NA, "prev_reward": x.prev_reward_N, "start": x.start_N}
             for x in (two, three)]  # fmt: skip
    inputs = [Port.of(name, (given[0][name], given[1][name]), MEANING[name]) for name in names]
    inputs += [Port.of(f"carry_{i}", pair, MEANING["carry"]) for i, pair in enumerate(zip(*carries, strict=True))]
    step = StatefulStep(policy, names)
    results = [step(*(g[name] for name in names), *carry) for g, carry in zip(given, carries, strict=True)]
    kinds = {"action": MEANING["action"], "output": OUTPUT[output]}
    kinds |= {f"next_carry_{i}": MEANING["next_carry"] for i in range(len(carries[0]))}
    outputs = [Port.of(name, pair, kinds[name]) for name, pair in zip(kinds, zip(*results), strict=True)]
    return Signature(tuple(inputs), tuple(outputs))


def _blank(spec: EnvSpec, num: int) -> Inputs:
    return Inputs(torch.zeros(num, spec.obs_dim), torch.zeros(num, spec.action_dim), torch.zeros(num), torch.zeros(num))


def _reads(policy: HistoryPolicy, now: Inputs, carry: Carry, name: str) -> bool:
    """Whether NaN in an input of the past shows in the output or the carry."""
    field = {"prev_action": "prev_action_NA", "prev_reward": "prev_reward_N"}[name]
    output, after = policy.step(now._replace(**{field: torch.full_like(getattr(now, field), torch.nan)}), carry)
    return any(bool(tensor.isnan().any()) for tensor in (output, *after))


def write(policy: HistoryPolicy, signature: Signature, kind: str, file: Path) -> Exported:
    """Writes the step of a policy in evaluation mode, on the CPU, and reads it back.

    Args:
        policy: what acts.
        signature: its own, by `signature_of`.
        kind: one of `FORMATS`.
        file: what is there is replaced.

    Raises:
        UserError: an unknown format, or a package for it is missing.
    """
    _, writer, reader = choose(FORMATS, kind, "--format")
    need(f"--format={kind}", *NEEDS.get(kind, ()))
    names = [port.name for port in signature.inputs if not port.name.startswith("carry_")]
    example = tuple(torch.from_numpy(port.zeros(2)) for port in signature.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing: that it is old, and that a length of 1 is taken for a constant
        with torch.no_grad():
            writer(StatefulStep(policy, names).eval(), example, file, signature)
        return reader(file, signature)


class _Twins:
    """Acts at random and holds an exported step against its policy at every step, each with a carry of its own."""

    def __init__(self, policy: HistoryPolicy, exported: Exported, signature: Signature, act: RandomPolicy):
        self.policy, self.exported, self.signature, self.act = policy, exported, signature, act
        self.precise = next(policy.public.parameters(), torch.zeros(())).dtype
        self.largest, self.steps = 0.0, 0

    @torch.inference_mode()
    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        num = len(obs_NO)
        ours, theirs = (self.policy.public.initial_carry(num), {}) if carry is None else carry
        now = to_tensors(torch.device("cpu"), obs_NO, prev_action_NA, prev_reward_N, start_N)
        arrays = dict(zip(("obs", *PAST, "start"), (x.numpy() for x in now), strict=True)) | theirs
        output, ours = self.policy.step(Inputs(*map(self._precise, now)), tuple(map(self._precise, ours)))
        given = {port.name: arrays.get(port.name, port.zeros(num)) for port in self.signature.inputs}
        action, their_output, *after = self.exported(given)
        pairs = [(their_output, output.numpy()), *zip(after, (c.numpy() for c in ours), strict=True)]
        if self.policy.actions.discrete:  # where two actions are equally good either will do
            best_N = output.gather(-1, torch.from_numpy(action).clamp(min=0)[:, None]).squeeze(-1).numpy()
            pairs.append((np.where(action < 0, np.nan, best_N), output.amax(-1).numpy()))
        else:
            pairs.append((action, self.policy.greedy(output).numpy()))
        self.largest = max(self.largest, *(difference(a, b) for a, b in pairs))
        self.steps += num
        return self.act(obs_NO, prev_action_NA, prev_reward_N, start_N, None)[0], (
            ours,
            {f"carry_{i}": c for i, c in enumerate(after)},
        )

    def _precise(self, tensor: Tensor) -> Tensor:
        """A real tensor in the policy's precision."""
        return tensor.to(self.precise) if tensor.is_floating_point() else tensor


def difference(a: Array, b: Array) -> float:
    """The largest |a - b| / max(1, |b|); infinite where one of them is no number."""
    if not a.size:
        return 0.0
    gap = np.abs(a.astype(np.float64) - b) / np.maximum(1.0, np.abs(b))
    return float(np.where(np.isnan(gap), np.inf, gap).max())


class Checked(NamedTuple):
    """What came of `check`; `precision` is that of the policy that the step was held against: single, or double."""

    largest: float
    steps: int
    precision: str


def check(
    policy: HistoryPolicy,
    exported: Exported,
    signature: Signature,
    envs: AsymmetricVectorEnv,
    num_episodes: int,
    seed: int,
) -> Checked:
    """The largest `difference` between policy and exported step over random episodes, and the number of steps.

    Outputs, carries and actions are compared, at each step of each episode. Over images of many pixels, and where a
    memory sums up a long past, the policy's own rounding may be above `TOLERANCE`, and the file nearer to what the
    weights say: then these in double precision decide, from which the file may be off by `OWN` times as much as the
    policy itself is over the same steps, at most `MOST`.

    Raises:
        UserError: it is above what is allowed.
    """
    spec = envs.spec_sizes

    def apart(twin: HistoryPolicy, step: Exported) -> _Twins:
        act = RandomPolicy(spec.action_dim, spec.discrete, np.random.default_rng(seed))
        twins = _Twins(twin, step, signature, act)
        run_episodes(envs, twins, num_episodes, seed)
        return twins

    found = apart(policy, exported)
    if found.largest <= TOLERANCE:
        return Checked(found.largest, found.steps, "single")
    exact = in_double(policy)
    nearer = apart(exact, exported)
    own = 0.0 if nearer.largest <= TOLERANCE else apart(exact, Unexported(policy, signature)).largest
    allowed = max(TOLERANCE, min(OWN * own, MOST))
    if nearer.largest <= allowed:
        return Checked(nearer.largest, nearer.steps, "double")
    raise UserError(
        f"--format: the exported step is off by {found.largest:.2g} from the policy, and by {nearer.largest:.2g} from "
        f"its weights in double precision, more than {allowed:.2g}, over {nearer.steps} steps; no file was written"
    )


def in_double(policy: HistoryPolicy) -> HistoryPolicy:
    """A copy that computes in double precision, but for the last layer of the head, which never does."""
    exact = copy.deepcopy(policy).double()
    exact.head.net[-1].float()
    return exact


def context_of(policy: HistoryPolicy) -> int | None:
    """The greatest number of steps of an episode that the policy can take; None for any number."""
    memories = [module for module in policy.modules() if isinstance(module, Memory)]
    limits = [limit for memory in memories if isinstance(limit := getattr(memory, "context", None), int)]
    return min(limits, default=None)
