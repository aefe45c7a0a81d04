"""Random and best returns of finite domains against numbers worked out by hand, and what is kept of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ml_collections import ConfigDict

from envs.make import model_of
from scripts import report
from scripts.domains import domain_name
from scripts.reporting import certified
from scripts.reporting.certified import Certified, bounds, random_return
from scripts.reporting.references import REFERENCES, Reference
from tests.helpers.runs import write_run
from tests.helpers.sweeps import ROOT
from utils.config import load_config, to_dict
from utils.errors import UserError

TIGER = ROOT / "configs/envs/tiger.pomdp"


def domain(name, variant=""):
    config = load_config(ROOT / f"configs/envs/{name}.py", variant, "config_env")
    config.unlock()
    return config


def tiger(horizon, **kwargs):
    config = domain("pomdp_file")
    config.horizon = horizon
    config.kwargs.update(path=str(TIGER), **kwargs)
    return to_dict(config)


def heaven_hell(n, horizon):
    config = domain("heaven_hell_n", n)
    config.horizon = horizon
    return to_dict(config)


@pytest.mark.parametrize(
    ("horizon", "random", "optimum"),
    [
        (1, -91 / 3, -1.0),  # a door costs 45 on average, listening 1
        (2, -91 / 3 - 91 / 9, -2.0),  # one of three actions goes on; one growl makes a door worth -6.5
        (3, -91 / 3 - 91 / 9 - 91 / 27, None),  # two growls alike, p = .85² + .15²: a door is worth 6.67, else -1
    ],
)
def test_returns_of_tiger_are_those_worked_out_by_hand(horizon, random, optimum, tmp_path):
    optimum = optimum or -2 + (10 * 0.85**2 - 100 * 0.15**2) - 2 * 0.85 * 0.15
    found = Certified(tmp_path / "kept.json", 5.0)(tiger(horizon))
    assert found.random == pytest.approx(random)
    assert (found.lower, found.optimum) == pytest.approx((optimum, optimum))
    assert found.horizon == horizon
    assert found.normalise(optimum) == pytest.approx(1)


def test_without_a_file_none_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Certified(None, 5.0)(tiger(2)).optimum == pytest.approx(-2)
    assert not list(tmp_path.rglob("*"))


def test_rewards_are_not_discounted_and_the_horizon_counts(tmp_path):
    work_out = Certified(tmp_path / "kept.json", 5.0)
    found = work_out(heaven_hell(1, 7))  # 4n + 3 steps are just enough to ask
    assert (found.random, found.lower, found.optimum) == pytest.approx((0, 1, 1))
    assert found.optimum_text == "1"
    assert work_out(heaven_hell(1, 6)) is None  # then nothing is better than chance, and there is no scale
    assert work_out.notes == []


@pytest.mark.parametrize("env", ["HeavenHell-v0", "Sphinx-v0", "CarFlag-2D-v0"])
def test_the_same_is_worked_out_as_stands_in_the_table(env):
    name = {"HeavenHell-v0": "heaven_hell", "Sphinx-v0": "sphinx", "CarFlag-2D-v0": "car_flag_2d"}[env]
    model = model_of(domain(name))
    assert random_return(model, 50) == pytest.approx(REFERENCES[env].random, abs=1e-12)


def test_bounds_hold_whenever_time_is_up():
    model = model_of(ConfigDict(tiger(20, continuing=True)))
    rough, near = bounds(model, 20, 0.0), bounds(model, 20, 5.0)
    assert rough.lower <= near.lower <= near.upper <= rough.upper
    assert rough.open > near.open
    first = replace(rough, lower=-1e3, upper=1e3)
    assert first.open == pytest.approx(2e3 / (1e3 - rough.random))


def test_what_was_worked_out_is_kept_until_more_time_is_given(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(certified, "STARTED", np.inf)
    monkeypatch.setattr(certified, "bounds", lambda *args: calls.append(args) or bounds(*args))
    path, config = tmp_path / "kept.json", tiger(20, continuing=True)
    one = Certified(path, 1e-9)
    assert one(config) is None
    assert "leave its optimum between" in one.notes[0]
    assert one(config | {"eval": {"episodes": 3}}) is None
    assert len(calls) == len(one.notes) == 1  # evaluations change nothing of a domain
    assert Certified(path, 1e-9)(config) is None
    assert len(calls) == 1
    assert 20.3 < Certified(path, 20.0)(config).lower < 20.42
    assert len(calls) == 2
    Certified(path, 30.0)(config)
    assert len(calls) == 2  # near enough
    Certified(path, 30.0)(tiger(20))
    assert len(calls) == 3  # another domain: it does not go on


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {"random": 1}}', "[" * 100_000])
def test_a_damaged_file_is_written_anew(text, tmp_path):
    path = tmp_path / "kept.json"
    path.write_text(text)
    assert Certified(path, 5.0)(tiger(1)).optimum == pytest.approx(-1)
    assert len(json.loads(path.read_text())) == 1


def missing(change):
    kwargs = change.get("kwargs")
    return [kwargs["path"]] if isinstance(kwargs, dict) and "path" in kwargs else []


@pytest.mark.parametrize(
    "change",
    [
        {"module": "antigravity"},
        {"id": "CartPole-v1"},
        {"id": "Nowhere-v0"},
        {"hidden": [0]},
        {"kwargs": {"path": "not/there.pomdp"}},
        {"kwargs": {"n": 2, "sticky": 1}},
        {"kwargs": 3},
        {"horizon": "many"},
    ],
)
def test_what_is_no_finite_domain_of_ours_has_no_reference(change, tmp_path):
    found = Certified(tmp_path / "kept.json", 5.0)
    assert found(tiger(1) | change) is None
    assert not (tmp_path / "kept.json").exists()
    assert found.notes == [
        f"PomdpFile-v0: no scores, as its file is not at {path} from here" for path in missing(change)
    ]


def test_a_domain_too_large_for_the_time_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(certified, "STARTED", 1.0)
    assert Certified(tmp_path / "kept.json", 1.0)(tiger(1)) is None
    assert Certified(tmp_path / "kept.json", 0.0)(tiger(1)) is None


def test_a_report_says_between_what_the_optimum_is(tmp_path):
    for name, config in (("tiger", tiger(20, continuing=True)), ("heaven", heaven_hell(1, 100))):
        folder = write_run(tmp_path / "runs" / name, [0.5, 0.6])
        whole = json.loads((folder / "config.json").read_text())
        whole["config"]["env"] = config
        (folder / "config.json").write_text(json.dumps(whole))
    report.write_report([str(tmp_path / "runs")], tmp_path / "out", 0.9, False, optimum_seconds=20.0)
    (one, other) = json.loads((tmp_path / "out/references.json").read_text()).values()
    text = (tmp_path / "out/table.md").read_text()
    assert f"| tiger | {other['random']:.4g} | between {other['lower']:.6g} and {other['upper']:.6g} |" in text
    assert f"| HeavenHell-1-v0 | {one['random']:.4g} | 1 |" in text
    assert "optimum between" in (tmp_path / "out/report.html").read_text()
    curves = (tmp_path / "out/curves.csv").read_text()
    assert f"{(0.2 - other['random']) / (other['upper'] - other['random']):.6}"[:6] in curves  # 2 · 0.6 - 1


def test_the_text_of_an_optimum():
    assert Reference(1, 0.0, 0.8, "").optimum_text == "0.8"
    assert Reference(1, 0.0, 0.8, "", lower=0.8 - 1e-9).optimum_text == "0.8"
    assert Reference(1, 0.0, 20.41094, "", lower=20.39083).optimum_text == "between 20.3908 and 20.4109"


def test_a_file_gives_its_name_to_its_domain():
    assert domain_name("PomdpFile-v0", {"path": "some/where/tiger.pomdp"}) == "tiger"
    for kwargs in ({}, {"path": ""}, {"path": 3}, {"path": "a\nb"}, None):
        assert domain_name("PomdpFile-v0", kwargs) == "PomdpFile-v0"
    assert domain_name("HeavenHell-v0", {"path": "tiger.pomdp"}) == "HeavenHell-v0"
    assert np.isfinite(REFERENCES["HeavenHell-v0"].optimum)


def test_seconds_that_are_no_number_are_refused(tmp_path):
    with pytest.raises(UserError, match="--optimum_seconds: a number is needed, not nan"):
        report.write_report([str(tmp_path)], tmp_path / "out", 0.9, False, optimum_seconds=float("nan"))
