"""The contract of a partially observable environment whose simulator can also tell its state.

Dimension key: T steps, B batch, N envs, O observation, S state, A actions, F features, H memory, Z embedding.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from utils.errors import UserError, first_line, staying

Categories = tuple[tuple[int, int], ...]
Storage = tuple[tuple[float, float, int], ...]
MASK = (0.0, 1.0, 1)  # how a channel of an image is stored of which all pixels are 0 or 1
TOLD = ("state_groups", "obs_categories", "state_categories")  # fields that no file keeps


@dataclass(frozen=True)
class EnvSpec:
    """The sizes that every other part is built from.

    `action_dim` is the number of discrete actions, or the width of a continuous action in [-1, 1]. An image shape is
    (channels, height, width) of a view that is stored flat, None for a plain vector. `max_episode_steps` is the
    horizon. `state_features` names the equal parts of the state: its entries, or the channels of an image.
    `state_groups` names what is a sum of entries: which number of the feature each entry is added to, -1 for none.
    Categories are (first, number) of entries next to each other of which one is 1 and the others are 0. A storage gives
    (low, high, bits) for each channel of an image of which replay and data sets keep few bits (see `buffers.images`);
    () for a view that they keep as float32.
    """

    env_id: str
    obs_dim: int
    state_dim: int
    action_dim: int
    discrete: bool
    max_episode_steps: int
    obs_image_shape: tuple[int, ...] | None = None
    state_image_shape: tuple[int, ...] | None = None
    state_features: tuple[str, ...] = ()
    obs_storage: Storage = ()
    state_storage: Storage = ()
    state_groups: tuple[tuple[str, tuple[int, ...]], ...] = ()
    obs_categories: Categories = ()
    state_categories: Categories = ()

    def to_json(self) -> dict[str, Any]:
        """What data sets and policies keep of it: not what of entries is the domain's to say."""
        return {name: value for name, value in asdict(self).items() if name not in TOLD}

    def feature_groups(self, name: str, flag: str = "--config_rl.critic.signal") -> list[list[int]]:
        """Of each number of a feature the entries of the flat state whose sum it is; a number names an entry.

        `flag` names the field that asks for it, for errors.

        Raises:
            UserError: the state has no such feature; names `flag`, which asks for it.
        """
        groups = dict(self.state_groups)
        if name in groups:
            number_S = np.array(groups[name])
            return [np.flatnonzero(number_S == number).tolist() for number in range(number_S.max() + 1)]
        if name in self.state_features:
            size = self.state_dim // len(self.state_features)
            first = self.state_features.index(name) * size
            return [[entry] for entry in range(first, first + size)]
        if name.isdecimal() and int(name) < self.state_dim:
            return [[int(name)]]
        named = ", ".join((*groups, *self.state_features))
        raise UserError(
            f"{flag}: the state of {self.env_id} has no feature {name!r}; there are "
            f"{named + ', and ' if named else ''}the numbers of its entries, 0 to {self.state_dim - 1}"
        )

    def encode_action(self, action: NDArray[Any]) -> NDArray[np.float32]:
        """What a network reads of actions: one-hot (…, A) of integers (…), or the float actions (…, A) as they are."""
        if not self.discrete:
            return np.asarray(action, np.float32)
        return np.array(_one_hots(self.action_dim)[action])


@cache
def _one_hots(count: int) -> NDArray[np.float32]:
    """Each number's one-hot (count, count)."""
    return np.eye(count, dtype=np.float32)


class Past(NamedTuple):
    """An episode up to some row: observations (R, O), the R - 1 actions between them, and whether it ended there."""

    obs_RO: NDArray[Any]
    action_T: NDArray[Any]
    terminated: bool


@dataclass(frozen=True)
class Belief:
    """What there is to know of a hidden fact, given the observations of an episode up to each of its rows.

    Attributes:
        names: of the K facts that are possible.
        probability_RK: their probabilities at each of R rows, exact but where there are particles.
        irrelevant_RD: the means of D variables that mean nothing, given the same; None where there are none.
        particles_RPS: P equally weighted states, which are the belief where it cannot be told exactly; else None.
        features: by name, which number of a feature each fact (K,) has, where that is not the state's to say; a factor
            of the domain that has the name is numbered alike.
    """

    names: tuple[str, ...]
    probability_RK: NDArray[np.float64]
    irrelevant_RD: NDArray[np.float64] | None = None
    particles_RPS: NDArray[np.float32] | None = None
    features: Mapping[str, NDArray[np.intp]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What it is, in words."""
        if self.particles_RPS is None:
            return "exact belief"
        return f"belief by {self.particles_RPS.shape[1]:,} particles"

    def last(self) -> "Belief":
        """That of the last row alone."""
        return replace(
            self,
            probability_RK=self.probability_RK[-1:],
            irrelevant_RD=None if self.irrelevant_RD is None else self.irrelevant_RD[-1:],
            particles_RPS=None if self.particles_RPS is None else self.particles_RPS[-1:],
        )

    def entropy(self) -> NDArray[np.float64]:
        """The entropy (R,) in nats."""
        return entropies(self.probability_RK)


def last_of_each(belief: Callable[..., Belief | None], pasts: Sequence[Past]) -> list[Belief] | None:
    """The beliefs at the last rows of episodes by what tells that of one; None where it tells none."""
    found = [one.last() for past in pasts if (one := belief(*past)) is not None]
    return found if len(found) == len(pasts) else None


def entropies(probability_RK: NDArray[np.float64]) -> NDArray[np.float64]:
    """The entropy (R,) of distributions, in nats."""
    log_RK = np.log(probability_RK, where=probability_RK > 0, out=np.zeros_like(probability_RK))
    entropy_R: NDArray[np.float64] = -(probability_RK * log_RK).sum(axis=1) + 0.0
    return entropy_R


class PartiallyObservableEnv(gym.Env[NDArray[np.float32], Any]):
    """A gymnasium env whose `reset` and `step` return observations only; the state is asked for.

    `info["success"]` is a bool on every step, absent where the domain knows of none. `reset(options={"state": s})`
    starts in the given state.
    """

    state_space: spaces.Box
    obs_image_shape: tuple[int, ...] | None = None
    state_image_shape: tuple[int, ...] | None = None
    state_features: tuple[str, ...] = ()  # names of the state's equal parts: its entries, or an image's channels
    # by name, which number of a feature each entry (S,) is added to, -1 for none: what a one-hot state says
    state_groups: Mapping[str, NDArray[np.intp]] = {}
    obs_categories: Categories = ()  # (first, number) of entries of which one is 1 and the others are 0
    state_categories: Categories = ()
    obs_storage: Storage = ()  # (low, high, bits) of an image's channels; () for float32
    state_storage: Storage = ()

    def get_state(self) -> NDArray[np.float32]:
        """The simulator's state (S,), for training only."""
        raise NotImplementedError

    def belief(self, obs_RO: NDArray[Any], action_T: NDArray[Any], terminated: bool) -> Belief | None:
        """The belief at each row of an episode from what the agent saw and did; None where it cannot be told.

        That the episode went on after each row but the last counts as observed, and for the last row, if `terminated`,
        that it ended.
        """
        return None

    def last_beliefs(self, pasts: Sequence[Past]) -> list[Belief] | None:
        """The beliefs at the last rows of episodes, R = 1; None where they cannot be told."""
        return last_of_each(self.belief, pasts)


class ManyEnvs(Protocol):
    """What N envs that are stepped together offer beside their steps."""

    @property
    def num_envs(self) -> int:
        """N."""

    @property
    def single_action_space(self) -> spaces.Space[Any]:
        """The actions of one env."""

    def expert_action(self, guess_N: NDArray[np.bool_]) -> NDArray[Any]:
        """The expert's actions (N, …); where `guess_N` is True it goes for a guessed goal without the information.

        Raises:
            NoExpertError: the domain has no expert.
        """

    def saw_information(self) -> NDArray[np.bool_] | None:
        """Whether each env's present episode has already shown the hidden fact (N,); None where they do not tell."""

    def render_frame(self, index: int = 0) -> NDArray[np.uint8]:
        """An RGB picture (height, width, 3) of one env."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to go on bit for bit: arrays, numbers, strings, nested dicts."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts the envs back where `state_dict` was taken."""

    def close(self) -> None:
        """Frees what the envs hold."""


@runtime_checkable
class AsymmetricVectorEnv(ManyEnvs, Protocol):
    """What rollouts need of N envs stepped together; made by `envs.make.make_vector_env`.

    Observations are `{"obs": (N, O) float32, "state": (N, S) float32}`. An env that has ended is never reset by itself
    (gymnasium's `AutoresetMode.DISABLED`): the caller resets it with `reset(options={"reset_mask": ended_N})` before
    the next step. After such a reset the rows of envs that were not reset are unchanged.
    """

    spec_sizes: EnvSpec

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Starts all envs, or those of `options["reset_mask"]` (N,) bool; a `seed` fixes all that follows.

        `options["state"]` (N, S) says where they start; of its rows only those of the envs to start are read.
        """

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[
        dict[str, NDArray[np.float32]], NDArray[np.floating[Any]], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """Returns observations, reward (N,), terminated (N,), truncated (N,) and info.

        Of the info `success` (N,) bool is read, which is absent where no env tells of any.
        """

    def lost_steps(self) -> NDArray[np.bool_]:
        """Which envs' last step could not be simulated (N,): their episodes were truncated before it."""


def close_or_warn(env: Any, env_id: str) -> None:
    """Closes an env of anybody's; one that fails at it has been of use, and is warned of."""
    try:
        with staying():
            env.close()
    except Exception as error:  # noqa: BLE001 whatever it is, what was done with the env is kept
        warnings.warn(f"{env_id}: close() failed: {first_line(error)}", RuntimeWarning, stacklevel=3)


def groups_told(groups: Mapping[str, NDArray[Any]] | None, state_dim: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """`EnvSpec.state_groups` as an env tells them.

    Raises:
        UserError: one is not a number for each entry of the state.
    """
    found = tuple((name, tuple(np.ravel(number_S).tolist())) for name, number_S in (groups or {}).items())
    for name, number_S in found:
        if len(number_S) != state_dim or not all(isinstance(number, int) and number >= -1 for number in number_S):
            raise UserError(f"config_env.id: state_groups[{name!r}] is not a number for each of {state_dim} entries")
    return found


def categories_told(categories: Any, dim: int, name: str) -> Categories:
    """`EnvSpec.obs_categories` or `state_categories` as an env tells them.

    Raises:
        UserError: they are not pairs of numbers within `dim` entries, one after the other.
    """
    try:
        found = tuple((int(first), int(number)) for first, number in categories or ())
    except (TypeError, ValueError):
        found = ((-1, 0),)
    end = 0
    for first, number in found:
        if first < end or number < 1 or first + number > dim:
            raise UserError(f"config_env.id: {name}={categories} are not (first, number) of some of {dim} entries")
        end = first + number
    return found


def features_told(names: Any, dim: int, image_shape: tuple[int, ...] | None) -> tuple[str, ...]:
    """`EnvSpec.state_features` as an env tells them.

    Raises:
        UserError: they are no names of equal parts of `dim` entries, or of the channels of an image.
    """
    found = (names,) if isinstance(names, str) else tuple(names or ())
    parts = "the entries, or of equal parts of them" if image_shape is None else f"{image_shape[0]} channels"
    equal = not found or (dim % len(found) == 0 if image_shape is None else len(found) == image_shape[0])
    if not equal or not all(isinstance(name, str) for name in found):
        raise UserError(f"config_env.id: state_features={found} are not the names of {parts}; the state has {dim}")
    return found


def storage_told(storage: Any, image_shape: tuple[int, ...] | None, name: str) -> Storage:
    """`EnvSpec.obs_storage` or `state_storage` as an env tells them; a vector is one channel.

    Raises:
        UserError: they are not (low, high, bits) of each channel.
    """
    channels = 1 if image_shape is None else image_shape[0]
    try:
        found = tuple((low, high, bits) for low, high, bits in storage or ())
        right = all(bits in (0, 1, 8) and (bits == 0 or low < high) for low, high, bits in found)
    except (TypeError, ValueError):
        right = False
    if not right or (found and len(found) != channels):
        raise UserError(f"config_env.id: {name}={storage} is not (low, high, bits of 0, 1 or 8) of {channels} channels")
    return found


def belief_told(found: Any, rows: int, env_id: str) -> Belief:
    """What an env says of its belief at so many rows.

    Raises:
        UserError: it is none, or of other sizes.
    """
    shape = np.asarray(getattr(found, "probability_RK", None)).shape
    if not isinstance(found, Belief) or shape != (rows, len(found.names)):
        said = f"a {type(found).__name__}"
        if isinstance(found, Belief):
            said = f"probabilities of {shape} to {len(found.names)} names"
        raise UserError(
            f"config_env.id: the belief of {env_id} at {rows} rows is {said}; an envs.base.Belief is needed"
        )
    return found


def told(values: Sequence[bool | None]) -> NDArray[np.bool_] | None:
    """What N envs or episodes tell (N,), False for one that does not; None where none does."""
    return None if all(value is None for value in values) else np.array([bool(value) for value in values])


def info_of(success_N: NDArray[np.bool_] | None) -> dict[str, Any]:
    """The info of a step in which this is told of success."""
    return {} if success_N is None else {"success": success_N.copy()}


def portable_rng(rng: np.random.Generator) -> dict[str, Any]:
    """The state of a PCG64 generator in plain numbers and strings (its 128-bit integers fit no other portable type)."""
    state = rng.bit_generator.state
    return {
        "bit_generator": state["bit_generator"],
        "state": str(state["state"]["state"]),
        "inc": str(state["state"]["inc"]),
        "has_uint32": int(state["has_uint32"]),
        "uinteger": int(state["uinteger"]),
    }


def restored_rng(state: dict[str, Any]) -> np.random.Generator:
    """The generator that `portable_rng` described.

    Raises:
        ValueError: the state is that of another kind of generator than gymnasium's PCG64.
    """
    if state["bit_generator"] != "PCG64":
        raise ValueError(f"expected the state of a PCG64 generator, not of {state['bit_generator']}")
    bits = np.random.PCG64()
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": int(state["state"]), "inc": int(state["inc"])},
        "has_uint32": int(state["has_uint32"]),
        "uinteger": int(state["uinteger"]),
    }
    return np.random.Generator(bits)
