"""A policy as files: what `main.py` writes for others to act by, and the published files of the public code."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from safetensors import SafetensorError

from envs.base import EnvSpec
from policies.build import build_policy
from policies.models import published
from policies.models.policy import HistoryPolicy
from policies.models.sources import Sources
from policies.models.trunk import kept_of
from torchkit.networks import misfit
from utils.config import json_tuples, to_dict
from utils.errors import UserError, first_line
from utils.files import atomic_write
from utils.standards import with_new_fields
from utils.tensors import load_tensors, save_tensors

POLICY_FORMAT = 2


def save_policy(folder: Path, policy: HistoryPolicy, spec: EnvSpec, config: ConfigDict, extra: dict[str, Any]) -> None:
    """Writes `policy.safetensors` and `policy.json`, which says how to rebuild it; nothing in them sees the state."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / "policy.safetensors", policy.state_dict())
    groups = {name: to_dict(config[name]) for name in ("env", "rl", "seq", "repr") if config.get(name) is not None}
    views = {"folds": list(policy.public.folds), "shortcuts": list(policy.public.shortcuts)}
    about = {
        "format": POLICY_FORMAT,
        "spec": asdict(spec),
        "config": groups,
        "views": views,
        **extra,
        **policy.public.kept,
    }
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
    path = Path(folder)
    if path.suffix == published.SUFFIX and not path.is_dir() and spec is not None and config is not None:
        return load_published_policy(path, spec, config)
    path = path / "policy" if (path / "policy" / "policy.json").exists() else path
    try:
        about = json.loads((path / "policy.json").read_text())
        if about["format"] != POLICY_FORMAT:
            raise UserError(
                f"{flag}: the policy in {path} has format {about['format']}, this version reads {POLICY_FORMAT}"
            )
        if not {"rl", "seq"} <= about["config"].keys():
            raise ValueError("its config lacks rl or seq")
        saved = EnvSpec(**json_tuples(about["spec"]))
        kept = kept_of(about)
        views = {name: tuple(about["views"][name]) for name in ("folds", "shortcuts")}
        tensors = load_tensors(path / "policy.safetensors")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{flag}: no policy in {folder} ({Path(str(error.filename)).name} is missing)") from error
    except (KeyError, AttributeError, TypeError, ValueError, SafetensorError) as error:
        why = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"{flag}: the policy in {path} is damaged ({why})") from error
    about["config"] = with_new_fields(about["config"])
    horizon = saved.max_episode_steps if spec is None else max(saved.max_episode_steps, spec.max_episode_steps)
    sources = Sources(
        replace(saved, max_episode_steps=horizon),
        ConfigDict(json_tuples(about["config"])),
        kept=kept,
    )
    policy = build_policy(sources, **views)
    if (wrong := misfit(policy, tensors)) is not None:
        raise UserError(f"{flag}: the policy in {path} is damaged, its two files do not fit ({wrong})")
    policy.load_state_dict(tensors)
    if spec is not None and (spec.obs_dim, spec.action_dim) != (saved.obs_dim, saved.action_dim):
        row = about["config"]["rl"]
        if row.get("observe") and spec.action_dim == saved.action_dim:
            raise UserError(
                f"{flag}: {row['family']}:{row['variant']} acts on embeddings; give its --config_rl, and the embedders "
                "that it was trained with"
            )
        raise UserError(
            f"{flag}: a policy for {saved.obs_dim} observations and {saved.action_dim} actions; "
            f"{spec.env_id} has {spec.obs_dim} and {spec.action_dim}"
        )
    return policy.eval(), about


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
