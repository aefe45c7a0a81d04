"""Probes of what embeddings hold, on embeddings of which it is known; and the report."""

import numpy as np
import pytest
import torch

from envs.factors import Factor, factors, informed_actions
from policies.probing import fit as readers
from policies.probing.embeddings import probe_factor, probe_with_shown, report, unseen_share
from policies.probing.fit import linear_probe
from policies.probing.rows import Half, variance_share
from policies.probing.text import _unseen, as_text
from torchkit.networks import EncoderConfig

CPU = torch.device("cpu")
VECTOR = EncoderConfig(3, 8, (16, 16))
IMAGE = EncoderConfig(72, 8, (), (2, 6, 6), (4, 8, 8), (2, 2, 2), (1, 1, 1), (1, 2, 1))


@pytest.fixture(scope="module")
def heaven_hell():
    import gymnasium as gym

    import envs  # noqa: F401 registers the ids

    return gym.make("HeavenHell-v0")


def test_factors_of_heaven_hell(heaven_hell):
    state = np.array([[0.5, 0.75, -1], [1, 1, 1], [0, 0, 1]], np.float32)
    obs = state * np.array([[1, 1, 0], [1, 1, 1], [1, 1, 0]], np.float32)
    found = factors(heaven_hell, obs, state)
    assert found["goal"].label_R.tolist() == [0, 1, 1]
    assert found["goal"].hidden_R.tolist() == [True, False, True]
    assert found["cell"].label_R.tolist() == [24, 34, 0]
    assert found["goal"].is_hidden and not found["cell"].is_hidden
    best = informed_actions(heaven_hell, state)
    assert best.tolist() == [[False, True, False, False], [False, False, True, False], [False] * 4]


def test_a_domain_that_declares_nothing_has_no_factors():
    import gymnasium as gym

    env = gym.make("CartPole-v1")
    assert factors(env, np.zeros((2, 4)), np.zeros((2, 4))) == {}
    assert informed_actions(env, np.zeros((2, 4))) is None


def test_linear_probe_reads_what_is_linear_and_nothing_else():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 400, 3))
    label, weight = (x[:, 0] > 0).astype(int), np.full(200, 1 / 200)
    assert linear_probe(x[:200], label[:200], weight, x[200:], label[200:], weight) > 0.95
    assert linear_probe(noise[:200], label[:200], weight, noise[200:], label[200:], weight) < 0.62


def test_a_probe_of_more_features_than_rows_is_the_plain_one(monkeypatch):
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(80, 300)), rng.integers(0, 2, 80)
    x[:, :20] += label[:, None]
    w = np.full(80, 1 / 80)
    split = (x[:40], label[:40], w[:40], x[40:], label[40:], w[40:])
    quick = linear_probe(*split)
    monkeypatch.setattr(readers, "_in_span", lambda a, b: (a, b))
    assert quick == pytest.approx(linear_probe(*split)) and 0.8 < quick < 1
    monkeypatch.setattr(readers, "WIDE", 200)
    monkeypatch.setattr(readers, "WIDE_ROWS", 20)
    assert linear_probe(*split) == linear_probe(*(part[np.linspace(0, 39, 20).astype(int)] for part in split))


def test_weights_of_a_probe_are_repetitions():
    rng = np.random.default_rng(1)
    x, label, count = rng.normal(size=(30, 2)), rng.integers(3, size=30), rng.integers(1, 5, 30)
    index = np.repeat(np.arange(30), count)
    every = np.full(len(index), 1 / len(index))
    full = linear_probe(x[index], label[index], every, x[index], label[index], every)
    share = count / count.sum()
    assert linear_probe(x, label, share, x, label, share) == pytest.approx(full)


def test_variance_share_by_hand():
    x, label = np.array([[0.0, 0], [2, 0], [4, 0], [6, 0]]), np.array([0, 0, 1, 1])
    assert variance_share(x, label, np.full(4, 0.25)) == pytest.approx(4 / 5)


def test_noise_is_a_part_of_the_root_mean_square():
    z = np.array([[10.0], [-10.0]], np.float32)
    half = Half({"z_state": z, "z_obs": z, "obs": z, "state": z}, np.zeros((2, 4)), np.zeros(2), np.array([0.9, 0.1]))
    noisy, index = half.blurred(0.1, 20_000, np.random.default_rng(0))
    assert (index == 0).mean() == pytest.approx(0.9, abs=0.01)
    assert (noisy.views["z_state"] - z[index]).std() == pytest.approx(
        0.1 * 6.0, rel=0.05
    )  # of the weighted deviation, 6
    np.testing.assert_array_equal(noisy.views["state"], z[index])


@pytest.mark.parametrize(("seen", "expected"), [(1.0, 0.0), (0.5, 0.8), (0.0, 1.0)])
def test_the_unseen_share_is_the_variance_that_no_observation_tells(seen, expected):
    """z = seen · o + (1 - seen) · 2 · hidden, of independent unit variances: 1 : 4 where seen is a half."""
    rng = np.random.default_rng(0)
    obs, hidden = rng.normal(size=(2, 6000, 1)).astype(np.float32)
    z = 30 * (seen * obs + (1 - seen) * 2 * hidden) - 7  # neither scale nor offset matters
    whole = Half({"obs": obs, "z_state": z, "z_obs": 0 * obs}, obs, obs[:, 0], np.full(6000, 1 / 6000))
    train, test = whole.take(np.arange(3000)), whole.take(np.arange(3000, 6000))
    assert unseen_share(train, test, "z_state", seed=0, steps=300) == pytest.approx(expected, abs=0.06)


def test_a_z_state_of_what_is_seen_is_warned_of():
    assert "Little of z_state is hidden" in "\n".join(_unseen({"z_state": 0.2}))
    assert "Little of z_state is hidden" not in "\n".join(_unseen({"z_state": 0.7}))


def test_what_is_read_of_a_factor_beside_what_is_shown_of_it():
    rng = np.random.default_rng(0)
    place, side = rng.uniform(-1, 1, 4000).astype(np.float32), rng.choice([-1, 1], 4000)
    counts = np.arange(4000) % 4 < 3  # the others count for nothing, and would be told wrong
    moves = side == np.sign(place)  # whether the one at this place is on the side that moves
    label = np.where(moves == counts, 7, 3)
    views = {"z_state": side[:, None].astype(np.float32), "z_obs": rng.normal(size=(4000, 1)).astype(np.float32)}
    whole = Half(views, place[:, None], side, np.where(counts, 1 / 3000, 0)), Factor(label, counts, place[:, None])
    train, test = ([part.take(rows) for part in whole] for rows in np.split(np.arange(4000), 2))
    assert probe_factor(train, test, ("z_state",))["z_state"] < 0.6
    read = probe_with_shown(train, test, ("z_state", "z_obs"), seed=0, steps=300)
    assert read["z_state"] > 0.95 and 0.4 < read["shown"] < 0.6 and 0.4 < read["z_obs"] < 0.6


class Slice(torch.nn.Module):
    """An embedder that passes on some of its inputs."""

    def __init__(self, *kept):
        super().__init__()
        self.kept = list(kept)
        self.register_parameter("unused", torch.nn.Parameter(torch.zeros(1)))

    def forward(self, x):
        return x[..., self.kept]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    from buffers.dataset import read_dataset, write_dataset
    from envs.make import make_vector_env
    from policies.acting.collect import collect_episodes

    config = __import__("importlib").import_module("configs.envs.heaven_hell").get_config()
    make = lambda num, seed: make_vector_env(config, num, seed=seed)  # noqa: E731
    played = collect_episodes(make, 300, 0, num_envs=64, seed=0, guess_share=0.0)
    envs, path = make(1, 0), tmp_path_factory.mktemp("data") / "heaven_hell"
    write_dataset(path, played, envs.spec_sizes, {}, envs.single_action_space)
    return read_dataset(path)


def test_an_embedding_that_is_nearly_the_same_for_all_rows_is_named(stored, heaven_hell, monkeypatch):
    class Constant(Slice):
        def forward(self, x):
            return 3.0 + 1e-3 * super().forward(x)

    monkeypatch.setattr("policies.probing.embeddings.NUM_DRAWN", 300)
    found = report(stored, {"z_state": Slice(0, 1, 2), "z_obs": Constant(0, 1)}, heaven_hell, seed=0, steps=5)
    assert found["collapsed"] == ["z_obs"]
    assert "**z_obs has collapsed**" in as_text(found)


def test_the_report_asks_where_the_answer_is_open_with_what_is_shown(stored, heaven_hell, monkeypatch):
    def declared(env, obs, state):
        goal, none = factors(env, obs, state)["goal"], np.zeros(len(obs), bool)
        left = obs[:, :1] < 0.5
        asked = Factor(goal.label_R ^ left[:, 0], goal.hidden_R, left.astype(np.float32))  # left of the one, or not
        nowhere = Factor(goal.label_R, none if len(seen) % 2 else goal.hidden_R)  # open in one half of the data alone
        seen.append(len(obs))
        return {"asked": asked, "nowhere": nowhere}

    seen = []
    monkeypatch.setattr("policies.probing.embeddings.NUM_DRAWN", 1500)
    monkeypatch.setattr("policies.probing.embeddings.factors", declared)
    found = report(stored, {"z_state": Slice(2), "z_obs": Slice(1)}, heaven_hell, seed=0, steps=300)
    assert list(found["factors"]) == ["asked"] and found["factors"]["asked"]["kind"] == "hidden"
    read = found["factors"]["asked"]["accuracy_with_shown"]
    assert read["z_state"] > 0.99 and max(read["z_obs"], read["shown"]) < 0.6
    text = as_text(found)
    assert "| factor | chance | shown alone | with z_state | with z_obs |" in text
    numbers = [found["factors"]["asked"]["chance"], read["shown"], read["z_state"], read["z_obs"]]
    row = next(line for line in text.splitlines()[::-1] if line.startswith("| asked"))
    assert [cell.strip() for cell in row.split("|")[2:-1]] == [f"{number:.3f}" for number in numbers]


def test_the_report_tells_separate_embeddings_from_overlapping_ones(stored, heaven_hell, monkeypatch):
    monkeypatch.setattr("policies.probing.embeddings.NUM_DRAWN", 1500)
    encoders = {"z_state": Slice(2), "z_obs": Slice(0, 1, 2)}
    untrained = {"z_state untrained": Slice(0, 1), "z_obs untrained": Slice(2)}  # the place, and nothing
    apart = report(stored, encoders | untrained, heaven_hell, seed=0, steps=300)
    overlap = report(stored, encoders | {"z_state": Slice(0, 1, 2)}, heaven_hell, seed=0, steps=300)
    goal, cell = apart["factors"]["goal"], apart["factors"]["cell"]
    assert goal["kind"] == "hidden" and cell["kind"] == "visible"
    assert goal["accuracy"]["z_state"] >= 0.99 and goal["accuracy"]["z_obs"] <= goal["chance"] + 0.05
    assert cell["accuracy"]["z_state"] <= cell["chance"] + 0.05
    assert goal["variance_share"]["z_state"] == pytest.approx(1.0)
    assert apart["collapsed"] == [] and "collapsed" not in as_text(apart)
    assert "accuracy_with_shown" not in goal and "shown alone" not in as_text(apart)
    for group in ("accuracy", "accuracy_with_noise"):
        assert goal[group]["z_state untrained"] <= goal["chance"] + 0.05 and cell[group]["z_state untrained"] > 0.9
    assert "| z_state untrained | z_state untrained (noise) |" in as_text(apart)
    assert "z_state untrained" not in as_text(overlap) and "of an untrained z_state" not in as_text(overlap)
    assert (
        apart["shared_nats"]["z_state_untrained_z_obs"] > 5 * apart["shared_nats"]["z_state_z_obs"]
    )  # the place, in both
    assert "of an untrained z_state" in as_text(apart)
    assert apart["shared_nats"]["z_state_z_obs"] < 0.2 * overlap["shared_nats"]["z_state_z_obs"]
    assert apart["unseen_share"]["z_state"] > 0.8 > 0.05 > apart["unseen_share"]["z_state untrained"]
    assert "of an untrained z_state's: 0%" in as_text(apart) and "Little of z_state is hidden" not in as_text(apart)
    reward = apart["decisions"]["reward_r2"]
    assert reward["z_state (zero-on)"] < 0.2 and reward["z_obs"] < 0.2 and reward["z_obs, z_state (zero-off)"] > 0.5
    assert overlap["decisions"]["reward_r2"]["z_state (zero-on)"] > 0.5
