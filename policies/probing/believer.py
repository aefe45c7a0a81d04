"""What samples of a belief tell: the report of the Believer's stage 2.

Dimension key: E episodes, R rows, K samples, F features of a row.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from buffers.episode_buffer import EpisodeBuffer
from buffers.stored import StoredEpisodes
from envs.factors import factors
from policies.models.believer import HistoryModel
from policies.probing.fit import linear_probe
from policies.probing.text import as_table
from torchkit.networks import Encoder

MAX_ROWS, NUM_SAMPLES = 4_000, 30  # of the report: rows a half, and samples a row


def believer_report(
    stored: StoredEpisodes, encoder: Encoder, model: HistoryModel, env: gym.Env[Any, Any], seed: int
) -> dict[str, Any]:
    """How well samples of the belief tell z_state, and each hidden factor, on episodes that the probes did not see.

    Returns:
        explained: the share of z_state's variance that the mean of the samples explains.
        spread: the variance of the samples over the squared error of their mean, 1 where the belief is as sure as it
            may be.
        factors: by name of each hidden one, for rows whose observation leaves it open: how many of the samples of a
            history that has not shown it (`untold`) and of one that has (`told`) tell its true value, by a linear
            probe of z_state, of which `z_state` is the accuracy.
    """
    order = np.random.default_rng(seed).permutation(len(stored))
    episodes, middle = EpisodeBuffer.of(stored), len(order) // 2
    halves = [_rows(stored, episodes, encoder, model, half) for half in (order[: middle or 1], order[middle:])]
    declared = [factors(env, half["obs"], half["state"]) for half in halves]
    train, test = halves
    error = np.square(test["samples"].mean(axis=1) - test["z"]).sum(axis=1).mean()
    spread = test["samples"].var(axis=1, ddof=1).sum(axis=1).mean()
    result: dict[str, Any] = {"env_id": stored.spec.env_id, "episodes": len(stored), "factors": {}}
    result |= {"explained": float(1 - error / test["z"].var(axis=0).sum()), "spread": float(spread / error)}
    for name, on_train in declared[0].items():
        on_test = declared[1][name]
        if not on_test.is_hidden:
            continue
        shown_R = _so_far(~on_test.hidden_R, test["episode"])
        rows = {"untold": on_test.hidden_R & ~shown_R, "told": on_test.hidden_R & shown_R}

        def probe(x_RF: NDArray[Any], label_R: NDArray[Any], on_train: Any = on_train) -> float:
            ones = np.ones(len(train["z"]))
            return linear_probe(train["z"], on_train.label_R, ones, x_RF, label_R, np.ones(len(x_RF)))

        result["factors"][name] = {"z_state": probe(test["z"][on_test.hidden_R], on_test.label_R[on_test.hidden_R])} | {
            case: probe(
                test["samples"][chosen].reshape(-1, test["z"].shape[1]),
                on_test.label_R[chosen].repeat(test["samples"].shape[1]),
            )
            for case, chosen in rows.items()
            if chosen.any()
        }
    return result


def believer_text(result: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        f"# What the belief about {result['env_id']} tells",
        "",
        f"The samples' mean explains {result['explained']:.3f} of the variance of z_state; their variance is "
        f"{result['spread']:.2f} of the squared error of that mean (1: as sure as it may be).",
        "",
    ]
    header = ["factor", "z_state", "samples, untold", "samples, told"]
    rows = [
        [name, *(f"{row[case]:.3f}" if case in row else "-" for case in ("z_state", "untold", "told"))]
        for name, row in result["factors"].items()
    ]
    if rows:
        lines += [
            "The share of samples that tell the true value of a hidden factor, while the observation leaves it open,",
            "before and after the episode has shown it; z_state: the accuracy of the linear probe that reads them.",
            "",
            *as_table(header, rows),
            "",
        ]
    return "\n".join(lines)


@torch.no_grad()
def _rows(
    stored: StoredEpisodes, episodes: EpisodeBuffer, encoder: Encoder, model: HistoryModel, episode_E: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """The rows that are acted from, of up to `MAX_ROWS` rows of whole episodes, one episode after the other."""
    lengths = stored.length[episode_E]
    count = max(1, int(np.searchsorted(lengths.cumsum(), MAX_ROWS)))
    batch = episodes.episodes(episode_E[:count], device=next(model.parameters()).device)

    def rows(x: Tensor) -> Tensor:
        return x[:-1].transpose(0, 1)[batch.mask.T > 0]

    views = {"obs": batch.obs.full(), "state": batch.state.full(), "z": batch.state.through(encoder)}
    tensors = {name: rows(x) for name, x in views.items()}
    noise_RKF = torch.randn(len(tensors["z"]), NUM_SAMPLES, model.noise_dim, generator=torch.Generator().manual_seed(0))
    tensors["samples"] = model.samples(rows(model(batch)), noise_RKF.to(tensors["z"].device))
    number = np.arange(count).repeat(lengths[:count])
    return {name: x.cpu().numpy() for name, x in tensors.items()} | {"episode": number}


def _so_far(seen_R: NDArray[np.bool_], episode_R: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether it was seen in the same episode, at this row or before."""
    count = seen_R.cumsum()
    first_R = np.searchsorted(episode_R, episode_R)  # the first row of the same episode
    return count > count[first_R] - seen_R[first_R]
