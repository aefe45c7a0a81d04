"""What memories came to hold of the exact belief, and whether `mi` is paid for what it gains: rows of a page, of runs.

Dimension key: T steps, K facts.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from buffers.batch import Episode
from policies.acting.embedded_envs import env_maker
from policies.acting.rollout import run_episodes
from policies.deployed.files import load_policy, settings_of
from policies.deployed.inspection import judge, rebuilt_agent
from policies.deployed.trust import config_of
from policies.probing.gauge import BeliefGauge
from scripts.reporting.runs import Record, read_runs
from scripts.reporting.statistics import Array, correlations, spread
from utils.errors import UserError
from utils.progress import progress

EPISODES = 200  # of a run, to hold bonuses against exact gains
HELD = 0.9  # of the entropy: what counts as holding the belief
LITTLE = 0.1  # nats of entropy, below which there is nothing to hold
FACTS = ("heaven", "treasure", "fact", "turn", "goal", "side")  # features that hide; else all that the domain tells
NAMED = ("noise",)  # own arguments of a domain that are told beside its name

TITLE = "Information, measured while learning"
NOTES = [
    "What a memory holds of the exact belief about the hidden fact, I(memory; belief) in nats, and the entropy of that",
    "belief, the most that it can hold (`--gauge=belief`): medians over seeds, in brackets the least and the greatest.",
    f"Held from: env steps from which on a memory had {HELD:.0%} of it at every look, for each seed, but for looks",
    f"with less than {LITTLE:g} nats of entropy: before the policy seeks the fact there is nothing to hold. An",
    "untrained memory may hold it: compare with the first look. Where no entropy can be counted, as of beliefs by",
    "particles, what the memory held at first stands in its place. All, nats: what is held of the whole belief, and",
    "its entropy; left out where the fact is all that it tells. With return: Spearman's correlation of what is held",
    "of the whole belief with the mean return, over all looks at the runs of a row. Irrelevant: I(memory; belief) of",
    "variables that mean nothing, as training ends, and the most of any look, the first included.",
    "",
    f"Of `mi`, as its agent was then: what its bonus says of {EPISODES} episodes that it plays with its exploration,",
    "against log b'(fact) - log b(fact), the nats by which the exact belief in the true fact rises over a step; the",
    "step that ends an episode is left out. r: Pearson's correlation over steps. Slope: bonus a nat, by least squares.",
    "Paid for nothing: the share of all that is paid above 0 which is paid for steps that gain nothing.",
    "",
    "Runs of [configs/sweeps/information.py](../../configs/sweeps/information.py): of Tiger, HeavenHell,",
    "Heaven-Hell-1 and Sphinx one data set with one pair of encoders each, for all seeds. Of Tiger the fact is the",
    "state; of HeavenHell and Heaven-Hell-1 it is heaven's side, of Sphinx the right corner; of the T-Maze of ten",
    "steps, whose runs begin with 64 demonstrations, the treasure's, the first look being before any update; with",
    "noise 0.2 every fifth action is drawn. Irrelevant-v0 is that T-Maze behind two variables that mean nothing. Of",
    "Mountain Hike it is all that the particles tell, of the varying one the turn of the actions.",
]
COLUMNS = (
    *("env", "memory", "method", "env steps", "seeds", "return", "held, nats", "of", "held from"),
    *("all, nats, of", "with return", "irrelevant, last, most", "r", "slope", "paid for nothing"),
)


class Paid(NamedTuple):
    """How bonuses agree with exact gains, of one run."""

    r: float
    slope: float
    for_nothing: float


def rows(folders: Sequence[str]) -> list[list[str]]:
    """A row a domain, memory, method and number of env steps; runs that were measured on the way are read at each.

    Raises:
        UserError: no run, or one without a gauge.
    """
    records, _ = read_runs(folders)
    groups: dict[tuple[str, str, str, int], list[Record]] = defaultdict(list)
    for record in records:
        if "gauge/belief" not in record.learning:
            raise UserError(f"--runs: {record.folder} has no gauge; train it with --gauge=belief")
        groups[_env(record), _memory(record), record.key.method, _rounded(record)].append(record)
    table = []
    with progress(len(records), 0, "information") as bar:
        for (env, memory, method, _), group in sorted(groups.items()):
            paid = []
            for record in group:
                if any(name.startswith("bonus/") for name in record.learning):
                    found = agreement(record.folder)
                    paid += [] if found is None else [found]
                bar.update(1)
            table.append([env, memory, f"`{method}`", *_told(group, paid)])
    return table


def row_key(row: Sequence[str]) -> tuple[str, str, str, int]:
    """What tells rows apart: domain, memory, method and how long they trained, a few steps more or less."""
    return row[0], row[1], row[2], _two_digits(float(row[3].replace(",", "")))


def _env(record: Record) -> str:
    """Its domain, with what of its own arguments makes it another."""
    told = ((name, record.config.get(f"env.kwargs.{name}")) for name in NAMED)
    return ", ".join([record.key.env, *(f"{name} {value}" for name, value in told if value)])


def _memory(record: Record) -> str:
    """Its memory, and whether it was warmed up."""
    return f"`{record.key.memory}`{', warmed' * bool(record.config.get('seq.warmup'))}"


def _rounded(record: Record) -> int:
    """Env steps at its end, to two digits: a few more or less are the same length."""
    return _two_digits(record.learning["gauge/belief"][0, -1])


def _two_digits(steps: float) -> int:
    return int(float(f"{steps:.1e}"))


def _told(group: Sequence[Record], paid: Sequence[Paid]) -> Iterator[str]:
    name = next((f"gauge/{fact}" for fact in FACTS if f"gauge/{fact}" in group[0].learning), "gauge/belief")
    yield f"{np.median([one.learning[name][0, -1] for one in group]):,.0f}"
    yield str(len(group))
    for what in ("gauge/return", name):
        yield spread([one.learning[what][1, -1] for one in group])
    if all(_at_all_looks(one, name, f"{name}_entropy") for one in group):
        yield spread([one.learning[f"{name}_entropy"][1, -1] for one in group])
        yield ", ".join(sorted((_held_from(one, name) for one in group), key=lambda text: (len(text), text)))
    else:
        yield f"at first {spread([one.learning[name][1, 0] for one in group])}"
        yield "–"
    whole = ("gauge/belief", "gauge/belief_entropy")
    told = [
        spread([one.learning[what][1, -1] for one in group])
        for what in whole
        if all(_at_all_looks(one, whole[0], what) for one in group)
    ]
    yield ", ".join(told) if name != whole[0] else "–"
    yield _number(correlations(*(_looks(group, what) for what in (whole[0], "gauge/return")))[1])
    irrelevant = [one.learning["gauge/irrelevant"][1] for one in group if "gauge/irrelevant" in one.learning]
    yield ", ".join(spread([f(look) for look in irrelevant]) for f in (lambda x: x[-1], max)) if irrelevant else "–"
    for values in zip(*paid, strict=True) if paid else ():
        yield spread(values)
    yield from () if paid else ("–",) * len(Paid._fields)


def _at_all_looks(one: Record, name: str, what: str) -> bool:
    """Whether a run's every look that found something of `name` found `what` too: an entropy may not be countable."""
    return what in one.learning and one.learning[what].shape == one.learning[name].shape


def _looks(group: Sequence[Record], name: str) -> Array:
    """What every look at every run found."""
    return np.concatenate([one.learning[name][1] for one in group])


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


def _held_from(one: Record, name: str) -> str:
    steps, held = one.learning[name]
    most = one.learning[f"{name}_entropy"][1]
    is_there = most > LITTLE
    steps, lacking = steps[is_there], np.flatnonzero(~(held >= HELD * most)[is_there])
    since = lacking[-1] + 1 if lacking.size else 0
    return f"{steps[since]:,.0f}" if since < steps.size else "never"


def agreement(folder: Path, seed: int = 0) -> Paid | None:
    """How the bonuses of a run's agent, as of its newest checkpoint, agree with what the exact belief gains."""
    _, about = load_policy(str(folder))
    config, settings = config_of(about, None, False, "--runs"), settings_of(about)
    embedders = settings["state_embedder"], settings["obs_embedder"]
    make_envs, _ = env_maker(config, *embedders)
    with closing(make_envs(EPISODES, seed=seed)) as envs:
        agent = rebuilt_agent(folder, envs.spec_sizes, config, *embedders)
        gauge = BeliefGauge(config, envs, "--runs")
        episodes = run_episodes(envs, agent.exploring(), EPISODES, seed)
    bonus = [sum(judge(agent, one, gauge.spec).bonuses.values()) for one in episodes]
    kept = [len(one) - int(one.discount[-1] == 0) for one in episodes]
    gained = [(gains(gauge, one), steps) for one, steps in zip(episodes, kept)]
    told = [gain_T[:steps] for gain_T, steps in gained if gain_T is not None]
    if not told:
        return None
    return agreed(np.concatenate([np.asarray(one)[:steps] for one, steps in zip(bonus, kept)]), np.concatenate(told))


def agreed(bonus_T: Array, gain_T: Array) -> Paid:
    """Correlation, slope, and the share of what is paid above 0 for steps that gain nothing; or NaN."""
    r, _ = correlations(bonus_T, gain_T)
    above_T, none_T = np.maximum(bonus_T, 0), np.abs(gain_T) < 1e-6
    slope = r * bonus_T.std() / gain_T.std() if np.isfinite(r) else np.nan
    return Paid(r, float(slope), float(above_T[none_T].sum() / above_T.sum()) if above_T.any() else np.nan)


def gains(gauge: BeliefGauge, episode: Episode) -> Array | None:
    """By how many nats the exact belief in the true fact rises over each step (T,); None where no fact can be told.

    Raises:
        UserError: the true fact is none of those that the belief is about.
    """
    told = gauge.belief(episode, len(episode))
    shares, state_RS = gauge.features(told), gauge.rows("state", episode.state).astype(np.float64)
    name = next((fact for fact in FACTS if fact in shares), None)
    if name is not None and name in (labels := gauge.labels(episode)):
        value_R, count = labels[name], shares[name].shape[1]
        if (outside := value_R[(value_R < 0) | (value_R >= count)]).size:
            raise UserError(
                f"--runs: {gauge.spec.env_id}: factors() tells number {outside[0]} of {name}, of which belief() knows "
                f"0 to {count - 1}"
            )
        true_R = (told.probability_RK @ shares[name])[np.arange(len(episode) + 1), value_R]
    elif state_RS.shape == told.probability_RK.shape and _one_hot(state_RS):  # the state is the fact
        true_R = (told.probability_RK * state_RS).sum(axis=1)
    else:
        return None
    return np.asarray(np.diff(np.log(np.maximum(true_R, 1e-300))))


def _one_hot(rows_RK: Array) -> bool:
    return bool(((rows_RK == 0) | (rows_RK == 1)).all() and (rows_RK.sum(axis=1) == 1).all())
