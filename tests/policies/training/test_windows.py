"""Windows of episodes: what they begin with, what is read before them, and that it is exact where it can be."""

import numpy as np
import pytest
import torch

from buffers.batch import Episode
from buffers.episode_buffer import EpisodeBuffer
from envs.base import EnvSpec
from envs.make import make_vector_env
from policies.acting.rollout import EpisodeStream
from tests.helpers.agents import make_agent
from tests.helpers.configs import config_named
from tests.helpers.episodes import numbered_episode
from torchkit.normalise import RewardScale

H, WINDOW = 12, 4
SPECS = {
    "discrete": EnvSpec("Numbered-v0", 3, 2, 4, True, H),
    "continuous": EnvSpec("Numbered-v1", 3, 2, 2, False, H),
}


def drawn(spec, burn_in, carry_dim, known=True, count=64):
    """A batch of windows of one episode of 12 steps whose carry tells the row, and their offsets."""
    buffer = EpisodeBuffer(spec, 100, WINDOW, seed=0, burn_in=burn_in, carry_dim=carry_dim)
    episode = numbered_episode(spec, 1, H)
    if known:
        episode.carry = np.arange(H * max(1, carry_dim), dtype=np.float32).reshape(H, -1)
    buffer.add(episode)
    batch = buffer.sample(count)
    return episode, batch, batch.obs.full()[0, :, 1].long().tolist()


@pytest.mark.parametrize("carry_dim", [0, 2])
@pytest.mark.parametrize("burn_in", [0, 3])
@pytest.mark.parametrize("kind", SPECS)
def test_rows_of_a_window_and_before_it_are_those_of_the_episode(kind, burn_in, carry_dim):
    episode, batch, offsets = drawn(SPECS[kind], burn_in, carry_dim)
    assert set(offsets) == set(range(H - WINDOW + 1)) and (batch.mask == 1).all()
    assert (batch.before is None) == (burn_in == 0) and (batch.carry is None) == (carry_dim == 0)
    for b, offset in enumerate(offsets):
        parts = [(batch, offset)]
        if burn_in:
            parts.append((batch.before, offset - burn_in))
        begin = max(0, offset - burn_in)
        exact = carry_dim > 0 and begin > 0
        if exact:
            assert batch.carry[b].tolist() == episode.carry[begin].tolist()
        for part, first in parts:
            rows = part.obs.full()
            for t in range(len(rows)):
                row = first + t
                if row < begin:
                    continue
                assert rows[t, b].tolist() == episode.obs[row].tolist()
                begins = row == begin and not exact
                assert part.start[t, b] == begins
                last = np.zeros(part.prev_action.shape[-1])
                if row > 0 and not begins:
                    action = episode.action[row - 1]
                    last = np.eye(len(last))[action] if kind == "discrete" else action
                assert part.prev_action[t, b].tolist() == pytest.approx(last.tolist())
                assert part.previous.full()[t, b].tolist() == pytest.approx(last.tolist())
                assert part.prev_reward[t, b] == (0.0 if row == 0 or begins else episode.reward[row - 1])
        assert batch.action[:, b].tolist() == episode.action[offset : offset + WINDOW].tolist()
        assert batch.discount[:, b].tolist() == episode.discount[offset : offset + WINDOW].tolist()


def test_where_no_carry_is_known_a_window_begins_with_nothing():
    _, batch, offsets = drawn(SPECS["discrete"], 0, 2, known=False)
    assert max(offsets) > 0 and (batch.start[0] == 1).all() and (batch.carry == 0).all()
    assert (batch.prev_action[0] == 0).all()


MEMORIES = ("gru", "lstm", "gpt", "mingru", "lru", "hybrid", "nbrc", "frame_stack")


def heaven_hell(num_envs):
    config = config_named("envs", "heaven_hell")
    with config.unlocked():
        config.horizon = 15
    return make_vector_env(config, num_envs, seed=0)


def played(memory, burn_in=0, stored=True, window=WINDOW, variant="history", steps=40):
    """An agent, and a replay of the episodes that it has played."""
    envs = heaven_hell(3)
    agent = make_agent(variant, memory, spec=envs.spec_sizes)
    with torch.no_grad():
        for parameter in agent.online.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    agent.env_steps = 30_000
    carry_dim = agent.policy.public.carry_dim if stored else 0
    buffer = EpisodeBuffer(envs.spec_sizes, 1000, window, seed=1, burn_in=burn_in, carry_dim=carry_dim)
    stream = EpisodeStream(envs, 1, carry_dim=carry_dim)
    while len(buffer) < 3:
        for _, episode in stream.step(agent.exploring(), agent.packed if stored else None):
            if len(episode) > 2 * WINDOW:
                buffer.add(episode)
    return agent, buffer


@torch.no_grad()
def wholes_at(agent, buffer, batch, name):
    """A view of the whole episodes at each window's rows (T+1, B, F), found by the rows of their observations."""
    whole = buffer.episodes(np.arange(len(buffer)))
    view, rows, found = agent.policy.public(whole)[name], whole.obs.full(), []
    wanted, actions = batch.obs.full(), batch.action
    for b in range(wanted.shape[1]):
        places = [
            view[t : t + len(wanted), e]
            for e in range(rows.shape[1])
            for t in range(int(whole.mask[:, e].sum()) - len(actions) + 1)
            if torch.equal(rows[t : t + len(wanted), e], wanted[:, b])
            and torch.equal(whole.action[t : t + len(actions), e], actions[:, b])
        ]
        found.append(places)
    return found


def assert_one_of(found_TBF, wholes):
    found_TBF = found_TBF.detach()
    for b, places in enumerate(wholes):
        assert places
        assert min(float((found_TBF[:, b] - place).abs().max()) for place in places) < 1e-5


@pytest.mark.parametrize("burn_in", [0, 2])
@pytest.mark.parametrize("memory", MEMORIES)
def test_with_stored_carries_a_window_comes_out_as_in_the_whole_episode(memory, burn_in):
    agent, buffer = played(memory, burn_in)
    batch = buffer.sample(16)
    assert (batch.start[0] == 0).any(), "some are out of the middle"
    assert_one_of(agent.policy.public(batch)["history"], wholes_at(agent, buffer, batch, "history"))
    zero = buffer.sample(16)
    zero.carry = torch.zeros_like(zero.carry)
    if memory != "frame_stack" or not burn_in:
        with pytest.raises(AssertionError):
            assert_one_of(agent.policy.public(zero)["history"], wholes_at(agent, buffer, zero, "history"))


@pytest.mark.parametrize("memory", ["gru", "gpt", "lru"])
def test_with_all_that_comes_before_as_burn_in_a_window_is_exact_without_carries(memory):
    agent, buffer = played(memory, burn_in=100, stored=False)
    batch = buffer.sample(16)
    assert batch.carry is None and batch.before is not None
    assert_one_of(agent.policy.public(batch)["history"], wholes_at(agent, buffer, batch, "history"))


def test_the_believer_begins_with_carries_as_well():
    agent, buffer = played("gru", burn_in=2, variant="believer")
    batch = buffer.sample(16)
    assert_one_of(agent.policy.public(batch)["belief"], wholes_at(agent, buffer, batch, "belief"))


def test_rows_before_a_window_are_read_but_have_no_loss_and_no_gradient():
    agent, buffer = played("gru", burn_in=3)
    batch = buffer.sample(8)
    batch.before.obs.distinct = batch.before.obs.full().flatten(0, 1).clone().requires_grad_()
    batch.before.obs.place = torch.arange(batch.before.obs.place.numel()).view(batch.before.obs.place.shape)
    metrics, other = {}, {}
    loss = agent.losses(batch, metrics)["values"]
    (gradient,) = torch.autograd.grad(loss, [batch.before.obs.distinct], allow_unused=True)
    assert gradient is None
    with torch.no_grad():
        batch.before.obs.distinct.add_(1.0)
    batch.before.mask.zero_()  # which is no loss's
    agent.losses(batch, other)
    assert metrics["loss/td"] != other["loss/td"], "they are read"
    assert batch.before.obs.place.shape[0] == 3 and len(batch.mask) == WINDOW


def test_a_carry_of_many_parts_is_the_same_when_packed_and_unpacked():
    for memory in ("gpt", "lstm", "hybrid", "markov"):
        public = make_agent("history", memory).policy.public
        carry = tuple(torch.arange(c.numel()).view(c.shape).to(c.dtype) for c in public.initial_carry(3))
        packed = public.packed(carry) if carry else torch.zeros(3, 0)
        assert packed.shape == (3, public.carry_dim)
        (again,) = public.unpacked(packed)
        torch.testing.assert_close(again, carry, rtol=0, atol=0)


@pytest.mark.parametrize(("burn_in", "carry_dim"), [(0, 0), (3, 0), (2, 4)])
@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
def test_windows_are_told_what_was_earned_before_them(burn_in, carry_dim, discount):
    spec, rng = EnvSpec("Told-v0", 2, 2, 2, True, 12), np.random.default_rng(0)
    buffer, rewards = EpisodeBuffer(spec, 500, 4, seed=0, burn_in=burn_in, carry_dim=carry_dim), []
    buffer.past_discount = discount
    for number, length in enumerate((12, 3, 9, 12)):
        rewards.append(rng.normal(size=length).astype(np.float32))
        rows = np.stack([np.full(length + 1, number), np.arange(length + 1)], axis=1).astype(np.float32)
        buffer.add(Episode(rows, rows, np.zeros(length, np.int64), rewards[-1], np.ones(length, np.float32)))
    batch = buffer.sample(64)
    first = batch.obs.full()[0].long().tolist()
    assert {step for _, step in first} == set(range(9))
    expected = [sum(discount**k * rewards[number][step - 1 - k] for k in range(step)) for number, step in first]
    np.testing.assert_allclose(batch.past_return, expected, atol=1e-5)
    buffer.past_discount = None
    assert buffer.sample(64).past_return is None


@pytest.mark.parametrize("window", [1, 5, 20, 60])
def test_the_unit_of_rewards_is_that_of_the_returns_of_steps_that_windows_draw(window):
    """Of a reward of 1 at each of 60 steps the deviation of (1 - 0.9^t) / 0.1, over t as often as windows hold it."""
    spec, scale = EnvSpec("Paid-v0", 1, 1, 2, True, 60), RewardScale(0.9)
    buffer, rows = EpisodeBuffer(spec, 500, window, seed=0), np.zeros((61, 1), np.float32)
    buffer.past_discount = 0.9
    buffer.add(Episode(rows, rows, np.zeros(60, np.int64), np.ones(60, np.float32), np.ones(60, np.float32)))
    for _ in range(40):
        batch = buffer.sample(64)
        scale.show(batch.reward, batch.mask, batch.past_return)
    drawn = np.concatenate([np.arange(offset, offset + window) for offset in range(61 - window)])
    exact = np.std((1 - 0.9 ** (drawn + 1)) / (1 - 0.9))
    assert float(scale(torch.ones(()))) == pytest.approx(1 / exact, rel=0.05)
