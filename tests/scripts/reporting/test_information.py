"""What memories came to hold and what mi was paid: correlations by hand, and a page of runs."""

import json
import shutil
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from envs.make import make_vector_env
from policies.acting.rollout import RandomPolicy, run_episodes
from policies.probing.gauge import BeliefGauge
from scripts.reporting.information import agreed, gains, rows
from scripts.reporting.page import page
from scripts.reporting.runs import read_runs
from scripts.reporting.statistics import correlations, ranks
from scripts.reporting.study import gauged, study
from scripts.reporting.tables import markdown
from tests.helpers.agents import make_config
from tests.helpers.configs import config_named
from tests.helpers.runs import write_run
from tests.helpers.scripts import assert_refused
from utils.errors import UserError


def test_correlations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=30), rng.integers(4, size=30).astype(float)
    assert ranks(y).tolist() == (stats.rankdata(y) - 1).tolist()
    pearson, spearman = correlations(x, y)
    assert pearson == pytest.approx(stats.pearsonr(x, y).statistic)
    assert spearman == pytest.approx(stats.spearmanr(x, y).statistic)
    assert np.isnan(correlations(x, np.ones(30))).all() and np.isnan(correlations(x[:1], y[:1])).all()


def test_agreement_of_bonus_and_gain_by_hand():
    found = agreed(np.array([0.1, 2.1, -0.4, 0.3]), np.array([0.0, 1.0, 0.0, 0.0]))
    assert found.slope == pytest.approx(2.1)  # 2.1 at a gain of 1, 0 on average at none
    assert found.for_nothing == pytest.approx(0.4 / 2.5)
    assert found.r == pytest.approx(np.corrcoef([0.1, 2.1, -0.4, 0.3], [0, 1, 0, 0])[0, 1])
    assert np.isnan(agreed(np.zeros(3), np.zeros(3))).all()


def test_gains_are_in_the_fact_that_hides_or_the_state_and_none_where_there_is_neither():
    told = np.array([[0.5, 0.2, 0.3], [0.5, 0.2, 0.3], [1.0, 0.0, 0.0]])
    halves = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])  # of three facts the first is on the left

    def gauge(shares, labels):
        return SimpleNamespace(
            belief=lambda episode, row: SimpleNamespace(probability_RK=told),
            features=lambda told: shares,
            labels=lambda episode: labels,
            spec=SimpleNamespace(env_id="Own-v0"),
            rows=lambda view, stored_RK: stored_RK,
        )

    class Walked(SimpleNamespace):
        def __len__(self):
            return 2

    one_hot = Walked(state=np.tile([0.0, 1.0, 0.0], (2, 1)))
    one_hot.state = np.concatenate([one_hot.state, [[1.0, 0.0, 0.0]]])  # it moved as it was seen
    np.testing.assert_allclose(gains(gauge({}, {}), one_hot), [0.0, np.log(1.0 / 0.2)])
    left = {"heaven": np.zeros(3, np.int64), "cell": np.arange(3)}
    np.testing.assert_allclose(gains(gauge({"heaven": halves}, left), one_hot), [0.0, np.log(2)])
    assert gains(gauge({"cell": halves}, left), Walked(state=np.tile([3.0, 4.0, 1.0], (3, 1)))) is None
    assert gains(gauge({}, {}), Walked(state=np.ones((3, 4)))) is None
    for number in (2, -1):  # as where a factor counts from 1, or -1 says that it is not known
        with pytest.raises(UserError, match=f"^--runs: Own-v0: .* number {number} of heaven, .* knows 0 to 1$"):
            gains(gauge({"heaven": halves}, {"heaven": np.array([0, 1, number])}), one_hot)


FACTS = {  # by hand: which fact holds, of a state
    "heaven_hell": lambda state_S: int(state_S[2] > 0),
    "sphinx": lambda state_S: [5, 35, 30].index(int(state_S.reshape(2, -1)[1].argmax())),
    "car_flag_1d": lambda state_S: int(state_S[2] > 0),
}


@pytest.mark.parametrize("name", FACTS)
def test_gains_of_an_episode_are_what_was_lacking_of_the_truth(name):
    config = make_config()
    config.env = config_named("envs", name)
    with closing(make_vector_env(config.env, 64, seed=0)) as envs:
        gauge, spec = BeliefGauge(config, envs, "--gauge=belief"), envs.spec_sizes
        policy = RandomPolicy(spec.action_dim, spec.discrete, np.random.default_rng(0))
        known = 0
        for episode in run_episodes(envs, policy, 128, seed=0):
            told_RK = gauge.belief(episode, len(episode)).probability_RK
            log_true_R = np.log(told_RK[:, FACTS[name](gauge.rows("state", episode.state)[0])])
            assert np.isfinite(log_true_R).all()  # the truth is never ruled out
            np.testing.assert_allclose(gains(gauge, episode), np.diff(log_true_R), atol=1e-12)
            known += log_true_R[-1] == 0.0 and log_true_R[0] < 0.0
    assert known


def test_a_belief_by_particles_gains_in_the_turn_of_the_actions():
    config = make_config()
    config.env = config_named("envs", "mountain_hike:varying")
    config.env.horizon = 40
    with closing(make_vector_env(config.env, 2, seed=0)) as envs:
        gauge = BeliefGauge(config, envs, "--gauge=belief")
        (episode,) = run_episodes(envs, RandomPolicy(4, True, np.random.default_rng(0)), 1, seed=0)
        turn_R = gauge.labels(episode)["turn"]
        assert (turn_R == episode.state[0, 2:].argmax()).all()
        told_RXYK = gauge.belief(episode, len(episode)).probability_RK.reshape(-1, 8, 8, 4)
        log_true_R = np.log(told_RXYK.sum(axis=(1, 2))[:, turn_R[0]])
        assert np.ptp(log_true_R) > 1  # much is learned, of four turns and not of 256 places with turns
        np.testing.assert_allclose(gains(gauge, episode), np.diff(log_true_R), atol=1e-9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for seed, variant in ((0, "mi"), (1, "mi"), (0, "history")):
        run = write_run(root / f"{variant}{seed}", [0.0, 0.5, 1.0], seed, variant=variant)
        with (run / "metrics.jsonl").open("a") as file:
            for k, held in enumerate((0.0, 0.2 + 0.1 * seed, 0.6)):
                row = {
                    "step": 100 * k,
                    "gauge/belief": held,
                    "gauge/belief_entropy": 0.69,
                    "gauge/return": 2 * held - 1,
                }
                file.write(json.dumps(row) + "\n")
    return root


def test_the_report_holds_information_against_return(folder):
    found = study(read_runs([str(folder)])[0], 0.9, "success")
    (panel,) = (panel for panel in found.panels if not panel.domains)
    looks = gauged(panel)["belief"]
    assert looks.num == 9 and looks.pearson == pytest.approx(1) and looks.spearman == pytest.approx(1)
    text = page(found, 0.0)[0]
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    (points,) = (one["gauge"]["belief"] for one in data["panels"] if one["gauge"])
    assert points["num"] == 9 and points["text"] == "Pearson 1.00, Spearman 1.00"
    assert sorted(len(pair[0]) for pair in points["points"].values()) == [3, 6]
    assert "| HeavenHell-v0 | without demonstrations | belief | 9 | 1 | 1 |" in markdown(found)


def test_a_row_a_memory_and_method_by_hand(folder):
    """History: looks of 0, 0.2 and 0.6 nats, and a return that goes with them; of mi two seeds."""
    history, mi = rows([str(folder)])
    assert history[:6] == ["HeavenHell-v0", "`gru`", "`dqn:history`", "200", "1", "0.20 [0.20, 0.20]"]
    assert history[6:12] == ["0.60 [0.60, 0.60]", "0.69 [0.69, 0.69]", "never", "–", "1.00", "–"]
    assert mi[2] == "`dqn:mi`" and mi[4] == "2"


def test_a_noisy_domain_is_another(folder, tmp_path):
    for noise in (0.0, 0.2):
        run = tmp_path / str(noise)
        shutil.copytree(folder / "history0", run)
        stored = json.loads((run / "config.json").read_text())
        stored["config"]["env"]["kwargs"] = {"length": 10, "noise": noise}
        (run / "config.json").write_text(json.dumps(stored))
    both = rows([str(tmp_path)])
    assert [row[0] for row in both] == ["HeavenHell-v0", "HeavenHell-v0, noise 0.2"]
    assert rows([str(tmp_path / "0.2")]) == both[1:], "and is told so by itself"


def test_a_fact_is_held_from_the_look_after_which_none_lacks_it(tmp_path):
    """Of 0.69 nats 0.65, 0.1, 0.66 and 0.69 of 0.69; the look at which there was nothing to hold does not count."""
    run = write_run(tmp_path / "0", [0.0, 0.5, 1.0], 0)
    looks = ((0.65, 0.69), (0.1, 0.69), (0.0, 0.0), (0.66, 0.69), (0.69, 0.69))
    with (run / "metrics.jsonl").open("a") as file:
        for k, (held, most) in enumerate(looks):
            fact = {"gauge/treasure": held, "gauge/treasure_entropy": most}
            belief = {"gauge/belief": 2 * k, "gauge/belief_entropy": 9.0, "gauge/return": k**2}
            file.write(json.dumps({"step": 100 * k, **fact, **belief}) + "\n")
    ((*_, held_from, whole, with_return, _, _, _, _),) = rows([str(tmp_path)])
    assert held_from == "300" and whole == "8.00 [8.00, 8.00], 9.00 [9.00, 9.00]" and with_return == "1.00"


def test_of_particles_there_is_no_entropy_but_what_was_held_at_first(tmp_path):
    run = write_run(tmp_path / "0", [0.0, 0.5, 1.0], 0)
    with (run / "metrics.jsonl").open("a") as file:
        for k, held in enumerate((0.5, 0.75)):
            row = {"step": 100 * k, "gauge/turn": held, "gauge/belief": 2 * held, "gauge/return": k}
            row |= {"gauge/turn_entropy": 1.0} if k == 0 else {}  # later beliefs were too many to be counted
            file.write(json.dumps(row) + "\n")
    ((*_, held, at_first, held_from, whole, with_return, _, _, _, _),) = rows([str(tmp_path)])
    assert (held, at_first, held_from) == ("0.75 [0.75, 0.75]", "at first 0.50 [0.50, 0.50]", "–")
    assert (whole, with_return) == ("1.50 [1.50, 1.50]", "1.00")


def test_what_is_held_of_variables_that_mean_nothing_is_told_at_the_end_and_at_most(tmp_path):
    for seed in (0, 1):
        run = write_run(tmp_path / str(seed), [0.0, 0.5, 1.0], seed)
        with (run / "metrics.jsonl").open("a") as file:
            for k, nats in enumerate((0.1, 0.4 + seed, 0.2)):
                belief = {"gauge/belief": 0.1 * k, "gauge/belief_entropy": 0.69, "gauge/return": 0.0}
                file.write(json.dumps({"step": 100 * k, **belief, "gauge/irrelevant": nats}) + "\n")
    ((*_, with_return, irrelevant, r, slope, for_nothing),) = rows([str(tmp_path)])
    assert irrelevant == "0.20 [0.20, 0.20], 0.90 [0.40, 1.40]"
    assert with_return == r == slope == for_nothing == "–"  # all returns are alike, and nothing is paid


def test_a_page_of_gauged_runs(scripts, tmp_path):
    env = (
        "--config_env=configs/envs/pomdp_file.py", "--config_env.kwargs.path=configs/envs/tiger.pomdp",
        "--config_env.horizon=6", "--config_env.eval.interval=50", "--eval_episodes=2", "--train_episodes=20",
        "--num_envs=4", "--batch_size=3", "--start_training=2", "--film_episodes=0",
        "--config_rl=configs/rl/dqn.py:mi", "--config_rl.head_dims=(8,)", "--config_rl.z_state=raw",
        "--config_rl.policy_inputs=('history',)", "--cuda=-1", f"--save_dir={tmp_path}",
    )  # fmt: skip
    done = scripts.run("main.py", *env, "--gauge=belief", "--gauge_interval=1000", "--run_name=a")
    assert done.returncode == 0, done.stderr
    flags = ("--computed=information", f"--page={tmp_path / 'information.md'}")
    done = scripts.run("scripts/results.py", tmp_path / "default", *flags)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in (tmp_path / "information.md").read_text().splitlines() if line.startswith("| tiger")]
    assert "`dqn:mi`" in line and line.count("|") == 16
    assert str(tmp_path) not in (tmp_path / "information.md").read_text()
    assert_refused(scripts.run("scripts/results.py", *flags), "--computed=information needs run folders")
    record = json.loads((tmp_path / "information.json").read_text())
    (row,) = record["rows"]
    ((command, of),) = record["of"].items()
    made = json.loads((tmp_path / "default" / "a" / "config.json").read_text())
    assert command == record["command"] and of["processor"] == {made["processor"]: 1}
    (revision,) = of["revision"]
    assert made["git_revision"].startswith(revision.removesuffix("-dirty"))
    told = f"code, by revision: {revision} (1); processor: {made['processor']} (1)"
    assert f"What its runs are of: {told}" in (tmp_path / "information.md").read_text()
    others = [["Another-v0", *row[1:]], [*row[:4], "9", *row[5:]]]  # the second is of the same domain and method
    record |= {"rows": others, "title": "Mine", "command": "made before", "of": {}}  # as of an older version
    (tmp_path / "information.json").write_text(json.dumps(record))
    for _ in range(2):  # twice is once
        done = scripts.run("scripts/results.py", tmp_path / "default", *flags, "--add")
        assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "information.json").read_text())
    assert found["rows"] == [others[0], row] and found["title"] == "Mine"
    before, more = found["command"].split("\n")
    assert before == "made before" and more.endswith(" --add") and more in (tmp_path / "information.md").read_text()
    assert found["of"] == {more: of}
    assert f"What the runs of `{more}` are of: {told}" in (tmp_path / "information.md").read_text()
    for damage, said in (
        ({"columns": ["one"], "rows": [["1"]]}, "has not the columns of today's --computed=information"),
        ({"rows": [["one"]]}, "is damaged"),
        ({"of": {"made before": {}}}, "is damaged"),
    ):
        (tmp_path / "information.json").write_text(json.dumps(record | damage))
        assert_refused(scripts.run("scripts/results.py", tmp_path / "default", *flags, "--add"), said)
    elsewhere = (flags[0], f"--page={tmp_path / 'none.md'}", "--add")
    assert_refused(scripts.run("scripts/results.py", tmp_path / "default", *elsewhere), "--add: there is no")
    refused = scripts.run("scripts/results.py", "--computed=theory", f"--page={tmp_path / 'x.md'}", "--add")
    assert_refused(refused, "--add: no rows can be added to --computed=theory; choose from information, signal_worth")
    theory = ("--computed=theory", f"--page={tmp_path / 'x.md'}")
    assert_refused(scripts.run("scripts/results.py", tmp_path, *theory), "--computed=theory has no use for run folders")
