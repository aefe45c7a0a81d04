"""Stage-1 data on disk: whole episodes as a Minari dataset, which any Minari program reads.

Layout of the folder `path`: `path/data` is a Minari dataset in HDF5 (`minari.MinariDataset(path / "data")` opens it,
and so does `minari.load_dataset(path.name)` with `MINARI_DATASETS_PATH` set to the parent folder where the name is a
Minari id such as `heavenhell-v0`). Observations are `{"obs", "state"}` with the row after the last action. Minari's
infos have one row per observation, the first belonging to the reset: row t + 1 of `infos["success"]` and
`infos["discount"]` belongs to action t. The attributes of each episode say `expert`, and `success` and `informed` where
the env tells them; the dataset's metadata keep what the collector knows under `collection`, and there under `sha256` a
digest of all that is read. Images for which the domain declares a storage are there as the bytes of `buffers.images`;
the declaration is in the metadata, under `spec`.

Dimension key: O observation, S state, A actions; E episodes, R rows (an episode of L steps owns L + 1), M transitions.
"""

import errno
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from buffers.augment import KINDS
from buffers.batch import Episode
from buffers.images import ImageRows, PlainRows, row_storages
from buffers.stored import About, EpisodesOnDisk, StoredEpisodes
from envs.base import EnvSpec, told
from utils.config import json_tuples
from utils.errors import UserError, first_line
from utils.files import content_digest, sync
from utils.folders import mend, put_in_place, scratch_beside
from utils.optional import need

if TYPE_CHECKING:  # imported where data are read or written: the rest needs neither
    import h5py
    from minari.data_collector import EpisodeBuffer

Array = NDArray[Any]
FILE = ("h5py", "minari")  # what a data set is read and written by

FORMAT_VERSION = 1
SAID = ("success", "expert", "informed")  # of each episode
HDF5_BYTES = 25_000  # of an episode, beside its arrays


def check_destination(path: Path | str, *, overwrite: bool = False, flag: str = "--data_path") -> None:
    """Says before any work is done whether a dataset can be written to `path`; makes the parent folder.

    Raises:
        UserError: something is there (with `overwrite`: something that is not a dataset), the parent is unwritable,
            or a package is missing.
    """
    need(flag, *FILE)
    path = Path(path).resolve()
    mend(path, _is_dataset)
    if path.exists() and not path.is_dir():
        raise UserError(f"{flag}: {path} is not a folder")
    if path.is_dir() and any(path.iterdir()):
        if not _is_dataset(path):
            raise UserError(f"{flag}: {path} holds something that is not a dataset; name another folder")
        if not overwrite:
            raise UserError(f"{flag}: a dataset is already at {path}; name another folder or give --overwrite")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{flag}: cannot make the folder {path.parent}: {error.strerror}") from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"{flag}: the folder {path.parent} is not writable")


def write_dataset(
    path: Path | str,
    episodes: Sequence[Episode],
    spec: EnvSpec,
    metadata: dict[str, Any],
    action_space: gym.Space[Any],
    *,
    overwrite: bool = False,
    flag: str = "--data_path",
    on_episode: Callable[[Episode], object] = lambda episode: None,
) -> None:
    """Writes whole episodes as a Minari dataset at `path`, all of it or nothing.

    The data are written beside their destination and renamed at the end, so that whatever goes wrong before leaves
    an older dataset as it was; one that a kill left aside is put back when `path` is next read or written. `metadata`
    are plain JSON values; the spec is added to them. `on_episode` is told of each episode when its turn comes.

    Raises:
        UserError: see `check_destination`; or the disk is full.
    """
    path = Path(path).resolve()
    if not episodes:
        raise UserError("--episodes: a dataset needs at least one episode")
    check_destination(path, overwrite=overwrite, flag=flag)
    import minari

    collection = {
        "format_version": FORMAT_VERSION,
        "env_id": spec.env_id,
        **metadata,
        "spec": spec.to_json(),
    }
    storages = row_storages(spec)
    observation_space = gym.spaces.Dict(
        {name: _view_space(storage.encode(getattr(episodes[0], name))) for name, storage in storages.items()}
    )
    try:
        with scratch_beside(path, os.getpid(), flag) as scratch:
            _check_room(scratch, _bytes_on_disk(episodes, storages))
            with _minari_root(scratch), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Minari asks for an author, an e-mail address and an evaluation env
                dataset = minari.create_dataset_from_buffers(
                    dataset_id=_dataset_id(path),
                    buffer=(_to_buffer(episode, storages, on_episode) for episode in episodes),
                    observation_space=observation_space,
                    action_space=action_space,
                    algorithm_name="random and expert episodes",
                    description=f"{len(episodes)} episodes of {spec.env_id} with the simulator's state",
                    jpeg_encoding=False,
                )
            dataset.storage.update_episode_metadata(
                {name: value for name in SAID if (value := getattr(one, name)) is not None} for one in episodes
            )
            written = scratch / _dataset_id(path)
            dataset.storage.update_metadata({"collection": collection | {"sha256": _digest(written, collection)}})
            for file in (written, *written.rglob("*")):
                sync(file)
            put_in_place(written, path)
    except (OSError, RuntimeError) as error:  # h5py reports some failed writes as RuntimeError
        raise UserError(f"{flag}: could not write {path}: {_why(error)}") from error


def _bytes_on_disk(episodes: Sequence[Episode], storages: dict[str, PlainRows | ImageRows]) -> int:
    """What episodes take, about: their arrays as they are stored, and what HDF5 adds for names and pages."""
    one = episodes[0]
    row = sum(storage.encode(getattr(one, name)[:1]).nbytes for name, storage in storages.items())
    step = sum(array[:1].nbytes for array in (one.action, one.reward, one.discount))
    return sum(map(len, episodes)) * (row + step) + len(episodes) * (row + HDF5_BYTES)


def _check_room(folder: Path, needed: int) -> None:
    """Takes so many bytes of the disk, and gives them back: HDF5 cannot be trusted to survive a full one.

    Raises:
        OSError: they are not there.
    """
    trial = folder / "room"
    try:
        with trial.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, needed)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OSError(
                error.errno, f"{os.strerror(error.errno)}; about {needed / 1e6:,.1f} MB are needed"
            ) from error
    finally:
        trial.unlink(missing_ok=True)


def _why(error: Exception) -> str:
    """What went wrong, in the system's words where HDF5 has hidden them behind its own."""
    said = re.search(r"error message = '([^']+)'", str(error))
    if said is not None:
        return said[1]
    return error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)


def read_dataset(path: Path | str, *, flag: str = "--data_path") -> StoredEpisodes:
    """Reads a whole dataset into memory.

    Raises:
        UserError: a package is missing; nothing is there, it is damaged, or it is not one that `write_dataset` wrote.
    """
    stored = open_dataset(path, None, flag=flag)
    assert isinstance(stored, StoredEpisodes)
    return stored


def open_dataset(
    path: Path | str, max_rows: int | None, *, flag: str = "--data_path"
) -> StoredEpisodes | EpisodesOnDisk:
    """Reads a whole dataset into memory, or, where it has more than `max_rows` rows, leaves them on disk.

    Either way every episode is read now, and its values are checked.

    Raises:
        UserError: as `read_dataset`.
    """
    need(flag, *FILE)
    import h5py

    path = Path(path)
    mend(path.resolve(), _is_dataset)
    if not path.exists():
        raise UserError(f"{flag}: no dataset at {path}; main_collect_data.py writes one")
    if not _is_dataset(path):
        raise UserError(f"{flag}: {path} is not a dataset (it has no data/metadata.json)")
    try:
        minari_metadata = json.loads(_metadata_file(path).read_text())
        collection = minari_metadata.get("collection")
        if collection is None or minari_metadata.get("data_format") != "hdf5":
            raise UserError(f"{flag}: {path} was not written by main_collect_data.py, or before it was finished")
        if collection["format_version"] != FORMAT_VERSION:
            version = collection["format_version"]
            raise UserError(f"{flag}: {path} has format {version}, this version reads {FORMAT_VERSION}; collect again")
        if "sha256" in collection and collection["sha256"] != _digest(path, collection):  # older ones have none
            raise ValueError("its checksum does not match")
        _check_collection(collection)
        spec = EnvSpec(**json_tuples(collection["spec"]))
        count, steps = int(minari_metadata["total_episodes"]), int(minari_metadata["total_steps"])
        with ExitStack() as open_files:
            file = open_files.enter_context(h5py.File(_data_file(path), "r", locking=False))
            if count < 1 or len(file) != count:
                raise ValueError(f"{len(file)} of {count} episodes are there")

            def read(numbers: Sequence[int]) -> StoredEpisodes:
                some = _read_episodes(file, numbers, spec, collection)
                check_values(some, spec, numbers[0])
                return some

            stored: StoredEpisodes | EpisodesOnDisk
            if max_rows is None or steps + count <= max_rows:
                stored = read(range(count))
            else:
                stored = EpisodesOnDisk.of(lambda number: read([number]), count, file.close, [file.id.get_vfd_handle()])
            if stored.length.sum() != steps:
                raise ValueError(f"the lengths of the episodes do not add up to {steps} steps")
            if isinstance(stored, EpisodesOnDisk):
                open_files.pop_all()  # the file stays open until it is closed by that
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{flag}: the dataset at {path} is damaged ({first_line(error)}); collect it again") from error
    return stored


def dataset_digest(path: Path | str) -> str | None:
    """The digest of all that is read of a dataset, as it says; of another's that of its files.

    None where it says nothing, or is not there.
    """
    try:
        if not is_ours(Path(path)):
            return digest_of_files(Path(path))
        digest = json.loads(_metadata_file(Path(path)).read_text())["collection"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(digest)


def is_ours(path: Path) -> bool:
    """Whether a dataset was written by `write_dataset`, whatever has become of it since.

    Raises:
        OSError, ValueError: there is none, or it is damaged.
    """
    return "collection" in json.loads(_metadata_file(path).read_text())


def digest_of_files(path: Path) -> str:
    """SHA-256 of the files of a dataset, whoever wrote it.

    Raises:
        OSError: they cannot be read.
    """
    return content_digest(files_of(path))


def files_of(path: Path) -> list[Path]:
    """All files of a dataset, whoever wrote it."""
    return sorted(file for file in (path / "data").rglob("*") if file.is_file())


def check_domain(stored: About, spec: EnvSpec, flag: str = "--data_path") -> None:
    """Makes sure that a dataset comes from the domain that it is to be used for.

    The horizon may differ, and images that the domain has in few bits may be stored as they are.

    Raises:
        UserError: it comes from another domain, or its sizes are others.
    """
    have, want = stored.spec.to_json(), spec.to_json()
    if have["env_id"] != want["env_id"]:
        raise UserError(f"{flag}: the dataset is of {have['env_id']}, but --config_env is of {want['env_id']}")
    free = {"max_episode_steps", *(key for key in have if key.endswith("_storage") and not have[key])}
    differing = [key for key in want if key not in free and have[key] != want[key]]
    if differing:
        sizes = ", ".join(f"{key} {have[key]} instead of {want[key]}" for key in differing)
        raise UserError(f"{flag}: the dataset does not fit --config_env ({want['env_id']}): {sizes}")


def _to_buffer(
    episode: Episode, storages: dict[str, PlainRows | ImageRows], on_episode: Callable[[Episode], object]
) -> "EpisodeBuffer":
    """One episode as Minari keeps it; infos have a row more, for the reset."""
    from minari.data_collector import EpisodeBuffer

    on_episode(episode)
    length = len(episode)
    terminations = episode.discount == 0.0
    truncations = np.zeros(length, bool)
    truncations[-1] = not terminations[-1]
    infos = {"discount": np.concatenate([np.ones(1, np.float32), episode.discount])}
    if episode.success is not None:
        infos["success"] = np.zeros(length + 1, bool)
        infos["success"][-1] = episode.success
    return EpisodeBuffer(
        observations={name: storage.encode(getattr(episode, name)) for name, storage in storages.items()},
        actions=episode.action,
        rewards=episode.reward,
        terminations=terminations,
        truncations=truncations,
        infos=infos,
    )


def _read_episodes(
    file: "h5py.File", numbers: Sequence[int], spec: EnvSpec, metadata: dict[str, Any]
) -> StoredEpisodes:
    """Fills flat arrays straight from the file: five times as fast as through Minari's episode objects."""
    attributes = [file[f"episode_{i}"].attrs for i in numbers]
    length_E = np.array([a["total_steps"] for a in attributes], np.int64)
    if length_E.min() < 1:
        raise ValueError(f"episode {numbers[int(length_E.argmin())]} has {length_E.min()} steps")
    first_E = np.concatenate([[0], np.cumsum(length_E + 1)[:-1]])
    num_rows = int((length_E + 1).sum())
    views = {name: file[f"episode_{numbers[0]}/observations"][name] for name in ("obs", "state")}
    storages = row_storages(spec)
    action_shape, action_type = ((), np.int64) if spec.discrete else ((spec.action_dim,), np.float32)
    stored = StoredEpisodes(
        **{name: np.zeros((num_rows, s.width), _view_type(views[name].dtype)) for name, s in storages.items()},
        action=np.zeros((num_rows, *action_shape), action_type),
        reward=np.zeros(num_rows, np.float32),
        discount=np.zeros(num_rows, np.float32),
        first=first_E,
        length=length_E,
        success=told([a.get("success") for a in attributes]),
        expert=np.array([a["expert"] for a in attributes], bool),
        informed=told([a.get("informed") for a in attributes]),
        metadata=metadata,
    )
    for i, first, length in zip(numbers, first_E.tolist(), length_E.tolist(), strict=True):
        rows, steps = slice(first, first + length + 1), slice(first, first + length)
        _read_into(file, f"episode_{i}/observations/obs", stored.obs[rows])
        _read_into(file, f"episode_{i}/observations/state", stored.state[rows])
        _read_into(file, f"episode_{i}/actions", stored.action[steps])
        _read_into(file, f"episode_{i}/rewards", stored.reward[steps])
        _read_into(file, f"episode_{i}/infos/discount", stored.discount[rows])
    stored.discount[:-1] = stored.discount[1:]  # row t + 1 of Minari's infos belongs to action t
    stored.discount[first_E + length_E] = 0.0
    return stored


def _read_into(file: "h5py.File", name: str, target: Array) -> None:
    import h5py

    data = h5py.h5d.open(file.id, name.encode())
    if data.shape != target.shape:
        raise ValueError(f"{name} has shape {data.shape} instead of {target.shape}")
    data.read(h5py.h5s.ALL, h5py.h5s.ALL, target)


def _check_collection(collection: dict[str, Any]) -> None:
    """Refuses what says how episodes are read, or of which domain they are, in another form than it was written."""
    for name in ("augmentation", "config_env"):
        if not isinstance(collection.get(name, {}), dict):
            raise ValueError(f"its {name} is {collection[name]!r}")
    copies = {"kind": "", "n_aug": 0} | collection.get("augmentation", {})
    if copies["kind"] not in KINDS or type(copies["n_aug"]) is not int or copies["n_aug"] < 0:
        raise ValueError(f"its augmentation is {copies}")


def check_values(stored: StoredEpisodes, spec: EnvSpec, number: int = 0) -> None:
    """Makes sure that values are numbers, and actions such as there are; states where there are any.

    `number` is that of the first of the episodes.

    Raises:
        ValueError: names the episode and its row.
    """
    for name in ("obs", "state", "action", "reward") if stored.has_states else ("obs", "action", "reward"):
        values = getattr(stored, name)
        if values.dtype == np.float32 and not (finite := np.isfinite(values)).all():
            row = int(np.argwhere(~finite)[0][0])
            episode = int(np.searchsorted(stored.first, row, side="right")) - 1
            where = f"episode {number + episode}, row {row - stored.first[episode]}"
            raise ValueError(f"{name} is not finite in {where}")
    if spec.discrete and (stored.action.min() < 0 or stored.action.max() >= spec.action_dim):
        raise ValueError(f"an action is outside 0 to {spec.action_dim - 1}")
    if not np.isin(stored.discount, (0.0, 1.0)).all():
        raise ValueError("a discount is neither 0 nor 1")


def _view_type(stored: np.dtype[Any]) -> type[np.generic]:
    return np.uint8 if stored == np.uint8 else np.float32


def _view_space(view: Array) -> gym.spaces.Box:
    if view.dtype == np.uint8:
        return gym.spaces.Box(0, 255, view.shape[1:], np.uint8)
    return gym.spaces.Box(-np.inf, np.inf, view.shape[1:], np.float32)


def _metadata_file(path: Path) -> Path:
    return path / "data" / "metadata.json"


def _is_dataset(path: Path) -> bool:
    return _metadata_file(path).is_file()


def _data_file(path: Path) -> Path:
    return path / "data" / "main_data.hdf5"


def _digest(path: Path, collection: dict[str, Any]) -> str:
    """SHA-256 of the episodes, and of what in the metadata says how they are read."""
    decides = [collection["spec"], collection.get("augmentation")]
    return content_digest([_data_file(path), json.dumps(decides, sort_keys=True)])


def _dataset_id(path: Path) -> str:
    """The folder's name where Minari takes it for an id, else the nearest to it that Minari takes."""
    name = re.sub(r"[^-\w]", "_", path.name, flags=re.ASCII)
    return name if re.fullmatch(r"\w[-\w]*-v\d+", name, flags=re.ASCII) else f"{name}-v0"


@contextmanager
def _minari_root(folder: Path) -> Iterator[None]:
    """Minari writes only below an environment variable: set here, and put back whatever happens."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before
