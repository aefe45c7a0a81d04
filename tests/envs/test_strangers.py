"""Other people's envs: what they say is taken as they mean it, and what cannot be is told in one line."""

import re
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import ClipAction, DiscretizeAction, RescaleAction, TimeLimit
from ml_collections import ConfigDict

from envs.base import Belief
from envs.factors import Factor
from envs.make import make_env, make_vector_env
from envs.native import AsymmetricVectorWrapper
from envs.replayed import SyncAsymmetricVectorEnv
from envs.sphinx import SphinxVectorEnv
from envs.views import ImageOptions
from envs.wrappers import Adaptation, AsymmetricWrapper
from policies.acting.evaluate import statistics
from policies.acting.rollout import EpisodeStream, ExpertPolicy, RandomPolicy, run_episodes
from tests.envs.test_make import Toy, third_party
from tests.helpers import strangers
from utils.errors import ForeignError, UserError

MODULE = "tests.helpers.strangers"


def config_of(name, **fields):
    fields = {"kwargs": ConfigDict(fields.pop("kwargs", {})), **fields}
    return third_party(f"{name}-v0", module=MODULE, horizon=0, **fields)


def with_fields(config, **fields):
    with config.unlocked():
        for name, value in fields.items():
            config[name] = value
    return config


def played(config, episodes=200, num_envs=8):
    envs = make_vector_env(config, num_envs, seed=0)
    spec = envs.spec_sizes
    return run_episodes(envs, RandomPolicy(spec.action_dim, spec.discrete, np.random.default_rng(0)), episodes, seed=0)


def test_an_info_of_the_envs_own_is_no_mark_of_ours():
    episodes = played(config_of("Losing"))
    assert {len(episode) for episode in episodes} == {4}
    right = np.array([episode.action[-1] == episode.state[0, 1] for episode in episodes])
    assert [episode.reward[-1] for episode in episodes] == np.where(right, 1.0, -1.0).tolist()
    assert statistics(episodes)["return"] == pytest.approx(2 * right.mean() - 1)
    assert statistics(episodes)["success"] == pytest.approx(right.mean())


def test_an_info_that_is_handed_out_again_and_again_is_left_as_it_is():
    episodes = played(config_of("OneInfo"))
    right = [episode.action[-1] == episode.state[0, 1] for episode in episodes]
    assert [episode.success for episode in episodes] == right
    env = AsymmetricWrapper(toy := strangers.OneInfo())
    env.reset(seed=0)
    assert env.step(0)[4] == {"is_success": False, "success": False}
    assert toy.info == {"is_success": False}


def test_what_an_env_does_not_tell_is_none():
    assert {(one.success, one.informed) for one in played(config_of("Base"), 20)} == {(None, None)}
    env = AsymmetricWrapper(strangers.Base(), Adaptation(success="any"))
    env.reset(seed=0)
    assert "success" not in env.step(0)[4] and env.saw_information() is None


def test_success_is_that_of_the_last_step_or_of_any():
    assert not any(episode.success for episode in played(config_of("Passing"), 20))
    episodes = played(with_fields(config_of("Passing"), success="any"), 20)
    assert all(episode.success for episode in episodes) and len(episodes) == 20
    env = AsymmetricWrapper(strangers.Passing(), Adaptation(success="any"))
    for _ in range(2):  # an episode knows nothing of the one before
        env.reset(seed=0)
        assert [env.step(0)[4]["success"] for _ in range(4)] == [False, True, True, True]
    with pytest.raises(UserError, match=r"config_env\.success: unknown value 'all'"):
        make_env(with_fields(config_of("Passing"), success="all"))


def three(env):
    return [[env.unwrapped.t, 1.0, 2.0]]


def changing(env):
    return np.zeros(1 + env.unwrapped.t)


def text(env):
    return {"a": "b"}


@pytest.mark.parametrize("num_envs", [1, 3])
def test_a_state_function_has_sizes_and_bounds_of_its_own(num_envs):
    config = config_of("Base", state_fn="tests.envs.test_strangers:three")
    envs = make_vector_env(config, num_envs, seed=0)
    assert envs.spec_sizes.state_dim == 3
    views, *_ = envs.reset(seed=0)
    assert views["state"].tolist() == [[0, 1, 2]] * num_envs
    assert not np.isfinite(envs.single_observation_space["state"].high).any()
    bounded = make_env(with_fields(config, state_high=(9.0,)))
    assert bounded.observation_space["state"].high.tolist() == [9, 9, 9]


def test_a_state_of_another_size_or_kind_is_one_line():
    env = make_env(config_of("Base", state_fn="tests.envs.test_strangers:changing"))
    env.reset(seed=0)
    with pytest.raises(UserError, match=r"config_env\.state_fn: a state of Base-v0 has 2 numbers, the first had 1"):
        env.step(0)
    with pytest.raises(UserError, match=r"config_env\.state_fn: a state of Base-v0 is no array of numbers"):
        make_env(config_of("Base", state_fn="tests.envs.test_strangers:text"))
    toy = strangers.Base()
    toy.state_space = spaces.Box(-1, 1, (6,))
    env = AsymmetricWrapper(toy)
    with pytest.raises(UserError, match="the states of Base are 2 numbers, but their space says 6"):
        env.reset(seed=0)
    toy = strangers.Base()
    toy.observation_space = spaces.Box(-1, 1, (1,))
    with pytest.raises(UserError, match="the observations of Base are 2 numbers, but their space says 1"):
        AsymmetricWrapper(toy).reset(seed=0)


@pytest.mark.parametrize(
    ("space", "state", "flat"),
    [
        (spaces.Discrete(4, start=1), 3, [0, 0, 1, 0]),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 0]), [0, 1, 1, 0, 0]),
        (spaces.MultiBinary(3), np.array([1, 0, 1]), [1, 0, 1]),
        (spaces.Tuple([spaces.Discrete(2), spaces.Box(-9, 9, (2,))]), (1, np.array([3.0, 4.0])), [0, 1, 3, 4]),
        (spaces.Dict(b=spaces.Box(0, 9, (1, 2)), a=spaces.Discrete(2)), {"a": 0, "b": [[5, 6]]}, [5, 6, 1, 0]),
        (spaces.Tuple([spaces.Tuple([spaces.Discrete(2)]), spaces.Discrete(3)]), ((1,), 2), [0, 1, 0, 0, 1]),
    ],
)
def test_a_state_is_flattened_by_its_space(space, state, flat):
    toy = strangers.Base()
    toy.state_space, toy.get_state = space, lambda: state
    env = AsymmetricWrapper(toy)
    assert env.spec_sizes.state_dim == len(flat)
    assert env.reset(seed=0)[0]["state"].tolist() == flat
    assert env.observation_space["state"].contains(env.get_state())
    toy.state_space = spaces.Sequence(spaces.Discrete(2))
    with pytest.raises(UserError, match=r"config_env\.state_fn: the states of Base cannot be flattened"):
        AsymmetricWrapper(toy)


@pytest.mark.parametrize("layout", ["hwc", "chw", "flat"])
def test_a_red_image_is_red_however_its_axes_lie(layout):
    config = config_of("Red", kwargs={"layout": layout, "declared": (3, 8, 8)})
    views, _ = make_vector_env(config, 2, seed=0).reset(seed=0)
    for view in views.values():
        assert view.reshape(2, 3, 64).mean((0, 2)).tolist() == [1, 0, 0]
    spec = make_env(config).spec_sizes
    assert spec.obs_image_shape == spec.state_image_shape == (3, 8, 8)
    assert spec.obs_storage == spec.state_storage == ((0.0, 1.0, 8),) * 3


@pytest.mark.parametrize(
    ("kwargs", "fields", "message"),
    [
        (
            {"declared": (3, 8, 9)},
            {},
            r"config_env\.id: the observations of Red-v0 are no images of obs_image_shape=\(3,",
        ),
        ({"declared": (8, 3, 8)}, {}, r"config_env\.id: the observations .* shape \(8, 8, 3\), which are no images of"),
        ({"declared": (192,)}, {}, r"config_env\.id: the observations of Red-v0 are no images of"),
        ({"declared": (8, 8, 3)}, {}, r"config_env\.obs_image: .* say --config_env\.obs_image=hwc"),
        ({}, {"obs_image": "wch"}, r"config_env\.obs_image: unknown value 'wch'"),
        ({}, {"resize": (4, 4)}, r"config_env\.obs_image: resize and gray are for images"),
        ({}, {"obs_image": "hwc", "resize": (4,)}, r"config_env\.resize=\(4,\)"),
        ({"shape": (2, 8, 8)}, {"obs_image": "hwc", "gray": True}, r"config_env\.gray: .* have 2 channels"),
        ({"shape": (3, 16, 20)}, {"obs_image": "chw"}, r"config_env\.obs_image: .* shape \(16, 20, 3\), which is hwc"),
        ({"shape": (3, 16, 20), "layout": "chw"}, {"obs_image": "hwc"}, r"config_env\.obs_image: .* is chw; say chw"),
    ],
)
def test_what_is_no_image_is_one_line(kwargs, fields, message):
    with pytest.raises(UserError, match=message):
        make_env(with_fields(config_of("Red", kwargs=kwargs), **fields))


def test_an_episode_whose_end_a_wrapper_takes_away_is_one_line():
    config = with_fields(config_of("Base"), wrappers=(f"{MODULE}:Endless",))
    with pytest.raises(
        UserError, match=r"config_env\.horizon: an episode of Base-v0 goes on after 10 steps; .* wrapper"
    ):
        played(config)


def test_a_vector_env_of_ours_whose_image_does_not_fit_is_one_line():
    env = SphinxVectorEnv(2)
    assert AsymmetricVectorWrapper(env, "Sphinx-v0").spec_sizes.obs_image_shape == (2, 6, 6)
    env.obs_image_shape = (2, 6, 5)
    with pytest.raises(UserError, match=r"config_env\.id: 72 numbers of Sphinx-v0 are no image of obs_image_shape"):
        AsymmetricVectorWrapper(env, "Sphinx-v0")


@pytest.mark.parametrize("num_envs", [1, 3])
def test_what_cannot_be_closed_is_warned_of(num_envs, monkeypatch):
    monkeypatch.setattr(SphinxVectorEnv, "close", lambda self: 1 / 0)
    ours = AsymmetricVectorWrapper(SphinxVectorEnv(num_envs), "Sphinx-v0")
    monkeypatch.setattr(strangers.Base, "close", lambda self: 1 / 0)
    for envs, count in ((ours, 1), (make_vector_env(config_of("Base"), num_envs, seed=0), num_envs)):
        with pytest.warns(RuntimeWarning, match=r"-v0: close\(\) failed: division by zero") as told:
            envs.close()
        assert len(told) == count


def test_a_wrapper_is_asked_before_what_it_wraps():
    env = AsymmetricWrapper(strangers.OtherState(strangers.Base()))
    assert env.reset(seed=0)[0]["state"].tolist() == [0.25, 0.5, 0.75]
    env = AsymmetricWrapper(strangers.OtherWords(strangers.Base()))
    assert env.reset(seed=0)[0]["state"].tolist() == [0, 0, 1, 1, 0]
    assert env.spec_sizes.state_features == ("a", "b", "c", "d", "e")
    env = AsymmetricWrapper(strangers.OtherState(strangers.OtherWords(strangers.Base())))
    assert env.spec_sizes.state_features == (), "which are those of another state"
    red = strangers.OtherState(strangers.Red(declared=(3, 8, 8)))
    assert AsymmetricWrapper(red).spec_sizes.obs_image_shape == (3, 8, 8)
    assert AsymmetricWrapper(red).spec_sizes.state_image_shape is None


@pytest.mark.parametrize(
    "wrap",
    [
        lambda env: env,
        lambda env: RescaleAction(env, -1.0, 1.0),
        lambda env: RescaleAction(RescaleAction(env, 0.0, 5.0), -1.0, 1.0),
        strangers.Halved,
        strangers.SquaredAndBack,
        lambda env: strangers.OtherState(strangers.Halved(env)),
    ],
)
def test_an_expert_is_understood_through_wrappers(wrap):
    envs = SyncAsymmetricVectorEnv([lambda: AsymmetricWrapper(wrap(strangers.Lever()), max_episode_steps=10)] * 2)
    policy = ExpertPolicy(envs, 0.0, np.random.default_rng(0))
    assert statistics(run_episodes(envs, policy, 4, seed=0))["return"] == pytest.approx(3.6, abs=1e-4)


def test_an_expert_is_found_among_few_actions_or_refused():
    env = AsymmetricWrapper(DiscretizeAction(strangers.Lever(), 5))
    env.reset(seed=0)
    assert env.expert_action() == 4  # the middle of the highest bin is 1.6
    with pytest.raises(UserError, match=r"config_env\.wrappers: .* through Squared; give it a method revert_action"):
        AsymmetricWrapper(strangers.Squared(strangers.Lever())).expert_action()
    env = AsymmetricWrapper(ClipAction(strangers.Lever()), Adaptation(action_low=(-2,), action_high=(2,)))
    np.testing.assert_allclose(env.expert_action(), [0.9], rtol=1e-6)


def test_a_wrapper_with_a_step_of_its_own_is_warned_of_once():
    env = AsymmetricWrapper(strangers.Mirrored(strangers.Lever()))
    with pytest.warns(UserWarning, match=r"config_env\.wrappers: Mirrored has a step .* revert_action") as told:
        actions = [env.expert_action() for _ in range(3)]
    assert len(told) == 1
    np.testing.assert_allclose(actions, [[0.9]] * 3, rtol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = AsymmetricWrapper(strangers.MirroredAndBack(TimeLimit(strangers.OtherState(strangers.Lever()), 9)))
        np.testing.assert_allclose(env.expert_action(), [-0.9], rtol=1e-6)


def test_an_env_that_ignores_its_seed_is_given_up_where_it_was():
    def stream(seed):
        return EpisodeStream(make_vector_env(config_of("Unseeded"), 40, seed=seed), seed)

    first, act = stream(0), RandomPolicy(2, True, np.random.default_rng(0))
    first.step(act), first.step(act)
    state = first.state_dict()
    again = stream(1)
    with pytest.warns(
        RuntimeWarning, match=r"episodes of Unseeded-v0 came out differently .* given up where they were"
    ):
        again.load_state_dict(state)
    other = np.flatnonzero(again.envs._given_up)
    assert 0 < len(other) < 40, "some coins fell the same again"
    ended = dict(again.step(act))
    assert sorted(ended) == other.tolist()
    for slot, episode in ended.items():
        assert (len(episode), episode.discount.tolist()) == (2, [1, 1])
        np.testing.assert_array_equal(episode.state, state["arrays"]["_state"][:3, slot])
    later = [pair for _ in range(6) for pair in again.step(act)]
    assert {len(episode) for _, episode in later} == {4}
    for _, episode in later:
        assert len(set(episode.state[:, 1])) == 1, "the coin of one episode"


@pytest.mark.filterwarnings("ignore:.* came out differently")
def test_an_episode_that_is_given_up_keeps_the_success_that_it_had():
    config = with_fields(config_of("Fickle"), success="any")
    first, act = EpisodeStream(make_vector_env(config, 40, seed=0), 0), RandomPolicy(2, True, np.random.default_rng(0))
    first.step(act), first.step(act)  # it tells of a success at the second step alone
    again = EpisodeStream(make_vector_env(config, 40, seed=1), 1)
    again.load_state_dict(first.state_dict())
    ended = again.step(act)
    assert ended and all(len(episode) == 2 and episode.success for _, episode in ended)


def test_an_env_that_follows_its_seed_is_never_given_up(recwarn):
    envs, act = make_vector_env(config_of("Base"), 8, seed=0), RandomPolicy(2, True, np.random.default_rng(0))
    stream = EpisodeStream(envs, 0)
    for _ in range(9):
        stream.step(act)
        EpisodeStream(make_vector_env(config_of("Base"), 8, seed=5), 5).load_state_dict(stream.state_dict())
    older = stream.state_dict()
    for name in ("digest", "obs", "state"):
        del older["envs"][name]
    stream.load_state_dict(older)
    assert not [warning for warning in recwarn if warning.category is RuntimeWarning]


def test_bounds_of_actions_keep_every_number_finite_and_within():
    low, high = np.array([-1.74, 3.0, 0.0], np.float32), np.array([4.529, 3.0, 1e20], np.float32)
    env = AsymmetricWrapper(toy := Toy(spaces.Box(low, high)))
    env.reset(seed=0)
    for action in (np.ones(3), -np.ones(3), np.array([0.3, -0.7, 0.99999])):
        env.step(action.astype(np.float32))
        assert np.isfinite(toy.got[-1]).all() and toy.got[-1] in toy.action_space
    toy.expert_action = lambda guess: np.array([4.529, 3.0, 5e19], np.float32)
    np.testing.assert_allclose(env.expert_action(), [1, 0, 0], atol=1e-6)
    wide = Toy(spaces.Box(-np.inf, np.inf, (2,)))
    env = AsymmetricWrapper(wide, Adaptation(action_low=(-3.0,), action_high=(1.0, 3.0)))
    env.reset(seed=0)
    env.step(np.array([1, 0], np.float32))
    assert wide.got[-1].tolist() == [1, 0]
    for bounds in (((1.0,), (-1.0,)), ((1.0, 2.0, 3.0), (5.0,))):
        with pytest.raises(UserError, match=r"config_env\.action_low/action_high"):
            AsymmetricWrapper(wide, Adaptation(action_low=bounds[0], action_high=bounds[1]))


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([3, 2]), spaces.MultiDiscrete([[2, 2]], start=[[1, 5]])])
def test_choices_at_once_are_numbered(space):
    env = AsymmetricWrapper(toy := Toy(space))
    env.reset(seed=0)
    for action in range(env.action_space.n):
        env.step(np.int64(action))
        assert toy.got[-1] in space
        assert env.actions.from_native(toy.got[-1]) == action
    assert len({tuple(native.ravel()) for native in toy.got}) == env.action_space.n == np.prod(space.nvec)
    assert env.spec_sizes.discrete and env.spec_sizes.action_dim == env.action_space.n
    assert AsymmetricWrapper(Toy(spaces.MultiBinary(3))).action_space.n == 8


def test_rewards_and_flags_of_one_entry_and_actions_with_an_item_are_taken():
    episodes = played(config_of("Arrays"), 50)
    assert {len(episode) for episode in episodes} == {4}
    assert 0.2 < statistics(episodes)["return"] < 0.8
    toy = Toy()
    toy.step = lambda action: (np.zeros(2), np.zeros(2), False, False, {})
    env = AsymmetricWrapper(toy)
    env.reset(seed=0)
    with pytest.raises(UserError, match=r"a reward of Toy has shape \(2,\)"):
        env.step(0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e39])
@pytest.mark.parametrize(("where", "name"), [("obs", "an observation"), ("state", "a state"), ("reward", "a reward")])
def test_what_is_no_number_is_named_before_it_is_stored(where, name, value):
    """Nor one that float32 can hold; of an observation and a state it is made infinite before."""
    config = config_of("Broken", kwargs={"where": where, "value": value})
    said = "-inf" if value == -1e39 and where != "reward" else str(value).replace("+", r"\+")
    with np.errstate(over="ignore"), pytest.raises(UserError) as caught:
        played(config, 2, num_envs=2)
    assert re.match(rf"config_env\.id: Broken-v0 gave {name} with {said} in it at step \d of", str(caught.value))


MISBEHAVING = {
    "success of two": (
        "tell",
        {"success": np.array([True, False])},
        r"the success of Base has shape \(2,\), one",
    ),
    "success in words": ("tell", {"is_success": "yes"}, r"the success of Base is 'yes', which is no number"),
    "success no number": ("tell", {"success": float("nan")}, "the success of Base is nan, which is neither true nor"),
    "ending untold": ("step", (np.zeros(2), 0.0, None, False, {}), "the terminated of Base is None, which is no"),
    "cut off in words": ("step", (np.zeros(2), 0.0, False, "no", {}), "the truncated of Base is 'no', which is no"),
    "info no dict": ("tell", [], "the info of Base is a list, a dict is needed"),
    "complex reward": ("pay", 1j, r"a reward of Base is 1j, which is no number"),
    "complex array": ("pay", np.array([1 + 1j]), "a reward of Base is .*, which is no number"),
    "no reward": ("pay", None, "a reward of Base is None, which is no number"),
    "observation in words": ("observe", "high", r"the observations of Base are not of their space, Box\(.*: could not"),
}


@pytest.mark.parametrize("case", MISBEHAVING)
def test_what_an_env_should_not_tell_is_one_line(case):
    method, told, said = MISBEHAVING[case]
    env = AsymmetricWrapper(toy := strangers.Base())
    env.reset(seed=0)
    setattr(toy, method, lambda *given: told)
    with pytest.raises(UserError, match=rf"^config_env\.id: {said}") as caught:
        env.step(0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("space", "inside", "outside"),
    [
        (spaces.Discrete(3, start=2), (2, 4), (1, 5)),
        (spaces.MultiDiscrete([2, 3]), ([0, 0], [1, 2]), ([-1, 0], [1, 3])),
        (spaces.Dict(a=spaces.Discrete(2)), ({"a": 1},), ({"a": -1}, {"b": 1}, {})),
    ],
)
def test_an_observation_outside_of_its_space_is_one_line(space, inside, outside):
    toy = strangers.Base()
    toy.observation_space = space
    env = AsymmetricWrapper(toy)
    for value in (*inside, *outside):
        toy.observe = lambda value=value: value
        if value in inside:
            env.reset(seed=0)
            continue
        with pytest.raises(UserError, match=r"^config_env\.id: the observations of Base are not of their space"):
            env.reset(seed=0)


def test_an_expert_whose_action_is_of_another_shape_is_one_line():
    toy = Toy(spaces.Box(-1.0, 1.0, (1,)))
    toy.expert_action = lambda guess: np.zeros(4)
    with pytest.raises(UserError, match=r"^config_env\.id: the expert of Toy gives array\(\[0.*actions, .* of Box"):
        AsymmetricWrapper(toy).expert_action()


@pytest.mark.parametrize(
    ("space", "right", "plain", "wrong"),
    [
        (spaces.Discrete(3, start=2), 4, 2, (0, 1, 5, 2.5, None, [2, 3], [2, [3]])),
        (spaces.MultiDiscrete([2, 3]), [1, 2], 5, ([1, 3], [-1, 0], [1, 0.5], 1)),
        (spaces.MultiBinary(2), [1, 0], 2, ([2, 0],)),
        (spaces.Box(0.0, 2.0, (2,)), [0.0, 5.0], [-1.0, 1.0], ([0.0, np.nan], [1.0, 1.0, 1.0], "up")),
    ],
)
def test_an_expert_answers_in_the_envs_own_actions(space, right, plain, wrong):
    env = AsymmetricWrapper(toy := Toy(space))
    toy.expert_action = lambda guess: right
    np.testing.assert_array_equal(env.expert_action(), plain)
    for action in wrong:
        toy.expert_action = lambda guess, action=action: action
        with pytest.raises(UserError, match=r"^config_env\.id: the expert of Toy gives .* are of ") as caught:
            env.expert_action()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3, start=2),
        spaces.MultiDiscrete([2, 3], start=[-1, 1]),
        spaces.MultiDiscrete([[2, 2], [3, 2]]),
        spaces.MultiBinary(2),
        spaces.Box(-2.0, 6.0, (2,)),
    ],
)
def test_what_is_written_of_actions_turns_them_into_the_envs_own(space):
    actions = AsymmetricWrapper(Toy(space)).actions
    about = actions.to_json()
    for count in (1, 2, 4):
        ours = actions.batch_from_native([space.sample() for _ in range(count)])
        names = {
            "numpy": np,
            "action": ours,
            **{name: np.array(about[name]) for name in ("low", "high") if name in about},
        }
        theirs = eval(about["env_action"], {**about, **names})  # as who deploys the policy would
        np.testing.assert_allclose(theirs, actions.batch_to_native(ours), atol=1e-6)
        assert np.shape(theirs)[0] == count


@pytest.mark.parametrize("num_envs", [1, 2])
@pytest.mark.parametrize("where", ["init", "reset", "step", "state", "expert"])
def test_an_error_of_the_envs_own_names_the_field(where, num_envs):
    """Whatever it is, with itself as the cause."""
    for kind in (KeyError, MemoryError, OSError):
        config = config_of("Failing", kwargs={"where": where, "kind": kind.__name__})
        with pytest.raises(ForeignError, match=rf"^config_env\.id: Failing-v0 raised {kind.__name__}: ") as caught:
            envs = make_vector_env(config, num_envs, seed=0)
            envs.reset(seed=0)
            envs.step(np.zeros(num_envs, np.int64))
            envs.expert_action(np.zeros(num_envs, bool))
        assert isinstance(caught.value.__cause__, kind) and "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["init", "reset", "step", "state", "expert"])
def test_an_env_that_calls_sys_exit_does_not_end_the_script_without_a_word(where):
    config = config_of("Failing", kwargs={"where": where, "kind": "SystemExit"})
    with pytest.raises(ForeignError, match=r"^config_env\.id: Failing-v0 raised RuntimeError: it called sys\.exit\("):
        envs = make_vector_env(config, 2, seed=0)
        envs.reset(seed=0)
        envs.step(np.zeros(2, np.int64))
        envs.expert_action(np.zeros(2, bool))


ASKED = {
    "belief": (np.zeros((1, 2)), np.zeros(0), False),
    "last_beliefs": ([],),
    "factors": (np.zeros((1, 2)), np.zeros((1, 2))),
    "informed_actions": (np.zeros((1, 2)),),
    "saw_information": (),
}


@pytest.mark.parametrize("as_property", [False, True])
@pytest.mark.parametrize("name", ASKED)
def test_nor_does_one_that_calls_it_where_it_is_asked_what_it_knows(name, as_property):
    def leave(*_):
        raise SystemExit(0)

    box = spaces.Box(-1, 1, (2,))
    told = {"observation_space": box, "state_space": box, "action_space": spaces.Discrete(2)}
    told["reset"] = lambda self, *, seed=None, options=None: (np.zeros(2, np.float32), {})
    told["get_state"] = lambda self: np.zeros(2, np.float32)
    told["belief"] = lambda self, *asked: None
    env = AsymmetricWrapper(type("Leaving", (gym.Env,), told | {name: property(leave) if as_property else leave})())
    env.reset()
    with pytest.raises(ForeignError, match=r"raised RuntimeError: it called sys\.exit\(0\)"):
        getattr(env, name)(*ASKED[name])


@pytest.mark.parametrize("field", ["module", "state_fn", "wrappers", "vector_entry"])
@pytest.mark.parametrize("line", ["raise KeyError('x')", "nothing", "import sys; sys.exit()", "1 +"])
def test_what_a_module_raises_when_it_is_imported_names_its_field(field, line, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    name = f"raising_{field}_{len(line)}"
    (tmp_path / f"{name}.py").write_text(f"{line}\n")
    config = with_fields(config_of("Base"), horizon=10)
    with_fields(config, **{"module": ""} if field == "vector_entry" else {})
    with_fields(config, **{field: name if field == "module" else f"{name}:Thing"})
    with pytest.raises(ForeignError, match=rf"^config_env\.{field}: {name} raised "):
        make_vector_env(config, 2, seed=0)


def test_an_error_of_a_state_function_names_it():
    config = config_of("Base", state_fn="envs.make:make_env")
    with pytest.raises(ForeignError, match=r"^config_env\.state_fn: envs\.make:make_env raised AttributeError: "):
        make_env(config)


class TestKeys:
    """Dict observations."""

    SPACE = spaces.Dict(
        policy=spaces.Box(-9, 9, (2,)), critic=spaces.Dict(h=spaces.Discrete(3), x=spaces.Box(-9, 9, (1,))),
        words=spaces.Sequence(spaces.Discrete(2)),
    )  # fmt: skip
    VALUE = {"policy": np.array([1.0, 2.0]), "critic": {"h": 2, "x": np.array([7.0])}, "words": (1,)}

    def env(self, **fields):
        toy = Toy(observations=self.SPACE)
        toy.reset = lambda seed=None, options=None: (self.VALUE, {})
        return AsymmetricWrapper(toy, Adaptation(**fields))

    @pytest.mark.parametrize(
        ("obs_keys", "state_keys", "obs", "state"),
        [
            (("policy",), ("critic",), [1, 2], [0, 0, 1, 7]),
            ("critic.x, policy", "policy", [7, 1, 2], [1, 2]),
            ("policy", ("critic.x", "critic.h"), [1, 2], [7, 0, 0, 1]),
        ],
    )
    def test_are_chosen_by_name_and_in_order(self, obs_keys, state_keys, obs, state):
        views, _ = self.env(obs_keys=obs_keys, state_keys=state_keys).reset()
        assert (views["obs"].tolist(), views["state"].tolist()) == (obs, state)

    def test_are_hidden_by_their_place_in_what_is_chosen(self):
        env = self.env(obs_keys="critic.x,policy", state_fn="observation", hidden=(0,))
        views, _ = env.reset()
        assert (views["obs"].tolist(), views["state"].tolist()) == ([1, 2], [7, 1, 2])

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({}, r"config_env\.obs_keys: .* cannot be flattened .*; name those that can, as in .*=policy,critic"),
            ({"obs_keys": "polcy"}, r"config_env\.obs_keys: .* have no key 'polcy'; choose from policy, critic, words"),
            ({"obs_keys": "policy.x"}, r"config_env\.obs_keys: .* have no keys"),
            ({"obs_keys": "policy", "state_keys": "words"}, r"config_env\.state_keys: .* cannot be flattened"),
            (
                {"obs_keys": "policy", "state_keys": "a", "state_fn": "observation"},
                r"config_env\.state_keys: the state",
            ),
            ({"obs_keys": "policy", "hidden": "velocity"}, r"config_env\.hidden: which entries are velocities"),
            ({"obs_keys": "policy", "image": ImageOptions("hwc")}, r"config_env\.obs_image: .* are no image"),
        ],
    )
    def test_that_cannot_be_used_are_named(self, fields, message):
        with pytest.raises(UserError, match=message):
            self.env(**fields)

    def test_of_another_space_are_refused(self):
        with pytest.raises(UserError, match=r"config_env\.obs_keys: .* have no keys"):
            AsymmetricWrapper(Toy(), Adaptation(obs_keys="a"))


def test_an_image_is_resized_made_gray_and_kept_in_bytes():
    toy = strangers.Red()
    toy.image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    env = AsymmetricWrapper(toy, Adaptation(image=ImageOptions("hwc", (4, 2), True), state_fn="observation"))
    spec = env.spec_sizes
    assert (spec.obs_image_shape, spec.obs_storage, spec.obs_dim) == ((1, 4, 2), ((0.0, 1.0, 8),), 8)
    assert (spec.state_image_shape, spec.state_storage) == (spec.obs_image_shape, spec.obs_storage)
    luma = toy.image @ np.array([0.299, 0.587, 0.114])
    by_hand = luma.reshape(4, 2, 2, 4).mean((1, 3)) / 255
    row = env.reset(seed=0)[0]["obs"]
    np.testing.assert_allclose(row.reshape(4, 2), by_hand, atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(row * 255, np.rint(row * 255), atol=1e-4)


def test_what_acting_sees_is_what_the_replay_gives_back():
    import torch

    from buffers.images import row_storages

    toy = strangers.Red()
    toy.image = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    env = AsymmetricWrapper(toy, Adaptation(image=ImageOptions("hwc")))
    row = env.reset(seed=0)[0]["obs"][None]
    storage = row_storages(env.spec_sizes)["obs"]
    stored = storage.encode(row)
    assert stored.dtype == np.uint8 and stored.nbytes == 192
    np.testing.assert_array_equal(storage.decode(torch.from_numpy(stored)).numpy(), row)


def test_bytes_that_are_no_image_are_kept_as_bytes_but_not_scaled():
    import torch

    from buffers.images import row_storages

    toy = strangers.Red(layout="flat")
    toy.image[:] = np.arange(192)
    for hidden, count in (((), 192), ((5, 6), 190)):
        env = AsymmetricWrapper(toy, Adaptation(hidden=hidden))
        views, _ = env.reset(seed=0)
        storages = row_storages(env.spec_sizes)
        for name, view in views.items():
            stored = storages[name].encode(view[None])
            assert stored.nbytes == stored.size == (count if name == "obs" else 192)
            np.testing.assert_array_equal(storages[name].decode(torch.from_numpy(stored))[0], view)
        assert views["obs"].max() == 191


def test_wrappers_are_named_in_the_config():
    config = with_fields(config_of("Lever"), wrappers=(f"{MODULE}:Halved", f"{MODULE}:OtherState"))
    env = make_env(config)
    assert env.reset(seed=0)[0]["state"].tolist() == [0.25, 0.5, 0.75]
    np.testing.assert_allclose(env.expert_action(), [0.9], rtol=1e-6)
    for name, message in (
        ("nothing", r"config_env\.wrappers: 'nothing' is not 'package\.module:Class'"),
        (f"{MODULE}:Nothing", r"config_env\.wrappers: cannot import"),
        (f"{MODULE}:three", r"config_env\.wrappers: cannot import"),
        ("gymnasium.wrappers:RescaleAction", r"config_env\.wrappers: .*RescaleAction does not take the env"),
        ("builtins:str", r"config_env\.wrappers: builtins:str makes no env"),
    ):
        with pytest.raises(UserError, match=message):
            make_env(with_fields(config, wrappers=(name,)))


WRONGLY_TOLD = {
    "three names of two entries": ({"state_features": ("a", "b", "c")}, r"state_features=.* the state has 2"),
    "names that are none": ({"state_features": (1, 2)}, "state_features=.* are not the names"),
    "storage of too many": ({"obs_storage": ((0, 1, 8),) * 2}, r"obs_storage=.* of 1 channels"),
    "storage of four bits": ({"state_storage": ((0, 1, 4),)}, "state_storage=.* is not .low, high, bits of 0, 1 or 8"),
    "storage that is no tuple of them": ({"obs_storage": (0, 1, 8)}, "obs_storage="),
}


@pytest.mark.parametrize("name", WRONGLY_TOLD)
def test_what_an_env_tells_of_its_views_must_fit_them(name):
    attributes, message = WRONGLY_TOLD[name]
    shape = {"obs_image_shape": (1, 1, 2), "state_image_shape": (1, 1, 2)} if "storage" in name else {}
    with pytest.raises(UserError, match=rf"^config_env\.id: {message}"):
        AsymmetricWrapper(type("Telling", (strangers.Base,), attributes | shape)())
    fitting = type("Telling", (strangers.Base,), shape | {"state_features": ("a", "b")[: 1 if shape else 2]})()
    assert AsymmetricWrapper(fitting).spec_sizes.state_features


def test_values_beyond_what_an_env_declares_are_one_line():
    told = {"obs_image_shape": (1, 1, 2), "obs_storage": ((0.0, 0.5, 8),)}
    monkey = type("Beyond", (strangers.Base,), told)
    envs = SyncAsymmetricVectorEnv([lambda: AsymmetricWrapper(monkey(), max_episode_steps=4)] * 2)
    with pytest.raises(UserError, match=r"^config_env\.id: obs_storage of Beyond: channel 0 is declared as"):
        run_episodes(envs, RandomPolicy(2, True, np.random.default_rng(0)), 4, seed=0)


def belief_of(rows):
    return Belief(("left", "right"), np.full((rows, 2), 0.5))


THREE = (np.zeros((3, 2)),)
HOOKS = {
    "a belief one row short": ("belief", lambda *_: belief_of(2), (*THREE, np.zeros(2), False), r"\(2, 2\) to 2"),
    "a belief that is none": ("belief", lambda *_: 0.5, (*THREE, np.zeros(2), False), "is a float"),
    "too few last beliefs": ("last_beliefs", lambda *_: [], ([None, None],), "tells 0 last_beliefs of 2"),
    "last beliefs of all rows": ("last_beliefs", lambda *_: [belief_of(2)], ([None],), "at 1 rows is"),
    "labels in place of a factor": ("factors", lambda *_: {"h": np.zeros(3)}, THREE * 2, "'h' .*ndarray"),
    "a factor hidden everywhere": (
        "factors", lambda *_: {"h": Factor(np.zeros(3, np.int64), True)}, THREE * 2, "each of 3 rows",
    ),
    "actions that are none": ("informed_actions", lambda *_: np.ones((3, 1)), THREE, r"are \(3, 1\); \(3, 2\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOOKS)
def test_what_an_env_tells_of_what_there_is_to_know_is_looked_at(name):
    hook, method, asked, message = HOOKS[name]
    env = AsymmetricWrapper(type("Telling", (strangers.Base,), {hook: lambda self, *given: method(*given)})())
    env.reset(seed=0)
    with pytest.raises(UserError, match=rf"^config_env\.id: .*{message}"):
        getattr(env, hook)(*asked)


def test_what_it_tells_rightly_is_taken():
    factor = Factor(np.zeros(3, np.int64), np.ones(3, bool))
    hooks = {
        "belief": lambda self, obs_RO, *_: belief_of(len(obs_RO)),
        "factors": lambda self, *_: {"h": factor},
        "informed_actions": lambda self, state_RS: np.ones((len(state_RS), 2), int) if len(state_RS) else None,
    }
    env = AsymmetricWrapper(type("Telling", (strangers.Base,), hooks)())
    env.reset(seed=0)
    assert env.belief(np.zeros((3, 2)), np.zeros(2), False).probability_RK.shape == (3, 2)
    assert env.factors(np.zeros((3, 2)), np.zeros((3, 2))) == {"h": factor}
    assert env.informed_actions(np.zeros((3, 2))).dtype == bool and env.informed_actions(np.zeros((0, 2))) is None


class Drawn(strangers.Base):
    """Draws, though nobody can ask it to when it is made."""

    def render(self):
        return np.full((4, 6, 3), self.t, np.uint8)


class Unread(strangers.Base):
    """Fails as it is made, of its own."""

    def __init__(self, size=3):
        raise ValueError("I could not read my map")


class Needy(strangers.Base):
    """Is made of something."""

    def __init__(self, size):
        self.size = size


for kind in (Drawn, Unread, Needy):
    gym.register(f"{kind.__name__}-v0", entry_point=kind, max_episode_steps=4)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_an_env_that_takes_no_render_mode_is_drawn_all_the_same():
    envs = make_vector_env(config_of("Drawn"), 1, seed=0, render_mode="rgb_array")
    envs.reset(seed=0)
    assert envs.render_frame().shape == (4, 6, 3)
    with pytest.raises(UserError, match=r"Base-v0 .*draw"):
        blind = make_vector_env(config_of("Base"), 1, seed=0, render_mode="rgb_array")
        blind.reset(seed=0)
        blind.render_frame()


def test_what_an_env_raises_as_it_is_made_is_its_own_where_nothing_is_given():
    with pytest.raises(ForeignError, match=r"^config_env\.id: Unread-v0 raised ValueError: I could not read my map"):
        make_env(config_of("Unread"))
    with pytest.raises(UserError, match=r"^config_env\.kwargs: Unread-v0 does not take \{'size': 4\}"):
        make_env(config_of("Unread", kwargs={"size": 4}))
    with pytest.raises(UserError, match=r"^config_env\.kwargs: Needy-v0 does not take \{\} \(.*'size'"):
        make_env(config_of("Needy"))
