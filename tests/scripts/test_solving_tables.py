"""Tabular methods of scripts/solve.py on the domain of a config."""

import json

import numpy as np
import pytest

from scripts.solving_tables import report_of_tables, solve_by_tables
from tests.helpers.configs import config_named
from tests.helpers.scripts import ROOT, assert_refused
from utils.errors import UserError
from utils.run import Run


def solved(tmp_path, env, name="run", **settings):
    config = config_named("envs", env)
    settings = {"method": "vi", "horizon": 0, "discount": None} | settings
    run = Run.create(str(tmp_path), name, {"run": settings}, ["solve"])
    try:
        summary = solve_by_tables(run, config, settings)
        return report_of_tables(summary, run), summary, run
    finally:
        run.close()


@pytest.mark.parametrize("method", ["vi", "aavi", "api"])
def test_values_are_told_and_kept(tmp_path, method):
    told, summary, run = solved(tmp_path, "heaven_hell_n:3", method=method)
    assert told.startswith(f"the value is 0.868746: {method} over 41 beliefs, ")
    assert "  N: 0.851458\n  S: 0.868746\n  E: 0.860058\n  W: 0.860058\n" in told
    assert summary["value"] == pytest.approx(0.99**14)
    assert np.load(run.folder / "values.npz")["q_HA"].shape == (41, 4)


def test_a_horizon_a_discount_and_episodes_of_ones_own(tmp_path):
    told, *_ = solved(tmp_path, "heaven_hell_n:1", horizon=7, discount=1.0)
    assert told.startswith("the value is 1.000000: vi over 5,058 histories, ")
    told, *_ = solved(
        tmp_path, "heaven_hell_n:1", "learned", method="aql", horizon=2, episodes=50, reading="algorithm3"
    )
    assert told.startswith("the estimate is 0.000000: aql over 5 histories, 50 episodes; the value is 0.000000")
    told, *_ = solved(tmp_path, "t_maze:20", "maze")
    assert told.startswith(f"the value is {4 * 0.98**20:.6f}: vi over ") and "right" not in told  # two first ones


def test_q_learning_tells_an_estimate_that_is_near_the_value(scripts, tmp_path):
    """By rates of (h, a) in place of (h, s, a), a tiger that is seldom there hardly ate anyone: it told 4.39."""
    tiger = (ROOT / "configs/envs/tiger.pomdp", "--method=aql", "--horizon=4")
    done = scripts.run("scripts/solve.py", *tiger, "--save_dir=logs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (summary,) = (json.loads(path.read_text()) for path in tmp_path.glob("logs/**/summary.json"))
    assert done.stdout.startswith(f"the estimate is {summary['estimate']:.6f}: aql over 15 histories, ")
    assert "; the value is 2.091169\n" in done.stdout
    assert summary["value"] == pytest.approx(2.091169, abs=1e-6)
    assert summary["estimate"] == pytest.approx(summary["value"], abs=0.5)


def test_what_is_no_finite_pomdp_is_refused(tmp_path):
    with pytest.raises(UserError, match="CarFlag-7-v0 is not known as a finite POMDP"):
        solved(tmp_path, "car_flag_7")


def test_the_script_takes_them_by_name(scripts, tmp_path):
    env = "--config_env=configs/envs/heaven_hell_n.py:1"
    for flags, told in (
        (("--method=api",), "the value is 0.941480: api over 17 beliefs"),
        (("--method=aql", "--horizon=2", "--episodes=50"), "the estimate is 0.000000: aql over 5 histories, 50 epis"),
    ):
        done, again = (scripts.run("scripts/solve.py", env, *flags, "--save_dir=logs", cwd=tmp_path) for _ in range(2))
        assert done.returncode == again.returncode == 0, done.stderr + again.stderr
        assert done.stdout.startswith(told) and again.stdout == done.stdout
        (summary,) = (tmp_path / "logs/solve").glob(f"*_{flags[0].partition('=')[2]}*/summary.json")
        for damaged in ("{}", '{"value": 0.9'):
            summary.write_text(damaged)
            again = scripts.run("scripts/solve.py", env, *flags, "--save_dir=logs", cwd=tmp_path)
            assert_refused(again, "summary.json is damaged")
    for flags, named in (
        (("--method=aql",), "--horizon"),
        (("--method=aql", "--horizon=2", "--reading=other"), "--reading"),
        (("--method=vi", "--horizon=40"), "--horizon"),
    ):
        done = scripts.run("scripts/solve.py", env, *flags, "--save_dir=refused", cwd=tmp_path)
        assert_refused(done, named)
