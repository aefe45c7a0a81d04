"""Does the test before training tell which signal helps a critic? Both beside each other, as rows of a page.

The folders are those of the sweep `configs/sweeps/signals.py`, each with `signals`, what `scripts/signals.py` found,
and `train`, runs by each signal.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.reporting.runs import Record, read_runs
from scripts.reporting.statistics import correlations, spread
from utils.errors import UserError, first_line

EFFECTS = ("gain", "p_gain", "share", "p_dependence")  # of what a test found
NONE, STATE, RANKS = "none", "the whole state", "rank correlation"
TITLE = "Is a signal worth giving? The test before training beside what training comes to"
NOTES = [
    "A critic V(h, i) or Q(h, i, a) is given a signal i of the state besides the history; the policy is not. Before",
    "any training, on random episodes, two tests ask what the signal tells of the return that the history does not",
    "([docs/information.md](../information.md)): *gain* is the share of the return's variance that it tells, below 0",
    "where it does harm, *dependence* HSIC as a share of the most, each with its p-value. After it: the mean of all",
    "evaluations' returns of a run (the area under its curve), and that of the last ten; medians over seeds, in",
    "brackets the least and the greatest. Runs of SAC have 12 to 17 evaluations in all, of A2C 24 to 51. Learner: its",
    "family and, after a plus, what its policy's memory learns to tell besides; critics have memories of their own.",
    "Rank correlation: Spearman's, of the gain with the median area, over the signals of a domain that were given and",
    "tested: three or four, so that little follows from it, and of two none is told. CartPole's entries 1 and 3, both",
    "hidden, are the velocities of cart and pole, 0 and 2 are seen. No test is looked up for the whole state.",
]
COLUMNS = (
    *("env", "learner", "signal", "gain, p", "dependence, p", "seeds"),
    *("return, all of a run", "return, last ten"),
)


def row_key(row: Sequence[str]) -> tuple[str, str, bool, bool, str]:
    """What tells rows apart, domain, learner and signal, in the order in which they stand; ranks are of a learner."""
    env, learner, signal = row[:3]
    is_rank = signal.startswith(RANKS)
    return env, learner, is_rank, signal == STATE, "" if is_rank or signal == NONE else signal


def rows(folders: Sequence[str]) -> list[list[str]]:
    """A row a domain, learner and signal, and one for how the ranks of both agree.

    Raises:
        UserError: there are no runs, one has no critic, or nothing was tested on a domain that was trained on.
    """
    records, _ = read_runs([str(Path(folder) / "train") for folder in folders])
    tested: dict[str, dict[frozenset[str], Mapping[str, float]]] = {}
    for file in (file for folder in folders for file in Path(folder).glob("signals/*/signals.json")):
        tested |= _read(file)
    groups: dict[tuple[str, str], dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if "rl.critic_inputs" not in record.config:
            raise UserError(f"--runs: {record.folder} has no critic that a signal may be given to, as a2c and sac have")
        groups[record.key.env, learner_of(record.config)][signal_of(record.config)].append(record)
    table = []
    for (env, learner), by_signal in sorted(groups.items()):
        if env not in tested:
            raise UserError(f"--runs: nothing was tested on {env}; of the sweep's folder signals/ is needed as well")
        pairs = []
        for signal in sorted(by_signal, key=lambda name: (name != NONE, name == STATE, name)):
            group, found = by_signal[signal], tested[env].get(frozenset(signal.split(", ")))
            areas = [float(record.curves["return"].mean()) for record in group]
            if found:
                pairs.append((found["gain"], float(np.median(areas))))
            tests = (_told(found, "gain", "p_gain"), _told(found, "share", "p_dependence")) if found else ("–", "–")
            ends = [record.last("return") for record in group]
            table.append([env, learner, signal, *tests, str(len(group)), spread(areas), spread(ends)])
        rank = correlations(*np.array(pairs).T)[1] if len(pairs) > 2 else np.nan  # two are always in one order
        told = "–" if np.isnan(rank) else f"{rank:.2f}"
        table.append([env, learner, f"{RANKS}, {len(pairs)} signals", told, "–", "–", "–", "–"])
    return table


def learner_of(config: Mapping[str, Any]) -> str:
    """A run's family, and the auxiliary losses of its policy's memory, by which runs of a family differ."""
    return " + ".join([config["rl.family"], *sorted(config.get("rl.auxiliary.use_actor", ()))])


def signal_of(config: Mapping[str, Any]) -> str:
    """What a run's critic was given besides the history."""
    inputs = config["rl.critic_inputs"]
    if "state" in inputs:
        return STATE
    return ", ".join(sorted(config["rl.critic.signal"])) if "signal" in inputs else NONE


def _read(file: Path) -> dict[str, dict[frozenset[str], Mapping[str, float]]]:
    """What was found of an env's signals, by their names."""
    try:
        record = json.loads(file.read_text())
        return {
            record["env"]: {frozenset(one["names"]): {k: float(one[k]) for k in EFFECTS} for one in record["found"]}
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--runs: {file} is not what scripts/signals.py writes ({first_line(error)})") from error


def _told(found: Mapping[str, float], effect: str, p: str) -> str:
    return f"{found[effect]:+.3f}, {found[p]:.3f}"
