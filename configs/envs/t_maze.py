"""T-Maze: remember a cue to the end of a corridor. --config_env=…/t_maze.py:ROW."""

from ml_collections import ConfigDict

from configs.envs._shared import domain

VARIANTS = {
    # steps from the cue to the junction, how often a drawn action is taken instead; horizon: 3 length / (1 - noise)
    "10": (10, 0.0, 30),
    "20": (20, 0.0, 60),
    "50": (50, 0.2, 188),
    "100": (100, 0.0, 300),
    "1000": (1000, 0.0, 3000),
}


def get_config(row: str = "20") -> ConfigDict:
    length, noise, horizon = VARIANTS[row]
    kwargs = {"length": length, "noise": noise, "one_hot": True}  # one_hot: else views are numbers
    dqn = {"discount": 0.98}
    return domain("TMaze-v0", horizon=horizon, interval=10_000, kwargs=kwargs, rl={"dqn": dqn}).lock()
