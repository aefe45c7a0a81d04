"""Memories: fold a sequence of features into a history. `forward(x_TBF, start_TB, carry) -> (h_TBH, carry)`.

The same forward trains on windows and acts a step at a time; where `start_TB` is 1 the memory forgets. A carry of None
means "nothing yet".
"""

from torchkit.sequence.base import Carry, Memory, check_memory
from torchkit.sequence.bmru import BMRU
from torchkit.sequence.brc import BRC
from torchkit.sequence.frame_stack import FrameStack
from torchkit.sequence.gpt import GPT
from torchkit.sequence.hybrid import Hybrid
from torchkit.sequence.lru import LRU
from torchkit.sequence.markov import Markov
from torchkit.sequence.mgu import MGU
from torchkit.sequence.mingru import MinGRU
from torchkit.sequence.nbrc import NBRC
from torchkit.sequence.recurrent import GRU, LSTM

MEMORIES: dict[str, type[Memory]] = {
    "markov": Markov,
    "mlp": Markov,
    "frame_stack": FrameStack,
    "gru": GRU,
    "lstm": LSTM,
    "gpt": GPT,
    "mingru": MinGRU,
    "lru": LRU,
    "bmru": BMRU,
    "hybrid": Hybrid,
    "brc": BRC,
    "nbrc": NBRC,
    "mgu": MGU,
}

__all__ = [
    "BMRU",
    "BRC",
    "GPT",
    "GRU",
    "LRU",
    "LSTM",
    "MEMORIES",
    "MGU",
    "NBRC",
    "Carry",
    "FrameStack",
    "Hybrid",
    "Markov",
    "Memory",
    "MinGRU",
    "check_memory",
]
