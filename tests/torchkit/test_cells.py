"""Cells of memories: steps worked out by hand, surrogate gradients, what stays and what fades."""

import math

import pytest
import torch

from torchkit.sequence import BMRU, LRU, MinGRU
from torchkit.sequence.bmru import BMRUCell
from torchkit.sequence.brc import BRCLayer
from torchkit.sequence.lru import LRUCell
from torchkit.sequence.mgu import MGULayer
from torchkit.sequence.mingru import MinGRUCell
from torchkit.sequence.nbrc import NBRCLayer
from torchkit.sequence.stack import Block


def put(parameter, values):
    parameter.data = torch.as_tensor(values, dtype=torch.float32).view(parameter.shape)


def run(layer, rows, before):
    """The outputs of one sequence, as a list, and the last carry; `before` is the state."""
    x = torch.tensor(rows)[:, None]
    outputs, last = layer.run(layer.read(x), None, torch.tensor([before]))
    return outputs[:, 0], last[0]


def test_minimal_gru_by_hand():
    cell = MinGRUCell(1)
    put(cell.gate_and_candidate[0].weight, [0, 1])  # z = 1/2, v = x
    put(cell.gate_and_candidate[0].bias, [0, 0])
    outputs, _ = run(cell, [[1.0], [-math.log(3)], [0.0]], [0.0])
    # 1/2 of 1 + 1/2; 1/2 of 0.75 and of σ(-ln 3) = 1/4; 1/2 of 0.5 and of 0 + 1/2
    torch.testing.assert_close(outputs.flatten(), torch.tensor([0.75, 0.5, 0.5]))


def test_minimal_grus_start_with_memories_of_one_to_a_hundred_steps():
    torch.manual_seed(0)
    gate = MinGRUCell(500).gate_and_candidate[0].bias[:500].detach().sigmoid()
    assert 1 / 101 <= gate.min() < 0.011 and 0.45 < gate.max() <= 0.5
    assert gate.median().item() == pytest.approx(1 / 11, abs=0.02)  # of 10 steps


def test_linear_recurrent_unit_by_hand():
    cell = LRUCell(2, 0.9, 0.999)
    put(cell.log_fade, [math.log(math.log(2))])  # |λ| = 1/2
    put(cell.log_angle, [math.log(math.pi / 2)])  # λ = i/2
    put(cell.enter[0].weight, [1, 0, 0, 1])
    put(cell.leave[0].weight, [1, 0, 0, -1])  # Re h and Re(i h) = -Im h
    put(cell.past, [2, 3])
    outputs, last = run(cell, [[1.0, 0.0], [0.0, 0.0], [0.0, 4.0]], [0.0, 0.0])
    size = math.sqrt(3) / 2  # √(1 - 1/4)
    expected = [[size + 2, 0], [0, -size / 2], [-size / 4, -4 * size + 12]]
    torch.testing.assert_close(outputs, torch.tensor(expected), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(last, torch.tensor([-size / 4, 4 * size]), rtol=1e-5, atol=1e-6)


def test_linear_recurrent_units_start_in_their_ring():
    torch.manual_seed(0)
    cell = LRUCell(2000, 0.5, 0.8)
    fade = torch.exp(-cell.log_fade.exp())
    assert 0.5 <= fade.min() < 0.51 and 0.79 < fade.max() <= 0.8
    assert fade.square().mean().item() == pytest.approx((0.25 + 0.64) / 2, abs=0.01)
    assert cell.log_angle.exp().mean().item() == pytest.approx(math.pi, abs=0.15)


def bistable():
    cell = BMRUCell(1, 1.0)
    put(cell.candidate[0].weight, [1])
    put(cell.size, [2])
    return cell


def test_bistable_unit_by_hand():
    outputs, last = run(bistable(), [[0.5], [1.5], [0.5], [-3.0], [-1.0], [1.0], [1.01]], [7.0])
    assert outputs.flatten().tolist() == [7, 2, 2, -2, -2, -2, 2] and last.item() == 2


def test_bistable_unit_has_the_surrogate_gradients_of_its_specification():
    cell, x, before = (
        bistable(),
        torch.tensor([[[1.5]]], requires_grad=True),
        torch.tensor([[-2.0]], requires_grad=True),
    )
    outputs, _ = cell.run(cell.read(x), None, before)
    outputs.sum().backward()
    # step'(1/2) = 4 σ(2) σ(-2) = 0.419974, sign'(3/2) = 1 - tanh² 1.5 = 0.180707; a write changes 2 - (-2)
    assert x.grad.item() == pytest.approx(4 * 0.419974 + 2 * 0.180707, abs=1e-5)
    assert cell.threshold.grad.item() == pytest.approx(-4 * 0.419974, abs=1e-5)
    assert cell.size.grad.item() == 1
    assert before.grad.item() == 0  # what is overwritten has no gradient
    before.grad = None
    outputs, _ = cell.run(cell.read(torch.tensor([[[0.5]]])), None, before)
    outputs.sum().backward()
    assert before.grad.item() == 1


def test_bistable_units_write_at_some_third_of_steps_at_first():
    torch.manual_seed(0)
    keep, _ = BMRUCell(256, 1.0).read(torch.randn(500, 256))
    assert (keep == 0).float().mean().item() == pytest.approx(2 * 0.158655, abs=0.01)


def without_inputs(layer):
    for parameter in layer.inputs.parameters():
        parameter.data.zero_()
    return layer


def test_bistable_recurrent_cell_by_hand():
    layer = without_inputs(BRCLayer(1, 1))
    # c = σ(1/2) = 0.622459, a = 1 + tanh(1/2) = 1.462117, tanh(a / 2) = 0.623692
    outputs, _ = run(layer, [[9.0]], [0.5])
    assert outputs.item() == pytest.approx(0.622459 * 0.5 + 0.377541 * 0.623692, abs=1e-5)
    put(layer.inputs.bias, [0.5, -0.5, 0.25])
    # c = σ(1) = 0.731059, a = 1 + tanh(0) = 1, tanh(1/4 + 1/2) = 0.635149
    outputs, _ = run(layer, [[9.0]], [0.5])
    assert outputs.item() == pytest.approx(0.731059 * 0.5 + 0.268941 * 0.635149, abs=1e-5)


def test_neuromodulated_cell_by_hand():
    layer = without_inputs(NBRCLayer(1, 2))
    put(
        layer.recurrent.weight, [[0, 1], [1, 0], [0, 0], [2, 0]]
    )  # each unit's gate reads the other, a of the second the first
    outputs, _ = run(layer, [[9.0]], [0.5, 0.0])
    # of the first c = σ(0), a = 1: (0.5 + tanh 0.5) / 2; of the second c = σ(0.5), but its own state is 0
    assert outputs.flatten().tolist() == pytest.approx([(0.5 + 0.462117) / 2, 0], abs=1e-5)
    outputs, _ = run(layer, [[9.0]], [0.5, 0.5])
    # c = σ(0.5) for both; a = 1 and 1 + tanh 1 = 1.761594, tanh(0.880797) = 0.706837
    expected = [0.622459 * 0.5 + 0.377541 * 0.462117, 0.622459 * 0.5 + 0.377541 * 0.706837]
    assert outputs.flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_minimal_gated_unit_by_hand():
    layer = without_inputs(MGULayer(1, 1))
    put(layer.recurrent.weight, [0, 2])
    # f = 1/2, tanh(2 · 1/2 · 1/2) = 0.462117
    outputs, _ = run(layer, [[9.0]], [0.5])
    assert outputs.item() == pytest.approx(0.5 * 0.5 + 0.5 * 0.462117, abs=1e-5)


def test_a_block_adds_a_gated_reading_of_its_cell():
    torch.manual_seed(0)
    block, x = Block(4, MinGRUCell(4)), torch.randn(6, 2, 4)
    normed = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    states, _ = block.cell.run(block.cell.read(normed), None, torch.zeros(2, 4))
    value, gate = (states @ block.gated[0].weight.T + block.gated[0].bias).chunk(2, -1)
    outputs, _ = block.run(block.read(x), None, torch.zeros(2, 4))
    torch.testing.assert_close(block.finish(x, outputs), x + value * gate.sigmoid())


def test_a_bistable_state_lasts_and_a_gated_linear_one_fades():
    """The state after a first input that is large, then small ones, for 5,000 steps."""
    quiet = torch.zeros(5000, 1, 1)
    bmru, mingru = bistable(), MinGRUCell(1)
    put(mingru.gate_and_candidate[0].weight, [0, 1])
    put(mingru.gate_and_candidate[0].bias, [-4, 0])  # slow: z = 0.018
    after = {}
    for name, cell in (("bmru", bmru), ("mingru", mingru)):
        states = [cell.run(cell.read(quiet), None, torch.tensor([[first]]))[1].item() for first in (2.0, -2.0)]
        after[name] = states[0] - states[1]
    assert after["bmru"] == 4 and abs(after["mingru"]) < 1e-5


@pytest.mark.parametrize("kind", [MinGRU, LRU, BMRU])
def test_parallel_memories_learn_what_was_said_first(kind):
    """A sign at the first of 12 steps, among noise and with a mark, is told at the last one."""
    torch.manual_seed(0)
    memory, head = kind(2, 16), torch.nn.Linear(16, 1)
    optimiser = torch.optim.Adam([*memory.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(150):
        x = 0.3 * torch.randn(12, 64, 2)
        sign = torch.randint(2, (64,)) * 2.0 - 1
        x[:, :, 1], x[0, :, 0] = 0.0, sign
        x[0, :, 1] = 3.0 * sign
        loss = torch.nn.functional.softplus(-sign * head(memory.encode(x)[-1])[:, 0]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1
