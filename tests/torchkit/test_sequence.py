"""Memories: chunks, starts, stepping, causality, and the GRU against torch's own."""

import copy
import itertools
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from torchkit.fast import kernels
from torchkit.fast.gru_loop import gru_loop
from torchkit.sequence import (
    BMRU,
    BRC,
    GPT,
    GRU,
    LRU,
    LSTM,
    MEMORIES,
    MGU,
    NBRC,
    FrameStack,
    Hybrid,
    Markov,
    MinGRU,
    check_memory,
    gpt,
    recurrent,
)
from torchkit.sequence.double import Double
from utils.errors import UserError

IN, T, B = 6, 11, 3

MAKE = {
    "markov": lambda: Markov(IN),
    "mlp": lambda: Markov(IN, out_dim=5, hidden_dims=(7,)),
    "frame_stack": lambda: FrameStack(IN, 5, frames=T, hidden_dims=(9,)),
    "gru": lambda: GRU(IN, 5, layers=1),
    "gru of two layers": lambda: GRU(IN, 5, layers=2),
    "lstm": lambda: LSTM(IN, 5, layers=1),
    "lstm of two layers": lambda: LSTM(IN, 5, layers=2),
    "gpt": lambda: GPT(IN, context=T, layers=1, heads=2),
    "gpt of two layers": lambda: GPT(IN, context=T, layers=2, heads=3),
    "mingru": lambda: MinGRU(IN, 5, layers=1),
    "mingru of the inputs' width, two layers": lambda: MinGRU(IN, IN, layers=2),
    "lru": lambda: LRU(IN, 5, layers=2),
    "bmru": lambda: BMRU(IN, 64, layers=1, threshold=3.0),  # that writes seldom: something of the first step is left
    "bmru of two layers": lambda: BMRU(IN, 64, layers=2, threshold=3.0),
    "hybrid": lambda: Hybrid(IN, 6, layers=3),
    "brc": lambda: BRC(IN, 5, layers=2),
    "nbrc": lambda: NBRC(IN, 5, layers=2),
    "mgu": lambda: MGU(IN, 5, layers=2),
    "lstm in double layers": lambda: Double(LSTM, IN, 6, layers=2),
}
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=MAKE)
def memory(request):
    torch.manual_seed(0)
    made = MAKE[request.param]().eval()
    with torch.no_grad():
        for parameter in made.parameters():  # the small initial weights would hide mistakes
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def features(seed=1, steps=T):
    return torch.randn(steps, B, IN, generator=torch.Generator().manual_seed(seed))


def one_start():
    start = torch.zeros(T, B)
    start[0] = 1.0
    return start


def random_starts(seed, share=0.3):
    return (torch.rand(T, B, generator=torch.Generator().manual_seed(seed)) < share).float()


def by_episode(memory, x, start):
    """What the history must be: every episode of every sequence on its own, by `encode`."""
    out = torch.full((len(x), x.shape[1], memory.out_dim), torch.nan)
    for b in range(x.shape[1]):
        firsts = sorted({0, *torch.nonzero(start[:, b]).flatten().tolist()})
        for first, end in zip(firsts, [*firsts[1:], len(x)], strict=True):
            out[first:end, b] = memory.encode(x[first:end, b : b + 1])[:, 0]
    return out


def test_every_memory_of_the_configs_is_tested():
    assert {name.split()[0] for name in MAKE} == set(MEMORIES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Markov(IN, out_dim=0), "out_dim=0: at least 1"),
        (lambda: Markov(IN, hidden_dims=(7, 0)), "hidden_dims=(7, 0): at least 1"),
        (lambda: FrameStack(IN, frames=1), "frames=1: at least 2 are needed"),
        (lambda: GRU(IN, 5, layers=0), "layers=0: at least 1"),
        (lambda: LSTM(IN, out_dim=-1), "out_dim=-1: at least 1"),
        (lambda: GPT(IN, T, heads=0), "heads=0: at least 1"),
        (lambda: GPT(IN, T, heads=4), "heads=4: a divisor of the width 6"),
        (lambda: GPT(7, T), "heads=2: a divisor of the width 7"),
        (lambda: MinGRU(IN, 5, layers=0), "layers=0: at least 1"),
        (lambda: NBRC(IN, out_dim=0), "out_dim=0: at least 1"),
        (lambda: LRU(IN, r_max=1.0), "r_max=1.0: above r_min=0.9 and below 1"),
        (lambda: Hybrid(IN, r_min=-0.1), "r_max=0.999: above r_min=-0.1"),
        (lambda: BMRU(IN, threshold=0.0), "threshold=0.0: a number above 0"),
        (lambda: BMRU(IN, threshold=float("inf")), "threshold=inf: a number above 0"),
        (lambda: Hybrid(IN, layers=1), "layers=1: at least 2 are needed, one of each kind"),
        (lambda: Double(GRU, IN, 5), "out_dim=5: an even number"),
        (lambda: GPT(IN, T, dropout=1.0), "dropout=1.0: a share from 0 to below 1"),
    ],
)
def test_a_memory_refuses_its_own_settings(make, message):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        make()


def test_encode_equals_forward_from_nothing(memory):
    x = features()
    whole = memory.encode(x)
    assert whole.shape == (T, B, memory.out_dim)
    torch.testing.assert_close(memory(x, one_start())[0], whole, **CLOSE)
    torch.testing.assert_close(memory(x, torch.zeros(T, B))[0], whole, **CLOSE)
    torch.testing.assert_close(memory(x, one_start(), memory.initial_carry(B))[0], whole, **CLOSE)


def test_stepping_equals_encode(memory):
    x, start, carry = features(), one_start(), None
    whole = memory.encode(x)
    for t in range(T):
        out, carry = memory(x[t : t + 1], start[t : t + 1], carry)
        torch.testing.assert_close(out[0], whole[t], **CLOSE)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_gru_acts_as_torchs_own_does(layers):
    memory, x_TBF, start_TB = GRU(IN, 5, layers=layers), features(), one_start()
    expected_TBH, last = memory.net(x_TBF)
    outputs, carry = [], None
    with torch.inference_mode():
        for t in range(T):
            output_1BH, carry = memory(x_TBF[t : t + 1], start_TB[t : t + 1], carry)
            outputs.append(output_1BH)
    torch.testing.assert_close(torch.cat(outputs), expected_TBH, **CLOSE)
    torch.testing.assert_close(carry, (last,), **CLOSE)


@given(cuts=st.sets(st.integers(1, T - 1)), seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("kind", MAKE)
def test_any_split_with_any_starts_gives_the_same_as_each_episode_alone(kind, cuts, seed, share):
    torch.manual_seed(seed)
    memory = MAKE[kind]().eval()
    x, start = features(seed), random_starts(seed, share)
    expected = by_episode(memory, x, start)
    edges, carry, parts = [0, *sorted(cuts), T], None, []
    for first, end in itertools.pairwise(edges):
        part, carry = memory(x[first:end], start[first:end], carry)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts), expected, **CLOSE)


def test_a_start_forgets_everything_before(memory):
    x, other = features(1), features(2)
    start = one_start()
    start[5] = 1.0
    mixed = torch.cat([other[:5], x[5:]])
    torch.testing.assert_close(memory(x, start)[0][5:], memory(mixed, start)[0][5:], rtol=0, atol=0)
    _, full = memory(other, one_start())
    torch.testing.assert_close(memory(x, start, full)[0], memory(x, start)[0], rtol=0, atol=0)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_start_forgets_what_is_no_number_as_well(memory, broken):
    x, bad = features(1), features(2)
    bad[1, 0, 2] = broken
    later = torch.zeros(T, B)
    later[6] = 1.0  # within one call, and then in one of its own
    expected = memory(x[6:], one_start()[: T - 6])[0]
    within, _ = memory(torch.cat([bad[:6], x[6:]]), later)
    torch.testing.assert_close(within[6:], memory(x, later)[0][6:], rtol=0, atol=0)
    if broken is torch.nan and not isinstance(memory, Markov):
        assert within[5, 0].isnan().all(), "it was not forgotten too early"
    _, carry = memory(bad, one_start())
    carry = tuple(torch.full_like(c, broken) if c.is_floating_point() else c for c in carry)
    for start, before in ((one_start(), carry), (one_start(), memory(bad, one_start())[1])):
        after, _ = memory(x[6:], start[: T - 6], before)
        torch.testing.assert_close(after, expected, rtol=0, atol=0)
        stepped = [memory(x[6:7], start[:1], before)]
        for t in range(7, T):
            stepped.append(memory(x[t : t + 1], start[t - 6 : t - 5], stepped[-1][1]))
        torch.testing.assert_close(torch.cat([out for out, _ in stepped]), expected, **CLOSE)


def test_all_memories_but_markov_do_remember(memory):
    x, other = features(), features()
    other[0, :, 0] += 3.0
    same = torch.allclose(memory.encode(x)[-1], memory.encode(other)[-1], atol=1e-6)
    assert same == isinstance(memory, Markov)


@pytest.mark.parametrize("t", [0, 4, T - 2])
def test_the_future_changes_no_past_output(memory, t):
    x, other = features(), features()
    other[t + 1 :] = 100.0
    torch.testing.assert_close(memory.encode(x)[: t + 1], memory.encode(other)[: t + 1], **CLOSE)
    start = random_starts(3)
    torch.testing.assert_close(memory(x, start)[0][: t + 1], memory(other, start)[0][: t + 1], **CLOSE)


def test_no_gradient_flows_from_an_output_to_a_later_input_or_another_sequence(memory):
    x = features().requires_grad_()
    memory.encode(x)[4, 1].square().sum().backward()
    assert x.grad[4, 1].abs().sum() > 0
    x.grad[:5, 1] = 0.0
    assert x.grad.abs().max() == 0.0


def test_gradients_through_chunks_equal_those_of_the_whole(memory):
    if not list(memory.parameters()):
        return
    x, weight = features(), torch.randn(T, B, memory.out_dim, generator=torch.Generator().manual_seed(5))
    grads = []
    for edges in ([0, T], [0, 1, 2, 7, T]):
        carry, loss = None, torch.zeros(())
        for first, end in itertools.pairwise(edges):
            out, carry = memory(x[first:end], one_start()[first:end], carry)
            loss = loss + (out * weight[first:end]).sum()
        grads.append(torch.autograd.grad(loss, list(memory.parameters())))
    for whole, chunked in zip(*grads, strict=True):
        torch.testing.assert_close(whole, chunked, rtol=1e-4, atol=1e-4)


def test_sequences_of_a_batch_do_not_mix(memory):
    x = features()
    together = memory.encode(x)
    for b in range(B):
        torch.testing.assert_close(memory.encode(x[:, b : b + 1])[:, 0], together[:, b], **CLOSE)


def test_a_key_value_cache_is_full_at_the_last_step_of_its_context():
    memory = MAKE["gpt of two layers"]().eval()
    x, carry = features(), None
    for t in range(T):
        _, carry = memory(x[t : t + 1], one_start()[t : t + 1], carry)
    assert carry[2].tolist() == [T] * B
    assert (carry[0].abs().sum(-1) > 0).all()
    again, _ = memory(x[:1], torch.ones(1, B), carry)  # and starts over
    torch.testing.assert_close(again, memory.encode(x[:1]), **CLOSE)


def gru_by_hand(x, h, w_ih, w_hh, b_ih, b_hh):
    """The equations of nn.GRU's documentation, a step at a time."""
    out = []
    for row in x:
        i_r, i_z, i_n = (row @ w_ih.T + b_ih).chunk(3, -1)
        h_r, h_z, h_n = (h @ w_hh.T + b_hh).chunk(3, -1)
        r, z = torch.sigmoid(i_r + h_r), torch.sigmoid(i_z + h_z)
        h = (1 - z) * torch.tanh(i_n + r * h_n) + z * h
        out.append(h)
    return torch.stack(out)


@given(steps=st.integers(1, 7), batch=st.integers(1, 4), width=st.integers(1, 6), seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_gru_loop_has_the_values_and_gradients_of_torchs_gru(steps, batch, width, seed):
    torch.manual_seed(seed)
    net = nn.GRU(IN, width)
    x, initial = torch.randn(steps, batch, IN), torch.randn(1, batch, width)
    upstream = torch.randn(steps, batch, width)
    results = []
    for run in ("torch", "scan", "hand"):
        inputs = [t.detach().clone().requires_grad_() for t in (x, initial, *net.parameters())]
        if run == "torch":
            own = copy.deepcopy(net)
            inputs[2:] = list(own.parameters())
            out = own(inputs[0], inputs[1])[0]
        else:
            x_TBF, h0, w_ih, w_hh, b_ih, b_hh = inputs
            if run == "scan":
                rows = nn.functional.linear(x_TBF, w_ih, b_ih).flatten(0, 1)
                out = gru_loop(rows, torch.arange(steps * batch).view(steps, batch), h0[0], w_hh, b_hh)
            else:
                out = gru_by_hand(x_TBF, h0[0], w_ih, w_hh, b_ih, b_hh)
        (out * upstream).sum().backward()
        results.append([out.detach(), *(t.grad for t in inputs)])
    for name, theirs, ours, slow in zip(("out", "x", "h0", "w_ih", "w_hh", "b_ih", "b_hh"), *results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")
        torch.testing.assert_close(ours, slow, rtol=1e-4, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")


def test_the_gru_loop_is_float32_near_its_equations_in_double_precision():
    """At the width and length of real runs, with large gates among them, and rows that stand in many places."""
    generator = torch.Generator().manual_seed(0)
    N, T, B, H = 40, 60, 8, 128
    shapes, scales = ((N, 3 * H), (B, H), (3 * H, H), (3 * H,)), (3.0, 1.0, 0.1, 1.0)
    place = torch.randint(N, (T, B), generator=generator)
    upstream = torch.randn(T, B, H, generator=generator)
    tensors = [scale * torch.randn(*shape, generator=generator) for shape, scale in zip(shapes, scales, strict=True)]
    found = []
    for dtype in (torch.float, torch.double):
        rows, initial, weight, bias = inputs = [x.to(dtype).requires_grad_() for x in tensors]
        if dtype is torch.float:
            out = gru_loop(rows, place, initial, weight, bias)
        else:
            one, zero = torch.eye(3 * H, dtype=dtype), torch.zeros(3 * H, dtype=dtype)
            out = gru_by_hand(rows[place], initial, one, weight, zero, bias)
        found.append([out.detach(), *torch.autograd.grad(out, inputs, upstream.to(dtype))])
    for ours, exact in zip(*found, strict=True):
        assert (ours - exact).abs().max() < 2e-6 * exact.abs().max()


def test_the_gru_loop_keeps_nothing_where_nothing_learns(monkeypatch):
    torch.manual_seed(0)
    rows, initial, weight, bias = torch.randn(6, 9), torch.randn(2, 3), torch.randn(9, 3), torch.randn(9)
    place = torch.randint(6, (5, 2))
    kept, kernel = [], kernels.gru_forward

    def recorded(*arrays):
        kept.append((len(arrays[-2]), len(arrays[-1])))
        kernel(*arrays)

    monkeypatch.setattr(kernels, "gru_forward", recorded)
    plain = gru_loop(rows, place, initial, weight, bias)
    learning = gru_loop(rows, place, initial, weight.requires_grad_(), bias)
    with torch.no_grad():
        assert torch.equal(plain, gru_loop(rows, place, initial, weight, bias))
    assert torch.equal(plain, learning) and not plain.requires_grad and learning.requires_grad
    assert kept == [(1, 1), (5, 5), (1, 1)]


def test_the_gru_loop_refuses_what_its_kernels_would_misread():
    torch.manual_seed(0)
    rows, initial, weight, bias = torch.randn(6, 9), torch.randn(2, 3), torch.randn(9, 3), torch.randn(9)
    place = torch.randint(6, (5, 2))
    for wrong in (torch.full_like(place, 6), torch.full_like(place, -1)):
        with pytest.raises(IndexError, match="no such row"):
            gru_loop(rows, wrong, initial, weight, bias)
    right = {"projected_NG": rows, "initial_BH": initial, "weight_hh": weight, "bias_hh": bias}
    for wrong in ({"projected_NG": rows[:, :8]}, {"initial_BH": initial[:1]}, {"bias_hh": bias[1:]}):
        with pytest.raises(ValueError, match="weight, bias, initial states and inputs"):
            gru_loop(place_TB=place, **right | wrong)
    with pytest.raises(TypeError, match="float32"):
        gru_loop(rows, place, initial, weight.double(), bias)


def test_the_gru_loop_has_no_second_derivative_and_says_so():
    torch.manual_seed(0)
    rows, weight = torch.randn(6, 9, requires_grad=True), torch.randn(9, 3, requires_grad=True)
    out = gru_loop(rows, torch.randint(6, (5, 2)), torch.randn(2, 3), weight, torch.randn(9))
    (gradient,) = torch.autograd.grad(out.square().sum(), rows, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_nan_goes_through_the_gru_loop_to_the_end_of_its_own_episode():
    torch.manual_seed(0)
    rows, weight, bias = torch.randn(6, 9), torch.randn(9, 3), torch.randn(9)
    place = torch.tensor([[0, 1], [2, 1], [0, 1]])
    rows[2] = torch.nan
    out = gru_loop(rows, place, torch.zeros(2, 3), weight, bias)
    assert out[1:, 0].isnan().all() and not out[0].isnan().any() and not out[:, 1].isnan().any()


def test_the_grus_carry_carries_gradients():
    torch.manual_seed(0)
    memory, x = GRU(IN, 5, layers=2), features()
    carry = tuple(c.requires_grad_() for c in memory.initial_carry(B))
    theirs = tuple(c.detach().clone().requires_grad_() for c in carry)
    out, last = memory(x, torch.zeros(T, B), carry)
    (out.sum() + 2 * last[0].sum()).backward()
    out, hidden = memory.net(x, theirs[0])
    (out.sum() + 2 * hidden.sum()).backward()
    torch.testing.assert_close(carry[0].grad, theirs[0].grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", MAKE)
def test_distinct_rows_and_their_places_give_the_same_history_and_gradients(kind):
    torch.manual_seed(0)
    memory, place = MAKE[kind]().eval(), torch.randint(5, (T, B))
    results = []
    for by_place in (True, False):
        x = torch.randn(5, IN, generator=torch.Generator().manual_seed(1), requires_grad=True)
        history = memory.encode(x, place) if by_place else memory.encode(x[place])
        wanted = [x, *memory.parameters()]
        results.append((history, *torch.autograd.grad(history.square().sum(), wanted, materialize_grads=True)))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", MAKE)
def test_bfloat16_products_stay_near_float32_ones(kind):
    torch.manual_seed(0)
    memory, x = MAKE[kind]().eval(), features()
    exact = memory.encode(x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = memory.encode(x)
    assert torch.isfinite(rounded).all()
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("able", [True, False])
def test_an_lstm_runs_in_float32_where_bfloat16_would_be_imitated(able, monkeypatch):
    monkeypatch.setattr(recurrent, "has_bfloat16", lambda device: able)
    memory, x, seen = MAKE["lstm"]().eval(), features(), []
    monkeypatch.setattr(memory.net, "forward", lambda x, carry: (seen.append(x.dtype) or x, carry))
    with torch.autocast("cpu", torch.bfloat16):
        memory.encode(x.bfloat16())
    assert seen == [torch.bfloat16 if able else torch.float32]


def test_attention_written_out_is_that_of_torch(monkeypatch):
    found = []
    for written_out in (256, 0):
        monkeypatch.setattr(gpt, "WRITTEN_OUT", written_out)
        q, k, v = torch.randn(3, 2, 3, 9, 4, generator=torch.Generator().manual_seed(0)).requires_grad_().unbind()
        out = gpt.causal_attention(q, k, v)
        found.append((out, *torch.autograd.grad(out.square().sum(), (q, k, v))))
    for plain, fast in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-6)
    first = torch.nn.functional.scaled_dot_product_attention(q[:, :, :1], k[:, :, :1], v[:, :, :1])
    torch.testing.assert_close(out[:, :, :1], first)


def test_every_memory_keeps_its_contract_and_is_left_as_it_was(memory):
    before, parameters = torch.get_rng_state(), copy.deepcopy(memory.state_dict())
    memory.train()
    for steps in (1, 3):
        check_memory(memory, IN, steps)
    assert memory.training
    torch.testing.assert_close(torch.get_rng_state(), before)
    torch.testing.assert_close(memory.state_dict(), parameters, rtol=0, atol=0)
    check_memory(GPT(IN, context=2), IN)  # the shortest episodes


class Odd(GRU):
    """Breaks its contract in one way."""

    def __init__(self, way):
        super().__init__(IN, 5)
        self.way = way
        if way == "no width":
            del self.out_dim

    def forward(self, x_TBF, start_TB, carry=None):
        if self.way == "ignores starts":
            start_TB = torch.zeros_like(start_TB)
        if self.way == "ignores later starts":
            start_TB = torch.cat([start_TB[:1], torch.zeros_like(start_TB[1:])])
        if self.way == "keeps NaN" and carry is not None:
            carry, start_TB = (carry[0] * (1 - start_TB[0])[:, None],), torch.zeros_like(start_TB)
        history, (last,) = super().forward(x_TBF, start_TB, carry)
        return {
            "batch first": (history.transpose(0, 1), (last,)),
            "no tuple": (history, last),
            "no carry": history,
            "other carry": (history, (last[0],)),
            "narrow": (history[..., :4], (last,)),
            "forgets": (history, (torch.zeros_like(last),)),
        }.get(self.way, (history, (last,)))


@pytest.mark.parametrize(
    ("way", "steps", "message"),
    [
        ("ignores starts", 1, "Odd: where start_TB is 1 it must forget"),
        ("ignores later starts", 3, "Odd: where start_TB is 1 it must forget"),
        ("keeps NaN", 1, "Odd: where start_TB is 1 it must forget what came before, a NaN as well"),
        ("forgets", 3, "Odd: a sequence that is split"),
        ("batch first", 1, "Odd.forward returned a history of (2, 1, 5); (T, B, out_dim) = (1, 2, 5) is needed"),
        ("narrow", 1, "Odd.forward returned a history of (1, 2, 4); (T, B, out_dim) = (1, 2, 5) is needed"),
        ("no tuple", 1, "Odd.forward must return as carry a tuple"),
        ("other carry", 1, "Odd.forward must return as carry a tuple of tensors, of the shapes of initial_carry"),
        ("no carry", 1, "Odd.forward must return the history and the carry"),
        ("no width", 1, "Odd lacks out_dim, the width of its history"),
    ],
)
def test_a_memory_that_breaks_its_contract_is_told(way, steps, message):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        check_memory(Odd(way), IN, steps)


def test_a_frame_stack_shows_the_last_frames_of_its_episode_and_zeros_before():
    torch.manual_seed(0)
    memory, x, start = FrameStack(IN, 5, frames=3), features(), torch.zeros(T, B)
    start[4, 0] = 1.0
    history, (carry,) = memory(x, start)
    none = torch.zeros(IN)
    for t, b, rows in ((0, 1, [none, none, x[0, 1]]), (4, 0, [none, none, x[4, 0]]), (5, 0, [none, x[4, 0], x[5, 0]])):
        torch.testing.assert_close(history[t, b], memory.net(torch.cat(rows)))
    torch.testing.assert_close(history[5, 1], memory.net(x[3:6, 1].flatten()))
    torch.testing.assert_close(carry, x[-2:])


def test_slow_states_of_an_lru_are_fed_by_what_they_lose():
    cell = LRU(2, 2).layers[0].cell
    for fade in (-10.0, -18.0, -30.0):
        cell.log_fade.data.fill_(fade)
        cell.enter.get_parameter("0.weight").data.zero_()
        cell.enter.get_parameter("0.bias").data.fill_(1.0)
        (entering, _) = cell.read(torch.zeros(1, 1, 2))
        expected = math.sqrt(-math.expm1(-2 * math.exp(fade)))
        assert entering.flatten().tolist() == pytest.approx([expected] * 2, rel=1e-5)


def test_a_slow_gate_of_a_mingru_is_no_frozen_one_in_half_precision():
    cell = MinGRU(2, 2).layers[0].cell
    cell.gate_and_candidate.get_parameter("0.weight").data.zero_()
    cell.gate_and_candidate.get_parameter("0.bias").data.fill_(-7.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        keep, _ = cell.read(torch.zeros(64, 1, 2))
    assert keep.dtype == torch.float32
    torch.testing.assert_close(keep, torch.full_like(keep, 1 - 1 / (1 + math.exp(7))), rtol=0, atol=1e-5)
