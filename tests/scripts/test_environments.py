"""Environments of other people through all three stages, by config alone; those not installed are passed over."""

import json
import re
import warnings

import pytest

from buffers.dataset import read_dataset
from tests.helpers.scripts import assert_refused

CONFIG = "--config_env=configs/envs/third_party.py"
SMALL_IMAGES = (
    "--config_repr=configs/repr/robot.py:block_pulling",
    "--config_repr.encoder.channels=(4,4,4)",
    "--config_repr.encoder.hidden_dims=(8,)",
)
BATCHED = (
    *("--config_env.id=Batched-v0", "--config_env.vector_entry=tests.helpers.batched:Simulator"),
    *("--config_env.state_fn=", "--config_env.obs_keys=policy", "--config_env.state_keys=critic"),
    *("--config_env.action_low=-1", "--config_env.action_high=1", "--config_env.horizon=4"),
)
POPGYM = (
    *("Autoencode", "RepeatPrevious", "RepeatFirst", "CountRecall", "PositionOnlyCartPole", "PositionOnlyPendulum"),
    *("VelocityOnlyCartpole", "NoisyPositionOnlyCartPole", "NoisyPositionOnlyPendulum", "MultiarmedBandit"),
    *("HigherLower", "Battleship", "Concentration", "MineSweeper", "LabyrinthExplore", "LabyrinthEscape"),
)
SHORT = ("--config_env.horizon=8",)
UNCLOSED = (
    *("--config_env.module=tests.helpers.drawing", "--config_env.id=drawing/Unclosed-v0", "--config_env.hidden=()"),
    "--config_env.state_fn=",
)
ROBOT = (
    *("--config_env.module=tests.helpers.strangers", "--config_env.id=Robot-v0", "--config_env.hidden=()"),
    *("--config_env.state_fn=", "--config_env.one_instance"),
)
APART = (
    *("--config_env.id=Apart-v0", "--config_env.vector_entry=tests.helpers.strangers:Apart", "--config_env.hidden=()"),
    *("--config_env.state_fn=", "--config_env.obs_keys=seen", "--config_env.state_keys=all", "--config_env.horizon=4"),
)
MINIGRID = {
    f"minigrid_memory{name}": side
    for name, side in {"": 7, "_9": 9, "_11": 11, "_13": 13, "_13_random": 13, "_17_random": 17}.items()
}
# name: (the package, the row, further flags of the domain, the family)
THROUGH = {
    "batched": ("torch", "any", BATCHED, "sac"),
    "batched, one instance": ("torch", "any", (*BATCHED, "--config_env.one_instance"), "sac"),
    "batched, cannot be closed": (
        "torch", "any", (*BATCHED, "--config_env.vector_entry=tests.helpers.batched:Unclosed"), "sac",
    ),
    "a robot, which is there once": ("torch", "any", ROBOT, "dqn"),
    "cannot be closed": ("torch", "any", (*UNCLOSED, *SHORT), "dqn"),
    **{row: ("minigrid", row, SHORT, "dqn") for row in MINIGRID},
    **{
        f"popgym, {task}": (
            *("popgym", "popgym", (*SHORT, f"--config_env.id=popgym-{task}Easy-v0")),
            "sac" if "Pendulum" in task else "dqn",
        )
        for task in POPGYM
    },
    "fetch": ("gymnasium_robotics", "fetch_reach", SHORT, "sac"),
    "pong": ("ale_py", "pong", SHORT, "dqn"),
}  # fmt: skip


@pytest.mark.parametrize("name", THROUGH)
def test_by_config_alone_through_all_three_stages(name, scripts, tmp_path):
    package, row, flags, family = THROUGH[name]
    pytest.importorskip(package)
    env = (f"{CONFIG}:{row}", *flags)

    def call(script, *more):
        done = scripts.run(script, *env, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    call("main_collect_data.py", "--episodes=12", "--random_episodes=12", "--data_path=data", "--num_envs=4")
    stored = read_dataset(tmp_path / "data")
    assert len(stored) == 12
    images = SMALL_IMAGES if row == "pong" else ("--config_repr=configs/repr/vector.py",)
    few = ("--num_epochs=1", "--config_repr.batch_size=16", "--report_steps=4")
    call("main_pretrain_representations.py", *images, *few, "--data_path=data", "--save_dir=repr")
    call(
        "main.py", f"--config_rl=configs/rl/{family}.py:mi", "--state_embedder_dir=repr", "--obs_embedder_dir=repr",
        "--train_episodes=1", "--num_envs=2", "--batch_size=2", "--eval_episodes=2", "--start_training=1",
        "--film_episodes=0", "--updates_per_step=0.1", "--save_dir=logs", "--run_name=run", "--cuda=-1",
        "--config_rl.replay_steps=200", *(["--config_seq.image.cnn.channels=(4,4,4)"] if row == "pong" else []),
    )  # fmt: skip
    summary = json.loads((tmp_path / "logs/default/run/summary.json").read_text())
    assert summary["env"] == stored.spec.env_id
    described = json.loads((tmp_path / "logs/default/run/policy/policy.json").read_text())
    assert described["spec"]["obs_dim"] == stored.spec.obs_dim
    if "closed" in name or "robot" in name:
        call("scripts/export.py", "logs/default/run", "--episodes=2", "--format=torchscript")
        assert (tmp_path / "logs/default/run/policy.pt.json").is_file()
    if "robot" in name:
        call("scripts/inspect_episode.py", "logs/default/run", "--episodes=2", "--state_embedder_dir=repr")
    if row == "pong":
        assert (stored.spec.obs_image_shape, stored.obs.dtype) == ((1, 84, 84), "uint8")


@pytest.mark.parametrize("late", [True, False])
def test_a_signal_to_all_of_a_job_that_ends_the_envs_first_waits_to_be_taken_up(late, scripts, tmp_path):
    """Only the signal makes it so: where processes of envs end of themselves it is an error, as ever."""
    run = (
        *("main.py", f"{CONFIG}:any", "--config_rl=configs/rl/dqn.py:history", *APART, "--num_envs=2", "--cuda=-1"),
        *("--train_episodes=60", "--updates_per_step=0.1", "--batch_size=2", "--eval_episodes=2", "--film_episodes=0"),
        *("--config_rl.replay_steps=200", "--save_dir=logs", "--run_name=run"),
    )
    ended = scripts.run(*run, f"--config_env.kwargs.late={late}", cwd=tmp_path)
    assert ended.returncode == (75 if late else 1), ended.stderr
    if not late:
        assert "Traceback" in ended.stderr
        return
    assert "error: " not in ended.stderr  # what processes of the envs say as they end is theirs
    assert "stopped by SIGTERM, as processes of its envs were (" in ended.stdout
    where = r"newest checkpoint is of 40 steps\), at \d+ of 280 steps; the same command goes on"  # some env may answer
    assert re.search(where, ended.stdout)
    assert not (tmp_path / "logs/default/run/summary.json").exists()
    done = scripts.run(*run, "--config_env.kwargs.late=True", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stdout


@pytest.mark.parametrize("task", POPGYM)
def test_every_easy_task_of_popgym_is_played(task):
    pytest.importorskip("popgym")
    import numpy as np

    from configs.envs import third_party
    from envs.make import make_vector_env
    from policies.acting.rollout import RandomPolicy, run_episodes

    config = third_party.get_config("popgym")
    with config.unlocked():
        config.id = f"popgym-{task}Easy-v0"
    envs = make_vector_env(config, 2, seed=0)
    spec = envs.spec_sizes
    episodes = run_episodes(envs, RandomPolicy(spec.action_dim, spec.discrete, np.random.default_rng(0)), 4, seed=0)
    space = envs.single_observation_space
    for episode in episodes:
        for t in range(len(episode) + 1):
            assert space["state"].contains(episode.state[t]) or "Pole" in task or "pole" in task or "Pend" in task
            assert episode.obs[t].shape == space["obs"].shape
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # as where a seed is ignored
        envs.load_state_dict(envs.state_dict())


@pytest.mark.parametrize(("task", "state_fn"), [("HigherLower", "popgym_cards"), ("LabyrinthEscape", "popgym_maze")])
def test_states_of_popgym_that_tell_what_its_own_leave_out(task, state_fn):
    pytest.importorskip("popgym")
    import numpy as np

    from configs.envs import third_party
    from envs.make import make_vector_env
    from policies.acting.rollout import RandomPolicy, run_episodes

    def ambiguous(state_fn):
        """States that come with several observations."""
        config = third_party.get_config("popgym")
        with config.unlocked():
            config.id, config.state_fn, config.horizon = f"popgym-{task}Easy-v0", state_fn, 60
        envs = make_vector_env(config, 8, seed=0)
        act = RandomPolicy(envs.spec_sizes.action_dim, True, np.random.default_rng(0))
        seen = {}
        for episode in run_episodes(envs, act, 100, seed=0):
            obs = episode.obs[:, :-5] if "Labyrinth" in task else episode.obs  # without the previous action
            for state_S, obs_O in zip(episode.state, obs):
                seen.setdefault(np.asarray(state_S).tobytes(), set()).add(np.asarray(obs_O).tobytes())
        return sum(len(observations) > 1 for observations in seen.values())

    assert ambiguous("") > 10
    assert ambiguous(f"envs.states:{state_fn}") == 0


@pytest.mark.parametrize("row", MINIGRID)
def test_the_memory_tasks_of_minigrid_are_as_they_say(row):
    pytest.importorskip("minigrid")
    import numpy as np

    from configs.envs import third_party
    from envs.make import make_env

    env, side = make_env(third_party.get_config(row)), MINIGRID[row]
    base = env.unwrapped
    assert (base.width, base.max_steps, env.spec_sizes.max_episode_steps) == (side, 5 * side**2, 5 * side**2)
    assert base.random_length == row.endswith("random")
    assert env.spec_sizes.state_dim == 3 * side**2 + 3 and env.spec_sizes.action_dim == 7
    shown = set()
    for seed in range(20):
        views, _ = env.reset(seed=seed)
        grid = views["state"][: 3 * side**2].reshape(side, side, 3)
        cue, ends = grid[1, side // 2 - 1, 0], grid[..., 0][np.isin(grid[..., 0], (5, 6))]  # keys and balls
        assert sorted(ends) == sorted([5, 6, cue])  # one of each at the end, and at the start the cue
        shown.add((int(cue), float(grid[base.success_pos][0])))
    assert len(shown) > 1


def test_words_that_cannot_be_flattened_are_told_in_one_line_with_what_to_name(scripts, tmp_path):
    pytest.importorskip("minigrid")
    flags = (f"{CONFIG}:minigrid_memory", "--config_env.obs_keys=", "--episodes=2", "--random_episodes=2")
    done = scripts.run("main_collect_data.py", *flags, "--data_path=data", cwd=tmp_path)
    assert_refused(done, "config_env.obs_keys", "--config_env.obs_keys=direction,image")
