"""Images in few bits: what comes back, how far it is off, what is refused, and what it all takes."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from buffers.dataset import check_domain, read_dataset, write_dataset
from buffers.episode_buffer import EpisodeBuffer
from buffers.images import ImageRows, PlainRows, row_storages
from envs.make import make_vector_env
from tests.buffers.test_dataset import METADATA, space_of
from tests.helpers.blob import spec_of
from tests.helpers.configs import config_named
from tests.helpers.episodes import random_episode
from utils.errors import UserError

SHAPE = (4, 3, 5)  # 15 pixels: a mask of them does not fill its bytes
STORAGE = ((0.1, 0.42, 8), (0.0, 1.0, 1), (-2.0, 6.0, 8), (0.25, 0.25, 0))
REAL = spec_of(84)


def random_rows(rng, num):
    """Rows as `STORAGE` declares them."""
    low, high = np.array([s[:2] for s in STORAGE]).T
    x = rng.uniform(low[:, None], high[:, None], (num, 4, 15))
    x[:, 1] = rng.integers(0, 2, (num, 15))
    return x.astype(np.float32).reshape(num, 60)


def test_images_come_back_within_half_a_step_masks_and_constants_exactly():
    storage, rows = ImageRows(SHAPE, STORAGE), random_rows(np.random.default_rng(0), 50)
    stored = storage.encode(rows)
    assert stored.dtype == np.uint8 and stored.shape == (50, 15 + 2 + 15)
    error = np.abs(storage.decode(torch.from_numpy(stored)).numpy() - rows).reshape(50, 4, 15).max(axis=(0, 2))
    assert error[0] <= 0.32 / 510 + 1e-6 and error[2] <= 8 / 510 + 1e-5
    assert error[0] > 0.9 * 0.32 / 510  # and the bound is not a loose one
    assert error[1] == error[3] == 0


def test_what_was_decoded_is_stored_as_the_same_bytes():
    storage = ImageRows((1, 16, 16), ((0.0, 0.31, 8),))
    every = np.arange(256, dtype=np.uint8)[None]
    decoded = storage.decode(torch.from_numpy(every))
    assert decoded.dtype == torch.float32
    np.testing.assert_allclose(decoded.numpy(), np.arange(256)[None] * 0.31 / 255, atol=1e-7)
    np.testing.assert_array_equal(storage.encode(decoded.numpy()), every)
    assert storage.encode(every) is every  # bytes already


def test_a_depth_of_a_tenth_of_a_metre_by_hand():
    storage = ImageRows((1, 1, 3), ((0.0, 0.32, 8),))
    stored = storage.encode(np.array([[0.0, 0.1, 0.32]], np.float32))
    assert stored.tolist() == [[0, 80, 255]]  # 0.1 · 255 / 0.32 = 79.7
    expected = [[0.0, 80 * 0.32 / 255, 0.32]]
    np.testing.assert_allclose(storage.decode(torch.from_numpy(stored)), expected, atol=1e-7)


def test_a_little_noise_beyond_the_ends_is_cut_off():
    storage = ImageRows((1, 1, 2), ((0.0, 0.32, 8),))
    stored = storage.encode(np.array([[-0.01, 0.33]], np.float32))
    np.testing.assert_allclose(storage.decode(torch.from_numpy(stored)), [[0, 0.32]], atol=1e-7)


@pytest.mark.parametrize(
    ("channel", "value"), [(0, 0.5), (0, 0.0), (0, np.nan), (1, 0.5), (1, np.nan), (2, 7.0), (3, 0.0), (3, 0.26)]
)
def test_a_value_that_was_not_declared_is_refused(channel, value):
    rows = random_rows(np.random.default_rng(0), 2)
    rows.reshape(2, 4, 15)[1, channel, 7] = value
    with pytest.raises(ValueError, match=rf"obs of Push-v0: channel {channel} is declared"):
        ImageRows(SHAPE, STORAGE, "obs of Push-v0").encode(rows)


@pytest.mark.parametrize("storage", [STORAGE[:3], ((0.0, 0.0, 8),) * 4, ((0.0, 1.0, 4),) * 4, ((1.0, 0.0, 1),) * 4])
def test_a_storage_that_makes_no_sense_is_refused(storage):
    with pytest.raises(ValueError, match="channel"):
        ImageRows(SHAPE, storage)


def test_a_view_without_a_storage_is_left_alone():
    spec = replace(REAL, state_storage=())
    storages = row_storages(spec)
    assert isinstance(storages["obs"], ImageRows) and isinstance(storages["state"], PlainRows)
    rows = np.ones((2, spec.state_dim), np.float32)
    assert storages["state"].encode(rows) is rows
    tensor = torch.from_numpy(rows)
    assert storages["state"].decode(tensor) is tensor


def test_real_images_fit_into_what_was_promised():
    widths = {view: storage.width for view, storage in row_storages(REAL).items()}
    assert widths == {"obs": 84 * 84, "state": 84 * 84 + 84 * 84 // 8}
    assert max(widths.values()) <= 2 * 84 * 84
    assert sum(widths.values()) <= 15_000
    steps, horizon = 100_000, 50
    buffer = EpisodeBuffer(replace(REAL, max_episode_steps=horizon), steps + steps // horizon, horizon, seed=0)
    assert sum(rows.nbytes for rows in buffer._rows.values()) <= buffer.max_bytes < 1.6e9


def test_a_data_set_keeps_images_in_their_bytes_and_gives_them_back(tmp_path):
    spec, rng = spec_of(8), np.random.default_rng(0)
    storages = row_storages(spec)
    episodes = [blob_like(spec, length, rng) for length in (3, 1, 6)]
    write_dataset(tmp_path / "d", episodes, spec, METADATA, space_of(spec))
    stored = read_dataset(tmp_path / "d")
    assert stored.spec == spec
    check_domain(stored, spec)
    assert stored.obs.dtype == stored.state.dtype == np.uint8
    assert (stored.obs.shape[1], stored.state.shape[1]) == (64, 72)
    for i, episode in enumerate(episodes):
        rows = np.arange(stored.first[i], stored.first[i] + len(episode) + 1)
        for view in ("obs", "state"):
            original = getattr(episode, view)
            np.testing.assert_array_equal(getattr(stored.episode(i), view), storages[view].encode(original))
            np.testing.assert_allclose(stored.read(view, rows), original, atol=0.5 / 510 + 1e-6)
        np.testing.assert_array_equal(stored.read("state", rows)[:, 64:], episode.state[:, 64:])
    write_dataset(tmp_path / "again", [stored.episode(i) for i in range(3)], spec, METADATA, space_of(spec))
    again = read_dataset(tmp_path / "again")
    np.testing.assert_array_equal(again.obs, stored.obs)
    np.testing.assert_array_equal(again.state, stored.state)
    with pytest.raises(UserError, match="obs_storage"):
        check_domain(stored, replace(spec, obs_storage=((0.0, 1.0, 8), (0.0, 0.0, 0))))


@pytest.mark.parametrize(
    ("config", "bytes_of_a_row"), [("four_rooms", 56 + 84), ("sphinx", 10 + 10), ("car_flag_2d", 32 + 32)]
)
def test_maps_of_zeros_and_ones_take_a_bit_a_pixel_and_come_back_as_they_were(config, bytes_of_a_row):
    with closing(make_vector_env(config_named("envs", config), 6, seed=0)) as envs:
        storages, rng = row_storages(envs.spec_sizes), np.random.default_rng(0)
        views, _ = envs.reset(seed=0)
        for _ in range(30):
            for name, storage in storages.items():
                decoded = storage.decode(torch.from_numpy(storage.encode(views[name])))
                np.testing.assert_array_equal(decoded.numpy(), views[name])
            views, _, ended, cut, _ = envs.step(rng.integers(envs.spec_sizes.action_dim, size=6))
            if (over := ended | cut).any():
                envs.reset(options={"reset_mask": over})
    assert sum(storage.width for storage in storages.values()) == bytes_of_a_row


def test_what_older_versions_stored_as_it_is_is_read_on(tmp_path):
    spec, rng = spec_of(8), np.random.default_rng(0)
    older = replace(spec, obs_storage=(), state_storage=())
    episodes = [blob_like(spec, length, rng) for length in (3, 1, 6)]
    write_dataset(tmp_path / "d", episodes, older, METADATA, space_of(older))
    stored = read_dataset(tmp_path / "d")
    check_domain(stored, spec)
    with pytest.raises(UserError, match="state_dim"):
        check_domain(stored, replace(spec, state_dim=6))
    now, then = (EpisodeBuffer(s, 100, spec.max_episode_steps, seed=0) for s in (spec, older))
    for episode in episodes:
        now.add(episode)
        then.add(episode)
    loaded = EpisodeBuffer(spec, 100, spec.max_episode_steps, seed=1)
    loaded.load_state_dict(then.state_dict())
    for field in ("obs", "state", "reward"):
        np.testing.assert_array_equal(loaded.state_dict()["rows"][field], now.state_dict()["rows"][field])
    broken = then.state_dict()
    broken["rows"]["obs"] = broken["rows"]["obs"][:, :-1]
    with pytest.raises(ValueError, match="obs: rows of"):
        loaded.load_state_dict(broken)


def test_episodes_of_older_data_sets_and_without_states_stand_beside_played_ones(tmp_path):
    spec, rng = spec_of(8), np.random.default_rng(0)
    older = replace(spec, obs_storage=(), state_storage=())
    episodes = [blob_like(spec, length, rng) for length in (3, 1, 6)]
    write_dataset(tmp_path / "d", episodes, older, METADATA, space_of(older))
    played, stored = blob_like(spec, 4, rng), read_dataset(tmp_path / "d")
    for view, storage in row_storages(spec).items():
        setattr(played, view, storage.encode(getattr(played, view)))  # as envs with such a storage give it
    buffer = EpisodeBuffer.of(stored, room=50, spec=spec)
    buffer.add(played)
    alone = EpisodeBuffer(spec, 100, 6, seed=0)
    for episode in (*episodes, played):
        alone.add(episode)
    for view in ("obs", "state"):
        kept, expected = (one.state_dict()["rows"][view] for one in (buffer, alone))
        assert kept.dtype == np.uint8
        np.testing.assert_array_equal(kept, expected)
    untold = replace(stored, state=np.full_like(stored.state, np.nan), metadata=stored.metadata | {"has_states": False})
    buffer = EpisodeBuffer.of(untold, spec=spec)
    assert len(buffer) == 3 and (buffer.state_dict()["rows"]["state"] == 0).all()
    assert (buffer.state_dict()["rows"]["obs"] != 0).any()


def blob_like(spec, length, rng):
    """An episode of random depths and masks."""
    episode = random_episode(spec, length, rng)
    pixels = spec.obs_dim // 2
    depth = rng.uniform(0, 0.5, (length + 1, pixels)).astype(np.float32)
    mask = rng.integers(0, 2, depth.shape).astype(np.float32)
    episode.obs, episode.state = np.concatenate([depth, 0 * depth], 1), np.concatenate([depth, mask], 1)
    return episode
