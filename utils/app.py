"""The frame around every script: takes the flags, calls `main`, turns errors that a user can mend into one line."""

import errno
import itertools
import math
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO

from absl import flags

from utils.errors import DivergenceError, ForeignError, UserError, first_line, suggest
from utils.standards import check_kind
from utils.stopping import UNFINISHED, Stopped, handling, never_lost

flags.disclaim_key_flags()  # a flag belongs to the script that asks for it

GREATEST_SEED = 2**63 - 1  # that all generators take
CRASHED = 1
USER_ERROR = 2
DIVERGED = 3
INTERRUPTED = 130
CLOSED_PIPE = 141

# What a full disk, a missing permission or an odd path says; any other OSError is a defect and keeps its traceback.
_MENDABLE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.EEXIST,
}
_TORCH_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "Storage size calculation overflowed")
LESS_MEMORY = "choose a smaller --config_rl.replay_steps, --num_envs, --batch_size or smaller networks"


def run(main: Callable[[], None], positional: str = "") -> NoReturn:
    """Takes the flags from the command line, calls `main` and exits.

    The exit code is 0, 2 for input that the user can mend, 3 when the loss diverged, 75 after SIGTERM or SIGUSR1 and
    130 after Ctrl-C; what has something to save at a signal listens itself (`utils.stopping`). Import what is slow
    (torch, the policies) inside `main`, so that `--help` and a wrong flag are answered at once.

    Args:
        main: the script.
        positional: the flag to which arguments go that are no flags, as many as there are if it is a list, else one;
            without it there may be none.
    """
    warnings.showwarning = _show_warning
    try:
        if _asks_for_help(sys.argv[1:]):
            sys.stdout.write(help_text())
        else:
            with never_lost(), handling(_end, (signal.SIGTERM, signal.SIGUSR1)):
                take_flags(sys.argv, positional)
                main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CLOSED_PIPE)
    except (Exception, KeyboardInterrupt) as error:
        known = explain(error)
        if known is None:
            raise
        _fail(*known)
    sys.exit(0)


def explain(error: BaseException) -> tuple[str, int] | None:
    """What to tell the user of an error, and the exit code; None for a defect, which keeps its traceback.

    That of code of others is shown here.
    """
    if isinstance(error, ForeignError):
        traceback.print_exception(error.__cause__ or error)
        return str(error), CRASHED
    if isinstance(error, UserError):
        return str(error), USER_ERROR
    if isinstance(error, DivergenceError):
        return str(error), DIVERGED
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if isinstance(error, OSError) and error.errno in _MENDABLE:
        return _describe(error), USER_ERROR
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return f"out of memory ({first_line(error)}); {LESS_MEMORY}", USER_ERROR
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether torch could not have the memory that it asked for; its error is none of Python's kind."""
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TORCH_OUT_OF_MEMORY)


def take_flags(argv: Sequence[str], positional: str = "") -> None:
    """Parses the command line `argv` (the script's name first) into `flags.FLAGS`.

    Args:
        argv: the command line.
        positional: as in `run`; not a flag that is marked as required.

    Raises:
        UserError: an unknown, malformed or missing flag, or an argument that is not a flag.
    """
    argv = _with_files(argv)
    sys.argv = list(argv)  # where config flags look for their fields
    defaults = []
    for name in flags.FLAGS:
        default = getattr(flags.FLAGS[name].parser, "default_path", None)
        if default is not None and not any(a.lstrip("-").split("=")[0] == name for a in argv[1:] if a.startswith("-")):
            defaults.append(f"--{name}={default}")
    lists = {name: given for name in flags.FLAGS if (given := _repeated(name, argv))}
    try:
        rest = flags.FLAGS([argv[0], *defaults, *argv[1:]])
    except flags.UnrecognizedFlagError as error:
        raise UserError(_unknown_flag(error.flagname)) from error
    except flags.IllegalFlagValueError as error:
        raise UserError(_bad_value(str(error))) from error
    except flags.Error as error:
        raise UserError(str(error)) from error
    for name in flags.FLAGS:
        value = flags.FLAGS[name].value
        if isinstance(value, float) and math.isnan(value):
            raise UserError(f"--{name}=nan: a number is needed")
        if hasattr(flags.FLAGS[name].parser, "default_path") and value is not None:
            check_kind(name.removeprefix("config_"), value, f"--{name}")
    for name, given in lists.items():
        flags.FLAGS[name].value = given
    words = rest[1:]
    if words and positional:
        flag = flags.FLAGS[positional]
        if isinstance(flag.parser, flags.BaseListParser):
            flag.value, words = [*(flag.value or []), *words], []
        elif flag.value is None:
            flag.value = words.pop(0)
    if words:
        raise UserError(f"unexpected argument {words[0]!r}: every input is a flag, --name=value (see --help)")


def _with_files(argv: Sequence[str]) -> list[str]:
    """The command line with the lines of each --flagfile in its place.

    Raises:
        UserError: such a file cannot be read.
    """
    try:
        return [argv[0], *flags.FLAGS.read_flags_from_files(list(argv[1:]))]
    except (flags.Error, OSError, UnicodeDecodeError) as error:
        raise UserError(f"--flagfile: {first_line(error)}") from error


def _repeated(name: str, argv: Sequence[str]) -> list[str]:
    """The entries of a list flag that was given more than once, all of them; none of another flag."""
    flag = flags.FLAGS[name]
    if not isinstance(flag.parser, flags.BaseListParser):
        return []
    words = list(argv[1 : argv.index("--") if "--" in argv else None])
    given = [word.split("=", 1)[1] for word in words if re.match(rf"--?{re.escape(name)}=", word)]
    given += [after for word, after in itertools.pairwise(words) if word in (f"--{name}", f"-{name}")]
    return [entry for text in given for entry in flag.parser.parse(text)] if len(given) > 1 else []


def define_seed(default: int, help: str) -> flags.FlagHolder[int]:  # noqa: A002
    """Defines `--seed`, within what all generators take."""
    return flags.DEFINE_integer("seed", default, help, lower_bound=0, upper_bound=GREATEST_SEED)


def help_text() -> str:
    """The script's docstring and its own flags, one paragraph each."""
    script = sys.modules["__main__"]
    lines = [(script.__doc__ or sys.argv[0]).strip(), "", "Flags:"]
    for flag in sorted(flags.FLAGS.get_key_flags_for_module(sys.argv[0]), key=lambda flag: str(flag.name)):
        default = flag.default if flag.default is not None else getattr(flag.parser, "default_path", None)
        shown = "" if default is None or default == "" else f" (default: {default})"
        lines.append(f"  --{'[no]' if flag.boolean else ''}{flag.name}: {flag.help}{shown}")
    return "\n".join(lines) + "\n"


def _asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether the user asks how the script is called; `--helpfull` and its like are taken as `--help`."""
    return any(a.lstrip("-").split("=")[0] in ("help", "helpfull", "helpshort", "h") for a in arguments if a[:1] == "-")


def _unknown_flag(name: str) -> str:
    """What to say of a flag that is not there."""
    owner = name.removeprefix("no").split(".")[0] if name.startswith("no") else name.split(".")[0]
    if "." in name and owner in flags.FLAGS and hasattr(flags.FLAGS[owner].parser, "default_path"):
        return f"--{name}: give --{owner}=FILE first; its fields are known once it is read"
    known = [flag for flag in flags.FLAGS if not flag.startswith("?")]
    return f"unknown flag --{name}{suggest(name, known)}; --help lists them"


def _bad_value(message: str) -> str:
    """`flag --x=y: why` as absl says it; a required flag without a value is said more plainly."""
    if message.endswith("must have a value other than None."):
        return f"--{message.split('--')[1].split('=')[0]} is required"
    return message.removeprefix("flag ")


def _describe(error: OSError) -> str:
    """One line that names the path of a failed read or write."""
    paths = [os.fspath(path) for path in (error.filename, error.filename2) if isinstance(path, str | os.PathLike)]
    where = f"{' -> '.join(paths)}: " if paths else ""
    return f"{where}{os.strerror(error.errno or 0)}"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as one line, without the source line that gave it."""
    _tell(f"warning: {message}")


def _end(number: int) -> NoReturn:
    """Ends the script at a stop signal that nothing in it listens to."""
    _tell(f"stopped by {signal.Signals(number).name}")
    raise Stopped(UNFINISHED)


def _fail(message: str, code: int) -> NoReturn:
    """Says why on stderr, in one line, and exits."""
    _tell(f"error: {message}")
    sys.exit(code)


def _tell(message: Any) -> None:
    """Writes one line to stderr."""
    sys.stderr.write(" ".join(str(message).split()) + "\n")
