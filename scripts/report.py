"""Tables, figures and a page of finished and interrupted runs of main.py, with intervals over seeds and domains.

Runs of the same env, method, memory and kind of start (with or without demonstrations) are one group; the seeds are
its sample. --out gets table.md, CSV files, figures as PNG and PDF, and report.html, which needs no network.

Example: python scripts/report.py logs/default logs/baselines/history_s3 --out=report
"""

import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from absl import flags

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from utils.app import run
from utils.errors import UserError
from utils.files import atomic_write, folder_for

STATISTICS = ("mean", "iqm", "median")  # those of scripts.reporting.statistics, which is slow to import

_RUNS = flags.DEFINE_list(
    "runs",
    None,
    "run folders, or folders of such, separated by commas; searched to the bottom. They may also stand without a flag",
)
_OUT = flags.DEFINE_string("out", None, "folder to write; a report that is there is replaced", required=True)
_THRESHOLD = flags.DEFINE_float("threshold", 0.9, "value at which env steps are counted")
_THRESHOLD_METRIC = flags.DEFINE_enum("threshold_metric", "success", ("success", "return"), "whose value that is")
_STATISTIC = flags.DEFINE_enum("statistic", "mean", STATISTICS, "what the figures of learning curves show")
_BY = flags.DEFINE_list(
    "by",
    [],
    "fields of config.json that tell groups apart besides, such as rl.z_obs,rl.batch_size; "
    "name: the run folder's name without its seed",
)
_MIXED = flags.DEFINE_boolean(
    "allow_mixed", False, "compare runs of different evaluation settings, or the same seed twice, all the same"
)
_FILM_MB = flags.DEFINE_float("film_megabytes", 24.0, "room for films in the page; 0 for none", lower_bound=0.0)
_OPTIMUM_SECONDS = flags.DEFINE_float(
    "optimum_seconds",
    10.0,
    "processor time for the bounds of the optimum of a finite domain, by which scores are measured; 0 for none",
    lower_bound=0.0,
)


def main() -> None:
    """Writes the report and says where."""
    if not _RUNS.value:
        raise UserError("--runs is required")
    print(
        write_report(
            _RUNS.value,
            Path(_OUT.value),
            _THRESHOLD.value,
            _MIXED.value,
            metric=_THRESHOLD_METRIC.value,
            statistic=_STATISTIC.value,
            by=_BY.value,
            film_megabytes=_FILM_MB.value,
            optimum_seconds=_OPTIMUM_SECONDS.value,
        )
    )


def write_report(
    folders: Sequence[str],
    out: Path,
    threshold: float,
    allow_mixed: bool,
    metric: str = "success",
    statistic: str = "mean",
    by: Sequence[str] = (),
    film_megabytes: float = 24.0,
    optimum_seconds: float = 10.0,
) -> str:
    """Reads runs, groups them, writes everything into `out`; returns two lines on what came of it.

    Raises:
        UserError: no runs, damaged ones, such as cannot be compared, or a flag that makes no sense.
    """
    from scripts.reporting.certified import Certified
    from scripts.reporting.figures import draw
    from scripts.reporting.page import page
    from scripts.reporting.runs import check_comparable, read_runs
    from scripts.reporting.study import study
    from scripts.reporting.tables import csv_files, markdown

    out = folder_for(str(out), "--out")
    if not math.isfinite(threshold):
        raise UserError(f"--threshold: a number is needed, not {threshold:g}")
    if math.isnan(optimum_seconds):
        raise UserError("--optimum_seconds: a number is needed, not nan")
    if metric == "success" and not 0 <= threshold <= 1:
        raise UserError(f"--threshold: a success is between 0 and 1, not {threshold:g}; or --threshold_metric=return")
    certified = Certified(out / "references.json", optimum_seconds)
    records, notes = read_runs(folders, by, certified)
    check_comparable(records, allow_mixed)
    found = study(records, threshold, metric, [*notes, *certified.notes])
    text, without_film = page(found, film_megabytes)
    for note in (*found.notes, *without_film):
        warnings.warn(note, stacklevel=2)
    out.mkdir(parents=True, exist_ok=True)
    files = {"report.html": text, "table.md": markdown(found), **csv_files(found)}
    for name, content in files.items():
        atomic_write(out / name, content)
    written = [*files, *draw(found, statistic, out)]
    unfinished = sum(one.final is None for one in records)
    counts = f"runs: {len(records)} ({unfinished} not finished), groups: {len(found.rows)}"
    return f"{counts}\nwritten to {out}: {', '.join(written)}"


if __name__ == "__main__":
    run(main, positional="runs")
