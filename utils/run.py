"""A run's folder: what was asked, what came of it, and who may write into it."""

import contextlib
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from utils.config import ROOT, flatten, to_dict
from utils.errors import UserError, first_line
from utils.files import atomic_write, lock_folder, write_json
from utils.standards import with_new_fields

# Variables by which libraries are told to use other instructions than the processor's widest; results round by them.
INSTRUCTIONS = ("MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
PACKAGES = ("torch", "numpy", "gymnasium")
UNKNOWN = "unknown"


@dataclass
class Run:
    """One folder: `config.json`, `metrics.jsonl`, `checkpoint/`, `policy/`, `films/` and, once done, `summary.json`.

    Attributes:
        folder: where everything is.
        resumed: whether the folder already held this run.
        grown: fields that are greater now than when it was begun, with what they were.
    """

    folder: Path
    resumed: bool = False
    grown: dict[str, int] = field(default_factory=dict)
    _lock: int = field(default=-1, repr=False)
    _asked: Callable[[], dict[str, Any]] = field(default=dict, repr=False)  # what `config.json` is to hold

    @classmethod
    def create(
        cls,
        save_dir: str | os.PathLike[str],
        name: str,
        config: Mapping[str, Any],
        command: Sequence[str],
        may_differ: Sequence[str] = (),
        may_grow: Sequence[str] = (),
        digest_of: Mapping[str, str] | None = None,
    ) -> "Run":
        """Makes `save_dir/name`, or takes it up again where it holds a run of the same config, and locks it.

        A folder with no file but `config.json` holds nothing of a run, as where it was refused at once: it is begun
        anew.

        Args:
            save_dir: the folder of all runs.
            name: the run's name; it may contain slashes.
            config: all that decides what comes out, resolved; nested. Fields of `rl` and `seq` that are newer than the
                run are taken to have been at their defaults. A field `<name>_sha256` is the digest of what `<name>`
                names, and is compared in its place where both sides know it.
            command: the command line.
            may_differ: dotted fields or groups in which a resumed run may differ from what `config.json` says.
            may_grow: dotted fields that a resumed run may have greater, such as its length: see `go_on`.
            digest_of: digests of another name, and the field in whose place each is compared.

        Raises:
            UserError: the folder cannot be written, holds another run, or belongs to a process that is still running.
        """
        folder = Path(save_dir).expanduser() / name
        now, digests = to_dict(config), dict(digest_of or {})
        try:
            for part in ("checkpoint", "policy", "films"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            run = cls(folder, _lock=lock_folder(folder), _asked=partial(_record, now, command))
            with contextlib.ExitStack() as on_refusal:
                on_refusal.callback(run.close)
                run.resumed = run.config_path.exists() and run._has_begun()
                if run.resumed:
                    run._compare(now, may_differ, may_grow, digests)
                else:
                    run._keep_config()
                on_refusal.pop_all()
        except OSError as error:
            raise UserError(f"--save_dir: cannot write into {folder}: {error.strerror or error}") from error
        return run

    @property
    def config_path(self) -> Path:
        """All configs resolved, command, git revision, versions and processor."""
        return self.folder / "config.json"

    @property
    def metrics_path(self) -> Path:
        """One JSON object a line."""
        return self.folder / "metrics.jsonl"

    @property
    def summary_path(self) -> Path:
        """Written last: it marks the run as finished."""
        return self.folder / "summary.json"

    @property
    def checkpoint_dir(self) -> Path:
        """For `utils.checkpoint`."""
        return self.folder / "checkpoint"

    @property
    def policy_dir(self) -> Path:
        """For the policy to keep: safetensors and json."""
        return self.folder / "policy"

    @property
    def films_dir(self) -> Path:
        """For GIFs."""
        return self.folder / "films"

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end, so that there is nothing to resume."""
        return self.summary_path.exists()

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Writes `summary.json`, after which the run counts as finished, and keeps one checkpoint, to go on from."""
        from utils.checkpoint import keep_newest  # loads torch, which who reads folders can do without

        write_json(self.summary_path, to_dict(summary))
        keep_newest(self.checkpoint_dir)

    def close(self) -> None:
        """Lets another process have the folder; the end of the process does so too."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _has_begun(self) -> bool:
        """Whether there is anything beside what was asked for."""
        return any(set(names) - {"config.json", ".lock"} for _, _, names in os.walk(self.folder))

    def put_aside(self, what: int | str) -> None:
        """Keeps what the run came to, at a length or otherwise, under another name: it is not finished any more."""
        if self.finished:
            self.summary_path.rename(self.folder / f"summary_{what}.json")

    def go_on(self) -> None:
        """Where a field has grown: `summary.json` becomes `summary_<before>.json`, and `config.json` has the new value.

        To be called once nothing can be refused any more, since from then on the run is not finished.
        """
        if self.grown:
            self.put_aside(next(iter(self.grown.values())))
            self._keep_config()

    def _keep_config(self) -> None:
        atomic_write(self.config_path, json.dumps(self._asked(), indent=2) + "\n")

    def _compare(
        self, now: Mapping[str, Any], may_differ: Sequence[str], may_grow: Sequence[str], digest_of: Mapping[str, str]
    ) -> None:
        """Refuses a folder that holds something else than this run."""
        flag = f"--run_name: {self.folder} already holds a run"
        try:
            stored = dict(json.loads(self.config_path.read_text())["config"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            why = f"{type(error).__name__}: {first_line(error)}"
            raise UserError(f"{flag}, but its config.json is damaged ({why}); choose another --run_name") from error
        before, after = (flatten(with_new_fields(side)) for side in (stored, json.loads(json.dumps(now))))
        unlike = list(may_differ)
        for digest in [name for name in after if name.endswith("_sha256")]:
            of = digest_of.get(digest, digest.removesuffix("_sha256"))
            unlike.append(of if before.get(digest) and after[digest] else digest)
        for name in dict.fromkeys([*after, *before]):
            if any(name == free or name.startswith(f"{free}.") for free in unlike):
                continue
            was, is_now = (json.dumps(side[name]) if name in side else "nothing" for side in (before, after))
            if name in may_grow and isinstance(before.get(name), int) and before[name] < after.get(name, 0):
                self.grown[name] = before[name]
                continue
            if was != is_now and {was, is_now} not in ({"nothing", "[]"}, {"nothing", '""'}):  # which ask for nothing
                raised = ", or raise it" if name in may_grow else ""
                raise UserError(f"{flag} with {name} = {was}, not {is_now}; choose another --run_name{raised}")


def check_name(name: str | None, flag: str) -> None:
    """Refuses the name of a folder within another that would lie outside of it, or be that one; None is no name.

    Raises:
        UserError: names `flag`.
    """
    if name is None:
        return
    parts = name.split("/")
    if any(part.strip() in ("", ".", "..") for part in parts) or not name.isprintable():
        raise UserError(f"{flag}={name!r}: a name within --save_dir is needed, without '..', and no path from the root")


def git_revision() -> str:
    """The commit of this code, with `-dirty` where tracked files differ from it; `unknown` outside of a checkout."""
    top, revision = UNKNOWN, UNKNOWN
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        top, revision = _git("rev-parse", "--show-toplevel", "HEAD").split("\n")
        if _git("status", "--porcelain", "--untracked-files=no"):
            revision += "-dirty"
    return revision if Path(top).resolve() == ROOT else UNKNOWN


def _record(config: Mapping[str, Any], command: Sequence[str]) -> dict[str, Any]:
    """What `config.json` holds."""
    return {
        "config": config,
        "command": shlex.join(command),
        "git_revision": git_revision(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "processor": processor(),
        "instructions": {name: os.environ[name] for name in INSTRUCTIONS if name in os.environ},
    }


def processor() -> str:
    """The name of this machine's processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or UNKNOWN


def _version(package: str) -> str:
    """The installed version of a package, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return UNKNOWN


def _git(*arguments: str) -> str:
    """What git says of the repository of this code."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
