"""A policy as files: what `main.py` writes for others to act by, and the published files of the public code."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from ml_collections import ConfigDict
from safetensors import SafetensorError
from torch import Tensor

from envs.base import EnvSpec
from policies.acting.embedded_envs import STATE
from policies.build import build_policy
from policies.models import published
from policies.models.policy import HistoryPolicy
from policies.models.sources import Sources
from policies.models.trunk import kept_of, try_kept
from torchkit.networks import misfit
from utils.config import json_tuples, to_dict
from utils.errors import UserError, first_line
from utils.files import atomic_write, content_digest
from utils.standards import check_kind, check_like, with_new_fields
from utils.tensors import load_tensors, save_tensors

POLICY_FORMAT = 2
LONGEST = 10_000_000  # steps of an episode
SPEC = {"env_id": "", "obs_dim": 1, "state_dim": 1, "action_dim": 1, "discrete": True, "max_episode_steps": 1}


def save_policy(folder: Path, policy: HistoryPolicy, spec: EnvSpec, config: ConfigDict, extra: dict[str, Any]) -> None:
    """Writes `policy.safetensors` and `policy.json`, which says how to rebuild it; nothing in them sees the state."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / "policy.safetensors", policy.state_dict())
    groups = {name: to_dict(config[name]) for name in ("env", "rl", "seq", "repr") if config.get(name) is not None}
    views = {"folds": list(policy.public.folds), "shortcuts": list(policy.public.shortcuts)}
    about = {"format": POLICY_FORMAT, "spec": spec.to_json(), "config": groups, "views": views} | extra
    about |= policy.public.kept
    atomic_write(folder / "policy.json", json.dumps(about, indent=2) + "\n")


def load_policy(
    folder: str, spec: EnvSpec | None = None, config: ConfigDict | None = None, flag: str = "--policy_dir"
) -> tuple[HistoryPolicy, dict[str, Any]]:
    """Reads what `save_policy` wrote: the policy, and the content of its json with fields that are newer.

    A published .pt file has no json: it needs the domain's sizes and the configs that it is to be built from. `flag` is
    how the user named the folder, for errors.

    Raises:
        UserError: nothing there, damaged files, or a policy of a domain of other sizes.
    """
    path = Path(folder).expanduser()
    if path.suffix == published.SUFFIX and not path.is_dir() and spec is not None and config is not None:
        return load_published_policy(path, spec, config)
    path = _folder_of(path)
    try:
        about, saved, kept, tensors = _read(path, flag)
        horizon = saved.max_episode_steps if spec is None else max(saved.max_episode_steps, spec.max_episode_steps)
        sources = Sources(
            replace(saved, max_episode_steps=horizon), ConfigDict(json_tuples(about["config"])), kept=kept
        )
        views = {name: tuple(about["views"][name]) for name in ("folds", "shortcuts")}
        with torch.device("meta"), _blaming_sizes():  # there they cost nothing, whatever they are
            try_kept(sources)
            wrong = misfit(build_policy(sources, **views), tensors)
        if wrong is not None:
            raise UserError(f"its two files do not fit ({wrong})")
        policy = build_policy(sources, **views)
        policy.load_state_dict(tensors)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{flag}: no policy in {folder} ({Path(str(error.filename)).name} is missing)") from error
    except UserError as error:
        if str(error).startswith(f"{flag}: "):
            raise
        raise UserError(f"{flag}: the policy in {path} is damaged: {error}") from error
    if spec is not None:
        check_fits(about, spec, flag)
    return policy.eval(), about


def policy_digest(folder: str) -> str | None:
    """SHA-256 of the weights of a policy; None where there is none."""
    try:
        return content_digest([_folder_of(Path(folder).expanduser()) / "policy.safetensors"])
    except OSError:
        return None


def _folder_of(path: Path) -> Path:
    """The policy's folder, of a run or itself."""
    return path / "policy" if (path / "policy" / "policy.json").exists() else path


def check_fits(about: Mapping[str, Any], spec: EnvSpec, flag: str) -> None:
    """Refuses a domain of other sizes than those that a policy was made for.

    Raises:
        UserError: names `flag`, by which the user named the policy.
    """
    saved, row = about["spec"], about["config"]["rl"]
    if saved["discrete"] != spec.discrete:
        kinds = {True: "discrete", False: "continuous"}
        raise UserError(f"{flag}: a policy of {kinds[saved['discrete']]} actions; {spec.env_id}'s are not")
    if (spec.obs_dim, spec.action_dim) == (saved["obs_dim"], saved["action_dim"]):
        return
    if sees_state(about):
        raise UserError(
            f"{flag}: a teacher that sees {saved['obs_dim']} numbers of the state and takes {saved['action_dim']} "
            f"actions; {spec.env_id} has {spec.state_dim} and {spec.action_dim}"
        )
    if row.get("observe") and spec.action_dim == saved["action_dim"]:
        raise UserError(
            f"{flag}: {row['family']}:{row['variant']} acts on embeddings; give its --config_rl, and the embedders "
            "that it was trained with"
        )
    raise UserError(
        f"{flag}: a policy for {saved['obs_dim']} observations and {saved['action_dim']} actions; "
        f"{spec.env_id} has {spec.obs_dim} and {spec.action_dim}"
    )


def sees_state(about: Mapping[str, Any]) -> bool:
    """Whether a saved policy is a teacher, which acts on the state."""
    return tuple(about["config"]["rl"].get("observe", ())) == STATE


def check_deployable(about: Mapping[str, Any], flag: str) -> None:
    """Refuses what acts on the state.

    Raises:
        UserError: begins with `flag`, by which the user named the policy.
    """
    if sees_state(about):
        row = about["config"]["rl"]
        raise UserError(
            f"{flag}: {row['family']}:{row['variant']} acts on the state, which nobody has who deploys it; it can "
            "teach, by --expert_policy_dir"
        )


@contextmanager
def _blaming_sizes() -> Iterator[None]:
    """Has a size that no tensor can have be input that the user can mend."""
    try:
        yield
    except (RuntimeError, TypeError, OverflowError) as error:
        if "overflow" not in str(error).lower():
            raise
        raise UserError(f"a size is out of range ({first_line(error)})") from error


def _read(path: Path, flag: str) -> tuple[dict[str, Any], EnvSpec, dict[str, Any], dict[str, Tensor]]:
    """The content of both files, looked through: the json with newer fields, sizes, how views are built, weights.

    Raises:
        UserError: something in them is not as `save_policy` writes it.
        OSError: a file is missing.
    """
    try:
        about = json.loads((path / "policy.json").read_text())
        if about["format"] != POLICY_FORMAT:
            raise UserError(
                f"{flag}: the policy in {path} has format {about['format']}, this version reads {POLICY_FORMAT}"
            )
        if not {"rl", "seq"} <= about["config"].keys():
            raise ValueError("its config lacks rl or seq")
        about["config"] = with_new_fields(about["config"])
        ConfigDict(json_tuples(about["config"]))  # which refuses names that no field can have
        for group in ("env", "rl", "seq"):
            if group in about["config"]:
                check_kind(group, about["config"][group], f"config.{group}")
        saved = EnvSpec(**json_tuples(about["spec"]))
        check_like(asdict(saved), SPEC, "spec")
        for shape, size in ((saved.obs_image_shape, saved.obs_dim), (saved.state_image_shape, saved.state_dim)):
            if shape is not None:
                check_like({"shape": shape}, {"shape": (1, 1, 1)}, "spec")
                if len(shape) != 3 or min(shape) < 1 or math.prod(shape) != size:
                    raise ValueError(f"its spec has an image of {shape} and {size} numbers")
        if not 1 <= saved.max_episode_steps <= LONGEST or min(saved.obs_dim, saved.state_dim, saved.action_dim) < 1:
            raise ValueError(f"its spec has sizes out of range, {saved}")
        kept = kept_of(about)
        for name in ("folds", "shortcuts"):
            check_like(about["views"], {name: [""]}, "views")
        tensors = load_tensors(path / "policy.safetensors")
        deep = about["config"]["seq"].get("kwargs", {}).get("layers", 1)
        if deep > len(tensors):
            raise ValueError(f"{deep} layers of {len(tensors)} tensors")
    except UserError:
        raise
    except (KeyError, AttributeError, TypeError, ValueError, RecursionError, SafetensorError) as error:
        raise UserError(
            f"{flag}: the policy in {path} is damaged ({type(error).__name__}: {first_line(error)})"
        ) from error
    return about, saved, kept, tensors


def settings_of(about: Mapping[str, Any], flag: str = "--run") -> dict[str, Any]:
    """The paths of the embedders with which a policy was trained, None where there were none.

    Raises:
        UserError: they are damaged.
    """
    settings = about.get("settings", {})
    found = (
        {name: settings.get(name) for name in ("state_embedder", "obs_embedder")} if isinstance(settings, dict) else {}
    )
    if not found or not all(isinstance(path, str | None) for path in found.values()):
        raise UserError(f"{flag}: the settings in policy.json are damaged")
    return found


def load_published_policy(file: Path, spec: EnvSpec, config: ConfigDict) -> tuple[HistoryPolicy, dict[str, Any]]:
    """The policy in a .pt file of the public code, built from the configs, and what would be the content of its json.

    Raises:
        UserError: see `published.policy_tensors` and `published.fill_policy`.
    """
    z_obs, tensors = published.policy_tensors(file, spec)
    policy = build_policy(Sources(spec, config, kept={"z_obs": z_obs}))
    published.fill_policy(policy, tensors, file)
    groups = {name: to_dict(config[name]) for name in ("rl", "seq")}
    return policy.eval(), {"config": groups | {"env": {"id": "a domain that it does not name"}}}
