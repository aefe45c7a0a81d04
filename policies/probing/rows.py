"""The rows that stage 2's report fits on and those that it measures on, and how large and how alike they are.

Rows that are equal count as one with a weight, so that a grid domain's report takes seconds.

Dimension key: R rows (distinct ones), O observation, S state, A actions, Z embedding, F features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from buffers.stored import StoredEpisodes
from buffers.transitions import row_ids
from torchkit.networks import Encoder

Array = NDArray[Any]

EMBEDDINGS = {"z_state": "state", "z_obs": "obs"}  # and what they are made of
UNTRAINED = {f"{name} untrained": view for name, view in EMBEDDINGS.items()}
MADE_OF = EMBEDDINGS | UNTRAINED
MAX_ROWS = 20_000  # distinct rows a half that are looked at
MAX_NUMBERS = 2**26  # in the rows of a view that are looked at, which bounds those of images
COLLAPSED = 1e-5  # variance of an embedding, as a part of its mean's square: networks begin with 1e-2


@dataclass(frozen=True)
class Half:
    """The distinct (observation, state, action, reward) rows of one half of the episodes, with their shares.

    Attributes:
        views: `obs`, `state` and embeddings by name of `MADE_OF`, (R, F) float32.
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


def side_by_side(train: Half, test: Half, parts: tuple[str, ...]) -> tuple[Array, Array]:
    """Each view centred and divided by its root mean square, side by side."""
    columns = []
    for view in parts:
        mean, rms = moments(train.views[view], train.weight)[0], root_mean_square(train.views[view], train.weight)
        columns.append([(half.views[view] - mean) / rms for half in (train, test)])
    return tuple(np.concatenate(side, axis=1).astype(np.float32) for side in zip(*columns))  # type: ignore[return-value]


def moments(x_RF: Array, weight: Array) -> tuple[Array, Array]:
    """Mean and standard deviation (F,) of each feature."""
    share = weight / weight.sum()
    mean = share @ x_RF
    return mean, np.sqrt(share @ np.square(x_RF - mean))


def root_mean_square(x_RF: Array, weight: Array) -> float:
    """One number for the size of centred features; 1 where they do not vary."""
    return float(np.sqrt(np.square(moments(x_RF, weight)[1]).mean())) or 1.0


def hardly_varies(x_RF: Array, weight: Array) -> bool:
    """Whether features are the same for all rows but for traces."""
    mean, std = moments(x_RF, weight)
    return bool(np.square(std).sum() < COLLAPSED * np.square(mean).sum())


def variance_share(x_RF: Array, label: Array, weight: Array) -> float:
    """The part of the features' variance (summed over them) that a factor explains: 0 … 1."""
    mean, std = moments(x_RF, weight)
    total = float(np.square(std).sum())
    between = 0.0
    for value in np.unique(label):
        chosen = label == value
        share = weight[chosen].sum() / weight.sum()
        between += share * float(np.square(moments(x_RF[chosen], weight[chosen])[0] - mean).sum())
    return between / total if total > 0 else 0.0
