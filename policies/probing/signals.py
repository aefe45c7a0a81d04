"""Which signal of the state is worth giving to a critic: two tests on episodes, before any training.

Both ask what a signal i tells of the return G that history and action (h, a) do not (Ebi et al., ICML 2026), by
random forests that are never asked about episodes that they were fitted to.

Dimension key: E episodes, M steps, C numbers that stand for a history and an action, I numbers of a signal, K of a
kernel's features.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from buffers.stored import StoredEpisodes

Floats = NDArray[np.float64]

WINDOW = 4  # steps of which a history's code has all
FOLDS, LANDMARKS = 5, 200
LEAF = 5  # steps that a leaf of a tree has, at least
NOTHING = 1e-6  # spread of what is left, where there is none
RANK = 1e-4  # share of a kernel's greatest variance below which a direction is left out


@dataclass(frozen=True)
class Effort:
    """How hard the tests try.

    Attributes:
        trees: of a forest.
        permutations: of whole episodes, for p-values; as many resamples for those of the second test.
        seed: of everything that is drawn.
    """

    trees: int = 100
    permutations: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Steps:
    """The M steps of E episodes as the tests read them.

    Attributes:
        episode_M: which episode each is of, from 0, ascending.
        code_MC: what stands for history and action: the last `WINDOW` observations and actions, the means of those
            before, and the action.
        return_M: G, the discounted reward from each step to the episode's end.
        signals: by name (M, I).
    """

    episode_M: NDArray[np.int64]
    code_MC: Floats
    return_M: Floats
    signals: Mapping[str, Floats]

    def signal(self, names: Sequence[str]) -> Floats:
        """Several side by side (M, I), each number in units of its own spread."""
        value_MI = np.concatenate([self.signals[name] for name in names], axis=1)
        scale_I = value_MI.std(axis=0)
        return np.asarray((value_MI - value_MI.mean(axis=0)) / np.where(scale_I > 0, scale_I, 1.0))


class Found(NamedTuple):
    """What the tests say of a signal.

    Attributes:
        names: of its features.
        dependence: HSIC of what is left of G and of i when history and action have told what they can.
        share: the same as a share of what there can be, 0 to 1.
        p_dependence: how often as much comes with whole episodes exchanged.
        gain: by how much the squared error of predicting G falls with the signal, as a share of G's variance; below 0
            where it does harm.
        p_gain: of the gain's being 0 or less, over episodes.
    """

    names: tuple[str, ...]
    dependence: float
    share: float
    p_dependence: float
    gain: float
    p_gain: float


def steps_of(
    stored: StoredEpisodes, groups: Mapping[str, Sequence[Sequence[int]]], discount: float, most: int
) -> Steps:
    """The steps of a data set, of its first episodes.

    `groups` has for each feature the entries of the state that its numbers are sums of.
    """
    episodes, codes, returns, values = [], [], [], []
    for number in range(min(most, len(stored))):
        first, length = int(stored.first[number]), int(stored.length[number])
        row_T = np.arange(first, first + length)
        codes.append(history_code(stored.read("obs", row_T), stored.spec.encode_action(stored.action[row_T])))
        returns.append(returns_to_go(stored.reward[row_T], discount))
        values.append(stored.read("state", row_T))
        episodes.append(np.full(length, number))
    state_MS = np.concatenate(values)
    signals = {
        name: np.stack([state_MS[:, entries].sum(axis=1) for entries in of], axis=1).astype(np.float64)
        for name, of in groups.items()
    }
    return Steps(np.concatenate(episodes), np.concatenate(codes), np.concatenate(returns), signals)


def history_code(obs_TO: NDArray[Any], action_TA: NDArray[Any]) -> Floats:
    """What stands for the history and the action at each of T steps (T, C)."""
    before_TA = np.concatenate([np.zeros_like(action_TA[:1]), action_TA[:-1]])
    seen_TF = np.concatenate([obs_TO, before_TA], axis=1).astype(np.float64)
    padded = np.concatenate([np.zeros((WINDOW, seen_TF.shape[1])), seen_TF])
    T = len(seen_TF)
    window = [padded[WINDOW - back : WINDOW - back + T] for back in range(WINDOW)]
    earlier = np.cumsum(padded[:T], axis=0) / np.maximum(np.arange(T)[:, None] - WINDOW + 1, 1)
    return np.concatenate([*window, earlier, action_TA], axis=1)


def returns_to_go(reward_T: NDArray[Any], discount: float) -> Floats:
    """Discounted rewards from each step to the end (T,)."""
    return_T, after = np.empty(len(reward_T)), 0.0
    for t in reversed(range(len(reward_T))):
        return_T[t] = after = float(reward_T[t]) + discount * after
    return return_T


def ranked(
    steps: Steps, signals: Sequence[tuple[str, ...]], effort: Effort, done: Callable[[], Any] = lambda: None
) -> list[Found]:
    """What the tests say of each signal, the best gain first; `done` is called after each."""
    told_M = cross_fitted(steps, steps.code_MC, steps.return_M[:, None], effort)[:, 0]
    left_M = steps.return_M - told_M
    names = dict.fromkeys(name for signal in signals for name in signal)
    left = {name: _left(steps, steps.signal((name,)), effort) for name in names}
    found = []
    for signal in signals:
        whole_MI, left_MI = steps.signal(signal), np.concatenate([left[name] for name in signal], axis=1)
        with_MC = np.concatenate([steps.code_MC, whole_MI], axis=1)
        with_M = cross_fitted(steps, with_MC, steps.return_M[:, None], effort)[:, 0]
        fallen_M = np.square(left_M) - np.square(steps.return_M - with_M)
        gain, p_gain = gained(fallen_M / steps.return_M.var(), steps.episode_M, effort)
        wide = [median_far(value_MI, effort.seed) for value_MI in (steps.return_M[:, None], whole_MI)]
        tested = dependence(left_M[:, None], left_MI, wide, steps.episode_M, effort)
        found.append(Found(signal, *tested, gain, p_gain))
        done()
    return sorted(found, key=lambda one: -one.gain)


def _left(steps: Steps, value_MI: Floats, effort: Effort) -> Floats:
    return value_MI - cross_fitted(steps, steps.code_MC, value_MI, effort)


def cross_fitted(steps: Steps, code_MC: Floats, value_MI: Floats, effort: Effort) -> Floats:
    """What forests tell of values (M, I) from codes, each fitted to four fifths of the episodes and asked of the rest.

    All inputs are looked at for each split, so that one that is there twice counts no more than once.
    """
    from sklearn.ensemble import RandomForestRegressor

    episodes = np.unique(steps.episode_M)
    fold_of = np.random.default_rng(effort.seed).permutation(len(episodes)) % FOLDS
    fold_M = fold_of[np.searchsorted(episodes, steps.episode_M)]
    told_MI = np.empty_like(value_MI)
    for fold in range(FOLDS):
        forest = RandomForestRegressor(effort.trees, min_samples_leaf=LEAF, random_state=(effort.seed + fold) % 2**32)
        fits = fold_M != fold
        forest.fit(code_MC[fits], value_MI[fits] if value_MI.shape[1] > 1 else value_MI[fits, 0])
        told_MI[~fits] = forest.predict(code_MC[~fits]).reshape(-1, value_MI.shape[1])
    return told_MI


def dependence(
    left_MX: Floats, left_MY: Floats, wide: Sequence[float], episode_M: NDArray[np.int64], effort: Effort
) -> tuple[float, float, float]:
    """HSIC of residuals, the same as a share of the greatest it could be, and the p-value of independence.

    Gaussian kernels by Nyström's method, as `wide` as return and signal themselves are, so that where the history
    leaves next to nothing there is next to no dependence. The null puts one side's episodes, each as a whole, in
    another order.
    """
    rng = np.random.default_rng(effort.seed)
    if min(left_MX.std(axis=0).max(), left_MY.std(axis=0).max()) < NOTHING:
        return 0.0, 0.0, 1.0  # the history tells it all
    x_MK, y_MK = kernel_features(left_MX, wide[0], rng), kernel_features(left_MY, wide[1], rng)
    seen = _hsic(x_MK, y_MK)
    most = np.sqrt(_hsic(x_MK, x_MK) * _hsic(y_MK, y_MK))
    blocks = np.split(np.arange(len(episode_M)), np.flatnonzero(np.diff(episode_M)) + 1)
    as_much = 0
    for _ in range(effort.permutations):
        order_M = np.concatenate([blocks[one] for one in rng.permutation(len(blocks))])
        as_much += _hsic(x_MK, y_MK[order_M]) >= seen
    share = float(seen / most) if most > 0 else 0.0
    return seen, share, (1 + as_much) / (1 + effort.permutations)


def median_far(value_MI: Floats, seed: int) -> float:
    """The median of squared distances between rows, of `LANDMARKS` of them; 1 where that is 0."""
    rows = np.random.default_rng(seed).choice(len(value_MI), min(LANDMARKS, len(value_MI)), replace=False)
    far_LL = _far(value_MI[rows], value_MI[rows])
    return float(np.median(far_LL[~np.eye(len(rows), dtype=bool)])) or 1.0


def kernel_features(value_MI: Floats, wide: float, rng: np.random.Generator) -> Floats:
    """Centred features (M, K) whose products are nearly those of a Gaussian kernel, exp(-‖x - y‖² / 2 wide)."""
    landmark_LI = value_MI[rng.choice(len(value_MI), min(LANDMARKS, len(value_MI)), replace=False)]
    weight_L, axes_LL = np.linalg.eigh(np.exp(-_far(landmark_LI, landmark_LI) / (2 * wide)))
    kept = weight_L > 1e-8 * weight_L[-1]
    value_MK = np.exp(-_far(value_MI, landmark_LI) / (2 * wide)) @ (axes_LL[:, kept] / np.sqrt(weight_L[kept]))
    value_MK -= value_MK.mean(axis=0)
    spread_K, turn_KK = np.linalg.eigh(value_MK.T @ value_MK)
    return np.asarray(value_MK @ turn_KK[:, spread_K > RANK * spread_K[-1]])  # few directions have nearly all of it


def _far(a: Floats, b: Floats) -> Floats:
    """Squared distances (A, B)."""
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0.0)


def _hsic(x_MK: Floats, y_MK: Floats) -> float:
    return float(np.square(x_MK.T @ y_MK).sum() / len(x_MK) ** 2)


def gained(fallen_M: Floats, episode_M: NDArray[np.int64], effort: Effort) -> tuple[float, float]:
    """The mean over episodes of their mean (L of the paper), and the one-sided p-value of 0, by resampled episodes."""
    count_E = np.bincount(episode_M)
    mean_E = (np.bincount(episode_M, fallen_M) / np.maximum(count_E, 1))[count_E > 0]
    rng = np.random.default_rng(effort.seed)
    drawn = rng.integers(len(mean_E), size=(effort.permutations, len(mean_E)))
    below = (mean_E[drawn].mean(axis=1) <= 0).sum()
    return float(mean_E.mean()), float((1 + below) / (1 + effort.permutations))
