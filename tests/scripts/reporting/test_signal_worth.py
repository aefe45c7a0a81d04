"""The test before training beside what training came to: rows by hand, of runs and tests that are written here."""

import json

import pytest

from scripts.reporting.signal_worth import row_key, rows
from tests.helpers.runs import write_run
from utils.errors import UserError

HISTORY = ["history", "observation"]
SIGNALS = {"none": [], "good": ["3"], "bad": ["0"], "both": ["1", "3"]}
FOUND = {("3",): 0.4, ("0",): -0.1, ("3", "1"): 0.5}  # in whichever order


@pytest.fixture
def sweep(tmp_path):
    for seed in (0, 1):
        for name, level in (("none", 0.1), ("good", 0.3), ("bad", 0.2), ("both", 0.4), ("state", 0.5)):
            run = write_run(
                tmp_path / "train" / f"{name}_s{seed}", [level, level + 0.1 * seed], seed, env="CartPole-v1"
            )
            config = json.loads((run / "config.json").read_text())
            inputs = [*HISTORY, *({"state": ["state"], "none": []}.get(name, ["signal"]))]
            config["config"]["rl"] |= {"critic_inputs": inputs, "critic": {"signal": SIGNALS.get(name, [])}}
            (run / "config.json").write_text(json.dumps(config))
    tests = [
        {"names": names, "gain": gain, "p_gain": 0.001, "share": 0.02, "p_dependence": 0.5}
        for names, gain in FOUND.items()
    ]
    (tmp_path / "signals" / "cartpole").mkdir(parents=True)
    (tmp_path / "signals" / "cartpole" / "signals.json").write_text(json.dumps({"env": "CartPole-v1", "found": tests}))
    return tmp_path


def test_the_table_by_hand(sweep):
    """Returns are 2 p - 1: of 0.1 and 0.1 or 0.2 that is -0.8, and in the mean of both seeds' runs -0.8 and -0.7."""
    table = rows([str(sweep)])
    assert [row[2] for row in table] == ["none", "0", "1, 3", "3", "the whole state", "rank correlation, 3 signals"]
    none, bad, both, _, state, rank = table
    assert none == ["CartPole-v1", "dqn", "none", "–", "–", "2", "-0.75 [-0.80, -0.70]", "-0.75 [-0.80, -0.70]"]
    assert bad[3:5] == ["-0.100, 0.001", "+0.020, 0.500"] and both[3] == "+0.500, 0.001"
    assert state[3] == "–" and state[6] == "0.05 [0.00, 0.10]"
    assert rank[3:] == ["1.00", "–", "–", "–", "–"]  # the more it tells, the more it comes to


def test_two_signals_have_no_rank_and_a_domain_needs_its_test(sweep):
    file = sweep / "signals" / "cartpole" / "signals.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"found": record["found"][:2]}))
    assert rows([str(sweep)])[-1][2:4] == ["rank correlation, 2 signals", "–"]
    file.write_text(json.dumps(record | {"env": "Pendulum-v1"}))
    with pytest.raises(UserError, match=r"^--runs: nothing was tested on CartPole-v1; of the sweep's folder signals/"):
        rows([str(sweep)])
    for damaged in ("[]", json.dumps(record | {"found": [{"names": ["0"]}]})):
        file.write_text(damaged)
        with pytest.raises(UserError, match=r"^--runs: .*signals.json is not what scripts/signals.py writes"):
            rows([str(sweep)])


def test_learners_of_a_family_whose_memories_learn_otherwise_stand_apart(sweep):
    file = sweep / "train" / "good_s1" / "config.json"
    config = json.loads(file.read_text())
    config["config"]["rl"]["auxiliary"] = {"use_actor": ["state_prediction"]}
    file.write_text(json.dumps(config))
    table = rows([str(sweep)])
    assert [row[1:3] for row in table[-2:]] == [
        ["dqn + state_prediction", "3"],
        ["dqn + state_prediction", "rank correlation, 1 signals"],
    ]
    assert [row[5] for row in table if row[2] == "3"] == ["1", "1"]


def test_a_run_without_a_critic_is_one_line(tmp_path):
    write_run(tmp_path / "train" / "plain", [0.5, 1.0])
    with pytest.raises(UserError, match=r"^--runs: .*plain has no critic that a signal may be given to"):
        rows([str(tmp_path)])


def test_rows_stand_none_first_and_ranks_last_and_a_rank_is_of_a_learner_whatever_it_counts(sweep):
    table = rows([str(sweep)])
    assert sorted(table, key=row_key) == table
    *_, rank = table
    assert row_key([*rank[:2], "rank correlation, 9 signals"]) == row_key(rank)
    assert len({row_key(row) for row in table}) == len(table)
