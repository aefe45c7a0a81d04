"""Vector envs of others: simulators that step many envs in one batch, of numpy or torch, and reset by themselves.

Dimension key: N envs, O observation, S state.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.actions import PlainActions
from envs.base import EnvSpec, close_or_warn, info_of, portable_rng, restored_rng
from envs.pictures import as_picture
from envs.replayed import SEEDS, warn_given_up
from envs.velocities import hidden_entries
from envs.views import View, visible_entries
from envs.wrappers import Adaptation, Bools, Floats, Views, numbers_of_each, truths_of_each
from utils.errors import NoExpertError, UserError, blaming, first_line, staying

FINAL = ("final_obs", "final_observation")  # where an info keeps the last observations of envs that were reset at once


class ForeignVectorEnv:
    """N envs of a vector env of another's, with the views, actions and resets that ours have.

    The env is one of gymnasium's, or follows IsaacLab's convention: `num_envs`, `single_observation_space`,
    `single_action_space`, `reset(seed=)` and `step(actions)` with observations, rewards and flags of numpy or torch. It
    leaves resets to its caller (`AutoresetMode.DISABLED` in its metadata) or resets ended envs in the same step, the
    last observations then being told in the info (`final_obs`) or, of IsaacLab's, taken just before `_reset_idx`. No
    such env can be put down and taken up: after a resume the episodes in progress are given up where they were.

    Args:
        env: the vector env.
        env_id: what it is called.
        adapt: what the config says of it.
        max_episode_steps: the horizon, which no episode may exceed.

    Raises:
        UserError: the env cannot be used so; the message says why.
    """

    def __init__(self, env: Any, env_id: str, adapt: Adaptation, max_episode_steps: int):
        self.env, self._adapt, self._base = env, adapt, getattr(env, "unwrapped", env)
        for name in ("num_envs", "single_observation_space", "single_action_space"):
            if not hasattr(env, name):
                raise UserError(f"config_env.vector_entry: {env_id} has no {name}; a vector env is needed")
        self.num_envs, self.env_id = int(env.num_envs), env_id
        self.np_random: np.random.Generator = seeding.np_random(0)[0]
        self._own_resets = _resets_itself(env, env_id)
        space, what = env.single_observation_space, f"the observations of {env_id}"
        self._whole = View(space, adapt.obs_keys, adapt.image, "config_env.obs_keys", what)
        self._visible = visible_entries(self._whole.space, hidden_entries(env, adapt.hidden, False), env_id)
        keys = adapt.state_keys
        self._state_view = View(space, keys, None, "config_env.state_keys", what) if keys else None
        self.actions = PlainActions(env.single_action_space, adapt.action_low, adapt.action_high, env_id)
        self.single_action_space = self.actions.space
        self._final: tuple[Floats, Floats] | None = None  # the last rows of the envs that were reset in this step
        if self._own_resets and hasattr(self._base, "_reset_idx"):
            self._look_before_resets()
        self._longest = max_episode_steps
        if (own := int(getattr(self._base, "max_episode_length", 0) or 0)) > max_episode_steps:
            raise UserError(f"config_env.horizon: {env_id} has episodes of {own} steps, more than {max_episode_steps}")
        # what the env is given: torch tensors once it has shown that it works on these
        self._make: Callable[[NDArray[Any]], Any] = _as_numpy
        self._t = np.zeros(self.num_envs, np.int64)
        self._succeeded: Bools | None = None  # None: not told
        self._given_up, self._lost = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        self._ended = np.ones(self.num_envs, bool)
        self._now = self._pending = self._start_all()
        self.spec_sizes = self._sizes(max_episode_steps)
        box = spaces.Box(self._whole.space.low[self._visible], self._whole.space.high[self._visible], dtype=np.float32)
        self.single_observation_space = spaces.Dict(obs=box, state=self._state_space())
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property
    def _view_of_states(self) -> View | None:
        """How states are made of observations; None where they are not."""
        return self._whole if self._adapt.state_fn == "observation" else self._state_view

    def _state_space(self) -> spaces.Box:
        view = self._view_of_states
        if view is not None:
            return view.space
        return spaces.Box(-np.inf, np.inf, self._now["state"].shape[1:], np.float32)

    def _sizes(self, max_episode_steps: int) -> EnvSpec:
        hides = len(self._visible) < self._whole.space.shape[0]
        state_view = self._view_of_states
        return EnvSpec(
            env_id=self.env_id,
            obs_dim=self._now["obs"].shape[1],
            state_dim=self._now["state"].shape[1],
            action_dim=int(spaces.flatdim(self.single_action_space)),
            discrete=isinstance(self.single_action_space, spaces.Discrete),
            max_episode_steps=max_episode_steps,
            obs_image_shape=None if hides else self._whole.image_shape,
            state_image_shape=None if state_view is None else state_view.image_shape,
            obs_categories=() if hides else self._whole.categories,
            state_categories=() if state_view is None else state_view.categories,
            obs_storage=() if hides and self._whole.image_shape else self._whole.storage,
            state_storage=() if state_view is None else state_view.storage,
        )

    def _look_before_resets(self) -> None:
        """Has the env show what it would observe just before it resets ended envs, which its step does not return."""
        reset = self._base._reset_idx

        def look_then_reset(env_ids: Any, *rest: Any, **more: Any) -> Any:
            if self._final is None:
                views = self._views(_observe_now(self._base))
                self._final = views["obs"], views["state"]
            return reset(env_ids, *rest, **more)

        self._base._reset_idx = look_then_reset

    def _views(self, obs: Any) -> Views:
        """Both views of all envs."""
        obs = _on_cpu(obs)
        whole_NF = self._whole.rows(obs, self.num_envs)
        if self._state_view is not None:
            state_NS = self._state_view.rows(obs, self.num_envs)
        elif self._adapt.state_fn == "observation":
            state_NS = whole_NF
        else:
            state_NS = self._own_states()
        return {"obs": whole_NF[:, self._visible], "state": state_NS}

    def _own_states(self) -> Floats:
        read = self._adapt.state_fn
        if not callable(read):
            own = getattr(self.env, "get_state", getattr(self._base, "get_state", None))
            if own is None:
                raise UserError(
                    f"config_env.state_keys: which keys of an observation of {self.env_id} are the state? Or name a "
                    "config_env.state_fn, function(env) -> (N, S)"
                )
            with blaming("config_env.vector_entry", self.env_id):
                return _rows_of(own(), self.num_envs, self.env_id)
        return _rows_of(read(self.env), self.num_envs, self.env_id)

    def _start_all(self, seed: int | None = None) -> Views:
        self._final = self._now_unknown()
        with blaming("config_env.vector_entry", self.env_id):
            obs, _ = self.env.reset(seed=int(self.np_random.integers(SEEDS)) if seed is None else seed)
        if hasattr(_first(obs), "detach"):
            self._make = _tensor_like(_first(obs))
        views = self._views(obs)
        self._t[:], self._ended[:], self._given_up[:], self._lost[:], self._succeeded = 0, False, False, False, None
        return views

    def _now_unknown(self) -> tuple[Floats, Floats]:
        """Stands for last rows where nobody asks for any, as in a reset of all."""
        return np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Views, dict[str, Any]]:
        """Starts all envs, or those of `options["reset_mask"]` (N,), which must have ended.

        Raises:
            UserError: `options["state"]`, which these envs do not know.
        """
        options = options or {}
        if options.get("state") is not None:
            raise UserError(f"config_env.vector_entry: {self.env_id} cannot start in a given state")
        mask = options.get("reset_mask")
        if seed is not None:
            self.np_random = seeding.np_random(seed)[0]
        if mask is None:
            self._now = self._start_all(seed)
            return self._copy(self._now), {}
        mask = np.asarray(mask, bool)
        if not self._own_resets:
            with blaming("config_env.vector_entry", self.env_id):
                obs = self.env.reset(options={"reset_mask": mask})[0]
            self._pending = self._views(obs)
        self._now = {name: np.where(mask[:, None], self._pending[name], rows) for name, rows in self._now.items()}
        for array in (self._t, self._ended, self._succeeded, self._given_up):
            if array is not None:
                array[mask] = 0
        return self._copy(self._now), {}

    def step(self, actions: NDArray[Any]) -> tuple[Views, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """One step of all envs; where episodes were given up they end, and nothing is stepped.

        Raises:
            ValueError: an env has ended and was not reset.
            UserError: an episode is longer than the horizon; or the last observation of one is not told.
        """
        if self._ended.any():
            raise ValueError(f"env {int(self._ended.argmax())} has ended: reset it before this step")
        if self._given_up.any():
            return self._cut_off()
        self._final = None
        with blaming("config_env.vector_entry", self.env_id):
            obs, reward, terminated, truncated, info = self.env.step(self._make(self.actions.batch_to_native(actions)))
        what = f"the reward of {self.env_id}"
        reward = numbers_of_each(_on_cpu(reward), self.num_envs, what, "config_env.vector_entry")
        terminated = self._truths(terminated, f"the terminated of {self.env_id}")
        truncated = self._truths(truncated, f"the truncated of {self.env_id}") & ~terminated
        if not isinstance(info, Mapping):
            raise UserError(
                f"config_env.vector_entry: the info of {self.env_id} is a {type(info).__name__}, a dict is needed"
            )
        self._ended = terminated | truncated
        self._now = self._pending = self._views(obs)
        if self._own_resets and self._ended.any():
            last_obs, last_state = self._last_rows(info)
            ended_N1 = self._ended[:, None]
            self._now = {
                "obs": np.where(ended_N1, last_obs, self._pending["obs"]),
                "state": np.where(ended_N1, last_state, self._pending["state"]),
            }
        self._t += 1
        if (self._t[~self._ended] >= self._longest).any():
            raise UserError(
                f"config_env.horizon: an episode of {self.env_id} goes on after {self._longest} steps; give its limit"
            )
        success = self._success(info)
        if self._adapt.success == "last" or self._succeeded is None:
            self._succeeded = success
        elif success is not None:
            self._succeeded |= success
        self._lost = np.zeros(self.num_envs, bool)
        info = info_of(self._succeeded)
        return self._copy(self._now), np.asarray(reward, np.float64), terminated, truncated, info

    def _truths(self, told: Any, what: str) -> Bools:
        """What is told of each env (N,), true or false."""
        return truths_of_each(_on_cpu(told), self.num_envs, what, "config_env.vector_entry")

    def _cut_off(self) -> tuple[Views, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """The end of all episodes where they were."""
        none = np.zeros(self.num_envs, bool)
        self._lost = self._ended = ~none
        return self._copy(self._now), np.zeros(self.num_envs), none, ~none, info_of(self._succeeded)

    def _last_rows(self, info: Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Observations (N, O) and states (N, S) at the end of the episodes that have just ended."""
        if self._final is not None:
            return self._final
        told = next((info[name] for name in FINAL if info.get(name) is not None), None)
        if told is None:
            raise UserError(
                f"config_env.vector_entry: {self.env_id} resets ended envs at once and tells no last observation "
                f"(info[{FINAL[0]!r}]); make it with autoreset_mode=AutoresetMode.DISABLED, or have it tell them"
            )
        if self._view_of_states is None:
            raise UserError(
                f"config_env.state_keys: {self.env_id} resets ended envs at once, so that their last states are known "
                "only where they are part of the observation; name its keys, or leave resets to the caller"
            )
        last_obs, last_state = np.zeros_like(self._pending["obs"]), np.zeros_like(self._pending["state"])
        told = _on_cpu(told)
        for n in np.flatnonzero(self._ended).tolist():
            try:
                one = _entry(told, n)
            except (IndexError, KeyError, TypeError) as error:
                raise UserError(
                    f"config_env.vector_entry: {self.env_id} tells no last observation of env {n}, which has ended; "
                    f"one of each of its {self.num_envs} envs is needed, by their numbers"
                ) from error
            whole = self._whole(one)
            last_obs[n] = whole[self._visible]
            last_state[n] = whole if self._state_view is None else self._state_view(one)
        return last_obs, last_state

    def _success(self, info: Mapping[str, Any]) -> Bools | None:
        """What the info says of success (N,), that of envs which were reset at once included; None where nothing."""
        found, any_told = np.zeros(self.num_envs, bool), False
        final = info.get("final_info")
        of_ended = final if self._own_resets and isinstance(final, Mapping) else info
        for source, where in ((info, ~self._ended), (of_ended, self._ended)):
            for name in ("success", "is_success"):
                if (told := source.get(name)) is not None:
                    truth_N = self._truths(_none_is_false(_on_cpu(told)), f"info[{name!r}] of {self.env_id}")
                    found, any_told = found | (truth_N & where), True
        return found if any_told else None

    def lost_steps(self) -> Bools:
        """Which envs' last step was none (N,), their episodes having been given up."""
        return self._lost.copy()

    def expert_action(self, guess_N: Bools) -> NDArray[Any]:
        """The expert's actions (N, …), where the env has one.

        Raises:
            NoExpertError: it has none.
        """
        expert = getattr(self.env, "expert_action", getattr(self._base, "expert_action", None))
        if expert is None:
            raise NoExpertError(f"{self.env_id} has no expert (expert_action): collect random episodes only")
        with blaming("config_env.vector_entry", self.env_id):
            told = _on_cpu(expert(guess_N))
        if getattr(told, "ndim", 1) == 0 or not hasattr(told, "__len__") or len(told) != self.num_envs:
            what = f"the expert of {self.env_id} gave {' '.join(repr(told).split())[:60]}"
            raise UserError(f"config_env.vector_entry: {what}; an action of each of {self.num_envs} envs is needed")
        return np.stack([self.actions.of_expert(action) for action in told])

    def saw_information(self) -> Bools | None:
        """Whether each episode has shown the hidden fact (N,); None where the env does not say."""
        saw = getattr(self.env, "saw_information", getattr(self._base, "saw_information", None))
        return None if saw is None else np.asarray(_on_cpu(saw()), bool)

    def render_frame(self, index: int = 0) -> NDArray[np.uint8]:
        """An RGB picture of one env, or of all where the env draws one.

        Raises:
            UserError: it cannot draw here, or draws none.
        """
        try:
            with staying():
                drawn = _on_cpu(self.env.render())
        except Exception as error:
            raise UserError(f"{self.env_id} cannot be drawn: {first_line(error)}") from error
        of_each = isinstance(drawn, list | tuple) or getattr(drawn, "ndim", 0) == 4
        if of_each and len(drawn) <= index:
            raise UserError(f"{self.env_id} draws no pictures ({len(drawn)} of {self.num_envs} envs)")
        return as_picture(_on_cpu(drawn[index]) if of_each else drawn, self.env_id)

    def state_dict(self) -> dict[str, Any]:
        """Where the episodes are; not how to go on in them, which such an env does not tell."""
        return {
            "now": self._copy(self._now),
            **info_of(self._succeeded),
            "rng": portable_rng(self.np_random),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Starts all envs anew; the episodes that were in progress are given up by the next step, with a warning.

        Raises:
            ValueError: the state is that of another number of envs.
        """
        if len(state["now"]["obs"]) != self.num_envs:
            raise ValueError(f"the state is that of {len(state['now']['obs'])} envs, not of {self.num_envs}")
        self.np_random = restored_rng(state["rng"])
        self._pending = self._start_all()
        self._now = self._copy(state["now"])
        self._succeeded = np.array(state["success"], bool) if "success" in state else None
        self._given_up[:] = True
        why = "cannot be gone on with: where a vector env of others was is not known"
        warn_given_up(self.num_envs, self.num_envs, self.env_id, why)

    def close(self) -> None:
        """Frees what the env holds; where that fails it is warned of."""
        close_or_warn(self.env, self.env_id)

    @staticmethod
    def _copy(views: Views) -> Views:
        return {name: rows.astype(np.float32) for name, rows in views.items()}


def _resets_itself(env: Any, env_id: str) -> bool:
    """Whether an env resets ended ones in the same step; gymnasium's say it in their metadata, others do."""
    mode = (getattr(env, "metadata", None) or {}).get("autoreset_mode", AutoresetMode.SAME_STEP)
    if AutoresetMode(mode) == AutoresetMode.NEXT_STEP:
        raise UserError(
            f"config_env.vector_entry: {env_id} resets ended envs in the step after, which is none of theirs; make it "
            "with autoreset_mode=AutoresetMode.DISABLED or SAME_STEP"
        )
    return AutoresetMode(mode) == AutoresetMode.SAME_STEP


def _observe_now(base: Any) -> Any:
    """What an env of IsaacLab's would observe now."""
    if hasattr(base, "observation_manager"):
        return base.observation_manager.compute()
    return base._get_observations()


def _on_cpu(value: Any) -> Any:
    """Torch tensors as arrays, at any depth of dicts."""
    if isinstance(value, Mapping):
        return {key: _on_cpu(inner) for key, inner in value.items()}
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _first(obs: Any) -> Any:
    """Some array of an observation."""
    while isinstance(obs, Mapping):
        obs = next(iter(obs.values()))
    return obs


def _entry(batched: Any, index: int) -> Any:
    """That of one env, at any depth of dicts."""
    if isinstance(batched, Mapping):
        return {key: _entry(inner, index) for key, inner in batched.items()}
    return batched[index]


def _none_is_false(told: Any) -> Any:
    """What gymnasium makes of infos in which some envs have None."""
    whole = isinstance(told, np.ndarray) and told.dtype == object
    return np.array([False if one is None else one for one in told.flat]) if whole else told


def _as_numpy(actions: NDArray[Any]) -> Any:
    return actions


def _tensor_like(example: Any) -> Callable[[NDArray[Any]], Any]:
    """Makes torch tensors on the device of another."""
    import torch  # only where the env has it

    return lambda actions: torch.from_numpy(np.ascontiguousarray(actions)).to(example.device)


def _rows_of(state: Any, num: int, env_id: str) -> Floats:
    """States (N, …) as rows (N, S)."""
    rows = np.asarray(_on_cpu(state), np.float32)
    if not rows.ndim or len(rows) != num:
        raise UserError(f"config_env.state_fn: the states of {env_id} have shape {rows.shape}, not ({num}, …)")
    return rows.reshape(num, -1)
