"""A data set that does not fit into memory: the same batches as of one that does, and never more rows than allowed."""

import h5py
import numpy as np
import pytest
import torch

from buffers.batch import EpisodeBatch
from buffers.dataset import open_dataset, read_dataset
from buffers.episode_buffer import EpisodeBuffer
from buffers.recorded import open_episodes, read_episodes
from buffers.stored import EpisodesOnDisk, StoredEpisodes
from buffers.streamed import StreamedEpisodes
from tests.buffers.test_dataset import CONTINUOUS, SPEC, make_episode, write
from tests.buffers.test_recorded import config_of, spec_of
from tests.helpers.recorded import record
from utils.errors import UserError

EPISODES = 40
ROWS = sum(2 + number % 9 for number in range(EPISODES))  # lengths from 1 to 9


@pytest.fixture(params=[SPEC, CONTINUOUS], ids=["discrete", "continuous"])
def path(request, tmp_path):
    rng, spec = np.random.default_rng(0), request.param
    episodes = [
        make_episode(rng, 1 + number % 9, spec, terminated=number % 2 == 0, expert=number % 3 == 0)
        for number in range(EPISODES)
    ]
    write(tmp_path / "data", episodes, spec)
    return tmp_path / "data"


def streamed(path, max_rows, window=9, seed=3, **options):
    stored = open_dataset(path, max_rows)
    assert isinstance(stored, EpisodesOnDisk)
    return StreamedEpisodes(stored, max_rows, window, seed, batch_size=4, **options)


def assert_same_batch(left: EpisodeBatch, right: EpisodeBatch):
    for name in ("action", "reward", "discount", "mask", "prev_action", "prev_reward", "start", "expert"):
        assert torch.equal(getattr(left, name), getattr(right, name)), name
    assert torch.equal(left.obs.full(), right.obs.full())
    assert torch.equal(left.state.full(), right.state.full())
    assert (left.before is None) == (right.before is None)


def test_what_fits_is_read_as_ever(path):
    whole = open_dataset(path, ROWS)
    assert isinstance(whole, StoredEpisodes)
    assert np.array_equal(whole.obs, read_dataset(path).obs)
    assert isinstance(open_dataset(path, ROWS - 1), EpisodesOnDisk)


@pytest.mark.parametrize("max_rows", [50, 61, ROWS - 1])
@pytest.mark.parametrize("options", [{}, {"window": 4, "burn_in": 2}, {"window": 1}])
def test_batches_are_those_of_the_whole_within_the_bound(path, max_rows, options):
    some = streamed(path, max_rows, **options, limit_is_terminal=True)
    whole = EpisodeBuffer.of(read_dataset(path), seed=3, **({"window": 9} | options), limit_is_terminal=True)
    assert (len(some), some.num_steps) == (len(whole), whole.num_steps) == (EPISODES, ROWS - EPISODES)
    held = []
    for draw in range(60):
        assert_same_batch(some.sample(4), whole.sample(4))
        held.append(some.rows_held)
        if draw % 10 == 0:
            index = np.array([draw % EPISODES, EPISODES - 1, 7])
            assert_same_batch(some.episodes(index), whole.episodes(index))
    assert max(held) <= max_rows < ROWS
    assert max(held) > max_rows - 10 - 10  # nor is it left unused, but for the end of the ring
    some.close()


def test_every_episode_comes_up_about_as_often(path):
    buffer, seen = streamed(path, 50), np.zeros(EPISODES)
    first = [float(one.reward[0]) for one in map(read_dataset(path).episode, range(EPISODES))]
    for _ in range(1000):
        for reward in buffer.sample(4).reward[0].tolist():
            seen[first.index(reward)] += 1
    assert seen.sum() == 4000
    assert seen.min() > 100 - 5 * 10  # of 100, whose standard deviation is 10
    assert seen.max() < 100 + 5 * 10


def test_what_goes_on_from_a_checkpoint_draws_the_same_whatever_is_in_memory(path):
    one, other = streamed(path, 50), streamed(path, 90, seed=8)
    for _ in range(7):
        one.sample(4)
    other.load_state_dict(one.state_dict(rows=False))
    for _ in range(20):
        assert_same_batch(one.sample(4), other.sample(4))


def test_wanted_episodes_in_the_way_of_others_are_read_again(path):
    """The narrowest bound: what one batch wants of memory is often where another episode must go."""
    buffer, whole = streamed(path, 50), EpisodeBuffer.of(read_dataset(path))
    rng = np.random.default_rng(0)
    for _ in range(300):
        index = rng.permutation(EPISODES)[:4]
        assert_same_batch(buffer.episodes(index), whole.episodes(index))
        assert buffer.rows_held <= 50


def test_a_bound_below_a_batch_is_one_line(path):
    with pytest.raises(UserError, match="--max_rows=49: 4 episodes at once of up to 9 steps need 50; give as many"):
        streamed(path, 49)
    buffer = streamed(path, 50)
    with pytest.raises(UserError, match="--max_rows=50: 30 episodes at once"):
        buffer.episodes(np.arange(30))


def test_no_more_rows_are_asked_for_than_there_are(path):
    stored = open_dataset(path, ROWS)
    with pytest.raises(UserError, match=f"--max_rows={ROWS - 1}: .* need {ROWS}; give as many"):
        StreamedEpisodes(stored, ROWS - 1, 9, 0, batch_size=EPISODES)
    some, whole = StreamedEpisodes(stored, ROWS, 9, 3, batch_size=EPISODES), EpisodeBuffer.of(read_dataset(path), 9, 3)
    for order in (np.arange(EPISODES), np.arange(EPISODES)[::-1]):
        assert_same_batch(some.episodes(order), whole.episodes(order))


def test_a_file_that_is_gone_is_one_line(path):
    buffer = streamed(path, 50)
    buffer.close()
    with pytest.raises(UserError, match=r"--data_path: episode [0-9]+ cannot be read any more"):
        buffer.sample(4)


@pytest.mark.parametrize("cut", [False, True])
def test_a_file_that_changes_while_it_is_read_is_one_line(path, cut):
    buffer, file = streamed(path, 50), path / "data" / "main_data.hdf5"
    buffer.sample(4)
    with file.open("r+b") as opened:
        if cut:  # HDF5 reads zeros then
            opened.truncate(file.stat().st_size // 2)
        else:
            opened.write(file.read_bytes()[:1])
    with pytest.raises(UserError, match=r"--data_path: episode [0-9]+ cannot be read any more"):
        buffer.sample(4)
    buffer.close()


def test_damage_is_found_before_anything_is_drawn(path):
    with h5py.File(path / "data" / "main_data.hdf5", "r+") as file:
        file["episode_17/observations/state"][2, 1] = np.nan
    with pytest.raises(UserError, match="damaged"):
        open_dataset(path, 50)


def test_data_sets_of_others_stay_on_disk_too(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    record(episodes=6)
    config = config_of(data__state="infos/hidden/fact")
    whole = read_episodes("odd/coins-v0", config, spec_of(config))
    some = open_episodes("odd/coins-v0", config, spec_of(config), 29)
    assert isinstance(some, EpisodesOnDisk)
    assert isinstance(open_episodes("odd/coins-v0", config, spec_of(config), 30), StoredEpisodes)
    assert some.metadata == whole.metadata
    assert np.array_equal(some.length, whole.length)
    assert np.array_equal(some.success, whole.success)
    buffers = StreamedEpisodes(some, 29, 4, 0, batch_size=2), EpisodeBuffer.of(whole, 4, 0)
    for _ in range(20):
        assert_same_batch(*(buffer.sample(2) for buffer in buffers))

    def spoils(number, one):
        if number == 4:
            one["rewards"][3] = np.nan

    record("odd/nan-v0", episodes=6, spoil=spoils)
    with pytest.raises(UserError, match="reward is not finite in episode 4, row 3"):
        open_episodes("odd/nan-v0", config, spec_of(config), 29)
