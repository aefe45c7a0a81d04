"""Envs in processes of their own: the same as in one, and none is lost with its process."""

import os
import signal

import numpy as np
import pytest
from ml_collections import ConfigDict

from envs.make import make_vector_env
from envs.replayed import SyncAsymmetricVectorEnv
from envs.workers import Crashed, ProcessAsymmetricVectorEnv, Worker
from policies.acting.rollout import EpisodeStream
from tests.envs.test_make import config_of, same, third_party
from utils.errors import ForeignError, UserError

CARTPOLE = config_of("cartpole_hidden", horizon=12)
CRASHING = third_party("Crashing-v0", module="tests.helpers.crashing", horizon=20)


@pytest.fixture
def made():
    envs = []

    def make(config, num_envs=3, processes=2, seed=0):
        envs.append(make_vector_env(config, num_envs, seed=seed, processes=processes))
        return envs[-1]

    yield make
    for env in envs:
        env.close()


def play(envs, steps, seed):
    rng, trace = np.random.default_rng(seed), []
    for _ in range(steps):
        views, reward, terminated, truncated, info = envs.step(rng.integers(2, size=envs.num_envs))
        trace += [*views.values(), reward, terminated, truncated, info.get("success"), envs.saw_information()]
        if (ended := terminated | truncated).any():
            trace += list(envs.reset(options={"reset_mask": ended})[0].values())
    return trace


def test_processes_change_nothing_and_resume_exactly(made):
    one, many = made(CARTPOLE, processes=1), made(CARTPOLE)
    assert type(one) is SyncAsymmetricVectorEnv and type(many) is ProcessAsymmetricVectorEnv
    assert one.spec_sizes == many.spec_sizes and one.single_action_space == many.single_action_space
    began = [envs.reset(seed=4)[0] for envs in (one, many)]
    assert same(*(list(views.values()) for views in began))
    assert same(play(one, 30, 0), play(many, 30, 0))
    state = many.state_dict()
    going_on = play(many, 30, 1)
    for envs in (one, many):
        envs.load_state_dict(state)
        assert same(going_on, play(envs, 30, 1))


def test_a_call_to_all_processes_of_a_job_is_the_parents_to_deal_with(made):
    envs = made(CARTPOLE)
    envs.reset(seed=4)
    for worker in envs._workers:
        for number in (signal.SIGINT, signal.SIGUSR1):
            os.kill(worker.process.pid, number)
    play(envs, 5, 0)  # with a warning, which is an error here, if one had ended
    assert all(worker.process.is_alive() for worker in envs._workers)


def test_a_killed_worker_is_reported_and_nothing_is_lost(made):
    one, many = made(CARTPOLE, processes=1), made(CARTPOLE)
    one.reset(seed=4), many.reset(seed=4)
    assert same(play(one, 5, 0), play(many, 5, 0))
    os.kill(many._workers[0].process.pid, signal.SIGKILL)
    with pytest.warns(RuntimeWarning, match=r"the process of env 0, 1 of CartPole-v1 crashed \(exit code -9\)"):
        assert same(play(one, 20, 1), play(many, 20, 1))


@pytest.mark.filterwarnings("ignore:the process of env")
def test_an_episode_that_crashes_every_time_is_cut_off_and_the_run_goes_on(made, monkeypatch):
    monkeypatch.setattr("envs.workers.PAUSE", 0.0)
    envs = made(CRASHING, num_envs=2)
    before = envs.reset(seed=0)[0]
    with pytest.warns(RuntimeWarning, match="crashed again"):
        after, reward, terminated, truncated, info = envs.step(np.array([1, 0]))  # action 1 ends the process
    assert truncated.tolist() == [True, False] and not terminated.any() and info == {}
    assert envs.lost_steps().tolist() == [True, False]
    assert np.array_equal(after["obs"][0], before["obs"][0]) and reward.tolist() == [0.0, 1.0]
    envs.reset(options={"reset_mask": truncated})
    _, reward, _, truncated, _ = envs.step(np.array([0, 0]))
    assert reward.tolist() == [1.0, 2.0] and not truncated.any()  # one begins again, the other went on


@pytest.mark.filterwarnings("ignore:the process of env")
def test_a_step_that_was_never_simulated_is_not_learned_from(made, monkeypatch):
    monkeypatch.setattr("envs.workers.PAUSE", 0.0)
    stream = EpisodeStream(made(CRASHING, num_envs=2), seed=0)

    def acting(*actions):
        return lambda obs, action, reward, start, carry: (np.array(actions), None)

    with pytest.warns(RuntimeWarning, match="crashed again"):
        assert stream.step(acting(1, 0)) == [], "of its first step nothing is left"
    assert stream.step(acting(0, 0)) == []
    with pytest.warns(RuntimeWarning, match="crashed again"):
        ((slot, episode),) = stream.step(acting(0, 1))
    assert slot == 1 and episode.reward.tolist() == [1.0, 2.0] and episode.discount.tolist() == [1.0, 1.0]
    assert episode.obs[:, 0].tolist() == [0.0, 1.0, 2.0]
    with pytest.warns(RuntimeWarning, match="crashed again"):
        ((slot, episode),) = stream.step(acting(1, 0))
    assert slot == 0 and episode.reward.tolist() == [1.0, 2.0]


def test_a_process_that_never_works_again_is_one_line(made, monkeypatch):
    monkeypatch.setattr("envs.workers.PAUSE", 0.0)
    envs = made(CRASHING, num_envs=2)
    envs.reset(seed=0)
    monkeypatch.setattr(Worker, "receive", lambda self: (_ for _ in ()).throw(Crashed("exit code -9")))
    with pytest.warns(RuntimeWarning), pytest.raises(UserError, match=r"--num_envs: .*crashes again and again"):
        envs.step(np.array([0, 0]))


def test_what_an_env_raises_is_raised_here(made):
    envs = made(CRASHING, num_envs=2)
    envs.reset(seed=0)
    with pytest.raises(UserError, match="has no expert"):
        envs.expert_action(np.zeros(2, bool))
    with pytest.raises(ForeignError, match=r"config_env\.id: .* raised ValueError: no action 2") as caught:
        envs.step(np.array([0, 2]))
    assert "crashing.py" in caught.value.__cause__.__notes__[0], "where it was raised, in the other process"
    with pytest.raises(UserError, match=r"config_env\.kwargs"):
        made(third_party("CartPole-v1", kwargs=ConfigDict({"wrong": 1})))


def test_only_slow_domains_ask_for_processes(monkeypatch, made):
    pytest.importorskip("pybullet")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert type(made(CARTPOLE, processes=None)) is SyncAsymmetricVectorEnv
    assert type(made(config_of("robot:block_pulling"), num_envs=1, processes=None)) is SyncAsymmetricVectorEnv
    robots = made(config_of("robot:block_pulling"), num_envs=2, processes=None)
    assert type(robots) is ProcessAsymmetricVectorEnv and len(robots._workers) == 2
    views, _ = robots.reset(seed=0)
    action = robots.expert_action(np.array([False, True]))
    assert action.shape == (2, 4) and views["obs"].shape == views["state"].shape == (2, 2 * 84 * 84)
    after = robots.step(action)[0]
    alone = made(config_of("robot:block_pulling"), num_envs=2, processes=1)
    assert np.array_equal(alone.reset(seed=0)[0]["state"], views["state"])
    assert np.array_equal(alone.step(action)[0]["state"], after["state"])


def test_a_robot_whose_process_is_killed_goes_on_as_it_was(made):
    pytest.importorskip("pybullet")
    many, alone = (made(config_of("robot:block_pushing"), num_envs=2, processes=n) for n in (2, 1))
    guess = np.zeros(2, bool)
    for envs in (many, alone):
        envs.reset(seed=3)
        for _ in range(4):
            envs.step(envs.expert_action(guess))
    os.kill(many._workers[1].process.pid, signal.SIGKILL)
    with pytest.warns(RuntimeWarning, match="the process of env 1 of BlockPushing-v0 crashed"):
        action = many.expert_action(guess)
    assert np.array_equal(action, alone.expert_action(guess))
    assert same(list(many.step(action)[0].values()), list(alone.step(action)[0].values()))


@pytest.mark.filterwarnings("ignore:the process of env")
def test_a_worker_that_is_killed_while_it_starts_is_replaced(monkeypatch):
    monkeypatch.setattr("envs.workers.PAUSE", 0.0)
    start, kills = Worker._start, [1]

    def killed_once(worker):
        start(worker)
        if kills:
            kills.pop()
            worker.process.kill()

    monkeypatch.setattr(Worker, "_start", killed_once)
    with pytest.warns(RuntimeWarning, match=r"the process of env 0, 1 crashed while it started \(exit code -9\)"):
        envs = make_vector_env(CARTPOLE, 3, seed=0, processes=2)
    assert envs.reset(seed=0)[0]["obs"].shape == (3, 2)
    envs.close()
    kills.extend([1] * 9)
    with pytest.raises(UserError, match=r"--num_envs: the process of env 0, 1 crashes while it starts"):
        make_vector_env(CARTPOLE, 3, seed=0, processes=2)


def test_what_a_new_worker_plays_differently_is_given_up():
    config = third_party("Unseeded-v0", module="tests.helpers.strangers", horizon=0)
    envs = make_vector_env(config, 64, seed=0, processes=2)  # 32 coins that follow no seed: some fall otherwise
    try:
        before = envs.reset(seed=0)[0]
        before = envs.step(np.zeros(64, int))[0]
        os.kill(envs._workers[0].process.pid, signal.SIGKILL)
        with pytest.warns(RuntimeWarning, match="of 64 episodes of Unseeded-v0 came out differently"):
            after, _, _, truncated, _ = envs.step(np.zeros(64, int))
        lost = envs.lost_steps()
        assert lost[:32].any() and not lost[32:].any() and (truncated == lost).all()
        assert np.array_equal(after["state"][lost], before["state"][lost])
        assert np.array_equal(after["state"][~lost, 1], before["state"][~lost, 1]), "the same coin"
    finally:
        envs.close()
