"""Exploration terms as figures and numbers: surfaces of objectives, gradient estimates, and agents that learn."""

from collections.abc import Callable
from typing import Any

import numpy as np

from envs.finite import FinitePOMDP
from envs.open_rooms import CROSSING, EMPTY, FOUR_ROOMS, deep_sea_model, rooms_model
from policies.exact.criteria import Fork, Hill, Judged, Maze, coherence, local_maxima
from policies.exact.exploring import BONUSES, Explorers, Settings
from scripts.reporting.figures import COLOURS
from scripts.reporting.statistics import CURVE_DRAWS, DRAWS, estimates

WEIGHT = 0.02  # λ of the maze's terms, the papers'
FORK_WEIGHTS = (0.1, 1.0, 10.0)
HILL_WEIGHTS = {"marginal": (0.05, 0.1, 1.0), "policy": (0.01, 0.1, 0.5), "future": (0.05, 0.1, 1.0)}
NAMES = {
    "none": "no term",
    "policy": "policy entropy",
    "marginal": "marginal visitation",
    "future": "future visitation",
    "count": "1/√n of visits",
    "rnd": "random network distillation",
    "dense": "±1 a move",
    "information": "information gain",
}

Numbers = dict[str, dict[str, Any]]


def maze(grid: int, batches: int) -> tuple[Any, Numbers]:
    """Objectives, efficiency and attraction along θ, and the criteria of each term."""
    import matplotlib.pyplot as plt

    theta_G = (np.arange(grid) + 0.5) / grid  # neither 0 nor 1, where the score has no value
    judged = Maze().judged(dict.fromkeys(Maze.TERMS, WEIGHT), theta_G[:, None], batches)
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    for colour, (term, one) in zip(COLOURS, judged.items()):
        for cell, line_G in zip(axes, (one.objective_X, one.efficiency_X, one.attraction_X)):
            cell.plot(theta_G, line_G, color=colour, label=NAMES[term], marker=".")
    titles = ("objective L(θ)", "efficiency: P(a step raises L)", "P(a step raises J)")
    for cell, title in zip(axes, titles):
        cell.set(title=title, xlabel="θ, the probability of right")
        cell.grid(alpha=0.25)
    axes[0].set_yscale("symlog", linthresh=1.0)
    axes[0].legend(frameon=False, fontsize="small")
    figure.suptitle(
        f"the maze: 15 cells, λ = {WEIGHT}, {batches:,} gradient estimates a policy, each of 8 trajectories"
    )
    return figure, {term: _criteria(one) for term, one in judged.items()}


def _criteria(one: Judged) -> dict[str, Any]:
    return {
        "coherence": round(one.coherence, 3),
        "local maxima": one.maxima,
        "efficiency": round(float(one.efficiency_X.min()), 3),
        "efficiency, mean": round(float(one.efficiency_X.mean()), 3),
        "attraction": round(one.attraction(), 3),
    }


def fork(grid: int, batches: int) -> tuple[Any, Numbers]:
    """Objectives, efficiency and attraction over both parameters, of the greater weight; the criteria of each."""
    import matplotlib.pyplot as plt

    problem, numbers = Fork(), {}
    theta_X = (np.arange(grid) + 0.5) / grid
    theta_XYP = np.stack(np.meshgrid(theta_X, theta_X, indexing="ij"), axis=-1)
    figure, axes = plt.subplots(3, len(problem.TERMS), figsize=(3.1 * len(problem.TERMS), 8.6), layout="constrained")
    for weight in FORK_WEIGHTS:
        judged = problem.judged(dict.fromkeys(problem.TERMS, weight), theta_XYP, batches)
        for column, (term, one) in zip(axes.T, judged.items()):
            if term != "none" or weight == FORK_WEIGHTS[0]:  # no term has no weight
                numbers[term if term == "none" else f"{term}, λ = {weight}"] = _criteria(one)
            surfaces = (one.objective_X, one.efficiency_X, one.attraction_X)
            for cell, surface, limits in zip(column, surfaces, ((None, None), (0, 1), (0, 1))):
                cell.clear()
                cell.pcolormesh(theta_X, theta_X, surface.T, shading="nearest", vmin=limits[0], vmax=limits[1])
            best = np.unravel_index(one.objective_X.argmax(), one.objective_X.shape)
            column[0].plot(theta_X[best[0]], theta_X[best[1]], "w*", markersize=12)
            column[0].set_title(NAMES[term])
            column[-1].set_xlabel("θ₀, towards the priest")
    for cell, what in zip(axes[:, 0], ("L, ☆ greatest", "P(a step raises L)", "P(a step raises J)")):
        cell.set_ylabel(f"{what}\nθ₁, do as told")
    figure.suptitle(f"the fork, λ = {FORK_WEIGHTS[-1]}, {batches:,} gradient estimates a policy; dark 0, light 1 below")
    return figure, numbers


def hill(grid: int, trajectories: int) -> tuple[Any, Numbers]:
    """Surfaces of objectives over K and σ; where each is greatest, and what return is lost by that."""
    import matplotlib.pyplot as plt

    gain_X, spread_Y = np.linspace(-4.0, 3.0, grid), np.linspace(0.0, 4.0, grid + 1)[1:]  # σ = 0 has no density
    gain_G, spread_G = (axis.ravel() for axis in np.meshgrid(gain_X, spread_Y, indexing="ij"))
    found = {term: values.reshape(grid, grid) for term, values in Hill(trajectories).returns(gain_G, spread_G).items()}
    plain = found["none"]
    surfaces = {"none": plain} | {
        f"{term}, λ = {weight}": plain + weight * found[term] for term, ones in HILL_WEIGHTS.items() for weight in ones
    }
    tolerance, numbers = 0.01 * float(np.ptp(plain)), {}
    figure, axes = plt.subplots(2, 5, figsize=(17, 6.4), layout="constrained")
    for cell, (name, surface) in zip(axes.flat, surfaces.items()):
        best = np.unravel_index(surface.argmax(), surface.shape)
        cell.pcolormesh(gain_X, spread_Y, surface.T, shading="nearest")
        cell.plot(gain_X[best[0]], spread_Y[best[1]], "w*", markersize=12)
        best_by_return = np.unravel_index(plain.argmax(), plain.shape)
        cell.plot(gain_X[best_by_return[0]], spread_Y[best_by_return[1]], "rx")
        cell.set(title=name.replace("none", NAMES["none"]), xlabel="K", ylabel="σ")
        numbers[name] = {
            "greatest at": f"K {gain_X[best[0]]:.2f}, σ {spread_Y[best[1]]:.2f}",
            "coherence": round(coherence(plain, surface), 2),
            "local maxima": local_maxima(surface, tolerance),
        }
    figure.suptitle(f"the hill: L(K, σ), {trajectories} trajectories a policy; ☆ greatest L, × greatest J")
    return figure, numbers


GRIDWORLDS: dict[str, tuple[Callable[[], FinitePOMDP], dict[str, Any]]] = {
    "four rooms, exploration only": (lambda: rooms_model(FOUR_ROOMS), {"reward": 0.0}),
    "four rooms, control": (lambda: rooms_model(FOUR_ROOMS, goal=(8, 8)), {}),
    "four rooms, control, less log Z": (lambda: rooms_model(FOUR_ROOMS, goal=(8, 8)), {"relative": True}),
    "an empty room, exploration only": (lambda: rooms_model(EMPTY), {"reward": 0.0}),
    "an empty room, control": (lambda: rooms_model(EMPTY, goal=(13, 13)), {}),
    "a crossing, control": (lambda: rooms_model(CROSSING, goal=(8, 8)), {}),
    "deep sea of 10 rows, control": (lambda: deep_sea_model(10), {"horizon": 10}),
}
SHOWN = {"across": "entropy of visits across episodes", "within": "within one", "return": "discounted return"}


def gridworlds(steps: int, seeds: int, told: Callable[[str], None] = lambda line: None) -> tuple[Any, Numbers]:
    """Agents on tables by each bonus: entropies of visits and returns as they learn, with intervals at their end."""
    import matplotlib.pyplot as plt

    numbers: Numbers = {}
    figure, axes = plt.subplots(
        len(SHOWN), len(GRIDWORLDS), figsize=(4.2 * len(GRIDWORLDS), 9), layout="constrained", sharex=True
    )
    for column, (world, (make, settings)) in zip(axes.T, GRIDWORLDS.items()):
        for colour, bonus in zip(COLOURS, BONUSES):
            model = make()
            explorers = Explorers(model, np.arange(len(model.states)), Settings(bonus, **settings), seeds)
            looks = list(explorers.run(steps, max(1, steps // 15)))
            found: dict[str, Any] = {"steps": looks[-1].step, "seeds": seeds}
            for cell, (metric, name) in zip(column, SHOWN.items()):
                curve_GN = np.stack([look.found[metric] for look in looks])
                middle_G, low_G, high_G = estimates([curve_GN], CURVE_DRAWS)["iqm"]
                when_G = [look.step for look in looks]
                cell.plot(when_G, middle_G, color=colour, label=NAMES[bonus])
                cell.fill_between(when_G, low_G, high_G, color=colour, alpha=0.18, linewidth=0)
                cell.set(ylabel=name)
                cell.grid(alpha=0.25)
                middle, low, high = estimates([curve_GN[-1:]], DRAWS)["iqm"][:, 0]
                found[metric] = f"{middle:.3f} [{low:.3f}, {high:.3f}]"
            numbers[f"{world}: {NAMES[bonus]}"] = found
            told(f"{world}: {NAMES[bonus]}")
        column[0].set_title(world)
        column[-1].set_xlabel("steps of a seed")
    axes[0, 0].legend(frameon=False)
    figure.suptitle(f"actor-critics on tables, {seeds} seeds: interquartile means and 95 % bootstrap intervals")
    return figure, numbers
