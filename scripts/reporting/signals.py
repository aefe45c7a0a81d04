"""The tests of signals on the synthetic POMDP of Ebi et al. (2026), whose order is published: rows of a page.

Dimension key: E episodes, T steps, S states, A actions, F features.
"""

import numpy as np

from policies.probing.signals import Effort, Found, Steps, history_code, ranked, returns_to_go
from utils.progress import progress

STATES, ACTIONS, FEATURES = 20, 4, 5
EPISODES, STEPS, SEEDS, DISCOUNT = 100, 25, 3, 0.99
WORTH = np.array([1e-4, 1e-4, -1e-4, -1.0, 1.0])  # the reward of a unit of each feature
NOISE = 0.5
CONCENTRATION = 0.1  # of Dirichlet's distribution, by which transitions are drawn
SIGNALS = (
    ("1", "2"),
    ("1", "2", "3"),
    ("1", "2", "3", "4", "5"),
    ("1", "2", "4", "5"),
)  # as published, the worst first
PUBLISHED = ("3.0e-5, -0.014", "5.5e-5, 0.007", "7.0e-5, 0.056", "7.6e-5, 0.064")

TITLE = "Is a signal worth giving? The synthetic POMDP of Ebi et al. (2026)"
NOTES = [
    f"{STATES} states with {FEATURES} Gaussian features each. The first two come with a noise of {NOISE:g} a step,",
    "and are seen so: without it two numbers tell the state, and a history leaves nothing. The last two are paid for;",
    f"{EPISODES} episodes of {STEPS} random actions; {SEEDS} POMDPs, transitions by Dirichlet({CONCENTRATION:g}).",
    "Before any training: how what the history leaves of the signal depends on what it leaves of the return (HSIC, its",
    "p-value by whole episodes exchanged), and the share of the return's variance that is told with the signal and not",
    "without. Medians over POMDPs, and of how many p is below 0.05:",
    "[policies/probing/signals.py](../../policies/probing/signals.py); `scripts/signals.py` asks it of any data set.",
    "The published numbers are residual dependence and L, of one draw and other forests: their order is what compares.",
]
COLUMNS = ("signal", "published", "HSIC", "p < 0.05", "gain, share of variance", "p < 0.05 ", "best by gain")


def rows() -> list[list[str]]:
    """A row a signal, in the published order; about a minute."""
    found: list[list[Found]] = []
    with progress(SEEDS * len(SIGNALS), 0, "signals") as bar:
        for seed in range(SEEDS):
            told = ranked(drawn(seed), SIGNALS, Effort(trees=10, permutations=200, seed=seed), lambda: bar.update(1))
            found.append([next(one for one in told if one.names == names) for names in SIGNALS])
    best = [max(of_seed, key=lambda one: one.gain).names for of_seed in found]
    return [
        _row(names, published, [of_seed[number] for of_seed in found], best.count(names))
        for number, (names, published) in enumerate(zip(SIGNALS, PUBLISHED, strict=True))
    ]


def _row(names: tuple[str, ...], published: str, found: list[Found], best: int) -> list[str]:
    below = [sum(p < 0.05 for p in ps) for ps in zip(*((one.p_dependence, one.p_gain) for one in found))]
    return [
        " ".join(f"s{name}" for name in names),
        published,
        f"{np.median([one.dependence for one in found]):.1e}",
        f"{below[0]} of {len(found)}",
        f"{np.median([one.gain for one in found]):.3f}",
        f"{below[1]} of {len(found)}",
        f"{best} of {len(found)}",
    ]


def drawn(seed: int, episodes: int = EPISODES) -> Steps:
    """Episodes of random actions in a POMDP that is drawn."""
    rng = np.random.default_rng(seed)
    feature_SF = rng.normal(size=(STATES, FEATURES))
    next_ASS = rng.dirichlet(np.full(STATES, CONCENTRATION), size=(ACTIONS, STATES)).cumsum(axis=-1)
    state_E, action_ET = rng.integers(STATES, size=episodes), rng.integers(ACTIONS, size=(episodes, STEPS))
    state_ET = np.empty((episodes, STEPS), np.int64)
    for t in range(STEPS):
        state_ET[:, t] = state_E
        state_E = (rng.random((episodes, 1)) > next_ASS[action_ET[:, t], state_E]).sum(axis=1).clip(max=STATES - 1)
    value_ETF, taken_ETA = feature_SF[state_ET], np.eye(ACTIONS)[action_ET]
    value_ETF[..., :2] += NOISE * rng.normal(size=(episodes, STEPS, 2))
    return Steps(
        np.repeat(np.arange(episodes), STEPS),
        np.concatenate([history_code(seen, taken) for seen, taken in zip(value_ETF[..., :2], taken_ETA)]),
        np.concatenate([returns_to_go(reward_T, DISCOUNT) for reward_T in value_ETF @ WORTH]),
        {str(one + 1): value_ETF[..., one].reshape(-1, 1) for one in range(FEATURES)},
    )
