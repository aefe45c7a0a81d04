"""What kernels are made of, and how they come to be machine code; who calls them tests the kernels themselves."""

import numpy as np
import pytest

from torchkit.fast import kernels


@pytest.mark.parametrize("rows, inner, columns", [(1, 1, 1), (3, 5, 2), (4, 8, 7), (9, 6, 16), (64, 128, 384)])
def test_a_product_is_added_whatever_its_sizes(rows, inner, columns):
    rng = np.random.default_rng(0)
    shapes = ((rows, inner), (inner, columns), (rows, columns))
    a, w, out = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    expected = out + a.astype(np.float64) @ w.astype(np.float64)
    kernels.add_product(a, w, out)
    np.testing.assert_allclose(out, expected, atol=2e-5)


@pytest.mark.parametrize("ours, exact", [(kernels.sigmoid, lambda x: 1 / (1 + np.exp(-x))), (kernels.tanh, np.tanh)])
def test_the_kernels_functions_are_exact_to_float32(ours, exact):
    x = np.concatenate([np.linspace(-100, 100, 20_001), np.linspace(-1, 1, 20_001)]).astype(np.float32)
    found = np.array([ours(value) for value in x])
    exactly = exact(x.astype(np.float64))
    assert np.abs(found - exactly).max() < 2e-7
    small = np.geomspace(1e-30, 1, 400).astype(np.float32)
    of_their_size = np.array([ours(value) for value in small]) / exact(small.astype(np.float64))
    assert np.abs(of_their_size - 1).max() < 3e-6
    assert np.isnan(ours(np.float32("nan")))
    limits = exact(np.array([-np.inf, np.inf]))
    np.testing.assert_allclose([ours(np.float32("-inf")), ours(np.float32("inf"))], limits, atol=1e-30)


def test_kernels_are_compiled_where_no_folder_can_keep_them(monkeypatch):
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(kernels, "njit", njit)
    assert kernels.compiled(len) is len


def test_kernels_are_compiled_where_the_disk_is_full(monkeypatch):
    def njit(cache=False, **options):
        def full(x):
            raise OSError(28, "No space left on device")

        return lambda function: full if cache else function

    monkeypatch.setattr(kernels, "njit", njit)
    kernel = kernels.compiled(len)
    assert kernel([1, 2]) == 2 and kernel([1]) == 1
