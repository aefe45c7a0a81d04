"""Greedy episodes: how well a policy does, and films of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from buffers.batch import Episode
from envs.base import AsymmetricVectorEnv
from envs.pictures import of_one_size
from policies.acting.rollout import EpisodeStream, Policy, run_episodes
from policies.models.policy import HistoryPolicy, to_tensors
from utils.files import atomic_path

Array = NDArray[Any]
FPS = 6  # frames a second
# How an episode ended: a success or none, or it is not told.
ENDINGS: dict[bool | None, tuple[int, int, int]] = {True: (76, 175, 80), False: (214, 69, 65), None: (128, 128, 128)}


class GreedyPolicy:
    """A saved `HistoryPolicy` that does what it holds to be best."""

    def __init__(self, policy: HistoryPolicy):
        self.policy = policy
        self.device = next(policy.parameters()).device

    @torch.inference_mode()
    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        output, carry = self.policy.step(to_tensors(self.device, obs_NO, prev_action_NA, prev_reward_N, start_N), carry)
        return self.policy.greedy(output).cpu().numpy(), carry


def measures(episode: Episode) -> dict[str, float | None]:
    """Undiscounted return, success, length, and whether it saw the information; None for what the env does not tell."""
    return {
        "return": float(episode.reward.sum(dtype=np.float64)),
        "success": episode.success,
        "length": len(episode),
        "informed": episode.informed,
    }


def means(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """The means over rows of what they tell: where one lacks what another tells it counts as 0; the rest is absent."""
    told = dict.fromkeys(name for row in rows for name, value in row.items() if value is not None)
    return {name: float(np.mean([row.get(name) or 0.0 for row in rows])) for name in told}


def statistics(episodes: Sequence[Episode]) -> dict[str, float]:
    """The means of the episodes' `measures`; `success` and `informed` are absent where the env does not tell them."""
    return means([measures(episode) for episode in episodes])


def evaluate(policy: Policy, envs: AsymmetricVectorEnv, num_episodes: int, seed: int) -> dict[str, float]:
    """Plays whole episodes and returns their `statistics`."""
    return statistics(run_episodes(envs, policy, num_episodes, seed))


def film(policy: Policy, envs: AsymmetricVectorEnv, num_episodes: int, seed: int, path: Path, fps: int = FPS) -> Path:
    """Writes a GIF of episodes of the first env; each ends on a frame of its own colour, held for a second."""
    frames: list[Array] = []
    stream = EpisodeStream(envs, seed, after_step=lambda: frames.append(envs.render_frame(0)))
    frames.append(envs.render_frame(0))
    while num_episodes:
        ended = dict(stream.step(policy))
        if 0 in ended:
            num_episodes -= 1
            frames += [framed(frames.pop(), ENDINGS[ended[0].success])] * fps
            if num_episodes:
                frames.append(envs.render_frame(0))
    write_gif(frames, path, fps)
    return path


def write_gif(frames: Sequence[Array], path: Path, fps: int) -> None:
    """Writes pictures (height, width, 3) as an endless film."""
    import imageio.v3 as iio

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as draft:
        content = iio.imwrite("<bytes>", of_one_size(frames), extension=".gif", duration=1000 / fps, loop=0)
        draft.write_bytes(content)  # on a full disk imageio's own file fails once more when it is collected


def framed(frame: Array, colour: tuple[int, int, int]) -> Array:
    """The picture with a border of four pixels."""
    frame = frame.copy()
    frame[:4], frame[-4:], frame[:, :4], frame[:, -4:] = colour, colour, colour, colour
    return frame
