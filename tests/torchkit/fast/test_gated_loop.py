"""Gated cells by one compiled call: equal to their plain steps, forward and back, and where the plain ones serve."""

import pytest
import torch

from torchkit.fast import gated_loop, kernels
from torchkit.sequence import BRC, MGU, NBRC
from torchkit.sequence.brc import BRCLayer
from torchkit.sequence.mgu import MGULayer
from torchkit.sequence.nbrc import NBRCLayer

LAYERS = pytest.mark.parametrize("kind", [BRCLayer, NBRCLayer, MGULayer])


def inputs_of(kind, T, B, H, scale=1.0):
    torch.manual_seed(0)
    layer = kind(5, H)
    read, carry = scale * torch.randn(T, B, kind.parts * H), torch.randn(B, H)
    weight = layer.weight.detach() + 0.3 / H**0.5 * torch.randn_like(layer.weight)
    return read, carry, weight


@LAYERS
@pytest.mark.parametrize(("T", "B", "H"), [(2, 1, 1), (7, 3, 5), (9, 17, 32), (40, 8, 70)])
@pytest.mark.parametrize("starts", [False, True])
def test_states_and_gradients_are_those_of_plain_steps(kind, T, B, H, starts):
    start = (torch.rand(T, B) < 0.3) if starts else None
    if starts:
        start[0, 0], start[-1, -1] = True, True
    found = []
    for dtype in (torch.float32, torch.float64):
        inputs = [x.to(dtype).requires_grad_() for x in inputs_of(kind, T, B, H)]
        read, carry, weight = inputs
        run = kind.loop if dtype is torch.float32 else kind.loop.plain
        states = run(read, start, carry, weight)
        upstream = torch.randn(T, B, H, generator=torch.Generator().manual_seed(1)).to(dtype)
        found.append([states.detach(), *torch.autograd.grad(states, inputs, upstream)])
    for ours, exact in zip(*found, strict=True):
        assert (ours - exact).abs().max() < 1e-5 * max(1.0, exact.abs().max().item())


@LAYERS
def test_nothing_of_before_a_start_is_read(kind):
    read, carry, weight = inputs_of(kind, 5, 3, 4)
    start = torch.zeros(5, 3)
    start[2, 1] = 1.0
    read[1, 1] = float("nan")
    states = kind.loop(read, start, carry, weight)
    assert states[1, 1].isnan().all() and not states[2:].isnan().any()
    torch.testing.assert_close(states[2:, 1], kind.loop(read[2:, 1:2], None, 0 * carry[1:2], weight)[:, 0])
    read, carry = torch.nan_to_num(read).requires_grad_(), carry.requires_grad_()
    d_read, d_carry = torch.autograd.grad(kind.loop(read, start, carry, weight)[2:].sum(), (read, carry))
    assert (d_read[:2, 1] == 0).all() and (d_carry[1] == 0).all() and (d_carry[0] != 0).all()


@LAYERS
def test_a_carry_or_a_start_of_one_episode_is_that_of_all(kind):
    read, carry, weight = inputs_of(kind, 6, 4, 3)
    start = torch.rand(6, 4) < 0.5
    for starts, before in ((start[:, :1], carry), (start, carry[:1]), (None, carry[:1])):
        plain = kind.loop.plain(read, starts, before, weight)
        torch.testing.assert_close(kind.loop(read, starts, before, weight), plain)
    for starts, before in ((start, carry[:2]), (start[:5], carry), (start[:, :3], carry)):
        with pytest.raises(RuntimeError, match="expand"):
            kind.loop(read, starts, before, weight)


@LAYERS
def test_a_graph_of_it_can_be_exported(kind):
    class Whole(torch.nn.Module):
        def forward(self, read, carry, weight):
            return kind.loop(read, None, carry, weight)

    inputs = inputs_of(kind, 6, 2, 3)
    program = torch.export.export(Whole(), inputs)
    torch.testing.assert_close(program.module()(*inputs), kind.loop(inputs[0], None, *inputs[1:]))


@LAYERS
def test_one_compiled_call_runs_all_steps_and_keeps_nothing_where_nothing_learns(kind, monkeypatch):
    calls, name = [], f"{kind.loop.name}_forward"
    kernel = getattr(kernels, name)
    monkeypatch.setattr(kernels, name, lambda *arrays: (calls.append(len(arrays[-1])), kernel(*arrays)))
    read, carry, weight = inputs_of(kind, 6, 2, 3)
    plain = kind.loop(read, None, carry, weight)
    learned = kind.loop(read, None, carry, weight.requires_grad_())
    with torch.no_grad():
        assert torch.equal(plain, kind.loop(read, None, carry, weight))
    assert torch.equal(plain, learned) and learned.requires_grad and not plain.requires_grad
    assert calls == [1, 6, 1]
    kind.loop(read[:1], None, carry, weight)  # a step, to act
    kind.loop(read.double(), None, carry.double(), weight.double())
    monkeypatch.setattr(gated_loop, "has_compiler", lambda: False)
    torch.testing.assert_close(kind.loop(read, None, carry, weight), plain)
    assert calls == [1, 6, 1]


@pytest.mark.parametrize("kind", [BRC, NBRC, MGU])
def test_under_vmap_it_is_the_plain_steps_of_each(kind):
    torch.manual_seed(0)
    memories = [kind(3, 4) for _ in range(2)]
    x = torch.randn(2, 6, 5, 3)
    alone = []
    for memory, of_one in zip(memories, x, strict=True):
        loss = memory.encode(of_one).square().sum()
        alone.append(torch.autograd.grad(loss, list(memory.parameters())))
    memory = memories[0]
    memory.prepare_vmap()
    stacked, _ = torch.func.stack_module_state(memories)

    def loss_of(weights, x):
        return torch.func.functional_call(memory, weights, (x, torch.zeros(6, 5)))[0].square().sum()

    together = torch.func.vmap(torch.func.grad(loss_of))(stacked, x)
    for name, *grads in zip(together, *alone, strict=True):
        torch.testing.assert_close(together[name], torch.stack(grads))
