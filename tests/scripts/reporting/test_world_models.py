"""What is measured of world models: facts and places that are the states', each column a number."""

import numpy as np
import pytest

from scripts.reporting import world_models
from scripts.reporting.world_models import COLUMNS, DOMAINS, _episodes, _r2, _spread, _whole


@pytest.mark.parametrize("name", DOMAINS)
def test_each_domain_is_measured_in_its_columns(name, monkeypatch):
    domain = DOMAINS[name]._replace(horizon=8, episodes=6, held_out=4, after=(1,), ahead=(1, 3))
    monkeypatch.setattr(world_models, "SEEDS", 1)
    monkeypatch.setattr(world_models, "ROWS", {"info": "`informed`"})
    (row,) = world_models._of_domain(name, domain)
    assert len(row) == len(COLUMNS)
    told = dict(zip(COLUMNS, row, strict=True))
    absent = {"reward, 6 ahead", "reward, 15 ahead"} | ({"place, R²"} if name == "Heaven-Hell-1" else set())
    assert {column for column, text in told.items() if text == "–"} == absent


def test_random_and_expert_episodes_take_turns_and_a_part_has_both():
    domain = DOMAINS["Varying Mountain Hike"]._replace(horizon=30)
    buffer = _episodes(domain.envs(0), domain, 5, 0)
    batch = _whole(buffer, 2)
    assert len(buffer) == 10 and batch.mask.shape[1] == 4
    facts = domain.facts(batch)
    state = batch.state.full().numpy()
    assert facts.place_TB2 is not None
    np.testing.assert_array_equal(np.eye(4)[facts.fact_TB[facts.looked_TB]], state[facts.looked_TB][:, 2:])
    np.testing.assert_array_equal(facts.place_TB2[facts.looked_TB], state[facts.looked_TB][:, :2])
    gained = facts.place_TB2[-1].sum(-1) - facts.place_TB2[0].sum(-1)  # towards the top
    assert gained[1::2].mean() > gained[::2].mean()


def test_sides_are_looked_for_where_the_belief_is_sure():
    domain = DOMAINS["Heaven-Hell-1"]
    facts = domain.facts(_whole(_episodes(domain.envs(0), domain, 10, 0)))
    assert not facts.looked_TB[0].any() and facts.looked_TB.any()


def test_r2_of_a_plane_of_noise_and_of_nothing():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 3))
    noise = rng.standard_normal((4000, 2))
    plane = x[:, :2] * 2 + 1
    half = x[:, :2] + noise  # of whose variance one half is told
    assert _r2(x[:2000], plane[:2000], x[2000:], plane[2000:]) == pytest.approx(1.0, abs=1e-3)
    assert _r2(x[:2000], half[:2000], x[2000:], half[2000:]) == pytest.approx(0.5, abs=0.05)
    assert _r2(x[:2000], noise[:2000], x[2000:], noise[2000:]) == pytest.approx(0.0, abs=0.05)


def test_a_spread_is_of_what_was_measured():
    assert _spread([1.0, 2.0, 6.0]) == "3.000 (1.000 to 6.000)" and _spread([None]) == "–"
