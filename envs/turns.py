"""One instance of envs at a time, for simulators that allow no more: all who ask for envs take turns on it.

Dimension key: N envs.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.base import AsymmetricVectorEnv, info_of
from envs.wrappers import Bools, Views

MakeEnvs = Callable[..., AsymmetricVectorEnv]


class Turns:
    """Hands out envs that stand for the same instance.

    The instance has `num_envs`, or as many as the first asks for; who asks gets at most these. Whoever steps the
    instance after another has used it finds all of his episodes given up: they end, truncated, where they were.

    Args:
        make: makes the instance, of `num_envs`, `seed` and `render_mode`.
        num_envs: how many there are; None for as many as the first asks for.
    """

    def __init__(self, make: MakeEnvs, num_envs: int | None = None):
        self._make, self._num_envs = make, num_envs
        self.instance: AsymmetricVectorEnv | None = None
        self.holder: Turn | None = None
        self._users: list[Turn] = []
        self._render_mode: str | None = None

    def envs(self, num_envs: int, *, seed: int, render_mode: str | None = None) -> "Turn":
        """At most `num_envs` envs of the instance."""
        if self.instance is None or (render_mode and render_mode != self._render_mode):
            width = (self._num_envs or num_envs) if self.instance is None else self.instance.num_envs
            self._replace(width, seed, render_mode)
        assert self.instance is not None
        turn = Turn(self, min(num_envs, self.instance.num_envs), seed)
        self._users.append(turn)
        return turn

    def _replace(self, num_envs: int, seed: int, render_mode: str | None) -> None:
        """A new instance, after the old one is gone."""
        if self.instance is not None:
            self.instance.close()
        self.holder, self._render_mode = None, render_mode
        self.instance = self._make(num_envs, seed=seed, render_mode=render_mode)

    def leave(self, turn: "Turn") -> None:
        """Ends somebody's use; with the last one's the instance is closed."""
        self._users = [other for other in self._users if other is not turn]
        if self.holder is turn:
            self.holder = None
        if not self._users and self.instance is not None:
            self.instance.close()
            self.instance = None


class Turn:
    """N envs that stand for the first N of an instance that others use as well; made by `Turns`."""

    def __init__(self, turns: Turns, num_envs: int, seed: int):
        self._turns, self.num_envs, self._seed = turns, num_envs, seed
        self.spec_sizes = self._instance.spec_sizes
        self.single_action_space: spaces.Space[Any] = self._instance.single_action_space
        self._now: Views = {}
        self._lost = np.zeros(num_envs, bool)
        self._success: Bools | None = None  # None: not told
        self._others_ended = np.zeros(self._rest, bool)  # of the instance's envs that are not ours

    @property
    def _instance(self) -> AsymmetricVectorEnv:
        assert self._turns.instance is not None, "these envs were closed"
        return self._turns.instance

    @property
    def _rest(self) -> int:
        """How many envs of the instance are not ours."""
        return self._instance.num_envs - self.num_envs

    def _ours(self, views: Views) -> Views:
        self._now = {name: rows[: self.num_envs].copy() for name, rows in views.items()}
        return {name: rows.copy() for name, rows in self._now.items()}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Views, dict[str, Any]]:
        """As the instance's; if it was another's in between, all envs start."""
        options = dict(options or {})
        mask = options.get("reset_mask")
        if mask is None or self._turns.holder is not self:
            self._turns.holder, self._others_ended = self, np.zeros(self._rest, bool)
            self._success = None
            first = self._seed if not self._now else None  # as of envs that were made with a seed
            return self._ours(self._instance.reset(seed=first if seed is None else seed)[0]), {}
        if self._success is not None:
            self._success[np.asarray(mask, bool)] = False
        options["reset_mask"] = np.concatenate([np.asarray(mask, bool), self._others_ended])
        self._others_ended = np.zeros(self._rest, bool)
        return self._ours(self._instance.reset(options=options)[0]), {}

    def step(self, actions: NDArray[Any]) -> tuple[Views, NDArray[np.floating[Any]], Bools, Bools, dict[str, Any]]:
        """As the instance's; if it was another's in between, all episodes are given up."""
        N, none = self.num_envs, np.zeros(self.num_envs, bool)
        if self._turns.holder is not self:
            self._lost = ~none
            now = {name: rows.copy() for name, rows in self._now.items()}
            return now, np.zeros(N), none, ~none, info_of(self._success)
        actions = np.concatenate([actions, np.repeat(actions[:1], self._rest, axis=0)])
        views, reward, terminated, truncated, info = self._instance.step(actions)
        self._lost = self._instance.lost_steps()[:N]
        ended = terminated | truncated
        self._others_ended = ended[N:]
        if self._others_ended.any() and not ended[:N].any():  # nobody of ours will ask for the reset of the others
            mask = np.concatenate([none, self._others_ended])
            views = self._instance.reset(options={"reset_mask": mask})[0]
            self._others_ended = np.zeros(self._rest, bool)
        self._success = info["success"][:N].copy() if "success" in info else None
        return self._ours(views), reward[:N], terminated[:N], truncated[:N], info_of(self._success)

    def lost_steps(self) -> Bools:
        """Which envs' last step was none (N,)."""
        return self._lost.copy()

    def _asked_of_all(self, given: Bools) -> Bools:
        return np.concatenate([given, np.zeros(self._rest, bool)])

    def expert_action(self, guess_N: Bools) -> NDArray[Any]:
        return self._instance.expert_action(self._asked_of_all(np.asarray(guess_N, bool)))[: self.num_envs]

    def saw_information(self) -> Bools | None:
        saw_N = self._instance.saw_information()
        return None if saw_N is None else saw_N[: self.num_envs]

    def render_frame(self, index: int = 0) -> NDArray[np.uint8]:
        return self._instance.render_frame(index)

    def state_dict(self) -> dict[str, Any]:
        """That of the instance, while it is ours; else only where the episodes were."""
        mine = self._turns.holder is self
        return {"now": self._now, **info_of(self._success), "instance": self._instance.state_dict() if mine else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._now = {name: np.array(rows, np.float32) for name, rows in state["now"].items()}
        self._success = np.array(state["success"], bool) if "success" in state else None
        if state["instance"] is not None:
            self._turns.holder = self
            self._instance.load_state_dict(state["instance"])
        else:
            self._turns.holder = None
            warnings.warn(
                f"the episodes of {self.spec_sizes.env_id} that were in progress are given up where they were",
                RuntimeWarning,
                stacklevel=2,
            )

    def close(self) -> None:
        self._turns.leave(self)
