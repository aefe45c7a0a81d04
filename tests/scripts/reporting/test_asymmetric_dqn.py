"""The page of Asymmetric DQN's tasks: rows by hand, of runs that are written here."""

import json

import pytest

from configs.envs import heaven_hell_n
from scripts.reporting.asymmetric_dqn import row_key, rows
from tests.helpers.runs import write_run
from utils.errors import UserError


def played(folder, success, exploring, seed, **about):
    """A run of evaluations at 0, 2,000, …, and what the exploring agent played before each, by return."""
    run = write_run(folder, success, seed, first=0, episodes=20, **about)
    with (run / "metrics.jsonl").open("a") as file:
        for k, value in enumerate(exploring):
            file.write(json.dumps({"step": 2000 * k + seed, "train/return": value}) + "\n")
    return run


def test_the_table_by_hand(tmp_path):
    car = {"env": "CarFlag-7-v0", "horizon": 160}
    played(tmp_path / "a0", [0.5, 0.5, 1.0], [0.0, 0.0, 0.75], 0, variant="ua", **car)
    played(tmp_path / "a1", [0.5, 0.95, 0.5], [0.0, 0.0, 0.25], 1, variant="ua", **car)
    played(tmp_path / "h0", [0.5, 0.5, 0.9], [0.0, 0.0, -0.5], 0, variant="history", **car)
    played(tmp_path / "m0", [0.0, 1.0], [-1.0, 1.0], 0, variant="mi", env="MemoryFourRooms-7x7-v0", horizon=60)
    history, ua, mi = rows([str(tmp_path)])
    # returns are 2 p - 1: of a0 0, 0, 1, of a1 0, 0.9, 0; the optimum of Car-Flag is 1, what random actions earn 0
    assert ua[:5] == ["CarFlag-7-v0", "ADQN", "dqn:ua", "4,000 to 4,001", "2"]
    assert ua[5:8] == ["0.50 [0.00, 1.00]", "0.50 [0.25, 0.75]", "0.32 [0.30, 0.33]"]
    assert ua[8:] == ["3,000 [2,001, 4,000]", "0"]
    assert history[1:5] == ["DQN", "dqn:history", "4,000", "1"]
    assert history[5:] == ["0.80", "-0.50", "0.27", "never", "1"]
    # nothing is known of the optimum over so many steps
    assert mi == ["MemoryFourRooms-7x7-v0", "– (`mi`)", "dqn:mi", "2,000", "1", "1.00", "1.00", "0.00", "–", "–"]
    assert sorted([mi, ua, history], key=row_key) == [history, ua, mi]


def test_the_optimum_of_a_finite_domain_is_certified(tmp_path):
    run = played(tmp_path / "h", [0.5, 0.94, 0.97], [0.0, 0.0, 0.0], 0, variant="ba", env="HeavenHell-1-v0", horizon=20)
    config = json.loads((run / "config.json").read_text())
    env = heaven_hell_n.get_config("1").to_dict()
    config["config"]["env"] = env | {"horizon": 20, "eval": {"episodes": 20, "interval": 2000}}
    (run / "config.json").write_text(json.dumps(config))
    assert rows([str(tmp_path)])[0][8:] == ["4,000", "0"]  # 0.88 is not near 1, 0.94 is
    del config["config"]["env"]["state_fn"]  # of a version that had none: there is no model, and no optimum
    (run / "config.json").write_text(json.dumps(config))
    assert rows([str(tmp_path)])[0][8:] == ["–", "–"]


def test_methods_of_others_and_runs_that_have_not_begun_are_one_line(tmp_path):
    played(tmp_path / "a" / "zp", [0.5, 1.0], [0.0, 0.0], 0, variant="zp")
    with pytest.raises(UserError, match=r"^--runs: .*zp is of dqn:zp; choose from dqn:history, dqn:ua"):
        rows([str(tmp_path / "a")])
    write_run(tmp_path / "b" / "ua", [0.5, 1.0], variant="ua")
    with pytest.raises(UserError, match=r"^--runs: .*ua has no evaluation yet, or no episode"):
        rows([str(tmp_path / "b")])
    played(tmp_path / "c" / "ua", [0.5] * 6, [0.0, 0.0], 0, variant="ua")
    with pytest.raises(UserError, match=r"^--runs: .*ua has no episode in the last 20% of its steps"):
        rows([str(tmp_path / "c")])
