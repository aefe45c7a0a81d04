"""Cassandra's format of finite POMDPs (pomdp.org/code/pomdp-file-spec.html), read; `envs.pomdp_writer` writes it.

What the format has no words for stands in comments of our own, which other readers pass over: `#!ends: a : s : s' p`,
the probability that the episode ends with a transition, and `#!first: s : o p`, that of an observation at the start.

Dimension key: A actions, S states before, E states after an action, O observations, N entries.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from envs.finite import Entries, FinitePOMDP, Floats, Matrix, RewardEntries, matrices
from envs.pomdp_cells import Cells, Statements
from utils.config import from_here_or_root
from utils.errors import UserError, suggest
from utils.memory import gib, total_memory

PREAMBLE = ("discount", "values", "states", "actions", "observations", "start")
BODY = {"T": "ASS", "O": "ASO", "R": "ASSO", "#!ends": "ASS", "#!first": "SO"}  # what the indices of a statement name
KINDS = {"A": "actions", "S": "states", "O": "observations"}
RESERVED = ("*", "uniform", "identity", "reset", "include", "exclude")
TOLERANCE = 1e-5  # by which the sum of a distribution may be off before it is refused
EXACT = 1e-12  # by which it may be off without being brought to 1
GREATEST = 1e30  # reward, of whose sums policies keep single precision
MOST = 10**6  # of states, actions or observations
COMMENT = re.compile(r"#(?!!(?:ends|first)\b)[^\n]*")
TOKEN = re.compile(r":|[^\s:]+")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_pomdp(path: str | Path, *, continuing: bool = False, first_observation: str = "") -> FinitePOMDP:
    """The domain of a file.

    Rows `reset` of T lead to the distribution of the start, with which the episode ends.

    Args:
        path: of a file in Cassandra's format.
        continuing: the episode goes on after such a row, from a new start.
        first_observation: the action, by name or number, whose O draws an observation of the first state; "": none is.

    Raises:
        UserError: it cannot be read, or is no such file; names the file, the line and what was expected.
    """
    file = from_here_or_root(path)
    try:
        found = file.stat()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    if not file.is_file():
        raise UserError(f"{file}: is no file; expected one in Cassandra's format")
    stamp = (found.st_ino, found.st_size, found.st_mtime_ns)  # so that a file that has changed is read again
    return _read(file, stamp, continuing, first_observation)


@lru_cache(maxsize=8)
def _read(file: Path, stamp: tuple[int, ...], continuing: bool, first_observation: str) -> FinitePOMDP:
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    if file.suffix.lower() == ".pomdpx" or "<pomdpx" in text[:1000].lower():
        raise UserError(f"{file}: this is POMDPX, which is not read; expected Cassandra's format, a .pomdp file")
    return _Reader(str(file), text).domain(continuing, first_observation)


class _Reader:
    """One file on its way to a domain: the tokens from left to right, then what they say together."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = COMMENT.sub("", text)
        self.tokens = TOKEN.findall(self.text)
        self.at = 0
        self.preamble: dict[str, tuple[int, list[str]]] = {}  # where its tokens begin, and they
        self.start_kind = ""
        self.names: dict[str, tuple[str, ...]] = {}
        self.numbers: dict[str, dict[str, int]] = {}
        self.statements: dict[str, Statements] = {}
        self.resets: list[tuple[int, int, int]] = []  # action, state, time
        self.paid: list[tuple[list[int], float]] = []  # indices and what is paid, in the order of the file

    def fail(self, expected: str, at: int | None = None) -> NoReturn:
        """Refuses the token at a place, by default the next one."""
        at = self.at if at is None else at
        found = f"found {self.tokens[at][:40]!r}" if at < len(self.tokens) else "the file ends here"
        raise UserError(f"{self._place(at)}: expected {expected}; {found}")

    def refuse(self, what: str, at: int) -> NoReturn:
        """Refuses what is said at a place."""
        raise UserError(f"{self._place(at)}: {what}")

    def _place(self, at: int) -> str:
        for number, token in enumerate(TOKEN.finditer(self.text)):
            if number == at:
                return f"{self.file}, line {self.text.count(chr(10), 0, token.start()) + 1}"
        return f"{self.file}, line {max(1, len(self.text.splitlines()))}"

    def peek(self, ahead: int = 0) -> str:
        """A token to come; "" past the end."""
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

    def take(self, expected: str) -> str:
        """The next token."""
        if self.at >= len(self.tokens):
            self.fail(expected)
        self.at += 1
        return self.tokens[self.at - 1]

    def domain(self, continuing: bool, first_observation: str) -> FinitePOMDP:
        """All of the file."""
        while self.at < len(self.tokens):
            self.statement()
        self.sizes()
        return self.assembled(continuing, first_observation)

    def keyword(self) -> str:
        """The keyword with which a statement begins here; "" where none does."""
        word, after = self.peek(), self.peek(1)
        if after == ":" and (word in PREAMBLE or word in BODY):
            return word
        return word if word == "start" and after in ("include", "exclude") and self.peek(2) == ":" else ""

    def statement(self) -> None:
        """Reads one statement."""
        word, begin = self.keyword(), self.at
        if not word:
            self.fail(f"one of {', '.join((*PREAMBLE, 'T', 'O', 'R'))} and ':'")
        if word in BODY:
            sizes = self.sizes()
            self.at += 2
            self.body(word, dict(zip(KINDS, sizes)), begin)
            return
        self.at += 2
        if word in self.preamble:
            self.refuse(f"'{word}:' for the second time; expected it once", begin)
        if word == "start" and self.tokens[self.at - 1] != ":":
            self.start_kind = self.tokens[self.at - 1]
            self.at += 1
        first = self.at
        while self.at < len(self.tokens) and not self.keyword():
            self.at += 1
        self.preamble[word] = first, self.tokens[first : self.at]

    def needed(self, word: str) -> tuple[int, list[str]]:
        """Where a line of the preamble begins, and its tokens."""
        if word not in self.preamble:
            self.fail(f"a line '{word}:' in the preamble, before T, O and R")
        first, tokens = self.preamble[word]
        if not tokens:
            self.fail(f"something after '{word}:'", first)
        return first, tokens

    def sizes(self) -> tuple[int, int, int]:
        """A, S and O, once the preamble has said them."""
        if not self.statements:
            self.names = {kind: self._names(kind, *self.needed(kind)) for kind in KINDS.values()}
        actions, states, obs = (len(self.names[kind]) for kind in KINDS.values())
        if not self.statements:
            self.fits(32.0 * (actions + 1) * states)
            for kind, names in self.names.items():
                by_number = {str(i): i for i in range(len(names))}
                self.numbers[kind] = by_number | {name: i for i, name in enumerate(names)} | {"*": -1}
            self.statements = {
                "T": Statements(actions, states, states),
                "O": Statements(actions, states, obs),
                "#!ends": Statements(actions, states, states),
                "#!first": Statements(1, states, obs),
            }
        return actions, states, obs

    def fits(self, size: float) -> None:
        """Refuses what does not fit into memory."""
        if size > total_memory() / 2:
            self.refuse(f"this needs {gib(size)} of memory; expected at most {gib(total_memory() / 2)}", self.at)

    def _names(self, kind: str, first: int, tokens: list[str]) -> tuple[str, ...]:
        """The names of actions, states or observations, which are numbers where the file gives how many there are."""
        if len(tokens) == 1 and tokens[0].isdecimal():
            digits = tokens[0].lstrip("0") or "0"
            if len(digits) > len(str(MOST)) or not 1 <= int(digits) <= MOST:
                self.fail(f"a number of {kind} from 1 to {MOST:,}", first)
            return tuple(map(str, range(int(digits))))
        seen: set[str] = set()
        for at, name in enumerate(tokens, first):
            if name in seen:
                self.fail(f"names of {kind} that differ from each other", at)
            if name in RESERVED or name == ":" or NUMBER.fullmatch(name):
                self.fail(f"the number of {kind}, or names that are no numbers and none of {', '.join(RESERVED)}", at)
            seen.add(name)
        return tuple(tokens)

    def index(self, kind: str) -> int:
        """The number of an action, state or observation, -1 for all."""
        token = self.peek()
        found = self.numbers[kind].get(token)
        if found is None:
            near = suggest(token, self.names[kind]) if token and len(self.names[kind]) < 1000 else ""
            self.fail(f"one of the {len(self.names[kind])} {kind}, by name or number, or '*'{near}")
        self.at += 1
        return found

    def body(self, word: str, sizes: dict[str, int], begin: int) -> None:
        """Reads a statement on T, O or R after its first colon."""
        kinds = BODY[word]
        index = [self.index(KINDS[kinds[0]])]
        while len(index) < len(kinds) and self.peek() == ":":
            self.at += 1
            index.append(self.index(KINDS[kinds[len(index)]]))
        left = tuple(sizes[kind] for kind in kinds[len(index) :])
        if len(left) > 2 or (left and word[0] == "#"):
            self.fail("':' and a state")
        if word == "R":
            self.pays(index, left)
        elif word == "#!first":
            self.statements[word].singles.append((0, *index, self.number(), begin))  # type: ignore[arg-type]
        elif not left:
            self.statements[word].singles.append((*index, self.number(), begin))  # type: ignore[arg-type]
        elif word == "T" and self.peek() == "reset":
            self.at += 1
            self.resets.append((index[0], index[1] if len(index) > 1 else -1, begin))
        else:
            row = index[1] if len(index) > 1 else -1
            self.statements[word].write(index[0], row, self.rows(word, row, left), begin)

    def rows(self, word: str, row: int, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
        """The row, column and value of what is not zero in a row or matrix of probabilities."""
        rows = np.arange(len(self.names["states"])) if row < 0 else np.array([row])
        if self.peek() == "uniform":
            self.at += 1
            return rows[:, None], np.arange(shape[-1]), 1.0 / shape[-1]
        if self.peek() == "identity" and len(shape) == 2:
            if shape[0] != shape[1]:
                self.fail(f"{shape[0]} by {shape[1]} numbers, which 'identity' cannot be")
            self.at += 1
            return rows, rows, 1.0
        words = ["'uniform'", *(["'identity'"] if len(shape) == 2 else []), *(["'reset'"] if word == "T" else [])]
        values = self.matrix(shape, ", ".join(words))
        at, column = np.nonzero(values)
        if len(shape) == 1 and row < 0:
            return rows[:, None], column, values[at, column]
        return (at if row < 0 else rows[at]), column, values[at, column]

    def number(self) -> float:
        """The next token as a number."""
        if not NUMBER.fullmatch(self.peek()):
            self.fail("a number")
        self.at += 1
        return float(self.tokens[self.at - 1])

    def matrix(self, shape: tuple[int, ...], or_else: str = "") -> Floats:
        """The next tokens as the numbers (rows, columns) of a row or matrix."""
        size = int(np.prod(shape))
        given = self.tokens[self.at : self.at + size]
        wrong = next((i for i, token in enumerate(given) if not NUMBER.fullmatch(token)), len(given))
        if wrong < size:
            self.fail(f"{or_else}{' or ' * bool(or_else)}{' by '.join(map(str, shape))} numbers", self.at + wrong)
        self.at += size
        return np.array(given, np.float64).reshape(-1, shape[-1])

    def pays(self, index: list[int], shape: tuple[int, ...]) -> None:
        """Reads the rest of a statement on R."""
        if not shape:
            self.paid.append((index, self.number()))
            return
        values = self.matrix(shape)
        for place, value in zip(np.ndindex(*shape), values.ravel().tolist()):
            self.paid.append(([*index, *place], value))

    def assembled(self, continuing: bool, first_observation: str) -> FinitePOMDP:
        """What the file says, checked."""
        actions, states, obs = self.sizes()
        start_S, discount, sign = self.start(), self.discount(), self.sign()
        self.fill_resets(start_S)
        transition, observation = self.distributions("T"), self.distributions("O")
        ends = self.ends(transition, continuing)
        transition_ASE = matrices(transition.split(actions), (states, states), f"{self.file}: T")
        observation_AEO = matrices(observation.split(actions), (states, obs), f"{self.file}: O")
        index_N4 = np.array([index for index, _ in self.paid], np.intp).reshape(-1, 4)
        value_N = np.array([value for _, value in self.paid], np.float64)
        if not (np.abs(value_N) <= GREATEST).all():
            self.refuse(f"a reward of {value_N[np.abs(value_N).argmax()]:g}; expected {GREATEST:g} at most", self.at)
        rewards = RewardEntries(index_N4, sign * value_N, (actions, states, states, obs))
        return FinitePOMDP(
            start_S=start_S,
            transition_ASE=transition_ASE,
            ends_ASE=None if ends is None else matrices(ends, (states, states), f"{self.file}: ends"),
            observation_AEO=observation_AEO,
            reward_SA=rewards.expected(transition_ASE, observation_AEO),
            discount=discount,
            states=self.names["states"],
            actions=self.names["actions"],
            observations=self.names["observations"],
            first_SO=self.first(observation_AEO, first_observation),
            reward=rewards if rewards.depends_on(2) or rewards.depends_on(3) else None,
        )

    def discount(self) -> float:
        """γ."""
        first, tokens = self.needed("discount")
        if len(tokens) > 1 or not NUMBER.fullmatch(tokens[0]) or not 0 < float(tokens[0]) <= 1:
            self.fail("one number above 0 and at most 1", first)
        return float(tokens[0])

    def sign(self) -> float:
        """1 where the file says rewards, -1 where it says costs."""
        first, tokens = self.needed("values")
        if tokens not in (["reward"], ["cost"]):
            self.fail("'reward' or 'cost'", first)
        return 1.0 if tokens == ["reward"] else -1.0

    def start(self) -> Floats:
        """The distribution of the first state (S,)."""
        states = len(self.names["states"])
        if "start" not in self.preamble:
            return np.full(states, 1 / states)
        first, tokens = self.needed("start")
        is_state = len(tokens) == 1 and tokens[0] in self.numbers["states"]
        if not is_state and len(tokens) == states and all(map(NUMBER.fullmatch, tokens)) and not self.start_kind:
            start_S = np.array(tokens, np.float64)
            if not abs(start_S.sum() - 1) <= TOLERANCE or (start_S < 0).any():
                self.refuse(f"the start sums to {start_S.sum():.6g}; expected 1, and no number below 0", first)
            return start_S if abs(start_S.sum() - 1) <= EXACT else start_S / start_S.sum()
        if tokens == ["uniform"] and not self.start_kind:
            return np.full(states, 1 / states)
        named = [self.numbers["states"].get(token, -1) for token in tokens]
        if min(named) < 0 or (len(named) > 1 and not self.start_kind):
            wrong = next((i for i, state in enumerate(named) if state < 0), 1)
            self.fail(f"{states} probabilities, 'uniform' or a state", first + wrong)
        chosen = np.isin(np.arange(states), named, invert=self.start_kind == "exclude")
        if not chosen.any():
            self.fail("some state that is left", first)
        return chosen / chosen.sum()

    def fill_resets(self, start_S: Floats) -> None:
        """Writes the rows of T that start anew."""
        reached = np.flatnonzero(start_S)
        for action, state, time in self.resets:
            row = np.arange(len(start_S)) if state < 0 else np.array([state])
            self.statements["T"].write(action, state, (row[:, None], reached, start_S[reached]), time)

    def distributions(self, word: str) -> Cells:
        """The cells of T or O, whose rows sum to 1."""
        statements = self.statements[word]
        cells = statements.final(self.fits)
        self.check(word, cells)
        num, rows, _ = statements.shape
        number = cells.matrix * rows + cells.row
        sums = np.bincount(number, cells.value, num * rows)
        wrong = np.flatnonzero(~(abs(sums - 1) <= TOLERANCE))
        if len(wrong):
            action, state = divmod(int(wrong[0]), rows)
            said = np.append(cells.time[number == wrong[0]], statements.written[action, state]).max()
            where = f"action {self.names['actions'][action]!r} and state {self.names['states'][state]!r}"
            self.refuse(f"{word} of {where} sums to {sums[wrong[0]]:.6g}; expected 1", said if said >= 0 else self.at)
        return replace(cells, value=cells.value / np.where(abs(sums - 1) <= EXACT, 1.0, sums)[number])

    def check(self, word: str, cells: Cells) -> None:
        """Refuses what is no probability."""
        wrong = np.flatnonzero(~((cells.value >= 0) & (cells.value <= 1 + TOLERANCE)))
        if len(wrong):
            value, time = cells.value[wrong[0]], int(cells.time[wrong[0]])
            self.refuse(f"{word} of {value:.6g}; expected probabilities from 0 to 1", time)

    def ends(self, transition: Cells, continuing: bool) -> list[Entries] | None:
        """For each action with which probability a transition ends the episode; None where none ever does."""
        said = self.statements["#!ends"].final(self.fits)
        self.check("#!ends", said)
        if continuing and len(said.value):
            self.refuse("#!ends: the file says itself where episodes end; expected continuing=False", int(said.time[0]))
        _, rows, columns = self.statements["T"].shape
        key, wanted = ((cells.matrix * rows + cells.row) * columns + cells.column for cells in (said, transition))
        at = np.searchsorted(key, wanted)
        ends = np.where(np.append(key, -1)[at] == wanted, np.append(said.value, 0.0)[at], 0.0)
        if not continuing:
            ends[self.resets_left(transition)] = 1.0
        if not (ends * transition.value).any():
            return None
        return replace(transition, value=np.where(transition.value > 0, ends, 0.0)).split(len(self.names["actions"]))

    def resets_left(self, transition: Cells) -> Any:
        """The cells of T in rows that `reset` was the last to write."""
        num, rows, _ = self.statements["T"].shape
        reset = np.full((num, rows), -1)
        for action, state, time in self.resets:
            reset[action if action >= 0 else slice(None), state if state >= 0 else slice(None)] = time
        number = transition.matrix * rows + transition.row
        latest = np.full(num * rows, -1)
        np.maximum.at(latest, number, transition.time)
        return (latest == reset.ravel())[number]

    def first(self, observation_AEO: Sequence[Matrix], action: str) -> Matrix | None:
        """Pr(o | s) of the observation before the first action."""
        if action:
            number = self.numbers["actions"].get(action, -1)
            if number < 0:
                listed = ", ".join(self.names["actions"][:20])
                raise UserError(
                    f"first_observation: {action!r} is no action of {self.file}; '' for no observation, or {listed}"
                )
            return observation_AEO[number]
        if not self.statements["#!first"].singles:
            return None
        cells = self.distributions("#!first")
        return matrices(cells.split(1), self.statements["#!first"].shape[1:], f"{self.file}: #!first")[0]
