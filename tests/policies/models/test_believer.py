"""The Believer's belief: whose samples they are, what acts, and which loss teaches what."""

import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from ml_collections import ConfigDict

from buffers.batch import EpisodeBatch, Rows
from configs.repr.believer_grid import get_config
from policies.build import build_agent
from policies.deployed.files import load_policy, save_policy
from policies.models.believer import Belief, load_believer, save_believer
from policies.models.encoders import build_memory, encoder_config
from policies.models.on_disk import save_encoder
from policies.models.sources import Sources
from policies.models.views import Inputs
from tests.helpers.agents import (
    CONTINUOUS,
    CPU,
    EMBEDDING,
    IMAGES,
    SPEC,
    changed,
    make_agent,
    make_batch,
    make_believer,
    make_config,
    weights,
    write_embedders,
)
from tests.helpers.blob import spec_of
from torchkit.networks import Encoder, EncoderConfig
from utils.errors import UserError

X = EMBEDDING


def make_memory(config, width):
    return build_memory(config, width, SPEC.max_episode_steps + 1)


def make_belief(memory="gru", num_samples=6):
    torch.manual_seed(0)
    return Belief(make_believer(memory).history, num_samples, (7, 7), 3).eval()


def test_samples_of_one_trajectory_never_come_from_another():
    """Each sample depends on the context of its own row, for one trajectory as for many (defect D2 of the spec)."""
    belief = make_belief()
    contexts = torch.randn(4, 3, 10, requires_grad=True)
    noise = torch.randn(4, 3, 6, 4 + X)
    samples = belief.model.samples(contexts, noise)
    assert samples.shape == (4, 3, 6, X)
    for t, b in ((0, 0), (2, 1), (3, 2)):
        (gradient,) = torch.autograd.grad(samples[t, b].square().sum(), contexts, retain_graph=True)
        reached = gradient.abs().sum(-1) > 0
        assert reached[t, b] and reached.sum() == 1
        for k in range(6):  # the slow obvious version
            z, of_x = noise[t, b, k].split([4, X])
            torch.testing.assert_close(samples[t, b, k], belief.model.decoder(z, contexts[t, b]).at(of_x))


@pytest.mark.parametrize("memory, block", [("gru", 64), ("gru", 5), ("gpt", 64)])
def test_the_belief_of_a_batch_is_that_of_each_episode_alone_and_of_its_steps(memory, block, monkeypatch):
    monkeypatch.setattr("policies.models.believer.BLOCK", block)
    belief, batch = make_belief(memory), make_batch()
    views = belief(batch)
    full, close = batch.obs.full(), partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)
    for b, length in enumerate((3, 12, 1, 7)):
        rows, carry = [], None
        for t in range(length + 1):
            now = Inputs(full[t, b][None], batch.prev_action[t, b][None], batch.prev_reward[t, b][None],
                         batch.start[t, b][None])  # fmt: skip
            row, carry = belief.step(now, carry)
            rows.append(row[0])
        close(views["belief"][: length + 1, b], torch.stack(rows))
        alone = EpisodeBatch.from_transitions(
            *(Rows.all_different(rows.full()[: length + 1, b : b + 1]) for rows in (batch.obs, batch.state)),
            *(getattr(batch, name)[:length, b][:, None] for name in ("action", "reward", "discount", "mask")), 4,
        )  # fmt: skip
        close(views["belief"][: length + 1, b], belief(alone)["belief"][:, 0])


def test_noise_is_fresh_in_training_and_belongs_to_the_module_in_acting():
    belief = make_belief()
    contexts = torch.ones(2, 3, 10)  # equal contexts, so that only noise can tell rows apart
    acting = belief.samples(contexts)
    assert torch.equal(acting, belief.samples(contexts))
    assert torch.equal(acting, belief.model.samples(contexts, belief.noise))  # one noise for all rows
    torch.testing.assert_close(acting, acting[:1, :1].expand_as(acting))
    belief.train()
    training = belief.samples(contexts)
    assert not torch.equal(training, belief.samples(contexts)) and not torch.equal(training[0, 0], training[1, 2])
    assert "noise" in belief.state_dict()  # a deployed policy acts by the same


def test_one_env_acts_as_it_does_among_a_hundred():
    agent = make_agent("believer")
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(100, 3)).astype(np.float32)
    inputs = (obs, np.zeros((100, 4), np.float32), np.zeros(100, np.float32), np.ones(100, np.float32))
    together = torch.as_tensor(agent.policy.step(Inputs(*map(torch.from_numpy, inputs)), None)[0])
    for n in (0, 57, 99):
        one = Inputs(*(torch.from_numpy(x[n : n + 1]) for x in inputs))
        torch.testing.assert_close(agent.policy.step(one, None)[0][0], together[n])


@pytest.mark.parametrize("variant", ["believer", "sac:believer"])
def test_what_acts_holds_nothing_that_reads_the_state(variant, tmp_path):
    agent, batch = make_agent(variant), make_batch()
    policy = agent.policy
    assert not any("posterior" in name for name in policy.state_dict())
    assert all(SPEC.state_dim not in value.shape for value in policy.state_dict().values())
    with torch.no_grad():
        before = policy.head(policy.public(batch))
        batch.state = Rows.all_different(torch.full_like(batch.state.full(), torch.nan))
        assert torch.equal(policy.head(policy.public(batch)), before)
    config = ConfigDict(make_config(variant, repr_name="believer_vector", believer="scratch", z_state="random"))
    save_policy(tmp_path, policy, SPEC, config, {})
    again, _ = load_policy(str(tmp_path), SPEC)
    with torch.no_grad():
        assert torch.equal(again.eval().head(again.public(batch)), before)


def test_the_bound_teaches_the_samples_and_nothing_else_does():
    agent, batch = make_agent("believer"), make_batch()
    networks = agent.online
    networks.train()
    views = networks.policy.public(batch) | agent.state_views(batch)
    fold = networks.policy.public.folds["belief"]
    networks.policy.head(views, batch).sum().backward()
    assert all(parameter.grad is None for parameter in fold.model.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in fold.of_mean.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in fold.of_sample.parameters())
    networks.zero_grad()
    part = agent.extensions.auxiliary["belief_elbo"]
    part.loss(views, batch).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in fold.model.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert all(p.grad is None for p in [*fold.of_mean.parameters(), *fold.of_sample.parameters()])


@pytest.mark.parametrize("variant", ["believer", "sac:believer"])
def test_an_update_trains_all_of_it(variant):
    """Every weight of the belief, its posterior and the heads is in an optimiser (defect D3 of the spec)."""
    agent, batch = make_agent(variant), make_batch()
    before = weights(agent)
    agent.update(batch)
    still = {name for name in before if name not in changed(before, agent)}
    assert all(name.startswith(("target", "state_views")) or name.endswith("noise") for name in still), still
    assert not any(name.startswith("state_views") for name in changed(before, agent))


def test_the_model_on_disk_is_the_same_and_a_wrong_one_is_refused(tmp_path):
    believer = make_believer()
    save_believer(tmp_path, believer, {"env_id": SPEC.env_id})
    again = load_believer(str(tmp_path), SPEC.obs_dim, make_memory, "--flag", SPEC.env_id)
    assert again.history.config == believer.history.config
    assert all(torch.equal(x, y) for x, y in zip(weights(again).values(), weights(believer).values(), strict=True))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=re.escape("--flag: no ") + ".*believer.json; main_pretrain"):
        load_believer(str(tmp_path / "empty"), SPEC.obs_dim, make_memory, "--flag")
    with pytest.raises(UserError, match=r"--flag: .* embeds 3 numbers, the domain has 9"):
        load_believer(str(tmp_path), 9, make_memory, "--flag")
    (tmp_path / "believer.json").write_text(
        (tmp_path / "believer.json").read_text().replace('"latent_dim": 4', '"latent_dim": 5')
    )
    with pytest.raises(UserError, match=r"--flag: .*believer is damaged"):
        load_believer(str(tmp_path), SPEC.obs_dim, make_memory, "--flag")


def test_an_agent_takes_the_models_of_its_folders_and_refuses_others(tmp_path):
    config = make_config("believer", repr_name="believer_vector")
    with pytest.raises(UserError, match=r"--obs_embedder_dir: needed by config_rl.believer=pretrained"):
        build_agent(Sources(SPEC, config), 0, CPU)
    write_embedders(tmp_path)
    believer = load_believer(str(tmp_path), SPEC.obs_dim, make_memory, "--flag")
    agent = build_agent(Sources(SPEC, config, str(tmp_path), str(tmp_path)), 0, CPU)
    mine = weights(agent.online.policy.public.folds["belief"].model)
    assert all(torch.equal(mine[name], value) for name, value in weights(believer.history).items())
    assert all(
        torch.equal(value, believer.posterior.state_dict()[name])
        for name, value in agent.extensions.auxiliary["belief_elbo"].posterior.state_dict().items()
    )
    other = tmp_path / "other"
    other.mkdir()
    save_encoder(other, "s_encoder", Encoder(EncoderConfig(SPEC.state_dim, X + 1)), {"env_id": SPEC.env_id})
    with pytest.raises(UserError, match=r"--state_embedder_dir: z_state has 7 numbers, the belief is about 6"):
        build_agent(Sources(SPEC, config, str(other), str(tmp_path)), 0, CPU)
    with pytest.raises(UserError, match=r"--config_repr: .*kind = believer"):
        make_agent("believer", repr_name="heaven_hell")


def test_low_precision_gives_nearly_the_same_bound():
    bounds = []
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        agent = make_agent("believer", precision=precision)
        bounds.append(agent.update(make_batch())["loss/belief_elbo"])
    torch.testing.assert_close(bounds[0], bounds[1], rtol=0.05, atol=0.1)


@pytest.mark.parametrize("field", ["use", "use_actor"])
def test_a_belief_that_nothing_trains_is_refused(field):
    settings = {"use": {"auxiliary__use": ()}, "use_actor": {"critic_memory": "separate"}}[field]
    with pytest.raises(UserError, match=rf"auxiliary.{field}: the belief learns by belief_elbo alone"):
        make_agent("sac:believer", spec=CONTINUOUS, **settings)
    with pytest.raises(UserError, match=r"critic_memory=separate: nothing would train the critic's own belief"):
        make_agent("believer", critic_inputs=("belief", "state"), critic_memory="separate")
    agent = make_agent("sac:believer", spec=CONTINUOUS, critic_memory="separate", auxiliary__use_actor=("belief_elbo",))
    before = weights(agent.policy)
    agent.update(make_batch(spec=CONTINUOUS))
    assert any("model.memory" in name for name in changed(before, agent.policy))


def test_images_have_a_belief_too():
    agent = make_agent("believer", spec=IMAGES, repr_name="believer_grid")
    agent.update(make_batch(spec=IMAGES))
    robot = replace(spec_of(84), obs_storage=(), state_storage=())  # made-up values are of any size
    agent = make_agent("sac:believer", spec=robot, repr_name="believer_robot")
    agent.update(make_batch(spec=robot, lengths=(2, 1)))


@pytest.mark.parametrize("shape", [(2, 6, 6), (2, 11, 11)])
def test_the_encoders_of_maps_look_at_every_cell(shape):
    config, in_dim = get_config(), int(np.prod(shape))
    for sizes in (config, config.belief):
        encoder, x = Encoder(encoder_config(sizes, in_dim, shape)), torch.rand(50, in_dim, requires_grad=True)
        (gradient,) = torch.autograd.grad(encoder(x).square().sum(), x)
        assert (gradient.abs().sum(0) > 0).all()
