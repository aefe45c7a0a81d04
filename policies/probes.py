"""What embeddings hold: linear probes, shared information, and what can be decided from z^s with and without z^o.

Everything is fitted on one half of the episodes and measured on the other. Rows that are equal count as one with a
weight, so that a grid domain's report takes seconds.

Dimension key: R rows (distinct ones), O observation, S state, A actions, Z embedding, F features.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as fn

from buffers.dataset import StoredEpisodes
from envs.factors import Factor, factors, informed_actions
from torchkit.adam import Adam
from torchkit.mutual_information import Club, row_ids
from torchkit.networks import Encoder

Array = NDArray[Any]

EMBEDDINGS = {"z_s": "state", "z_o": "obs"}  # and what they are made of
UNTRAINED = {f"{name} untrained": view for name, view in EMBEDDINGS.items()}
MADE_OF = EMBEDDINGS | UNTRAINED
VIEWS = (*EMBEDDINGS, "obs", "state")
MAX_ROWS = 20_000  # distinct rows a half that are looked at
MAX_NUMBERS = 2**26  # in the rows of a view that are looked at, which bounds those of images
WIDE, WIDE_ROWS = 4_000, 1_500  # a view of more features than this is an image; of it so many rows are probed a half
NUM_DRAWN = 6_000  # rows a half where noise is added
NOISE = 0.1
COLLAPSED = 1e-5  # variance of an embedding, as a part of its mean's square: networks begin with 1e-2
LEARNING_RATE = 4e-3


def report(
    stored: StoredEpisodes, encoders: Mapping[str, Encoder], env: gym.Env[Any, Any], seed: int, steps: int
) -> dict[str, Any]:
    """What z^s and z^o hold, in plain values, which `policies.probe_text` shows.

    The networks of the report are fitted in `steps` steps each.

    Args:
        stored: the data set.
        encoders: by name of `EMBEDDINGS`; and of `UNTRAINED`, networks of the same sizes as they begin, to be probed
            likewise: what they tell, training has not brought.
        env: one of the domain, which tells its factors.

    Returns:
        factors: by name, what linear probes read of each factor that the domain declares: accuracy from each view,
            the same with noise of `NOISE` on the embeddings, chance (the share of the most frequent value), and the
            share of the embeddings' variance that the factor explains; of a factor that is about something shown, what
            a small MLP reads of it from that and a noisy embedding, and from that alone ("shown").
        shared_nats: CLUB estimates, with that noise, of I(z^s; z^o), of what an untrained z^s shares with z^o, and, as
            a ceiling, of complete overlap.
        collapsed: the embeddings that are nearly the same for all rows, of which all else says nothing.
        decisions: what small MLPs decide from z^s alone (zero-on) and from z^o and z^s (zero-off), with that noise.
    """
    rng = np.random.default_rng(seed)
    halves = split_episodes(stored, encoders, seed)
    drawn = [half.blurred(NOISE, NUM_DRAWN, rng) for half in halves]
    noisy_train, noisy_test = (half for half, _ in drawn)
    declared = [factors(env, half.views["obs"], half.views["state"]) for half in halves]
    result: dict[str, Any] = {"env_id": stored.spec.env_id, "episodes": len(stored), "noise": NOISE, "factors": {}}
    result["collapsed"] = [name for name in EMBEDDINGS if hardly_varies(halves[0].views[name], halves[0].weight)]
    for name in declared[0]:
        pair = [of_half[name] for of_half in declared]
        hidden = any(factor.is_hidden for factor in pair)
        exact = [asked(half, factor, hidden) for half, factor in zip(halves, pair)]
        noisy = [asked(half, factor.take(i), hidden) for (half, i), factor in zip(drawn, pair)]
        if all(len(half) for half, _ in (*exact, *noisy)):
            result["factors"][name] = {"kind": "hidden" if hidden else "visible"}
            result["factors"][name] |= report_factor(exact, noisy, tuple(encoders), seed, steps)
    result["shared_nats"] = {
        "z_s_z_o": club_estimate(noisy_train, noisy_test, "z_s", "z_o", seed, steps),
        "ceiling": club_estimate(noisy_train, noisy_test, "z_o", "z_o", seed, steps),
    }
    if "z_s untrained" in encoders:
        untrained = club_estimate(noisy_train, noisy_test, "z_s untrained", "z_o", seed, steps)
        result["shared_nats"]["z_s_untrained_z_o"] = untrained
    best = [informed_actions(env, half.views["state"]) for half in halves]
    chosen = [None if actions is None else actions[index] for actions, (_, index) in zip(best, drawn)]
    result["decisions"] = zero_on_off(noisy_train, noisy_test, chosen[0], chosen[1], seed, steps)
    return result


@dataclass(frozen=True)
class Half:
    """The distinct (observation, state, action, reward) rows of one half of the episodes, with their shares.

    Attributes:
        views: by name of `VIEWS`, and of `UNTRAINED` where asked for, (R, F) float32.
        action: (R, A) as networks read it.
        reward: (R,).
        weight: (R,) shares of the steps, summing to 1 where the half is whole.
    """

    views: dict[str, Array]
    action: Array
    reward: Array
    weight: Array

    def __len__(self) -> int:
        return len(self.weight)

    def take(self, row_N: NDArray[Any]) -> "Half":
        """Some of its rows, by their numbers or a mask."""
        views = {name: view[row_N] for name, view in self.views.items()}
        return Half(views, self.action[row_N], self.reward[row_N], self.weight[row_N])

    def blurred(self, noise: float, num_rows: int, rng: np.random.Generator) -> tuple["Half", Array]:
        """Rows drawn by weight, with Gaussian noise on the embeddings; also returns their numbers (num_rows,).

        An embedding is a function of its input, so that an exact reader can undo any compression of it. Noise, as a
        part of the embedding's root mean square, leaves what is held in more than traces.
        """
        index = rng.choice(len(self), num_rows, p=self.weight / self.weight.sum())
        drawn = self.take(index)
        for name in [name for name in self.views if name in MADE_OF]:
            scale = noise * root_mean_square(self.views[name], self.weight)
            drawn.views[name] += rng.normal(0, scale, drawn.views[name].shape).astype(np.float32)
        return replace(drawn, weight=np.full(num_rows, 1 / num_rows)), index


def split_episodes(stored: StoredEpisodes, encoders: Mapping[str, Encoder], seed: int) -> tuple[Half, Half]:
    """The rows to fit on and those to measure on: two halves of the episodes, drawn at random.

    `encoders` are by name of `EMBEDDINGS` or `UNTRAINED`.
    """
    rng = np.random.default_rng(seed)
    is_test_E = np.zeros(len(stored), bool)
    is_test_E[rng.permutation(len(stored))[: max(1, len(stored) // 2)]] = True
    row = stored.transitions().row
    is_test = np.repeat(is_test_E, stored.length)
    halves = []
    for chosen in (row[~is_test], row[is_test]):
        rows = chosen if len(chosen) else row  # a single episode is both halves
        columns = (stored.obs[rows], stored.state[rows], stored.action[rows], stored.reward[rows])
        ids = np.stack([row_ids(column.reshape(len(rows), -1))[0] for column in columns], axis=1)
        number, first = row_ids(ids)
        weight = np.bincount(number) / len(number)
        if len(first) > row_limit(stored):
            kept = rng.choice(len(first), row_limit(stored), replace=False)
            first, weight = first[kept], weight[kept] / weight[kept].sum()
        obs, state = (stored.read(view, rows[first]) for view in ("obs", "state"))
        action = stored.spec.encode_action(stored.action[rows[first]])
        views = {"obs": obs, "state": state}
        views |= {name: embed(encoder, views[MADE_OF[name]]) for name, encoder in encoders.items()}
        halves.append(Half(views, action, stored.reward[rows[first]], weight))
    return halves[0], halves[1]


def row_limit(stored: StoredEpisodes) -> int:
    """How many rows of a data set are looked at together."""
    return min(MAX_ROWS, MAX_NUMBERS // max(stored.spec.obs_dim, stored.spec.state_dim))


@torch.no_grad()
def embed(encoder: Encoder, x_RO: Array, chunk: int = 4096) -> Array:
    """Embeddings (R, Z) of flat rows, computed where the encoder is."""
    device = next(encoder.parameters()).device
    parts = [encoder(torch.from_numpy(x_RO[i : i + chunk]).to(device)).cpu() for i in range(0, len(x_RO), chunk)]
    return torch.cat(parts).numpy()


def linear_probe(
    train_RF: Array, train_label: Array, train_weight: Array, test_RF: Array, test_label: Array, test_weight: Array
) -> float:
    """Accuracy (weighted) on the test rows of a logistic regression on standardised features.

    Of images, as they are, `WIDE_ROWS` rows at most are fitted on and measured on, spread evenly.
    """
    from sklearn.linear_model import LogisticRegression

    if train_RF.shape[1] > WIDE:
        (train_RF, train_label, train_weight), (test_RF, test_label, test_weight) = (
            [column[np.linspace(0, len(x) - 1, min(len(x), WIDE_ROWS)).astype(int)] for column in (x, label, weight)]
            for x, label, weight in ((train_RF, train_label, train_weight), (test_RF, test_label, test_weight))
        )
    classes = np.unique(train_label)
    if len(classes) == 1:
        return float((test_label == classes[0]) @ test_weight / test_weight.sum())
    mean, std = _moments(train_RF, train_weight)
    scale = np.where(std > 1e-6, std, 1.0)
    train_RF, test_RF = (train_RF - mean) / scale, (test_RF - mean) / scale
    if len(train_RF) < train_RF.shape[1]:
        train_RF, test_RF = _in_span(train_RF, test_RF)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that stops at max_iter is still a lower bound on what can be read
        probe = LogisticRegression(C=1.0, max_iter=500)
        probe.fit(train_RF, train_label, sample_weight=train_weight * _pseudo_rows(train_weight))
    right = probe.predict(test_RF) == test_label
    return float(right @ test_weight / test_weight.sum())


def _in_span(train_RF: Array, test_RF: Array) -> tuple[Array, Array]:
    """Both in an orthonormal basis of what the fewer training rows span: all that a regularised fit can make use of."""
    value, vector = np.linalg.eigh(np.asarray(train_RF @ train_RF.T, np.float64))
    kept = value > 1e-6 * value[-1]
    root = np.sqrt(value[kept])
    return vector[:, kept] * root, (test_RF @ train_RF.T) @ (vector[:, kept] / root)


def _pseudo_rows(weight: Array) -> float:
    """Shares to counts, as of 10,000 rows: the strength of the default regularisation depends on it."""
    return float(10_000 / weight.sum())


def _moments(x_RF: Array, weight: Array) -> tuple[Array, Array]:
    share = weight / weight.sum()
    mean = share @ x_RF
    return mean, np.sqrt(share @ np.square(x_RF - mean))


def root_mean_square(x_RF: Array, weight: Array) -> float:
    """One number for the size of centred features; 1 where they do not vary."""
    return float(np.sqrt(np.square(_moments(x_RF, weight)[1]).mean())) or 1.0


def hardly_varies(x_RF: Array, weight: Array) -> bool:
    """Whether features are the same for all rows but for traces."""
    mean, std = _moments(x_RF, weight)
    return bool(np.square(std).sum() < COLLAPSED * np.square(mean).sum())


def variance_share(x_RF: Array, label: Array, weight: Array) -> float:
    """The part of the features' variance (summed over them) that a factor explains: 0 … 1."""
    mean, std = _moments(x_RF, weight)
    total = float(np.square(std).sum())
    between = 0.0
    for value in np.unique(label):
        chosen = label == value
        share = weight[chosen].sum() / weight.sum()
        between += share * float(np.square(_moments(x_RF[chosen], weight[chosen])[0] - mean).sum())
    return between / total if total > 0 else 0.0


Asked = tuple[Half, Factor]  # the rows on which a factor is probed, and the factor there


def asked(half: Half, factor: Factor, hidden: bool) -> Asked:
    """The rows on which a factor is probed: of a hidden one those whose observation leaves it open, else all."""
    return (half.take(factor.hidden_R), factor.take(factor.hidden_R)) if hidden else (half, factor)


def report_factor(
    exact: Sequence[Asked], noisy: Sequence[Asked], encoders: Sequence[str], seed: int, steps: int
) -> dict[str, Any]:
    """What the report says of a factor, its kind excepted.

    Args:
        exact, noisy: the rows to fit on and those to measure on, as they are and with noise.
        encoders: the names of the embeddings.
    """
    half, factor = exact[1]
    values, number_R = np.unique(factor.label_R, return_inverse=True)
    found = {
        "classes": len(values),
        "chance": float(np.bincount(number_R, half.weight).max() / half.weight.sum()),
        "accuracy": probe_factor(exact[0], exact[1], ("obs", "state", *encoders)),
        "accuracy_with_noise": probe_factor(noisy[0], noisy[1], encoders),
        "variance_share": {view: variance_share(half.views[view], factor.label_R, half.weight) for view in EMBEDDINGS},
    }
    if factor.shown_RK is not None:
        found["accuracy_with_shown"] = probe_with_shown(noisy[0], noisy[1], encoders, seed, steps)
    return found


def probe_factor(train: Asked, test: Asked, views: Sequence[str]) -> dict[str, float]:
    """Accuracy of linear probes for a factor from each view."""
    (a, on_train), (b, on_test) = train, test
    return {
        view: linear_probe(a.views[view], on_train.label_R, a.weight, b.views[view], on_test.label_R, b.weight)
        for view in views
    }


def probe_with_shown(train: Asked, test: Asked, views: Sequence[str], seed: int, steps: int) -> dict[str, float]:
    """Accuracy of small MLPs for a factor from what is shown of it beside each view, and from that alone ("shown")."""
    (a, on_train), (b, on_test) = train, test
    assert on_train.shown_RK is not None and on_test.shown_RK is not None
    classes, target = np.unique(on_train.label_R, return_inverse=True)
    labels, share = torch.from_numpy(target), b.weight / b.weight.sum()
    accuracy = {}
    for name in ("shown", *views):
        x, x_test = on_train.shown_RK, on_test.shown_RK
        if name != "shown":
            beside, beside_test = _standardised(a, b, (name,))
            x, x_test = np.concatenate([x, beside], axis=1), np.concatenate([x_test, beside_test], axis=1)
        predict = _fit_mlp(x, len(classes), a.weight, seed, steps, lambda out, i: fn.cross_entropy(out, labels[i]))
        accuracy[name] = float((classes[predict(x_test).argmax(axis=1)] == on_test.label_R) @ share)
    return accuracy


def club_estimate(train: Half, test: Half, x_view: str, y_view: str, seed: int, steps: int) -> float:
    """CLUB's upper bound on the information between two views of the test half, over all pairs of its rows."""
    scaled = []
    for view in (x_view, y_view):
        mean, rms = _moments(train.views[view], train.weight)[0], root_mean_square(train.views[view], train.weight)
        scaled.append([torch.from_numpy((half.views[view] - mean) / rms).float() for half in (train, test)])
    (x, x_test), (y, y_test) = scaled
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        club = Club(x.shape[1], y.shape[1], hidden_dim=64)
    _fit(club, steps, train.weight, lambda index: -club.log_likelihood(x[index], y[index]).mean(), seed)
    with torch.no_grad():
        weight = torch.from_numpy(test.weight / test.weight.sum()).float()
        mu, logvar = club(x_test)
        y_mean = weight @ y_test
        y_variance = weight @ (y_test - y_mean).square()
        shuffled = (mu - y_mean).square() + y_variance  # the mean of (μ - ỹ)² over all ỹ
        bound = 0.5 * ((shuffled - (mu - y_test).square()) * (-logvar).exp()).sum(-1)
        return float(weight @ bound)


def zero_on_off(
    train: Half, test: Half, best_train: Array | None, best_test: Array | None, seed: int, steps: int
) -> dict[str, dict[str, float]]:
    """What can be decided from z^s alone (zero-on: ψ's part is zeroed) against [z^o, z^s] (zero-off), by small MLPs.

    Where φ holds only what the observation lacks, the first fails and the second succeeds.

    Args:
        best_train, best_test: (R, A) bool, the best actions of one who knows the state, where the domain tells.

    Returns:
        `reward_r2`: how much of the reward's variance is explained by [view, action];
        `informed_action`: how often the action picked from the view is a best one.
    """
    views = {
        "z_s (zero-on)": ("z_s",),
        "z_o": ("z_o",),
        "z_o, z_s (zero-off)": ("z_o", "z_s"),
        "state": ("state",),
    }
    report: dict[str, dict[str, float]] = {"reward_r2": {}, "informed_action": {}}
    for name, parts in views.items():
        x, x_test = _standardised(train, test, parts)
        xa, xa_test = (np.concatenate([v, half.action], axis=1) for v, half in ((x, train), (x_test, test)))
        report["reward_r2"][name] = _reward_r2(xa, train, xa_test, test, seed, steps)
        if best_train is not None and best_test is not None:
            report["informed_action"][name] = _action_accuracy(
                x, best_train, train.weight, x_test, best_test, test.weight, seed, steps
            )
    return {name: values for name, values in report.items() if values}


def _standardised(train: Half, test: Half, parts: tuple[str, ...]) -> tuple[Array, Array]:
    """Each view centred and divided by its root mean square, side by side."""
    columns = []
    for view in parts:
        mean, rms = _moments(train.views[view], train.weight)[0], root_mean_square(train.views[view], train.weight)
        columns.append([(half.views[view] - mean) / rms for half in (train, test)])
    return tuple(np.concatenate(side, axis=1).astype(np.float32) for side in zip(*columns))  # type: ignore[return-value]


def _reward_r2(x: Array, train: Half, x_test: Array, test: Half, seed: int, steps: int) -> float:
    """1 minus the squared error over the variance; 0 is the mean's own."""
    weight = test.weight / test.weight.sum()
    variance = weight @ np.square(test.reward - weight @ test.reward)
    if variance < 1e-12:
        return float("nan")
    scale = float(np.abs(train.reward).max()) or 1.0
    target = torch.from_numpy(train.reward / scale).float()
    predict = _fit_mlp(x, 1, train.weight, seed, steps, lambda out, i: (out.squeeze(-1) - target[i]).square().mean())
    error = np.square(predict(x_test).squeeze(-1) * scale - test.reward)
    return float(1.0 - weight @ error / variance)


def _action_accuracy(
    x: Array, best: Array, weight: Array, x_test: Array, best_test: Array, weight_test: Array, seed: int, steps: int
) -> float:
    """How often the likeliest action is a best one, over rows that have one."""
    has, has_test = best.any(axis=1), best_test.any(axis=1)
    target = torch.from_numpy(best[has] / best[has].sum(axis=1, keepdims=True)).float()
    predict = _fit_mlp(x[has], best.shape[1], weight[has], seed, steps, lambda out, i: fn.cross_entropy(out, target[i]))
    chosen = predict(x_test[has_test]).argmax(axis=1)
    right = np.take_along_axis(best_test[has_test], chosen[:, None], axis=1).squeeze(1)
    return float(right @ weight_test[has_test] / weight_test[has_test].sum())


def _fit(
    net: nn.Module, steps: int, weight: Array, loss: Callable[[Tensor], Tensor], seed: int, batch_size: int = 256
) -> None:
    """Adam with a learning rate that falls to zero, on batches of row numbers drawn by weight."""
    rng = np.random.default_rng(seed)
    draws = rng.choice(len(weight), (steps, min(batch_size, MAX_ROWS)), p=weight / weight.sum())
    optimiser = Adam(net.parameters(), LEARNING_RATE)
    for step, index in enumerate(torch.from_numpy(draws)):
        optimiser.lr = LEARNING_RATE * (1 - step / steps)
        optimiser.zero_grad()
        loss(index).backward()
        optimiser.step()


def _fit_mlp(
    x: Array, out_dim: int, weight: Array, seed: int, steps: int, loss: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[Array], Array]:
    """A two-layer MLP fitted to `loss(output, row numbers)`; returns it as a function of arrays."""
    features = torch.from_numpy(x)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(x.shape[1], 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, out_dim)]
    net = nn.Sequential(*layers)
    _fit(net, steps, weight, lambda index: loss(net(features[index]), index), seed)

    @torch.no_grad()
    def predict(inputs: Array) -> Array:
        return np.asarray(net(torch.from_numpy(inputs)).numpy())

    return predict
