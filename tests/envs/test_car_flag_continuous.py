import json
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from scipy.stats import kstest

import envs as _envs  # noqa: F401 registers the ids
from envs.factors import factors, informed_actions
from tests.envs.reference_car_flag import fewest_steps_1d, see_1d, see_2d, step_1d, step_2d

LINE, PLANE = "CarFlag-1D-v0", "CarFlag-2D-Continuous-v0"
IDS = [LINE, PLANE]
HORIZON = {LINE: 160, PLANE: 50}
BOUNDS = {LINE: [1.1, 0.07, 1], PLANE: [1, 1, 1, 1]}
STEP = {LINE: step_1d, PLANE: step_2d}
SEE = {LINE: see_1d, PLANE: see_2d}


def make_vec(env_id, num_envs, **kwargs):
    return gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=AutoresetMode.DISABLED, **kwargs)


def random_actions(envs, rng):
    """Uniform ones, of which some are at and some beyond the bounds."""
    return (1.3 * rng.uniform(-1, 1, envs.action_space.shape)).astype(np.float32)


def situations(env_id, num, seed):
    """States all over the space in which an episode can be, many near the thresholds."""
    rng = np.random.default_rng(seed)
    states = (rng.uniform(-1, 1, (num, len(BOUNDS[env_id]))) * BOUNDS[env_id]).astype(np.float32)
    if env_id == LINE:
        states[:, 2] = np.sign(states[:, 2])
        states[: num // 2, 0] = rng.choice(np.array([-0.99, 0.29, 0.3, 0.7, 0.71, 0.99], np.float32), num // 2)
        return states[np.abs(states[:, 0]) < 1]
    states[: num // 4, :2] = rng.choice(np.array([-0.5, -0.3, 0.1, 0.3, 1.0], np.float32), (num // 4, 2))
    states[num // 4 : num // 2, :2] = states[num // 4 : num // 2, 2:] + rng.uniform(-0.4, 0.4, (num // 4, 2))
    states[:, :2] = states[:, :2].clip(-1, 1)
    outside = np.abs(states[:, 2:]).max(axis=1) > np.float32(0.3)
    away = np.abs(states[:, :2] - states[:, 2:]).max(axis=1) > np.float32(0.1)
    return states[outside & away]


def play(envs, steps, rng, guesses=None):
    """Random or guessing steps with resets of ended envs; everything that came out."""
    trace = []
    for _ in range(steps):
        out = envs.step(random_actions(envs, rng) if guesses is None else envs.expert_action(guesses))
        trace += [*out[:4], out[4]["success"], envs.get_state(), envs.saw_information()]
        if (ended := out[2] | out[3]).any():
            trace.append(envs.reset(options={"reset_mask": ended})[0])
    return trace


def same(trace, other):
    return len(trace) == len(other) and all(np.array_equal(a, b) for a, b in zip(trace, other, strict=True))


def expert_run(env_id, states, guess=False, seed=0):
    """Return, length and whether informed of one expert episode from each state, and the states that were passed."""
    envs = make_vec(env_id, len(states))
    envs.reset(seed=seed, options={"state": states})
    returns, lengths = np.zeros(len(states)), np.zeros(len(states), int)
    going, informed = np.ones(len(states), bool), np.zeros(len(states), bool)
    passed = [envs.get_state()]
    while going.any():
        _, reward, terminated, truncated, _ = envs.step(envs.expert_action(np.full(len(states), guess)))
        returns += reward * going
        lengths += going
        informed |= going & envs.saw_information()
        passed.append(np.where(going[:, None], envs.get_state(), passed[-1]))
        ended = terminated | truncated
        going &= ~ended
        envs.reset(options={"reset_mask": ended})
    return returns, lengths, informed, np.stack(passed)


def starts(env_id, num, seed=7):  # not that of the guesses: they would be the hidden facts
    envs = make_vec(env_id, num)
    envs.reset(seed=seed)
    return envs.get_state()


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
def test_spaces_are_as_documented(env_id):
    env = gym.make(env_id).unwrapped
    for space in (env.observation_space, env.state_space):
        assert space.dtype == np.float32
        np.testing.assert_array_equal(space.high, np.array(BOUNDS[env_id], np.float32))
        np.testing.assert_array_equal(space.low, -space.high)
    assert env.action_space == gym.spaces.Box(-1, 1, (1 if env_id == LINE else 2,), np.float32)
    assert env.obs_image_shape is env.state_image_shape is None
    assert gym.spec(env_id).max_episode_steps == HORIZON[env_id]


@pytest.mark.parametrize("env_id", IDS)
def test_every_step_matches_the_scalar_reference_bit_for_bit(env_id):
    states = situations(env_id, 6000, 0)
    envs = make_vec(env_id, len(states))
    obs, _ = envs.reset(seed=0, options={"state": states})
    np.testing.assert_array_equal(obs, [SEE[env_id](*state) for state in states])
    np.testing.assert_array_equal(envs.get_state(), states)
    actions = random_actions(envs, np.random.default_rng(1))
    actions[::5] = np.sign(actions[::5])
    obs, reward, terminated, truncated, info = envs.step(actions)
    expected = [STEP[env_id](*pair) for pair in zip(states, actions, strict=True)]
    np.testing.assert_array_equal(envs.get_state(), [out.state for out in expected])
    np.testing.assert_array_equal(obs, [out.obs for out in expected])
    np.testing.assert_array_equal(reward, [out.reward for out in expected])
    np.testing.assert_array_equal(terminated, [out.ends for out in expected])
    np.testing.assert_array_equal(info["success"], [out.reward > 0 for out in expected])
    assert not truncated.any() and terminated.sum() > 20 and info["success"].sum() > 10
    assert obs.dtype == envs.get_state().dtype == np.float32 and info["success"].dtype == bool
    shown = np.any(obs[:, 2:] != 0, axis=1)
    np.testing.assert_array_equal(envs.saw_information(), shown | [any(SEE[env_id](*s)[2:]) for s in states])
    assert 0.05 < shown.mean() < 0.95


def test_a_worked_example_on_the_line():
    env = gym.make(LINE)
    env.reset(seed=0, options={"state": np.array([0.25, 0.0485, -1], np.float32)})
    obs, reward, terminated, _, _ = env.step(np.array([1], np.float32))
    np.testing.assert_allclose(obs, [0.3, 0.05, -1], rtol=1e-6)  # v = 0.0485 + 0.0015, x = 0.25 + v
    assert (reward, terminated) == (0, False)
    env.reset(options={"state": np.array([0.95, 0.0695, -1], np.float32)})
    obs, reward, terminated, _, info = env.step(np.array([1], np.float32))
    np.testing.assert_allclose(obs, [1.02, 0.07, 0], rtol=1e-6)  # the speed limit; hell
    assert (reward, terminated, info["success"]) == (-1, True, False)


@pytest.mark.parametrize("env_id", IDS)
def test_one_env_equals_many(env_id):
    rng = np.random.default_rng(1)
    states = situations(env_id, 40, 1)
    many = make_vec(env_id, len(states))
    first, _ = many.reset(seed=0, options={"state": states})
    actions = rng.uniform(-1, 1, (HORIZON[env_id], *many.action_space.shape)).astype(np.float32)
    steps = []
    for row in actions:
        steps.append((*many.step(row), many.get_state(), many.saw_information(), many.expert_action()))
        if (ended := steps[-1][2] | steps[-1][3]).any():
            many.reset(options={"reset_mask": ended})
    one = gym.make(env_id)
    for n, state in enumerate(states):
        np.testing.assert_array_equal(one.reset(seed=0, options={"state": state})[0], first[n])
        for row, (obs, reward, terminated, truncated, info, after, saw, expert) in zip(actions, steps, strict=True):
            mine = one.step(row[n])
            np.testing.assert_array_equal(mine[0], obs[n])
            np.testing.assert_array_equal(one.unwrapped.get_state(), after[n])
            assert (mine[1], mine[2], mine[3] and not mine[2]) == (reward[n], terminated[n], truncated[n])
            assert mine[4]["success"] is bool(info["success"][n])
            assert one.unwrapped.saw_information() is bool(saw[n])
            np.testing.assert_array_equal(one.unwrapped.expert_action(), expert[n])
            assert one.action_space.contains(one.unwrapped.expert_action())
            if mine[2] or mine[3]:
                break


@pytest.mark.parametrize("env_id", IDS)
def test_a_seed_fixes_everything_and_global_generators_are_left_alone(env_id):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first, again, other = (make_vec(env_id, 32) for _ in range(3))
    began = [envs.reset(seed=seed)[0] for envs, seed in ((first, 5), (again, 5), (other, 6))]
    guesses = np.arange(32) % 2 == 0
    traces = [play(envs, HORIZON[env_id] + 20, np.random.default_rng(0)) for envs in (first, again, other)]
    traces = [trace + play(envs, 90, None, guesses) for envs, trace in zip((first, again, other), traces, strict=True)]
    assert np.array_equal(began[0], began[1])
    assert same(traces[0], traces[1])
    assert not same(traces[0], traces[2])
    assert np.array_equal(np.random.get_state()[1], before)

    def single(seed):
        env, trace = gym.make(env_id), []
        obs, _ = env.reset(seed=seed)
        for _ in range(200):
            trace.append(obs)
            obs, _, terminated, truncated, _ = env.step(env.unwrapped.expert_action(True))
            if terminated or truncated:
                obs, _ = env.reset()
        return trace

    assert same(single(3), single(3))
    assert not same(single(3), single(4))


def test_starts_on_the_line():
    states = starts(LINE, 20_000)
    assert kstest(states[:, 0], "uniform", (-0.2, 0.4)).pvalue > 1e-3
    assert (states[:, 1] == 0).all()
    assert np.mean(states[:, 2] == 1) == pytest.approx(0.5, abs=0.02)
    assert set(states[:, 2]) == {-1, 1}


def test_starts_on_the_plane():
    states = starts(PLANE, 50_000)
    agent, flag = states[:, :2], states[:, 2:]
    assert (np.abs(flag).max(axis=1) > 0.3).all() and (np.abs(agent).max(axis=1) > 0.3).all()
    assert (np.abs(agent - flag).max(axis=1) > 0.3).all()
    assert np.abs(agent - flag).max(axis=1).min() < 0.31
    area = 4 - 0.6**2  # of the square without the middle
    for bound in (0.4, 0.6, 0.8):
        expected = ((2 * bound) ** 2 - 0.6**2) / area
        assert np.mean(np.abs(flag).max(axis=1) <= bound) == pytest.approx(expected, abs=0.01)
    for sign in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        assert np.mean((np.sign(flag) == sign).all(axis=1)) == pytest.approx(0.25, abs=0.01)
    # where the agent starts, given the flag: uniformly over what is left, here against uniform points
    near = (np.abs(flag - [0.7, 0.0]) < 0.1).all(axis=1)
    other = np.random.default_rng(0).uniform(-1, 1, (200_000, 2))
    other = other[(np.abs(other).max(axis=1) > 0.3) & (np.abs(other - [0.7, 0.0]).max(axis=1) > 0.3)]
    assert np.mean(agent[near, 0] < -0.3) == pytest.approx(np.mean(other[:, 0] < -0.3), abs=0.05)


@pytest.mark.parametrize("env_id", IDS)
def test_the_expert_always_succeeds(env_id):
    returns, lengths, _, _ = expert_run(env_id, starts(env_id, 2000))
    assert (returns == 1).all()  # no return exceeds 1: it is the only payment, and it ends the episode
    assert lengths.max() < HORIZON[env_id]


def test_the_expert_on_the_line_takes_fewest_steps():
    """Against dynamic programming; the lattice of forces has no fraction but thirds, so that half a step is in it."""
    for start in (-0.2, 0.0, 0.1999):
        fewest = fewest_steps_1d(start)
        states = np.array([[start, 0, 1], [start, 0, -1]], np.float32)
        _, lengths, informed, passed = expert_run(LINE, states)
        assert informed.all()
        assert abs(lengths.mean() - fewest) <= 0.5
        told = np.argmax(passed[:, 1, 0] >= np.float32(0.3))
        np.testing.assert_array_equal(passed[: told + 1, 0, :2], passed[: told + 1, 1, :2])  # until then it cannot know


def test_full_force_on_the_line_takes_as_long_as_published():
    """Full force to the right until told, then to the right flag: 33 to 40 steps, or 67 to 101."""
    position = np.linspace(-0.2, 0.1999, 200)
    for side, shortest, longest in ((1, 33, 40), (-1, 67, 101)):
        envs = make_vec(LINE, 200)
        states = np.stack([position, np.zeros(200), np.full(200, side)], axis=1).astype(np.float32)
        envs.reset(seed=0, options={"state": states})
        lengths, going = np.zeros(200, int), np.ones(200, bool)
        while going.any():
            force = np.where(envs.saw_information(), side, 1).astype(np.float32)
            _, reward, terminated, _, _ = envs.step(force[:, None])
            lengths += going
            assert (reward[going & terminated] == 1).all()
            going &= ~terminated
            envs.reset(options={"reset_mask": terminated})
        assert (lengths.min(), lengths.max()) == (shortest, longest)


def legs(distance, reach):
    """Steps of 0.2 until at most `reach` is left."""
    return np.ceil((np.maximum(distance, reach) - reach) / 0.2 - 1e-5).astype(int)


def test_the_expert_on_the_plane_takes_fewest_steps():
    """Each leg is a shortest one, and where it enters the middle no point that is as near is better on average.

    What is left out of the comparison is that the flag may be met by chance, and may be excluded where one has been.
    """
    states = starts(PLANE, 4000)
    _, lengths, informed, passed = expert_run(PLANE, states)
    centre = np.abs(states[:, :2]).max(axis=1)
    to_middle = legs(centre, 0.3)
    told = passed[to_middle, np.arange(4000)]
    np.testing.assert_array_equal(np.abs(told[informed, :2]).max(axis=1) <= np.float32(0.3), True)
    to_flag = legs(np.abs(told[:, 2:] - told[:, :2]).max(axis=1), 0.1)
    np.testing.assert_array_equal(lengths[informed], (to_middle + to_flag)[informed])
    assert informed.mean() > 0.98 and (lengths[~informed] < to_middle[~informed]).all()
    known = legs(np.abs(states[:, 2:] - states[:, :2]).max(axis=1), 0.1)
    assert (lengths >= known).all()

    flags = states[:, 2:]
    grid = np.stack(np.meshgrid(*[np.linspace(-0.3, 0.3, 13)] * 2), axis=-1).reshape(-1, 2)
    onward = np.array([legs(np.abs(flags - point).max(axis=1), 0.1).mean() for point in grid])
    for start, entered in list(zip(states[informed], told[informed], strict=True))[:300]:
        within = legs(np.abs(grid - start[:2]).max(axis=1), 0.0)  # steps to each point of the middle
        fewest = (within + onward).min()
        mine = legs(np.abs(start[:2]).max(), 0.3) + legs(np.abs(flags - entered[:2]).max(axis=1), 0.1).mean()
        assert mine <= fewest + 0.05


@pytest.mark.parametrize("env_id", IDS)
def test_the_expert_knows_only_what_it_was_shown(env_id):
    states = starts(env_id, 300)
    other = states.copy()
    other[:, 2:] = -states[:, 2:]  # elsewhere, in another draw of the same
    away = np.abs(other[:, :2] - other[:, 2:]).max(axis=1) > 0.15 if env_id == PLANE else np.ones(300, bool)
    states, other = states[away], other[away]
    for guess in (False, True):
        actions = []
        for hidden in (states, other):
            envs = make_vec(env_id, len(states))
            envs.reset(seed=3, options={"state": hidden})
            actions.append(envs.expert_action(np.full(len(states), guess)))
            assert not envs.saw_information().any()
        assert np.array_equal(*actions)


def test_the_guesser_on_the_line_is_right_by_chance():
    states = starts(LINE, 4000)
    returns, lengths, informed, _ = expert_run(LINE, states, guess=True)
    assert returns.mean() == pytest.approx(0, abs=0.05)
    assert set(returns) == {-1, 1}
    assert (lengths.min(), lengths.max()) == (33, 40)  # full force to either side
    went_right = (returns == 1) == (states[:, 2] == 1)
    np.testing.assert_array_equal(informed, went_right)  # the information lies on the way to the right


def test_the_guesser_on_the_plane_walks_around_the_middle_and_goes_on_guessing():
    returns, lengths, informed, passed = expert_run(PLANE, starts(PLANE, 2000), guess=True)
    assert not informed.any()
    assert 0.2 < returns.mean() < 0.5
    assert (lengths[returns == 0] == 50).all()
    moved = np.abs(np.diff(passed[:, :, :2], axis=0)).max(axis=2)
    assert moved.max() < 0.2001
    going = np.arange(50)[:, None] < lengths
    assert moved[going].min() > 1e-4 and moved[going].mean() > 0.17  # it stops nowhere, and seldom goes a short step


@pytest.mark.parametrize("env_id", IDS)
def test_a_state_dict_goes_on_bit_for_bit(env_id):
    envs, other = make_vec(env_id, 32), make_vec(env_id, 32)
    envs.reset(seed=0)
    play(envs, 33, np.random.default_rng(0))
    state = envs.state_dict()
    state["rng"] = json.loads(json.dumps(state["rng"]))
    guesses = np.arange(32) % 2 == 0

    def go_on(these):
        return play(these, 60, np.random.default_rng(1)) + play(these, HORIZON[env_id], None, guesses)

    trace = go_on(envs)
    other.load_state_dict(state)
    assert all(np.array_equal(value, state[key]) for key, value in other.state_dict().items())
    assert same(trace, go_on(other))
    envs.load_state_dict(state)  # the state is a copy, which playing on did not touch
    assert same(trace, go_on(envs))
    with pytest.raises(ValueError, match="32 envs, not of 4"):
        make_vec(env_id, 4).load_state_dict(state)


@pytest.mark.parametrize("env_id", IDS)
def test_an_episode_from_the_state_of_another_goes_on_like_it(env_id):
    envs, other = make_vec(env_id, 16), make_vec(env_id, 16)
    envs.reset(seed=0)
    rng = np.random.default_rng(0)
    envs.step(random_actions(envs, rng))
    state = envs.get_state()
    other.reset(seed=9, options={"state": state})
    for _ in range(20):
        actions = random_actions(envs, rng)
        a, b = envs.step(actions), other.step(actions)
        assert same([*a[:4], envs.get_state()], [*b[:4], other.get_state()])
        if (ended := a[2] | a[3]).any():
            state = envs.reset(options={"reset_mask": ended})[0] * 0 + envs.get_state()
            other.reset(options={"reset_mask": ended, "state": state})


@pytest.mark.parametrize("env_id", IDS)
def test_what_was_returned_is_never_written_to_again(env_id):
    envs = make_vec(env_id, 4)
    kept = [*envs.reset(seed=0)[:1], envs.get_state(), envs.saw_information()]
    actions = np.ones(envs.action_space.shape, np.float32) * 0.3
    for _ in range(30):
        out = envs.step(actions)
        kept += [*out[:4], out[4]["success"], envs.get_state(), envs.saw_information(), envs.expert_action()]
        if (ended := out[2] | out[3]).any():
            kept.append(envs.reset(options={"reset_mask": ended})[0])
    copies = [array.copy() for array in kept]
    kept.append(actions)
    play(envs, 30, np.random.default_rng(0))
    assert all(np.array_equal(a, b) for a, b in zip(kept, copies, strict=False))
    assert (actions == np.float32(0.3)).all()
    assert not any(np.shares_memory(a, b) for i, a in enumerate(kept) for b in kept[:i])


@pytest.mark.parametrize("env_id", IDS)
def test_episodes_are_cut_at_the_horizon(env_id):
    envs = make_vec(env_id, 3)
    envs.reset(seed=0)
    for step in range(HORIZON[env_id]):
        _, _, terminated, truncated, _ = envs.step(np.zeros(envs.action_space.shape, np.float32))
        assert not terminated.any()
        assert truncated.all() == truncated.any() == (step == HORIZON[env_id] - 1)


@pytest.mark.parametrize("env_id", IDS)
def test_a_wrong_action_or_state_is_refused(env_id):
    envs, env = make_vec(env_id, 2), gym.make(env_id, disable_env_checker=True)
    envs.reset(seed=0)
    env.reset(seed=0)
    width = envs.single_action_space.shape[0]
    for bad in (np.full((2, width), np.nan), np.zeros((2, width + 1)), np.zeros((3, width)), np.full((2, width), "a")):
        with pytest.raises(ValueError, match=r"finite numbers in \[-1, 1\]"):
            envs.step(bad)
    with pytest.raises(ValueError, match=r"finite numbers in \[-1, 1\]"):
        env.step(np.full(width, np.inf))
    good = starts(env_id, 1)[0]
    wrong = {
        LINE: [[1.0, 0, 1], [0, 0.08, 1], [0, 0, 0], [0, 0, 0.5], [np.nan, 0, 1]],
        PLANE: [[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.55, 0.5], [0.5, 0.5, 1.2, 0], [0.5, np.nan, 0.9, 0]],
    }[env_id]
    for state in wrong:
        with pytest.raises(ValueError, match="not a state that an episode can start in"):
            env.reset(seed=0, options={"state": np.array(state)})
    with pytest.raises(ValueError, match="a state has shape"):
        env.reset(seed=0, options={"state": good[:-1]})
    env.reset(seed=0, options={"state": good})


@pytest.mark.parametrize(
    ("env_id", "pixel", "states"),
    [
        (LINE, (32, 345), [[0.0, 0, 1], [0.5, 0, 1]]),  # the flag on the right; x = 1 is pixel 336
        (PLANE, (176 + 16, 176 - 128), [[0.6, 0.6, -0.8, -0.1], [0.1, 0.0, -0.8, -0.1]]),
    ],
)
def test_pictures_show_agent_and_hidden_fact(env_id, pixel, states):
    env = gym.make(env_id, render_mode="rgb_array")
    pictures = []
    for state in states:
        env.reset(seed=0, options={"state": np.array(state, np.float32)})
        pictures.append(env.render())
    row, column = pixel
    green = [
        (picture[row - 6 : row + 6, column - 6 : column + 6] == (76, 175, 110)).all(-1).mean() for picture in pictures
    ]
    assert 0.3 < green[0] < 0.6 and green[1] == 1  # hatched while the agent does not know
    white = [(picture == 255).all(-1).sum() for picture in pictures]
    assert white[0] == 0 < white[1]
    assert all((picture == (52, 101, 164)).all(-1).any() for picture in pictures)
    envs = make_vec(env_id, 2, render_mode="rgb_array")
    envs.reset(seed=0, options={"state": np.array(states, np.float32)})
    assert all(np.array_equal(a, b) for a, b in zip(envs.render(), pictures, strict=True))


def test_factors_are_the_hidden_fact_and_the_place():
    line, plane = gym.make(LINE), gym.make(PLANE)
    states = np.array([[0.5, 0, 1], [0.0, 0, -1], [-1.05, 0, 1]], np.float32)
    found = factors(line, states, states)
    assert found["side"].label_R.tolist() == [1, 0, 1]
    assert found["side"].hidden_R.tolist() == [False, True, True]
    assert found["place"].label_R.tolist() == [6, 4, 0] and not found["place"].is_hidden
    states = np.array([[0.2, -0.2, 0.9, 0.9], [-0.5, 0.5, -0.9, 0.9]], np.float32)
    found = factors(plane, states, states)
    assert found["flag"].label_R.tolist() == [3, 1]
    assert found["flag"].hidden_R.tolist() == [False, True]
    assert found["place"].label_R.tolist() == [2, 1]
    assert informed_actions(plane, states) is None
