"""Batches: the row convention worked out by hand, and what may be left out without changing anything."""

import pytest
import torch

from buffers.batch import EpisodeBatch, Rows, round_up


def batch_by_hand():
    """Two episodes: a, of three steps; b, of one step, padded with nonsense."""
    obs = torch.arange(8.0).view(4, 2, 1)
    return EpisodeBatch.from_transitions(
        obs=obs,
        state=-obs,
        action=torch.tensor([[0, 2], [1, 1], [2, 0]]),
        reward=torch.tensor([[0.5, 1.0], [0.0, 9.0], [-1.0, 9.0]]),
        discount=torch.tensor([[1.0, 1.0], [1.0, 9.0], [0.0, 9.0]]),
        mask=torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]),
        num_actions=3,
    )


def test_actions_and_rewards_move_into_the_rows_that_follow_them():
    batch = batch_by_hand()
    assert batch.prev_action[:, 0].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert batch.prev_action[:, 1].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert batch.prev_reward.tolist() == [[0.0, 0.0], [0.5, 1.0], [0.0, 0.0], [-1.0, 0.0]]
    assert batch.start.tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]
    assert batch.row_mask.tolist() == [[1, 1], [1, 1], [1, 0], [1, 0]]


def test_continuous_actions_are_their_own_features():
    action = torch.randn(2, 1, 4)
    rows, flat = torch.zeros(3, 1, 2), torch.zeros(2, 1)
    batch = EpisodeBatch.from_transitions(rows, rows, action, flat, flat, torch.ones(2, 1), num_actions=4)
    assert torch.equal(batch.prev_action, torch.cat([torch.zeros(1, 1, 4), action]))


def test_on_real_rows_leaves_padding_out_and_puts_zeros_there():
    batch = batch_by_hand()
    x = torch.randn(4, 2, 3)
    x[2:, 1] = torch.nan
    seen = []

    def net(rows):
        seen.append(rows)
        return rows.sin() + 1

    y = batch.on_real_rows(net, x)
    assert torch.isfinite(seen[0]).all()
    assert torch.equal(y[:, 0], x[:, 0].sin() + 1)
    assert torch.equal(y[:2, 1], x[:2, 1].sin() + 1)
    assert y[2:, 1].abs().sum() == 0


def test_rows_before_or_after_steps_are_real_where_the_step_is():
    batch, x, seen = batch_by_hand(), torch.randn(4, 2, 3), []
    for part in (x[:-1], x[1:]):
        y = batch.on_real_rows(lambda rows: seen.append(rows) or rows + 1, part)
        assert torch.equal(y, (part + 1) * batch.mask[..., None])
    assert torch.equal(batch.real_steps, batch.mask.flatten().nonzero().flatten())
    assert all(torch.equal(rows[:4], part.flatten(0, 1)[batch.real_steps]) for rows, part in zip(seen, (x[:-1], x[1:])))
    assert batch_by_hand().with_padding().real_steps is None
    assert batch_by_hand().with_padding().public.real_steps is None


def test_on_real_rows_has_the_gradients_of_the_plain_call():
    batch = batch_by_hand()
    x, weight = torch.randn(4, 2, 3), torch.randn(3, 5)
    grads = []
    for run in (lambda net, rows: batch.on_real_rows(net, rows), lambda net, rows: net(rows)):
        rows, w = x.clone().requires_grad_(), weight.clone().requires_grad_()
        out = run(lambda r, w=w: r @ w, rows)
        (out.square().sum(-1) * batch.row_mask).sum().backward()
        grads.append((rows.grad, w.grad))
    torch.testing.assert_close(grads[0], grads[1])


def test_without_padding_nothing_is_gathered():
    batch = batch_by_hand()
    full = EpisodeBatch.from_transitions(
        batch.obs, batch.state, batch.action, batch.reward, batch.discount, torch.ones(3, 2), 3
    )
    x = torch.randn(4, 2, 3)
    assert full.real_rows is None
    assert full.on_real_rows(lambda rows: rows, x) is x


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_row_numbers_are_rounded_up_with_the_first_one(count):
    rows = torch.arange(5, 5 + count)
    rounded = round_up(rows)
    assert len(rounded) == -(-count // 64) * 64
    assert torch.equal(rounded[:count], rows)
    assert (rounded[count:] == 5).all()


def test_rows_through_a_network_equal_the_network_on_all_rows():
    distinct = torch.randn(3, 4)
    place = torch.tensor([[0, 1], [2, 2], [0, 0]])
    rows = Rows(distinct, place)
    net = torch.nn.Linear(4, 2)
    torch.testing.assert_close(rows.through(net), net(rows.full()))
    assert torch.equal(rows.full()[1, 0], distinct[2])
    same = Rows.all_different(rows.full())
    assert torch.equal(same.full(), rows.full())
    torch.testing.assert_close(same.through(net), net(rows.full()))


def test_as_many_distinct_rows_as_places_in_another_order_are_not_mistaken_for_all_different():
    rows = Rows(torch.tensor([[1.0], [2.0]]), torch.tensor([[1], [0]]))
    assert rows.full().tolist() == [[[2.0]], [[1.0]]]
    assert rows.through(lambda x: x).tolist() == [[[2.0]], [[1.0]]]


def test_a_moved_batch_is_the_same():
    batch = batch_by_hand()
    moved = batch.to("cpu")
    assert torch.equal(moved.obs.full(), batch.obs.full())
    assert torch.equal(moved.mask, batch.mask)
