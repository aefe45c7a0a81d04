"""Configs as flags: files, variants, overrides, and what a domain asks of a method's config."""

import ast
import importlib.util
import inspect
import keyword
import math
import os
import re
import sys
import traceback
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict
from ml_collections.config_flags import config_flags

from utils.errors import UserError, choose, first_line, suggest

ROOT = Path(__file__).resolve().parent.parent
TASK = (  # fields of a domain's config that make another task of it
    *("kwargs", "horizon", "hidden", "state_fn", "obs_keys", "state_keys", "wrappers", "obs_image", "resize", "gray"),
    *("vector_entry", "action_low", "action_high", "success"),
)

flags.disclaim_key_flags()  # a config flag belongs to the script that asks for it


def define_config_flag(name: str, default: str | None, help: str, *, required: bool = False) -> flags.FlagHolder[Any]:  # noqa: A002
    """Defines `--name=FILE.py` or `--name=FILE.py:VARIANT`, and `--name.field=value` for each of the file's fields.

    FILE is sought from the current directory, then from the repository's root, and defines `get_config()`, or
    `get_config(variant)`. The flag's value is a locked `ConfigDict`. Flags are taken by `utils.app.run`.
    """
    given, sys.argv = sys.argv, sys.argv[:1]  # a --flagfile on it is looked into when flags are taken
    try:
        holder = config_flags.DEFINE_config_file(name, None, help)
    finally:
        sys.argv = given
    flags.FLAGS[name].parser = _ConfigParser(name, default)
    if required:
        flags.mark_flag_as_required(name)
    return holder


def override_values(name: str) -> dict[str, Any]:
    """The fields of config flag `name` that the command line set, as {"field.subfield": value}."""
    flag: Any = flags.FLAGS[name]  # a class of its own, which ml_collections does not export
    return {} if flag.value is None else dict(flag.override_values)


def check_fields(names: Iterable[str], config: ConfigDict, where: str) -> None:
    """Raises a `UserError` that begins with `where` for the first of `names` that is no field of `config`."""
    leaves = set(flatten(config))
    groups = {field[:i] for field in leaves for i, letter in enumerate(field) if letter == "."}
    for name in names:
        bare = name.split("[")[0]
        if bare not in leaves | groups:
            raise UserError(f"{where}: unknown field {bare!r}{_nearest(bare, leaves)}")


def check_leaves(names: Iterable[str], config: ConfigDict, where: str) -> None:
    """Refuses to set a whole group of fields, or one entry of a tuple.

    Raises:
        UserError: names the field.
    """
    for name in names:
        bare, index, _ = name.partition("[")
        value = config
        for part in bare.split("."):
            value = value[part]
        if index and isinstance(value, list | tuple):
            raise UserError(
                f'{where}.{name}: a tuple is given as a whole, as in --{where.lstrip("-")}.{bare}="{value}"'
            )
        if isinstance(value, ConfigDict):
            inside = ", ".join(f"{bare}.{field}" for field in flatten(value))
            raise UserError(f"{where}.{bare}: a group of fields is set field by field; it has {inside or 'none'}")


def check_numbers(
    group: str,
    config: ConfigDict,
    positive: Collection[str],
    shares: Collection[str] = (),
    from_zero: Collection[str] = (),
) -> None:
    """Refuses numbers, or tuples of them, out of range; fields that the config does not have are passed over.

    Args:
        group: such as `rl`, of --config_rl.
        positive, shares, from_zero: dotted names of fields above 0, from 0 to 1, and finite from 0 on.

    Raises:
        UserError: names the field.
    """
    values = flatten(config)
    for names, fits, needed in (
        (positive, lambda x: x > 0, "a number above 0"),
        (shares, lambda x: 0 <= x <= 1, "a number from 0 to 1"),
        (from_zero, lambda x: 0 <= x < math.inf, "a finite number from 0 on"),
    ):
        for name in names:
            value = values.get(name, ())
            if not all(map(fits, value if isinstance(value, tuple) else (value,))):
                raise UserError(f"--config_{group}.{name}={value}: {needed} is needed")


def flatten(config: ConfigDict | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields as {"field.subfield": value}; an empty group is its own leaf."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict | Mapping) and len(value):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def to_dict(config: ConfigDict | Mapping[str, Any]) -> dict[str, Any]:
    """The same fields in plain dicts, lists, numbers, strings and None, as JSON keeps them."""
    return {str(key): _plain(value) for key, value in config.items()}


def warn_of_another_task(flag: str, before: Mapping[str, Any], config_env: ConfigDict) -> None:
    """Warns where what `flag` names was made on the same domain with other settings; `before` are those, if known."""
    was, is_now = (flatten({k: v for k, v in to_dict(each).items() if k in TASK}) for each in (before, config_env))
    if "wrappers" in before:  # of a third party: kwargs are all that was given, and a new field of ours is none of them
        for one, other in ((was, is_now), (is_now, was)):
            for name in [name for name in other if name.startswith("kwargs.")]:
                one.setdefault(name, "the env's own")
            one.pop("kwargs", None)
    differs = [f"{name} = {was[name]}, not {value}" for name, value in is_now.items() if was.get(name, value) != value]
    if differs and before.get("id") == config_env.id:
        warnings.warn(f"{flag} is of {config_env.id} with {', '.join(differs)}", stacklevel=3)


def json_tuples(value: Any) -> Any:
    """Lists as the tuples that they were before json, at any depth."""
    if isinstance(value, Mapping):
        return {key: json_tuples(inner) for key, inner in value.items()}
    return tuple(map(json_tuples, value)) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """One value as JSON keeps it."""
    if isinstance(value, ConfigDict | Mapping):
        return to_dict(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _nearest(name: str, leaves: Collection[str]) -> str:
    """` (did you mean …?)` by the whole dotted name, else by its last part."""
    by_end = {leaf.rsplit(".", 1)[-1]: leaf for leaf in leaves}
    near = suggest(name, leaves)
    if near:
        return near
    end = re.search("'(.*)'", suggest(name.rsplit(".", 1)[-1], by_end))
    return f" (did you mean {by_end[end[1]]!r}?)" if end else f"; choose from {', '.join(sorted(leaves))}"


class _ConfigParser(config_flags.ConfigFileFlagParser):
    """Reads a config file; whatever is wrong with it or with its overrides is a `UserError` that names the flag."""

    def __init__(self, name: str, default_path: str | None) -> None:
        super().__init__(name)
        self.default_path = default_path  # `utils.app.take_flags` puts it on a command line that does not say

    def parse(self, path: str) -> ConfigDict:
        """The locked config of `FILE.py[:VARIANT]`."""
        file, _, variant = path.partition(":")
        given = re.compile(rf"--?(no)?{re.escape(self.name)}\.([^=]+)(?:=(.*))?", re.DOTALL)
        values: dict[str, list[str]] = {}
        for word, after in zip(sys.argv[1:], [*sys.argv[2:], "--"]):
            if match := given.fullmatch(word):
                no, field, value = match.groups()
                alone = "False" if no else "True" if after.startswith("--") else after
                values.setdefault(field, []).append(alone if value is None else value)
        config = load_config(self._find(file), variant, f"--{self.name}={path}", values)
        check_fields(values, config, f"--{self.name}")
        check_leaves(values, config, f"--{self.name}")
        return config.lock()

    def _find(self, file: str) -> Path:
        """The file, from here or from the repository's root."""
        found = from_here_or_root(file)
        if found.is_file():
            return found.resolve()
        folder = next((base / file for base in (Path(), ROOT) if (base / file).parent.is_dir()), ROOT / file).parent
        there = sorted(found.name for found in folder.glob("*.py") if not found.name.startswith("_"))
        hint = f"{suggest(Path(file).name, there)}; {Path(file).parent} has {', '.join(there)}" if there else ""
        raise UserError(f"--{self.name}: no config file {file!r}{hint}")


def from_here_or_root(file: str | os.PathLike[str]) -> Path:
    """A file by its path from here; from the repository's root, where its own files are named so, if there is none."""
    here = Path(file).expanduser()
    return here if here.is_file() or not (ROOT / here).is_file() else ROOT / here


def load_config(file: Path, variant: str, flag: str, given: Mapping[str, Sequence[str]] | None = None) -> ConfigDict:
    """Runs a config file and calls its `get_config`, with the variant unless that is empty.

    The file may name groups that are `OPEN`: to these, what is `given` to a field that they have not is added.

    Raises:
        UserError: begins with `flag`; it does not run, has no such variant, or gives something else than fields.
    """
    spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"{flag}: {file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    with _blaming(file, flag):
        spec.loader.exec_module(module)
    get_config = getattr(module, "get_config", None)
    if not callable(get_config):
        raise UserError(f"{flag}: {file} does not define get_config()")
    with _blaming(file, flag):
        parameters = inspect.signature(get_config).parameters.values()
    variants = getattr(module, "VARIANTS", None)
    if variant and not parameters:
        raise UserError(f"{flag}: this config has no variants; leave out ':{variant}'")
    if variant and isinstance(variants, Mapping | tuple | list):
        choose(dict.fromkeys(map(str, variants)), str(variant), f"{flag}: variant")
    if not variant and any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters):
        among = f"; choose from {', '.join(sorted(variants))}" if variants else ""
        raise UserError(f"{flag}: name a variant, as in {file.name}:NAME{among}")
    with _blaming(file, flag, f"unknown variant {variant!r}" if variant and not variants else ""):
        config = get_config(*([variant] if variant else []))
        config = ConfigDict(dict(config)) if isinstance(config, Mapping) else config
    if not isinstance(config, ConfigDict):
        raise UserError(f"{flag}: get_config() of {file} gives {type(config).__name__}, not a ConfigDict")
    for name, texts in (given or {}).items():
        group, _, field = name.partition(".")
        new = group in getattr(module, "OPEN", ()) and isinstance(config.get(group), ConfigDict)
        named = field.isidentifier() and not keyword.iskeyword(field)
        if new and named and not hasattr(config[group], field):  # nor a method of its own
            with config.unlocked():
                config[group][field] = _value_of(texts, f"{flag.partition('=')[0]}.{name}")
    return config


def _value_of(texts: Sequence[str], flag: str) -> Any:
    """What the last of texts is whose type nothing tells: a number, a truth value, a tuple of such, or else a text."""
    values = [_literal(text, flag) for text in texts]
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return float(values[-1])
    if len(kinds) > 1:
        raise UserError(f"{flag}: given as {texts[0]!r} and as {texts[-1]!r}, which are of two kinds; give it once")
    return values[-1]


def _literal(text: str, flag: str) -> Any:
    """See `_value_of`."""
    word = text.strip().lower()
    if word in ("true", "false"):
        return word == "true"
    if re.fullmatch(r"[+-]?(nan|inf|infinity)", word):
        return float(word)
    try:
        value = ast.literal_eval("None" if word == "none" else text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    kinds = bool | int | float | str
    inside = value if isinstance(value, tuple | list) else (value,)
    if not all(isinstance(one, kinds) for one in inside):
        raise UserError(f"{flag}={text}: a number, a text, True or False, or a tuple of such is needed")
    if isinstance(value, str):
        raise UserError(f"{flag}={text}: a text is given without quotes of its own; one of digits, in a config file")
    return tuple(value) if isinstance(value, list) else value


@contextmanager
def _blaming(file: Path, flag: str, lookup: str = "") -> Iterator[None]:
    """Has what a config file raises name the file and the line in it; a failed look-up is `lookup`, where given."""
    try:
        yield
    except SyntaxError as error:
        raise UserError(f"{flag}: {error.filename or file}, line {error.lineno}: {error.msg}") from error
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if lookup and isinstance(error, KeyError | ValueError):
            raise UserError(f"{flag}: {lookup} ({error})") from error
        own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        where = f", line {own[-1]}" if own else ""
        raise UserError(f"{flag}: {file}{where}: {type(error).__name__}: {first_line(error)}") from error
