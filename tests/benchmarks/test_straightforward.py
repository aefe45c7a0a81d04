"""What the benchmarks compare with computes the same: losses and gradients, batches, the terms of stage 2."""

import copy

import numpy as np
import pytest
import torch

from benchmarks.straightforward import PlainDQN, PlainReplay, PlainRepresentation, PlainSAC
from buffers.episode_buffer import EpisodeBuffer
from buffers.transitions import Batch, TransitionData
from policies.build import build_agent
from policies.models.sources import Sources
from policies.representation.disentangled import RepresentationConfig, RepresentationObjective
from tests.buffers.test_images import blob_like
from tests.helpers.agents import CONTINUOUS, CPU, SPEC, make_agent, make_config
from tests.helpers.blob import spec_of
from tests.helpers.episodes import random_episode
from torchkit.networks import EncoderConfig

IMAGES = spec_of(8)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
ROW = {"predictor_step": "separate", "max_grad_norm": 1e9}  # no clipping: gradients are compared as they are


def replays(spec, lengths=(5, 12, 1, 7), seed=0):
    """The same episodes in both replays."""
    rng, plain = np.random.default_rng(seed), PlainReplay(spec, seed)
    fast = EpisodeBuffer(spec, 500, spec.max_episode_steps, seed)
    for length in lengths:
        if spec.obs_image_shape:
            episode = blob_like(spec, min(length, spec.max_episode_steps), rng)
            for view, storage in fast.storages.items():  # as they come back from bytes
                stored = torch.from_numpy(storage.encode(getattr(episode, view)))
                setattr(episode, view, storage.decode(stored).numpy())
        else:
            episode = random_episode(spec, length, rng, length % 2 == 1)
        fast.add(episode)
        plain.add(episode)
    return fast, plain


def both_batches(spec, seed=0):
    fast, plain = replays(spec, seed=seed)
    return fast.episodes(np.arange(4)), plain.batch(plain.episodes)


def image_agent():
    config = make_config("sac:mi", "gpt", repr_name="sphinx", z_obs="scratch", z_state="random", **ROW)
    return build_agent(Sources(IMAGES, config), 0, CPU)


CASES = {
    "dqn gru": (SPEC, lambda: make_agent("mi", **ROW), PlainDQN),
    "dqn gpt": (SPEC, lambda: make_agent("mi", "gpt", **ROW), PlainDQN),
    "dqn common": (
        SPEC,
        lambda: make_agent("mi", intrinsic__information_gain__bonus_target="common", **ROW),
        PlainDQN,
    ),
    "dqn cosine": (
        SPEC,
        lambda: make_agent("mi", auxiliary__state_prediction__error="cosine", return_lambda=0.0, **ROW),
        PlainDQN,
    ),
    "sac": (CONTINUOUS, lambda: make_agent("sac:mi", spec=CONTINUOUS, return_lambda=0.5, **ROW), PlainSAC),
    "sac images": (IMAGES, image_agent, PlainSAC),
}


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_are_those_of_the_learner(case):
    spec, make, plain_class = CASES[case]
    agent = make()
    with torch.no_grad():
        for parameter in agent.parameters():  # the small initial weights would hide mistakes
            parameter.add_(0.1 * torch.randn_like(parameter))
    if agent.unmeasured:
        agent.measure(both_batches(spec)[0])
    plain = plain_class(agent)
    for seed in (0, 1):
        fast_batch, plain_batch = both_batches(spec, seed)
        fast_aux, plain_aux = both_batches(spec, seed + 10)
        torch.manual_seed(seed)
        metrics = agent.update(fast_batch, fast_aux)
        torch.manual_seed(seed)
        losses = plain.update(plain_batch, plain_aux)
        assert len(losses) == sum(name.startswith("loss/") for name in metrics)
        for name, loss in losses.items():
            torch.testing.assert_close(metrics[f"loss/{name}"], loss.detach(), **CLOSE)
        theirs = dict(plain.agent.named_parameters())
        for name, parameter in agent.named_parameters():
            if parameter.grad is not None and "log_alpha" not in name:
                torch.testing.assert_close(parameter.grad, theirs[name].grad, msg=name, **CLOSE)
            torch.testing.assert_close(parameter, theirs[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS, IMAGES], ids=lambda spec: spec.env_id)
def test_a_plain_batch_is_the_gathered_one_padded_to_the_horizon(spec):
    fast, plain = both_batches(spec)
    T = len(fast.mask)
    rows, steps = fast.row_mask > 0, fast.mask > 0
    assert plain.mask[T:].sum() == 0 and torch.equal(plain.mask[:T], fast.mask)
    for name in ("obs", "state"):
        torch.testing.assert_close(getattr(plain, name).full()[: T + 1][rows], getattr(fast, name).full()[rows])
    for name in ("prev_action", "prev_reward"):
        assert torch.equal(getattr(plain, name)[: T + 1][rows], getattr(fast, name)[rows])
    for name in ("action", "reward", "discount"):
        assert torch.equal(getattr(plain, name)[:T][steps], getattr(fast, name)[steps])


def test_the_terms_of_stage_2_are_those_of_the_objective():
    rng = np.random.default_rng(0)
    obs, state = (rng.integers(0, 2, (40, d)).astype(np.float32) for d in (2, 3))
    row, action = np.arange(39), np.eye(4, dtype=np.float32)[rng.integers(0, 4, 39)]
    reward, discount = rng.integers(0, 2, (2, 39)).astype(np.float32)
    data = TransitionData.from_rows(obs, state, row, row + 1, action, reward, discount)
    torch.manual_seed(0)
    encoders = [EncoderConfig(d, 6, (9, 9)) for d in (2, 3)]
    objective = RepresentationObjective(RepresentationConfig(*encoders, 4, 8, state_info_weight=0.5))
    plain = PlainRepresentation(objective, 1e-3, 1e-3, 5)
    step, permutation = torch.randperm(39)[:20], torch.randperm(20)
    rows = {"obs": obs, "next_obs": obs[1:], "state": state, "next_state": state[1:]}
    rows |= {"action": action, "reward": reward, "discount": discount}
    batch = {name: torch.from_numpy(values[step.numpy()]) for name, values in rows.items()}
    found = plain.losses(batch, permutation)
    expected = objective.losses(data, Batch.of(data.steps[step], CPU), permutation)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, **CLOSE)
    before = copy.deepcopy(plain.objective.state_dict())
    plain.club_step(batch)
    moved = {name for name, value in plain.objective.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.startswith("club.")}
