"""Running normalisation against numbers taken all at once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torchkit.normalise import RewardScale, RunningNorm


@given(parts=st.lists(st.integers(1, 7), min_size=1, max_size=6), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_however_rows_arrive_the_statistics_are_those_of_all(parts, seed):
    rows = 1e3 * torch.randn(sum(parts), 3, generator=torch.Generator().manual_seed(seed))
    rows += torch.tensor([0.0, 1e5, -7.0])
    norm = RunningNorm(3, "obs")
    for part in rows.split(parts):
        norm.show(part)
    exact = rows.double()
    torch.testing.assert_close(norm.mean, exact.mean(0))
    torch.testing.assert_close(norm.squares / norm.count, exact.var(0, unbiased=False), rtol=1e-6, atol=1e-6)
    if len(rows) > 2:
        out = norm(rows)
        assert out.dtype == torch.float32
        torch.testing.assert_close(out.mean(0), torch.zeros(3), atol=2e-2, rtol=0)
        torch.testing.assert_close(out.square().mean(0), torch.ones(3), atol=2e-2, rtol=0)


def test_at_first_nothing_is_changed_and_what_never_changes_becomes_0():
    norm, x = RunningNorm(2, "obs"), torch.tensor([[3.0, -5.0], [1e9, 2.0]])
    torch.testing.assert_close(norm(x), torch.tensor([[3.0, -5.0], [10.0, 2.0]]))
    norm.show(torch.tensor([[4.0, 1.0], [4.0, 3.0]]))
    assert norm(torch.tensor([[4.0, 2.0]])).tolist() == [[0, 0]]
    assert norm(torch.tensor([[4.1, 1e9]])).abs().max() == 10


def test_the_statistics_travel_with_the_weights_and_into_double_precision():
    norm, other = RunningNorm(2, "obs"), RunningNorm(2, "obs")
    norm.show(torch.randn(50, 2))
    other.load_state_dict(norm.state_dict())
    x = torch.randn(4, 2)
    assert torch.equal(norm(x), other(x)) and not list(norm.parameters())
    torch.testing.assert_close(other.double()(x.double()).float(), norm(x))


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_no_return_goes_on_in_the_next_episode(ending):
    """Gymnasium's NormalizeReward, which resets in the step after, carries 1.5 or 1.875 into it (γ = 0.5, reward 1)."""
    scale = RewardScale(0.5)
    lengths = (2, 3) if ending == "terminated" else (4, 1)
    steps = torch.arange(4)[:, None]
    mask_TB = (steps < torch.tensor(lengths)).float()
    scale.show(torch.where(mask_TB > 0, 1.0, 77.0), mask_TB)  # padding counts for nothing
    by_hand = [sum(0.5**i for i in range(t + 1)) for length in lengths for t in range(length)]
    assert scale.returns.mean.item() == pytest.approx(np.mean(by_hand))
    std = np.std(by_hand)
    assert scale(torch.tensor([1.0, -2.0])).tolist() == pytest.approx([1 / std, -2 / std], rel=1e-5)


def test_rewards_keep_their_sign_and_their_ratio():
    scale = RewardScale(0.9)
    assert scale(torch.tensor([3.0])).tolist() == [3.0]
    for reward in (0.0, 250.0, 500.0):
        scale.show(torch.full((10, 1), reward), torch.ones(10, 1))
    a, b, c = scale(torch.tensor([100.0, -100.0, 50.0])).tolist()
    assert a == -b == pytest.approx(2 * c) and 0 < a < 1
