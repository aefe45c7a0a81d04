"""The flags of scripts that take a finished run's policy."""

from pathlib import Path
from typing import Any

from absl import flags

from utils.config import define_config_flag
from utils.errors import UserError

flags.disclaim_key_flags()  # they belong to the script that asks for them


def define_run() -> flags.FlagHolder[Any]:
    """Defines `--run`, which `utils.app.run` also takes without a flag."""
    return flags.DEFINE_string("run", None, "a run's folder, or its policy or policy_best; may be given without --run=")


def define_domain() -> tuple[flags.FlagHolder[Any], flags.FlagHolder[bool]]:
    """Defines `--config_env` and `--trust`, by which `policies.deployed.trust.config_of` finds the domain."""
    env = define_config_flag("config_env", None, "the domain's config; what the run's own files say if not given")
    what = "import what the run's files name as the domain's module or functions: whoever wrote them runs code"
    return env, flags.DEFINE_boolean("trust", False, what)


def folder_of(run: flags.FlagHolder[Any]) -> Path:
    """What `--run` names.

    Raises:
        UserError: it was not given.
    """
    if run.value is None:
        raise UserError("--run is required: a run's folder")
    return Path(run.value).expanduser()


def run_of(folder: Path) -> Path:
    """The run's folder, of one of its policies too; a policy's own folder where it is of no run, as once published."""
    here = folder.resolve()
    within = here.name in ("policy", "policy_best") and (here.parent / "config.json").is_file()
    return here.parent if within else folder
