"""Images in learning: each frame is encoded once an update, and stage 2 turns copies as if they had been stored."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from buffers.augment import MIRROR, turn_actions, turn_images
from buffers.batch import EpisodeBatch
from buffers.dataset import read_dataset, write_dataset
from buffers.episode_buffer import EpisodeBuffer
from buffers.stored import StoredEpisodes
from buffers.transitions import Batch
from policies.build import build_agent
from policies.models.sources import Sources
from policies.representation.believer import StateModel
from policies.representation.disentangled import RepresentationConfig, RepresentationObjective
from policies.representation.kinds import transition_data
from policies.representation.training import RepresentationTrainer, TrainingConfig
from tests.buffers.test_dataset import METADATA, space_of
from tests.buffers.test_images import blob_like
from tests.helpers.agents import CPU, make_config, weights
from tests.helpers.blob import spec_of
from torchkit.moments import Moments
from torchkit.networks import Encoder, EncoderConfig
from utils.errors import UserError

SPEC = spec_of(8)
ENCODER = EncoderConfig(128, 6, (), (2, 8, 8), (4, 5), (3, 2), (2, 1), (1, 1))


def make_agent(dropout):
    config = make_config(
        "sac:mi", "gpt", repr_name="sphinx", seq={"kwargs.dropout": dropout}, z_obs="scratch", z_state="random"
    )
    agent = build_agent(Sources(SPEC, config), 0, CPU)
    agent.measure(make_batch())
    return agent


def make_batch():
    buffer, rng = EpisodeBuffer(SPEC, 100, 6, seed=0, turned_share=0.5), np.random.default_rng(0)
    for length in (6, 1, 2):
        buffer.add(blob_like(SPEC, length, rng))
    return buffer.sample(8)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_each_encoder_sees_each_frame_once_an_update(dropout):
    agent, batch = make_agent(dropout), make_batch()
    calls = {}
    for name, module in agent.named_modules():
        if isinstance(module, Encoder):
            module.register_forward_hook(lambda m, x, out, name=name: calls.setdefault(name, []).append(len(x[0])))
    agent.update(batch)
    assert len(calls) == 7  # φ; memory and ψ of the actor, the critic and its target
    assert all(len(rows) == 1 for rows in calls.values()), calls
    assert {rows[0] for rows in calls.values()} == {len(batch.obs.distinct)}
    assert len(batch.obs.distinct) < batch.obs.place.numel()
    assert batch.obs.known is None and batch.state.known is None


def test_images_are_prepared_once_for_all_encoders_of_a_view(monkeypatch):
    agent, batch, prepared = make_agent(0.0), make_batch(), []
    prepare = Encoder.prepare
    monkeypatch.setattr(Encoder, "prepare", lambda self, x: prepared.append(len(x)) or prepare(self, x))
    agent.update(batch)
    assert prepared == [len(batch.state.distinct), len(batch.obs.distinct)]


def test_what_was_encoded_once_changes_nothing_of_what_is_learned(monkeypatch):
    once, again = make_agent(0.1), make_agent(0.1)
    for _ in range(2):
        torch.manual_seed(1)
        once.update(make_batch())
        with monkeypatch.context() as patch:
            patch.setattr(EpisodeBatch, "encoding_once", lambda self: contextlib.nullcontext())
            torch.manual_seed(1)
            again.update(make_batch())
    theirs = weights(again)
    for name, value in weights(once).items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-6, atol=1e-7)


def test_a_second_look_has_the_gradient_that_the_first_lacked():
    batch, net = make_batch(), torch.nn.Linear(SPEC.obs_dim, 3)
    with batch.encoding_once():
        with torch.no_grad():
            plain = batch.obs.through(net)
        learned = batch.obs.through(net)
        with torch.no_grad():
            assert not batch.obs.through(net).requires_grad
    assert not plain.requires_grad and learned.requires_grad
    torch.testing.assert_close(plain, learned.detach())
    assert batch.obs.through(net) is not learned


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> StoredEpisodes:
    """Two random and two expert episodes; two copies of each of the latter are asked for."""
    path, rng = tmp_path_factory.mktemp("data") / "d", np.random.default_rng(0)
    episodes = [blob_like(SPEC, length, rng) for length in (2, 5, 6, 3)]
    for episode in episodes[2:]:
        episode.expert = True
    write_dataset(path, episodes, SPEC, METADATA | {"augmentation": {"kind": "se2", "n_aug": 2}}, space_of(SPEC))
    return read_dataset(path)


def test_copies_are_further_steps_of_the_experts_episodes(stored):
    data = transition_data(stored)
    assert data.first_copy == 2 + 5 + 6 + 3
    assert len(data) == data.first_copy + 2 * (6 + 3)
    assert sorted(data.steps[data.first_copy :].tolist()) == sorted([*range(7, 16)] * 2)
    step = torch.arange(len(data))
    batch = data.batch(step, torch.Generator().manual_seed(0), CPU)
    assert len(batch.distinct_D) == len(data)
    assert ((batch.angle_D[batch.place_B] == 0) == (step < data.first_copy)).all()
    assert torch.equal(batch.distinct_D[batch.place_B], data.steps)
    assert len(batch.angle_D[batch.angle_D > 0].unique()) == 18
    again = data.batch(step, torch.Generator().manual_seed(0), CPU)
    assert torch.equal(again.angle_D, batch.angle_D)


def test_a_step_that_is_drawn_twice_as_it_was_counts_twice_and_copies_count_each(stored):
    data = transition_data(stored)
    copy = data.first_copy  # of step 7
    batch = data.batch(torch.tensor([7, 7, copy, copy]), torch.Generator().manual_seed(0), CPU)
    assert batch.distinct_D.tolist() == [7, 7, 7]
    assert batch.count_D.tolist() == [2.0, 1.0, 1.0]
    assert batch.place_B.tolist() == [0, 0, 1, 2]
    assert (batch.angle_D == 0).tolist() == [True, False, False]
    both = Batch.side_by_side([batch, batch])
    assert both.distinct_D.tolist() == [7] * 6 and both.place_B.tolist() == [0, 0, 1, 2, 3, 3, 4, 5]
    assert torch.equal(both.angle_D, batch.angle_D.repeat(2))
    number, angle, place = both.frames(data.obs_id[both.distinct_D])
    assert len(number) == 5  # the one that was not turned is the same in both
    assert torch.equal(angle[place], both.angle_D)


def test_half_of_the_copies_are_mirrored_where_the_data_set_says_so(stored):
    kinds = {"se2": 0.0, "e2": 0.5}
    for kind, share in kinds.items():
        asked = replace(stored, metadata=stored.metadata | {"augmentation": {"kind": kind, "n_aug": 200}})
        data = transition_data(asked).to(CPU)
        step = torch.arange(data.first_copy, len(data))
        angle = data.batch(step, torch.Generator().manual_seed(0), CPU).angle_D
        assert float((angle >= MIRROR).double().mean()) == pytest.approx(share, abs=0.05)
        number, angle = data.obs_id[data.steps[step[:6]]], angle[:6]
        torch.testing.assert_close(data.read("obs", number, angle), turned_rows(data.read("obs", number), angle))


def turned_rows(rows, angle):
    return turn_images(rows.view(-1, 2, 8, 8), angle).flatten(1)


def make_objective():
    torch.manual_seed(0)
    return RepresentationObjective(RepresentationConfig(ENCODER, ENCODER, 5, hidden_dim=8, state_info_weight=0.5))


def test_the_objective_on_copies_is_that_on_rows_which_were_turned_beforehand(stored):
    data, objective = transition_data(stored), make_objective()
    step, permutation = torch.randperm(len(data))[:25], torch.randperm(25)
    batch = data.batch(step, torch.Generator().manual_seed(3), CPU)
    angle, first = batch.angle_D[batch.place_B], data.steps[step]
    rows = {
        "obs": (data.read("obs", data.obs_id[first]), data.read("obs", data.next_obs_id[first])),
        "state": (data.read("state", data.state_id[first]), data.read("state", data.next_state_id[first])),
    }
    flat = {view: torch.stack([turned_rows(x, angle) for x in pair], 1).flatten(0, 1) for view, pair in rows.items()}
    plain = type(data).from_rows(
        flat["obs"].numpy(), flat["state"].numpy(), 2 * np.arange(25), 2 * np.arange(25) + 1,
        turn_actions(data.action[first], angle).numpy(), data.reward[first].numpy(), data.discount[first].numpy(),
    )  # fmt: skip
    expected = objective.losses(plain, Batch.of(plain.steps, CPU), permutation)
    found = objective.losses(data, batch, permutation)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    unturned = objective.losses(data, Batch.of(data.steps[step], CPU), permutation)
    assert abs(float((unturned["total"] - found["total"]).detach())) > 1e-4
    for (z_s, z_o), (again_s, again_o) in zip(
        objective.embed_pairs(data, [batch, batch]), objective.embed_pairs(data, [batch]) * 2
    ):
        torch.testing.assert_close(z_s, again_s)
        torch.testing.assert_close(z_o[batch.place_B], objective.o_encoder(plain.obs[plain.obs_id[plain.steps]]))
        torch.testing.assert_close(z_o, again_o)


def test_the_believers_state_model_reads_the_turned_state_and_action(stored):
    data = transition_data(stored)
    torch.manual_seed(0)
    model = StateModel(EncoderConfig(128, 6, (), (2, 8, 8), (4,), (3,), (2,), (1,)), 5, 8, 4)
    batch = data.batch(torch.arange(len(data)), torch.Generator().manual_seed(0), CPU)
    noise = torch.zeros(len(batch.distinct_D), 6)
    turned = model.losses(data, batch, noise)
    as_it_was = model.losses(data, Batch.of(data.steps, CPU), torch.zeros(16, 6))
    for name in ("reconstruction", "state_dynamics"):
        assert abs(float((turned[name] - as_it_was[name]).detach())) > 1e-6


def test_training_on_copies_goes_on_the_same_after_a_checkpoint(stored):
    def make():
        return RepresentationTrainer(make_objective(), transition_data(stored), TrainingConfig(batch_size=8), 0, CPU)

    unbroken, resumed = make(), make()
    shown = [unbroken.train_epoch() for _ in range(2)]
    first = make()
    first.train_epoch()
    resumed.load_state_dict(first.state_dict())
    assert resumed.train_epoch() == shown[1] != shown[0]
    assert all(torch.equal(a, b) for a, b in zip(resumed.objective.parameters(), unbroken.objective.parameters()))


def test_saved_embeddings_are_standardised_on_the_rows_as_they_were(stored):
    data, encoder = transition_data(stored), make_objective().o_encoder
    z = data.embed_all(encoder, "obs", chunk=3)
    torch.testing.assert_close(z, encoder(data.read("obs", data.numbers("obs"))).detach())
    weight = torch.bincount(data.obs_id[data.steps], minlength=len(z)).float()
    standard = encoder.standardised(Moments.of(z, weight))
    share = weight / weight.sum()
    mapped = data.embed_all(standard, "obs")
    torch.testing.assert_close(share @ mapped, torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(share @ mapped.square().sum(1), torch.tensor(1.0))


def test_a_data_set_that_cannot_be_turned_is_refused(stored, monkeypatch):
    monkeypatch.setitem(stored.metadata["spec"], "action_dim", 3)
    monkeypatch.delitem(stored.__dict__, "spec", raising=False)
    with pytest.raises(UserError, match="--data_path: x and y are known"):
        transition_data(stored)
    stored.__dict__.pop("spec")
