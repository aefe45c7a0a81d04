"""Writes finite POMDPs in Cassandra's format, as `envs.pomdp_format` reads them."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from envs.finite import FinitePOMDP, Matrix, RewardEntries, entries_of, matrices, row_of
from envs.pomdp_format import EXACT, KINDS, NUMBER, RESERVED


def write_pomdp(pomdp: FinitePOMDP, path: str | Path, *, for_others: bool = False) -> None:
    """Writes a domain, of which `read_pomdp` makes the same arrays.

    Names that the format has no room for are left out: their numbers stand instead.

    Args:
        pomdp: the domain.
        path: of the file.
        for_others: rows with which the episode always ends become `reset`, wherever they lead, and rewards their mean
            by state and action, so that who does not read our comments starts anew there.
    """
    pomdp = _starting_anew(pomdp) if for_others else pomdp
    Path(path).write_text("".join(f"{line}\n" for line in _lines(pomdp)))


def _lines(pomdp: FinitePOMDP) -> Iterator[str]:
    yield f"discount: {pomdp.discount!r}"
    yield "values: reward"
    for kind in KINDS.values():
        names: tuple[str, ...] = getattr(pomdp, kind)
        yield f"{kind}: {' '.join(names) if _writable(names) else len(names)}"
    yield f"start: {' '.join(map(repr, pomdp.start_S.tolist()))}"
    reset_AS = _resets(pomdp)
    for action, transition_SE in enumerate(pomdp.transition_ASE):
        yield from (f"T: {action} : {state} reset" for state in np.flatnonzero(reset_AS[action]))
        yield from _cells("T", action, transition_SE, ~reset_AS[action])
        if pomdp.ends_ASE is not None:
            yield from _cells("#!ends", action, pomdp.ends_ASE[action], ~reset_AS[action])
    for action, observation_EO in enumerate(pomdp.observation_AEO):
        yield from _cells("O", action, observation_EO)
    if pomdp.first_SO is not None:
        yield from (f"#!first: {row} : {column} {value!r}" for row, column, value in _rows(pomdp.first_SO))
    yield from _rewards(pomdp)


def _starting_anew(pomdp: FinitePOMDP) -> FinitePOMDP:
    """The same, but that rows with which the episode always ends lead to a new start."""
    if pomdp.ends_ASE is None:
        return pomdp
    moves, ends = list[Any](), list[Any]()
    reached = np.flatnonzero(pomdp.start_S)
    for action, (transition_SE, ends_SE) in enumerate(zip(pomdp.transition_ASE, pomdp.ends_ASE, strict=True)):
        over = np.flatnonzero(_always_ends(pomdp, action))
        row, column = np.repeat(over, len(reached)), np.tile(reached, len(over))
        for matrix, value, entries in (
            (transition_SE, pomdp.start_S[column], moves),
            (ends_SE, np.ones(len(row)), ends),
        ):
            kept = [field[~np.isin(entries_of(matrix)[0], over)] for field in entries_of(matrix)]
            entries.append(tuple(np.concatenate(both) for both in zip(kept, (row, column, value), strict=True)))
    shape, what = pomdp.transition_ASE[0].shape, "a domain for others"
    anew = {"transition_ASE": matrices(moves, shape, what), "ends_ASE": matrices(ends, shape, what)}
    return replace(pomdp, **anew, reward=None)  # type: ignore[arg-type]


def _writable(names: tuple[str, ...]) -> bool:
    """Whether the format can hold the names, which differ from each other there."""
    return len(set(names)) == len(names) and not any(
        re.search(r"[\s:#]", name) or not name or name in RESERVED or NUMBER.fullmatch(name) for name in names
    )


def _rows(matrix: Matrix) -> list[tuple[int, int, float]]:
    row, column, value = entries_of(matrix)
    return list(zip(row.tolist(), column.tolist(), value.tolist()))


def _cells(word: str, action: int, matrix: Matrix, wanted: Any = None) -> Iterator[str]:
    for row, column, value in _rows(matrix):
        if wanted is None or wanted[row]:
            yield f"{word}: {action} : {row} : {column} {value!r}"


def _resets(pomdp: FinitePOMDP) -> Any:
    """The rows (A, S) with which the episode ends, whatever the state after, and that lead to a new start."""
    shape = len(pomdp.actions), len(pomdp.states)
    reset_AS = np.zeros(shape, bool)
    if pomdp.ends_ASE is None:
        return reset_AS
    for action in range(shape[0]):
        for state in np.flatnonzero(_always_ends(pomdp, action)).tolist():
            reset_AS[action, state] = np.array_equal(row_of(pomdp.transition_ASE[action], state), pomdp.start_S)
    return reset_AS


def _always_ends(pomdp: FinitePOMDP, action: int) -> Any:
    """The states (S,) in which the episode ends with an action, whatever the state after."""
    return np.asarray(pomdp.ending(action).sum(axis=1)).ravel() >= 1 - EXACT


def _rewards(pomdp: FinitePOMDP) -> Iterator[str]:
    """R by action and state, or where it depends on more, as its entries or for each transition that there is."""
    if pomdp.reward is None:
        for state, action in zip(*np.nonzero(pomdp.reward_SA)):
            yield f"R: {action} : {state} : * : * {pomdp.reward_SA[state, action].item()!r}"
    elif isinstance(pomdp.reward, RewardEntries):
        for index, value in zip(pomdp.reward.index_N4.tolist(), pomdp.reward.value_N.tolist()):
            yield f"R: {' : '.join('*' if one < 0 else str(one) for one in index)} {value!r}"
    else:
        for action, (transition_SE, observation_EO) in enumerate(zip(pomdp.transition_ASE, pomdp.observation_AEO)):
            seen: dict[int, list[int]] = {}
            for row, column, _ in _rows(observation_EO):
                seen.setdefault(row, []).append(column)
            for state, after, _ in _rows(transition_SE):
                for obs in seen[after]:
                    paid = float(pomdp.reward(action, state, after, obs))
                    yield f"R: {action} : {state} : {after} : {obs} {paid!r}"
