"""What memories hold of the belief: memories that are known to hold it, and those that cannot."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from envs.base import entropies
from envs.irrelevant import VARIANCE, filtered
from envs.make import make_vector_env, seen_model_of
from policies.acting.rollout import RandomPolicy, run_episodes
from policies.build import build_policy
from policies.deployed.solved import solved_config, solved_policy
from policies.exact.point_based import Solver, controller
from policies.models.sources import Sources
from policies.probing.gauge import BeliefGauge, memories
from policies.training.observers import Gauge
from policies.training.run import gauges
from tests.helpers.agents import make_config
from tests.helpers.configs import config_named
from tests.helpers.runs import assert_identical, metrics
from tests.helpers.scripts import assert_refused
from torchkit.information import ESTIMATORS
from torchkit.information.base import Effort
from utils.checkpoint import load_checkpoint
from utils.errors import UserError

LENGTH = 3


def t_maze(noise=0.3, horizon=12):
    config = config_named("envs", "t_maze")
    with config.unlocked():
        config.kwargs.length, config.kwargs.noise, config.horizon = LENGTH, noise, horizon
    return config


@pytest.fixture(scope="module")
def exact():
    """A gauge, a policy whose memory is the exact belief, and one who acts at random."""
    config_env = t_maze()
    envs = make_vector_env(config_env, 400, seed=0)
    model, views = seen_model_of(config_env)
    solver = Solver(model, None)
    next(solver.run())
    config = solved_config(config_env, "bounds")
    policy = solved_policy(model, views, controller(solver), 0, envs.spec_sizes, config)
    random = RandomPolicy(4, True, np.random.default_rng(0))
    return BeliefGauge(config, envs, "--gauge=belief", episodes=400), policy.eval(), random


def test_a_memory_that_is_the_belief_holds_all_of_it(exact):
    gauge, policy, random = exact
    found = gauge.measure(policy, 1, random)
    assert found.keys() >= {"return", "belief", "treasure", "place", "treasure_entropy"}
    assert found["treasure_entropy"] == pytest.approx(np.log(2), abs=0.01)
    assert found["treasure"] == pytest.approx(found["treasure_entropy"], abs=0.08)
    assert found["belief"] > 1.5  # of where it is as well
    pairs = gauge.pairs(policy, 1, random)
    np.testing.assert_allclose(pairs.memory_NH[:, :-1], pairs.beliefs["belief"], atol=1e-5)  # row by row


def test_a_memory_that_forgets_holds_less(exact):
    gauge, _, random = exact
    config = make_config(memory="markov")
    forgets = build_policy(Sources(gauge.spec, config)).eval()
    found = gauge.measure(forgets, 1, random)
    assert found["treasure"] < 0.6 * found["treasure_entropy"]


def test_a_readout_of_the_belief_is_the_belief(exact):
    gauge, policy, random = exact
    episodes = gauge.pairs(policy, 2, random)  # the readout learns from greedy ones
    read_NK = gauge.readout(policy, 0)(episodes.memory_NH)
    np.testing.assert_allclose(read_NK.sum(1), 1.0)
    true_NK = episodes.beliefs["belief"].numpy()
    assert np.abs(read_NK - true_NK).mean() < 0.5 * np.abs(true_NK.mean(0) - true_NK).mean()


def test_global_generators_and_the_policy_stay_as_they_are(exact):
    gauge, policy, random = exact
    gauge.estimator = ESTIMATORS["barber_agakov"](Effort(steps=20))
    before, weights = torch.get_rng_state(), {k: v.clone() for k, v in policy.state_dict().items()}
    gauge.measure(policy, 3, random)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(v, weights[k]) for k, v in policy.state_dict().items())


def test_closing_the_observer_closes_its_envs(exact, monkeypatch):
    gauge, closed = exact[0], []
    monkeypatch.setattr(gauge.envs, "close", lambda: closed.append(True))
    Gauge(gauge, 10, seed=0).close()
    assert closed == [True]


def test_irrelevant_variables_have_a_belief_of_their_own():
    rng = np.random.default_rng(0)
    seen_RD = rng.normal(size=(6, 2))
    R = len(seen_RD)
    prior_RR = VARIANCE * np.minimum.outer(np.arange(1, R + 1), np.arange(1, R + 1))  # of a random walk
    for row in range(R):
        upto = slice(0, row + 1)
        gain = prior_RR[row, upto] @ np.linalg.inv(prior_RR[upto, upto] + np.eye(row + 1))
        np.testing.assert_allclose(filtered(seen_RD)[row], gain @ seen_RD[upto], atol=1e-12)
    config_env = config_named("envs", "irrelevant")
    with config_env.unlocked():
        config_env.kwargs.of, config_env.horizon = {"length": LENGTH, "noise": 0.3}, 12
    config = make_config(memory="markov")
    with config.unlocked():
        config.env = config_env
    envs = make_vector_env(config_env, 64, seed=0)
    gauge = BeliefGauge(config, envs, "--gauge=belief", episodes=64)
    policy = build_policy(Sources(envs.spec_sizes, config)).eval()
    pairs = gauge.pairs(policy, 0)
    assert pairs.beliefs["irrelevant"].shape == (64, 1)
    assert pairs.beliefs["treasure"].shape == (64, 2)  # by the features of the domain within


@pytest.fixture(scope="module")
def hike():
    """A config of Varying Mountain Hike behind an irrelevant variable, cut short, and a policy."""
    config = make_config(memory="gru")
    with config.unlocked():
        config.env = config_named("envs", "irrelevant:varying_mountain_hike")
        config.env.horizon = 12
    envs = make_vector_env(config.env, 64, seed=0)
    return config, envs, build_policy(Sources(envs.spec_sizes, config)).eval()


def test_beliefs_by_particles_are_read_as_sets(hike):
    config, envs, policy = hike
    gauge = BeliefGauge(config, envs, "--gauge=belief", episodes=128)
    pairs = gauge.pairs(policy, 0, RandomPolicy(4, True, np.random.default_rng(0)))
    shapes = {name: tuple(belief.shape) for name, belief in pairs.beliefs.items()}
    rest = {"x": (128, 8), "y": (128, 8), "turn": (128, 4), "irrelevant": (128, 1)}
    assert shapes == {"belief": (128, 250, 6)} | rest  # x, y and the turn, one-hot
    state_N6 = pairs.beliefs["belief"].mean(dim=1)
    np.testing.assert_allclose(state_N6[:, 2:], pairs.beliefs["turn"], atol=0.02)
    middle_8 = (np.arange(8) + 0.5) / 4 - 1
    np.testing.assert_allclose(state_N6[:, 0], pairs.beliefs["x"].numpy() @ middle_8, atol=0.13)  # half a bin


def test_what_is_read_of_particles_is_the_same_in_any_order_and_number(hike, monkeypatch):
    config, envs, policy = hike
    gauge = BeliefGauge(config, envs, "--gauge=belief", episodes=64)
    gauge.estimator = ESTIMATORS["infonce"](Effort(steps=20, batch=32))
    pairs = gauge.pairs(policy, 0, RandomPolicy(4, True, np.random.default_rng(0)))
    told, found = pairs.beliefs["belief"], []
    for sets in (told, told[:, torch.randperm(250)], torch.cat([told, told], dim=1)):
        pairs.beliefs["belief"] = sets
        monkeypatch.setattr(gauge, "pairs", lambda *given: pairs)
        found.append(gauge.measure(policy, 0))
    assert found[0].keys() >= {"return", "belief", "x", "y", "turn", "irrelevant"}
    assert not found[0].keys() & {"belief_entropy", "x_entropy"}  # no two are alike
    assert found[1]["belief"] == pytest.approx(found[0]["belief"], abs=1e-3)
    assert found[2]["belief"] == pytest.approx(found[0]["belief"], abs=1e-3)


@pytest.mark.parametrize("estimator", ["barber_agakov", "plug_in"])
def test_estimators_of_vectors_are_refused_where_beliefs_are_particles(hike, estimator):
    with pytest.raises(UserError, match=f"--estimator: '{estimator}' is not of beliefs by particles; choose from mine"):
        BeliefGauge(*hike[:2], "--run", estimator)


@pytest.mark.parametrize(("row", "seen"), [("teacher", "the state"), ("zero_on", "embeddings")])
def test_what_does_not_see_observations_is_refused(row, seen):
    config = make_config(row)
    with config.unlocked():
        config.env = t_maze()
    with pytest.raises(UserError, match=f"^--run: what acts here sees {seen}, not the domain's observations"):
        BeliefGauge(config, make_vector_env(config.env, 2, seed=0), "--run")


def test_a_domain_without_a_belief_is_refused():
    config = make_config()
    with config.unlocked():
        config.env = config_named("envs", "cleaner")
    with pytest.raises(UserError, match=r"^--gauge=belief: Cleaner-v0 does not tell its belief$"):
        BeliefGauge(config, make_vector_env(config.env, 2, seed=0), "--gauge=belief")


def test_entropies_by_hand():
    np.testing.assert_allclose(entropies(np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])), [np.log(2), 0.0])


TINY = (
    "--config_env=configs/envs/pomdp_file.py", "--config_env.kwargs.path=configs/envs/tiger.pomdp",
    "--config_env.horizon=6",
    "--train_episodes=20", "--num_envs=4", "--batch_size=3", "--start_training=2", "--eval_episodes=2",
    "--config_env.eval.interval=50", "--film_episodes=0", "--config_rl.head_dims=(8,)", "--cuda=-1",
)  # fmt: skip


def test_a_run_ends_with_the_same_weights_with_and_without_it_and_can_be_measured_afterwards(scripts, tmp_path):
    for name, flags in (("with", ("--gauge=belief", "--gauge_interval=100", "--tensorboard")), ("without", ())):
        done = scripts.run("main.py", *TINY, *flags, f"--save_dir={tmp_path}", f"--run_name={name}")
        assert done.returncode == 0, done.stderr
    folder = tmp_path / "default"
    ours, theirs = (load_checkpoint(folder / name / "checkpoint") for name in ("with", "without"))
    for part in ("agent", "rng", "history", "counters"):
        assert_identical(ours[part], theirs[part], part)
    looks = [row for row in metrics(folder / "with") if "gauge/belief" in row]
    assert [row["step"] // 100 for row in looks] == [0, 1, 1]  # as it begins, when it is due, and in the end
    assert not [row for row in metrics(folder / "without") if "gauge/belief" in row]
    assert list((folder / "with" / "tensorboard").iterdir())
    done = scripts.run("scripts/gauge.py", folder / "with", "--episodes=64", "--estimator=barber_agakov")
    assert done.returncode == 0, done.stderr
    assert "policy_best: return" in done.stdout and "belief" in done.stdout
    kept = json.loads((folder / "with" / "gauge.json").read_text())
    assert kept["policies"].keys() == {"policy", "policy_best"} and kept["estimator"] == "barber_agakov"


def test_what_cannot_be_measured_is_one_line(scripts, tmp_path):
    flags = ("--gauge=belief", f"--save_dir={tmp_path}", "--cuda=-1")
    assert_refused(
        scripts.run("main.py", "--config_env=configs/envs/cleaner.py", *flags),
        "--gauge=belief: Cleaner-v0 does not tell its belief",
    )
    assert_refused(scripts.run("main.py", *TINY, "--gauge_interval=5"), "--gauge_interval: it is for --gauge")
    assert_refused(scripts.run("main.py", *TINY, "--gauge=beliefs"), "--gauge", "belief")


@pytest.mark.parametrize(("name", "looks"), [("t_maze:10", 5), ("mountain_hike", 2)])
def test_what_is_dear_is_looked_at_less_often(name, looks):
    """By particles a look takes some ten times as long."""
    config = make_config()
    config.env = config_named("envs", name)
    origin = SimpleNamespace(
        config=config,
        settings=SimpleNamespace(seed=0),
        make_envs=lambda num, seed: make_vector_env(config.env, 2, seed=seed),
    )
    for given, expected in ((None, 1000 // looks), (70, 70)):
        (gauge,) = gauges(origin, SimpleNamespace(gauge="belief", gauge_interval=given), 1000)
        assert gauge.interval == expected and gauge.gauge.by_particles == (looks == 2)
        gauge.close()


def test_memories_of_some_at_a_time_are_those_of_all(exact, monkeypatch):
    gauge, policy, random = exact
    episodes = run_episodes(gauge.envs, random, 30, seed=0)
    together = memories(policy, episodes, gauge.spec)
    monkeypatch.setattr("policies.probing.gauge.AT_ONCE", 7)
    for one, alone in zip(together, memories(policy, episodes, gauge.spec), strict=True):
        torch.testing.assert_close(alone, one)
