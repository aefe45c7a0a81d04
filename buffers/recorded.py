"""Data sets that others have recorded with Minari, as a domain of ours sees them.

What is seen of an observation, what is the state and how actions are numbered or scaled is said by the domain's config,
as of its env: an episode is read as if it had been played here. The layout is that of Minari's DataCollector, T+1
observations and infos to T steps.

Dimension key: T steps, O observation, S state, A actions.
"""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from ml_collections import ConfigDict
from numpy.typing import NDArray

from buffers.batch import VIEWS_OF_ROWS
from buffers.dataset import FILE, check_domain, check_values, digest_of_files, files_of, is_ours, open_dataset
from buffers.images import row_storages
from buffers.stored import EpisodesOnDisk, StoredEpisodes
from envs.base import EnvSpec, told
from envs.make import make_env
from envs.views import taken_path
from envs.wrappers import AsymmetricWrapper
from utils.errors import ForeignError, UserError, first_line
from utils.optional import need

if TYPE_CHECKING:
    from minari import EpisodeData, MinariDataset

Array = NDArray[Any]
STATE_FIELD = "config_env.data.state"
DAMAGED = (
    AssertionError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    RuntimeError,
    ImportError,
)


def located(path: Path | str) -> Path:
    """The folder of a data set that is named by its folder, or by its Minari id below `MINARI_DATASETS_PATH`."""
    root = Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")
    own, of_id = Path(path).expanduser(), root / str(path)
    return own if own.exists() or not (of_id / "data").is_dir() else of_id


def read_episodes(
    path: Path | str, config_env: ConfigDict, spec: EnvSpec, *, flag: str = "--data_path"
) -> StoredEpisodes:
    """All episodes of a data set of the domain, of stage 1 or recorded by others; `spec` are the domain's sizes.

    Of the latter without states these are NaN, and `has_states` says so.

    Raises:
        UserError: as `read_dataset`; or it does not fit the domain.
    """
    stored = open_episodes(path, config_env, spec, None, flag=flag)
    assert isinstance(stored, StoredEpisodes)
    return stored


def open_episodes(
    path: Path | str, config_env: ConfigDict, spec: EnvSpec, max_rows: int | None, *, flag: str = "--data_path"
) -> StoredEpisodes | EpisodesOnDisk:
    """The same, left on disk where it has more than `max_rows` rows.

    Raises:
        UserError: as `read_episodes`.
    """
    folder = located(path)
    try:
        ours = is_ours(folder)
    except (OSError, ValueError):  # nothing is there, or it is damaged, of which the same is said
        ours = True
    if ours:
        stored = open_dataset(folder, max_rows, flag=flag)
    else:
        need(flag, *FILE)
        stored = _read_recorded(folder, config_env, max_rows, flag)
    check_domain(stored, spec, flag)
    return stored


def _read_recorded(
    folder: Path, config_env: ConfigDict, max_rows: int | None, flag: str
) -> StoredEpisodes | EpisodesOnDisk:
    import minari

    with ExitStack() as still_open:
        try:
            env = still_open.enter_context(closing(make_env(config_env)))
        except (UserError, ForeignError) as error:
            if config_env.get("one_instance", False):
                why = "what others recorded is read by an env, beside which config_env.one_instance allows none"
                raise UserError(f"{flag}: {why} ({error})") from error
            raise
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data = minari.MinariDataset(folder / "data")
            check_spaces(data, env, flag)
            digest, count = digest_of_files(folder), int(data.total_episodes)
            limit = None if data.env_spec is None else data.env_spec.max_episode_steps
            if max_rows is None or count + int(data.total_steps) <= max_rows:
                return _as_seen(_episodes(data), env, config_env, digest, flag, limit)
            numbers = [int(number) for number in data.episode_indices]

            def read(number: int) -> StoredEpisodes:
                return _as_seen(data.iterate_episodes([numbers[number]]), env, config_env, digest, flag, limit, number)

            stored = EpisodesOnDisk.of(read, count, env.close, files_of(folder))
            still_open.pop_all()  # by which episodes are read
            return stored
        except DAMAGED as error:
            why = f"is damaged, or none of Minari's ({first_line(error)})"
            raise UserError(f"{flag}: the dataset at {folder} {why}") from error


def check_spaces(data: "MinariDataset", env: AsymmetricWrapper, flag: str) -> None:
    """Makes sure that a data set is of an env, as far as it says, and its spaces those of the env.

    Raises:
        UserError: names the env or the space.
    """
    name = env.spec_sizes.env_id
    recorded = None if data.env_spec is None else data.env_spec.id
    if recorded not in (None, name):
        raise UserError(f"{flag}: the dataset is of {recorded}, but --config_env is of {name}")
    for what, has, needs in (
        ("observations", data.observation_space, env.env.observation_space),
        ("actions", data.action_space, env.env.action_space),
    ):
        if (unlike := _unlike(has, needs)) is not None:
            where, mine, theirs = unlike
            raise UserError(f"{flag}: the {what}{where} of the dataset are {mine}, those of {name} are {theirs}")
    did, does = data.action_space, env.env.action_space
    if isinstance(did, spaces.Box) and isinstance(does, spaces.Box) and _other_bounds(did, does):
        raise UserError(
            f"{flag}: the actions of the dataset are of {_one_line(did)}, those of {name} of {_one_line(does)}, as "
            "where one of them is rescaled by a wrapper; name it in config_env.wrappers, or leave it out there"
        )


def _other_bounds(mine: spaces.Box, theirs: spaces.Box) -> bool:
    """Whether bounds that both have are others: the same number then is not the same action."""
    pairs = ((mine.low, theirs.low), (mine.high, theirs.high))
    known = [np.isfinite(one) & np.isfinite(other) for one, other in pairs]
    return any(not np.allclose(a[k], b[k], rtol=1e-4) for (a, b), k in zip(pairs, known, strict=True))


def _unlike(has: Any, needs: Any, where: str = "") -> tuple[str, str, str] | None:
    """The first part in which two spaces do not hold the same values: its place, and both; bounds may differ."""
    mine, theirs = _one_line(has), _one_line(needs)
    both = where, mine, theirs
    if isinstance(needs, spaces.Dict | spaces.Tuple):
        if not isinstance(has, type(needs)):
            return both
        parts = [_parts(space) for space in (has, needs)]
        if parts[0].keys() != parts[1].keys():
            return both
        found = (_unlike(parts[0][key], parts[1][key], f"{where}[{key!r}]") for key in parts[1])
        return next((one for one in found if one is not None), None)
    sizes = [
        [np.asarray(getattr(space, name)).tolist() for name in ("n", "nvec", "start", "shape") if hasattr(space, name)]
        for space in (has, needs)
    ]
    same = type(has) is type(needs) and (sizes[0] == sizes[1] or isinstance(needs, spaces.Text))
    bytes_too = (has.dtype == np.uint8) == (needs.dtype == np.uint8)
    return None if same and bytes_too else both


def _one_line(space: Any) -> str:
    return " ".join(str(space).split())[:200]


def _parts(space: Any) -> dict[Any, Any]:
    """The parts of a dict or tuple of spaces."""
    return dict(space.items()) if isinstance(space, spaces.Dict) else dict(enumerate(space))


def _episodes(data: "MinariDataset") -> Iterator["EpisodeData"]:
    if not data.total_episodes:
        raise ValueError("it has no episodes")
    yield from data.iterate_episodes()


def _as_seen(
    episodes: Iterator["EpisodeData"],
    env: AsymmetricWrapper,
    config_env: ConfigDict,
    digest: str,
    flag: str,
    limit: int | None,
    number: int = 0,
) -> StoredEpisodes:
    """Episodes, from that number on, as the env shows them; `limit` is that of their steps where it is told."""
    spec, field = env.spec_sizes, str(config_env.get("data", {}).get("state", ""))
    storages, rows = row_storages(spec), dict[str, list[Array]]()
    lengths, successes = [], []
    for episode in episodes:
        T, infos = len(episode.rewards), episode.infos or {}
        if not T:
            raise ValueError(f"episode {episode.id} has no steps")
        obs, state = env.recorded_rows(episode.observations, T + 1)
        if field:
            state = _named_state(field, episode, infos, T, spec, flag)
        has_states = state is not None
        state = np.full((T + 1, spec.state_dim), np.nan, np.float32) if state is None else state
        for view, values in zip(VIEWS_OF_ROWS, (obs, state), strict=True):
            encoded = storages[view].encode(values) if has_states or view == "obs" else values
            rows.setdefault(view, []).append(encoded)
        steps = {
            "action": env.actions.batch_from_native(episode.actions),
            "reward": np.asarray(episode.rewards, np.float32),
            "discount": 1.0 - np.asarray(episode.terminations, np.float32),
        }
        for name, values in steps.items():
            if len(values) != T:
                raise ValueError(f"episode {episode.id} has {len(values)} {name}s to {T} rewards")
            rows.setdefault(name, []).append(np.concatenate([values, np.zeros_like(values[:1])]))
        lengths.append(T)
        successes.append(_success(infos, config_env.get("success", "last")))
    length_E = np.array(lengths, np.int64)
    stored = StoredEpisodes(
        **{name: np.concatenate(parts) for name, parts in rows.items()},
        first=np.concatenate([[0], np.cumsum(length_E + 1)[:-1]]),
        length=length_E,
        success=told(successes),
        expert=np.zeros(len(lengths), bool),
        informed=None,
        metadata={
            "env_id": spec.env_id,
            "spec": (spec if limit is None else replace(spec, max_episode_steps=limit)).to_json(),
            "sha256": digest,
            "has_states": has_states,
        },
    )
    check_values(stored, spec, number)
    return stored


def _named_state(
    field: str, episode: "EpisodeData", infos: Mapping[str, Any], T: int, spec: EnvSpec, flag: str
) -> Array:
    """The states (T+1, S) of an episode where the config says that they are.

    Raises:
        UserError: there is no such field, or it is of another size.
    """
    of_infos = field.startswith("infos/")
    whole, path = (infos, field[6:].split("/")) if of_infos else (episode.observations, field.split("."))
    try:
        found = taken_path(whole, path)
    except (KeyError, TypeError, IndexError):
        there = [f"infos/{name}" for name in infos]
        there += list(episode.observations) if isinstance(episode.observations, Mapping) else []
        choices = f"choose from {', '.join(there)}" if there else "it has no infos, and no keys of observations"
        raise UserError(f"{STATE_FIELD}={field}: {flag} has none such; {choices}") from None
    state = np.asarray(found, np.float32)
    state = state.reshape(len(state), -1) if state.ndim else state[None, None]
    if state.shape != (T + 1, spec.state_dim):
        raise UserError(
            f"{STATE_FIELD}={field}: {state.shape[0]} rows of {state.shape[1]} numbers to an episode of {T} steps; "
            f"{T + 1} of {spec.state_dim}, the state of {spec.env_id}, are needed"
        )
    return state


def _success(infos: Mapping[str, Any], which: str) -> bool | None:
    """Whether an episode succeeded, by its infos; None where they do not tell."""
    said = infos.get("success", infos.get("is_success"))
    if said is None:
        return None
    return bool(np.asarray(said).any() if which == "any" else np.asarray(said).reshape(-1)[-1])
