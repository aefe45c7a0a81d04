"""What a domain is called in names and reports."""

from pathlib import Path
from typing import Any

FILES = "PomdpFile-v0"


def domain_name(env_id: str, kwargs: Any) -> str:
    """Its id; of a file in Cassandra's format, which all share one, the file's name.

    Args:
        env_id: the id.
        kwargs: of its config; anything else has no file.
    """
    path = kwargs.get("path") if hasattr(kwargs, "get") else None
    name = Path(path).stem if env_id == FILES and isinstance(path, str) else ""
    return name if name and name.isprintable() else env_id
