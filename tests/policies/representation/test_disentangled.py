"""Stage 2: the objective against a slow one written out in full, gradients, targets, seeds, files."""

import json
import math
import warnings

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from buffers.transitions import Batch, TransitionData, draw
from policies.models.encoders import encoder_config
from policies.models.on_disk import load_encoder, save_encoder
from policies.representation.disentangled import RepresentationConfig, RepresentationObjective
from policies.representation.training import METRICS, RepresentationTrainer, TrainingConfig, train_representations
from tests.helpers.configs import config_named
from torchkit.networks import Encoder, EncoderConfig
from utils.errors import DivergenceError, UserError

CPU = torch.device("cpu")
VECTOR = EncoderConfig(3, 8, (16, 16))
IMAGE = EncoderConfig(72, 8, (), (2, 6, 6), (4, 8, 8), (2, 2, 2), (1, 1, 1), (1, 2, 1))


def rows(num=60, dim=3, distinct=5, seed=0):
    """Rows of observation and state with repetitions, and the transitions of one long walk over them."""
    rng = np.random.default_rng(seed)
    obs = rng.normal(size=(distinct, dim)).astype(np.float32)[rng.integers(distinct, size=num + 1)]
    state = rng.normal(size=(2 * distinct, dim)).astype(np.float32)[rng.integers(2 * distinct, size=num + 1)]
    row = np.arange(num)
    action = np.eye(4, dtype=np.float32)[rng.integers(4, size=num)]
    reward = rng.integers(-1, 2, num).astype(np.float32)
    discount = (rng.random(num) > 0.3).astype(np.float32)
    return obs, state, row, row + 1, action, reward, discount


def make_objective(encoder=VECTOR, seed=0, **weights):
    torch.manual_seed(seed)
    table = {
        "state_info_weight": 0.3,
        "overlap_weight": 0.7,
        "reward_weight": 2.0,
        "obs_dynamics_weight": 0.5,
    } | weights
    return RepresentationObjective(RepresentationConfig(encoder, encoder, 4, hidden_dim=16, **table))


def make_trainer(seed=0, batch_size=20, **options):
    data, config = TransitionData.from_rows(*rows()), TrainingConfig(batch_size=batch_size, **options)
    return RepresentationTrainer(make_objective(seed=seed), data, config, seed, CPU)


def slow_losses(objective, arrays, chosen, permutation):
    """The objective as its definition reads: every row of the batch on its own, pairs compared element by element."""
    obs, state, row, after, action, reward, discount = (torch.from_numpy(a) for a in arrays)
    o, s, o2, s2 = obs[row[chosen]], state[row[chosen]], obs[after[chosen]], state[after[chosen]]
    z_s, z_o = objective.s_encoder(s), objective.o_encoder(o)

    def jsd(x, encoder, tail, z):
        equal = (x[:, None] == x[None]).all(-1).float()
        score = tail(encoder.local(x)) @ z.T
        up, down = math.log(2) - softplus(-score), softplus(-score) + score - math.log(2)
        return ((1 - equal) * down).sum() / (1 - equal).sum() - (equal * up).sum() / equal.sum()

    mu, logvar = objective.club(z_s)
    gap = ((mu - z_o[permutation]) ** 2 - (mu - z_o) ** 2) / logvar.exp()
    hidden = torch.cat([0.5 * (z_s + z_o), objective.action_embedding(action[chosen])], -1)
    out = objective.dynamics(hidden)
    Z, keep = z_s.shape[1], discount[chosen][:, None]
    target_s, target_o = keep * objective.s_encoder(s2).detach(), keep * objective.o_encoder(o2).detach()
    terms = {
        "max_s_zs": jsd(s, objective.s_encoder, objective.s_local, z_s),
        "max_o_zo": jsd(o, objective.o_encoder, objective.o_local, z_o),
        "min_zs_zo": (0.5 * gap.sum(-1).mean()).relu(),
        "state_dynamics": ((out[:, :Z] - target_s) ** 2).sum(-1).mean(),
        "obs_dynamics": ((out[:, Z : 2 * Z] - target_o) ** 2).sum(-1).mean(),
        "reward": ((out[:, -1] - reward[chosen]) ** 2).mean(),
    }
    weights = dict(zip(terms, (0.3, 1.0, 0.7, 1.0, 0.5, 2.0)))
    return {"total": sum(weights[name] * terms[name] for name in terms), **terms}


@pytest.mark.parametrize("distinct", [5, 400])  # fewer rows than a batch, and more
@pytest.mark.parametrize("encoder", [VECTOR, IMAGE])
def test_objective_and_its_gradient_are_those_of_the_definition(encoder, distinct):
    arrays = rows(dim=encoder.in_dim, distinct=distinct)
    data, objective = TransitionData.from_rows(*arrays), make_objective(encoder)
    chosen, permutation = torch.randperm(60)[:40], torch.randperm(40)
    slow = slow_losses(objective, arrays, chosen, permutation)
    expected = torch.autograd.grad(slow["total"], objective.representation_parameters())
    fast = objective.losses(data, Batch.of(data.steps[chosen], CPU), permutation)
    found = torch.autograd.grad(fast["total"], objective.representation_parameters())
    assert fast.keys() == slow.keys()
    for name in slow:
        torch.testing.assert_close(fast[name], slow[name], rtol=1e-4, atol=1e-5)
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_equal_transitions_are_stored_once_and_given_back_whole():
    obs, state, row, after, action, reward, discount = arrays = rows(num=3000, distinct=2)
    data = TransitionData.from_rows(*arrays)
    assert len(data.obs) == 2 and len(data.state) == 4
    assert len(data) == 3000 > 2 * len(data.reward)
    for stored, original in (
        (data.obs[data.obs_id], obs[row]),
        (data.obs[data.next_obs_id], obs[after]),
        (data.state[data.state_id], state[row]),
        (data.state[data.next_state_id], state[after]),
        (data.action, action),
        (data.reward, reward),
        (data.discount, discount),
    ):
        np.testing.assert_array_equal(stored[data.steps], original)


def test_state_information_is_built_only_where_it_weighs_and_works_on_vectors():
    assert make_objective(state_info_weight=0.0).s_local is None
    assert make_objective(obs_info_weight=0.0).o_local is None
    data, objective = TransitionData.from_rows(*rows()), make_objective(state_info_weight=0.5)
    objective.losses(data, Batch.of(data.steps[:20], CPU), torch.randperm(20))["max_s_zs"].backward()
    assert objective.s_local[-1].weight.grad.abs().sum() > 0


def gradient_of(term, module, objective, data):
    batch = Batch.of(data.steps[:40], CPU)
    loss = objective.losses(data, batch, torch.arange(40).roll(1))[term]
    grads = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True)
    return sum(float(g.abs().sum()) for g in grads if g is not None)


def test_overlap_reaches_both_encoders():
    data, objective = TransitionData.from_rows(*rows()), make_objective()
    trainer = RepresentationTrainer(objective, data, TrainingConfig(club_lr=1e-2, batch_size=60), 0, CPU)
    for _ in range(20):
        trainer.fit_club([Batch.of(data.steps, CPU)] * 5)
    assert gradient_of("min_zs_zo", objective.s_encoder, objective, data) > 0
    assert gradient_of("min_zs_zo", objective.o_encoder, objective, data) > 0


def test_fitting_club_leaves_the_encoders_alone_and_training_them_leaves_club_alone():
    trainer = make_trainer()
    objective, batch = trainer.objective, Batch.of(trainer.data.steps, CPU)
    before = {k: v.clone() for k, v in objective.state_dict().items()}
    trainer.fit_club([batch] * 5)
    moved = {k for k, v in objective.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {k for k in before if k.startswith("club.")}
    assert all(p.grad is None for p in trainer.parameters)
    for p in objective.club.parameters():
        p.grad = None
    objective.losses(trainer.data, batch, torch.randperm(60))["total"].backward(inputs=trainer.parameters)
    assert all(p.grad is None for p in objective.club.parameters())


def test_fitting_club_raises_its_likelihood():
    trainer = make_trainer()
    batches = [Batch.of(trainer.data.steps, CPU)] * 5
    first = trainer.fit_club(batches)
    for _ in range(50):
        last = trainer.fit_club(batches)
    assert last > first


def test_club_is_fitted_on_the_last_batches_as_they_were_embedded():
    """Of lr 0 all embeddings stay as they are: each step sees the same pairs, fresh or not."""
    recent = make_trainer(club_rows="recent", lr=0.0, club_steps=3, batch_size=20)
    data, objective = recent.data, recent.objective
    seen = []
    recent._fit_club = lambda pairs: seen.append(list(pairs)) or torch.zeros(())
    recent.train_epoch()
    assert [len(pairs) for pairs in seen] == [1, 2, 3] and len(data) == 60
    assert [pairs[0][0] is seen[0][0][0] for pairs in seen] == [True] * 3
    for batch, (z_s, z_o) in seen[-1]:
        ((fresh_s, fresh_o),) = objective.embed_pairs(data, [batch])
        torch.testing.assert_close(z_s, fresh_s)
        torch.testing.assert_close(z_o, fresh_o)
        assert not z_s.requires_grad


@pytest.mark.parametrize("distinct", [3, 200])  # fewer rows than a batch has transitions, and more
def test_embeddings_of_several_batches_are_those_of_each_batchs_own_rows(distinct):
    data, objective = TransitionData.from_rows(*rows(distinct=distinct)), make_objective()
    batches = [Batch.of(data.steps[part], CPU) for part in (slice(0, 40), slice(20, 60), slice(50, 60))]
    assert len({tuple(batch.distinct_D.tolist()) for batch in batches}) == 3
    found = objective.embed_pairs(data, batches)
    for batch, (z_s, z_o) in zip(batches, found, strict=True):
        d = batch.distinct_D
        torch.testing.assert_close(z_s, objective.s_encoder(data.state[data.state_id[d]]).detach())
        torch.testing.assert_close(z_o, objective.o_encoder(data.obs[data.obs_id[d]]).detach())


def test_weights_may_be_whole_numbers():
    names = ("state_info", "obs_info", "overlap", "reward", "state_dynamics", "obs_dynamics")
    weights = {f"{name}_weight": 1 for name in names}
    data = TransitionData.from_rows(*rows())
    losses = make_objective(**weights).losses(data, Batch.of(data.steps, CPU), torch.randperm(60))
    terms = sum(value for name, value in losses.items() if name != "total")
    torch.testing.assert_close(losses["total"], terms)


@pytest.mark.parametrize("encoder", [VECTOR, IMAGE])
def test_bfloat16_is_near_enough(encoder):
    arrays = rows(dim=encoder.in_dim, distinct=400)
    found = []
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        trainer = RepresentationTrainer(
            make_objective(encoder),
            TransitionData.from_rows(*arrays),
            TrainingConfig(batch_size=60, precision=precision, club_rows="recent"),
            0,
            CPU,
        )
        found.append(trainer.train_epoch())
        assert all(p.dtype == torch.float32 for p in trainer.objective.parameters())
    assert found[0] != found[1]
    for name in METRICS:
        assert found[1][name] == pytest.approx(found[0][name], rel=0.05, abs=0.02), name


def test_next_embeddings_are_targets_without_gradient():
    obs, state, _, _, action, reward, _ = rows(num=1, distinct=2, seed=4)
    obs[:], state[:] = [[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 0]]
    arrays = (obs, state, np.array([0]), np.array([1]), action, reward, np.ones(1, np.float32))
    data, objective = TransitionData.from_rows(*arrays), make_objective()
    batch = Batch.of(data.steps, CPU)
    objective.losses(data, batch, torch.arange(1))["state_dynamics"].backward()
    first = objective.s_encoder.first[0].weight.grad
    # the state before reads the third input only, the state after the first two: only the former may learn
    assert first[:, 2].abs().sum() > 0
    assert first[:, :2].abs().sum() == 0


@pytest.mark.parametrize("discount", [0.0, 1.0])
def test_a_true_ending_is_followed_by_zero_and_a_time_limit_is_not(discount):
    obs, state, row, after, action, reward, _ = rows(num=30)
    arrays = (obs, state, row, after, action, reward, np.full(30, discount, np.float32))
    data, objective = TransitionData.from_rows(*arrays), make_objective()
    with torch.no_grad():
        for parameter in objective.dynamics[-1].parameters():
            parameter.zero_()  # every prediction is zero
        losses = objective.losses(data, Batch.of(data.steps, CPU), torch.arange(30))
        size = objective.s_encoder(torch.from_numpy(state[after])).square().sum(-1).mean()
    torch.testing.assert_close(losses["state_dynamics"], discount * size)


def test_training_lowers_the_loss_and_reports_every_metric():
    trainer = make_trainer(num_epochs=40)
    history = [metrics for _, metrics in train_representations(trainer)]
    assert set(history[0]) == set(METRICS)
    assert history[-1]["total"] < history[0]["total"] - 0.2
    assert trainer.epoch == 40


def weights(trainer):
    return torch.cat([p.flatten() for p in trainer.objective.parameters()])


def test_seed_fixes_everything():
    runs = [make_trainer(seed=seed) for seed in (1, 1, 2)]
    for trainer in runs:
        trainer.train_epoch()
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert not torch.equal(weights(runs[0]), weights(runs[2]))


def test_resumed_training_equals_unbroken_training():
    unbroken, broken = make_trainer(), make_trainer()
    expected = [unbroken.train_epoch() for _ in range(4)]
    found = [broken.train_epoch() for _ in range(2)]
    resumed = make_trainer()
    with torch.no_grad():
        resumed.objective.s_encoder.first[0].weight.zero_()
    resumed.load_state_dict(broken.state_dict())
    found += [resumed.train_epoch() for _ in range(2)]
    assert found == expected
    assert torch.equal(weights(resumed), weights(unbroken))


@pytest.mark.parametrize("epoch", [-1, 10**9, 1.0])
def test_an_epoch_of_a_checkpoint_for_which_there_were_too_few_steps_is_refused(epoch):
    trainer = make_trainer()
    trainer.train_epoch()
    with pytest.raises(ValueError, match="epoch is "):
        make_trainer().load_state_dict(trainer.state_dict() | {"epoch": epoch})


def test_learning_rates_fall_to_zero_over_the_share_of_epochs_that_is_asked_for():
    trainer, seen = make_trainer(lr=1.0, club_lr=2.0, num_epochs=10, anneal=0.4), []
    for trainer.epoch in range(11):
        trainer._set_learning_rates()
        seen.append([o.lr for o in (trainer.optimiser, trainer.club_optimiser)])
    expected = [1.0] * 7 + [0.75, 0.5, 0.25, 0.0]
    assert seen == [[pytest.approx(share), pytest.approx(2 * share)] for share in expected]


def test_an_incomplete_last_batch_is_dropped():
    batches = list(draw(60, 25, torch.Generator()))
    assert [len(batch) for batch in batches] == [25, 25] and len(torch.cat(batches).unique()) == 50


def test_fewer_transitions_than_a_batch_make_one_smaller_batch_with_a_warning():
    with pytest.warns(UserWarning, match="60 transitions do not fill a batch of 500"):
        trainer = make_trainer(batch_size=500)
    assert all(math.isfinite(value) for value in trainer.train_epoch().values())


def test_a_loss_that_is_not_finite_stops_the_training():
    trainer = make_trainer()
    with torch.no_grad():
        trainer.objective.s_encoder.first[0].weight.fill_(float("nan"))
    with pytest.raises(DivergenceError, match=r"epoch 1: .*total"):
        trainer.train_epoch()


# embedders on disk


@pytest.fixture
def saved(tmp_path):
    encoder = Encoder(VECTOR)
    save_encoder(tmp_path, "s_encoder", encoder, {"env_id": "Somewhere-v0"})
    return tmp_path, encoder


@pytest.mark.parametrize("suffix", ["", "s_encoder.json", "s_encoder.safetensors"])
def test_an_encoder_comes_back_from_its_folder_or_either_file(saved, suffix):
    folder, encoder = saved
    x = torch.randn(4, 3)
    assert torch.equal(load_encoder(folder / suffix, "s_encoder", 3, "--flag")(x), encoder(x))
    assert json.loads((folder / "s_encoder.json").read_text())["env_id"] == "Somewhere-v0"


def spoil_tail(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def cut_tail(path):
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda d: (d / "s_encoder.json").unlink(), "no .*s_encoder.json"),
        (lambda d: (d / "s_encoder.safetensors").unlink(), "no .*s_encoder.safetensors"),
        (lambda d: (d / "s_encoder.json").write_text("{"), "damaged"),
        (lambda d: (d / "s_encoder.json").write_text("[]"), "damaged"),
        (lambda d: (d / "s_encoder.json").write_text('{"kind": "policy"}'), "not 'encoder'"),
        (lambda d: (d / "s_encoder.safetensors").write_bytes(b"short"), "damaged"),
        (lambda d: spoil_tail(d / "s_encoder.safetensors"), "checksum"),
        (
            lambda d: (d / "s_encoder.safetensors").write_bytes((d / "s_encoder.safetensors").read_bytes()[:-9]),
            "damaged",
        ),
    ],
)
def test_a_missing_or_damaged_encoder_names_the_flag(saved, spoil, message):
    spoil(saved[0])
    with pytest.raises(UserError, match=f"--flag: .*{message}"):
        load_encoder(saved[0], "s_encoder", 3, "--flag")


def test_an_encoder_of_another_size_or_role_names_the_flag(saved):
    with pytest.raises(UserError, match=r"--flag: .*embeds 3 numbers, the domain has 72 .*Somewhere-v0"):
        load_encoder(saved[0], "s_encoder", 72, "--flag")
    with pytest.raises(UserError, match=r"--flag: .*'s_encoder', not 'o_encoder'"):
        load_encoder(saved[0] / "s_encoder.json", "o_encoder", 3, "--flag")


def test_an_encoder_of_another_domain_is_taken_with_a_warning(saved):
    with pytest.warns(UserWarning, match=r"--flag: .*s_encoder.json was trained on Somewhere-v0, not on Maze-v0"):
        load_encoder(saved[0], "s_encoder", 3, "--flag", env_id="Maze-v0")
    with warnings.catch_warnings(action="error"):
        load_encoder(saved[0], "s_encoder", 3, "--flag", env_id="Somewhere-v0")
        load_encoder(saved[0], "s_encoder", 3, "--flag")
        save_encoder(saved[0], "s_encoder", saved[1], {})
        load_encoder(saved[0], "s_encoder", 3, "--flag", env_id="Maze-v0")


def repr_config(name):

    return config_named("repr", name)


DOMAINS = {
    "heaven_hell": (3, None),
    "car_flag_2d": (242, (2, 11, 11)),
    "sphinx": (72, (2, 6, 6)),
    "robot:block_pulling": (14_112, (2, 84, 84)),
    "robot:block_pushing": (14_112, (2, 84, 84)),
    "robot:drawer_opening": (14_112, (2, 84, 84)),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_every_domain_has_a_config_of_an_encoder(name):
    in_dim, image = DOMAINS[name]
    encoder = Encoder(encoder_config(repr_config(name), in_dim, image))
    assert encoder(torch.rand(2, in_dim)).shape == (2, 32)


def test_convolutions_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match=r"--config_repr\.encoder: channels"):
        encoder_config(repr_config("heaven_hell"), 72, (2, 6, 6))
    with pytest.raises(UserError, match=r"--config_repr\.encoder: .*leave nothing"):
        encoder_config(repr_config("robot"), 72, (2, 6, 6))
