"""Episodes beside which a teacher stands: who acts, what is learned from, blindness, and a run that is taken up."""

import copy

import numpy as np
import pytest
import torch
from ml_collections import ConfigDict

from buffers.batch import AdvisedBatch
from envs.factors import informed_actions
from envs.make import describing_env
from policies.acting.embedded_envs import env_maker
from policies.build import build_agent
from policies.models.sources import Sources
from policies.training.experience import experience_of, kind_for
from policies.training.experience.base import Origin
from policies.training.experience.played import RelabelledEpisodes, ReplayedEnvs
from policies.training.settings import Settings
from tests.helpers.agents import CPU, make_config
from tests.helpers.configs import config_named
from tests.helpers.runs import assert_identical
from utils.errors import UserError

UP, LEFT = 1, 2


def left(state_NS, obs_NO):
    return np.full(len(obs_NO), LEFT)


def up(state_NS, obs_NO):
    return np.full(len(obs_NO), UP)


def begun(row="distill:dagger", env="heaven_hell", start_expert=0, memory="gru", seed=0, expert_policy=None, **rl):
    """An agent and its experience, before anything was played."""
    config = make_config(row, memory, **({"teacher": "informed"} | rl))
    config.env = config_named("envs", env)
    config = ConfigDict(config)
    settings = Settings(seed, 100, 3, 10, start_expert, 50, None, None, 1, expert_policy=expert_policy)
    make_envs, _ = env_maker(config, None, None)
    envs = make_envs(1, seed=0)
    agent = build_agent(Sources(envs.spec_sizes, config), seed, CPU)
    experience = experience_of(agent, Origin(config, settings, make_envs, envs.spec_sizes))
    envs.close()
    return agent, experience


def played(agent, experience, steps):
    ended = []
    for _ in range(steps):
        ended += experience.advance(agent)
    return ended


def never():
    """Nobody stops it."""


def test_the_teacher_plays_less_and_less_of_it_by_the_schedule():
    agent, experience = begun(teacher=f"{__name__}:left", beta__steps=300, beta__end=0.2)
    shares, same = [], []
    for _ in range(200):
        shares.append(experience.share())
        for episode in experience.advance(agent):
            same.append((episode.action == episode.advice).mean())
    assert shares[0] == 1.0 and shares[50] == pytest.approx(0.6) and shares[-1] == pytest.approx(0.2)
    assert same[0] > 0.7 > 0.5 > np.mean(same[-3:]) > 0.2  # who draws one of four at random is right in some
    assert experience.metrics()["teacher/share"] == pytest.approx(0.2)


def test_a_clone_sees_the_teachers_episodes_alone():
    agent, experience = begun("distill:clone")
    experience.begin(agent, never)
    assert not len(experience.buffer)  # nothing at random
    for episode in played(agent, experience, 30):
        np.testing.assert_array_equal(episode.action, episode.advice)
        assert len(episode) == 6 and episode.success and not episode.informed


@pytest.mark.parametrize("teacher", ["informed", "expert"])
def test_demonstrations_are_the_teachers_and_advised(teacher):
    agent, experience = begun("elf", start_expert=3, teacher=teacher)
    experience.begin(agent, never)
    assert len(experience.buffer) == 3
    batch = experience.buffer.sample(5)
    real = batch.mask > 0
    assert (batch.advice[real] == batch.action[real]).all() and batch.expert.all()
    assert real.sum(0).tolist() == [6 if teacher == "informed" else 14] * 5


def test_what_is_learned_from_is_what_the_teacher_says_of_the_same_row():
    agent, experience = begun("elf")
    played(agent, experience, 120)
    batch = experience.buffer.sample(16)
    assert isinstance(batch, AdvisedBatch)
    env = describing_env(config_named("envs", "heaven_hell"))
    state = batch.state.full()[:-1].numpy()
    best = informed_actions(env, state.reshape(-1, 3)).argmax(1).reshape(batch.mask.shape)
    np.testing.assert_array_equal(batch.advice.numpy()[batch.mask > 0], best[batch.mask > 0])
    assert (batch.advice != batch.action)[batch.mask > 0].any()


def test_the_student_acts_the_same_whatever_is_said_to_it():
    """What relabels is no part of the policy: only what is learned tells one teacher from another."""
    found = {}
    for name in ("left", "up"):
        agent, experience = begun(teacher=f"{__name__}:{name}", beta__start=0.0)
        found[name] = played(agent, experience, 60)
        modules = {type(module).__module__ for module in agent.modules()}
        assert not any("teacher" in name or "rollout" in name for name in modules)
    assert len(found["left"]) > 2
    for a, b in zip(found["left"], found["up"], strict=True):
        np.testing.assert_array_equal(a.action, b.action)
        np.testing.assert_array_equal(a.obs, b.obs)
        assert (a.advice == LEFT).all() and (b.advice == UP).all()


@pytest.mark.parametrize(
    ("row", "env", "memory", "teacher"),
    [
        ("distill:dagger", "heaven_hell", "gpt", "guess"),
        ("distill:dagger", "car_flag_1d", "lstm", "expert"),
        ("elf", "heaven_hell", "gru", "informed"),
        ("sac:elf", "car_flag_1d", "gru", "expert"),
    ],
)
def test_put_down_and_taken_up_it_goes_on_the_same(row, env, memory, teacher):
    options = {"env": env, "memory": memory, "teacher": teacher, "beta__start": 0.5, "beta__end": 0.5}
    options["updates_per_step"] = 0.02  # of each of three envs
    agent, experience = begun(row, **options)

    def go_on(agent, experience):
        metrics = []
        for _ in range(25):
            experience.advance(agent)
            metrics += [{k: v.item() for k, v in one.items()} for one in experience.learn(agent)]
        return metrics

    experience.begin(agent, never)
    played(agent, experience, 165)
    saved = copy.deepcopy((agent.checkpoint(), experience.state_dict()))
    torch.manual_seed(0)
    expected = go_on(agent, experience)
    assert expected
    other_agent, other = begun(row, seed=1, **options)
    other.seed = experience.seed
    other_agent.load_checkpoint(saved[0])
    other.load_state_dict(saved[1])
    torch.manual_seed(0)
    assert go_on(other_agent, other) == expected
    assert_identical(other.state_dict(), experience.state_dict())


def test_a_replay_with_a_teacher_is_relabelled_and_one_without_is_not():
    agent, experience = begun("history", teacher="expert", beta__start=0.4, beta__end=0.4)
    assert type(experience) is RelabelledEpisodes
    assert played(agent, experience, 60)[0].advice is not None
    plain = make_config("history").rl
    assert kind_for(type(agent), plain) is ReplayedEnvs
    with pytest.raises(UserError, match=r"^--config_rl.teacher: '' is not one of expert, "):
        begun("distill:dagger", teacher="")
