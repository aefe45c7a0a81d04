"""Vector envs of others: no last row is lost, none is one of the next episode's, and one instance serves all."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from ml_collections import ConfigDict

from buffers.batch import Episode
from envs.base import AsymmetricVectorEnv
from envs.make import actions_of, describing_env, horizon_of, make_env, make_vector_env, maker, width_for
from policies.acting.rollout import EpisodeStream, ExpertPolicy, RandomPolicy, run_episodes
from tests.envs.test_make import config_of
from tests.helpers import batched, strangers
from utils.errors import ForeignError, UserError

BATCHED, STRANGERS = "tests.helpers.batched", "tests.helpers.strangers"


@pytest.fixture(autouse=True)
def no_instances():
    batched.ALIVE.clear()


def vector(entry, horizon=4, kwargs=None, **fields):
    config = config_of("cartpole_hidden", id="Vector-v0", hidden=(), state_fn="", horizon=horizon)
    with config.unlocked():
        config.kwargs = ConfigDict(kwargs or {})
        config.vector_entry = entry
        for name, value in fields.items():
            config[name] = value
    return config


def simulator(**fields):
    bounds = {"action_low": (-1.0,), "action_high": (1.0,)}
    return vector(f"{BATCHED}:Simulator", obs_keys=("policy",), state_keys=("critic",), **bounds, **fields)


def keyed(mode, **fields):
    return vector(f"{STRANGERS}:many", kwargs={"mode": mode}, obs_keys="seen", state_keys="all", **fields)


def played(config, episodes=60, num_envs=5) -> list[Episode]:
    envs = make_vector_env(config, num_envs, seed=0)
    assert isinstance(envs, AsymmetricVectorEnv)
    spec = envs.spec_sizes
    act = RandomPolicy(spec.action_dim, spec.discrete, np.random.default_rng(0))
    found = run_episodes(envs, act, episodes, seed=3)
    envs.close()
    return found


@pytest.mark.parametrize("direct", [False, True])
def test_a_batched_simulator_loses_no_row(direct):
    episodes = played(simulator(kwargs={"direct": direct}))
    lengths = {len(episode) for episode in episodes}
    assert len(episodes) == 60 and lengths == {1, 2, 3, 4}
    for episode in episodes:
        L, h = len(episode), episode.state[0, 1]
        np.testing.assert_allclose(episode.state, np.stack([np.arange(L + 1) / 4, np.full(L + 1, h)], axis=1))
        np.testing.assert_allclose(episode.obs[:, 1], [h] + [0] * L)
        ended = episode.action[-1, 0] > 0.9
        assert (episode.discount[-1] == 0) == ended
        assert episode.reward.tolist() == [0.0] * (L - 1) + [float(ended and h == 1)]
        assert episode.success == (ended and h == 1)
    assert {episode.state[0, 1] for episode in episodes} == {0, 1}


@pytest.mark.parametrize("mode", ["SameStep", "Disabled"])
def test_vector_envs_of_gymnasium_lose_no_row(mode):
    for episode in played(keyed(mode)):
        h = episode.state[0, 1]
        np.testing.assert_allclose(episode.state, np.stack([np.arange(5) / 4, np.full(5, h)], axis=1))
        assert episode.discount.tolist() == [1, 1, 1, 0]
        assert episode.success == (episode.reward[-1] == 1) == (episode.action[-1] == h)


@pytest.mark.filterwarnings("ignore:.*given up where they were")
@pytest.mark.parametrize("success", ["last", "any"])
@pytest.mark.parametrize("mode", ["SameStep", "Disabled"])
@pytest.mark.parametrize("in_turns", [False, True])
def test_a_vector_env_that_tells_no_success_has_none(mode, success, in_turns):
    keys = {"obs_keys": "seen", "state_keys": "all"}
    config = vector(f"{STRANGERS}:quiet", kwargs={"mode": mode}, success=success, one_instance=in_turns, **keys)
    stream, act = EpisodeStream(maker(config)(3, seed=0), 0), RandomPolicy(2, True, np.random.default_rng(0))
    ended = [episode for _ in range(9) for _, episode in stream.step(act)]
    stream.load_state_dict(stream.state_dict())
    ended += [episode for _ in range(9) for _, episode in stream.step(act)]
    assert len(ended) > 12 and {(one.success, one.informed) for one in ended} == {(None, None)}


def state_of(env):
    return np.zeros((env.num_envs, 3))


def short(env):
    return np.zeros(env.num_envs + 1)


def test_a_state_function_of_a_vector_env_gives_rows_of_states():
    config = vector(f"{STRANGERS}:many", kwargs={"mode": "Disabled"}, obs_keys="seen")
    config.state_fn = "tests.envs.test_vectors:state_of"
    assert {episode.state.shape for episode in played(config, 5)} == {(5, 3)}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (keyed("NextStep"), r"config_env\.vector_entry: .* resets ended envs in the step after"),
        (keyed("SameStep", horizon=3), r"config_env\.horizon: an episode of Vector-v0 goes on after 3 steps"),
        (keyed("SameStep", horizon=0), r"config_env\.horizon: 0 steps; the length of the longest episode"),
        (simulator(horizon=3), r"config_env\.horizon: Vector-v0 has episodes of 4 steps, more than 3"),
        (simulator(kwargs={"colour": 1}), r"config_env\.kwargs: .*Simulator does not take"),
        (simulator(wrappers="a:b"), r"config_env\.wrappers: leave it to what config_env\.vector_entry names"),
        (vector("nowhere:f"), r"config_env\.vector_entry: cannot import"),
        (vector("builtins:dict"), r"config_env\.vector_entry: Vector-v0 has no "),
        (
            vector(f"{BATCHED}:Simulator", obs_keys="policy"),
            r"config_env\.id: .* are not bounded",
        ),
        (vector(f"{STRANGERS}:many", obs_keys="seen"), r"config_env\.state_keys: which keys of an observation"),
        (
            vector(f"{BATCHED}:Untold", state_fn="observation"),
            r"config_env\.vector_entry: .* no last observation",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(config, message):
    with pytest.raises(UserError, match=message) as caught:
        played(config)
    assert "\n" not in str(caught.value)


def test_a_state_of_the_wrong_shape_or_one_that_is_gone_is_one_line():
    config = vector(f"{STRANGERS}:many", kwargs={"mode": "Disabled"}, obs_keys="seen")
    config.state_fn = "tests.envs.test_vectors:short"
    with pytest.raises(UserError, match=r"config_env\.state_fn: .* have shape \(6,\), not \(5, …\)"):
        played(config)
    config = vector(f"{STRANGERS}:many", obs_keys="seen")
    config.state_fn = "tests.envs.test_vectors:state_of"
    with pytest.raises(UserError, match=r"config_env\.state_keys: .* their last states are known only where"):
        played(config)


def answering(**fields):
    """A simulator whose step answers something else."""

    class Answering(batched.Simulator):
        def step(self, action):
            step = dict(zip(("obs", "reward", "terminated", "truncated", "info"), super().step(action), strict=True))
            return tuple((step | {name: change(step[name]) for name, change in fields.items()}).values())

    return Answering


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("truncated", lambda told: None, r"vector_entry: the truncated of Vector-v0 has shape \(\), \(5,\) is needed"),
        ("reward", lambda told: told[:-1], r"vector_entry: the reward of Vector-v0 has shape \(4,\), \(5,\) is"),
        (
            "obs",
            lambda told: {k: v[:-1] for k, v in told.items()},
            "id: the observations of Vector-v0 are not of",
        ),
        ("info", lambda told: [told], "vector_entry: the info of Vector-v0 is a list"),
        ("info", lambda told: {"success": True}, r"vector_entry: info\['success'\] of Vector-v0 has shape \(\)"),
        ("truncated", lambda told: [float("nan")] * 5, "vector_entry: the truncated of Vector-v0 is nan, which is ne"),
        ("info", lambda told: {"is_success": ["a"] * 5}, r"vector_entry: info\['is_success'\] of .* no number"),
    ],
)
def test_what_a_simulator_should_not_tell_is_one_line(name, change, said, monkeypatch):
    monkeypatch.setattr(batched, "Answering", answering(**{name: change}), raising=False)
    bounds = {"action_low": (-1.0,), "action_high": (1.0,)}
    config = vector(f"{BATCHED}:Answering", obs_keys=("policy",), state_keys=("critic",), **bounds)
    with pytest.raises(UserError, match=rf"^config_env\.{said}") as caught:
        played(config)
    assert "\n" not in str(caught.value)


def test_last_observations_of_some_envs_alone_are_one_line(monkeypatch):
    class Few(gym.vector.SyncVectorEnv):
        def step(self, actions):
            *told, info = super().step(actions)
            return *told, {**info, **({"final_obs": info["final_obs"][:2]} if "final_obs" in info else {})}

    made = gym.vector.AutoresetMode.SAME_STEP
    monkeypatch.setattr(
        strangers, "few", lambda num_envs: Few([strangers.Keyed] * num_envs, autoreset_mode=made), raising=False
    )
    with pytest.raises(UserError, match=r"vector_entry: Vector-v0 tells no last observation of env 2, .* its 5 envs"):
        played(vector(f"{STRANGERS}:few", obs_keys="seen", state_keys="all"))


@pytest.mark.parametrize("told", [None, 3.0, np.zeros(()), np.zeros((4, 1)), "raised"])
def test_an_expert_of_a_vector_env_that_gives_no_actions_is_one_line(told, monkeypatch):
    class Advised(batched.Simulator):
        def expert_action(self, guess):
            if isinstance(told, str):
                raise ZeroDivisionError("no plan")
            return told

    monkeypatch.setattr(batched, "Advised", Advised, raising=False)
    bounds = {"action_low": (-1.0,), "action_high": (1.0,)}
    config = vector(f"{BATCHED}:Advised", obs_keys=("policy",), state_keys=("critic",), **bounds)
    envs = make_vector_env(config, 5, seed=0)
    envs.reset()
    with pytest.raises(
        (UserError, ForeignError), match=r"config_env\.vector_entry: .*(of each of 5 envs is needed|no plan)"
    ) as caught:
        envs.expert_action(np.zeros(5, bool))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), ()])
def test_success_is_taken_in_each_shape_that_tells_it(shape, monkeypatch):
    num_envs = 1 if shape == () else 3
    found = answering(info=lambda told: {"success": told["success"].reshape(shape)})
    monkeypatch.setattr(batched, "Answering", found, raising=False)
    bounds = {"action_low": (-1.0,), "action_high": (1.0,)}
    config = vector(f"{BATCHED}:Answering", obs_keys=("policy",), state_keys=("critic",), **bounds)
    episodes = played(config, 60, num_envs)
    assert {episode.success for episode in episodes} == {True, False}
    assert all(episode.success == (episode.reward[-1] == 1) for episode in episodes)


def test_a_simulator_that_takes_no_render_mode_is_drawn_all_the_same():
    bounds = {"action_low": (-1.0,), "action_high": (1.0,)}
    config = vector(f"{BATCHED}:Unasked", obs_keys=("policy",), state_keys=("critic",), **bounds)
    envs = make_vector_env(config, 1, seed=0, render_mode="rgb_array")
    envs.reset()
    assert envs.render_frame().shape == (8, 8, 3)
    assert len(batched.ALIVE) == 1
    envs.close()


def test_what_a_simulator_raises_as_it_is_made_is_its_own_where_nothing_is_given():
    with pytest.raises(ForeignError, match=r"^config_env\.vector_entry: .*Broken raised TypeError: unsupported"):
        make_vector_env(vector(f"{BATCHED}:Broken"), 2, seed=0)
    with pytest.raises(UserError, match=r"^config_env\.kwargs: .*Broken does not take \{'colour': 1\}"):
        make_vector_env(vector(f"{BATCHED}:Broken", kwargs={"colour": 1}), 2, seed=0)


def refusing(num_envs):
    raise RuntimeError("no GPU\nhere")


@pytest.mark.parametrize("method", ["step", "reset"])
def test_an_error_of_the_simulators_own_names_the_field(method, monkeypatch):
    with pytest.raises(ForeignError, match=r"^config_env\.vector_entry: .*:refusing raised RuntimeError: no GPU$"):
        played(vector("tests.envs.test_vectors:refusing"))
    monkeypatch.setattr(batched.Simulator, method, lambda *given, **named: {}[3])
    with pytest.raises(ForeignError, match=r"^config_env\.vector_entry: .* raised KeyError: 3"):
        played(simulator())


def test_what_has_no_single_env_says_so_or_says_nothing():
    config = simulator()
    with pytest.raises(UserError, match=r"config_env\.vector_entry: .* of which none is for itself"):
        make_env(config)
    assert describing_env(config).belief(np.zeros((2, 2)), np.zeros(1), False) is None
    assert actions_of(config).to_json()["low"] == [-1.0]
    assert (horizon_of(config), width_for(config, 100)) == (4, 100)
    envs = make_vector_env(config, 2, seed=0)
    with pytest.raises(UserError, match="no expert"):
        envs.expert_action(np.zeros(2, bool))
    with pytest.raises(UserError, match="draws no pictures"):
        envs.render_frame()
    with pytest.raises(UserError, match="cannot start in a given state"):
        envs.reset(options={"state": np.zeros((2, 2))})
    envs.close()
    assert not batched.ALIVE


GREY = np.full((4, 5), 0.5, np.float32)
DRAWN = {
    "grey numbers of each env": [GREY, GREY],
    "a batch with a fourth channel": torch.full((2, 4, 5, 4), 128, dtype=torch.uint8),
    "one for all": np.full((4, 5, 3), 127.6),
}


@pytest.mark.parametrize("name", DRAWN)
def test_whatever_a_simulator_draws_is_a_picture(name, monkeypatch):
    monkeypatch.setattr(batched.Simulator, "render", lambda self: DRAWN[name])
    envs = make_vector_env(simulator(), 2, seed=0, render_mode="rgb_array")
    frame = envs.render_frame(1)
    assert frame.dtype == np.uint8 and np.array_equal(frame, np.full((4, 5, 3), 128))


def test_a_seed_fixes_what_a_simulator_does():
    first, again, other = (
        np.concatenate([episode.state[:, 1] for episode in run(seed)]) for run in [seeded] for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def seeded(seed):
    envs = make_vector_env(simulator(), 4, seed=0)
    return run_episodes(envs, RandomPolicy(1, False, np.random.default_rng(0)), 30, seed)


def test_episodes_of_a_simulator_are_given_up_at_a_resume():
    act = RandomPolicy(1, False, np.random.default_rng(4))
    stream = EpisodeStream(make_vector_env(simulator(), 3, seed=0), 0)
    while stream._t.min() == 0:
        stream.step(act)
    state, length = stream.state_dict(), stream._t.copy()
    again = EpisodeStream(make_vector_env(simulator(), 3, seed=9), 9)
    with pytest.warns(RuntimeWarning, match="3 of 3 episodes of Vector-v0"):
        again.load_state_dict(state)
    ended = dict(again.step(act))
    assert {slot: len(episode) for slot, episode in ended.items()} == dict(enumerate(length.tolist()))
    assert all(episode.discount[-1] == 1 for episode in ended.values())
    for _ in range(12):
        for _, episode in again.step(act):
            np.testing.assert_allclose(episode.state[:, 0] * 4, np.arange(len(episode) + 1))


class TestOneInstance:
    """Envs that take turns on one simulator."""

    def test_is_all_that_is_ever_alive(self):
        make = maker(simulator(one_instance=True))
        training, judging = make(4, seed=0), make(100, seed=1)
        assert len(batched.ALIVE) == 1 and (training.num_envs, judging.num_envs) == (4, 4)
        assert isinstance(training, AsymmetricVectorEnv)
        filming = make(1, seed=0, render_mode="rgb_array")
        assert len(batched.ALIVE) == 1 and filming.num_envs == 1
        filming.reset()
        assert filming.render_frame().shape == (8, 8, 3)
        for envs in (filming, judging, training):
            assert len(batched.ALIVE) == 1
            envs.close()
        assert not batched.ALIVE

    def test_has_as_many_as_train_in_it_whoever_asks_first(self):
        make = maker(simulator(one_instance=True), 8)
        judging, training, filming = make(2, seed=1), make(8, seed=0), make(1, seed=0, render_mode="rgb_array")
        assert (judging.num_envs, training.num_envs, filming.num_envs) == (2, 8, 1)
        for envs in (filming, judging, training):
            envs.close()
        last = make(100, seed=0)
        assert last.num_envs == 8
        last.close()

    def test_gives_up_episodes_when_another_has_used_it(self):
        make, rng = maker(simulator(one_instance=True)), np.random.default_rng(1)
        act = RandomPolicy(1, False, rng)
        training, judging = make(4, seed=0), make(2, seed=1)
        stream, kept = EpisodeStream(training, 0), []
        for step in range(40):
            lengths = stream._t.copy()
            kept += [episode for _, episode in stream.step(act)]
            if step % 7 == 3:
                lengths, before = stream._t.copy(), len(kept)
                judged = run_episodes(judging, act, 9, seed=step)
                assert len(judged) == 9
                kept += judged
                given_up = stream.step(act)
                assert {slot: len(episode) for slot, episode in given_up} == {
                    slot: length for slot, length in enumerate(lengths.tolist()) if length
                }
                assert all(episode.discount[-1] == 1 for _, episode in given_up)
                assert len(kept) == before + 9
                kept += [episode for _, episode in given_up]
        for episode in kept:
            L, h = len(episode), episode.state[0, 1]
            np.testing.assert_allclose(episode.state, np.stack([np.arange(L + 1) / 4, np.full(L + 1, h)], axis=1))
            assert episode.reward[-1] == (episode.discount[-1] == 0 and h == 1)
        training.close(), judging.close()

    def test_of_single_envs_is_one_env(self):
        config = config_of("cartpole_hidden")
        with config.unlocked():
            config.one_instance = True
        envs = maker(config)(16, seed=0)
        assert envs.num_envs == 1 and envs.reset(seed=0)[0]["obs"].shape == (1, 2)
        with pytest.raises(UserError, match="no expert"):
            ExpertPolicy(envs, 0.0, np.random.default_rng(0))(np.zeros((1, 2)), None, None, np.ones(1), None)

    def test_goes_on_where_it_was_put_down(self):
        config = config_of("cartpole_hidden")
        with config.unlocked():
            config.one_instance = True
        act = RandomPolicy(2, True, np.random.default_rng(0))
        stream = EpisodeStream(maker(config)(1, seed=0), 0)
        for _ in range(5):
            stream.step(act)
        again = EpisodeStream(maker(config)(1, seed=5), 5)
        again.load_state_dict(stream.state_dict())
        pushing = RandomPolicy(1, True, np.random.default_rng(0))  # always action 0
        for _ in range(20):
            for (_, a), (_, b) in zip(stream.step(pushing), again.step(pushing), strict=True):
                np.testing.assert_array_equal(a.state, b.state)
