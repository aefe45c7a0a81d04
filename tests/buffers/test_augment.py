"""Turned copies: images as scipy turns them, actions by hand, and scenes that could have been seen so."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from buffers.augment import (
    MIRROR,
    check_turnable,
    copy_angles,
    draw_angles,
    turn_actions,
    turn_images,
    turn_rows,
    turned_share,
)
from buffers.batch import Episode
from buffers.episode_buffer import EpisodeBuffer
from buffers.images import row_storages
from envs.base import EnvSpec
from tests.buffers.test_episode_buffer import assert_same_batch
from tests.buffers.test_images import blob_like
from tests.helpers.blob import SIZE, spec_of, views_of
from tests.helpers.episodes import numbered_episode, random_episode
from utils.errors import UserError

ANGLES = (0.0, 0.3, math.pi / 2, 2.0, math.pi, 4.1, 6.2)


def scipy_turn(image, angle):
    """The definition: M = Tr(pivot) R(angle) Tr(-pivot), resampled through its inverse."""
    pivot = (len(image) - 1) / 2
    to, back, turn = np.eye(3), np.eye(3), np.eye(3)
    to[:2, 2], back[:2, 2] = pivot, -pivot
    turn[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return affine_transform(image, np.linalg.inv(to @ turn @ back), order=1, mode="nearest")


@pytest.mark.parametrize("size", [84, 7])
def test_images_are_turned_as_scipy_turns_them(size):
    rng = np.random.default_rng(0)
    depth = rng.uniform(0, 1, (len(ANGLES), size, size))
    mask = (rng.random((len(ANGLES), size, size)) < 0.3).astype(float)
    image = np.stack([depth, mask], axis=1).astype(np.float32)
    turned = turn_images(torch.from_numpy(image), torch.tensor(ANGLES)).numpy()
    for n, angle in enumerate(ANGLES):
        for c in range(2):
            np.testing.assert_allclose(turned[n, c], scipy_turn(image[n, c], angle), atol=1e-3)
            assert n == 0 or np.abs(turned[n, c] - image[n, c]).max() > 0.1


def test_a_quarter_turn_by_hand():
    for size, start, end in ((9, (6, 5), (3, 6)), (8, (6, 4), (3, 6))):  # from the centre (2, 1), (2.5, 0.5), quarter
        image, expected = torch.zeros(2, 1, 1, size, size)
        image[0, 0][start] = expected[0, 0][end] = 1.0  # turns to (-1, 2), (-0.5, 2.5)
        turned = turn_images(image, torch.tensor([math.pi / 2]))
        torch.testing.assert_close(turned, expected, atol=1e-5, rtol=0)
    image = torch.rand(1, 2, 84, 84)
    for turns in range(1, 4):  # of the whole picture, down to its corners
        turned = turn_images(image, torch.tensor([turns * math.pi / 2]))
        torch.testing.assert_close(turned, torch.rot90(image, turns, (2, 3)), atol=1e-4, rtol=0)


def test_an_angle_from_one_whole_turn_on_mirrors_columns_before_it_turns():
    image, angle = torch.rand(1, 2, 84, 84), torch.tensor([0.7])
    mirrored = turn_images(image, angle + MIRROR)
    torch.testing.assert_close(mirrored, turn_images(image.flip(3), angle), atol=1e-5, rtol=0)
    action = torch.tensor([[0.1, 0.3, 0.4, -0.2, 0.5]])  # gripper, x, y, z, yaw
    seen_in_it = torch.tensor([[0.1, 0.3, -0.4, -0.2, -0.5]])
    torch.testing.assert_close(turn_actions(action, angle + MIRROR), turn_actions(seen_in_it, angle))
    torch.testing.assert_close(turn_actions(action[:, 1:], angle + MIRROR), turn_actions(seen_in_it[:, 1:], angle))
    both = torch.cat([image, image])  # one of a pair each
    torch.testing.assert_close(turn_images(both, torch.tensor([0.7, 0.7 + MIRROR]))[1:], mirrored)


def test_many_images_are_turned_each_by_its_own_angle():
    rng = np.random.default_rng(1)
    image, angle = torch.rand(150, 1, 6, 6), torch.from_numpy(rng.uniform(0, 6, 150))  # more than are turned at a time
    turned = turn_images(image, angle)
    for n in (0, 63, 64, 149):
        torch.testing.assert_close(turned[n : n + 1], turn_images(image[n : n + 1], angle[n : n + 1]))


def test_one_angle_for_all_rows_and_one_for_each_are_the_same_and_spare_constant_channels():
    spec = spec_of(8)
    storage, rows = row_storages(spec)["obs"], torch.rand(5, spec.obs_dim)
    together, each = rows.clone(), rows.clone()
    turn_rows(together, storage, torch.tensor([0.7]))
    turn_rows(each, storage, torch.full((5,), 0.7))
    torch.testing.assert_close(together, each)
    expected = scipy_turn(rows[3, :64].view(8, 8).numpy(), 0.7)
    np.testing.assert_allclose(together[3, :64].view(8, 8), expected, atol=1e-5)
    torch.testing.assert_close(together[:, 64:], rows[:, 64:], rtol=0, atol=0)
    turn_rows(rows[:0], storage, torch.zeros(0))


def test_the_plane_of_an_action_is_turned_where_it_stands_and_clipped():
    four, five = torch.tensor([0.5, 0.25, 0.3, -0.9]), torch.tensor([-0.7, 0.5, 0.25, 0.3, -0.9])
    quarter = torch.tensor(math.pi / 2, dtype=torch.float64)
    torch.testing.assert_close(turn_actions(four, quarter), torch.tensor([-0.25, 0.5, 0.3, -0.9]))
    torch.testing.assert_close(turn_actions(five, quarter), torch.tensor([-0.7, -0.25, 0.5, 0.3, -0.9]))
    eighth = torch.tensor(math.pi / 4)
    clipped = turn_actions(torch.tensor([1.0, 1.0, 1.0, 1.0]), eighth)  # (0, √2)
    torch.testing.assert_close(clipped, torch.tensor([0.0, 1.0, 1.0, 1.0]), atol=1e-6, rtol=0)
    batch = torch.rand(3, 2, 5)
    turned = turn_actions(batch, torch.tensor([0.0, 1.0]))
    assert torch.equal(turned[:, 0], batch[:, 0])
    assert not torch.equal(turned[:, 1], batch[:, 1])


def test_what_cannot_be_turned_is_refused_with_the_flag():
    spec = spec_of(8)
    assert turned_share("", 4, spec) == turned_share("se2", 0, spec) == 0.0
    assert turned_share("se2", 4, spec) == turned_share("e2", 4, spec) == 0.8
    vector = EnvSpec("Push-v0", 3, 3, 4, False, 9)
    refused = {
        "--config_env.augment": ("se3", 4, spec),
        "--config_env.n_aug=-1": ("se2", -1, spec),
        "observation of Push-v0 is no square image": ("se2", 1, vector),
        "width 4 or 5; those of Blob-v0 are of width 3": ("se2", 1, spec_of(8, action_dim=3)),
        "are discrete": ("se2", 1, EnvSpec("G-v0", 8, 8, 4, True, 9, (2, 2, 2), (2, 2, 2))),
        "state of G-v0 is no square": ("se2", 1, EnvSpec("G-v0", 8, 8, 4, False, 9, (2, 2, 2), (2, 4, 1))),
    }
    for text, arguments in refused.items():
        with pytest.raises(UserError, match=text):
            turned_share(*arguments)
    with pytest.raises(UserError, match="--aug: the observation"):
        check_turnable(vector, "--aug")


def test_angles_are_uniform_and_zero_for_the_rest():
    angle = draw_angles(np.random.default_rng(0), 40_000, 0.8)
    turned = angle[angle != 0]
    assert abs(len(turned) / 40_000 - 0.8) < 5 * np.sqrt(0.8 * 0.2 / 40_000)
    assert 0 < turned.min() < 0.01 and 2 * np.pi - 0.01 < turned.max() < 2 * np.pi
    assert np.abs(np.histogram(turned, 8, (0, 2 * np.pi))[0] / len(turned) - 1 / 8).max() < 0.01
    for kind in ("se2", "e2"):
        mirrored = draw_angles(np.random.default_rng(0), 40_000, 0.8, kind)
        beyond = mirrored >= MIRROR
        np.testing.assert_allclose(mirrored - MIRROR * beyond, angle, atol=1e-12)  # what else is drawn stays the same
        share = beyond.sum() / (mirrored != 0).sum()
        assert abs(share - 0.5) < 0.02 if kind == "e2" else share == 0
    of_stage_2 = copy_angles(torch.arange(40_000), 500, torch.Generator().manual_seed(0), "e2")
    assert (of_stage_2[:500] == 0).all() and abs(float((of_stage_2[500:] >= MIRROR).double().mean()) - 0.5) < 0.02
    copies = copy_angles(torch.arange(2000), 500, torch.Generator().manual_seed(0))
    assert (copies[:500] == 0).all() and (copies[500:] > 0).all() and abs(float(copies[500:].mean()) - np.pi) < 0.3


def test_copies_by_the_squares_symmetries_are_exact_and_each_as_likely():
    eight = [*np.arange(8) * (np.pi / 2)]  # from 2π on they are mirrored
    drawn = draw_angles(np.random.default_rng(0), 70_000, 0.7, "d4")
    found, count = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(found, np.sort(eight))
    np.testing.assert_allclose(count / 70_000, [0.3, *[0.1] * 7], atol=0.006)  # five standard deviations
    of_stage_2 = copy_angles(torch.arange(7000), 500, torch.Generator().manual_seed(0), "d4")
    assert (of_stage_2[:500] == 0).all() and set(of_stage_2[500:].tolist()) == set(eight[1:])

    image = torch.rand(8, 2, 6, 6)
    turned = turn_images(image, torch.tensor(eight, dtype=torch.float64))
    for number in range(8):
        before = image[number].flip(2) if number >= 4 else image[number]
        assert torch.equal(turned[number], torch.rot90(before, number % 4, (1, 2)))
        almost = turn_images(image[number : number + 1], torch.tensor([eight[number] + 1e-6], dtype=torch.float64))
        torch.testing.assert_close(almost[0], turned[number], atol=1e-4, rtol=0)
    action = torch.tensor([0.5, -0.25, 0.1, 0.75]).expand(8, 4)  # x, y, z, yaw
    expected = [
        (0.5, -0.25),
        (0.25, 0.5),
        (-0.5, 0.25),
        (-0.25, -0.5),
        (0.5, 0.25),
        (-0.25, 0.5),
        (-0.5, -0.25),
        (0.25, -0.5),
    ]
    found = turn_actions(action, torch.tensor(eight, dtype=torch.float64))
    torch.testing.assert_close(found[:, :2], torch.tensor(expected), atol=1e-6, rtol=0)
    assert torch.equal(found[:, 3], torch.tensor([0.75] * 4 + [-0.75] * 4))


def walk(spec, length, rng, start=None, turn=0.0):
    """An episode of the blob; the same one seen from a camera that is turned."""
    actions = rng.uniform(-0.3, 0.3, (length, spec.action_dim)).astype(np.float32)
    position = rng.uniform(-3, 3, 2) if start is None else start
    plane = slice(1, 3) if spec.action_dim == 5 else slice(0, 2)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    actions[:, plane] = actions[:, plane] @ rotation.T
    path = [rotation @ position]
    for action in actions:
        path.append(path[-1] + 4 * action[plane])
    views = [views_of(p) for p in path]
    obs, state = (np.stack(column) for column in zip(*views))
    reward, discount = np.zeros(length, np.float32), np.ones(length, np.float32)
    return Episode(obs, state, actions, reward, discount)


@pytest.mark.parametrize("action_dim", [4, 5])
def test_a_turned_episode_is_one_that_the_turned_scene_would_have_given(action_dim):
    spec = spec_of(action_dim=action_dim)
    plane = slice(1, 3) if action_dim == 5 else slice(0, 2)
    buffer = EpisodeBuffer(spec, 100, 6, seed=0, turned_share=1.0)
    episode = walk(spec, 6, np.random.default_rng(5))
    buffer.add(episode)
    batch = buffer.sample(6)
    obs, state = batch.obs.full(), batch.state.full()
    pixel = np.arange(SIZE) - (SIZE - 1) / 2
    inside = (pixel[:, None] ** 2 + pixel**2 < (SIZE / 2 - 1) ** 2).ravel()  # what no turn takes out of the picture
    angles = set()
    for b in range(6):
        was, now = episode.action[0, plane], batch.action[0, b, plane].numpy()
        angle = math.atan2(now[1], now[0]) - math.atan2(was[1], was[0])
        angles.add(round(angle % (2 * math.pi), 3))
        seen = walk(spec, 6, np.random.default_rng(5), turn=angle)
        np.testing.assert_allclose(batch.action[:, b], seen.action, atol=1e-5)
        np.testing.assert_allclose(batch.prev_action[1:, b], seen.action, atol=1e-5)
        for found, expected in ((obs, seen.obs), (state, seen.state)):
            depth = found[:, b, : SIZE**2].numpy()[:, inside]
            # of 0.5: a step of the storage, and the linear interpolation of a curved hill
            np.testing.assert_allclose(depth, expected[:, : SIZE**2][:, inside], atol=0.015)
        assert (obs[:, b, SIZE**2 :] == 0).all()
        overlap = (state[:, b, SIZE**2 :].numpy() * seen.state[:, SIZE**2 :]).sum() / seen.state[:, SIZE**2 :].sum()
        assert overlap > 0.85
    assert len(angles) == 6
    assert (obs - torch.from_numpy(episode.obs)[:, None]).abs().amax(dim=(0, 2)).median() > 0.05


def test_the_share_of_turned_episodes_is_that_of_n_aug_copies():
    spec = spec_of(4)
    buffer = EpisodeBuffer(spec, 200, 6, seed=1, turned_share=turned_share("se2", 4, spec))
    episodes = [blob_like(spec, length, np.random.default_rng(length)) for length in (1, 2, 1, 1)]
    for n, episode in enumerate(episodes):
        episode.expert = n < 2
        buffer.add(episode, protect=n < 2)
    turned = expert = 0
    for _ in range(4):
        batch = buffer.sample(500)
        as_it_was = torch.zeros(500, dtype=torch.bool)
        for episode in episodes:
            as_it_was |= (batch.action[0] == torch.from_numpy(episode.action[0])).all(-1)
        turned += int((~as_it_was).sum())
        expert += int(batch.expert[~as_it_was].sum())
        views = [row_storages(spec)[v].decode(torch.from_numpy(buffer._rows[v])) for v in ("obs", "state")]
        for view, rows in zip((batch.obs, batch.state), views):  # what was not turned is as it is stored
            first = view.full()[0, as_it_was]
            assert ((first[:, None] == rows[None]).all(-1).any(-1)).all()
    assert abs(turned / 2000 - 0.8) < 5 * math.sqrt(0.8 * 0.2 / 2000)
    assert abs(expert / turned - 0.5) < 5 * math.sqrt(0.25 / turned)  # demonstrations among them


def test_each_frame_of_a_batch_stands_in_it_once():
    spec = spec_of(8)
    buffer = EpisodeBuffer(spec, 200, 6, seed=0)
    episode = blob_like(spec, 5, np.random.default_rng(0))
    episode.obs[3] = episode.obs[2]  # the arm was stuck
    buffer.add(episode)
    buffer.add(blob_like(spec, 1, np.random.default_rng(1)))
    batch = buffer.episodes(np.array([0, 1, 1, 0]))
    assert batch.obs.place.max() == 5 + 2 - 1  # 5 distinct frames of the first, 2 of the second; padding is no other
    assert batch.state.place.max() == 6 + 2 - 1
    assert len(batch.obs.distinct) == 32  # rounded up
    turned = buffer.episodes(np.array([0, 0, 0, 0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert turned.obs.place.max() == 3 * 5 - 1  # two columns as they were, two that are turned each for itself
    full = turned.obs.full()
    assert torch.equal(full[:, 0], full[:, 1]) and torch.equal(full[:, 2], full[:, 3])
    assert not torch.equal(full[:, 0], full[:, 2])
    for b in (0, 2):
        np.testing.assert_allclose(full[:6, b, 64:], 0, atol=0)


def test_a_replay_that_turns_goes_on_the_same_after_a_checkpoint():
    spec = spec_of(6)
    buffer = EpisodeBuffer(spec, 100, 4, seed=1, turned_share=0.5)
    rng = np.random.default_rng(0)
    for n in range(9):
        episode = blob_like(spec, 1 + n % 6, rng)
        episode.expert = n < 2
        buffer.add(episode, protect=n < 2)
        buffer.sample(3)
    again = EpisodeBuffer(spec, 100, 4, seed=7, turned_share=0.5)
    again.load_state_dict(copy.deepcopy(buffer.state_dict()))
    for _ in range(20):
        assert_same_batch(buffer.sample(5), again.sample(5))
        episode = blob_like(spec, 6, rng)
        for each in (buffer, again):
            each.add(episode)
    assert len(again) == len(buffer) < 29  # the ring went round, the two demonstrations stayed
    assert buffer.sample(200).expert.sum() > 0


@pytest.mark.parametrize("kind", ["se2", "e2"])
def test_half_of_the_copies_are_mirrored_where_that_is_asked_for(kind):
    spec = spec_of(6)
    buffer = EpisodeBuffer(spec, 100, 4, seed=1, turned_share=1.0, copies=kind)
    buffer.add(blob_like(spec, 4, np.random.default_rng(0)))
    batch = buffer.sample(400)
    yaw = torch.from_numpy(buffer._rows["action"][:4, -1])
    opposite = (batch.action[..., -1] == -yaw[:, None]).all(0)
    as_it_was = (batch.action[..., -1] == yaw[:, None]).all(0)
    assert (opposite | as_it_was).all()
    assert abs(float(opposite.float().mean()) - 0.5) < 0.1 if kind == "e2" else not opposite.any()


def test_images_that_are_stored_as_floats_are_turned_as_well():
    spec = EnvSpec("Floats-v0", 32, 32, 4, False, 5, (2, 4, 4), (2, 4, 4))
    buffer = EpisodeBuffer(spec, 100, 5, seed=0, turned_share=1.0)
    episode = random_episode(spec, 5, np.random.default_rng(0))
    buffer.add(episode)
    batch = buffer.sample(1)
    angle = math.atan2(*batch.action[0, 0, [1, 0]].tolist()) - math.atan2(*episode.action[0, [1, 0]].tolist())
    for view, original in ((batch.obs, episode.obs), (batch.state, episode.state)):
        expected = [[scipy_turn(image, angle) for image in row.reshape(2, 4, 4)] for row in original]
        np.testing.assert_allclose(view.full()[:, 0].reshape(6, 2, 4, 4), expected, atol=1e-4)


def test_vectors_and_grids_are_drawn_as_ever():
    spec, rng = EnvSpec("Numbered-v0", 3, 2, 4, True, 9), np.random.default_rng(11)
    buffer = EpisodeBuffer(spec, 200, 4, seed=11)
    episodes = [numbered_episode(spec, n, length) for n, length in enumerate((9, 2, 4, 5))]
    for episode in episodes:
        buffer.add(episode)
    for _ in range(3):  # nothing but the episodes and their offsets is drawn
        index = rng.integers(4, size=8)
        length = np.array([9, 2, 4, 5])[index]
        offset = rng.integers(0, np.maximum(length - 4, 0) + 1)
        batch = buffer.sample(8)
        obs = batch.obs.full()
        assert batch.obs.full().dtype == torch.float32
        assert obs[0, :, 0].tolist() == index.tolist()
        assert obs[0, :, 1].tolist() == offset.tolist()


def test_images_are_decoded_when_they_are_read_and_as_they_were_when_drawn(monkeypatch):
    spec = spec_of(6)
    buffer = EpisodeBuffer(spec, 14, 6, seed=0, turned_share=1.0, copies="d4")
    rng = np.random.default_rng(0)
    buffer.add(blob_like(spec, 6, rng))
    calls, decode = [], type(buffer.storages["obs"]).decode
    monkeypatch.setattr(type(buffer.storages["obs"]), "decode", lambda *args: (calls.append(1), decode(*args))[1])
    batch = buffer.sample(3)
    assert not calls
    obs = batch.to("cpu").obs.full()
    assert batch.obs.full().shape == (7, 3, 72) and len(calls) == 1
    for _ in range(3):  # the ring goes round, over what was drawn
        buffer.add(blob_like(spec, 6, rng))
    state = batch.state.full()
    again = EpisodeBuffer(spec, 14, 6, seed=0, turned_share=1.0, copies="d4")
    again.add(blob_like(spec, 6, np.random.default_rng(0)))
    fresh = again.sample(3)
    assert torch.equal(fresh.obs.full(), obs) and torch.equal(fresh.state.full(), state)
