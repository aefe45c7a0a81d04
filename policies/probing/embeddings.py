"""What embeddings hold: linear probes, shared information, and what can be decided from z_state with and without z_obs.

Everything is fitted on one half of the episodes and measured on the other.

Dimension key: R rows (distinct ones), S state, A actions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as fn

from buffers.stored import StoredEpisodes
from envs.factors import Factor, factors, informed_actions
from policies.probing.fit import WIDE, fit, fit_mlp, linear_probe
from policies.probing.rows import (
    EMBEDDINGS,
    MADE_OF,
    Half,
    hardly_varies,
    moments,
    root_mean_square,
    side_by_side,
    split_episodes,
    variance_share,
)
from torchkit.mutual_information import Club
from torchkit.networks import Encoder

Array = NDArray[Any]

PROBED = (*EMBEDDINGS, "obs", "state")
NUM_DRAWN = 6_000  # rows a half where noise is added
NOISE = 0.1


def report(
    stored: StoredEpisodes, encoders: Mapping[str, Encoder], env: gym.Env[Any, Any], seed: int, steps: int
) -> dict[str, Any]:
    """What z_state and z_obs hold, in plain values, which `policies.probing.text` shows.

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
        shared_nats: CLUB estimates, with that noise, of I(z_state; z_obs), of what an untrained z_state shares with
            z_obs, and, as a ceiling, of complete overlap.
        unseen_share: the part of z_state's variance that a small MLP does not read from the present observation, 0 … 1,
            and of an untrained z_state's: what there is to be gained by looking, and, where it is low, what a bonus
            pays for motion that is seen anyway.
        collapsed: the embeddings that are nearly the same for all rows, of which all else says nothing.
        decisions: what small MLPs decide from z_state alone (zero-on) and from both (zero-off), with that noise.
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
        "z_state_z_obs": club_estimate(noisy_train, noisy_test, "z_state", "z_obs", seed, steps),
        "ceiling": club_estimate(noisy_train, noisy_test, "z_obs", "z_obs", seed, steps),
    }
    if "z_state untrained" in encoders:
        untrained = club_estimate(noisy_train, noisy_test, "z_state untrained", "z_obs", seed, steps)
        result["shared_nats"]["z_state_untrained_z_obs"] = untrained
    result["unseen_share"] = {
        name: unseen_share(halves[0], halves[1], name, seed, steps) for name in encoders if MADE_OF[name] == "state"
    }
    best = [informed_actions(env, half.views["state"]) for half in halves]
    chosen = [None if actions is None else actions[index] for actions, (_, index) in zip(best, drawn)]
    result["decisions"] = zero_on_off(noisy_train, noisy_test, chosen[0], chosen[1], seed, steps)
    return result


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
            beside, beside_test = side_by_side(a, b, (name,))
            x, x_test = np.concatenate([x, beside], axis=1), np.concatenate([x_test, beside_test], axis=1)
        predict = fit_mlp(x, len(classes), a.weight, seed, steps, lambda out, i: fn.cross_entropy(out, labels[i]))
        accuracy[name] = float((classes[predict(x_test).argmax(axis=1)] == on_test.label_R) @ share)
    return accuracy


def unseen_share(train: Half, test: Half, name: str, seed: int, steps: int) -> float:
    """The part of an embedding's variance that the present observation does not tell, on the test half.

    A small MLP reads the observation, or where that is an image z^o.
    """
    seen = "obs" if train.views["obs"].shape[1] <= WIDE else "z_obs"
    x, x_test = side_by_side(train, test, (seen,))
    mean_Z = moments(train.views[name], train.weight)[0]
    scale = root_mean_square(train.views[name], train.weight)
    target, target_test = ((half.views[name] - mean_Z) / scale for half in (train, test))
    wanted = torch.from_numpy(target.astype(np.float32))
    predict = fit_mlp(x, target.shape[1], train.weight, seed, steps, lambda out, i: (out - wanted[i]).square().mean())
    variance = np.square(moments(target_test, test.weight)[1]).sum()
    share = test.weight / test.weight.sum()
    error = share @ np.square(predict(x_test) - target_test).sum(1)
    return float(min(1.0, error / variance)) if variance > 0 else 0.0


def club_estimate(train: Half, test: Half, x_view: str, y_view: str, seed: int, steps: int) -> float:
    """CLUB's upper bound on the information between two views of the test half, over all pairs of its rows."""
    scaled = []
    for view in (x_view, y_view):
        mean, rms = moments(train.views[view], train.weight)[0], root_mean_square(train.views[view], train.weight)
        scaled.append([torch.from_numpy((half.views[view] - mean) / rms).float() for half in (train, test)])
    (x, x_test), (y, y_test) = scaled
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        club = Club(x.shape[1], y.shape[1], hidden_dim=64)
    fit(club, steps, train.weight, lambda index: -club.log_likelihood(x[index], y[index]).mean(), seed)
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
    """What small MLPs decide from z_state alone (zero-on: z_obs is zeroed) against [z_obs, z_state] (zero-off).

    Where the state embedder holds only what the observation lacks, the first fails and the second succeeds.

    Args:
        best_train, best_test: (R, A) bool, the best actions of one who knows the state, where the domain tells.

    Returns:
        `reward_r2`: how much of the reward's variance is explained by [view, action];
        `informed_action`: how often the action picked from the view is a best one.
    """
    views = {
        "z_state (zero-on)": ("z_state",),
        "z_obs": ("z_obs",),
        "z_obs, z_state (zero-off)": ("z_obs", "z_state"),
        "state": ("state",),
    }
    report: dict[str, dict[str, float]] = {"reward_r2": {}, "informed_action": {}}
    for name, parts in views.items():
        x, x_test = side_by_side(train, test, parts)
        xa, xa_test = (np.concatenate([v, half.action], axis=1) for v, half in ((x, train), (x_test, test)))
        report["reward_r2"][name] = _reward_r2(xa, train, xa_test, test, seed, steps)
        if best_train is not None and best_test is not None:
            report["informed_action"][name] = _action_accuracy(
                x, best_train, train.weight, x_test, best_test, test.weight, seed, steps
            )
    return {name: values for name, values in report.items() if values}


def _reward_r2(x: Array, train: Half, x_test: Array, test: Half, seed: int, steps: int) -> float:
    """1 minus the squared error over the variance; 0 is the mean's own."""
    weight = test.weight / test.weight.sum()
    variance = weight @ np.square(test.reward - weight @ test.reward)
    if variance < 1e-12:
        return float("nan")
    scale = float(np.abs(train.reward).max()) or 1.0
    target = torch.from_numpy(train.reward / scale).float()
    predict = fit_mlp(x, 1, train.weight, seed, steps, lambda out, i: (out.squeeze(-1) - target[i]).square().mean())
    error = np.square(predict(x_test).squeeze(-1) * scale - test.reward)
    return float(1.0 - weight @ error / variance)


def _action_accuracy(
    x: Array, best: Array, weight: Array, x_test: Array, best_test: Array, weight_test: Array, seed: int, steps: int
) -> float:
    """How often the likeliest action is a best one, over rows that have one."""
    has, has_test = best.any(axis=1), best_test.any(axis=1)
    target = torch.from_numpy(best[has] / best[has].sum(axis=1, keepdims=True)).float()
    predict = fit_mlp(x[has], best.shape[1], weight[has], seed, steps, lambda out, i: fn.cross_entropy(out, target[i]))
    chosen = predict(x_test[has_test]).argmax(axis=1)
    right = np.take_along_axis(best_test[has_test], chosen[:, None], axis=1).squeeze(1)
    return float(right @ weight_test[has_test] / weight_test[has_test].sum())
