"""Measures of what will be visited: targets by hand, the learned against the exact one, and faults of other code."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from buffers.batch import EpisodeBatch
from envs.open_rooms import rooms_model
from policies.intrinsic.cells import Cells, Codebook, SimHash
from policies.intrinsic.random_network_distillation import RandomNetworkDistillation
from policies.intrinsic.visit_count import VisitCount
from policies.intrinsic.visitation import MarginalVisitation
from policies.losses import visit_targets
from scripts.reporting.learned_visits import distances, measure_of, played, table_of
from tests.helpers.agents import CONTINUOUS, changed, make_agent, make_batch, weights
from utils.errors import UserError

GAMMA = 0.9


def one_episode(cells, terminated, padding=0, gamma=0.5, steps=1, ahead=None, **tree):
    """Targets (T, K) of an episode of cells 0…K-1, padded with rows of cell 0."""
    length = len(cells) - 1
    mask = torch.tensor([1.0] * length + [0.0] * padding)[:, None]
    discount = torch.ones_like(mask)
    discount[length - 1] = 0.0 if terminated else 1.0
    cell = torch.tensor([*cells, *[0] * padding])[:, None]
    if ahead is None:
        ahead = torch.full((len(cell), 1, 4), 0.25)
    return visit_targets(cell, ahead, discount, mask, gamma, steps, **tree)[:length, 0]


@pytest.mark.parametrize("variant", ["cv", "mv", "mi_cv"])
def test_undiscounted_visits_have_no_measure(variant):
    with pytest.raises(UserError, match=r"^--config_rl.discount=1: --config_rl.intrinsic.use counts visits"):
        make_agent(variant, discount=1.0)


def test_targets_by_hand():
    """γ = ½, cells 0 1 2; what the model foresees is uniform over four: an eighth of each, by γ¹, or a 16th, by γ²."""
    one = one_episode([0, 1, 2], terminated=False)
    torch.testing.assert_close(one, torch.tensor([[1, 5, 1, 1], [1, 1, 5, 1]]) / 8)
    two = one_episode([0, 1, 2], terminated=False, steps=2)
    torch.testing.assert_close(two, torch.tensor([[1, 9, 5, 1], [2, 2, 10, 2]]) / 16)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_after_a_true_ending_the_episode_stays_and_nothing_of_the_next_one_counts(steps):
    """Draws beyond the end are of the last state, and those before it of what came there."""
    target = one_episode([0, 1, 2], terminated=True, steps=steps)
    torch.testing.assert_close(target[1], torch.tensor([0.0, 0.0, 1.0, 0.0]))
    first = [0.125, 0.625, 0.125, 0.125] if steps == 1 else [0.0, 0.5, 0.5, 0.0]
    torch.testing.assert_close(target[0], torch.tensor(first))


@pytest.mark.parametrize("terminated", [True, False])
def test_padding_changes_no_target(terminated):
    for steps in (1, 3):
        whole = one_episode([0, 1, 3, 2], terminated, steps=steps)
        torch.testing.assert_close(one_episode([0, 1, 3, 2], terminated, padding=3, steps=steps), whole)


def test_an_episode_that_was_cut_off_is_bootstrapped_from_its_last_row():
    """However many steps are asked for: windows go over no boundary."""
    ahead = torch.zeros(3, 1, 4)
    ahead[2, 0, 3] = 1.0
    target = one_episode([0, 1, 2], terminated=False, steps=9, ahead=ahead)
    torch.testing.assert_close(target, torch.tensor([[0.0, 0.5, 0.25, 0.25], [0.0, 0.0, 0.5, 0.5]]))


def test_a_tree_backup_goes_on_by_the_probability_of_the_stored_action():
    own = torch.zeros(2, 1, 4)
    own[1, 0, 0] = 1.0  # the model holds that the stored action leads to cell 0 for ever
    keep = torch.tensor([[1.0], [0.25]])
    tree = one_episode([0, 1, 2], terminated=True, steps=2, keep_TB=keep, own_TBK=own)
    foreseen = torch.full((4,), 0.25) + 0.25 * (torch.tensor([0.0, 0.0, 1.0, 0.0]) - torch.tensor([1.0, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(tree[0], 0.5 * torch.tensor([0.0, 1.0, 0.0, 0.0]) + 0.5 * foreseen)


MODELS = {"goes on": rooms_model(["...", ".#."]), "ends": rooms_model(["...", ".#."], goal=(0, 2))}


@pytest.mark.parametrize("kind", MODELS)
def test_the_learned_measure_is_the_exact_one(kind):
    assert max(distances(MODELS[kind], "tree", 10, updates=500)) < 0.05


def test_dropped_weights_bias_many_steps_and_not_one():
    assert max(distances(MODELS["goes on"], "none", 1, updates=500)) < 0.05
    assert min(distances(MODELS["goes on"], "none", 10, updates=300)) > 0.1


def test_the_reward_is_the_entropy_of_the_measure_in_nats():
    one, batch = measure_of(5, 4, GAMMA), played(MODELS["goes on"], np.full((5, 4), 0.25), 3, 6)
    with torch.no_grad():
        reward = one.reward({}, batch)
    q_SAK = table_of(one, 5)
    state, action = batch.state.place[:-1].numpy(), batch.action.numpy()
    q = q_SAK[state, action]
    np.testing.assert_allclose(reward.numpy(), -(q * np.log(q)).sum(-1), rtol=1e-5)
    assert float(reward.max()) <= math.log(5) + 1e-6
    one.relative = True  # -KL to the uniform distribution
    with torch.no_grad():
        torch.testing.assert_close(one.reward({}, batch), reward - math.log(5))


def test_a_sampled_reward_has_the_entropy_as_its_mean_where_the_measure_is_right_and_is_clipped_on_both_sides():
    one = measure_of(5, 4, GAMMA, estimate="sampled", lr=0.05)
    batch = played(MODELS["goes on"], np.full((5, 4), 0.25), 8, 12)
    views = {"policy_action": torch.full((13, 8, 4), 0.25)}
    for _ in range(300):
        one.reward(views, batch)
        one.learn(batch)
    one.adam.lr = 0.0
    many = torch.stack([one.reward(views, batch) for _ in range(200)])
    with torch.no_grad():
        exact = one.reward({}, batch)
    assert float((many.mean(0) - exact).abs().mean()) < 0.15
    with torch.no_grad():
        one.model[-1].bias.copy_(torch.tensor([200.0, 0, 0, 0, 0] * 4))
    rewards = one.reward(views, batch)
    assert float(rewards.min()) >= 0
    assert float(rewards.max()) == pytest.approx(math.log(1000 * 5))


def test_no_share_is_left_to_cells_that_nothing_was_found_in():
    cells = Cells("state", None, Codebook(5, 9, 1e-3), 9)
    one = measure_of(5, 4, GAMMA, cells=cells)
    batch = played(MODELS["goes on"], np.full((5, 4), 0.25), 16, 12)
    views = {"policy_action": torch.full((13, 16, 4), 0.25)}
    with torch.no_grad():
        assert float(one.reward({}, batch).abs().max()) == 0.0  # one cell, for all that is known
    assert cells.taken == 1, "to look changes nothing"
    one.reward(views, batch)
    assert cells.taken == 5
    assert np.allclose(table_of(one, 5)[..., :5].sum(-1), 1.0)
    assert float(one.reward(views, batch).max()) <= math.log(5) + 1e-6


def test_the_target_comes_from_the_slow_copy_which_follows_by_tau():
    one = measure_of(5, 4, GAMMA, tau=0.25)
    batch = played(MODELS["goes on"], np.full((5, 4), 0.25), 4, 6)
    views = {"policy_action": torch.full((7, 4, 4), 0.25)}
    one.reward(views, batch)
    before = one._looked.target_TBK
    with torch.no_grad():
        one.model[-1].bias[0] += 3.0
    one.reward(views, batch)
    torch.testing.assert_close(one._looked.target_TBK, before)
    slow = weights(one.slow)
    one.learn(batch)
    for name, value in one.slow.state_dict().items():
        torch.testing.assert_close(value, torch.lerp(slow[name], one.model.state_dict()[name], 0.25))
    one.reward(views, batch)
    assert not torch.allclose(one._looked.target_TBK, before)


def test_the_marginal_measure_weighs_steps_by_their_discount():
    """By hand, γ = ½: rows 0, 1, 2 of an ended episode weigh ½, ¼ and the rest, those of one that was cut ½, ¼, ⅛."""
    rows = F.one_hot(torch.tensor([[0, 0], [1, 1], [2, 2], [3, 3]]), 4).float()
    mask, discount = torch.ones(3, 2), torch.ones(3, 2)
    mask[2, 0], discount[1, 0] = 0.0, 0.0
    batch = EpisodeBatch.from_transitions(rows, rows, torch.zeros(3, 2).long(), torch.zeros(3, 2), discount, mask, 2)
    cells = Cells("state", None, Codebook(4, 4, 1e-3), 4)
    cells.code.take_in(torch.eye(4))
    one = MarginalVisitation(cells, 0.05, 0.5)
    weight = torch.tensor([[0.5, 0.5], [0.25, 0.25], [0.25, 0.125], [0.0, 0.0625]])
    torch.testing.assert_close(one.weights(batch), weight)
    for _ in range(600):
        with torch.no_grad():
            reward = one.reward({}, batch)
        one.learn(batch)
    expected = weight.sum(1) / weight.sum()
    torch.testing.assert_close(one.logit_K.softmax(-1).detach(), expected, atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(reward[0], -expected[1].log().expand(2), atol=1e-2, rtol=1e-2)


def test_counts_are_of_real_rows():
    cells = Cells("state", None, Codebook(4, 4, 1e-3), 4)
    cells.code.take_in(torch.eye(4))
    one, rows = VisitCount(cells), torch.eye(4)[torch.tensor([[0], [1], [1], [2]])]
    mask = torch.tensor([[1.0], [1.0], [0.0]])
    zeros, ones = torch.zeros(3, 1), torch.ones(3, 1)
    batch = EpisodeBatch.from_transitions(rows, rows, zeros.long(), zeros, ones, mask, 2)
    assert one.reward({}, batch).tolist() == [[1.0], [1.0], [1.0]]
    one.learn(batch)
    assert one.count_K.tolist() == [1, 2, 0, 0]
    assert one.reward({}, batch)[0].item() == pytest.approx(2**-0.5)


def test_what_was_never_replayed_is_new_and_not_its_nearest_cell():
    def batch(numbers):
        rows = torch.eye(5)[torch.tensor(numbers)][:, None]
        zeros, ones = torch.zeros(len(numbers) - 1, 1), torch.ones(len(numbers) - 1, 1)
        return EpisodeBatch.from_transitions(rows, rows, zeros.long(), zeros, ones, ones, 2)

    count = VisitCount(Cells("state", None, Codebook(5, 64, 1e-3), 64))
    marginal = MarginalVisitation(Cells("state", None, Codebook(5, 64, 1e-3), 64), 0.01, 0.9)
    for one in (count, marginal):
        one.reward({}, batch([0] * 5))
        one.learn(batch([0] * 5))
    before = marginal.state_dict()
    torch.testing.assert_close(count.reward({}, batch([0, 0, 1, 2]))[:, 0], torch.tensor([5**-0.5, 1.0, 1.0]))
    with torch.no_grad():
        marginal.logit_K[0] = 1.0
        paid = marginal.reward({}, batch([0, 0, 1, 2]))[:, 0]
    new = math.log(1 + math.e)  # a new cell's logit is 0 beside that of the one that there is, 1
    torch.testing.assert_close(paid, torch.tensor([0.0, new, new]))
    assert all(torch.equal(value, before[name]) for name, value in marginal.state_dict().items() if "cells" in name)
    full = Codebook(2, 1, 0.5)
    full.take_in(torch.zeros(1, 2))
    assert full.look(torch.ones(1, 2))[1].tolist() == [False]  # no cell is left for it


def test_novelty_is_of_the_row_after_the_step_that_ends_an_episode_too():
    """Three steps from place 0 to 3, which ends the episode; padded by a step that would lead to place 0."""
    torch.manual_seed(0)
    one, mask = RandomNetworkDistillation(4, (8,), 3, 1e-2), torch.tensor([1.0, 1.0, 1.0, 0.0])[:, None]
    rows, zeros = torch.eye(4)[torch.tensor([0, 1, 2, 3, 0])[:, None]], torch.zeros(4, 1)
    batch = EpisodeBatch.from_transitions(rows, rows, zeros.long(), zeros, 1 - mask, mask, 2)
    assert one.reward({}, batch).abs().max() == 0.0  # nothing to measure by
    one.learn(batch)
    place = torch.eye(4)
    error = (one.predictor(place) - one.target(place)).square().sum(1) / one.target(place).var(0, correction=0).sum()
    torch.testing.assert_close(one.reward({}, batch)[:3, 0], error[1:])
    for _ in range(300):
        one.learn(batch)
    assert one.reward({}, batch)[2, 0] < 0.05 * error[3]  # what it ended at is learned from as well


def test_cells_are_the_first_rows_that_lie_apart_and_then_the_nearest():
    code = Codebook(2, 3, 0.5)
    code.take_in(torch.tensor([[0.0, 0.0], [0.3, 0.0], [1.0, 0.0]]))
    assert int(code.taken) == 2
    code.take_in(torch.tensor([[1.0, 0.1], [5.0, 0.0], [9.0, 0.0]]))
    assert code(torch.tensor([[0.4, 0.0], [0.6, 0.0], [8.0, 0.0]])).tolist() == [0, 1, 2]
    torch.manual_seed(0)
    signs = SimHash(6, 8)
    rows = torch.randn(500, 6)
    assert set(signs(rows).tolist()) == set(range(8))
    assert torch.equal(signs(rows), signs(3 * rows))


ROWS = {
    "dqn": ("history", {}),
    "sac": ("sac:history", {}),
    "a2c": ("a2c:history", {}),
    "continuous": ("sac:history", {"spec": CONTINUOUS}),
    "of the memory": ("history", {"intrinsic__future_visitation.features": ("history",)}),
    "of the state": ("history", {"intrinsic__future_visitation.features": ("1", "2"),
                                 "intrinsic__future_visitation.condition": "state"}),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_any_family_is_paid_and_what_is_learned_is_in_its_checkpoint(row):
    variant, options = ROWS[row]
    spec = options.get("spec", None)
    made = {"intrinsic__use": ("future_visitation", "marginal_visitation", "visit_count"), **options}
    agent = make_agent(variant, **made)
    batch = make_batch() if spec is None else make_batch(spec=spec)
    before = weights(agent)
    for _ in range(2):
        metrics = agent.update(batch)
    assert metrics["intrinsic/future_visitation/loss"].isfinite()
    moved = changed(before, agent)
    for part in ("future_visitation.model", "future_visitation.slow", "marginal_visitation.logit_K", "count_K"):
        assert any(part in name for name in moved), part
    again = make_agent(variant, seed=1, **made)
    again.load_checkpoint(agent.checkpoint())
    torch.manual_seed(0)
    ours = agent.update(batch)
    torch.manual_seed(0)
    theirs = again.update(batch)
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def test_the_policy_of_a_dqn_is_its_exploring_one():
    agent = make_agent("cv")
    agent.env_steps = 20_000
    share = agent.epsilon()
    found = agent._explored(torch.tensor([0.0, 2.0, 1.0, -1.0]))
    torch.testing.assert_close(found, torch.tensor([share / 4, 1 - 0.75 * share, share / 4, share / 4]))


def test_bonuses_are_annealed_and_computed_anew():
    agent = make_agent("cv", intrinsic__anneal_steps=100)
    batch = make_batch()
    agent.update(batch)
    first = agent.look_back(batch)[1]["future_visitation"]
    agent.update(batch)
    assert not torch.allclose(agent.look_back(batch)[1]["future_visitation"], first)
    agent.env_steps = 100
    assert agent.bonus_share() == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": ()}, "future_visitation.features: a tuple is needed"),
        ({"features": ("wall",)}, "future_visitation.features: the state of Test-v0 has no feature 'wall'"),
        ({"features": ("history",), "cells": 24}, "future_visitation.cells=24: a power of 2 is needed"),
        ({"condition": "belief"}, "future_visitation.condition: unknown value 'belief'"),
        ({"correction": "retrace"}, "future_visitation.correction: unknown value 'retrace'"),
        ({"estimate": "both"}, "future_visitation.estimate: unknown value 'both'"),
        ({"steps": 0}, "future_visitation.steps=0: at least 1 is needed"),
    ],
)
def test_what_cannot_be_counted_is_one_line(options, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        make_agent("cv", **{f"intrinsic__future_visitation.{name}": value for name, value in options.items()})
