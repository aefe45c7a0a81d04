"""Teachers: what each says, what it may look at, and what is no teacher."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ml_collections import ConfigDict

from envs.make import make_vector_env
from policies.acting.embedded_envs import WatchedEnvs, with_state_observed
from policies.acting.evaluate import GreedyPolicy
from policies.acting.rollout import EpisodeStream, Guided, RandomPolicy
from policies.deployed.files import save_policy
from policies.deployed.teachers import teacher_of
from tests.helpers.agents import CONTINUOUS, SPEC, make_agent, make_config
from tests.helpers.configs import config_named
from utils.errors import UserError

RIGHT, UP, LEFT, DOWN = range(4)
HERE = __name__


def heaven_hell(num=6):
    config = config_named("envs", "heaven_hell")
    return WatchedEnvs(make_vector_env(config, num, seed=0)), config


def says(name, folder=None, num=6):
    """What a teacher says at the start of episodes, and the states."""
    envs, config = heaven_hell(num)
    teacher = teacher_of(name, folder, envs, config)
    views = envs.reset(seed=3)[0]
    now = (views["obs"], np.zeros((num, 4), np.float32), np.zeros(num, np.float32), np.ones(num, np.float32))
    return teacher(*now, None)[0], views["state"]


def by_state(state_NS, obs_NO):
    """Towards heaven, of which the observation says nothing."""
    assert (obs_NO[:, 2] == 0).all()
    return np.where(state_NS[:, 2] > 0, RIGHT, LEFT)


def failing(state_NS, obs_NO):
    raise KeyError("no such door")


GIVES = {
    "of_another_shape": lambda state_NS, obs_NO: np.zeros((len(obs_NO), 4)),
    "no_whole_numbers": lambda state_NS, obs_NO: np.zeros(len(obs_NO)),
    "no_action": lambda state_NS, obs_NO: np.full(len(obs_NO), 4),
}
of_another_shape, no_whole_numbers, no_action = GIVES.values()
no_function = 3


def test_who_knows_the_way_does_not_ask():
    assert (says("expert")[0] == DOWN).all()
    assert (says("informed")[0] == UP).all()
    assert (says("guess")[0] == UP).all()
    action, state = says(f"{HERE}:by_state", num=40)
    assert {*action[state[:, 2] > 0]} == {RIGHT} and {*action[state[:, 2] < 0]} == {LEFT}


def test_advice_is_of_the_row_at_which_it_stands():
    """Over whole episodes, resets among them, by the states that the episodes keep."""
    envs, config = heaven_hell()
    teacher = teacher_of(f"{HERE}:by_state_anywhere", None, envs, config)
    stream, random = EpisodeStream(envs, 1), RandomPolicy(4, True, np.random.default_rng(0))
    guided = Guided(random, teacher, 0.2, np.random.default_rng(0))
    ended = [episode for _ in range(200) for _, episode in stream.step(guided)]
    assert len(ended) > 10
    for episode in ended:
        np.testing.assert_array_equal(episode.advice, by_state_anywhere(episode.state[:-1], None))
        assert {*episode.advice} == {RIGHT} or {*episode.advice} == {LEFT}


def by_state_anywhere(state_NS, obs_NO):
    return np.where(state_NS[:, 2] > 0, RIGHT, LEFT)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "exprt",
            "--config_rl.teacher: 'exprt' is not one of expert, guess, informed, policy (by --expert_policy_dir)",
        ),
        ("policy", "--config_rl.teacher=policy: needs --expert_policy_dir"),
        (f"{HERE}:nobody", f"--config_rl.teacher: cannot import '{HERE}:nobody'"),
        (f"{HERE}:no_function", f"--config_rl.teacher: '{HERE}:no_function' is not a function"),
        (f"{HERE}:failing", f"--config_rl.teacher: {HERE}:failing raised KeyError: 'no such door'"),
        (f"{HERE}:of_another_shape", "gave float64 (6, 4); whole numbers from 0 to 3 (6,) are needed"),
        (f"{HERE}:no_whole_numbers", "gave float64 (6,); whole numbers from 0 to 3 (6,) are needed"),
        (f"{HERE}:no_action", "gave 4; whole numbers from 0 to 3 are needed"),
    ],
)
def test_what_is_no_teacher_is_one_line(name, message):
    with pytest.raises(UserError) as refused:
        says(name)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_continuous_advice_is_cut_to_what_can_be_done_and_no_number_is_refused(monkeypatch):
    config = config_named("envs", "car_flag_1d")
    envs = WatchedEnvs(make_vector_env(config, 2, seed=0))
    monkeypatch.setitem(globals(), "force", lambda state_NS, obs_NO: np.array([[3.0], [-0.5]]))
    teacher = teacher_of(f"{HERE}:force", None, envs, config)
    obs = envs.reset(seed=0)[0]["obs"]
    action = teacher(obs, np.zeros((2, 1)), np.zeros(2), np.ones(2), None)[0]
    assert action.tolist() == [[1.0], [-0.5]] and action.dtype == np.float32
    monkeypatch.setitem(globals(), "force", lambda state_NS, obs_NO: np.array([[0.0], [np.nan]]))
    with pytest.raises(UserError, match="force gave nan; finite numbers are needed"):
        teacher_of(f"{HERE}:force", None, envs, config)


def saved(folder, row, spec, memory="gru", **config):
    """A policy of the row with weights that decide, as a run leaves it."""
    agent = make_agent(row, memory, spec, **config)
    with torch.no_grad():
        for parameter in agent.policy.head.parameters():
            parameter.mul_(50.0)
    whole = make_config(row, memory, **config)
    whole.env = config_named("envs", "heaven_hell")
    save_policy(folder, agent.deployed, spec, ConfigDict(whole), {"settings": {}})
    return agent.deployed


def of_heaven_hell(**other):
    return replace(SPEC, **{"env_id": "HeavenHell-v0", "obs_dim": 3, "state_dim": 3, "max_episode_steps": 50} | other)


def test_a_policy_that_sees_the_state_is_shown_it(tmp_path):
    policy = saved(tmp_path, "teacher", with_state_observed(of_heaven_hell()))
    action, state = says("policy", str(tmp_path), num=40)
    zeros = np.zeros((40, 4), np.float32), np.zeros(40, np.float32), np.ones(40, np.float32)
    np.testing.assert_array_equal(action, GreedyPolicy(policy)(state, *zeros, None)[0])
    assert {*state[:, 2]} == {-1.0, 1.0}


@pytest.mark.parametrize(
    ("row", "spec", "message"),
    [
        ("teacher", {"obs_dim": 5, "state_dim": 5}, "sees 5 numbers of the state and takes 4 actions; HeavenHell"),
        ("teacher", {"action_dim": 3}, "sees 3 numbers of the state and takes 3 actions; HeavenHell-v0 has 3 and 4"),
        ("history", {"action_dim": 2}, "a policy for 3 observations and 2 actions; HeavenHell-v0 has 3 and 4"),
        ("sac:history", CONTINUOUS, "a policy of continuous actions; HeavenHell-v0's are not"),
        ("zero_off", {}, "dqn:zero_off acts on embeddings; give one that acts on the state"),
    ],
)  # fmt: skip
def test_a_policy_of_another_domain_is_one_line(tmp_path, row, spec, message):
    saved(tmp_path, row, of_heaven_hell(**spec) if isinstance(spec, dict) else spec)
    with pytest.raises(UserError, match=f"^--expert_policy_dir: .*{message}"):
        says("policy", str(tmp_path))
