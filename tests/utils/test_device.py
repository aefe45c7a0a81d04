"""How a CPU is set up: products that are as exact, memory that is kept; an update comes to the same with either."""

import subprocess
import sys
import textwrap

import pytest
import torch

from tests.helpers.agents import make_agent, make_batch
from utils import device
from utils.errors import UserError


@pytest.fixture
def products():
    """Puts the setting back."""
    yield device.use_fast_products
    device.use_fast_products(False)


@pytest.mark.parametrize("on", [True, False])
def test_products_are_those_of_float32(on, products):
    products(on)
    a, b = (torch.randn(shape, generator=torch.Generator().manual_seed(3)) for shape in ((130, 70), (70, 90)))
    exact = a.double() @ b.double()
    for found in (a @ b, a.T.contiguous().T @ b, torch.nn.functional.linear(a, b.T), (b.T @ a.T).T):
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-4)


def test_small_products_go_to_mkl_for_a_while(products):
    if not products():
        pytest.skip("fast products are not for this machine")
    setting = torch.backends.mkldnn.matmul
    with device.products_of(16, 128, 384):
        assert setting.fp32_precision == "none"
    with device.products_of(64, 128, 384):
        assert setting.fp32_precision == "bf16"
    with pytest.raises(KeyError), device.products_of(16, 128, 384):
        raise KeyError
    assert setting.fp32_precision == "bf16"


@pytest.mark.parametrize("memory", ["gru", "gpt"])
@pytest.mark.parametrize("method", ["mi", "sac:ba"])
def test_an_update_with_fast_products_is_the_same_update(method, memory, products):
    results = []
    for on in (False, True):
        products(on)
        torch.manual_seed(0)
        agent = make_agent(method, memory, max_grad_norm=1e9)
        torch.manual_seed(1)
        metrics = agent.update(make_batch())
        results.append((metrics, [p.grad for p in agent.parameters() if p.grad is not None]))
    for name, value in results[0][0].items():
        torch.testing.assert_close(results[1][0][name], value, rtol=1e-5, atol=1e-5, msg=name)
    for slow, fast in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)


def test_a_processor_that_would_round_stays_with_exact_products(products, monkeypatch):
    plain = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: plain(a.bfloat16().to(a.dtype), b))
    assert not products()
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_memory_that_is_kept_is_not_cleared_again():
    script = """
        import resource, torch
        from utils.device import keep_memory

        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(20):
                kept = [torch.ones(1 << 22) for _ in range(3)]
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        faults()
        print(faults(), keep_memory(), faults() and faults())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    before, kept, after = done.stdout.split()
    if kept == "True":  # glibc may have learned by itself to keep such blocks
        assert int(before) == 0 or int(after) < int(before) / 10


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"neon": True, "bf16": False}, False),
        ({"neon": True, "bf16": True}, True),
        ({}, True),
    ],
)
def test_bfloat16_that_is_imitated_is_warned_of(able, expected, monkeypatch, recwarn):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert device.has_bfloat16(torch.device("cpu")) == expected
    assert device.choose_precision("bf16", torch.device("cpu"), "--config_rl.precision") == "bf16"
    told = [str(w.message) for w in recwarn]
    slow = "--config_rl.precision=bf16: this processor has no bfloat16; fp32 is faster here"
    assert told == ([] if expected else [slow])


def test_float32_is_not_warned_of_and_other_precisions_are_refused(monkeypatch, recwarn):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False})
    device.choose_precision("fp32", torch.device("cpu"), "--config_rl.precision")
    assert not recwarn.list
    with pytest.raises(UserError, match=r"--config_rl.precision: .*choose from bf16, fp32"):
        device.choose_precision("fp16", torch.device("cpu"), "--config_rl.precision")
