"""Memories: fold a sequence of features into a history. `forward(x_TBF, start_TB, carry) -> (h_TBH, carry)`.

The same forward trains on windows and acts a step at a time; where `start_TB` is 1 the memory forgets. A carry of None
means "nothing yet".
"""

from torchkit.sequence.base import Carry, Memory, check_memory
from torchkit.sequence.gpt import GPT
from torchkit.sequence.markov import Markov
from torchkit.sequence.recurrent import GRU, LSTM

MEMORIES: dict[str, type[Memory]] = {"markov": Markov, "mlp": Markov, "gru": GRU, "lstm": LSTM, "gpt": GPT}

__all__ = ["GPT", "GRU", "LSTM", "MEMORIES", "Carry", "Markov", "Memory", "check_memory"]
