"""Env steps a second with the policy, evaluation, and the whole loop, against one env at a time."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Section, Variant, interleaved, middle, ratio
from benchmarks.settings import domain, make_agent, make_envs
from benchmarks.straightforward import PlainDQN, PlainReplay, play
from buffers.episode_buffer import EpisodeBuffer
from envs.make import make_env
from policies.acting.evaluate import evaluate
from policies.acting.rollout import EpisodeStream

TEXT = """
Milliseconds of the processor on one thread, the median and in brackets the least. *Acting*: an env step of HeavenHell
with `dqn:mi`, gru, ε = 1; plain steps one env, ours 64 together. *The loop*: 400 env steps, 40 updates on 16
episodes, the replay included; ours with 16 envs. It is a piece of a run, from its start: that a full run is as
successful was not compared here. *Evaluation*: 100 greedy episodes by networks that have learned nothing, most of
them up to the horizon.
"""
COLUMNS = ["what", "plain, ms", "ours, ms", "ratio", "ours by the clock, s"]
STEPS, UPDATE_EVERY, BATCH = 400, 10, 16


def agent_for(name: str = "heaven_hell", **rl: Any) -> Any:
    """`dqn:mi` with a gru on a grid domain."""
    config_env = domain(name)
    return make_agent(make_envs(1, config_env).spec_sizes, "dqn", "gru", config_env, **rl)


def plain_acting(least_steps: int = 300) -> Callable[[], int]:
    """Episodes of one env until there are so many steps."""
    agent, env, rng = agent_for(), make_env(domain()), np.random.default_rng(0)

    def call() -> int:
        steps = 0
        while steps < least_steps:
            steps += len(play(env, agent.env_spec, agent.policy, 1.0, rng, steps))
        return steps

    agent.env_spec = make_envs(1).spec_sizes
    return call


def our_acting(num_envs: int = 64, rounds: int = 50) -> Callable[[], int]:
    """That many steps of all envs."""
    agent, stream = agent_for(), EpisodeStream(make_envs(num_envs), 0)

    def call() -> int:
        for _ in range(rounds):
            stream.step(agent.exploring())
        return rounds * num_envs

    return call


def plain_loop() -> Callable[[], None]:
    """One env, a list of episodes, an update by several passes."""
    spec, env, rng = make_envs(1).spec_sizes, make_env(domain()), np.random.default_rng(0)
    learner, replay = PlainDQN(agent_for(predictor_step="separate")), PlainReplay(spec, 0)

    def call() -> None:
        steps = updates = 0
        while steps < STEPS:
            replay.add(play(env, spec, learner.agent.policy, 1.0, rng, steps))
            steps += len(replay.episodes[-1])
            while updates < min(steps, STEPS) // UPDATE_EVERY:
                learner.update(replay.sample(BATCH), replay.sample(64))
                updates += 1

    return call


def our_loop() -> Callable[[], None]:
    """What `main.py` does between evaluations."""
    agent, envs = agent_for(), make_envs(16)
    buffer, stream = EpisodeBuffer(envs.spec_sizes, 100_000, 50, 0), EpisodeStream(envs, 0)

    def call() -> None:
        updates = 0
        for steps in range(16, STEPS + 16, 16):
            for _, episode in stream.step(agent.exploring()):
                buffer.add(episode)
            while len(buffer) and updates < min(steps, STEPS) // UPDATE_EVERY:
                agent.update(buffer.sample(BATCH))
                updates += 1

    return call


def evaluation(name: str) -> Callable[[], Any]:
    """100 greedy episodes of a domain."""
    return partial(evaluate, agent_for(name).greedy(), make_envs(100, domain(name)), 100, 0)


def measure(folder: Path, rounds: int = 3) -> Section:
    """Acting and the loop side by side, evaluation alone."""
    rows = []
    pairs: dict[str, tuple[Callable[[], Callable[[], Any]], Callable[[], Callable[[], Any]], int]] = {
        "acting, an env step": (plain_acting, our_acting, 5),
        "the loop, 400 env steps": (plain_loop, our_loop, 1),
    }
    for name, (plain, ours, in_a_row) in pairs.items():
        times = interleaved({"plain": Variant(plain, tuned=False), "ours": Variant(ours)}, rounds, 1, in_a_row)
        slow, fast = times["plain"].cpu, times["ours"].cpu
        rows.append([name, middle(slow), middle(fast), ratio(slow, fast), "–"])
        print(rows[-1], flush=True)
    names = ("heaven_hell", "heaven_hell_6x9", "sphinx", "car_flag_2d")
    times = interleaved({name: Variant(partial(evaluation, name)) for name in names}, rounds, warm_up=1)
    for name in names:
        clock = middle([1e-3 * ms for ms in times[name].wall])
        rows.append([f"evaluation of {name}", "–", middle(times[name].cpu), "–", clock])
    return Section("Acting and evaluation", TEXT, COLUMNS, rows)
