"""Stage 1 as a user calls it: what is collected, and one line for what cannot be."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest

from buffers.batch import Episode
from buffers.dataset import read_dataset
from envs.base import EnvSpec
from envs.replayed import SyncAsymmetricVectorEnv
from envs.wrappers import AsymmetricWrapper
from policies.acting.collect import collect_episodes, coverage, coverage_table
from policies.acting.rollout import check_expert
from tests.helpers import strangers
from tests.helpers.scripts import ROOT, assert_refused
from utils.errors import NoExpertError, UserError
from utils.folders import kept_for_us

HEAVEN_HELL = "--config_env=configs/envs/heaven_hell.py"
CARTPOLE = "--config_env=configs/envs/cartpole_hidden.py"


def collect(*flags, cwd=ROOT, **options):
    command = [sys.executable, str(ROOT / "main_collect_data.py"), *map(str, flags)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("collected")
    flags = (HEAVEN_HELL, "--episodes=60", "--random_episodes=20", "--guess_share=0.5", "--seed=3", "--num_envs=7")
    done = collect(*flags, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "data" / "HeavenHell-v0_s3_60ep", done, flags


def test_random_episodes_come_first_and_the_expert_does_the_rest(collected):
    path, done, _ = collected
    stored = read_dataset(path)
    assert stored.expert.tolist() == [False] * 20 + [True] * 40
    informed = stored.informed[20:]
    assert 0 < informed.sum() < 40
    assert stored.success[20:][informed].all()
    assert not stored.success[20:][~informed].all()
    assert set(stored.length[20:][informed]) == {14}
    assert len(read_dataset(path)) == 60
    assert "Traceback" not in done.stderr


def test_metadata_say_where_the_episodes_come_from(collected):
    path, done, _ = collected
    stored = read_dataset(path)
    metadata = stored.metadata
    assert (metadata["env_id"], metadata["seed"], metadata["num_envs"]) == ("HeavenHell-v0", 3, 7)
    assert metadata["expert_share"] == pytest.approx(40 / 60)
    assert metadata["guess_share"] == 0.5
    assert metadata["git_revision"]
    assert metadata["config_env"]["horizon"] == 50
    names = ("column", "row", "heaven")
    assert stored.spec == EnvSpec("HeavenHell-v0", 3, 3, 4, True, 50, state_features=names)
    for kind, which in {"random": ~stored.expert, "expert": stored.expert, "all": np.ones(60, bool)}.items():
        covered = metadata["coverage"][kind]
        assert covered["episodes"] == which.sum()
        assert covered["steps"] == stored.length[which].sum()
        assert covered["success"] == pytest.approx(stored.success[which].mean())
        assert covered["informed"] == pytest.approx(stored.informed[which].mean())
        assert covered["length"] == pytest.approx(stored.length[which].mean())
        assert covered["return"] == pytest.approx(stored.reward.sum() / 60 if kind == "all" else covered["return"])
        row = next(line.split() for line in done.stdout.splitlines() if line.startswith(kind))
        assert row[1:4] == [str(which.sum()), f"{stored.length[which].sum():,}", f"{covered['success']:.3f}"]
    assert f"written to {Path('data') / path.name}" in done.stdout


def test_stored_episodes_follow_the_domain(collected):
    stored = read_dataset(collected[0])
    steps = stored.transitions()
    np.testing.assert_array_equal(stored.obs[:, :2], stored.state[:, :2])
    np.testing.assert_array_equal(np.abs(stored.state[:, 2]), 1.0)
    ends = stored.discount[steps.row] == 0
    np.testing.assert_array_equal(np.abs(stored.reward[steps.row]), ends)  # heaven or hell, and nothing else, ends it
    last = stored.first + stored.length - 1
    np.testing.assert_array_equal(stored.discount[last] == 1, stored.length == 50)
    np.testing.assert_array_equal(stored.reward[last] > 0, stored.success)
    seen = np.array([(e.obs[:, 2] != 0).any() for e in map(stored.episode, range(len(stored)))])
    np.testing.assert_array_equal(seen, stored.informed)


def test_plain_minari_reads_what_was_collected(collected):
    plain = minari.MinariDataset(collected[0] / "data")
    stored = read_dataset(collected[0])
    assert plain.total_episodes == len(stored)
    assert isinstance(plain.action_space, gym.spaces.Discrete)
    for i, found in enumerate(plain):
        episode = stored.episode(i)
        np.testing.assert_array_equal(found.observations["obs"], episode.obs)
        np.testing.assert_array_equal(found.observations["state"], episode.state)
        np.testing.assert_array_equal(found.actions, episode.action)
        np.testing.assert_array_equal(found.rewards, episode.reward)
        assert found.infos["success"][-1] == episode.success


def test_the_same_seed_gives_the_same_dataset(collected, tmp_path):
    path, _, flags = collected
    assert collect(*flags, f"--data_path={tmp_path / 'again'}").returncode == 0
    assert collect(*flags, "--seed=4", f"--data_path={tmp_path / 'other'}").returncode == 0
    first, again, other = (read_dataset(p) for p in (path, tmp_path / "again", tmp_path / "other"))
    for name in ("obs", "state", "action", "reward", "discount", "length", "success", "informed", "expert"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name), err_msg=name)
    assert first.metadata["coverage"] == again.metadata["coverage"]
    assert first.length[:20].tolist() != other.length[:20].tolist()


def test_an_older_dataset_stays_unless_overwritten(collected, tmp_path):
    shutil.copytree(collected[0], tmp_path / "d")
    few = (HEAVEN_HELL, "--episodes=2", f"--data_path={tmp_path / 'd'}")
    assert_refused(collect(*few), "--data_path", "--overwrite")
    assert len(read_dataset(tmp_path / "d")) == 60
    assert collect(*few, "--overwrite").returncode == 0
    assert len(read_dataset(tmp_path / "d")) == 2


def test_a_third_partys_env_gives_random_episodes(tmp_path):
    done = collect(CARTPOLE, "--episodes=5", "--random_episodes=5", f"--data_path={tmp_path / 'd'}")
    assert done.returncode == 0, done.stderr
    stored = read_dataset(tmp_path / "d")
    assert stored.obs.shape[1:] == (2,)
    assert stored.state.shape[1:] == (4,)
    assert stored.reward.sum() == stored.length.sum()


REFUSED = {
    "no config": ((), ["--config_env is required"]),
    "unknown config": (("--config_env=configs/envs/heven_hell.py",), ["--config_env", "heaven_hell.py"]),
    "unknown flag": ((HEAVEN_HELL, "--episode=3"), ["--episode", "'episodes'"]),
    "no episodes": ((HEAVEN_HELL, "--episodes=0"), ["--episodes"]),
    "not a number": ((HEAVEN_HELL, "--episodes=many"), ["--episodes"]),
    "negative seed": ((HEAVEN_HELL, "--seed=-1"), ["--seed"]),
    "no envs": ((HEAVEN_HELL, "--num_envs=0"), ["--num_envs"]),
    "a seed of more than 64 bits": ((HEAVEN_HELL, f"--seed={2**64}"), ["--seed"]),
    "share above one": ((HEAVEN_HELL, "--guess_share=1.5"), ["--guess_share"]),
    "more random than all": ((HEAVEN_HELL, "--episodes=3", "--random_episodes=4"), ["--random_episodes", "--episodes"]),
    "who guesses is not there": (
        (HEAVEN_HELL, "--episodes=3", "--random_episodes=3", "--guess_share=0.5"),
        ["--guess_share", "no expert plays"],
    ),
    "no expert": (
        (CARTPOLE, "--episodes=3", "--random_episodes=2"),
        ["--random_episodes", "CartPole-v1 has no expert"],
    ),
    "nothing to turn": ((HEAVEN_HELL, "--aug"), ["--aug", "HeavenHell-v0 has no images that can be turned"]),
    "copies without turning": ((HEAVEN_HELL, "--n_aug=2"), ["--n_aug", "--aug"]),
    "unknown env": ((HEAVEN_HELL, "--config_env.id=HeavenHel-v0"), ["HeavenHel-v0", "HeavenHell-v0"]),
    "misspelt field": ((HEAVEN_HELL, "--config_env.horizn=5"), ["horizn", "horizon"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line(case, tmp_path):
    flags, expected = REFUSED[case]
    assert_refused(collect(*flags, f"--data_path={tmp_path / 'd'}"), *expected)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_dataset_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    refused = collect(HEAVEN_HELL, "--episodes=2", f"--data_path={tmp_path}", "--overwrite")
    assert_refused(refused, "--data_path", "not a dataset")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGKILL, -9)])
def test_a_run_that_is_stopped_leaves_the_older_dataset(collected, tmp_path, stop, code):
    shutil.copytree(collected[0], tmp_path / "d")
    flags = (HEAVEN_HELL, "--episodes=20000", f"--data_path={tmp_path / 'd'}", "--overwrite")
    command = [sys.executable, "main_collect_data.py", *flags]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".d.writing-*/*/data/main_data.hdf5")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(stop)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    told = f"stopped by {stop.name} before the data set was written; the same command starts over\n"
    assert stdout == ("" if stop == signal.SIGKILL else told)
    assert "Traceback" not in stderr
    assert len(read_dataset(tmp_path / "d")) == 60
    left = {".d.lock"} if stop == signal.SIGKILL else set()  # the next takes it
    assert {"d"} <= {p.name for p in tmp_path.iterdir()} <= {"d"} | left


class Countdown:
    """N envs whose episodes take 1 to 5 steps; the first observation tells slot and round."""

    single_action_space = gym.spaces.Discrete(2)

    def __init__(self, num_envs, seed, expert=True):
        self.num_envs, self.expert = num_envs, expert
        self.spec_sizes = EnvSpec("Countdown-v0", 2, 2, 2, True, 5)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
            self.left, self.count = np.zeros(self.num_envs, int), np.full(self.num_envs, -1)
        mask = np.ones(self.num_envs, bool) if options is None else options["reset_mask"]
        self.left = np.where(mask, self.rng.integers(1, 6, self.num_envs), self.left)
        self.count = self.count + mask
        return self.views(), {}

    def views(self):
        view = np.stack([np.arange(self.num_envs), self.count], axis=1).astype(np.float32)
        return {"obs": view, "state": view}

    def step(self, actions):
        self.left = self.left - 1
        ended = self.left == 0
        never = np.zeros(self.num_envs, bool)
        return self.views(), actions.astype(np.float32), ended, never, {"success": actions == 1}

    def expert_action(self, guess_N):
        if not self.expert:
            raise NoExpertError("none")
        return np.ones(self.num_envs, np.int64)

    def saw_information(self):
        return np.zeros(self.num_envs, bool)

    def lost_steps(self):
        return np.zeros(self.num_envs, bool)

    def close(self):
        pass


def play(num_random, num_expert, seed=0, num_envs=4):
    return collect_episodes(Countdown, num_random, num_expert, num_envs=num_envs, seed=seed)


def test_order_does_not_depend_on_how_long_episodes_take():
    order = [tuple(episode.obs[0].astype(int)) for episode in play(10, 0)]
    assert order == [(slot, k) for k in range(3) for slot in range(4)][:10]


def test_the_kinds_have_streams_of_their_own():
    random_only, mixed, more = play(6, 0), play(6, 5), play(9, 5)
    expert_only = play(0, 5)

    def same(left, right):
        return [e.action.tolist() for e in left] == [e.action.tolist() for e in right]

    assert same(random_only, mixed[:6])
    assert same(expert_only, mixed[6:])
    assert same(expert_only, more[9:])
    assert [len(e) for e in play(5, 0, num_envs=5)] != [len(e) for e in play(0, 5, num_envs=5)]


def test_fewer_episodes_than_envs_are_all_there():
    assert [e.expert for e in play(1, 2, num_envs=64)] == [False, True, True]


def test_a_domain_without_an_expert_is_found_out_beforehand():
    check_expert(Countdown(1, 0), "--flag", "leave it out")
    with pytest.raises(UserError, match="--flag: Countdown-v0 has no expert; leave it out"):
        check_expert(Countdown(1, 0, expert=False), "--flag", "leave it out")


def test_what_is_wrong_with_an_expert_that_there_is_is_said():
    """As of one whose actions are none of the env's."""
    astray = type("Astray", (strangers.Base,), {"expert_action": lambda self, guess=False: 7})
    envs = SyncAsymmetricVectorEnv([lambda: AsymmetricWrapper(astray(), max_episode_steps=4)])
    with pytest.raises(UserError, match=r"^config_env\.id: the expert of Astray gives 7; the env's own actions"):
        check_expert(envs, "--flag", "leave it out")


def test_columns_of_coverage_are_apart_however_long_their_numbers():
    row = {"episodes": 10, "steps": 1_234_567_890, "length": 5.0, "return": -1e30}
    lines = coverage_table({"random": row, "all": row}).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [len(line.split()) for line in lines] == [6, 7, 7]
    assert coverage_table({"all": row | {"return": 1.0}}).splitlines()[0].endswith("    length    return")


def test_coverage_worked_out_by_hand():
    def episode(rewards, **flags):
        rows = np.zeros((len(rewards) + 1, 1), np.float32)
        reward = np.array(rewards, np.float32)
        return Episode(rows, rows, np.zeros(len(rewards), np.int64), reward, np.ones_like(reward), **flags)

    covered = coverage([episode([0, 1], success=True), episode([0, 0, 0, -1], informed=True)])
    assert covered["random"] == covered["all"]
    assert covered["all"] == {
        "episodes": 2, "steps": 6, "success": 0.5, "informed": 0.5, "length": 3.0, "return": 0.0,
    }  # fmt: skip
    assert set(covered) == {"random", "all"}
    both = coverage([episode([0]), episode([1], expert=True, success=True)])
    assert (both["random"]["success"], both["expert"]["success"], both["all"]["success"]) == (0.0, 1.0, 0.5)


def test_two_collectors_do_not_write_one_folder(tmp_path):
    path = tmp_path / "data"
    flags = (HEAVEN_HELL, "--episodes=6", "--random_episodes=6", f"--data_path={path}")
    with kept_for_us(path):
        assert_refused(collect(*flags), f"--data_path: another process is writing into {path}")
    assert collect(*flags).returncode == 0
    assert len(read_dataset(path)) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
