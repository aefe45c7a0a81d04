"""Teachers: what a student should do at every step, said by who may know more than it.

A teacher is a policy as rollouts know it. What it knows beside the observation it reads of the envs that it stands by,
never of what the student is handed; and it is no part of the student.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from envs.base import EnvSpec
from envs.factors import informed_actions
from envs.make import describing_env, imported
from policies.acting.embedded_envs import WatchedEnvs, with_state_observed
from policies.acting.evaluate import GreedyPolicy
from policies.acting.rollout import ExpertPolicy, Policy, check_expert
from policies.deployed.files import load_policy, sees_state
from utils.config import warn_of_another_task
from utils.errors import UserError, first_line, staying

Array = NDArray[Any]

OF_FOLDER = "policy"  # the name of a teacher that a flag gives
NAMES = ("expert", "guess", "informed", OF_FOLDER)
FIELD, FLAG = "--config_rl.teacher", "--expert_policy_dir"


class OnState:
    """A policy of the state alone, beside envs that tell it."""

    def __init__(self, envs: WatchedEnvs, policy: Policy):
        self.envs, self.policy = envs, policy

    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        return self.policy(self.envs.views["state"], prev_action_NA, prev_reward_N, start_N, carry)


class OfFunction:
    """`function(state_NS, obs_NO)`, which gives actions (N,) or (N, A)."""

    def __init__(self, envs: WatchedEnvs, function: Callable[[Array, Array], Any]):
        self.envs, self.function = envs, function

    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        return self.function(self.envs.views["state"].copy(), obs_NO), carry


class Teacher:
    """A teacher whose actions are looked at, and who is named where it fails; continuous ones are cut to [-1, 1].

    Args:
        policy: what acts.
        name: for messages.
        spec: sizes of the domain.
    """

    def __init__(self, policy: Policy, name: str, spec: EnvSpec):
        self.policy, self.name, self.spec = policy, name, spec

    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        """The actions (N,) int64 or (N, A) float32.

        Raises:
            UserError: what teaches raised something, or gave what are no actions.
        """
        with in_one_line(self.name):
            action, carry = self.policy(obs_NO, prev_action_NA, prev_reward_N, start_N, carry)
            action = np.asarray(action)
        return self._checked(action, len(obs_NO)), carry

    def _checked(self, action: Array, num: int) -> Array:
        shape = (num,) if self.spec.discrete else (num, self.spec.action_dim)
        needed = f"whole numbers from 0 to {self.spec.action_dim - 1}" if self.spec.discrete else "finite numbers"
        if action.shape != shape or action.dtype.kind not in ("iu" if self.spec.discrete else "iuf"):
            raise UserError(f"{self.name} gave {action.dtype} {action.shape}; {needed} {shape} are needed")
        good = (action >= 0) & (action < self.spec.action_dim) if self.spec.discrete else np.isfinite(action)
        if not good.all():
            raise UserError(f"{self.name} gave {action[~good][0]}; {needed} are needed")
        return action.astype(np.int64) if self.spec.discrete else np.clip(action, -1, 1).astype(np.float32)


@contextmanager
def in_one_line(name: str) -> Iterator[None]:
    """Has what a teacher raises be said in a line, whoever wrote it.

    Raises:
        UserError: begins with `name`.
    """
    try:
        with staying():
            yield
    except UserError:
        raise
    except Exception as error:
        cause = error.__cause__ or error  # that of a `ForeignError`
        raise UserError(f"{name} raised {type(cause).__name__}: {first_line(cause)}") from error


def teacher_of(name: str, folder: str | None, envs: WatchedEnvs, config_env: ConfigDict) -> Teacher:
    """The teacher that a config names, once it has been asked; the envs are reset for it.

    Args:
        name: `expert`, the domain's own; `guess`, the same where it goes for a guessed goal; `informed`, the first of
            the actions that are best for who knows the state; `policy`; or "module:function" of states and
            observations.
        folder: of `policy`, a finished run or its policy, a teacher that sees the state or another.
        envs: by whose side it stands.
        config_env: the domain.

    Raises:
        UserError: there is no such teacher.
    """
    teacher = _named(name, folder, envs, config_env)
    spec, num = envs.spec_sizes, envs.num_envs
    seen_NO = envs.reset(seed=0)[0]["obs"]
    teacher(seen_NO, np.zeros((num, spec.action_dim), np.float32), np.zeros(num, np.float32), np.ones(num), None)
    return teacher


def _named(name: str, folder: str | None, envs: WatchedEnvs, config_env: ConfigDict) -> Teacher:
    spec = envs.spec_sizes
    if name in ("expert", "guess"):
        share, what = float(name == "guess"), f"{FIELD}={name}: the expert"
        with in_one_line(what):
            check_expert(envs, f"{FIELD}={name}", "choose informed, 'module:function', or give --expert_policy_dir")
        return Teacher(ExpertPolicy(envs, share, np.random.default_rng(0)), what, spec)
    if name == OF_FOLDER:
        return Teacher(_of_folder(folder, envs, config_env), f"{FLAG}: the policy", spec)
    if name == "informed":
        return Teacher(OfFunction(envs, _informed(config_env, spec)), f"{FIELD}={name}: the domain", spec)
    form = f"one of {', '.join(NAMES)} (by {FLAG}), nor of the form 'module:function'"
    with in_one_line(f"{FIELD}: {name}"):  # as it may when it is imported
        function = imported(name, FIELD, form)
    return Teacher(OfFunction(envs, function), f"{FIELD}: {name}", spec)


def _informed(config_env: ConfigDict, spec: EnvSpec) -> Callable[[Array, Array], Array]:
    """The first of the best actions (N,) for who knows the state; the first of all where none is best."""
    env = describing_env(config_env)

    def first_best(state_NS: Array, obs_NO: Array) -> Array:
        best_NA = informed_actions(env, state_NS)
        if best_NA is None:
            raise UserError(f"{FIELD}=informed: {spec.env_id} does not tell informed_actions; choose another teacher")
        return best_NA.argmax(axis=1)

    return first_best


def _of_folder(folder: str | None, envs: WatchedEnvs, config_env: ConfigDict) -> Policy:
    """A finished policy, of the state where it was trained on it."""
    if folder is None:
        raise UserError(f"{FIELD}={OF_FOLDER}: needs {FLAG}, a finished run or policy")
    about = load_policy(folder, flag=FLAG)[1]
    row, informed = about["config"]["rl"], sees_state(about)
    if row.get("observe") and not informed:
        raise UserError(
            f"{FLAG}: {row['family']}:{row['variant']} acts on embeddings; give one that acts on the state, as "
            "dqn:teacher, or on observations"
        )
    spec = with_state_observed(envs.spec_sizes) if informed else envs.spec_sizes
    policy = GreedyPolicy(load_policy(folder, spec, flag=FLAG)[0])
    warn_of_another_task(FLAG, about["config"].get("env", {}), config_env)
    return OnState(envs, policy) if informed else policy
