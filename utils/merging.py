"""Settings of the domain written into those of method and memory."""

from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from utils.config import check_fields, flatten
from utils.errors import UserError


def apply_domain(
    config_rl: ConfigDict,
    config_env: ConfigDict,
    family: str,
    overridden: Collection[str],
    variant: str = "",
) -> None:
    """Writes the domain's settings of a family, `config_env.rl[family]`, into `config_rl`, below the command line.

    Above them come those of one row of the family, `config_env.rl["family:variant"]`.

    Args:
        config_rl: the family's config, changed in place; may be locked.
        config_env: a domain's config; `rl` maps a family to its fields, nested or by dotted name.
        family: such as `dqn`; a domain that does not name it changes nothing.
        overridden: fields of `config_rl` that the command line set, kept as they are.
        variant: the row, such as `mi`.

    Raises:
        UserError: a field that `config_rl` has not, or a value of another type.
    """
    for name in (family, f"{family}:{variant}"):
        values = config_env.get("rl", {}).get(name, {})
        _write(values, config_rl, overridden, f"--config_env: rl.{name} of {config_env.get('id', 'the domain')}")


def apply_domain_memory(config_seq: ConfigDict, config_env: ConfigDict, overridden: Collection[str]) -> None:
    """Writes the domain's settings of every memory, `config_env.seq`, into `config_seq`, below the command line.

    Raises:
        UserError: a field that `config_seq` has not, or a value of another type.
    """
    where = f"--config_env: seq of {config_env.get('id', 'the domain')}"
    _write(config_env.get("seq", {}), config_seq, overridden, where)


def _write(values: ConfigDict | Mapping[str, Any], config: ConfigDict, overridden: Collection[str], where: str) -> None:
    """Writes fields, nested or by dotted name, but for those of `overridden`."""
    flat = flatten(values)
    check_fields(flat, config, where)
    for field, value in flat.items():
        if any(field == kept or field.startswith((f"{kept}.", f"{kept}[")) for kept in overridden):
            continue
        *parents, leaf = field.split(".")
        parent = config
        for part in parents:
            parent = parent[part]
        try:
            parent[leaf] = value
        except (TypeError, ValueError) as error:
            kind = type(parent[leaf]).__name__
            raise UserError(f"{where}: {field} is a {kind}, not {value!r}") from error
