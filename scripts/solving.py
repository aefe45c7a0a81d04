"""What `scripts/solve.py` does with a domain: its bounds until they are near enough, as files and as text."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from ml_collections import ConfigDict

from envs.base import EnvSpec
from envs.make import make_vector_env, seen_model_of
from policies.deployed.files import save_policy
from policies.deployed.solved import TooLargeError, check_size, solved_config, solved_policy
from policies.exact.point_based import Progress, Solver, controller
from utils.errors import UserError
from utils.logger import JsonlWriter
from utils.run import Run
from utils.stopping import StopRequest

TOLD_EVERY = 1.25  # of the time that has gone, and a second at least


def solve_by_bounds(
    run: Run, config_env: ConfigDict, settings: dict[str, Any], deadline: float, keep_policy: bool
) -> dict[str, Any]:
    """Bounds and policy of a domain; the run's summary.

    Args:
        run: the folder for what is kept.
        config_env: the domain.
        settings: `horizon` (0: none), `discount` (None: the model's), `gap`, `relative_gap` and `method`.
        deadline: when to stop, on the monotonic clock.
        keep_policy: whether the policy is wanted; where only its vectors make it too large, the bounds alone are kept.
    """
    model, view_VD = seen_model_of(config_env, settings["discount"])
    if keep_policy:
        check_size(model, len(view_VD))
    run.go_on()
    run.put_aside("without_policy")  # if it is still finished
    began, clock = time.process_time(), time.monotonic()
    sizes = len(model.states), len(model.actions), len(model.observations)
    print("{:,} states, {:,} actions, {:,} observations; the first bounds".format(*sizes), flush=True)
    stop = StopRequest()

    def is_late() -> bool:
        return time.monotonic() >= deadline or stop.number is not None

    with stop.listening():
        solver = Solver(model, settings["horizon"] or None, is_late)
        run.metrics_path.unlink(missing_ok=True)
        now = tightened(solver, settings, is_late, JsonlWriter(run.metrics_path), clock)
    summary = {"domain": config_env.id, **settings, **asdict(now), "gap_asked": settings["gap"], "gap": now.gap}
    summary |= {"seconds": time.process_time() - began, "reached": near_enough(now, settings)}
    if keep_policy:
        vectors = controller(solver)
        spec = spec_of(config_env)
        config = solved_config(config_env, settings["method"])
        try:
            policy = solved_policy(model, view_VD, vectors, settings["horizon"], spec, config)
            save_policy(run.policy_dir, policy, spec, config, {"settings": {}, "solved": summary})
            summary["kept_vectors"] = len(vectors.action_K)
        except TooLargeError as error:
            summary["no_policy"] = str(error)
    if "kept_vectors" not in summary:  # an earlier one, of less time, stays until there is another
        (run.policy_dir / "policy.json").unlink(missing_ok=True)
    stop.interrupt()
    return summary


def tightened(
    solver: Solver, settings: dict[str, Any], is_late: Callable[[], bool], metrics: JsonlWriter, began: float
) -> Progress:
    """How far the bounds came since `began`; each time that is told is kept among the metrics."""
    tell_at = 0.0
    for now in solver.run():
        gone = time.monotonic() - began
        done = near_enough(now, settings) or is_late()
        if gone >= tell_at or done:
            metrics.write(now.trials, asdict(now) | {"gap": now.gap, "seconds": gone})
            print(
                f"{gone:7.1f} s  {now.lower:.6g} to {now.upper:.6g}, gap {now.gap:.3g}, {now.trials} trials, "
                f"{now.alpha_vectors} vectors, {now.points} points",
                flush=True,
            )
            tell_at = max(TOLD_EVERY * gone, gone + 1.0)
        if done:
            break
    return now


def near_enough(now: Progress, settings: dict[str, Any]) -> bool:
    """Whether the bounds are as near as was asked for, or as double precision lets them be."""
    size = max(abs(now.lower), abs(now.upper))
    return now.closed or now.gap <= max(settings["gap"], settings["relative_gap"] * size)


def spec_of(config_env: ConfigDict) -> EnvSpec:
    """The sizes of the domain."""
    envs = make_vector_env(config_env, 1, seed=0)
    envs.close()
    return envs.spec_sizes


def report_of_bounds(summary: dict[str, Any], run: Run) -> str:
    """What came of it, in lines."""
    lower, upper, gap = (float(summary[name]) for name in ("lower", "upper", "gap"))
    how = "as near as asked for" if summary["reached"] else "time was up"
    policy = f"\nthe policy is in {run.policy_dir}" if "kept_vectors" in summary else ""
    policy += f"\nno policy is kept; {summary['no_policy']}" if "no_policy" in summary else ""
    return f"the optimum is between {lower:.6f} and {upper:.6f}: gap {gap:.3g}, {how}{policy}"


def was_to_keep_none(kept: Run) -> bool:
    """Whether a finished run has no policy since none was wanted, and not since it would be too large.

    Raises:
        UserError: its summary is damaged.
    """
    if (kept.policy_dir / "policy.json").exists():
        return False
    with undamaged(kept):
        return "no_policy" not in dict(json.loads(kept.summary_path.read_text()))


@contextmanager
def undamaged(kept: Run) -> Iterator[None]:
    """Has what a summary lacks told as its damage.

    Raises:
        UserError: names the file.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"--save_dir: {kept.summary_path} is damaged; remove it, and solve again") from error
