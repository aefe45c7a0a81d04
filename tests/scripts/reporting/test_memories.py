"""The page of memories: runs of the sweep, told by memory and by how long a maze they are let into."""

import json

import pytest

from policies.deployed.files import save_policy
from scripts.reporting import memories
from tests.helpers.agents import make_agent, make_config
from utils.errors import UserError


def test_every_run_is_let_into_every_maze(tmp_path, monkeypatch):
    monkeypatch.setattr(memories, "LENGTHS", (2, 5, 6, 7))
    monkeypatch.setattr(memories, "EPISODES", 4)
    spec = memories.envs_of(2).spec_sizes
    for name in ("s0_gru_warmed", "s1_gru_warmed", "s0_frame_stack", "s1_gpt"):
        memory = name.removesuffix("_warmed").partition("_")[2]
        agent = make_agent("history", memory, spec=spec)
        save_policy(tmp_path / name / "policy", agent.deployed, spec, make_config("history", memory), {})
        (tmp_path / name / "summary.json").write_text("{}")
    (tmp_path / "s2_gru_warmed").mkdir()  # not finished
    found = {row[0]: row[1:] for row in memories.rows([str(tmp_path)])}
    assert {name: row[0] for name, row in found.items()} == {"`gru`, warmed": "2", "`frame_stack`": "1", "`gpt`": "1"}
    assert all(len(row) == len(memories.COLUMNS) - 1 for row in found.values())
    assert memories.cells([[0.5, 1.0], [1.0, 1.0]]) == ["0.75 (0.50 1.00)", "1.00 (1.00 1.00)"]


def test_without_runs_it_is_told(tmp_path):
    with pytest.raises(UserError, match="--runs: no finished run"):
        memories.rows([str(tmp_path)])


def test_the_table_of_what_is_recalled_is_that_of_the_benchmark():
    rows = json.loads(memories.PERFORMANCE.read_text())["recall"]["rows"]
    table = [line for line in memories.recalled() if line.startswith("| `")]
    assert [line.strip("| ").split(" | ") for line in table] == [row[:-1] for row in rows]
