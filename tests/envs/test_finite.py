"""Finite POMDPs: beliefs against all histories that there are, draws against their tables, envs against their model."""

from dataclasses import replace
from itertools import product

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from configs.envs import car_flag_1d, heaven_hell, pomdp_file
from envs.car_flag import CarFlag2DRules
from envs.finite import Draws, Filter, RewardEntries, dense, entries_of, informed_values, matrices
from envs.finite_rules import FiniteRules
from envs.heaven_hell import HeavenHellRules
from envs.make import make_env, make_vector_env, model_of
from envs.pomdp_format import read_pomdp
from envs.sphinx import SphinxRules
from policies.exact.histories import belief_graph
from policies.exact.tabular import settled, value_iteration
from tests.helpers.pomdps import FILES, TIGER, drawn_pomdp, needs_files
from utils.errors import UserError

TOLD = """
discount: 0.9
values: reward
states: left right over
actions: ask go-left go-right
observations: none left right
start: 0.5 0.5 0
T: * identity
T: go-left : * reset
T: go-right : * reset
O: * : * : none 1
O: ask : left 0 1 0
O: ask : right 0 0 1
R: ask : * : * : * -1
R: go-left : left : * : * 10
R: go-right : right : * : * 10
"""


@pytest.fixture
def file(tmp_path):
    def of(text, **kwargs):
        (tmp_path / "domain.pomdp").write_text(text)
        config = pomdp_file.get_config()
        with config.unlocked():
            config.kwargs.update(path=str(tmp_path / "domain.pomdp"), **kwargs)
        return config

    return of


def sparse(pomdp):
    """The same domain in sparse matrices."""
    csr_array = pytest.importorskip("scipy.sparse").csr_array
    many = {
        name: tuple(map(csr_array, getattr(pomdp, name))) for name in ("transition_ASE", "ends_ASE", "observation_AEO")
    }
    return replace(pomdp, first_SO=csr_array(pomdp.first_SO), **many)


def by_enumeration(pomdp, obs, actions, terminated):
    """The belief at the last row: the weights of all paths of states that could have led there."""
    weight_S = np.zeros(len(pomdp.start_S))
    for path in product(range(len(weight_S)), repeat=len(obs)):
        weight = pomdp.start_S[path[0]] * pomdp.first_SO[path[0], obs[0]]
        for t, action in enumerate(actions):
            s, e = path[t], path[t + 1]
            end = pomdp.ends_ASE[action][s, e]
            weight *= pomdp.transition_ASE[action][s, e] * pomdp.observation_AEO[action][e, obs[t + 1]]
            weight *= end if terminated and t == len(actions) - 1 else 1 - end
        weight_S[path[-1]] += weight
    return weight_S


@pytest.mark.parametrize("form", [lambda pomdp: pomdp, sparse], ids=["dense", "sparse"])
def test_beliefs_are_those_of_all_histories(form):
    rng, explained = np.random.default_rng(0), 0
    for _ in range(60):
        pomdp = drawn_pomdp(rng)
        beliefs = Filter(form(pomdp))
        obs, actions, terminated = rng.integers(2, size=5), rng.integers(2, size=4), bool(rng.integers(2))
        weights = [by_enumeration(pomdp, obs[: t + 1], actions[:t], terminated and t == 4) for t in range(5)]
        if not weights[0].any():
            continue  # nothing starts like that
        impossible = next((t for t in range(5) if not weights[t].any()), None)
        if impossible is not None:
            with pytest.raises(ValueError, match=f"no state explains row {impossible}"):
                beliefs.episode(obs, actions, terminated)
            continue
        explained += 1
        expected = [weight / weight.sum() for weight in weights]
        np.testing.assert_allclose(beliefs.episode(obs, actions, terminated), expected, atol=1e-14)
    assert explained > 20


@pytest.mark.parametrize("form", [lambda pomdp: pomdp, sparse], ids=["dense", "sparse"])
def test_many_beliefs_are_each_by_itself(form):
    rng = np.random.default_rng(1)
    pomdp = form(drawn_pomdp(rng, states=5, actions=3, observations=4))
    beliefs, belief = Filter(pomdp), rng.dirichlet(np.ones(5), size=200)
    action, obs = rng.integers(3, size=200), rng.integers(4, size=200)
    total = sum(beliefs.weights(belief, action, np.full(200, o)).sum(axis=1) for o in range(4))
    ended = sum(beliefs.weights(belief, action, np.full(200, o), ended=True).sum(axis=1) for o in range(4))
    np.testing.assert_allclose(total + ended, 1)  # it goes on or ends, and something is seen
    together = beliefs.after(belief, action, obs)
    for i in range(0, 200, 20):
        one = slice(i, i + 1)
        np.testing.assert_allclose(together[one], beliefs.after(belief[one], action[one], obs[one]), atol=1e-15)


def test_nothing_seen_after_an_action_is_no_episode(file):
    model = model_of(file(TIGER))
    with pytest.raises(ValueError, match="row 0 has no observation"):
        Filter(model).after(model.start_S[None], np.zeros(1, np.intp), np.array([-1]))
    with pytest.raises(ValueError, match="row 2"):
        Filter(model).episode(np.array([-1, 0, -1]), np.zeros(2, np.intp), False)


def test_the_tiger_behind_the_left_door(file):
    model = model_of(file(TIGER))
    heard = Filter(model).episode(np.array([-1, 0, 0, 1]), np.zeros(3, np.intp), False)[:, 0]
    np.testing.assert_allclose(heard, [0.5, 0.85, 0.85**2 / (0.85**2 + 0.15**2), 0.85], rtol=1e-14)


def test_draws_follow_the_table_and_never_leave_a_row():
    rng = np.random.default_rng(0)
    table = np.where(rng.random((7, 9)) < 0.5, 0, rng.random((7, 9)))
    table[:, 4] += 0.01
    table /= table.sum(axis=1, keepdims=True)
    draws, row = Draws(entries_of(table), 7), np.repeat(np.arange(7), 200_000)
    column = draws.column[draws(rng, row)]
    share = np.bincount(row * 9 + column, minlength=63).reshape(7, 9) / 200_000
    assert not share[table == 0].any()
    assert (abs(share - table) <= 5 * np.sqrt(table * (1 - table) / 200_000)).all()

    class Last:
        def random(self, num):
            return np.full(num, 1 - 2**-53)

    many = Draws((np.repeat(np.arange(10**6), 2), np.tile([0, 1], 10**6), np.full(2 * 10**6, 0.5)), 10**6)
    np.testing.assert_array_equal(many(Last(), np.arange(10**6)), 2 * np.arange(10**6) + 1)


def test_steps_are_those_of_the_model():
    rng = np.random.default_rng(0)
    pomdp = drawn_pomdp(rng, states=3, actions=2, observations=2)
    entries = RewardEntries(rng.integers(-1, [2, 3, 3, 2], size=(20, 4)), rng.normal(size=20), (2, 3, 3, 2))
    rules, num = FiniteRules(replace(pomdp, reward=entries)), 400_000
    joint = rules.initial(rng, num)
    first = np.bincount((joint[:, 0] * 2 + joint[:, 1]).astype(int), minlength=6).reshape(3, 2) / num
    np.testing.assert_allclose(first, pomdp.start_S[:, None] * pomdp.first_SO, atol=5e-3)
    action = rng.integers(2, size=num)
    after = rules.step(rng, joint, action)
    s, e, o = joint[:, 0].astype(int), after[:, 0].astype(int), after[:, 1].astype(int)
    np.testing.assert_array_equal(rules.reward(after), entries(action, s, e, o))
    over = rules.ends(after)
    np.testing.assert_array_equal(rules.success(after), over & (rules.reward(after) > 0))
    for a, state in product(range(2), range(3)):
        some = (action == a) & (s == state)
        if not some.sum():
            continue
        seen = np.zeros((3, 2, 2))
        np.add.at(seen, (e[some], o[some], over[some].astype(int)), 1 / some.sum())
        move, end = pomdp.transition_ASE[a][state], pomdp.ends_ASE[a][state]
        expected = (move * np.stack([1 - end, end]))[..., None] * pomdp.observation_AEO[a]
        np.testing.assert_allclose(seen.transpose(2, 0, 1), expected, atol=2.5 / np.sqrt(some.sum()))


@pytest.mark.parametrize("rules_type", [HeavenHellRules, SphinxRules, CarFlag2DRules])
def test_the_models_of_grids_are_their_rules(rules_type):
    if rules_type is CarFlag2DRules:
        pytest.importorskip("scipy")
    rules, rng = rules_type(), np.random.default_rng(0)
    model, beliefs = rules.model, rules._filter
    starts = rules.initial(rng, 20_000)
    number = {joint: m for m, joint in enumerate(rules._open_M.tolist())}
    assert model.start_S[[number[joint] for joint in starts.tolist()]].min() > 0
    assert model.start_S.sum() == pytest.approx(1)
    joint = rules._open_M[~rules.ends_J[rules._open_M]]
    some = rng.choice(len(joint), 20, replace=False)
    before = np.zeros((20, len(model.states)))
    before[np.arange(20), [number[j] for j in joint[some].tolist()]] = 1
    for action in range(4):
        after = rules.step(rng, joint, np.full(len(joint), action))
        here, there = [number[j] for j in joint.tolist()], [number[j] for j in after.tolist()]
        np.testing.assert_array_equal(model.reward_SA[here, action], rules.reward(after))
        ends = np.isin(here, entries_of(model.ending(action))[0])
        np.testing.assert_array_equal(ends, rules.ends(after))
        moved = before @ model.transition_ASE[action]
        np.testing.assert_array_equal(moved.argmax(axis=1), np.array(there)[some])
    over = np.flatnonzero(rules.ends_J[rules._open_M])
    assert not model.reward_SA[over].any()  # what comes after the end
    assert len(beliefs.pomdp.observations) == len(np.unique(rules.observe(rules._open_M), axis=0))


def test_the_value_of_knowing_the_state(file):
    tiger = model_of(file(TIGER, continuing=True))
    np.testing.assert_allclose(informed_values(tiger), [[189, 90, 200], [189, 200, 90]], rtol=1e-8)  # 10 / (1 - 0.95)
    once = model_of(file(TIGER))
    np.testing.assert_allclose(informed_values(once), [[8.5, -100, 10], [8.5, 10, -100]])
    config = file(TOLD)
    env = make_env(config)
    np.testing.assert_array_equal(env.informed_actions(np.eye(3)[:2]), np.eye(3, dtype=bool)[1:])


def test_the_value_of_knowing_the_state_is_a_bound_wherever_it_stops():
    model = replace(drawn_pomdp(np.random.default_rng(0), ends=0.0), discount=0.9999)
    best_S, every = np.zeros(3, int), np.arange(3)
    for _ in range(10):  # policy iteration
        moved_SE = np.stack(model.transition_ASE)[best_S, every]
        value_S = np.linalg.solve(np.eye(3) - model.discount * moved_SE, model.reward_SA[every, best_S])
        exact_SA = model.reward_SA + model.discount * (np.stack(model.transition_ASE) @ value_S).T
        best_S = exact_SA.argmax(axis=1)
    for most in (10, 10_000):
        with pytest.warns(UserWarning, match="not converged"):
            value_SA = informed_values(model, most=most)
        assert (value_SA > exact_SA + 1).all()
    with pytest.warns(UserWarning, match="no bound"):
        informed_values(replace(model, discount=1.0), most=10)


@needs_files
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_heaven_is_2n_and_one_steps_away_for_who_knows(n):
    model = read_pomdp(FILES / f"heavenhell_{n}.pomdp")
    assert len(model.states) == 2 * (4 * n + 2)
    assert model.start_S @ informed_values(model).max(axis=1) == pytest.approx(0.99 ** (2 * n))


def start_value(model):
    """Of the best policy, where there are few beliefs to come by."""
    graph = belief_graph(model)
    values, _ = settled(value_iteration(graph, np.zeros(graph.child_HAO.shape[:2])), 1e-10)
    return graph.first_R @ values.q_HA[: len(graph.first_R)].max(axis=1)


@needs_files
@pytest.mark.parametrize(
    ("name", "lower", "upper"),
    [
        *(("tiger", 19.3713, 19.3714), ("1d", 1.2603, 1.2613), ("loadunload", 4.5627, 4.5633)),
        *(("heavenhell_1", 13.8586, 13.8587), ("heavenhell_3", 6.20, 6.93)),
    ],
)
def test_files_are_worth_what_another_solver_says(name, lower, upper):
    value = start_value(read_pomdp(FILES / f"{name}.pomdp", continuing=True))
    assert lower - 1e-4 <= value <= upper + 1e-4


@needs_files
@pytest.mark.parametrize("n", [1, 2, 3])
def test_heaven_is_4n_and_three_steps_away_for_who_asks(n):
    assert start_value(read_pomdp(FILES / f"heavenhell_{n}.pomdp")) == pytest.approx(0.99 ** (4 * n + 2))


def test_a_file_is_an_env_of_gymnasium(file):
    config = file(TOLD)
    env = gym.make("PomdpFile-v0", **config.kwargs.to_dict()).unwrapped
    check_env(env, skip_render_check=True)
    obs, _ = env.reset(seed=0)
    assert not obs.any()  # nothing is seen before the first action
    side = int(env.get_state().argmax())
    obs, reward, terminated, _, info = env.step(0)
    assert (obs.argmax(), reward, terminated, info["success"]) == (1 + side, -1, False, False)
    assert env.factors(obs[None], env.get_state()[None])["state"].hidden_R.tolist() == [False]
    obs, reward, terminated, _, info = env.step(1 + side)
    assert (reward, terminated, info["success"]) == (10, True, True)
    env.reset(options={"state": np.array([0, 1, 0], np.float32)})
    assert env.get_state().tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="row 0 is no state"):
        env.reset(options={"state": np.array([0, 0.5, 0], np.float32)})
    with pytest.raises(ValueError, match="0 ask, 1 go-left, 2 go-right"):
        env.step(3)


def test_views_by_number(file):
    env = make_env(file(TOLD, one_hot=False))
    views, _ = env.reset(seed=0)
    assert (views["obs"].tolist(), views["state"].shape) == ([3], (1,))  # 3 stands for nothing yet
    after = env.step(0)[0]
    assert after["obs"] == 1 + after["state"]
    belief = env.belief(np.stack([views["obs"], after["obs"]]), np.array([0]), False)
    np.testing.assert_array_equal(belief.probability_RK[1], np.eye(3)[int(after["state"][0])])


def test_a_first_observation_is_drawn_where_it_is_asked_for(file):
    envs = make_vector_env(file(TIGER, first_observation="listen"), 20_000, seed=0)
    views, _ = envs.reset(seed=0)
    assert (views["obs"].sum(axis=1) == 1).all()
    assert (views["obs"] == views["state"]).all(axis=1).mean() == pytest.approx(0.85, abs=0.01)
    with pytest.raises(
        UserError, match=r"kwargs.first_observation: 'shout' is no action .*'' for no observation, or list"
    ):
        make_env(file(TIGER, first_observation="shout"))


def test_one_env_is_many(file):
    config = file(TIGER, first_observation="0")
    envs, env = make_vector_env(config, 1, seed=0), make_env(config)
    views, one = envs.reset(seed=5)[0], env.reset(seed=5)[0]
    rng = np.random.default_rng(0)
    for _ in range(200):
        np.testing.assert_array_equal(views["obs"][0], one["obs"])
        np.testing.assert_array_equal(views["state"][0], one["state"])
        action = rng.integers(3)
        views, reward, over, cut, info = envs.step(np.array([action]))
        one, *single = env.step(action)
        assert single[:3] == [reward[0], over[0], cut[0]]
        assert single[3]["success"] == info["success"][0]
        if over[0] or cut[0]:
            views, one = envs.reset(options={"reset_mask": over | cut})[0], env.reset()[0]


def test_put_down_and_taken_up_it_goes_on_bit_for_bit(file):
    config, rng = file(TIGER), np.random.default_rng(0)
    one, other = make_vector_env(config, 50, seed=0), make_vector_env(config, 50, seed=1)
    one.reset()
    one.step(np.zeros(50, int))
    other.load_state_dict(one.state_dict())
    for _ in range(20):
        action = rng.integers(3, size=50)
        (views, reward, over, _, _), (views_2, reward_2, over_2, _, _) = one.step(action), other.step(action)
        np.testing.assert_array_equal(views["obs"], views_2["obs"])
        np.testing.assert_array_equal((reward, over), (reward_2, over_2))
        if over.any():
            one.reset(options={"reset_mask": over})
            other.reset(options={"reset_mask": over})


def test_a_reset_ends_or_goes_on(file):
    for continuing in (False, True):
        envs = make_vector_env(file(TIGER, continuing=continuing), 100, seed=0)
        envs.reset(seed=0)
        _, reward, over, cut, info = envs.step(np.ones(100, int))
        assert set(reward) == {10, -100}
        assert over.all() != continuing
        assert not cut.any()
        one = make_env(file(TIGER, continuing=continuing))
        one.reset(seed=0)
        for said in (info, one.step(1)[-1]):
            assert ("success" in said) != continuing, "what never ends has no success to tell of"


def test_what_never_pays_at_an_end_has_no_success_to_tell_of():
    model = HeavenHellRules().model
    assert FiniteRules(model).tells_success
    never = replace(model, reward_SA=np.minimum(model.reward_SA, 0.0), reward=None)
    elsewhere = replace(never, reward_SA=np.where(never.reward_SA < 0, never.reward_SA, 1.0))  # where nothing ends
    ends = np.stack([model.ending(action).sum(axis=1) for action in range(len(model.actions))], axis=1) > 0
    elsewhere = replace(elsewhere, reward_SA=np.where(ends, -1.0, elsewhere.reward_SA))
    assert not FiniteRules(never).tells_success and not FiniteRules(elsewhere).tells_success
    assert FiniteRules(replace(never, reward=lambda *_: np.ones(1))).tells_success, "it cannot be known"


def test_pictures_show_the_state_and_what_is_seen():
    rules = FiniteRules(HeavenHellRules().model)
    frame = rules.picture(np.array([12, 3, 0, 0]), False)
    assert frame.shape == (3 * 32 + 8 + 2 * 32, 320, 3)
    assert len(np.unique(frame[40, 2 * 32 + 5])) == len(np.unique(frame[3 * 32 + 8 + 5, 3 * 32 + 5])) == 3  # both lit
    assert (rules.picture(np.array([12, -1, 0, 0]), False)[3 * 32 + 8 :] != frame[3 * 32 + 8 :]).any()
    many = FiniteRules(drawn_pomdp(np.random.default_rng(0), states=500, actions=1)).picture(
        np.array([7, 1, 0, 0]), False
    )
    assert many.shape == (22 * 13 + 8 + 32, 320, 3)


def test_who_asks_for_a_model_where_none_is_known(file):
    assert len(model_of(heaven_hell.get_config()).states) == 28
    with pytest.raises(UserError, match="CarFlag-1D-v0 is not known as a finite POMDP"):
        model_of(car_flag_1d.get_config())
    hidden = heaven_hell.get_config()
    with hidden.unlocked():
        hidden.hidden = (2,)
    with pytest.raises(UserError, match="not known as a finite POMDP"):
        model_of(hidden)
    for wrong, message in (
        ({"path": ""}, "kwargs.path: '' is no file"),
        ({"path": "no.pomdp"}, "kwargs.path: no.pomdp"),
    ):
        config = pomdp_file.get_config()
        with config.unlocked():
            config.kwargs.update(wrong)
        with pytest.raises(UserError, match=message):
            make_vector_env(config, 2, seed=0)


def test_small_matrices_are_dense_and_large_ones_what_is_less():
    pytest.importorskip("scipy")
    few = (np.array([0]), np.array([1]), np.array([0.5]))
    assert dense(matrices([few], (2, 2), "")[0]).tolist() == [[0, 0.5], [0, 0]]
    assert isinstance(matrices([few], (2, 2), "")[0], np.ndarray)
    assert not isinstance(matrices([few], (1000, 1000), "")[0], np.ndarray)
    full = entries_of(np.ones((1000, 1000)))
    assert isinstance(matrices([full], (1000, 1000), "")[0], np.ndarray)
