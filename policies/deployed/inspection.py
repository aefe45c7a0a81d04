"""Episodes of a policy step by step: what it saw and held, how far the predictor was off, and what was paid.

Errors and bonuses are computed by the agent's own auxiliary losses and intrinsic rewards, on a batch of the episode.

Dimension key: T steps, R = T+1 rows, A actions, X outputs of the head.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ml_collections import ConfigDict
from numpy.typing import NDArray

from buffers.batch import Episode
from buffers.episode_buffer import EpisodeBuffer
from buffers.images import row_storages
from envs.base import AsymmetricVectorEnv, Belief, EnvSpec, told
from policies.acting.rollout import EpisodeStream
from policies.agents.learner import Learner
from policies.build import build_agent
from policies.models.policy import HistoryPolicy, to_tensors
from policies.models.sources import Sources
from torchkit.networks import misfit
from utils.checkpoint import load_checkpoint, restoring
from utils.errors import UserError

Array = NDArray[Any]


@dataclass
class Played:
    """One episode and what was to be seen while it was played.

    Attributes:
        output_TX: the head's output at each step.
        saw_R: whether the episode had shown the hidden fact by each row; None where the env does not tell.
        frames: pictures of the rows; empty if none were drawn.
    """

    episode: Episode
    output_TX: NDArray[np.float32]
    saw_R: NDArray[np.bool_] | None
    frames: list[NDArray[np.uint8]]

    @property
    def terminated(self) -> bool:
        """Whether it came to an end before, or apart from, the time limit."""
        return bool(self.episode.discount[-1] == 0)


@dataclass(frozen=True)
class Judged:
    """What the extensions say of an episode: losses by row (NaN where there is none), weighted bonuses by step."""

    losses: Mapping[str, NDArray[np.float32]]
    bonuses: Mapping[str, NDArray[np.float32]]


class _Watched:
    """A greedy policy whose outputs are kept."""

    def __init__(self, policy: HistoryPolicy):
        self.policy, self.outputs = policy, list[Array]()

    @torch.inference_mode()
    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        now = to_tensors(torch.device("cpu"), obs_NO, prev_action_NA, prev_reward_N, start_N)
        output, carry = self.policy.step(now, carry)
        self.outputs.append(output[0].numpy())
        return self.policy.greedy(output).numpy(), carry


def play(policy: HistoryPolicy, envs: AsymmetricVectorEnv, num_episodes: int, seed: int, draw: bool) -> list[Played]:
    """Greedy episodes of one env, watched.

    Raises:
        UserError: `draw` is asked for and the env cannot be drawn.
    """
    watched = _Watched(policy)
    saw, frames, played = list[bool | None](), list[NDArray[np.uint8]](), list[Played]()

    def look() -> None:
        saw_N = envs.saw_information()
        saw.append(None if saw_N is None else bool(saw_N[0]))
        if draw:
            frames.append(envs.render_frame(0))

    stream, storages = EpisodeStream(envs, seed, after_step=look), row_storages(envs.spec_sizes)
    look()
    while len(played) < num_episodes:
        for _, episode in stream.step(watched):
            for view, storage in storages.items():
                setattr(episode, view, storage.decode(torch.from_numpy(getattr(episode, view))).numpy())
            played.append(Played(episode, np.stack(watched.outputs), told(saw), list(frames)))
            for kept in (watched.outputs, saw, frames):
                kept.clear()
            look()
    return played


def rebuilt_agent(
    folder: Path, spec: EnvSpec, config: ConfigDict, state_embedder: str | None, obs_embedder: str | None
) -> Learner:
    """The agent of a run as of its newest checkpoint, on the CPU.

    Args:
        folder: the run's.
        spec: sizes of the domain.
        config: the run's, as `load_policy` gives it.
        state_embedder, obs_embedder: what it was built with; their weights come from the checkpoint.

    Raises:
        UserError: there is no whole checkpoint, or something is missing of which the agent is built.
    """
    saved = load_checkpoint(folder / "checkpoint")
    if saved is None:
        raise UserError(f"--run: there is no checkpoint in {folder}")
    agent = build_agent(Sources(spec, config, state_embedder, obs_embedder), 0, torch.device("cpu"))
    if not isinstance(agent, Learner):
        raise UserError(f"--run: an agent of the family {config.rl.family} has no extensions to look at")
    with restoring(folder / "checkpoint"):
        modules, env_steps = saved["agent"]["modules"], int(saved["agent"]["env_steps"])
        wrong = misfit(agent, modules)
    if wrong is not None:
        raise UserError(f"--run: the checkpoint in {folder} is not of the agent of its config ({wrong})")
    agent.load_state_dict(modules)
    agent.env_steps = env_steps
    return agent.eval()


def judge(agent: Learner, episode: Episode, spec: EnvSpec) -> Judged:
    """Losses and bonuses of one episode, as an update would compute them."""
    buffer = EpisodeBuffer(spec, len(episode) + 1, spec.max_episode_steps, seed=0)
    kept = Episode(**vars(episode) | {"discount": episode.discount.copy()})
    if agent.config.get("time_limit_is_terminal", False):
        kept.end_at_limit(spec.max_episode_steps)
    buffer.add(kept)
    losses, bonuses = agent.look_back(buffer.newest(1))
    return Judged(
        {name: value[:, 0].numpy() for name, value in losses.items() if bool(value.isfinite().any())},
        {name: value[:, 0].numpy() for name, value in bonuses.items()},
    )


def story(played: Played, judged: Judged | None, belief: Belief | None) -> list[str]:
    """When the hidden fact was learned, where that is told, and what it was paid: sentences."""
    episode, saw_R, said = played.episode, played.saw_R, list[str]()
    if saw_R is not None and not saw_R.any():
        said.append("The observations never showed the hidden fact.")
    elif saw_R is not None and saw_R[0]:
        said.append("The hidden fact was to be seen from the start.")
    elif saw_R is not None:
        first = int(saw_R.argmax())
        paid = "" if judged is None else "".join(
            f", {name} paid {bonus[first - 1]:+.4g}" for name, bonus in judged.bonuses.items()
        )  # fmt: skip
        said.append(
            f"The hidden fact was first seen at step {first}; for the action that led there the domain paid "
            f"{episode.reward[first - 1]:+.4g}{paid}."
        )
        for name, loss in ({} if judged is None else judged.losses).items():
            if np.isfinite(loss[first - 1 : first + 1]).all():
                said.append(f"The loss {name} went from {loss[first - 1]:.4g} to {loss[first]:.4g} by it.")
    for name, bonus in ({} if judged is None else judged.bonuses).items():
        best = int(bonus.argmax())
        said.append(
            f"{name} paid {bonus.sum():+.4g} in all, most, {bonus[best]:+.4g}, for the action that led to step "
            f"{best + 1}."
        )
    if belief is not None:
        entropy_R = belief.entropy()
        sure = int((np.flatnonzero(entropy_R >= 1e-9) + 1).max(initial=0))  # from this row on, places may be lost again
        is_sure = sure < len(entropy_R)
        when = f"nothing was left to learn from step {sure} on" if is_sure else "something was left to the end"
        said.append(f"The {belief.kind} began with {entropy_R[0]:.3g} nats over {len(belief.names)} facts; {when}.")
    return said
