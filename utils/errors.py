"""Errors that a user can mend: raised anywhere, printed as one line by `utils.app.run`."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from utils.stopping import Stopped

T = TypeVar("T")


class UserError(Exception):
    """Bad input. The message is one line that names the flag or field and the valid choices; the exit code is 2."""


class NoExpertError(UserError):
    """The domain has no expert to ask."""


class DivergenceError(Exception):
    """The loss is no longer finite. The script exits with 3 and leaves the last good checkpoint in place."""


class ForeignError(Exception):
    """Code of others has raised its cause, which is shown as it is; the message names the field that asks for the code.

    The exit code is 1.
    """


@contextmanager
def staying() -> Iterator[None]:
    """Has a `sys.exit()` in code of others be an error like any other; a stop signal ends the script all the same.

    Raises:
        RuntimeError: in its place.
    """
    try:
        yield
    except Stopped:
        raise
    except SystemExit as error:
        raise RuntimeError(f"it called sys.exit({'' if error.code is None else repr(error.code)})") from error


@contextmanager
def blaming(field: str, name: str) -> Iterator[None]:
    """Has what code of others raises name the field of a config that asks for the code, and what it is called.

    Raises:
        ForeignError: it raised something else than a `UserError`.
    """
    try:
        with staying():
            yield
    except (UserError, ForeignError):
        raise
    except Exception as error:
        raise ForeignError(f"{field}: {name} raised {type(error).__name__}: {first_line(error)}") from error


def choose(table: Mapping[str, T], name: str, what: str, place: str | None = None) -> T:
    """Returns `table[name]`; a name that is not there is answered with the right ones.

    Raises:
        UserError: `name` is not a key of `table`; `what` names the flag or field, `place` the file of the table where
            a user may add to it.
    """
    if not isinstance(name, str) or name not in table:
        new = "" if place is None else f"; a new one is a line in {place}"
        raise UserError(f"{what}: unknown value {name!r}{suggest(name, table)}; choose from {_listed(table)}{new}")
    return table[name]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(name or "''" for name in names))


def choose_name(names: tuple[str, ...], name: str, what: str) -> str:
    """Returns `name` if it is one of `names`, else raises a `UserError`."""
    return choose({n: n for n in names}, name, what)


def at_least_one(sizes: Mapping[str, int | tuple[int, ...]]) -> None:
    """Refuses widths and numbers of layers below 1.

    Raises:
        UserError: begins with the name of the first such.
    """
    for name, size in sizes.items():
        if min(size if isinstance(size, tuple) else (size,), default=1) < 1:
            raise UserError(f"{name}={size}: at least 1 is needed")


def check_written(kind: type, base: type, *methods: str) -> None:
    """Refuses a class that lacks what its base leaves to be written, as where a name is misspelt.

    Raises:
        UserError: names the class and the methods.
    """
    if lacking := [name for name in methods if getattr(kind, name) is getattr(base, name)]:
        raise UserError(f"{kind.__name__} lacks {', '.join(lacking)}, which {base.__name__} leaves to be written")


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def suggest(name: str, choices: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)` for the nearest of `choices`, or nothing where none is near."""
    near = difflib.get_close_matches(str(name), list(choices), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
