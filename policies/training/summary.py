"""What a run has come to: its last greedy episodes, curve, film, and a short table."""

import json
import warnings
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from envs.make import width_for
from policies.acting.embedded_envs import MakeEnvs
from policies.acting.evaluate import evaluate, film
from policies.acting.rollout import Policy
from utils.errors import UserError, first_line
from utils.run import Run
from utils.seeding import seed_for

FINAL_EPISODES = 100


def read_summary(folder: Path) -> dict[str, Any] | None:
    """What a finished run has come to; None of one that is not finished."""
    run = Run(folder)
    if not run.finished:
        return None
    try:
        summary = dict(json.loads(run.summary_path.read_text()))
        table(summary)
        return summary
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"--save_dir: {run.summary_path} is damaged; remove it, and the same command writes it again"
        ) from error


def play_final(
    policy: Policy, make_envs: MakeEnvs, config_env: ConfigDict, seed: int, episodes: int = FINAL_EPISODES
) -> dict[str, float]:
    """Greedy episodes that no evaluation during training has seen."""
    with closing(make_envs(width_for(config_env, min(episodes, FINAL_EPISODES)), seed=seed)) as envs:
        return evaluate(policy, envs, episodes, seed_for(seed, "final"))


def write_film(policy: Policy, make_envs: MakeEnvs, seed: int, folder: Path, episodes: int) -> str | None:
    """A GIF, and its path; None, and a warning, where the env cannot be drawn, whatever it fails at."""
    film_seed = seed_for(seed, "film")
    try:
        with closing(make_envs(1, seed=seed, render_mode="rgb_array")) as envs:
            name = envs.spec_sizes.env_id.replace("/", "_")
            return str(film(policy, envs, episodes, film_seed, folder / f"{name}.gif"))
    except Exception as error:  # noqa: BLE001 a simulator's drawing may fail in any way; the run is finished
        warnings.warn(f"no film: {first_line(error)}", stacklevel=2)
        return None


def draw_curve(history: list[dict[str, float]], path: Path, title: str, clock: str) -> None:
    """The learning curve; a warning where it cannot be drawn."""
    try:
        plot_curve(history, path, title, clock)
    except Exception as error:  # noqa: BLE001 the run is finished
        warnings.warn(f"no learning curve: {first_line(error)}", stacklevel=2)


def plot_curve(history: list[dict[str, float]], path: Path, title: str, clock: str) -> None:
    """Success, where it is told, and return of the evaluations against the run's clock, such as `env_steps`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from utils.files import atomic_path

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    steps = [row["step"] for row in history]
    for name in ("success", "return"):
        if all(name in row for row in history):
            axes.plot(steps, [row[name] for row in history], marker=".", label=name)
    axes.set(xlabel=clock.replace("_", " "), ylabel="mean of greedy episodes", title=title)
    axes.legend()
    axes.grid(alpha=0.3)
    with atomic_path(path) as draft:
        figure.savefig(draft, dpi=120, format="png")
    plt.close(figure)


def table(summary: Mapping[str, Any]) -> str:
    """A short table of a summary; it says nothing of success where the env does not tell it."""
    final, of = summary["final"], f" of {summary['final_episodes']} greedy episodes"
    seed = f"seed {summary['seed']}" if "seed" in summary else f"episodes of seed {summary['episodes_seed']}"
    rows = [
        ("domain", summary["env"]),
        ("method", f"{summary['method']}, {summary['memory']}, {seed}"),
        *([(f"success{of}", f"{final['success']:.2f}")] if "success" in final else []),
        ("return" if "success" in final else f"return{of}", f"{final['return']:.2f}"),
        ("length", f"{final['length']:.1f}"),
    ]
    if "mean_of_last_ten" in summary:
        last = summary["mean_of_last_ten"]
        name = "success" if "success" in last else "return"
        rows.append((f"{name}, mean of the last ten evaluations", f"{last[name]:.2f}"))
        rows.append(("env steps", str(summary["env_steps"])))
        if "updates" in summary:  # older ones do not say
            rows.append(("updates", str(summary["updates"])))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)
