"""The actor-critic on tables: its measures against the exact ones, ends, and that seeds do not mix."""

import numpy as np
import pytest

from envs.open_rooms import deep_sea_model, rooms_model
from policies.exact.exploring import BONUSES, Explorers, Settings
from policies.exact.visitation import softmax, total_variation
from utils.errors import UserError

MODEL = rooms_model(["...", ".#."], goal=(0, 2), discount=0.9)
ALIVE = [0, 1, 3]  # the goal is 2, and 4 behind it


def explorers(bonus, model=MODEL, num=3, **settings):
    made = {"discount": 0.9, "horizon": 12, "warm_up": 10**9} | settings
    return Explorers(model, np.arange(len(model.states)), Settings(bonus, **made), num)


def test_the_learned_measure_is_the_exact_one_of_the_present_policy():
    ours = explorers("future")
    list(ours.run(1500, 1500))
    policy_SA = np.tile(softmax(ours.logit_NSA[0]), (2, 1))
    exact = ours.process.future(policy_SA)[: len(MODEL.states)]
    assert total_variation(ours.future_NSAZ, exact)[:, ALIVE].max() < 0.05


def test_values_are_those_of_the_present_policy():
    ours = explorers("none", policy_entropy=0.01)
    list(ours.run(1500, 1500))
    policy_SA = np.tile(softmax(ours.logit_NSA[0]), (2, 1))
    alive = np.isin(np.arange(10), [*ALIVE, 4])
    reward_SA = np.concatenate([MODEL.reward_SA, np.zeros((5, 4))])
    of_entropy = (alive * 0.01 * np.log(4))[:, None]
    exact = ours.process.values(reward_SA + of_entropy, policy_SA) - of_entropy
    np.testing.assert_allclose(ours.value_NSA[:, ALIVE], np.tile(exact[ALIVE], (3, 1, 1)), atol=0.01)


@pytest.mark.parametrize("bonus", BONUSES)
def test_what_pays_is_learned_and_told(bonus):
    ours = explorers(bonus, warm_up=300, actor_rate=0.3)
    *_, seen = ours.run(2000, 1000)
    assert seen.step == 2000
    shapes = {name: values.shape for name, values in seen.found.items()}
    assert shapes == dict.fromkeys(("return", "across", "within"), (3,))
    assert seen.found["return"].min() > 0.75  # 0.9 at best, by two steps
    assert np.isfinite(ours.logit_NSA).all()


def test_less_log_z_an_ending_is_spared_the_bonus_where_else_it_loses_it():
    """An entropy of visits that outweighs the reward keeps the agent from the goal; less log Z it does not."""
    returns = {}
    for relative in (False, True):
        ours = explorers("future", warm_up=300, actor_rate=0.3, intrinsic=0.3, relative=relative)
        *_, seen = ours.run(1500, 1500)
        returns[relative] = seen.found["return"].mean()
    assert returns[False] < 0.3 < 0.8 < returns[True]


def test_seeds_learn_apart():
    ours = explorers("future", warm_up=100)
    list(ours.run(300, 300))
    assert len({one.tobytes() for one in ours.logit_NSA}) == 3


def test_episodes_of_the_deep_sea_end_with_the_last_row():
    ours = explorers("future", deep_sea_model(4, 0.9), horizon=50)
    for _ in range(40):
        ours.step()
        assert ours.age_N.max() < 4
    last = [i for i, name in enumerate(ours.model.states) if name.startswith("r3")]
    assert ours.ends_SA[last].all() and ours.ends_SA.sum() == 8


def test_an_unknown_bonus_is_refused():
    with pytest.raises(UserError, match="bonus: unknown value 'rare'"):
        explorers("rare")
