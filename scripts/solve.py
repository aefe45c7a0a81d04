"""Solves a finite POMDP: lower and upper bound of the value at the start, and a policy that earns the lower one.

The domain is a file in Cassandra's format, or that of --config_env. Bounds are tightened until they are as near as was
asked for, or time is up; what stands then is kept. The policy acts by the exact belief of its history, and `main.py
--policy_dir` plays and films it, `scripts/export.py` exports it. A solved domain's report is told again; what was
broken off starts over.

Example: python scripts/solve.py configs/envs/tiger.pomdp --config_env.kwargs.continuing=True --gap=1e-3
Example: python scripts/solve.py --config_env=configs/envs/heaven_hell_n.py:3 --method=aavi
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from absl import flags

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from scripts.domains import FILES, domain_name
from utils.app import run
from utils.config import define_config_flag, to_dict
from utils.errors import UserError, choose_name

_FILE = flags.DEFINE_string("file", None, "a file in Cassandra's format; may be given without --file=")
_ENV = define_config_flag(
    "config_env", "configs/envs/pomdp_file.py", "the domain; its fields, such as config_env.kwargs.continuing"
)
_METHOD = flags.DEFINE_string(
    "method",
    "bounds",
    "bounds: certified ones, by point-based value iteration; or over all histories of the horizon, or all beliefs, vi, "
    "aavi, api or aql (value iteration, asymmetric, policy iteration, Q-learning)",
)
_HORIZON = flags.DEFINE_integer("horizon", 0, "steps of an episode; 0: it has no end but its own", lower_bound=0)
_DISCOUNT = flags.DEFINE_float(
    "discount", None, "in place of the model's; below 1 without a horizon", lower_bound=0, upper_bound=1
)
_EPISODES = flags.DEFINE_integer("episodes", 100_000, "of aql", lower_bound=1)
_READING = flags.DEFINE_string("reading", "consistent", "of aql's update: consistent, algorithm3 or eq14_naive")
_SEED = flags.DEFINE_integer("seed", 0, "of aql", lower_bound=0)
_GAP = flags.DEFINE_float("gap", 1e-3, "how near the bounds shall come, in the unit of rewards", lower_bound=0)
_RELATIVE_GAP = flags.DEFINE_float(
    "relative_gap", 0.0, "or how near as a share of the greater of their sizes; either is enough", lower_bound=0
)
_TIME_LIMIT = flags.DEFINE_integer("time_limit", 600, "seconds after which to stop", lower_bound=1)
_KEEP_POLICY = flags.DEFINE_boolean("keep_policy", True, "write the policy, into policy/ of the run's folder")
OWN = {"bounds": ("gap", "relative_gap"), "aql": ("episodes", "reading", "seed")}  # settings of single methods
OF_BOUNDS = ("time_limit", "keep_policy")
_SAVE_DIR = flags.DEFINE_string("save_dir", "logs", "folder of all runs")
_RUN_NAME = flags.DEFINE_string("run_name", None, "the run's folder; made of the domain and the horizon if not given")


def main() -> None:
    """Reads the domain, solves it, keeps what came of it and tells it."""
    from envs.make import FILE_DIGEST, FILE_FIELD, file_digest
    from policies.exact.tabular import METHODS
    from scripts.solving import report_of_bounds, solve_by_bounds, undamaged, was_to_keep_none
    from scripts.solving_tables import report_of_tables, solve_by_tables
    from utils.run import Run, check_name

    choose_name(("bounds", *METHODS), _METHOD.value, "--method")
    config_env = domain()
    check_flags()
    own = ("method", "horizon", "discount", *OWN.get(_METHOD.value, ()))
    settings = {name: flags.FLAGS[name].value for name in own}
    label = domain_name(config_env.id, config_env.kwargs)
    horizon = f"_h{_HORIZON.value}" if _HORIZON.value else ""
    label += "" if _METHOD.value == "bounds" else f"_{_METHOD.value}"
    check_name(_RUN_NAME.value, "--run_name")
    by_what = {"time_limit": _TIME_LIMIT.value, "env_file_sha256": file_digest(config_env)}
    configs = {"env": to_dict(config_env), "run": settings | by_what}
    name = _RUN_NAME.value or f"solve/{label}{horizon}"
    kept = Run.create(
        *(_SAVE_DIR.value, name, configs, sys.argv), may_grow=("run.time_limit",), digest_of={FILE_DIGEST: FILE_FIELD}
    )
    by_bounds = _METHOD.value == "bounds"
    if kept.grown or not kept.finished or (by_bounds and _KEEP_POLICY.value and was_to_keep_none(kept)):
        if by_bounds:
            deadline = time.monotonic() + _TIME_LIMIT.value
            kept.finish(solve_by_bounds(kept, config_env, settings, deadline, _KEEP_POLICY.value))
        else:
            summary = solve_by_tables(kept, config_env, settings)
            kept.go_on()
            kept.finish(summary)
    with undamaged(kept):
        summary = json.loads(kept.summary_path.read_text())
        print((report_of_bounds if by_bounds else report_of_tables)(summary, kept))


def check_flags() -> None:
    """Refuses flags that say nothing to the method.

    Raises:
        UserError: one was given.
    """
    for owner, names in (*OWN.items(), ("bounds", OF_BOUNDS)):
        for name in names if owner != _METHOD.value else ():
            if flags.FLAGS[name].present:
                raise UserError(f"--{name}: it is of --method={owner}, and --method={_METHOD.value} has no use for it")


def domain() -> Any:
    """The domain's config, of a file where one is named.

    Raises:
        UserError: both are named, or neither.
    """
    config_env = _ENV.value
    if _FILE.value is None:
        return config_env
    if config_env.id != FILES or config_env.kwargs.path:
        raise UserError("--file: give a file, or --config_env, but not both")
    with config_env.unlocked():
        config_env.kwargs.path = _FILE.value
    return config_env


if __name__ == "__main__":
    run(main, positional="file")
