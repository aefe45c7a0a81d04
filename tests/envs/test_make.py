import json
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from configs.envs import third_party as third_parties
from envs.base import AsymmetricVectorEnv, portable_rng, restored_rng
from envs.make import horizon_of, make_env, make_vector_env
from envs.native import AsymmetricVectorWrapper, VectorWithState
from envs.replayed import SyncAsymmetricVectorEnv
from envs.wrappers import AsymmetricWrapper
from tests.helpers.configs import config_named
from utils.errors import UserError
from utils.standards import DOMAIN, MORE_OF_A_DOMAIN, check_kind

NATIVE = ["heaven_hell", "heaven_hell_6x9", "car_flag_2d", "sphinx", "car_flag_1d", "car_flag_2d_continuous"]
NATIVE += ["heaven_hell_n:1", "shopping:5", "t_maze:20", "car_flag_7", "cleaner", "four_rooms:7x7", "four_rooms:9x9"]
LOOPED = ["cartpole_hidden", "masked"]
ROBOT = ["robot:block_pulling", "robot:block_pushing", "robot:drawer_opening"]  # tests/envs/robot has more of them
DRAWN = ["mountain_hike:varying", "irrelevant:t_maze"]  # one env and many draw otherwise
DOMAINS = [*NATIVE, *DRAWN, *LOOPED]


def config_of(name, **fields):
    config = config_named("envs", name)
    with config.unlocked():
        for field, value in fields.items():
            config[field] = value
    return config


def third_party(env_id, **fields):
    return config_of("cartpole_hidden", **{"id": env_id, "hidden": (), "state_fn": "", **fields})


def random_actions(envs, rng):
    spec = envs.spec_sizes
    if spec.discrete:
        return rng.integers(spec.action_dim, size=envs.num_envs)
    return rng.uniform(-1, 1, (envs.num_envs, spec.action_dim)).astype(np.float32)


def play(envs, steps, seed):
    rng, trace = np.random.default_rng(seed), []
    for _ in range(steps):
        views, reward, terminated, truncated, info = envs.step(random_actions(envs, rng))
        trace += [*views.values(), reward, terminated, truncated, info.get("success"), envs.saw_information()]
        if (ended := terminated | truncated).any():
            views, _ = envs.reset(options={"reset_mask": ended})
            trace += [views["obs"], views["state"]]
    return trace


def same(trace, other):
    return len(trace) == len(other) and all(np.array_equal(a, b) for a, b in zip(trace, other, strict=True))


class Toy(gym.Env):
    """Counts to three; odd enough to need every part of the wrapper."""

    def __init__(self, actions=None, observations=None):
        self.action_space = actions or spaces.Discrete(3, start=-1)
        self.observation_space = observations or spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.got = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        self.draw = self.np_random.random()
        return self.observation_space.sample() * 0 + self.t, {}

    def step(self, action):
        self.got.append(action)
        self.t += 1
        return self.observation_space.sample() * 0 + self.t, 1, self.t == 3, self.t == 3, {"is_success": self.t == 3}

    def get_state(self):
        return [self.t, self.draw]


@pytest.mark.parametrize("name", DOMAINS)
def test_the_vector_env_keeps_the_contract(name):
    config = config_of(name)
    envs = make_vector_env(config, 5, seed=0)
    spec = envs.spec_sizes
    assert isinstance(envs, AsymmetricVectorEnv)
    assert isinstance(envs, SyncAsymmetricVectorEnv if name in LOOPED else AsymmetricVectorWrapper)
    assert name in LOOPED or isinstance(envs.env, VectorWithState)
    assert spec.env_id == config.id
    assert spec.max_episode_steps == horizon_of(config) == config.horizon or name == "masked"
    views, _ = envs.reset()
    rng = np.random.default_rng(0)
    for _ in range(60):
        assert set(views) == {"obs", "state"}
        assert views["obs"].shape == (5, spec.obs_dim)
        assert views["state"].shape == (5, spec.state_dim)
        assert views["obs"].dtype == views["state"].dtype == np.float32
        assert views["obs"] in envs.observation_space["obs"]
        views, reward, terminated, truncated, info = envs.step(random_actions(envs, rng))
        for array in (reward, terminated, truncated, *info.values()):
            assert array.shape == (5,)
            assert array is reward or array.dtype == bool
        assert list(info) == ([] if name in LOOPED else ["success"])
        assert not (terminated & truncated).any()
        if (ended := terminated | truncated).any():
            kept = views
            views, _ = envs.reset(options={"reset_mask": ended})
            assert np.array_equal(views["obs"][~ended], kept["obs"][~ended])
            assert np.array_equal(views["state"][~ended], kept["state"][~ended])
    envs.close()


@pytest.mark.parametrize("name", DOMAINS)
def test_the_single_env_publishes_both_views(name):
    env = make_env(config_of(name), None if name in LOOPED else "rgb_array")
    views, _ = env.reset(seed=0)
    assert views in env.observation_space
    assert {key: len(view) for key, view in views.items()} == {
        "obs": env.spec_sizes.obs_dim,
        "state": env.spec_sizes.state_dim,
    }
    *_, info = env.step(env.action_space.sample())
    if name in LOOPED:
        assert "success" not in info
        with pytest.raises(UserError, match=r"(CartPole|Pendulum)-v1 has no expert"):
            env.expert_action()
        assert env.saw_information() is None
    else:
        assert type(info["success"]) is bool
        assert env.action_space.contains(env.expert_action())
        assert env.render().dtype == np.uint8


@pytest.mark.parametrize("name", DOMAINS)
def test_the_seed_of_a_vector_env_fixes_everything(name):
    def trace(seed, reset_seed=None):
        envs = make_vector_env(config_of(name), 4, seed=seed)
        views, _ = envs.reset(seed=reset_seed)
        return [views["obs"], views["state"], *play(envs, 120, 0)]

    assert same(trace(0), trace(0))
    assert same(trace(0), trace(1)) is (name == "cleaner")  # where nothing is drawn
    assert same(trace(0, reset_seed=7), trace(1, reset_seed=7))
    assert same(trace(7), trace(1, reset_seed=7))


@pytest.mark.parametrize("name", NATIVE)
def test_native_and_looped_envs_are_the_same(name):
    native = make_vector_env(config_of(name), 6, seed=0)
    config = config_of(name)
    looped = SyncAsymmetricVectorEnv([lambda: make_env(config)] * 6)
    assert native.spec_sizes == looped.spec_sizes
    assert native.single_observation_space == looped.single_observation_space
    start = native.reset()[0]["state"]
    looped.reset(seed=1, options={"state": start})
    rng = np.random.default_rng(0)
    for _ in range(120):
        assert np.array_equal(native.expert_action(np.zeros(6, bool)), looped.expert_action(np.zeros(6, bool)))
        actions = random_actions(native, rng)
        a, b = native.step(actions), looped.step(actions)
        assert same([*a[0].values(), *a[1:4], a[4]["success"]], [*b[0].values(), *b[1:4], b[4]["success"]])
        assert np.array_equal(native.saw_information(), looped.saw_information())
        if (ended := a[2] | a[3]).any():
            start = native.reset(options={"reset_mask": ended})[0]["state"]
            looped.reset(options={"reset_mask": ended, "state": start})


@pytest.mark.parametrize(
    "config",
    [
        *(config_of(name) for name in DOMAINS),
        config_of("car_flag_2d", hidden=(0,)),  # in the loop, with draws of its own while it steps
        third_party("Pendulum-v1", state_fn="envs.wrappers:state_attribute"),
    ],
    ids=lambda config: f"{config.id}{config.hidden}",
)
def test_a_state_dict_goes_on_bit_for_bit(config):
    envs = make_vector_env(config, 5, seed=3)
    envs.reset()
    play(envs, 37, 0)
    state = envs.state_dict()
    trace = play(envs, 90, 1)
    other = make_vector_env(config, 5, seed=99)
    other.load_state_dict(state)
    assert same(trace, play(other, 90, 1))
    other.load_state_dict(state)
    assert same(trace, play(other, 90, 1))
    with pytest.raises(ValueError, match="5 envs, not of 2"):
        make_vector_env(config, 2, seed=0).load_state_dict(state)


def test_a_looped_env_remembers_a_given_start_and_who_has_ended():
    config = config_of("heaven_hell", hidden=(2,))
    envs, other = (make_vector_env(config, 2, seed=0) for _ in range(2))
    other.load_state_dict(envs.state_dict())  # before the first reset
    with pytest.raises(ValueError, match="env 0 has ended"):
        other.step(np.zeros(2, int))
    left = np.array([[0.5, 0, -1], [1 / 6, 0, -1]], np.float32)
    envs.reset(options={"state": left})
    envs.step(np.array([2, 2]))
    other.load_state_dict(envs.state_dict())
    with pytest.raises(ValueError, match="env 1 has ended"):
        other.step(np.zeros(2, int))
    views, _ = other.reset(options={"reset_mask": np.array([False, True]), "state": left})
    np.testing.assert_allclose(views["state"], [[2 / 6, 0, -1], [1 / 6, 0, -1]], rtol=1e-6)


def test_generators_travel_as_json():
    rng = np.random.default_rng(0)
    rng.integers(10, size=3, dtype=np.int32)
    copy = restored_rng(json.loads(json.dumps(portable_rng(rng))))
    assert np.array_equal(rng.integers(2**60, size=5), copy.integers(2**60, size=5))
    with pytest.raises(ValueError, match="MT19937"):
        restored_rng({"bit_generator": "MT19937"})


def test_cartpole_hides_its_velocities_and_tells_its_state():
    envs = make_vector_env(config_of("cartpole_hidden"), 3, seed=0)
    assert (envs.spec_sizes.obs_dim, envs.spec_sizes.state_dim, envs.spec_sizes.action_dim) == (2, 4, 2)
    views, _ = envs.reset(seed=5)
    for action in (0, 1, 1):
        assert np.array_equal(views["obs"], views["state"][:, [0, 2]])
        views, *_ = envs.step(np.full(3, action))
    assert abs(views["state"][:, [1, 3]]).min() > 0
    with pytest.raises(UserError, match="no expert"):
        envs.expert_action(np.zeros(3, bool))
    with pytest.raises(UserError, match="draws no pictures"):
        envs.render_frame()


def test_a_state_function_of_ones_own_is_found(tmp_path, monkeypatch):
    (tmp_path / "my_domain.py").write_text("def state(env):\n    return [[env.unwrapped.s / 15.0], [1.0]]\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = third_party("FrozenLake-v1", state_fn="my_domain:state", state_low=(0.0,), state_high=(1.0, 2.0))
    with pytest.raises(UserError, match=r"config_env\.state_low/state_high: the state has 2 numbers"):
        make_env(third_party("FrozenLake-v1", state_fn="my_domain:state", state_low=(0.0, 0.0, 0.0)))
    env = make_env(config)
    views, _ = env.reset(seed=0)
    assert views["obs"].tolist() == [1] + [0] * 15  # one-hot of the cell
    assert views["state"].tolist() == [0, 1]
    assert env.observation_space["state"].high.tolist() == [1, 2]
    assert env.observation_space["state"].low.tolist() == [0, 0]


def test_continuous_actions_are_scaled_to_the_envs_bounds():
    low, high = np.array([[-2.0], [0.0]], np.float32), np.array([[2.0], [10.0]], np.float32)
    env = AsymmetricWrapper(toy := Toy(spaces.Box(low, high)))
    assert env.action_space == spaces.Box(-1, 1, (2,), np.float32)
    env.reset(seed=0)
    for action in ([-1, -1], [1, 1], [0.5, 0]):
        env.step(np.array(action, np.float32))
        assert toy.got[-1] in toy.action_space
    np.testing.assert_allclose(toy.got, [low, high, [[1], [5]]])
    toy.expert_action = lambda guess: np.array([[1.0], [5.0]])
    np.testing.assert_allclose(env.expert_action(), [0.5, 0])


def test_discrete_actions_start_at_zero():
    env = AsymmetricWrapper(toy := Toy())
    env.reset(seed=0)
    for action in range(3):
        env.step(np.int64(action))
    assert toy.got == [-1, 0, 1]
    toy.expert_action = lambda guess: 1
    assert env.expert_action() == 2


def test_an_ending_at_the_time_limit_is_no_truncation():
    env = AsymmetricWrapper(Toy())
    env.reset(seed=0)
    outs = [env.step(0) for _ in range(3)]
    assert [out[2:4] for out in outs] == [(False, False), (False, False), (True, False)]
    assert [out[4]["success"] for out in outs] == [False, False, True]  # from is_success


def test_huge_bounds_are_no_bounds():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = AsymmetricWrapper(Toy(observations=spaces.Box(-1e300, 1e300, (2,), np.float64)))
    assert not np.isfinite(env.observation_space["obs"].high).any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"id": "HevenHell-v0"},
            r"config_env\.id: unknown env 'HevenHell-v0' \(did you mean 'HeavenHell-v0'\?\); .*Sphin",
        ),
        ({"id": "HeavenHell-v7"}, r"config_env\.id: unknown env 'HeavenHell-v7' \(did you mean 'HeavenHell-v0'\?\)"),
        ({"id": "no/such/id"}, r"config_env\.id: unknown env"),
        ({"module": "no_such_module"}, r"config_env\.module: cannot import 'no_such_module'"),
        ({"module": "../x"}, r"config_env\.module: cannot import '\.\./x'"),
        ({"horizon": -1}, r"config_env\.horizon: -1 steps"),
        (
            {"id": "CartPole-v1"},
            r"config_env\.state_fn: CartPole-v1 has no get_state\(\); name a function .*function\(env\)",
        ),
        ({"state_fn": "no_such_module:f"}, r"config_env\.state_fn: cannot import 'no_such_module:f'"),
        ({"state_fn": "envs.wrappers:no_such"}, r"config_env\.state_fn: cannot import 'envs.wrappers:no_such'"),
        ({"state_fn": "envs.replayed:SEEDS"}, r"config_env\.state_fn: 'envs.replayed:SEEDS' is not a function"),
        ({"state_fn": "envs.wrappers"}, r"config_env\.state_fn: 'envs.wrappers' is not 'observation' nor of the form"),
        ({"hidden": (3,)}, r"config_env\.hidden: no entry 3 among the 3 of HeavenHell-v0"),
        ({"hidden": (-1,)}, r"config_env\.hidden: no entry -1"),
        ({"hidden": (0, 1, 2)}, r"config_env\.hidden: nothing is left"),
    ],
)
def test_a_wrong_field_is_named(fields, message):
    config = config_of("heaven_hell", **fields)
    with pytest.raises(UserError, match=message) as caught:
        make_vector_env(config, 2, seed=0)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=message):
        make_env(config)


@pytest.mark.parametrize("kwargs", [{"colour": "red"}, {"cols": 4}])
def test_wrong_constructor_arguments_are_named(kwargs):
    config = config_of("heaven_hell")
    with config.unlocked():
        config.kwargs.update(kwargs)
    for make in (make_env, lambda config: make_vector_env(config, 2, seed=0)):
        with pytest.raises(UserError, match=r"config_env\.kwargs: HeavenHell-v0 does not take"):
            make(config)


def test_constructor_arguments_are_handed_on():
    config = config_of("heaven_hell")
    with config.unlocked():
        config.kwargs.update({"rows": 7, "cols": 9})
    envs = make_vector_env(config, 2, seed=0)
    assert envs.reset()[0]["state"][0, 1] == np.float32(5 / 6)
    assert make_env(config).reset(seed=0)[0]["state"][1] == np.float32(5 / 6)


def test_no_envs_at_all_are_refused():
    with pytest.raises(UserError, match="--num_envs: 0 envs"):
        make_vector_env(config_of("sphinx"), 0, seed=0)


def test_spaces_that_cannot_be_used_are_refused():
    with pytest.raises(UserError, match=r"config_env\.id: the actions of Toy have 8,192 combinations"):
        AsymmetricWrapper(Toy(spaces.MultiBinary(13)))
    with pytest.raises(UserError, match=r"config_env\.id: the actions of Toy are neither"):
        AsymmetricWrapper(Toy(spaces.Box(0, 9, (2,), np.int32)))
    for bounds in ((-np.inf, 1), (-np.finfo(np.float32).max, np.finfo(np.float32).max)):
        with pytest.raises(UserError, match=r"config_env\.id: the actions of Toy are not bounded .*action_low=-1"):
            AsymmetricWrapper(Toy(spaces.Box(*bounds, (2,))))
    with pytest.raises(UserError, match=r"config_env\.obs_keys: the observations of Toy cannot be flattened"):
        AsymmetricWrapper(Toy(observations=spaces.Sequence(spaces.Discrete(3))))


def test_the_rows_of_third_parties_have_every_field_that_a_domain_may_have():
    fields = {*DOMAIN, *MORE_OF_A_DOMAIN, "rl", "seq"}
    for row in third_parties.VARIANTS:
        config = third_parties.get_config(row)
        assert set(config) == fields and config.is_locked
        check_kind("env", config, "--config_env")


@pytest.mark.parametrize("name", [*DOMAINS, *ROBOT])
def test_configs_are_locked_and_complete(name):
    config = config_of(name)
    assert config.is_locked
    assert set(config) - {"seq"} == set(config_of("heaven_hell"))  # what is the same of every memory, for a few
    with pytest.raises((KeyError, AttributeError)):
        config.horizn = 3
