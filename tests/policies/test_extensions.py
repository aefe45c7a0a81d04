"""What an extension returns is of the shape that is asked for, or told in one line."""

import re

import pytest
import torch

from policies.extensions import AuxiliaryLoss, Extensions, IntrinsicReward
from tests.helpers.agents import make_batch
from utils.errors import UserError

BATCH = make_batch()  # twelve steps of four episodes
ROWS, STEPS = torch.ones(13, 4), torch.ones(12, 4)


class Loss(AuxiliaryLoss):
    def __init__(self, loss, mask):
        super().__init__()
        self.told, self.counts = loss, mask

    def loss(self, views, batch):
        return self.told

    def mask(self, batch):
        return self.counts


class Reward(IntrinsicReward):
    def __init__(self, reward):
        super().__init__()
        self.told = reward

    def reward(self, views, batch):
        return self.told


@pytest.mark.parametrize(
    ("loss", "mask", "found"),
    [
        (ROWS.mean(), ROWS, "loss returned ()"),
        (ROWS[..., None], ROWS, "loss returned (13, 4, 1)"),
        (STEPS, ROWS, "loss returned (12, 4)"),
        (0.5, ROWS, "loss returned float"),
        (ROWS, STEPS, "mask returned (12, 4)"),
        (ROWS, ROWS[:1], "mask returned (1, 4)"),
    ],
)
def test_a_loss_that_would_be_broadcast_is_told(loss, mask, found):
    made = Extensions({"odd": Loss(loss, mask)})
    message = f"^{re.escape(f'auxiliary.odd: {found}; (T+1, B) = (13, 4) is needed')}$"
    for ask in (lambda: made.total({}, BATCH, {}), lambda: made.row_losses({}, BATCH)):
        with pytest.raises(UserError, match=message):
            ask()


@pytest.mark.parametrize("reward", [STEPS[0], STEPS[:, :1], ROWS, STEPS[..., None], None])
def test_a_reward_that_would_be_broadcast_is_told(reward):
    found = "NoneType" if reward is None else str(tuple(reward.shape))
    message = f"^{re.escape(f'intrinsic.odd: reward returned {found}; (T, B) = (12, 4) is needed')}$"
    with pytest.raises(UserError, match=message):
        Extensions({}, {"odd": Reward(reward)}).bonus({}, BATCH, {})


def test_what_has_the_shape_counts():
    made = Extensions({"even": Loss(2 * ROWS, ROWS)}, {"even": Reward(3 * STEPS)})
    assert float(made.total({}, BATCH, {})) == 2.0
    assert made.bonus({}, BATCH, {}).tolist() == (3 * STEPS).tolist()
