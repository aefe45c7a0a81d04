"""Batched acting: N envs stepped together, whole episodes out. What the policy is handed holds no state."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from buffers.batch import Episode
from buffers.images import row_storages
from envs.base import AsymmetricVectorEnv
from utils.errors import NoExpertError, UserError
from utils.memory import zeros

Array = NDArray[Any]


class Policy(Protocol):
    """Maps what a robot has, observations and its own past, to actions; the carry is its memory."""

    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        """Returns actions (N,) int64 or (N, A) float32, and the carry of the next step (None before the first)."""


class RandomPolicy:
    """Uniform actions, from its own generator."""

    def __init__(self, action_dim: int, discrete: bool, rng: np.random.Generator):
        self.action_dim, self.discrete, self.rng = action_dim, discrete, rng

    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        if self.discrete:
            return self.rng.integers(self.action_dim, size=len(obs_NO)), carry
        return self.rng.uniform(-1, 1, size=(len(obs_NO), self.action_dim)).astype(np.float32), carry


class ExpertPolicy:
    """The domain's own expert; in a share `guess_share` of the episodes it goes for a guessed goal, uninformed."""

    def __init__(self, envs: AsymmetricVectorEnv, guess_share: float, rng: np.random.Generator):
        self.envs, self.guess_share, self.rng = envs, guess_share, rng
        self.guess_N = np.full(envs.num_envs, guess_share == 1.0)

    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        draw = self.rng.random(len(obs_NO)) < self.guess_share
        self.guess_N = np.where(start_N.astype(bool), draw, self.guess_N)
        return self.envs.expert_action(self.guess_N), carry


class Guided:
    """A student beside a teacher, who says at every step what it would do, and does it in a share β of the steps.

    The mixture π = β π_teacher + (1 - β) π_student of DAgger (Ross, Gordon & Bagnell, 2011), drawn anew at each step.
    The carry is that of both; `advice` holds what the teacher said last, (N,) or (N, A). The student is told nothing.
    """

    def __init__(self, student: Policy, teacher: Policy, beta: float, rng: np.random.Generator):
        self.student, self.teacher, self.beta, self.rng = student, teacher, beta, rng
        self.advice: Array | None = None

    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        own, taught = (None, None) if carry is None else carry
        now = (obs_NO, prev_action_NA, prev_reward_N, start_N)
        advice, taught = self.teacher(*now, taught)
        action, own = self.student(*now, own)
        led_N = self.rng.random(len(obs_NO)) < self.beta
        self.advice = advice
        return np.where(led_N if action.ndim == 1 else led_N[:, None], advice, action), (own, taught)


def check_expert(envs: AsymmetricVectorEnv, flag: str, remedy: str) -> None:
    """Asks the expert of freshly made envs for an action, before any work is done; the envs are reset for it.

    Raises:
        UserError: the domain has none; `flag` names what asks for it, `remedy` says what to give instead.
    """
    envs.reset(seed=0)
    try:
        envs.expert_action(np.zeros(envs.num_envs, bool))
    except NoExpertError as error:
        raise UserError(f"{flag}: {envs.spec_sizes.env_id} has no expert; {remedy}") from error


class EpisodeStream:
    """Steps N envs with whatever policy it is given and hands out each episode when it ends.

    Episodes in progress live in preallocated arrays (horizon + 1, N, ·), images as the bytes that a replay has of them.
    `state_dict` covers them, the envs and the policy's memory: a resumed run goes on inside the episodes. With
    `carry_dim` episodes have what the memory held before each step, in so many numbers. Those that a `Guided` policy
    plays have its teacher's advice.
    """

    def __init__(
        self, envs: AsymmetricVectorEnv, seed: int, after_step: Callable[[], None] | None = None, carry_dim: int = 0
    ):
        self.envs, self.spec = envs, envs.spec_sizes
        self._after_step = after_step  # called between a step and the resets that follow it, as a film needs
        spec, N, rows = self.spec, envs.num_envs, envs.spec_sizes.max_episode_steps + 1
        needs = f"--num_envs={N}: episodes of up to {rows - 1} steps, side by side"
        self._storages = row_storages(spec)
        self._obs, self._state = (zeros((rows, N, s.width), s.dtype, needs) for s in self._storages.values())
        self._seen = np.zeros((N, spec.obs_dim), np.float32)  # the observations as the policy is handed them
        action_shape, action_type = ((), np.int64) if spec.discrete else ((spec.action_dim,), np.float32)
        self._action = np.zeros((rows, N, *action_shape), action_type)
        self._advice: Array | None = None  # like `_action`, once there is a teacher
        self._reward = np.zeros((rows, N), np.float32)
        self._carries = zeros((rows, N, carry_dim), np.float32, needs)
        self._t = np.zeros(N, np.int64)
        self._prev_action = np.zeros((N, spec.action_dim), np.float32)
        self._prev_reward = np.zeros(N, np.float32)
        self._carry: Any = None
        self._slots = np.arange(N)
        self._write(envs.reset(seed=seed)[0])

    def _write(self, now: dict[str, Array]) -> None:
        self._keep(now, self._t, self._slots)

    def _keep(self, now: dict[str, Array], t: Array | int, slots: Array) -> None:
        """The views of some envs as their rows `t`."""
        for name, rows in (("obs", self._obs), ("state", self._state)):
            found = now[name] if len(slots) == len(now[name]) else now[name][slots]
            self._check_finite("an observation" if name == "obs" else "a state", found, slots)
            storage = self._storages[name]
            try:
                rows[t, slots] = storage.encode(found) if storage.in_bytes else found
            except ValueError as error:
                raise UserError(f"config_env.id: {error}") from error
            if name == "obs":
                self._seen[slots] = found

    def _check_finite(self, what: str, found: Array, slots: Array) -> None:
        """Refuses what nothing can be learned from, before it is stored."""
        kept = found
        if found.dtype != np.float32:
            with np.errstate(over="ignore"):
                kept = found.astype(np.float32)
        good = np.isfinite(kept)
        if not good.all():
            n = int((~good).any(axis=1).argmax())
            value, step = found[n][~good[n]][0], int(self._t[slots[n]])
            raise UserError(
                f"config_env.id: {self.spec.env_id} gave {what} with {value} in it at step {step} of an episode (env "
                f"{slots[n]}); nothing can be learned from that"
            )

    def step(self, policy: Policy, packed: Callable[[Any], Array] | None = None) -> list[tuple[int, Episode]]:
        """One step of all envs; returns the (slot, episode) pairs that it ended.

        `packed` makes of the policy's carry the numbers (N, C) that episodes shall have of it.
        """
        start_N = (self._t == 0).astype(np.float32)
        if packed is not None:
            self._carries[self._t, self._slots] = np.nan if self._carry is None else packed(self._carry)
        action_N, self._carry = policy(self._seen.copy(), self._prev_action, self._prev_reward, start_N, self._carry)
        after, reward_N, terminated_N, truncated_N, info = self.envs.step(action_N)
        if self._after_step is not None:
            self._after_step()
        self._action[self._t, self._slots] = action_N
        if isinstance(policy, Guided):
            self._advice = np.zeros_like(self._action) if self._advice is None else self._advice
            self._advice[self._t, self._slots] = policy.advice
        self._check_finite("a reward", np.asarray(reward_N)[:, None], self._slots)
        self._reward[self._t, self._slots] = reward_N
        self._t += 1
        self._write(after)
        self._prev_action = self.spec.encode_action(action_N)
        self._prev_reward = np.asarray(reward_N, np.float32)
        ended_N = terminated_N | truncated_N
        if (self._t[~ended_N] >= self.spec.max_episode_steps).any():
            goes_on = f"an episode of {self.spec.env_id} goes on after {self.spec.max_episode_steps} steps"
            raise UserError(
                f"config_env.horizon: {goes_on}; give its limit, and see that no wrapper takes its end away"
            )
        if not ended_N.any():
            return []
        success_N, informed_N = info.get("success"), self.envs.saw_information()
        self._t -= self.envs.lost_steps() & ended_N  # steps that were never simulated
        ended = [
            (int(n), self._cut(n, bool(terminated_N[n]), _of(success_N, n), _of(informed_N, n)))
            for n in np.flatnonzero(ended_N & (self._t > 0))
        ]
        self._t[ended_N] = 0
        self._prev_action[ended_N] = 0.0
        self._prev_reward[ended_N] = 0.0
        self._write_reset(ended_N)
        return ended

    def _write_reset(self, ended_N: Array) -> None:
        now, _ = self.envs.reset(options={"reset_mask": ended_N})
        self._keep(now, 0, np.flatnonzero(ended_N))

    def _cut(self, n: np.intp, terminated: bool, success: bool | None, informed: bool | None) -> Episode:
        length = self._t[n]
        discount = np.ones(length, np.float32)
        discount[-1] = 0.0 if terminated else 1.0
        return Episode(
            obs=self._obs[: length + 1, n].copy(),
            state=self._state[: length + 1, n].copy(),
            action=self._action[:length, n].copy(),
            reward=self._reward[:length, n].copy(),
            discount=discount,
            success=success,
            informed=informed,
            carry=self._carries[:length, n].copy() if self._carries.shape[-1] else None,
            advice=None if self._advice is None else self._advice[:length, n].copy(),
        )

    def state_dict(self) -> dict[str, Any]:
        """The envs, the episodes in progress and the policy's memory."""
        rows = np.arange(int(self._t.max()) + 1)[:, None]
        kept = ["_obs", "_state", "_action", "_reward", *(("_carries",) if self._carries.size else ())]
        kept += [] if self._advice is None else ["_advice"]
        arrays = {k: getattr(self, k)[: len(rows)].copy() for k in kept}
        for name, array in arrays.items():  # what earlier episodes left beyond is not kept
            array[rows > self._t if name in ("_obs", "_state") else rows >= self._t] = 0
        vectors = {k: getattr(self, k).copy() for k in ("_t", "_prev_action", "_prev_reward", "_seen")}
        return {"envs": self.envs.state_dict(), "arrays": arrays, "vectors": vectors, "carry": self._carry}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts everything back where `state_dict` was taken."""
        self.envs.load_state_dict(state["envs"])
        for key, value in state["vectors"].items():
            setattr(self, key, value.copy())
        if "_seen" not in state["vectors"]:  # older ones had images as they are seen
            self._seen = state["arrays"]["_obs"][self._t, self._slots]
        if "_advice" in state["arrays"]:
            self._advice = np.zeros_like(self._action)
        for key, value in state["arrays"].items():
            kept, storage = getattr(self, key)[: len(value)], self._storages.get(key.removeprefix("_"))
            if value.dtype == kept.dtype or storage is None:
                kept[:] = value
            else:  # older ones
                there = np.arange(len(value))[:, None] <= self._t
                kept[there] = storage.encode(value[there])
        self._carry = state["carry"]


def _of(told_N: Array | None, n: np.intp) -> bool | None:
    """What is told of one env; None where nothing is."""
    return None if told_N is None else bool(told_N[n])


def run_episodes(envs: AsymmetricVectorEnv, policy: Policy, num_episodes: int, seed: int) -> list[Episode]:
    """Plays exactly `num_episodes` episodes, as evenly over the slots as they divide.

    Each slot plays a number of episodes that is fixed beforehand: taking the first ones to end would favour short
    episodes.
    """
    return [episode for _, episode in iterate_episodes(envs, policy, num_episodes, seed)]


def iterate_episodes(
    envs: AsymmetricVectorEnv, policy: Policy, num_episodes: int, seed: int
) -> Iterator[tuple[int, Episode]]:
    """The (slot, episode) pairs of `run_episodes`, as they end."""
    quota = np.full(envs.num_envs, num_episodes // envs.num_envs)
    quota[: num_episodes % envs.num_envs] += 1
    stream = EpisodeStream(envs, seed)
    while quota.any():
        for slot, episode in stream.step(policy):
            if quota[slot] > 0:
                quota[slot] -= 1
                yield slot, episode
