"""How much encoders differ that were trained by other data, seeds, threads and instructions, as rows of a page.

Dimension key: R rows, Z embedding.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from ml_collections import ConfigDict
from numpy.typing import NDArray

from buffers.dataset import read_dataset
from buffers.stored import StoredEpisodes
from policies.models.on_disk import EMBEDDERS, load_embedder, load_moments
from scripts.reporting.runs import parse
from utils.errors import UserError

ROWS = 5000  # of the first run's data, on which embeddings are compared
TITLE = "Stage 2: how much encoders differ"
NOTES = [
    "Encoders of the same settings, trained by other data sets, seeds, threads or instructions of the processor.",
    "*Hidden*: the share of the variance of `z_state` that a small network does not read from the present observation.",
    "*Of facts*: the share that hidden factors make. *Shared*: nats that `z_state` and `z_obs` share, by a bound.",
    "*Spread*: E‖z - E z‖² of `z_state`, all that a predictor can gain. *Read*: how often a probe of it is right",
    "about the hidden factors. *Likeness*: linear CKA (Kornblith et al., ICML 2019) with the embeddings of the",
    f"env's first row, on up to {ROWS:,} rows of its data: 1 where they are the same but for a rotation and a scale.",
]
COLUMNS = (
    *("env", "data", "seed", "threads", "processor", "hidden", "of facts", "shared, nats", "spread", "read"),
    *("likeness, z_state", "likeness, z_obs"),
)
Numbers = NDArray[np.float64]


class Trained(NamedTuple):
    """A finished run of stage 2, as its files tell it, with the data that it learned from."""

    folder: Path
    about: Mapping[str, Any]
    report: Mapping[str, Any]
    stored: StoredEpisodes

    @classmethod
    def read(cls, folder: Path) -> Self:
        about, report = (
            parse((folder / name).read_bytes(), str(folder / name)) for name in ("config.json", "report.json")
        )
        return cls(folder, about, report, read_dataset(about["config"]["data"]["path"], flag="--runs"))

    @property
    def env(self) -> str:
        return str(self.report["env_id"])


class First(NamedTuple):
    """What the other runs of an env are held against: rows of the first one's data, and what it makes of them."""

    folder: Path
    seen: dict[str, NDArray[np.float32]]
    embedded: dict[str, Numbers]


def rows(folders: Sequence[str]) -> list[list[str]]:
    """A row a run, in the order of the folders' names; of each env the first is what the others are held against.

    Raises:
        UserError: no run, or one that is damaged.
    """
    reports = [path for folder in folders for path in sorted(Path(folder).glob("**/report.json"))]
    if not reports:
        raise UserError(f"--runs: no finished run of stage 2 in {', '.join(folders)}")
    table: list[list[str]] = []
    first: dict[str, First] = {}  # of each env
    for folder in dict.fromkeys(path.parent.resolve() for path in reports):
        try:
            run = Trained.read(folder)
            if run.env not in first:
                seen = _rows_of(run)
                first[run.env] = First(folder, seen, _embeddings(run, seen))
            table.append(_row(run, first[run.env]))
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
            raise UserError(f"--runs: {folder} is not what stage 2 writes, or is damaged ({why})") from error
    return table


def _rows_of(run: Trained) -> dict[str, NDArray[np.float32]]:
    """Rows of the run's data that are spread evenly over its steps, by embedding what it is made of."""
    step_R = run.stored.transitions().row
    row_R = step_R[np.linspace(0, len(step_R) - 1, min(ROWS, len(step_R))).astype(np.int64)]
    return {"z_state": run.stored.read("state", row_R), "z_obs": run.stored.read("obs", row_R)}


def _embeddings(run: Trained, seen: Mapping[str, NDArray[np.float32]]) -> dict[str, Numbers]:
    """Of the rows (R, Z), by the name of the embedding."""
    spec = run.stored.spec
    config = ConfigDict({"repr": dict(run.about["config"]["repr"])})
    for name, dim in (("z_state", spec.state_dim), ("z_obs", spec.obs_dim)):
        if seen[name].shape[1] != dim:
            others = f"the first run of {run.env} {seen[name].shape[1]}"
            raise UserError(f"--runs: the {name} of {run.folder} is of {dim} numbers, of {others}; make a page of each")
    with torch.no_grad():
        return {
            name: load_embedder(name, str(run.folder), spec, config)(torch.from_numpy(row_RF)).double().numpy()
            for name, row_RF in seen.items()
        }


def _row(run: Trained, first: First) -> list[str]:
    about, report = run.about, run.report
    hidden = [factor for factor in report["factors"].values() if factor["kind"] == "hidden"]
    moments = load_moments(run.folder, EMBEDDERS["z_state"][0], about["config"]["repr"]["embedding_dim"], "--runs")
    instructions = ", ".join(f"{name}={value}" for name, value in about.get("instructions", {}).items())
    told = [
        f"{report['unseen_share']['z_state']:.3f}",
        f"{sum(factor['variance_share']['z_state'] for factor in hidden):.3f}" if hidden else "–",
        f"{report['shared_nats']['z_state_z_obs']:.2f}",
        "–" if moments is None else f"{moments.spread:.2f}",
        f"{min(factor['accuracy']['z_state'] for factor in hidden):.3f}" if hidden else "–",
    ]
    like = ["–"] * len(first.seen)
    if run.folder != first.folder:
        own = _embeddings(run, first.seen)
        like = [f"{cka(own[name], embedded_RZ):.3f}" for name, embedded_RZ in first.embedded.items()]
    where = ", ".join(filter(None, (about.get("processor", "unknown"), instructions)))
    config = about["config"]
    return [run.env, str(config["data"]["seed"]), str(config["run"]["seed"]), _threads(about), where, *told, *like]


def _threads(about: Mapping[str, Any]) -> str:
    """The last --threads of the command; 1 without one."""
    given = re.findall(r"(?<!\S)--?threads[= ](\d+)", about["command"])
    return given[-1] if given else "1"


def cka(x_RX: Numbers, y_RY: Numbers) -> float:
    """Linear centred kernel alignment: ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of centred columns, by Frobenius norms; 0 to 1."""
    x_RX, y_RY = x_RX - x_RX.mean(0), y_RY - y_RY.mean(0)
    scale = np.linalg.norm(x_RX.T @ x_RX) * np.linalg.norm(y_RY.T @ y_RY)
    return float(np.linalg.norm(y_RY.T @ x_RX) ** 2 / scale) if scale > 0 else 0.0
