"""The information gain worked out by hand, and the sums to which it comes over an episode."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from buffers.batch import EpisodeBatch
from policies.intrinsic.information_gain import InformationGain
from policies.losses import prediction_error
from tests.helpers.agents import changed, make_agent, make_batch, weights


def batch_of(steps, terminated=True):
    rows, ones = torch.zeros(steps + 1, 1, 1), torch.ones(steps, 1)
    discount = ones.clone()
    discount[-1] = 0.0 if terminated else 1.0
    return EpisodeBatch.from_transitions(rows, rows, torch.zeros(steps, 1, dtype=torch.long), ones, discount, ones, 2)


def gain(error, bonus_target, discount, nothing=math.inf):
    return InformationGain(partial(prediction_error, kind=error), bonus_target, discount, nothing)


def views_of(predictions, targets):
    return {"predicted_state": torch.tensor(predictions)[:, None], "state_target": torch.tensor(targets)[:, None]}


# One dimension and squared errors: k = 0, 1, 3 against z = 2, 4, 3.
VIEWS = views_of([[0.0], [1.0], [3.0]], [[2.0], [4.0], [3.0]])


@pytest.mark.parametrize(
    ("bonus_target", "expected"),
    [
        ("common", [(0 - 4) ** 2 - (1 - 4) ** 2, (1 - 3) ** 2 - 0]),  # both histories against the state after the step
        ("own_step", [(0 - 2) ** 2 - (1 - 4) ** 2, (1 - 4) ** 2 - 0]),  # each against its own
        ("potential", [4 - 0.5 * 9, 9 - 0.0]),  # γ = 0.5; nothing follows a true ending
        ("best", [0.0, 4 - 0]),  # errors of 4, 9, 0: the second is none that is less
    ],
)
def test_the_bonus_by_hand(bonus_target, expected):
    bonus = gain("l2", bonus_target, 0.5).reward(VIEWS, batch_of(2, terminated=bonus_target != "best"))
    assert bonus[:, 0].tolist() == pytest.approx(expected)


def test_by_the_share_none_knows_less_than_nothing():
    """Errors of 4, 9 and 0 where knowing nothing costs 1: what is known is 0, 0 and all."""
    bonus = gain("l2", "best", 0.5, nothing=1.0).reward(VIEWS, batch_of(2, terminated=False))
    assert bonus[:, 0].tolist() == [0.0, 1.0]


def test_by_the_best_a_step_that_truly_ends_the_episode_is_paid_for_nothing():
    """No state after it was embedded with a target: errors of 5, 4 and, whatever is arrived at, none that counts."""
    for arrived in (3.0, 100.0):
        views = views_of([[0.0], [1.0], [3.0]], [[math.sqrt(5.0)], [3.0], [arrived]])
        bonus = gain("l2", "best", 0.5).reward(views, batch_of(2))
        assert bonus[:, 0].tolist() == pytest.approx([1.0, 0.0])


def test_the_cosine_bonus_pays_for_turning_towards_the_state():
    views = views_of([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]], [[1.0, 0.0]] * 3)
    for error, expected in (("cosine", [1.0, -2.0]), ("abs_cosine", [1.0, 0.0])):
        for bonus_target in ("common", "own_step"):
            bonus = gain(error, bonus_target, 0.9).reward(views, batch_of(2))
            assert bonus[:, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_common_and_own_step_agree_where_the_state_stands_still():
    k, z = torch.randn(6, 1, 3), torch.randn(1, 1, 3).expand(6, 1, 3)
    views = {"predicted_state": k, "state_target": z}
    left, right = (gain("l2", t, 0.9).reward(views, batch_of(5)) for t in ("common", "own_step"))
    torch.testing.assert_close(left, right)


def made_up(steps, seed):
    rng = torch.Generator().manual_seed(seed)
    return {name: torch.randn(steps + 1, 1, 3, generator=rng) for name in ("predicted_state", "state_target")}


@given(steps=st.integers(1, 12), seed=st.integers(0, 999), error=st.sampled_from(["cosine", "abs_cosine", "l2"]))
@settings(max_examples=40, deadline=None)
def test_the_own_step_bonus_telescopes(steps, seed, error):
    views = made_up(steps, seed)
    total = gain(error, "own_step", 0.9).reward(views, batch_of(steps)).sum()
    errors = prediction_error(views["predicted_state"], views["state_target"], error)
    torch.testing.assert_close(total, errors[0, 0] - errors[-1, 0], rtol=1e-4, atol=1e-4)


@given(
    steps=st.integers(1, 12),
    seed=st.integers(0, 999),
    nothing=st.sampled_from([0.5, 2.0, math.inf]),
    terminated=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_an_episode_is_paid_what_it_came_to_know_at_best_and_never_more(steps, seed, nothing, terminated):
    views = made_up(steps, seed)
    bonus = gain("l2", "best", 0.9, nothing).reward(views, batch_of(steps, terminated))
    errors = prediction_error(views["predicted_state"], views["state_target"], "l2")[:, 0].clamp(max=nothing)
    errors = errors[: steps + 1 - terminated]
    assert (bonus >= 0).all()
    torch.testing.assert_close(bonus.sum(), errors[0] - errors.min(), rtol=1e-4, atol=1e-4)
    assert bonus.sum() <= nothing


@given(
    steps=st.integers(1, 12),
    seed=st.integers(0, 999),
    gamma=st.sampled_from([0.5, 0.93, 1.0]),
    terminated=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_the_discounted_sum_of_the_potential_form_depends_on_the_first_and_the_last_row_only(
    steps, seed, gamma, terminated
):
    """Shaping by Φ = -error changes no policy's order: Σ γ^t (γ Φ_{t+1} - Φ_t) = γ^L Φ_L - Φ_0, Φ = 0 after an end."""
    views = made_up(steps, seed)
    bonus = gain("l2", "potential", gamma).reward(views, batch_of(steps, terminated))
    phi = -prediction_error(views["predicted_state"], views["state_target"], "l2")[:, 0]
    total = (gamma ** torch.arange(steps) * bonus[:, 0]).sum()
    last = torch.zeros(()) if terminated else gamma**steps * phi[-1]
    torch.testing.assert_close(total, last - phi[0], rtol=1e-4, atol=1e-4)


def test_no_gradient_leaves_the_bonus():
    views = made_up(4, 0)
    views["predicted_state"].requires_grad_()
    for bonus_target in ("common", "own_step", "potential", "best"):
        assert not gain("cosine", bonus_target, 0.9).reward(views, batch_of(4)).requires_grad


def test_a_foreseen_motion_pays_nothing_and_what_is_learned_by_it_does():
    """The agent walks, which z^s tells and the action foretells, and reads a fact, which nothing foretells."""
    place, fact = torch.arange(4.0), torch.full((4,), 1.0)
    target = torch.stack([place, fact], dim=-1)[:, None]
    believed = torch.tensor([0.0, 0.0, 1.0, 1.0])  # of the fact: read at the third row
    after = torch.stack([place, believed], dim=-1)[:, None]
    before = torch.stack([place, believed.roll(1)], dim=-1)[:, None]  # foreseen: the place to come, the old belief
    views = {"predicted_state": after, "foreseen_state": before, "state_target": target}
    paid = {
        t: gain("l2", t, 0.9).reward(views, batch_of(3, terminated=False))[:, 0] for t in ("foreseen", "best", "common")
    }
    assert paid["foreseen"].tolist() == paid["best"].tolist() == [0.0, 1.0, 0.0]
    assert paid["common"].tolist() == [1.0, 2.0, 1.0]  # every step of the walk is paid


def test_what_is_foreseen_reads_the_history_before_the_step_and_its_action():
    agent, batch = make_agent("mi", intrinsic__information_gain__bonus_target="foreseen"), make_batch()
    agent.measure(batch)
    part = agent.extensions.auxiliary["state_prediction"]
    views, _, _ = agent._look(batch, agent.state_views(batch))
    t, b = 3, 1
    known = torch.cat([views["history"][t - 1, b], torch.nn.functional.one_hot(batch.action[t - 1, b], 4).float()])
    torch.testing.assert_close(views["foreseen_state"][t, b], part.ahead(known))
    errors = [
        prediction_error(views[name], views["state_target"], part.error)
        for name in ("predicted_state", "foreseen_state")
    ]
    torch.testing.assert_close(part.loss(views, batch), sum(errors))
    before = weights(agent)
    agent.update(batch)
    assert {name for name in before if ".ahead." in name} <= changed(before, agent)
    assert make_agent("mi").extensions.auxiliary["state_prediction"].ahead is None
