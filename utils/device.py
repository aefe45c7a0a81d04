"""Which device to compute on, and how a CPU is set up for it."""

import ctypes
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from utils.errors import UserError, choose_name


def device_of(cuda: int | None) -> torch.device:
    """The GPU with that index, the CPU for -1; for None the first GPU if there is one.

    Raises:
        UserError: no such GPU.
    """
    if cuda is None:
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if cuda < 0:
        return torch.device("cpu")
    if cuda >= torch.cuda.device_count():
        raise UserError(f"--cuda={cuda}: this machine has {torch.cuda.device_count()} GPUs; -1 is the CPU")
    return torch.device(f"cuda:{cuda}")


def prepare_cpu(threads: int) -> None:
    """Sets this process up for learning: its threads, its matrix products, and the memory that it keeps for reuse."""
    torch.set_num_threads(threads)
    use_fast_products()
    keep_memory()


def choose_precision(name: str, device: torch.device, flag: str) -> str:
    """Returns `name`, fp32 or bf16; warns where the device has bfloat16 imitated, many times slower than float32.

    Raises:
        UserError: no such precision; names `flag`.
    """
    if choose_name(("fp32", "bf16"), name, flag) == "bf16" and not has_bfloat16(device):
        here = "processor" if device.type == "cpu" else "GPU"
        warnings.warn(f"{flag}=bf16: this {here} has no bfloat16; fp32 is faster here", RuntimeWarning, stacklevel=3)
    return name


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; a processor of which torch does not say so is believed to."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    ask = getattr(torch.cpu, "get_capabilities", None)  # torch below 2.10 has none
    able = {} if ask is None else ask()
    told = [able[name] for name in ("avx512_bf16", "amx_bf16", "bf16") if name in able]
    return any(told) or not told


def use_fast_products(on: bool = True) -> bool:
    """Has oneDNN rather than MKL take float32 matrix products where that is as exact; returns whether it does now.

    MKL leaves the wide vectors of other makers' processors unused, and takes twice as long there. The switch is the one
    that permits bfloat16 inside; a processor that would make use of the permission shows it here, and stays with MKL.
    """
    setting = getattr(torch.backends.mkldnn, "matmul", None)  # torch below 2.9 has none
    if setting is None or not torch.backends.mkldnn.is_available():
        return False
    setting.fp32_precision = "bf16" if on else "none"
    if not on:
        return False
    generator = torch.Generator().manual_seed(0)
    for rows, inner, columns in ((64, 128, 384), (512, 256, 256)):
        a, b = (torch.randn(shape, generator=generator) for shape in ((rows, inner), (columns, inner)))
        exact = (a.double() @ b.double().T).float()
        for product in (a @ b.T, a @ b.T.contiguous(), (b @ a.T).T, (a.T.contiguous().T @ b.T)):
            if (product - exact).abs().max() > 1e-3:
                setting.fp32_precision = "none"
                return False
    return True


SMALL = 2_000_000  # multiplications of a product that MKL takes faster: it loses less time before it begins


@contextmanager
def products_of(rows: int, inner: int, columns: int) -> Iterator[None]:
    """Within it MKL takes float32 products again if those of (rows, inner) by (inner, columns) are small ones."""
    setting = getattr(torch.backends.mkldnn, "matmul", None)
    if setting is None or rows * inner * columns > SMALL or (before := setting.fp32_precision) != "bf16":
        yield
        return
    setting.fp32_precision = "none"
    try:
        yield
    finally:
        setting.fp32_precision = before


def keep_memory() -> bool:
    """Has the C library keep freed memory, where it can be told so (glibc); returns whether it could.

    Tensors of some megabytes come and go with each update; handed back to the system each time, their pages must be
    cleared anew, which took a third of an update.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    trim_threshold, mmap_threshold = -1, -3  # of malloc.h
    return bool(set_option(mmap_threshold, 1 << 30) and set_option(trim_threshold, 1 << 30))
