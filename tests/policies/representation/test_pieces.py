"""Stage 2 on more than fits into memory: pieces of episodes, all of them in an epoch, none larger than allowed."""

import numpy as np
import pytest
import torch

from buffers.dataset import open_dataset, read_dataset
from buffers.stored import EpisodesOnDisk
from buffers.transitions import epoch_generator
from policies.representation.disentangled import RepresentationConfig, RepresentationObjective
from policies.representation.kinds import Data, transition_data
from policies.representation.training import RepresentationTrainer, TrainingConfig
from tests.buffers.test_dataset import SPEC, make_episode, write
from tests.helpers.agents import CPU
from torchkit.networks import EncoderConfig
from utils.errors import UserError

EPISODES, LONGEST, ROWS = 40, 10, sum(2 + number % 9 for number in range(40))
SIZES = RepresentationConfig(EncoderConfig(3, 4, (8,)), EncoderConfig(4, 4, (8,)), SPEC.action_dim, hidden_dim=8)


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    write(tmp_path / "data", [make_episode(rng, 1 + n % 9, success=n % 4 == 0) for n in range(EPISODES)])
    return tmp_path / "data"


def on_disk(path, max_rows=ROWS - 1):
    stored = open_dataset(path, max_rows)
    assert isinstance(stored, EpisodesOnDisk)
    return stored


@pytest.mark.parametrize("max_rows", [20, 33, 64, 150, ROWS])
def test_pieces_have_every_episode_once_and_no_more_rows_than_allowed(path, max_rows):
    stored, order = on_disk(path), np.random.default_rng(1).permutation(EPISODES)
    pieces = stored.pieces(order, max_rows)
    assert np.array_equal(np.concatenate(pieces), order)
    rows = [int((stored.length[piece] + 1).sum()) for piece in pieces]
    assert max(rows) <= max_rows
    assert min(rows) > max(rows) - 2 * LONGEST


def test_some_episodes_are_those_of_the_whole(path):
    whole, some = read_dataset(path), on_disk(path).some(np.array([7, 0, 21]))
    assert some.success.tolist() == [False, True, False]
    assert some.metadata == whole.metadata
    for place, number in enumerate((7, 0, 21)):
        one, other = some.episode(place), whole.episode(number)
        for name in ("obs", "state", "action", "reward", "discount"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_bound_that_holds_no_two_episodes_is_one_line(path):
    with pytest.raises(UserError, match="--max_rows=39: two pieces of two episodes of up to 9 steps need 40"):
        Data.of(on_disk(path), 39, 0)


def test_an_epoch_goes_through_all_transitions_in_pieces_that_fit_beside_what_is_shown(path):
    data = Data.of(on_disk(path), 100, 0)
    assert 2 <= len(data.shown.reward) <= 50
    orders = []
    for epoch in range(2):
        pieces = list(data.pieces(CPU)(epoch_generator(0, epoch)))
        assert all(len(piece.obs) <= 50 for piece in pieces)
        rewards = torch.cat([piece.reward[piece.steps] for piece in pieces])
        orders.append(rewards)
        whole = transition_data(read_dataset(path))
        assert torch.equal(rewards.sort().values, whole.reward[whole.steps].sort().values)
    assert not torch.equal(*orders)
    first = next(data.pieces(CPU)(epoch_generator(0, 0)))
    assert torch.equal(first.obs, transition_data(data.shown).obs)


def trainer_of(data, batch_size=12):
    torch.manual_seed(0)
    objective, config = RepresentationObjective(SIZES), TrainingConfig(batch_size=batch_size, num_epochs=4)
    return RepresentationTrainer(objective, transition_data(data.shown), config, 0, CPU, data.pieces(CPU))


def same_weights(one, other):
    pairs = zip(one.objective.state_dict().values(), other.objective.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def test_training_on_pieces_goes_on_bit_for_bit(path):
    unbroken, broken, again = (trainer_of(Data.of(on_disk(path), 100, 0)) for _ in range(3))
    metrics = [unbroken.train_epoch() for _ in range(3)]
    assert metrics[:2] == [broken.train_epoch() for _ in range(2)]
    again.load_state_dict(broken.state_dict())
    assert again.train_epoch() == metrics[2]
    assert same_weights(unbroken, again)


def test_of_one_piece_training_is_that_of_data_in_memory(path):
    stored = read_dataset(path)
    whole, single = trainer_of(Data.of(stored, 1000, 0)), trainer_of(Data.of(stored, None, 0))
    single.pieces = lambda rng: iter([transition_data(stored)])
    assert [whole.train_epoch() for _ in range(2)] == [single.train_epoch() for _ in range(2)]
    assert same_weights(whole, single)


@pytest.mark.filterwarnings("ignore:--config_repr.batch_size")
def test_a_piece_smaller_than_a_batch_is_a_batch(path):
    data = Data.of(on_disk(path), 60, 0)
    trainer = trainer_of(data, batch_size=500)
    pieces = list(data.pieces(CPU)(epoch_generator(0, 0)))
    assert len(pieces) > 5 and min(map(len, pieces)) < len(pieces[0])
    seen = []
    trainer.train_epoch(lambda: seen.append(1))
    assert len(seen) == len(pieces)
