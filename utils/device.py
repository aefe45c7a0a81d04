"""Which device to compute on."""

import torch

from utils.errors import UserError


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
