import json
import warnings
from collections import Counter

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from scipy.stats import chi2_contingency, chisquare

import envs as _envs  # noqa: F401 registers the ids
from envs.sphinx import SphinxRules
from tests.envs.reference import WORLDS
from tests.helpers.pomdps import optimal_returns

IDS = sorted(WORLDS)
SIZES = {"HeavenHell-v0": 3, "HeavenHell-6x9-v0": 3, "CarFlag-2D-v0": 242, "Sphinx-v0": 72}
IMAGES = {"CarFlag-2D-v0": (2, 11, 11), "Sphinx-v0": (2, 6, 6)}


def make_vec(env_id, num_envs, **kwargs):
    return gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=AutoresetMode.DISABLED, **kwargs)


def play(envs, steps, rng):
    """Random steps with resets of ended envs; everything that came out."""
    trace = []
    for _ in range(steps):
        out = envs.step(rng.integers(4, size=envs.num_envs))
        trace += [*out[:4], out[4]["success"], envs.get_state(), envs.saw_information()]
        ended = out[2] | out[3]
        if ended.any():
            trace.append(envs.reset(options={"reset_mask": ended})[0])
    return trace


def same(trace, other):
    return len(trace) == len(other) and all(np.array_equal(a, b) for a, b in zip(trace, other, strict=True))


def situations(world, starts_only=False):
    """All (cell, goal) in which an episode can be, or start."""
    cells = world.starts if starts_only else (lambda goal: [at for at in world.open if not world.over(at, goal)])
    return [(at, goal) for goal in world.hidden for at in cells(goal)]


def states(world, pairs):
    return np.stack([world.view(at, goal, True) for at, goal in pairs])


def expert_run(env_id, pairs, guess=False, seed=0):
    """Return, length and whether informed of one expert episode from each (cell, goal)."""
    envs = make_vec(env_id, len(pairs))
    envs.reset(seed=seed, options={"state": states(WORLDS[env_id], pairs)})
    returns, lengths = np.zeros(len(pairs)), np.zeros(len(pairs), int)
    going, informed = np.ones(len(pairs), bool), np.zeros(len(pairs), bool)
    while going.any():
        _, reward, terminated, truncated, _ = envs.step(envs.expert_action(np.full(len(pairs), guess)))
        returns += reward * going
        lengths += going
        informed |= going & envs.saw_information()
        ended = terminated | truncated
        going &= ~ended
        envs.reset(options={"reset_mask": ended})
    return returns, lengths, informed


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_finds_nothing_to_mend(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, render_mode="rgb_array").unwrapped)
        env = gym.make(env_id, disable_env_checker=False)  # the passive checker watches every step
        env.action_space.seed(0)
        env.reset(seed=0)
        for _ in range(200):
            *_, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()


@pytest.mark.parametrize("env_id", IDS)
def test_spaces_hold_every_view(env_id):
    env = gym.make(env_id)
    assert env.observation_space.shape == env.unwrapped.state_space.shape == (SIZES[env_id],)
    assert env.observation_space.dtype == np.float32
    assert env.unwrapped.obs_image_shape == env.unwrapped.state_image_shape == IMAGES.get(env_id)
    low = [0, 0, -1] if SIZES[env_id] == 3 else np.zeros(SIZES[env_id])
    np.testing.assert_array_equal(env.observation_space.low, low)
    np.testing.assert_array_equal(env.observation_space.high, 1)
    world = WORLDS[env_id]
    for state in states(world, situations(world))[::7]:
        obs, _ = env.reset(seed=0, options={"state": state})
        assert obs in env.observation_space
        assert env.unwrapped.get_state() in env.unwrapped.state_space


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("action", range(4))
def test_every_state_and_action_matches_the_reference(env_id, action):
    world = WORLDS[env_id]
    pairs = situations(world)
    envs = make_vec(env_id, len(pairs))
    obs, _ = envs.reset(seed=0, options={"state": states(world, pairs)})
    np.testing.assert_array_equal(obs, np.stack([world.view(at, goal, False) for at, goal in pairs]))
    obs, reward, terminated, truncated, info = envs.step(np.full(len(pairs), action))
    expected = [world.step(at, goal, action) for at, goal in pairs]
    np.testing.assert_array_equal(reward, [out.reward for out in expected])
    np.testing.assert_array_equal(terminated, [out.terminated for out in expected])
    np.testing.assert_array_equal(info["success"], [out.success for out in expected])
    assert info["success"].dtype == bool
    assert not truncated.any()
    after = [(out.at, goal) for out, (_, goal) in zip(expected, pairs, strict=True)]
    np.testing.assert_array_equal(obs, np.stack([world.view(*pair, False) for pair in after]))
    np.testing.assert_array_equal(envs.get_state(), np.stack([world.view(*pair, True) for pair in after]))
    assert obs.dtype == envs.get_state().dtype == np.float32


@pytest.mark.parametrize("env_id", IDS)
def test_one_env_equals_many(env_id):
    rng = np.random.default_rng(1)
    world = WORLDS[env_id]
    pairs = situations(world, starts_only=True)
    pairs = [pairs[i] for i in rng.integers(len(pairs), size=20)]
    many = make_vec(env_id, 20)
    first, _ = many.reset(seed=0, options={"state": states(world, pairs)})
    actions = rng.integers(4, size=(50, 20))
    steps = []
    for row in actions:
        steps.append((*many.step(row), many.get_state(), many.saw_information()))
        if (ended := steps[-1][2] | steps[-1][3]).any():
            many.reset(options={"reset_mask": ended})
    one = gym.make(env_id)
    for n, state in enumerate(states(world, pairs)):
        np.testing.assert_array_equal(one.reset(seed=0, options={"state": state})[0], first[n])
        for row, (obs, reward, terminated, truncated, info, after, saw) in zip(actions, steps, strict=True):
            mine = one.step(row[n])
            np.testing.assert_array_equal(mine[0], obs[n])
            np.testing.assert_array_equal(one.unwrapped.get_state(), after[n])
            assert mine[1] == reward[n]
            assert mine[2] == terminated[n]
            assert (mine[3] and not mine[2]) == truncated[n]  # gymnasium's TimeLimit says both
            assert mine[4]["success"] is bool(info["success"][n])
            assert one.unwrapped.saw_information() is bool(saw[n])
            if mine[2] or mine[3]:
                break


@pytest.mark.parametrize("env_id", IDS)
def test_a_seed_fixes_everything(env_id):
    first, again, other = (make_vec(env_id, 64) for _ in range(3))
    starts = [envs.reset(seed=seed)[0] for envs, seed in ((first, 5), (again, 5), (other, 6))]
    traces = [play(envs, 80, np.random.default_rng(0)) for envs in (first, again, other)]
    assert np.array_equal(starts[0], starts[1])
    assert same(traces[0], traces[1])
    assert not same(traces[0], traces[2])

    def single(seed):
        env = gym.make(env_id)
        rng = np.random.default_rng(0)
        trace = [env.reset(seed=seed)[0]]
        for _ in range(300):
            obs, reward, terminated, truncated, _ = env.step(rng.integers(4))
            trace += [obs, np.array([reward, terminated, truncated]), env.unwrapped.get_state()]
            if terminated or truncated:
                trace.append(env.reset()[0])
        return trace

    assert same(single(3), single(3))
    assert not same(single(3), single(4))


def test_global_generators_are_neither_read_nor_moved():
    before = np.random.get_state()[1].copy()
    traces = []
    for seed in (0, 1):
        envs = make_vec("CarFlag-2D-v0", 8)
        envs.reset(seed=9)
        traces.append(play(envs, 60, np.random.default_rng(0)))
        assert np.array_equal(np.random.get_state()[1], before)
        np.random.seed(seed)
        before = np.random.get_state()[1].copy()
    assert same(*traces)


@pytest.mark.parametrize("env_id", IDS)
def test_starts_are_uniform_over_the_valid_cells(env_id):
    world = WORLDS[env_id]
    envs = make_vec(env_id, 100_000)
    envs.reset(seed=0)
    pairs = situations(world, starts_only=True)
    valid = {state.tobytes(): (goal, at) for (at, goal), state in zip(pairs, states(world, pairs), strict=True)}
    counts = Counter(state.tobytes() for state in envs.get_state())
    drawn = {valid[state]: count for state, count in counts.items()}  # a KeyError is an invalid start
    by_goal = [sum(drawn.get((goal, at), 0) for at in world.starts(goal)) for goal in world.hidden]
    assert chisquare(by_goal).pvalue > 1e-3
    for goal in [world.hidden[0], world.hidden[len(world.hidden) // 2]]:
        by_cell = [drawn.get((goal, at), 0) for at in world.starts(goal)]
        assert len(by_cell) == 1 or chisquare(by_cell).pvalue > 1e-3
    by_distance = Counter()
    expected = Counter()
    for (gx, gy), (x, y) in valid.values():
        distance = abs(gx - x) + abs(gy - y)
        by_distance[distance] += drawn.get(((gx, gy), (x, y)), 0)
        expected[distance] += 1e5 / len(world.hidden) / len(world.starts((gx, gy)))
    if len(expected) > 1:
        assert chisquare([by_distance[d] for d in expected], list(expected.values())).pvalue > 1e-3
    if env_id == "Sphinx-v0":
        assert {len(world.starts(goal)) for goal in world.hidden} == {26}
    if env_id == "CarFlag-2D-v0":
        assert len(world.hidden) == 112


def test_car_flag_start_does_not_depend_on_the_episode_before():
    envs = make_vec("CarFlag-2D-v0", 40_000)
    halves = []
    for seed in (0, None):
        state = envs.reset(seed=seed)[0][:, :121].argmax(axis=1)
        halves.append(2 * (state // 11 < 5) + (state % 11 < 5))
    table = np.histogram2d(*halves, bins=4)[0]
    assert chi2_contingency(table).pvalue > 1e-3


@pytest.mark.parametrize("env_id", IDS)
def test_the_hidden_fact_is_seen_on_the_information_only(env_id):
    world = WORLDS[env_id]
    envs = make_vec(env_id, len(world.hidden))
    for at in world.open:
        goals = [goal for goal in world.hidden if not world.over(at, goal)]
        if not goals:
            continue
        filled = goals + goals[:1] * (len(world.hidden) - len(goals))
        obs, _ = envs.reset(seed=0, options={"state": states(world, [(at, goal) for goal in filled])})
        different = len(np.unique(obs, axis=0))
        assert different == (len(goals) if at in world.information else 1)


@pytest.mark.parametrize(("env_id", "steps"), [("HeavenHell-v0", 14), ("HeavenHell-6x9-v0", 18)])
def test_heaven_hell_optimum_is_reached_by_the_expert(env_id, steps):
    world = WORLDS[env_id]
    (start,) = world.starts(world.hidden[0])
    best = optimal_returns(gym.make(env_id).unwrapped.rules, 50)
    assert best[50] == best[steps] == {start: 1}
    assert best[steps - 1] == {start: 0}  # too few steps to ask: a coin
    returns, lengths, informed = expert_run(env_id, situations(world, starts_only=True))
    assert (returns == 1).all()
    assert (lengths == steps).all()
    assert informed.all()


def test_sphinx_optimum_is_reached_by_the_expert():
    world = WORLDS["Sphinx-v0"]
    pairs = situations(world, starts_only=True)
    returns, lengths, informed = expert_run("Sphinx-v0", pairs)
    assert informed.all()
    np.testing.assert_allclose(returns, 0.8)
    best = optimal_returns(SphinxRules(), 50)
    for start in world.starts(world.hidden[0]):
        assert best[50][start] == pytest.approx(0.8)
        needed = max(length for (at, _), length in zip(pairs, lengths, strict=True) if at == start)
        assert best[needed][start] == pytest.approx(0.8)
        assert best[needed - 1][start] < 0.8 - 1e-9


def test_car_flag_optimum_is_reached_by_the_expert():
    """The belief of one who has not seen the flag is the set of cells visited: too many to list, so bound the value.

    No return exceeds 1, the only reward. From below: forget that the flag may be met by chance, then what is left to
    know without the information is the cell, and dynamic programming over (cell, steps left) is small.
    """
    world = WORLDS["CarFlag-2D-v0"]
    to_goal = {goal: world.distances([goal]) for goal in world.hidden}
    value = dict.fromkeys(world.open, 0.0)
    for left in range(1, 51):
        informed = {at: np.mean([to_goal[goal][at] <= left - 1 for goal in world.hidden]) for at in world.information}
        moved = {at: [world.step(at, (-1, -1), action).at for action in range(4)] for at in world.open}
        value = {at: max(informed.get(there, value[there]) for there in moved[at]) for at in world.open}
    assert all(value[at] == 1 for at in world.open)

    pairs = situations(world, starts_only=True)
    returns, lengths, _ = expert_run("CarFlag-2D-v0", pairs)
    assert (returns == 1).all()
    from_start = {at: world.distances([at]) for at in world.open}
    shortest = [min(from_start[at][mid] + to_goal[goal][mid] for mid in world.information) for at, goal in pairs]
    assert (lengths <= shortest).all()  # fewer only where the flag happens to lie on the way
    assert (lengths >= [to_goal[goal][at] for at, goal in pairs]).all()


@pytest.mark.parametrize("env_id", IDS)
def test_the_expert_knows_only_what_it_was_shown(env_id):
    world = WORLDS[env_id]
    envs = make_vec(env_id, len(world.hidden))
    start = next(at for at in world.open if all(at in world.starts(goal) for goal in world.hidden[:2]))
    goals = [goal for goal in world.hidden if not world.over(start, goal)]
    pairs = [(start, goal) for goal in goals + goals[:1] * (len(world.hidden) - len(goals))]
    for guess in (False, True):
        actions = []
        for shift in range(2):  # the same draws, other hidden facts
            envs.reset(seed=3, options={"state": states(world, pairs[shift:] + pairs[:shift])})
            actions.append(envs.expert_action(np.full(len(pairs), guess)))
            assert not envs.saw_information().any()
        assert np.array_equal(*actions)
        assert guess or len(set(actions[0])) == 1


@pytest.mark.parametrize(
    ("env_id", "rate"), [("HeavenHell-v0", 1 / 2), ("HeavenHell-6x9-v0", 1 / 2), ("Sphinx-v0", 1 / 3)]
)
def test_a_guess_is_right_by_chance_and_never_informed(env_id, rate):
    world = WORLDS[env_id]
    pairs = situations(world, starts_only=True)
    pairs *= 4000 // len(pairs)
    returns, lengths, informed = expert_run(env_id, pairs, guess=True, seed=1)
    assert not informed.any()
    assert np.mean(returns == 1) == pytest.approx(rate, abs=0.03)
    ways = {goal: world.distances([goal]) for goal in world.hidden}
    assert all(
        length in {ways[goal][at] for goal in world.hidden} for (at, _), length in zip(pairs, lengths, strict=True)
    )


def test_a_car_flag_guesser_goes_on_guessing():
    pairs = situations(WORLDS["CarFlag-2D-v0"], starts_only=True)[::11]
    returns, lengths, informed = expert_run("CarFlag-2D-v0", pairs, guess=True)
    assert not informed.any()  # it walks around the middle
    assert 0.2 < returns.mean() < 0.5
    assert (lengths[returns == 0] == 50).all()


def test_the_single_expert_is_the_vector_expert():
    for env_id, best in (("HeavenHell-v0", 1.0), ("Sphinx-v0", 0.8), ("CarFlag-2D-v0", 1.0)):
        env = gym.make(env_id)
        env.reset(seed=0)
        total, ended = 0.0, False
        while not ended:
            _, reward, terminated, truncated, info = env.step(env.unwrapped.expert_action())
            total, ended = total + reward, terminated or truncated
        assert total == pytest.approx(best)
        assert info["success"] is True
        assert env.unwrapped.saw_information()


def test_a_goal_at_the_time_limit_is_an_ending_and_no_truncation():
    world = WORLDS["HeavenHell-v0"]
    envs = make_vec("HeavenHell-v0", 2, max_episode_steps=3)
    envs.reset(seed=0, options={"state": states(world, [((3, 0), (0, 0)), ((4, 0), (0, 0))])})
    for _ in range(2):
        _, _, terminated, truncated, _ = envs.step(np.array([2, 2]))
        assert not (terminated | truncated).any()
    _, reward, terminated, truncated, info = envs.step(np.array([2, 2]))
    assert reward.tolist() == [1, 0]
    assert terminated.tolist() == info["success"].tolist() == [True, False]
    assert truncated.tolist() == [False, True]


def test_episodes_are_cut_after_50_steps():
    for env_id in IDS:
        envs = make_vec(env_id, 3)
        envs.reset(seed=0)
        for step in range(50):
            _, _, _, truncated, _ = envs.step(np.full(3, 2 - 2 * (step % 2)))
            assert truncated.all() == truncated.any() == (step == 49)


@pytest.mark.parametrize("env_id", IDS)
def test_a_state_dict_goes_on_bit_for_bit(env_id):
    envs, other = make_vec(env_id, 32), make_vec(env_id, 32)
    envs.reset(seed=0)
    play(envs, 33, np.random.default_rng(0))
    state = envs.state_dict()
    state["rng"] = json.loads(json.dumps(state["rng"]))
    trace = play(envs, 60, np.random.default_rng(1))
    other.load_state_dict(state)
    assert all(np.array_equal(value, state[key]) for key, value in other.state_dict().items())
    assert len(set(state["guess"])) > 1
    assert same(trace, play(other, 60, np.random.default_rng(1)))
    guesses = np.arange(32) % 2 == 0
    assert np.array_equal(envs.expert_action(guesses), other.expert_action(guesses))
    envs.load_state_dict(state)  # the state is a copy, which playing on did not touch
    assert same(trace, play(envs, 60, np.random.default_rng(1)))
    with pytest.raises(ValueError, match="32 envs, not of 4"):
        make_vec(env_id, 4).load_state_dict(state)


def test_a_masked_reset_leaves_the_others_alone():
    envs = make_vec("Sphinx-v0", 6)
    envs.reset(seed=0)
    before = envs.get_state()
    mask = np.arange(6) == 2
    wanted = states(world := WORLDS["Sphinx-v0"], [((3, 3), world.hidden[0])] * 6)
    envs.reset(options={"reset_mask": mask, "state": wanted})
    assert np.array_equal(envs.get_state()[~mask], before[~mask])
    assert np.array_equal(envs.get_state()[2], wanted[2])


def test_an_ended_env_has_to_be_reset():
    world = WORLDS["HeavenHell-v0"]
    envs = make_vec("HeavenHell-v0", 2)
    with pytest.raises(ValueError, match="env 0 has ended"):
        envs.step(np.zeros(2, int))
    envs.reset(seed=0, options={"state": states(world, [((3, 0), (0, 0)), ((5, 0), (0, 0))])})
    envs.step(np.zeros(2, int))
    with pytest.raises(ValueError, match="env 1 has ended"):
        envs.step(np.zeros(2, int))
    envs.reset(options={"reset_mask": np.array([False, True])})
    envs.step(np.zeros(2, int))


def test_plain_make_vec_resets_in_the_next_step():
    world = WORLDS["HeavenHell-v0"]
    envs = gym.make_vec("HeavenHell-v0", num_envs=2)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    envs.reset(seed=0, options={"state": states(world, [((5, 0), (6, 0)), ((3, 0), (6, 0))])})
    _, reward, terminated, _, info = envs.step(np.array([0, 0]))
    assert reward.tolist() == [1, 0]
    assert terminated.tolist() == [True, False]
    obs, reward, terminated, truncated, info = envs.step(np.array([0, 0]))
    np.testing.assert_array_equal(obs[0], world.view(world.starts(None)[0], (0, 0), False))
    np.testing.assert_array_equal(obs[1], world.view((5, 0), (6, 0), False))
    assert not (reward.any() or terminated.any() or truncated.any() or info["success"].any())
    for _ in range(50):  # the count of steps started anew with the reset
        assert not truncated[0]
        _, _, _, truncated, _ = envs.step(np.array([1, 1]))
    assert truncated[0]


@pytest.mark.parametrize("bad", [4, -1, 100])
def test_a_wrong_action_is_refused(bad):
    envs = make_vec("HeavenHell-v0", 2)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="0 right, 1 up, 2 left, 3 down"):
        envs.step(np.array([0, bad]))
    with pytest.raises(ValueError, match="2 integers"):
        envs.step(np.zeros(3, int))
    env = gym.make("HeavenHell-v0", disable_env_checker=True)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="0 right, 1 up, 2 left, 3 down"):
        env.step(bad)


@pytest.mark.parametrize("env_id", IDS)
def test_a_state_that_no_episode_can_start_in_is_refused(env_id):
    world = WORLDS[env_id]
    goal = world.hidden[0]
    wrong = [np.full(SIZES[env_id], 0.3), np.zeros(SIZES[env_id]), world.view(goal, goal, True)]
    if world.kind == "heaven_hell":
        wrong.append(world.view((0, 2), goal, True))  # a wall
    env = gym.make(env_id)
    for state in wrong:
        with pytest.raises(ValueError, match="not a state that an episode can start in"):
            env.reset(seed=0, options={"state": state})
    with pytest.raises(ValueError, match="a state has shape"):
        env.reset(seed=0, options={"state": np.zeros(5)})


def test_what_was_returned_is_never_written_to_again():
    envs = make_vec("CarFlag-2D-v0", 4)
    kept = [*envs.reset(seed=0)[:1], envs.get_state(), envs.saw_information()]
    for _ in range(30):
        obs, reward, terminated, truncated, info = envs.step(np.array([0, 1, 2, 3]))
        kept += [obs, reward, terminated, truncated, info["success"], envs.get_state(), envs.saw_information()]
    copies = [array.copy() for array in kept]
    play(envs, 30, np.random.default_rng(0)) if not (terminated | truncated).any() else None
    assert all(np.array_equal(a, b) for a, b in zip(kept, copies, strict=True))
    assert not any(np.shares_memory(a, b) for i, a in enumerate(kept) for b in kept[:i])


@pytest.mark.parametrize("env_id", IDS)
def test_pictures_show_agent_and_hidden_fact(env_id):
    world = WORLDS[env_id]
    env = gym.make(env_id, render_mode="rgb_array")
    goal = world.hidden[-1]
    start, told = world.starts(goal)[0], min(world.information)
    pictures = []
    for at in (start, told):
        env.reset(seed=0, options={"state": world.view(at, goal, True)})
        pictures.append(env.render())
    green = [
        (picture.reshape(world.height, 32, world.width, 32, 3)[goal[1], :, goal[0]] == (76, 175, 110)).all(-1).mean()
        for picture in pictures
    ]
    assert pictures[0].shape == (32 * world.height, 32 * world.width, 3)
    assert pictures[0].dtype == np.uint8
    assert 0.3 < green[0] < 0.6 < green[1]  # hatched while the agent does not know
    envs = make_vec(env_id, 2, render_mode="rgb_array")
    envs.reset(seed=0, options={"state": states(world, [(start, goal), (told, goal)])})
    assert all(np.array_equal(a, b) for a, b in zip(envs.render(), pictures, strict=True))
    assert np.array_equal(envs.render_frame(1), pictures[1])


def test_heaven_hell_comes_in_other_sizes():
    env = gym.make("HeavenHell-v0", rows=9, cols=11, max_episode_steps=100)
    env.reset(seed=0)
    steps, terminated = 0, False
    while not terminated:
        _, reward, terminated, _, _ = env.step(env.unwrapped.expert_action())
        steps += 1
    assert (reward, steps) == (1, 6 + 5 + 8 + 5)
    with pytest.raises(ValueError, match="odd cols"):
        gym.make("HeavenHell-v0", cols=6)


@pytest.mark.parametrize("env_id", SIZES)
def test_one_env_that_looks_its_steps_up_is_as_by_arrays(env_id):
    fast, slow = (gym.make(env_id).unwrapped for _ in range(2))
    slow._lookup = None
    rng = np.random.default_rng(0)
    for episode in range(40):
        told = [env.reset(seed=episode)[0] for env in (fast, slow)]
        for t in range(50):
            np.testing.assert_array_equal(*told)
            np.testing.assert_array_equal(fast.get_state(), slow.get_state())
            wanted = [env.expert_action(bool(episode % 2)) for env in (fast, slow)]
            assert wanted[0] == wanted[1] and fast.saw_information() == slow.saw_information()
            action = wanted[0] if t % 2 else rng.integers(4)
            steps = [env.step(action) for env in (fast, slow)]
            assert steps[0][1:] == steps[1][1:]
            assert [type(each) for each in steps[0][1:4]] == [float, bool, bool]
            told = [step[0] for step in steps]
            assert told[0].dtype == told[1].dtype
            if steps[0][2]:
                break
    kept = told[0].copy()
    told[0][:] = 7  # is the caller's own
    fast._one.joint[:], slow._one.joint[:] = 0, 0
    np.testing.assert_array_equal(fast.step(0)[0], slow.step(0)[0])
    assert kept.max() < 7


@pytest.mark.parametrize("action", [True, 1.0, -1, 4, None, [1]])
def test_one_env_takes_actions_of_its_own_only(action):
    env = gym.make("HeavenHell-v0").unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match="0 right, 1 up"):
        env.step(action)
