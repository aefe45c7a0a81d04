"""Stage-1 data on disk: what is written is read back, by us and by plain Minari, and nothing is lost on the way."""

import json
import math
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest

from buffers import dataset as dataset_module
from buffers.batch import Episode
from buffers.dataset import check_destination, check_domain, read_dataset, write_dataset
from envs.base import EnvSpec
from utils.errors import UserError

SPEC = EnvSpec("Signpost-v0", obs_dim=3, state_dim=4, action_dim=5, discrete=True, max_episode_steps=9)
CONTINUOUS = replace(SPEC, env_id="Push-v0", action_dim=2, discrete=False, obs_image_shape=(3, 1, 1))
METADATA = {"seed": 7, "expert_share": 0.5, "git_revision": "abc", "coverage": {"all": {"success": 0.5}}}
LENGTHS = (4, 1, 9, 2)


def make_episode(rng, length, spec=SPEC, terminated=True, **flags):
    discount = np.ones(length, np.float32)
    discount[-1] = 0.0 if terminated else 1.0
    if spec.discrete:
        action = rng.integers(spec.action_dim, size=length)
    else:
        action = rng.uniform(-1, 1, (length, spec.action_dim)).astype(np.float32)
    return Episode(
        obs=rng.standard_normal((length + 1, spec.obs_dim)).astype(np.float32),
        state=rng.standard_normal((length + 1, spec.state_dim)).astype(np.float32),
        action=action,
        reward=rng.standard_normal(length).astype(np.float32),
        discount=discount,
        **flags,
    )


def make_episodes(seed=0, spec=SPEC):
    rng = np.random.default_rng(seed)
    return [
        make_episode(rng, length, spec, terminated=i % 2 == 0, success=i == 0, expert=i > 1, informed=i in (0, 3))
        for i, length in enumerate(LENGTHS)
    ]


def space_of(spec):
    return gym.spaces.Discrete(spec.action_dim) if spec.discrete else gym.spaces.Box(-1, 1, (spec.action_dim,))


def write(path, episodes=None, spec=SPEC, **options):
    write_dataset(path, episodes or make_episodes(spec=spec), spec, METADATA, space_of(spec), **options)


def assert_same(left, right):
    for name in ("obs", "state", "action", "reward", "discount"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name, strict=True)
    assert (left.success, left.expert, left.informed) == (right.success, right.expert, right.informed)


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS], ids=["discrete", "continuous"])
def test_episodes_come_back_as_they_were(tmp_path, spec):
    episodes = make_episodes(spec=spec)
    write(tmp_path / "data", episodes, spec)
    stored = read_dataset(tmp_path / "data")
    assert len(stored) == len(episodes)
    assert stored.spec == spec
    for i, episode in enumerate(episodes):
        assert_same(stored.episode(i), episode)
    assert {key: stored.metadata[key] for key in METADATA} == METADATA


def test_plain_minari_finds_the_same_episodes(tmp_path):
    episodes = make_episodes()
    write(tmp_path / "set", episodes)
    plain = minari.MinariDataset(tmp_path / "set" / "data")
    assert plain.total_episodes == len(episodes)
    assert plain.total_steps == sum(LENGTHS)
    assert plain.action_space == gym.spaces.Discrete(5)
    assert set(plain.observation_space.keys()) == {"obs", "state"}
    for found, episode in zip(plain.iterate_episodes(), episodes, strict=True):
        np.testing.assert_array_equal(found.observations["obs"], episode.obs)
        np.testing.assert_array_equal(found.observations["state"], episode.state)
        np.testing.assert_array_equal(found.actions, episode.action)
        np.testing.assert_array_equal(found.rewards, episode.reward)
        np.testing.assert_array_equal(found.terminations, episode.discount == 0)
        assert len(found.observations["obs"]) == len(found.rewards) + 1
        ended = np.arange(len(episode)) == len(episode) - 1
        np.testing.assert_array_equal(found.terminations | found.truncations, ended)
        assert not (found.terminations & found.truncations).any()
        np.testing.assert_array_equal(found.infos["discount"][1:], episode.discount)
        np.testing.assert_array_equal(found.infos["success"][1:], ended & episode.success)
        assert plain.observation_space["obs"].contains(found.observations["obs"][-1])
    attributes = list(plain.storage.get_episode_metadata(range(len(episodes))))
    assert [bool(a["expert"]) for a in attributes] == [episode.expert for episode in episodes]
    assert [bool(a["informed"]) for a in attributes] == [episode.informed for episode in episodes]
    assert plain.storage.metadata["collection"]["seed"] == 7


def test_minari_loads_a_folder_with_an_id_for_a_name(tmp_path, monkeypatch):
    write(tmp_path / "signpost-v3")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert minari.load_dataset("signpost-v3").total_episodes == len(LENGTHS)


@pytest.mark.parametrize("name", ["Signpost-v0_s42_3000ep", "a b.c", "ünï", "_x", "-v1"])
def test_any_folder_name_is_readable_with_plain_minari(tmp_path, name):
    write(tmp_path / name)
    assert minari.MinariDataset(tmp_path / name / "data").total_episodes == len(LENGTHS)
    assert len(read_dataset(tmp_path / name)) == len(LENGTHS)


@pytest.mark.parametrize("before", [None, "/elsewhere"])
def test_the_users_minari_folder_is_left_alone(tmp_path, monkeypatch, before):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if before is None:
        monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    else:
        monkeypatch.setenv("MINARI_DATASETS_PATH", before)
    write(tmp_path / "data")
    assert os.environ.get("MINARI_DATASETS_PATH") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_an_episode_owns_a_row_more_than_it_has_steps(tmp_path):
    episodes = make_episodes()
    write(tmp_path / "data", episodes)
    stored = read_dataset(tmp_path / "data")
    assert stored.length.tolist() == list(LENGTHS)
    assert stored.first.tolist() == [0, 5, 7, 17]
    assert len(stored.obs) == sum(LENGTHS) + len(LENGTHS)
    last = stored.first + stored.length
    np.testing.assert_array_equal(stored.obs[last], [episode.obs[-1] for episode in episodes])
    for name in ("action", "reward", "discount"):
        assert not getattr(stored, name)[last].any(), name


def test_discount_is_zero_on_true_endings_only(tmp_path):
    write(tmp_path / "data")
    stored = read_dataset(tmp_path / "data")
    steps = stored.transitions().row
    last_steps = stored.first + stored.length - 1
    assert set(steps[stored.discount[steps] == 0]) == {last_steps[0], last_steps[2]}  # episodes 1 and 3 ran out of time


def test_transitions_pair_each_step_with_the_row_after_it(tmp_path):
    episodes = make_episodes()
    write(tmp_path / "data", episodes)
    stored = read_dataset(tmp_path / "data")
    steps = stored.transitions()
    assert len(steps) == sum(LENGTHS)
    np.testing.assert_array_equal(stored.obs[steps.row], np.concatenate([e.obs[:-1] for e in episodes]))
    np.testing.assert_array_equal(stored.obs[steps.next_row], np.concatenate([e.obs[1:] for e in episodes]))
    np.testing.assert_array_equal(stored.reward[steps.row], np.concatenate([e.reward for e in episodes]))


def test_bytes_stay_bytes(tmp_path):
    episodes = make_episodes()
    for episode in episodes:
        episode.obs = np.abs(episode.obs * 50).astype(np.uint8)
    write(tmp_path / "data", episodes)
    stored = read_dataset(tmp_path / "data")
    assert stored.obs.dtype == np.uint8
    assert stored.state.dtype == np.float32
    np.testing.assert_array_equal(stored.episode(2).obs, episodes[2].obs)
    assert minari.MinariDataset(tmp_path / "data" / "data").observation_space["obs"].dtype == np.uint8


def test_missing_dataset_names_the_flag(tmp_path):
    with pytest.raises(UserError, match=r"--demos: no dataset at .*nowhere"):
        read_dataset(tmp_path / "nowhere", flag="--demos")


@pytest.mark.parametrize("name", ["", "data.txt"])
def test_something_else_is_not_a_dataset(tmp_path, name):
    (tmp_path / "data.txt").write_text("hello")
    with pytest.raises(UserError, match=r"--data_path: .* is not a dataset"):
        read_dataset(tmp_path / name)


def test_a_minari_dataset_of_somebody_else_is_refused(tmp_path):
    write(tmp_path / "data")
    edit_metadata(tmp_path / "data", lambda metadata: metadata.pop("collection"))
    with pytest.raises(UserError, match=r"was not written by main_collect_data.py"):
        read_dataset(tmp_path / "data")


def test_a_dataset_of_another_format_is_refused(tmp_path):
    write(tmp_path / "data")
    edit_metadata(tmp_path / "data", lambda metadata: metadata["collection"].update(format_version=99))
    with pytest.raises(UserError, match="format 99"):
        read_dataset(tmp_path / "data")


def edit_metadata(path, change):
    file = path / "data" / "metadata.json"
    metadata = json.loads(file.read_text())
    change(metadata)
    file.write_text(json.dumps(metadata))


def cut_file(path):
    file = path / "data" / "main_data.hdf5"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def overwrite_start(path):
    with (path / "data" / "main_data.hdf5").open("r+b") as file:
        file.write(b"\0" * 512)


def delete_array(path):
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        del file["episode_2/rewards"]


def delete_episode(path):
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        del file["episode_2"]


def shorten_array(path):
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        file["episode_2/observations/obs"].resize(3, axis=0)


def put(name, value):
    def damage(path):
        with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
            file[name][-1] = value

    return damage


def break_json(path):
    file = path / "data" / "metadata.json"
    file.write_text(file.read_text()[:-20])


def forget_spec(path):
    edit_metadata(path, lambda metadata: metadata["collection"].pop("spec"))


def json_of_another_shape(path):
    (path / "data" / "metadata.json").write_text("[1, 2]")


def forget_data(path):
    (path / "data" / "main_data.hdf5").unlink()


def say(**fields):
    def change(path):
        edit_metadata(path, lambda metadata: metadata["collection"].update(fields))

    return change


DAMAGE = {
    "cut file": cut_file,
    "overwritten start": overwrite_start,
    "array missing": delete_array,
    "episode missing": delete_episode,
    "array shortened": shorten_array,
    "NaN": put("episode_1/observations/state", np.nan),
    "action out of range": put("episode_1/actions", 5),
    "negative action": put("episode_1/actions", -1),
    "odd discount": put("episode_1/infos/discount", 0.5),
    "broken json": break_json,
    "json of another shape": json_of_another_shape,
    "spec missing": forget_spec,
    "augmentation no group": say(augmentation=2),
    "copies no number": say(augmentation={"kind": "se2", "n_aug": "x"}),
    "copies without end": say(augmentation={"kind": "se2", "n_aug": math.inf}),
    "unknown copies": say(augmentation={"kind": ["se2"], "n_aug": 2}),
    "domain no group": say(config_env=3),
    "data missing": forget_data,
}


def forget_digest(path):
    """As data sets were before they had one."""
    edit_metadata(path, lambda metadata: metadata["collection"].pop("sha256"))


@pytest.mark.parametrize("digest", [True, False], ids=["with digest", "without"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_dataset_is_refused_in_one_line(tmp_path, damage, digest):
    write(tmp_path / "data")
    if not digest:
        forget_digest(tmp_path / "data")
    damage(tmp_path / "data")
    with pytest.raises(UserError, match=r"--data_path: the dataset at .* is damaged") as caught:
        read_dataset(tmp_path / "data")
    assert "\n" not in str(caught.value)


def wrong_value(path):
    put("episode_1/rewards", 0.5)(path)


def more_copies(path):
    edit_metadata(path, lambda metadata: metadata["collection"].update(augmentation={"n_aug": 4}))


@pytest.mark.parametrize("change", [wrong_value, more_copies])
def test_what_looks_whole_is_refused_by_its_digest_alone(tmp_path, change):
    write(tmp_path / "data")
    change(tmp_path / "data")
    with pytest.raises(UserError, match=r"--data_path: .* is damaged .its checksum does not match"):
        read_dataset(tmp_path / "data")
    forget_digest(tmp_path / "data")
    assert len(read_dataset(tmp_path / "data")) == len(LENGTHS)


def test_the_digest_is_that_of_the_content(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(tmp_path / name, make_episodes(seed=seed))
    a, b, c = (read_dataset(tmp_path / name).metadata["sha256"] for name in "abc")
    assert a == b != c


def test_dataset_of_another_domain_is_refused(tmp_path):
    write(tmp_path / "data")
    stored = read_dataset(tmp_path / "data")
    check_domain(stored, replace(SPEC, max_episode_steps=500))
    with pytest.raises(UserError, match="--data_path: the dataset is of Signpost-v0, but --config_env is of Other-v0"):
        check_domain(stored, replace(SPEC, env_id="Other-v0"))
    with pytest.raises(UserError, match="state_dim 4 instead of 6"):
        check_domain(stored, replace(SPEC, state_dim=6))


def test_an_older_dataset_is_replaced_only_on_request(tmp_path):
    write(tmp_path / "data", make_episodes(seed=1))
    with pytest.raises(UserError, match="--overwrite"):
        write(tmp_path / "data", make_episodes(seed=2))
    assert_same(read_dataset(tmp_path / "data").episode(0), make_episodes(seed=1)[0])
    write(tmp_path / "data", make_episodes(seed=2), overwrite=True)
    assert_same(read_dataset(tmp_path / "data").episode(0), make_episodes(seed=2)[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_overwrite_never_removes_what_is_not_a_dataset(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(UserError, match="not a dataset"):
        write(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


@pytest.mark.parametrize("where", ["update_metadata", "update_episode_metadata", "put_in_place"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_interruption_leaves_the_older_dataset_and_no_litter(tmp_path, monkeypatch, where, error):
    write(tmp_path / "data", make_episodes(seed=1))

    def fail(*args):
        raise error("No space left on device")

    owner = dataset_module if where == "put_in_place" else minari.dataset._storages.hdf5_storage.HDF5Storage
    monkeypatch.setattr(owner, where, fail)
    with pytest.raises(UserError if error is OSError else error, match="No space left"):
        write(tmp_path / "data", make_episodes(seed=2), overwrite=True)
    assert_same(read_dataset(tmp_path / "data").episode(0), make_episodes(seed=1)[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_a_failed_rename_puts_the_older_dataset_back(tmp_path, monkeypatch):
    write(tmp_path / "data", make_episodes(seed=1))
    rename = Path.rename

    def fail_on_new(self, target):
        if ".writing-" in str(self):
            raise OSError("Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_on_new)
    with pytest.raises(UserError, match="Input/output error"):
        write(tmp_path / "data", make_episodes(seed=2), overwrite=True)
    assert_same(read_dataset(tmp_path / "data").episode(0), make_episodes(seed=1)[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def killed_at(monkeypatch, owner, name, call):
    """Has this process killed as it comes to a call of a function."""
    function, calls = getattr(owner, name), []

    def count(*args, **options):
        calls.append(args)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)

    monkeypatch.setattr(owner, name, count)


KILLS = {
    "while it writes": (dataset_module, "_to_buffer", 2, 1),
    "before the older one is aside": (Path, "rename", 1, 1),
    "while none is there": (Path, "rename", 2, 1),
    "before the older one is gone": (Path, "rename", 3, 2),
}


@pytest.mark.parametrize("then", ["read", "write"])
@pytest.mark.parametrize("kill", KILLS)
def test_a_kill_leaves_the_older_dataset_or_the_new_one(tmp_path, monkeypatch, kill, then):
    *moment, survivor = KILLS[kill]
    path = tmp_path / "data"
    write(path, make_episodes(seed=1))

    def overwrite():
        killed_at(monkeypatch, *moment)
        write(path, make_episodes(seed=2), overwrite=True)

    process = multiprocessing.get_context("fork").Process(target=overwrite)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) > 1 and path.exists() == (kill != "while none is there")
    if then == "write":
        with pytest.raises(UserError, match="a dataset is already at"):
            write(path)
        assert [p.name for p in tmp_path.iterdir()] == ["data"]
    assert_same(read_dataset(path).episode(0), make_episodes(seed=survivor)[0])
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_what_a_living_process_writes_is_left_alone(tmp_path, monkeypatch):
    path, rename, seen = tmp_path / "data", Path.rename, []
    write(path, make_episodes(seed=1))

    def look(self, target):
        if ".writing-" in str(self):
            with pytest.raises(UserError, match="no dataset at"):  # for this moment
                read_dataset(path)
            seen.append(self)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", look)
    write(path, make_episodes(seed=2), overwrite=True, on_episode=lambda episode: seen.append(read_dataset(path)))
    assert len(seen) == len(LENGTHS) + 1
    assert_same(read_dataset(path).episode(0), make_episodes(seed=2)[0])


def test_only_what_is_of_this_dataset_is_swept(tmp_path):
    write(tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / ".data.old-7")
    others = [".data.old-x", ".data2.old-7", ".data2.writing-7", ".data.writing-7.old-1", "xdata.old-7"]
    for name in (*others, ".data.writing-123"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "data").mkdir()  # empty, it is no dataset
    assert len(read_dataset(tmp_path / "link")) == len(LENGTHS)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*others, "data", "link"])


FULL_DISK = """
import resource, sys
sys.path[:0] = {paths!r}
import test_dataset as t
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # no file may grow beyond this, as on a full disk
try:
    {unready}t.write({path!r}, overwrite=True)
except t.UserError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no file size limits here")
@pytest.mark.parametrize(
    ("unready", "said"),
    [("", "File too large; about 0.1 MB are needed"), ("t.dataset_module._check_room = print; ", "")],
)
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, unready, said):
    write(tmp_path / "data", make_episodes(seed=1))
    here = Path(__file__).parent
    code = FULL_DISK.format(unready=unready, paths=[str(here), str(here.parents[1])], path=str(tmp_path / "data"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    told = done.stdout.splitlines()[-1]
    assert told.startswith("refused: --data_path: could not write") and said in told, done.stdout + done.stderr
    assert_same(read_dataset(tmp_path / "data").episode(0), make_episodes(seed=1)[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_a_destination_that_cannot_be_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--out: .*file is not a folder"):
        check_destination(tmp_path / "file", flag="--out")
    with pytest.raises(UserError, match="--data_path: cannot make the folder"):
        check_destination(tmp_path / "file" / "data")
    check_destination(tmp_path / "new" / "deep" / "data")
    assert not (tmp_path / "new" / "deep" / "data").exists()


def test_no_episodes_are_no_dataset(tmp_path):
    with pytest.raises(UserError, match="--episodes"):
        write_dataset(tmp_path / "data", [], SPEC, METADATA, space_of(SPEC))


def test_a_moved_dataset_is_still_one(tmp_path):
    write(tmp_path / "data")
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    assert len(read_dataset(tmp_path / "elsewhere")) == len(LENGTHS)
