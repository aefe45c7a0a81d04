"""What `scripts/solve.py` does by the tabular methods: values over all histories or beliefs, as files and as text."""

import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from envs.make import model_of
from policies.exact.tabular import Solved, solve
from utils.errors import UserError
from utils.run import Run


def solve_by_tables(
    run: Run, config_env: ConfigDict, settings: dict[str, Any], deadline: float, keep_policy: bool
) -> str:
    """The value of a domain by `vi`, `aavi`, `api` or `aql`, and what is to be said of it.

    Args:
        run: the folder for what is kept.
        config_env: the domain.
        settings: `method`, `horizon` (0: none), `discount` (None: the model's), and for `aql` perhaps `episodes`,
            `reading` and `seed`.
        deadline: is not looked at; what is too much for tables is refused before.
        keep_policy: is not looked at; a table of histories is not kept as a policy.
    """
    if run.finished:
        return report(json.loads(run.summary_path.read_text()), run)
    model = model_of(config_env)
    if settings["discount"] is not None:
        model = replace(model, discount=settings["discount"])
    of_aql = {name: settings[name] for name in ("episodes", "reading", "seed") if name in settings}
    began = time.process_time()
    solved = solve(model, settings["method"], settings["horizon"], **of_aql)
    first = described(solved)
    np.savez(run.folder / "values.npz", q_HA=solved.values.q_HA, belief_HS=solved.histories.belief_HS)
    summary = {"domain": config_env.id, **settings, **first, "seconds": time.process_time() - began}
    run.finish(summary)
    return report(summary, run)


def described(solved: Solved) -> dict[str, Any]:
    """The value at the start, of each action there too if there is one, and how much it took."""
    model, num_first = solved.histories.model, len(solved.histories.first_R)
    actions = dict(zip(model.actions, solved.values.q_HA[0].tolist())) if num_first == 1 else {}
    return {
        "value": solved.start_value,
        "actions": actions,
        "histories": len(solved.histories),
        "iterations": solved.iterations,
    }


def report(summary: dict[str, Any], run: Run) -> str:
    """What came of it, in lines."""
    try:
        what = "histories" if summary["horizon"] else "beliefs"
        steps = "episodes" if summary["method"] == "aql" else "iterations"
        lines = [
            f"the value is {summary['value']:.6f}: {summary['method']} over {summary['histories']:,} {what}, "
            f"{summary['iterations']:,} {steps}"
        ]
        lines += [f"  {name}: {value:.6f}" for name, value in summary["actions"].items()]
        return "\n".join([*lines, f"the values are in {run.folder / 'values.npz'}"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"--save_dir: {run.summary_path} is damaged; remove it, and solve again") from error
