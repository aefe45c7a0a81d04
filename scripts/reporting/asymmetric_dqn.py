"""The tasks of Asymmetric DQN: what each method comes to, acting greedily and with exploration; rows of a page."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from scripts.reporting.certified import Certified
from scripts.reporting.runs import Record, read_runs
from scripts.reporting.statistics import Array, Estimate, median_of_times
from scripts.reporting.tables import interval_text, time_text
from utils.errors import UserError

PAPER = {  # what the rows of dqn are called in the paper, in the order of its figures
    "dqn:history": "DQN",
    "dqn:ua": "ADQN",
    "dqn:ua_vr": "ADQN-VR",
    "dqn:ba": "ADQN-State",
    "dqn:ba_vr": "ADQN-State-VR",
    "dqn:mi": "– (`mi`)",
}
NEAR = 0.9  # of the way from random actions to the optimum
SHOWN = 0.2  # the share of a run, its last, that counts as its end
BEHAVIOUR = "train/return"
TITLE = "The tasks of Asymmetric DQN: five methods and `mi`"
NOTES = [
    "Baisero, Daley & Amato (UAI 2022) compare DQN with four asymmetric forms of it; `mi` beside them is the method of",
    "Nguyen et al. (CoRL 2024). All methods have a task's settings alike, chosen by up to three runs of ADQN (on",
    "MemoryFourRooms by three of one that sees the state as well); returns are not discounted. Interquartile means",
    "over seeds, in brackets the 95 % percentile bootstrap. At the end, of the last",
    f"{SHOWN:.0%} of a run's steps: greedy, of evaluations of 100 episodes; exploring, of what the agent earned",
    "while it learned, which is what the paper's figures are of. All of a run: of all evaluations, the area under the",
    f"curve. {NEAR} of the optimum: the median of env steps to the first evaluation with {NEAR} of the way from what",
    "random actions earn to the optimum, in brackets as above, and how many runs had none. The optimum of",
    "Heaven-Hell-n and of Car-Flag is 1, by certified bounds of the one, by its expert on the other, and of Cleaner",
    "71, which its expert has; on MemoryFourRooms who sees the state has 4.646, and the optimum is taken to be that.",
    "",
    "Runs of [configs/sweeps/asymmetric_dqn.py](../../configs/sweeps/asymmetric_dqn.py), whose steps are few beside",
    "the millions of the published ones, by small networks and Q(λ), λ = 0.9 without cuts, in place of one-step",
    "targets. Heaven-Hell-4 has those of Heaven-Hell-3 with twice the steps, and none were chosen by it.",
    "MemoryFourRooms has the two colours that were published with the paper. Each run of `mi` on both Heaven-Hell and",
    "on Car-Flag has a data set and encoders of its own; on Cleaner four runs each share one of five such pairs, on",
    "MemoryFourRooms all have one. Cleaner's rows but those of ADQN-State and `mi`, and all of Heaven-Hell-4's",
    "were run anew by the later commands; revisions and processors count the runs that they replaced as well.",
]
COLUMNS = (
    *("task", "method", "row", "env steps", "seeds", "greedy, at the end", "exploring, at the end", "all of a run"),
    *("0.9 of the optimum, steps", "never"),
)


def row_key(row: Sequence[str]) -> tuple[str, int]:
    """What tells rows apart, task and method, in the order in which they stand."""
    return row[0], list(PAPER).index(row[2])


def rows(folders: Sequence[str]) -> list[list[str]]:
    """A row a task and method.

    Raises:
        UserError: there are no runs, one is of another method, or lacks what the page is of.
    """
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    certified = Certified()
    records, notes = read_runs(folders, work_out=certified)
    for note in (*notes, *certified.notes):
        print(note)
    for record in records:
        if record.key.method not in PAPER:
            raise UserError(f"--runs: {record.folder} is of {record.key.method}; choose from {', '.join(PAPER)}")
        if BEHAVIOUR not in record.learning or not len(record.steps):
            raise UserError(f"--runs: {record.folder} has no evaluation yet, or no episode")
        groups[record.key.env, record.key.method].append(record)
    table = []
    for env, method in groups:
        runs = groups[env, method]
        greedy = [at_end(run, np.stack([run.steps, run.curves["return"]])) for run in runs]
        exploring = [at_end(run, run.learning[BEHAVIOUR]) for run in runs]
        areas = [float(run.curves["return"].mean()) for run in runs]
        told = [Estimate.of(values).iqm for values in (greedy, exploring, areas)]
        times = [first_near(run) for run in runs]
        steps = sorted({int(run.steps[-1]) for run in runs})
        table.append(
            [
                *(env, PAPER[method], method, " to ".join(f"{s:,}" for s in (steps[0], steps[-1])[: len(steps)])),
                *(str(len(runs)), *map(interval_text, told)),
                *(
                    time_text(median_of_times(times), ",.0f"),
                    "–" if np.isnan(times).any() else str(int(np.isinf(times).sum())),
                ),
            ]
        )
    return sorted(table, key=row_key)


def at_end(run: Record, logged: Array) -> float:
    """The mean of what was logged (2, ·), steps and values, in the last steps of a run.

    Raises:
        UserError: nothing was.
    """
    steps, values = logged
    last = values[(steps > (1 - SHOWN) * run.steps[-1]) & np.isfinite(values)]
    if not len(last):
        raise UserError(f"--runs: {run.folder} has no episode in the last {SHOWN:.0%} of its steps")
    return float(last.mean())


def first_near(run: Record) -> float:
    """Env steps of the first evaluation near the optimum; infinite for none, NaN where the optimum is not known."""
    if run.reference is None:
        return np.nan
    near = run.reference.random + NEAR * (run.reference.optimum - run.reference.random)
    return run.first_reaching(near, "return")[0]
