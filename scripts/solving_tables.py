"""What `scripts/solve.py` does by the tabular methods: values over all histories or beliefs, as files and as text."""

import time
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from envs.make import model_of
from policies.exact.tabular import Solved, solve
from utils.run import Run


def solve_by_tables(run: Run, config_env: ConfigDict, settings: dict[str, Any]) -> dict[str, Any]:
    """The value of a domain by `vi`, `aavi`, `api` or `aql`; the run's summary. What is too much is refused before.

    What `aql` estimates is under `estimate`, beside the exact `value`.

    Args:
        run: the folder for what is kept.
        config_env: the domain.
        settings: `method`, `horizon` (0: none), `discount` (None: the model's), and for `aql` perhaps `episodes`,
            `reading` and `seed`.
    """
    model = model_of(config_env, settings["discount"])
    of_aql = {name: settings[name] for name in ("episodes", "reading", "seed") if name in settings}
    began = time.process_time()
    solved = solve(model, settings["method"], settings["horizon"], **of_aql)
    first = described(solved)
    np.savez(run.folder / "values.npz", q_HA=solved.values.q_HA, belief_HS=solved.histories.belief_HS)
    return {"domain": config_env.id, **settings, **first, "seconds": time.process_time() - began}


def described(solved: Solved) -> dict[str, Any]:
    """The value at the start, what was estimated of it, the same of each action there if there is one; the effort."""
    model, num_first = solved.histories.model, len(solved.histories.first_R)
    actions = dict(zip(model.actions, solved.values.q_HA[0].tolist())) if num_first == 1 else {}
    exact = {"value": solved.start_value}
    if solved.exact is not None:
        exact = {"estimate": solved.start_value, "value": solved.exact}
    return {
        **exact,
        "actions": actions,
        "histories": len(solved.histories),
        "iterations": solved.iterations,
    }


def report_of_tables(summary: dict[str, Any], run: Run) -> str:
    """What came of it, in lines."""
    what = "histories" if summary["horizon"] else "beliefs"
    steps = "episodes" if summary["method"] == "aql" else "iterations"
    effort = f"{summary['method']} over {summary['histories']:,} {what}, {summary['iterations']:,} {steps}"
    if summary["method"] != "aql":
        lines = [f"the value is {summary['value']:.6f}: {effort}"]
    elif "estimate" not in summary:  # of an older version, which called it so
        lines = [f"the estimate is {summary['value']:.6f}: {effort}"]
    else:
        lines = [f"the estimate is {summary['estimate']:.6f}: {effort}; the value is {summary['value']:.6f}"]
    lines += [f"  {name}: {value:.6f}" for name, value in summary["actions"].items()]
    return "\n".join([*lines, f"the values are in {run.folder / 'values.npz'}"])
