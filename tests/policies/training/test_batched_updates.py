"""Updates of several seeds as one batch against each seed's own update."""

import pytest
import torch

from policies.agents.dqn import DQN
from policies.agents.sac import SAC
from policies.auxiliary.self_prediction import SelfPrediction
from policies.intrinsic.random_network_distillation import RandomNetworkDistillation
from policies.training.batched_updates import BatchedLearner, RemoteLearner, SharedSeeds, batchable, packed
from policies.training.many_seeds import batched_or_not, mean_of
from tests.helpers.agents import CPU, IMAGES, SPEC, make_agent, make_batch
from torchkit.fast.gru_loop import gru_loop
from torchkit.fast.gru_loops import gru_loops
from torchkit.sequence import GRU, LSTM
from utils.errors import DivergenceError, UserError

LENGTHS = ((3, 12, 1, 7), (2, 5, 4, 4), (12, 12, 12, 12))
K = len(LENGTHS)


class Together:
    """K seeds learning as one batch, each beside a twin that learns alone."""

    def __init__(self, variant, memory, **overrides):
        self.spec = overrides.get("spec", SPEC)
        self.alone = [make_agent(variant, memory, seed=k, **overrides) for k in range(K)]
        self.agents = [make_agent(variant, memory, seed=k, **overrides) for k in range(K)]
        size = sum(p.numel() for p in self.agents[0].parameters())
        self.shared = SharedSeeds.empty(K, size)
        self.remote = [RemoteLearner(agent, self.shared, k, None) for k, agent in enumerate(self.agents)]
        self.learner = BatchedLearner(batchable(make_agent(variant, memory, seed=9, **overrides)), self.shared, CPU)

    def update(self, seeds, number):
        """One update of the seeds in both ways; each seed's metrics agree."""
        batches = {k: make_batch(LENGTHS[k], self.spec, 10 * number + k) for k in seeds}
        answers = self.learner.update({k: packed(batch) for k, batch in batches.items()})
        for k, batch in batches.items():
            metrics, error = answers[k]
            assert error is None
            expected = {name: float(value) for name, value in self.alone[k].update(batch).items()}
            assert metrics == pytest.approx(expected, rel=1e-3, abs=1e-5)

    def assert_same(self, seeds):
        for k in seeds:
            self.learner.pull(k)
            torch.testing.assert_close(self.agents[k].state_dict(), self.alone[k].state_dict(), rtol=0, atol=1e-4)
            mine, theirs = (
                agent.checkpoint()["optimisers"]["values"]["state"] for agent in (self.agents[k], self.alone[k])
            )
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("variant", "memory"),
    [
        ("mi", "gru"),
        ("history", "gpt"),
        ("mi", "markov"),
        ("history", "frame_stack"),
        ("ua", "gru"),
        ("ba", "gru"),
        ("ba_vr", "mlp"),
        ("mi", "mingru"),
        ("ua", "hybrid"),
        ("history", "nbrc"),
    ],
)
def test_each_seed_learns_as_alone(variant, memory):
    both = Together(variant, memory)
    for number in range(3):
        both.update(range(K), number)
    both.assert_same(range(K))
    moved = (
        both.agents[0].online.state_dict()[name] - value
        for name, value in make_agent(variant, memory, seed=0).online.state_dict().items()
    )
    assert max(float(difference.abs().max()) for difference in moved) > 1e-4


def test_images_are_a_batch_too():
    small = {"channels": (3,), "kernels": (2,), "strides": (1,)}
    seq = {f"image.cnn.{name}": value for name, value in small.items()}
    both = Together("ua", "gru", spec=IMAGES, seq=seq)
    for number in range(2):
        both.update(range(K), number)
    both.assert_same(range(K))


def test_seeds_may_come_and_go():
    both = Together("mi", "gru")
    both.update(range(K), 0)
    both.update([0, 2], 1)
    both.learner.leave(2)
    both.update([0], 2)
    both.update([0, 1], 3)
    both.assert_same(range(K))


def test_a_seed_goes_on_from_the_checkpoint_of_a_run_alone():
    both = Together("mi", "gru")
    both.alone[1].update(make_batch(seed=50))
    both.remote[1].load_checkpoint(both.alone[1].checkpoint())
    both.update(range(K), 0)
    both.assert_same(range(K))


@pytest.mark.parametrize("deploy", ["average", "online"])
def test_what_acts_has_learned_without_being_asked(deploy):
    both = Together("history", "gru", deploy=deploy, tau=0.5)
    both.update(range(K), 0)
    for agent, twin in zip(both.agents, both.alone, strict=True):
        assert (agent.deployed is agent.policy) == (deploy == "online")
        for mine, its in ((agent.policy, twin.policy), (agent.deployed, twin.deployed)):  # explores; is evaluated
            torch.testing.assert_close(mine.state_dict(), its.state_dict(), rtol=0, atol=1e-5)


def test_a_seed_that_diverges_is_left_as_it_was_and_alone():
    both = Together("mi", "gru")
    both.update(range(K), 0)
    batches = {k: make_batch(lengths=LENGTHS[k], seed=k) for k in range(K)}
    batches[1].reward.fill_(float("nan"))
    answers = both.learner.update({k: packed(batch) for k, batch in batches.items()})
    assert [error is None for _, error in answers.values()] == [True, False, True]
    assert "nan" in answers[1][1]
    for k in (0, 2):
        both.alone[k].update(batches[k])
    with pytest.raises(DivergenceError):
        both.alone[1].update(batches[1])
    both.assert_same(range(K))


@pytest.mark.parametrize(
    ("variant", "memory", "overrides"),
    [
        ("sac:history", "gru", {}),
        ("history", "lstm", {}),
        ("zp", "gru", {}),
        ("believer", "gru", {}),
        ("history", "gpt", {"seq": {"kwargs.dropout": 0.1}}),
        ("mi", "gru", {"predictor_step": "separate"}),
        ("mi", "gru", {"intrinsic__anneal_steps": 10}),
        ("mi", "gru", {"precision": "bf16"}),
    ],
)
def test_what_cannot_be_a_batch_is_refused(variant, memory, overrides):
    with pytest.raises(UserError, match=r"--batch_seeds: .*--nobatch_seeds"):
        batchable(make_agent(variant, memory, **overrides))


def test_double_layers_are_a_batch_where_their_halves_are():
    both = Together("history", "gru", seq={"double": True})
    for number in range(2):
        both.update(range(K), number)
    both.assert_same(range(K))
    with pytest.raises(UserError, match="the memories markov,"):
        batchable(make_agent("history", "lstm", seq={"double": True}))


def test_memories_say_themselves_whether_they_can_be_a_batch(monkeypatch):
    agent = make_agent("history", "lstm")
    memories = "markov, mlp, frame_stack, gru, gpt, mingru, lru, bmru, hybrid, brc, nbrc, mgu"
    with pytest.raises(UserError, match=rf"the memories {memories} \(under_vmap = True in its class\);"):
        batchable(agent)
    monkeypatch.setattr(LSTM, "under_vmap", True)
    monkeypatch.setattr(GRU, "under_vmap", False)
    assert batchable(agent) is agent
    found = r"extensions auxiliary.state_prediction, intrinsic.information_gain \(under_.*\), not auxiliary.self_pred"
    with pytest.raises(UserError, match=found):
        batchable(make_agent("zp", "lstm"))
    with pytest.raises(UserError, match="the memories markov, mlp, frame_stack, lstm, gpt"):
        batchable(make_agent("history", "gru"))


def test_what_says_that_it_can_be_a_batch_is_looked_at(monkeypatch):
    for kind in (SelfPrediction, RandomNetworkDistillation, SAC):
        monkeypatch.setattr(kind, "under_vmap", True)
    with pytest.raises(UserError, match=r"not auxiliary.self_prediction \(after_step\);"):
        batchable(make_agent("zp", "gru"))
    with pytest.raises(UserError, match=r"not intrinsic.random_network_distillation \(learn, seen.count, seen.mean"):
        batchable(make_agent("history", "gru", intrinsic__use=("random_network_distillation",)))
    with pytest.raises(UserError, match=r"one optimiser .* not SAC with critic, actor, temperature;"):
        batchable(make_agent("sac:history", "gru"))
    monkeypatch.setattr(DQN, "_after_step", lambda self: None)
    with pytest.raises(UserError, match="no _after_step, not DQN with values;"):
        batchable(make_agent("history", "gru"))


def test_on_a_gpu_what_cannot_be_a_batch_is_computed_seed_by_seed():
    said = []
    able, unable = make_agent("mi", "gru"), make_agent("sac:history", "gru")
    assert batched_or_not(able, False, said.append) is able and not said
    assert batched_or_not(unable, False, said.append) is None
    assert "each seed computes its own updates" in said[0] and "dqn.py" in said[0]
    with pytest.raises(UserError, match="--nobatch_seeds"):
        batched_or_not(unable, True, said.append)


def test_the_line_of_several_seeds_shows_what_all_of_them_do():
    shown = [{"return": 1.0, "updates/s": 2.0}, {"updates/s": 3.0, "return": 0.0, "updates owed": 9.0}]
    assert mean_of(shown) == {"return": 0.5, "updates/s": 5.0}
    assert mean_of([]) == {}


def test_layers_side_by_side_are_the_layer_of_each_seed():
    T, B, H = 6, 3, 5
    shapes = ((T * B, 3 * H), (B, H), (3 * H, H), (3 * H,))
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(K, *shape, generator=generator, requires_grad=True) for shape in shapes]
    place = torch.arange(T * B).view(T, B)
    together = torch.func.vmap(gru_loops, in_dims=(0, None, 0, 0, 0))(inputs[0], place, *inputs[1:])
    weight = torch.randn(together.shape, generator=generator)
    gradients = torch.autograd.grad((together * weight).sum(), inputs)
    for k in range(K):
        mine = [x[k] for x in inputs]
        output = gru_loop(mine[0], place, *mine[1:])
        torch.testing.assert_close(together[k], output)
        expected = torch.autograd.grad((output * weight[k]).sum(), mine)
        torch.testing.assert_close([gradient[k] for gradient in gradients], list(expected))
