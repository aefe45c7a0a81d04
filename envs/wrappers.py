"""`{"obs", "state"}` for any gymnasium env.

Dimension key: O observation, S state, A actions, R rows.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.actions import PlainActions, through_wrappers
from envs.base import (
    Belief,
    Categories,
    EnvSpec,
    Past,
    belief_told,
    categories_told,
    close_or_warn,
    features_told,
    groups_told,
    last_of_each,
    storage_told,
)
from envs.factors import Factor
from envs.velocities import hidden_entries
from envs.views import ImageOptions, View, layout_by_sizes, names_of, visible_entries
from utils.errors import NoExpertError, UserError, blaming, choose_name

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Views = dict[str, Floats]
StateFn = Callable[[gym.Env[Any, Any]], Any]


def state_attribute(env: gym.Env[Any, Any]) -> Any:
    """`env.unwrapped.state`, where gymnasium's classic-control envs keep all that they know.

    An example of a `config_env.state_fn`, a function of the env that returns its state as an array of one shape. For an
    env that keeps it elsewhere, write such a function in a module of your own and name it there as `module:function`.
    """
    return getattr(env.unwrapped, "state")  # noqa: B009 gymnasium's Env type does not declare it


@dataclass(frozen=True)
class Adaptation:
    """What a domain's config says of how an env is seen and judged; see docs/environments.md.

    Attributes:
        state_fn: reads the state; "observation" for the whole flat observation, hidden entries included; None for
            the env's `get_state()`.
        hidden: what of the flat observation is taken away, as `envs.velocities.hidden_entries` reads it.
        state_low: lower bounds of the state, one or S numbers; empty for those of the env's `state_space`, else none.
        state_high: upper bounds, likewise.
        obs_keys: of a dict observation, what the policy sees, in this order; empty for all of it.
        state_keys: of a dict observation, what is the state; empty for what `state_fn` says.
        image: how the observation is an image; without a layout, as the env itself says.
        action_low: lower bounds of a continuous action, one or A numbers; empty for the env's.
        action_high: upper bounds, likewise.
        success: whose step's success is the episode's: the `last` one's, or that of `any`.
    """

    state_fn: StateFn | Literal["observation"] | None = None
    hidden: Sequence[int] | str = ()
    state_low: Sequence[float] = ()
    state_high: Sequence[float] = ()
    obs_keys: Sequence[str] | str = ()
    state_keys: Sequence[str] | str = ()
    image: ImageOptions = field(default_factory=ImageOptions)
    action_low: Sequence[float] = ()
    action_high: Sequence[float] = ()
    success: str = "last"

    def __post_init__(self) -> None:
        choose_name(("last", "any"), self.success, "config_env.success")
        if names_of(self.state_keys) and self.state_fn is not None:
            raise UserError("config_env.state_keys: the state is either read by state_fn or part of the observation")


class AsymmetricWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """Publishes `{"obs": (O,), "state": (S,)}` float32 for any env, and says what rollouts need to know of it.

    Both are flattened by their spaces, one-hot where these are categorical; images are brought into the order
    (channels, height, width), bytes among them into [0, 1]. Continuous actions become [-1, 1] and are scaled to the
    env's bounds; discrete ones, and combinations of several, are numbered from 0. `info["success"]` is the env's own
    `success` or `is_success`, absent on a step that tells neither; with `success="any"`, whether any step of the
    episode so far had it. A step that ends an episode by itself at the time limit is terminated, not truncated. What an
    env says of itself (`get_state`, `state_space`, image shapes, its expert) a `gym.Wrapper` around it may say anew.

    Args:
        env: any env with an observation that can be flattened and a discrete or bounded action.
        adapt: what the config says of it.
        max_episode_steps: the horizon, for `spec_sizes`.

    Raises:
        UserError: the env cannot be used so; the message says why.
    """

    def __init__(self, env: gym.Env[Any, Any], adapt: Adaptation | None = None, max_episode_steps: int = 0) -> None:
        super().__init__(env)
        self._adapt = adapt = adapt or Adaptation()
        name = env.spec.id if env.spec else type(env.unwrapped).__name__
        seen = f"the observations of {name}"
        self._whole = whole = _view_of(env, "obs", env.observation_space, adapt.obs_keys, adapt.image, seen)
        hidden = hidden_entries(env, adapt.hidden, not names_of(adapt.obs_keys))
        self._visible = visible_entries(whole.space, hidden, name)
        self._hides = len(hidden) > 0
        obs_space = spaces.Box(whole.space.low[self._visible], whole.space.high[self._visible], dtype=np.float32)
        self._last_obs: Any = None  # as the env gave it
        self._flat_obs: Floats = np.zeros(0, np.float32)  # the same, hidden entries included
        self._succeeded: bool | None = None  # None: not told
        self._state_view = self._find_state_view(name)
        self._read_state = self._find_state_fn(name)
        state_space = self._find_state_space()
        self.observation_space = spaces.Dict(obs=obs_space, state=state_space)
        self.actions = PlainActions(env.action_space, adapt.action_low, adapt.action_high, name)
        self.action_space = self.actions.space
        state_view = whole if adapt.state_fn == "observation" else self._state_view
        own_state = adapt.state_fn is None and not self._state_keys
        self.spec_sizes = EnvSpec(
            env_id=name,
            obs_dim=obs_space.shape[0],
            state_dim=state_space.shape[0],
            action_dim=int(spaces.flatdim(self.action_space)),
            discrete=isinstance(self.action_space, spaces.Discrete),
            max_episode_steps=max_episode_steps,
            obs_image_shape=None if self._hides else whole.image_shape,
            state_image_shape=None if state_view is None else state_view.image_shape,
            state_features=features_told(
                told_by(env, "state_features", "get_state") if own_state else None,
                state_space.shape[0],
                None if state_view is None else state_view.image_shape,
            ),
            state_groups=groups_told(
                told_by(env, "state_groups", "get_state") if own_state else None, state_space.shape[0]
            ),
            obs_categories=self._categories("obs", None if self._hides else whole, obs_space),
            state_categories=self._categories("state", state_view, state_space),
            obs_storage=() if self._hides and whole.image_shape else whole.storage,
            state_storage=() if state_view is None else state_view.storage,
        )

    def _categories(self, kind: str, view: View | None, space: spaces.Box) -> Categories:
        """Those of a view: by its space, else by what the env tells where the view is its own."""
        own = view is not None and not names_of(self._adapt.obs_keys if kind == "obs" else self._state_keys)
        if view is None or view.categories or not own or (kind == "state" and self._adapt.state_fn is not None):
            return () if view is None else view.categories
        name, beside = f"{kind}_categories", "get_state" if kind == "state" else ""
        return categories_told(told_by(self.env, name, beside), space.shape[0], name)

    @property
    def _state_keys(self) -> tuple[str, ...]:
        return names_of(self._adapt.state_keys)

    def _find_state_view(self, name: str) -> View | None:
        """How the state is made of a part of the observation, or of the env's own; None without a space for it."""
        keys, adapt = self._state_keys, self._adapt
        if keys:
            what = f"the observations of {name}"
            return View(self.env.observation_space, keys, None, "config_env.state_keys", what)
        space = told_by(self.env, "state_space", "get_state")
        if adapt.state_fn is not None or not isinstance(space, spaces.Space):
            return None
        return _view_of(self.env, "state", space, (), ImageOptions(), f"the states of {name}", "config_env.state_fn")

    def _find_state_fn(self, name: str) -> Callable[[], Floats]:
        """Reads the state (S,)."""
        view, state_fn = self._state_view, self._adapt.state_fn
        if self._state_keys and view is not None:
            return lambda: view(self._last_obs)
        if state_fn == "observation":
            return lambda: self._flat_obs
        read = state_fn or _own_state_fn(self.env, name)
        return lambda: view(read(self.env)) if view is not None else _as_row(read(self.env), name)

    def _find_state_space(self) -> spaces.Box:
        """The declared bounds, or those of the space that there is; else the size is read off a first state."""
        low, high = self._adapt.state_low, self._adapt.state_high
        view = self._whole if self._adapt.state_fn == "observation" else self._state_view
        if view is not None and not len(low) and not len(high):
            return view.space
        if view is not None:
            size = view.space.shape[0]
        else:
            self._seen(self.env.reset()[0])
            size = len(self._read_state())
        try:
            return spaces.Box(
                np.broadcast_to(np.array(low if len(low) else -np.inf, np.float32), (size,)),
                np.broadcast_to(np.array(high if len(high) else np.inf, np.float32), (size,)),
                dtype=np.float32,
            )
        except ValueError as error:
            raise UserError(f"config_env.state_low/state_high: the state has {size} numbers ({error})") from error

    def get_state(self) -> Floats:
        """The state (S,), flat.

        Raises:
            UserError: it is of another size than the first one.
        """
        state, size = self._read_state(), self.spec_sizes.state_dim
        if len(state) != size:
            raise UserError(
                f"config_env.state_fn: a state of {self.spec_sizes.env_id} has {len(state)} numbers, the first had "
                f"{size}"
            )
        return state

    def _seen(self, obs: Any) -> Floats:
        """The visible entries of an observation, which is remembered."""
        self._last_obs, self._flat_obs = obs, self._whole(obs)
        return self._flat_obs[self._visible]

    def recorded_rows(self, observations: Any, num: int) -> tuple[Floats, Floats | None]:
        """What would be seen of N observations that were recorded, (N, O), and the states (N, S) where they hold these.

        They are batched as gymnasium's vector envs do.
        """
        whole, state = self._whole.rows(observations, num), None
        if self._adapt.state_fn == "observation":
            state = whole
        elif self._state_keys and self._state_view is not None:
            state = self._state_view.rows(observations, num)
        return whole[:, self._visible], state

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Views, dict[str, Any]]:
        """Starts an episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._succeeded = None
        return {"obs": self._seen(obs), "state": self.get_state()}, info

    def step(self, action: Any) -> tuple[Views, float, bool, bool, dict[str, Any]]:
        """One step; `info["success"]` is a bool, where it is told. The env's own info stays as it is."""
        obs, reward, terminated, truncated, info = self.env.step(self.actions.to_native(action))
        success = self._success(info)
        if self._adapt.success == "last" or not (self._succeeded or success is None):
            self._succeeded = success
        info = info if self._succeeded is None else {**info, "success": self._succeeded}
        views = {"obs": self._seen(obs), "state": self.get_state()}
        name = self.spec_sizes.env_id
        reward = float(numbers_of_each(reward, 1, f"a reward of {name}", "config_env.id")[0])
        terminated = only_truth(terminated, f"the terminated of {name}")
        truncated = only_truth(truncated, f"the truncated of {name}")
        return views, reward, terminated, truncated and not terminated, info

    def _success(self, info: Any) -> bool | None:
        """What an info says of success; None where it says nothing."""
        name = self.spec_sizes.env_id
        if not isinstance(info, Mapping):
            raise UserError(f"config_env.id: the info of {name} is a {type(info).__name__}, a dict is needed")
        success = info.get("success", info.get("is_success"))
        return None if success is None else only_truth(success, f"the success of {name}")

    def expert_action(self, guess: bool = False) -> Any:
        """The env's own expert, or that of a wrapper around it, in this wrapper's actions.

        Raises:
            NoExpertError: the env has no expert.
            UserError: its actions cannot be told in those of the env and its wrappers.
        """
        level = level_of(self.env, "expert_action")
        if level is None:
            raise NoExpertError(f"{self.spec_sizes.env_id} has no expert (expert_action): collect random episodes only")
        with blaming("config_env.id", self.spec_sizes.env_id):
            native = through_wrappers(level.expert_action(guess), self.env, level)
        return self.actions.of_expert(native)

    def _as_declared(self) -> bool:
        """Whether both views are the env's own, so that what it says of their entries holds."""
        adapt = self._adapt
        return not (self._hides or adapt.state_fn or names_of(adapt.obs_keys) or self._state_keys)

    def belief(self, obs_RO: NDArray[Any], action_T: NDArray[Any], terminated: bool) -> Belief | None:
        """The env's own belief from what is seen and done; None where it has none, or entries are hidden from it."""
        with blaming("config_env.id", self.spec_sizes.env_id):
            own = self._own("belief")
            found = None if own is None else own(obs_RO, action_T, terminated)
        return None if found is None else belief_told(found, len(obs_RO), self.spec_sizes.env_id)

    def last_beliefs(self, pasts: Sequence[Past]) -> list[Belief] | None:
        """The env's own beliefs at the last rows of episodes; None where it has none, or entries are hidden from it."""
        with blaming("config_env.id", self.spec_sizes.env_id):
            own = self._own("last_beliefs")
            if own is None:
                return last_of_each(self.belief, pasts)
            found, name = own(pasts), self.spec_sizes.env_id
        if found is not None and len(found) != len(pasts):
            raise UserError(f"config_env.id: {name} tells {len(found)} last_beliefs of {len(pasts)} episodes")
        return None if found is None else [belief_told(one, 1, name) for one in found]

    def _own(self, name: str) -> Any:
        """A method of the env that reads its observations; None where it has none, or they are not what is seen."""
        seen_as_it_is = not self._hides and not names_of(self._adapt.obs_keys)
        return told_by(self.env, name, beside="belief") if seen_as_it_is else None

    def factors(self, obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
        """What the env says a probe can look for; nothing where the views are not its own."""
        with blaming("config_env.id", self.spec_sizes.env_id):
            own = told_by(self.env, "factors") if self._as_declared() else None
            found = {} if own is None else dict(own(obs_RO, state_RS))
        for factor, one in found.items():
            sizes = [np.asarray(getattr(one, name, None)).shape for name in ("label_R", "hidden_R")]
            if not isinstance(one, Factor) or sizes != [(len(obs_RO),)] * 2:
                raise UserError(
                    f"config_env.id: the factor {factor!r} of {self.spec_sizes.env_id} is a {type(one).__name__}; an "
                    f"envs.factors.Factor with label_R and hidden_R of each of {len(obs_RO)} rows is needed"
                )
        return found

    def informed_actions(self, state_RS: NDArray[Any]) -> Bools | None:
        """Which actions (R, A) are best for one who knows the state; None where the env cannot tell."""
        with blaming("config_env.id", self.spec_sizes.env_id):
            own = told_by(self.env, "informed_actions") if self._as_declared() else None
            told = None if own is None else own(state_RS)
        found = None if told is None else np.asarray(told)
        shape = (len(state_RS), self.spec_sizes.action_dim)
        if found is not None and found.shape != shape:
            raise UserError(
                f"config_env.id: informed_actions of {self.spec_sizes.env_id} are {found.shape}; {shape} is needed"
            )
        return None if found is None else found.astype(bool)

    def saw_information(self) -> bool | None:
        """Whether this episode has shown the hidden fact; None where the env does not say."""
        with blaming("config_env.id", self.spec_sizes.env_id):
            saw = told_by(self.env, "saw_information")
            return None if saw is None else bool(saw())

    def close(self) -> None:
        """Frees what the env holds; where that fails it is warned of."""
        close_or_warn(self.env, self.spec_sizes.env_id)


def level_of(env: gym.Env[Any, Any], name: str) -> Any:
    """The outermost of an env and its wrappers that has this attribute; None where none has."""
    level: Any = env
    while not hasattr(level, name):
        if not isinstance(level, gym.Wrapper):
            return None
        level = level.env
    return level


def told_by(env: gym.Env[Any, Any], name: str, beside: str = "") -> Any:
    """An attribute of the outermost of an env and its wrappers that has it; None where none has.

    What is told of something, as `state_space` is of the states, must not come from further inside than that
    (`beside`, such as `get_state`): a wrapper that tells other states would be misunderstood.
    """
    level, last = level_of(env, name), level_of(env, beside) if beside else None
    if level is None or (last is not None and level is not last and level_of(last, name) is level):
        return None
    return getattr(level, name)


def _own_state_fn(env: gym.Env[Any, Any], name: str) -> StateFn:
    """Reads the `get_state()` of an env, or of a wrapper around it."""
    level = level_of(env, "get_state")
    if level is None:
        raise UserError(
            f"config_env.state_fn: {name} has no get_state(); name a function that reads its state, "
            "as 'module:function' with function(env) -> array (an example: 'envs.wrappers:state_attribute'), or give "
            "'observation' for the whole observation, or config_env.state_keys for keys of it"
        )
    return lambda env: level.get_state()


def _as_row(state: Any, name: str) -> Floats:
    """What a `state_fn` gave, flat."""
    try:
        return np.array(state, np.float32).reshape(-1)
    except (TypeError, ValueError) as error:
        raise UserError(f"config_env.state_fn: a state of {name} is no array of numbers ({state!r:.80})") from error


def only_truth(told: Any, what: str) -> bool:
    """One truth value, whatever array of one it is.

    Raises:
        UserError: it is something else; `what` says of whom it is told.
    """
    if isinstance(told, bool | np.bool_):
        return bool(told)
    return bool(truths_of_each(told, 1, what, "config_env.id")[0])


def truths_of_each(told: Any, num: int, what: str, field: str) -> Bools:
    """Truth values (N,) of N envs; see `numbers_of_each`, but a NaN is none.

    Raises:
        UserError: they are something else.
    """
    found = numbers_of_each(told, num, what, field)
    if (found != found).any():
        raise UserError(f"{field}: {what} is nan, which is neither true nor false")
    return found.astype(bool)


def numbers_of_each(told: Any, num: int, what: str, field: str) -> NDArray[Any]:
    """Numbers or truth values (N,) of N envs, whatever their array's further axes of one.

    Raises:
        UserError: they are something else; `field` of the config names the envs, `what` says what is told.
    """
    found = np.asarray(told)
    if found.size != num:
        raise UserError(f"{field}: {what} has shape {found.shape}, {'one number' if num == 1 else (num,)} is needed")
    if found.dtype.kind not in "biuf" and not all(isinstance(one, Real) for one in found.flat):
        raise UserError(f"{field}: {what} is {found.reshape(-1).tolist()[0]!r:.40}, which is no number")
    return found.reshape(num)


def _view_of(
    env: gym.Env[Any, Any],
    kind: str,
    space: spaces.Space[Any],
    keys: Sequence[str] | str,
    image: ImageOptions,
    what: str,
    named_by: str = "config_env.obs_keys",
) -> View:
    """The view of a space; of an image where the config says so, or the env by `<kind>_image_shape`."""
    beside = "get_state" if kind == "state" else ""
    shape = told_by(env, f"{kind}_image_shape", beside)
    storage = told_by(env, f"{kind}_storage", beside)
    if shape is not None and not image.layout and not names_of(keys):
        shape = tuple(int(size) for size in shape)
        storage = storage_told(storage, shape, f"{kind}_storage")
        layout = layout_of(space, shape, f"{kind}_image_shape", what)
        if not layout and space.dtype == np.uint8 and not storage:  # flat bytes
            space, layout = spaces.Box(0, 255, shape, np.uint8), "chw"
        view = View(space, (), ImageOptions(layout), named_by, what)
        if view.image_shape is None:  # it is flat already
            view.image_shape = shape
        view.storage = storage or view.storage
        return view
    return View(space, keys, image, named_by, what)


def layout_of(space: spaces.Space[Any], shape: tuple[int, ...], attribute: str, what: str) -> str:
    """How the axes of an image lie of which an env says that it is (channels, height, width); "" of a flat one.

    Raises:
        UserError: it is no such image.
    """
    box = space.shape if isinstance(space, spaces.Box) else None
    if box is None or len(shape) != 3 or math.prod(box) != math.prod(shape):
        raise UserError(f"config_env.id: {what} are no images of {attribute}={shape} ({space})")
    if len(box) != 3:
        return "" if len(box) == 1 else "chw"
    if box == shape and layout_by_sizes(box, side=5) == "hwc":
        raise UserError(
            f"config_env.obs_image: {what} are (height, width, channels) = {box}, but {attribute} is "
            "(channels, height, width); say --config_env.obs_image=hwc, or mend the attribute"
        )
    if box == shape:
        return "chw"
    if box == (shape[1], shape[2], shape[0]):
        return "hwc"
    raise UserError(f"config_env.id: {what} have shape {box}, which are no images of {attribute}={shape}")
