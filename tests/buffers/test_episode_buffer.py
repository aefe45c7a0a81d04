"""Replay: what goes in comes out, whole, and nothing else does."""

import copy
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from buffers.episode_buffer import EpisodeBuffer, row_keys
from envs.base import EnvSpec
from tests.helpers.episodes import numbered_episode, random_episode
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.errors import UserError

H = 9
SPEC = EnvSpec("Numbered-v0", 3, 2, 4, True, H)
CONTINUOUS = EnvSpec("Numbered-v1", 3, 2, 2, False, H)


def stored(buffer):
    """Every drawable episode as (obs, state, action, reward, discount), in the buffer's order."""
    slots = buffer._slots(np.arange(len(buffer)))
    return columns(buffer._gather(buffer._first[slots], buffer._length[slots])) if len(buffer) else []


def columns(batch):
    """The episodes of a batch without their padding."""
    found, views = [], [view.full().numpy() for view in (batch.obs, batch.state)]
    for b in range(batch.mask.shape[1]):
        L = int(batch.mask[:, b].sum())
        assert batch.mask[:, b].tolist() == [1.0] * L + [0.0] * (len(batch.mask) - L)
        found.append(
            (
                *(view[: L + 1, b] for view in views),
                *(x[:L, b].numpy() for x in (batch.action, batch.reward, batch.discount)),
            )
        )
    return found


def assert_is(found, episode):
    names = ("obs", "state", "action", "reward", "discount")
    for name, values in zip(names, found, strict=True):
        np.testing.assert_array_equal(values, getattr(episode, name), err_msg=name)


def number_of(found):
    return int(found[0][0, 0])


@given(
    lengths=st.lists(st.integers(1, H), max_size=60),
    protected=st.lists(st.integers(1, H), max_size=5),
    capacity=st.integers(0, 120),
)
@settings(max_examples=150, deadline=None)
def test_the_ring_holds_whole_episodes_the_newest_ones_and_all_protected_ones(lengths, protected, capacity):
    buffer = EpisodeBuffer(SPEC, capacity, H, seed=0)
    assert buffer.capacity == max(capacity, 2 * (H + 1))
    room = buffer.capacity
    kept, added = [], []
    for length in protected:
        episode = numbered_episode(SPEC, len(kept) + 1, length)
        if room - (length + 1) < H + 1:
            with pytest.raises(UserError, match=r"--start_expert_training.*replay_steps"):
                buffer.add(episode, protect=True)
            break
        room -= length + 1
        buffer.add(episode, protect=True)
        kept.append(episode)
    for length in lengths:
        episode = numbered_episode(SPEC, 100 + len(added), length)
        buffer.add(episode)
        added.append(episode)
        count = len(buffer) - len(kept)
        there = kept + added[len(added) - count :]
        found = stored(buffer)
        assert len(found) == len(there)
        for values, expected in zip(found, there, strict=True):
            assert_is(values, expected)
        assert buffer.num_steps == sum(map(len, there))
        # the ring is used: all of it, but for a gap at its end and one before the oldest
        rows = sum(len(e) + 1 for e in there[len(kept) :])
        assert count == len(added) or rows > room - 2 * (H + 1)


def test_length_one_episodes_fill_the_whole_ring():
    buffer = EpisodeBuffer(SPEC, 20, H, seed=0)
    for number in range(57):
        buffer.add(numbered_episode(SPEC, number, 1))
        assert len(buffer) == min(number + 1, 10)
    assert [number_of(found) for found in stored(buffer)] == list(range(47, 57))
    batch = buffer.sample(5)
    assert batch.mask.shape == (1, 5)
    assert batch.obs.full().shape == (2, 5, 3)


@given(lengths=st.lists(st.integers(1, H), min_size=1, max_size=8), size=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_sample_holds_stored_episodes_and_shifts_them_by_the_row_convention(lengths, size, seed):
    episodes = [numbered_episode(SPEC, n, length, terminated=n % 2 == 0) for n, length in enumerate(lengths)]
    buffer = EpisodeBuffer(SPEC, 200, H, seed)
    for episode in episodes:
        buffer.add(episode)
    batch = buffer.sample(size)
    longest = 0
    for b, found in enumerate(columns(batch)):
        episode = episodes[number_of(found)]
        assert_is(found, episode)
        L = len(episode)
        longest = max(longest, L)
        prev_action = np.zeros((L + 1, 4), np.float32)
        for t in range(L):
            prev_action[t + 1, episode.action[t]] = 1.0
        np.testing.assert_array_equal(batch.prev_action[: L + 1, b], prev_action)
        np.testing.assert_array_equal(batch.prev_reward[: L + 1, b], [0.0, *episode.reward])
        assert batch.row_mask[:, b].tolist() == [1.0] * (L + 1) + [0.0] * (len(batch.mask) - L)
        assert batch.prev_action[L + 1 :, b].abs().sum() == 0
        assert batch.prev_reward[L + 1 :, b].abs().sum() == 0
    assert len(batch.mask) == longest
    assert batch.start.tolist() == [[1.0] * size] + [[0.0] * size] * longest


@pytest.mark.parametrize(("size", "length"), [(16, 1), (8, 3), (1, 9)])
def test_small_batches_of_doubles_find_their_own_rows(size, length):
    buffer = EpisodeBuffer(SPEC, 200, H, seed=0)
    episodes = [numbered_episode(SPEC, n, length) for n in range(2)]
    for episode in episodes:
        buffer.add(episode)
    batch = buffer.sample(size)
    torch.testing.assert_close(batch.obs.through(lambda x: 1 * x), batch.obs.full(), rtol=0, atol=0)
    torch.testing.assert_close(batch.state.through(lambda x: 1 * x), batch.state.full(), rtol=0, atol=0)


def test_every_episode_is_drawn_equally_often():
    buffer = EpisodeBuffer(SPEC, 200, H, seed=3)
    for number, length in enumerate((1, 2, 9, 4)):
        buffer.add(numbered_episode(SPEC, number, length), protect=number < 2)
    drawn = [number_of(found) for found in columns(buffer.sample(4000))]
    counts = np.bincount(drawn, minlength=4)
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(4000 * 0.25 * 0.75)


def test_windows_are_pieces_of_episodes_at_every_offset():
    buffer = EpisodeBuffer(SPEC, 200, window=4, seed=0)
    episodes = [numbered_episode(SPEC, n, length) for n, length in enumerate((9, 2, 4, 5))]
    for episode in episodes:
        buffer.add(episode)
    offsets = {n: set() for n in range(4)}
    for _ in range(20):
        batch = buffer.sample(20)
        assert len(batch.mask) <= 4
        for found in columns(batch):
            number, first = number_of(found), int(found[0][0, 1])
            episode, L = episodes[number], len(found[2])
            assert min(4, len(episode)) == L
            offsets[number].add(first)
            for name, values in zip(("obs", "state", "action", "reward", "discount"), found, strict=True):
                end = first + L + (name in ("obs", "state"))
                np.testing.assert_array_equal(values, getattr(episode, name)[first:end])
        assert batch.prev_action[0].abs().sum() == 0
    assert offsets == {0: set(range(6)), 1: {0}, 2: {0}, 3: {0, 1}}


def test_continuous_actions_are_kept_as_they_are():
    buffer = EpisodeBuffer(CONTINUOUS, 100, H, seed=0)
    episodes = [numbered_episode(CONTINUOUS, n, n + 2) for n in range(3)]
    for episode in episodes:
        buffer.add(episode)
    batch = buffer.sample(6)
    for b, found in enumerate(columns(batch)):
        episode = episodes[number_of(found)]
        assert_is(found, episode)
        np.testing.assert_array_equal(batch.prev_action[1 : len(episode) + 1, b], episode.action)


def assert_same_batch(left, right):
    for name in ("prev_action", "prev_reward", "start", "action", "reward", "discount", "mask"):
        assert torch.equal(getattr(left, name), getattr(right, name)), name
    for name in ("obs", "state"):
        assert torch.equal(getattr(left, name).distinct, getattr(right, name).distinct), name
        assert torch.equal(getattr(left, name).place, getattr(right, name).place), name


@given(
    before=st.lists(st.integers(1, H), min_size=1, max_size=40),
    after=st.lists(st.integers(1, H), max_size=40),
    demos=st.integers(0, 3),
    capacity=st.integers(60, 150),
)
@settings(max_examples=40, deadline=None)
def test_a_buffer_put_down_and_taken_up_goes_on_the_same(before, after, demos, capacity):
    buffer = EpisodeBuffer(SPEC, capacity, 5, seed=1)
    for n in range(demos):
        buffer.add(numbered_episode(SPEC, n, 4), protect=True)
    for n, length in enumerate(before):
        buffer.add(numbered_episode(SPEC, 10 + n, length))
        buffer.sample(2)
    again = EpisodeBuffer(SPEC, capacity, 5, seed=999)
    again.load_state_dict(copy.deepcopy(buffer.state_dict()))
    for n, length in enumerate(after):
        assert_same_batch(buffer.sample(3), again.sample(3))
        for each in (buffer, again):
            each.add(numbered_episode(SPEC, 100 + n, length))
    assert len(buffer) == len(again)
    assert_same_batch(buffer.sample(7), again.sample(7))


def test_a_checkpoint_of_a_buffer_holds_only_the_rows_in_use(tmp_path):
    buffer = EpisodeBuffer(SPEC, 1_000_000, H, seed=1)
    for n in range(20):
        buffer.add(numbered_episode(SPEC, n, H))
    path = save_checkpoint(tmp_path, {"buffer": buffer.state_dict()})
    assert path.stat().st_size < 60_000
    again = EpisodeBuffer(SPEC, 1_000_000, H, seed=2)
    again.load_state_dict(load_checkpoint(tmp_path)["buffer"])
    assert_same_batch(buffer.sample(9), again.sample(9))


def test_memory_follows_the_rows_that_are_stored():
    wide = EnvSpec("Wide-v0", 2000, 2000, 4, True, H)

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before = resident()
    buffer = EpisodeBuffer(wide, 1_000_000, H, seed=0)  # 16 GB, were it all there
    for n in range(100):
        buffer.add(numbered_episode(wide, n, H))
    assert resident() - before < 200e6


@given(
    values=st.lists(st.integers(0, 2), min_size=1, max_size=3),
    lengths=st.lists(st.integers(1, H), min_size=1, max_size=6),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_rows_without_doubles_put_together_equal_the_plain_gather(values, lengths, seed):
    rng = np.random.default_rng(seed)
    buffer = EpisodeBuffer(SPEC, 400, H, seed)
    for length in lengths:
        buffer.add(random_episode(SPEC, length, rng, values=values))
    drawn = buffer._slots(rng.integers(len(buffer), size=7))
    first, length = buffer._first[drawn], buffer._length[drawn]
    batch = buffer._gather(first, length)
    rows = first + np.minimum(np.arange(length.max() + 1)[:, None], length)
    for name, view in (("obs", batch.obs), ("state", batch.state)):
        np.testing.assert_array_equal(view.full(), buffer._rows[name][rows])
        torch.testing.assert_close(view.through(torch.sin), view.full().sin(), rtol=0, atol=0)


def test_a_grids_doubles_are_found():
    buffer = EpisodeBuffer(SPEC, 400, H, seed=0)
    for _ in range(20):
        buffer.add(random_episode(SPEC, H, np.random.default_rng(0), values=(1.0, 2.0)))
    batch = buffer.sample(64)
    assert len(batch.obs.distinct) == 32  # at most 2 ** 3, rounded up
    assert batch.obs.place.max() < 8


@given(
    rows=st.lists(st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.5, 1 / 3, 2.0]), min_size=3, max_size=3), min_size=1),
)
@settings(max_examples=100, deadline=None)
def test_keys_are_equal_exactly_where_rows_are(rows):
    array = np.array(rows, np.float32)
    keys = row_keys(array)
    for i, row in enumerate(array):
        np.testing.assert_array_equal(keys == keys[i], (array == row).all(axis=1))


@pytest.mark.parametrize("width", [1, 2, 242])
def test_keys_of_many_rows_that_differ_little_are_all_different(width):
    rng = np.random.default_rng(0)
    if width == 1:
        rows = np.arange(200_000, dtype=np.float32)[:, None]
    elif width == 2:
        rows = np.stack(np.meshgrid(np.arange(400), np.arange(400)), -1).reshape(-1, 2).astype(np.float32)
    else:
        rows = (rng.random((3000, width)) < 0.02).astype(np.float32)
    assert len(np.unique(row_keys(rows))) == len(np.unique(rows, axis=0))


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float64])
def test_rows_of_other_types_have_keys_as_well(dtype):
    rows = np.array([[1, 2, 3], [1, 2, 4], [1, 2, 3]], dtype)
    keys = row_keys(rows)
    assert keys[0] == keys[2] != keys[1]


def test_a_replay_that_does_not_fit_says_what_it_takes_and_which_field_decides(monkeypatch):
    images = EnvSpec("Screens-v0", 100_800, 100_800, 6, True, 1000)
    with pytest.raises(UserError, match=r"--config_rl\.replay_steps=90000000000: .* of Screens-v0 takes [\d,.]+ GiB"):
        EpisodeBuffer(images, 90_000_000_000, 1000, seed=0)
    buffer = EpisodeBuffer(SPEC, 10_000, H, seed=0)
    assert buffer.row_bytes * buffer.capacity == sum(rows.nbytes for rows in buffer._rows.values())
    monkeypatch.setattr("buffers.episode_buffer.total_memory", lambda: 100 * buffer.row_bytes)
    buffer.check_fits(100)
    with pytest.raises(UserError, match=r"--config_rl\.replay_steps=10000: .*; at most 50 steps fit"):
        buffer.check_fits(101)


def test_memory_is_that_of_the_machine_or_of_its_container(monkeypatch, tmp_path):
    from utils import memory

    machine = memory.total_memory()
    assert machine > 2**28
    monkeypatch.setattr(memory, "CGROUP_LIMIT", tmp_path / "memory.max")
    assert memory.total_memory() >= machine
    for text, expected in (("max\n", memory.total_memory()), ("1048576\n", 2**20)):
        memory.CGROUP_LIMIT.write_text(text)
        assert memory.total_memory() == expected
