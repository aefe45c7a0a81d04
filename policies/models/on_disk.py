"""Embedders on disk: a pretrained encoder as safetensors, with a json that says how to rebuild it."""

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from ml_collections import ConfigDict
from safetensors import SafetensorError
from torch import nn

from envs.base import EnvSpec
from policies.models import published
from torchkit.moments import Moments
from torchkit.networks import Encoder, EncoderConfig, misfit
from utils.errors import UserError, first_line
from utils.files import content_digest, write_json
from utils.tensors import load_tensors, save_tensors

FORMAT_VERSION = 1
KIND = "encoder"
EMBEDDERS = {  # by their outputs: the file's name, and the flag that says where it is
    "z_state": ("s_encoder", "--state_embedder_dir"),
    "z_obs": ("o_encoder", "--obs_embedder_dir"),
}

M = TypeVar("M", bound=nn.Module)


def save_encoder(
    folder: Path, name: str, encoder: Encoder, extra: Mapping[str, Any], moments: Moments | None = None
) -> None:
    """Writes an encoder as `name`, with the moments of its embedding where they are known, see `save_module`."""
    about = extra if moments is None else {**extra, "moments": moments.to_json()}
    save_module(folder, name, KIND, encoder.config.to_json(), encoder, about)


def load_moments(path: str | Path, name: str, dim: int, flag: str) -> Moments | None:
    """The moments of the embedding (…, dim) of an encoder that `load_encoder` reads; None where its file has none.

    Raises:
        UserError: they are damaged.
    """
    path = Path(path).expanduser()
    if published.encoder_file(path, name) is not None:
        return None
    described = (path / name if path.is_dir() else path.with_suffix("")).with_suffix(".json")
    try:
        values = json.loads(described.read_text()).get("moments")
        moments = None if values is None else Moments.from_json(values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RuntimeError) as error:
        raise UserError(f"{flag}: the moments in {described} are damaged ({first_line(error)})") from error
    if moments is not None and len(moments.mean_Z) != dim:
        raise UserError(f"{flag}: the moments in {described} are of {len(moments.mean_Z)} numbers, not {dim}")
    return moments


def load_encoder(
    path: str | Path,
    name: str,
    in_dim: int,
    flag: str,
    *,
    env_id: str | None = None,
    image_shape: tuple[int, ...] | None = None,
    config_repr: ConfigDict | None = None,
) -> Encoder:
    """Rebuilds `s_encoder` or `o_encoder`, published ones (.pt) included; see `load_module`.

    Args:
        env_id: the domain that it is to be used on, of which a published file does not speak; None for any.
        image_shape, config_repr: what a published file does not say of itself, see `published.load_encoder`.
    """
    if (file := published.encoder_file(Path(path).expanduser(), name)) is not None:
        return published.load_encoder(file, name, in_dim, flag, image_shape, config_repr)
    return load_module(path, name, KIND, lambda sizes: Encoder(EncoderConfig.from_json(sizes)), in_dim, flag, env_id)


def load_embedder(view: str, path: str, spec: EnvSpec, config: ConfigDict) -> Encoder:
    """Rebuilds the state embedder (`z_state`) or observation embedder (`z_obs`) for a domain; see `load_encoder`."""
    name, flag = EMBEDDERS[view]
    shapes = {"z_state": (spec.state_dim, spec.state_image_shape), "z_obs": (spec.obs_dim, spec.obs_image_shape)}
    (in_dim, shape), config_repr = shapes[view], config.get("repr")
    return load_encoder(path, name, in_dim, flag, env_id=spec.env_id, image_shape=shape, config_repr=config_repr)


def save_module(
    folder: Path, name: str, kind: str, sizes: Mapping[str, Any], module: nn.Module, extra: Mapping[str, Any]
) -> None:
    """Writes `name.safetensors` and `name.json` (`sizes` under the key `kind`, and `extra`), each atomically.

    Raises:
        OSError: the folder cannot be written; names the file.
    """
    description = {"format_version": FORMAT_VERSION, "kind": kind, "name": name, kind: sizes, **extra}
    write_json(folder / f"{name}.json", description)
    save_tensors(folder / f"{name}.safetensors", module.state_dict())


def load_module(
    path: str | Path,
    name: str,
    kind: str,
    build: Callable[[dict[str, Any]], M],
    in_dim: int,
    flag: str,
    env_id: str | None = None,
) -> M:
    """Rebuilds a module from a folder, or from its .safetensors or .json file, on the CPU.

    One that was trained on another domain than `env_id` is taken, with a warning.

    Args:
        path: a folder that holds `name.json`, or one of the module's two files, however they are called.
        name, kind: as it was saved.
        build: makes the module of the saved sizes.
        in_dim: the size of the view that it is to embed; the saved sizes have it, too.
        flag: how the user named `path`, for errors.
        env_id: the domain that it is to be used on; None for any.

    Raises:
        UserError: it is missing, damaged, of another kind, or made for inputs of another size.
    """
    path = Path(path).expanduser()
    stem = path / name if path.is_dir() else path.with_suffix("")
    described, weights = stem.with_suffix(".json"), stem.with_suffix(".safetensors")
    for file in (described, weights):
        if not file.is_file():
            raise UserError(f"{flag}: no {file}; main_pretrain_representations.py writes it")
    try:
        description = json.loads(described.read_text())
        if description["kind"] != kind:
            raise UserError(f"{flag}: {described} describes a {description['kind']!r}, not {kind!r}")
        if description["format_version"] != FORMAT_VERSION:
            version = description["format_version"]
            raise UserError(f"{flag}: {described} has format {version}, this version reads {FORMAT_VERSION}")
        if description["name"] != name:
            raise UserError(f"{flag}: {described} is {description['name']!r}, not {name!r}")
        sizes = description[kind]
        if sizes["in_dim"] != in_dim:
            raise UserError(
                f"{flag}: {described} embeds {sizes['in_dim']} numbers, the domain has {in_dim}"
                f" (it was trained on {description.get('env_id', 'another domain')})"
            )
        tensors = load_tensors(weights)
        with torch.device("meta"):  # where sizes cost nothing, whatever they are
            wrong = misfit(build(sizes), tensors)
        if wrong is not None:
            raise ValueError(f"its two files do not fit: {wrong}")
        module = build(sizes)
        module.load_state_dict(tensors)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{flag}: {stem} is damaged ({first_line(error)}); train it again") from error
    trained_on = description.get("env_id", env_id)
    if env_id not in (None, trained_on):
        warnings.warn(f"{flag}: {described} was trained on {trained_on}, not on {env_id}", stacklevel=2)
    return module


def embedders_digest(path: str | None, names: Iterable[str]) -> str | None:
    """SHA-256 of the files of the modules of these names that are at `path`, which is as for `load_encoder`.

    None where there are none.
    """
    if path is None:
        return None
    where = Path(path).expanduser()
    stems = [where / name for name in names] if where.is_dir() else [where.with_suffix("")]
    files = [stem.with_suffix(suffix) for stem in stems for suffix in (".json", ".safetensors", published.SUFFIX)]
    there = [file for file in files if file.is_file()]
    return content_digest(there) if there else None
