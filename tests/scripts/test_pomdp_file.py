"""A file of a finite POMDP through all three stages, and onto the page of an episode."""

import json

from buffers.dataset import read_dataset
from tests.helpers.pomdps import TIGER
from tests.helpers.scripts import assert_refused

CONFIG = "--config_env=configs/envs/pomdp_file.py"


def test_a_file_through_all_three_stages(scripts, tmp_path):
    (tmp_path / "tiger.pomdp").write_text(TIGER)
    env = (CONFIG, "--config_env.kwargs.path=tiger.pomdp", "--config_env.horizon=8")

    def call(script, *more):
        done = scripts.run(script, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    data = (*env, "--episodes=12", "--data_path=data", "--num_envs=4")
    done = scripts.run("main_collect_data.py", *data, cwd=tmp_path)
    assert_refused(done, "--random_episodes: PomdpFile-v0 has no expert")
    call("main_collect_data.py", *data, "--random_episodes=12")
    assert read_dataset(tmp_path / "data").spec.state_features == ("tiger-left", "tiger-right")
    few = ("--num_epochs=1", "--config_repr.batch_size=16", "--report_steps=4")
    call("main_pretrain_representations.py", "--config_repr=configs/repr/vector.py", *env, *few, "--data_path=data",
         "--save_dir=repr")  # fmt: skip
    call(
        "main.py", *env, "--config_rl=configs/rl/dqn.py:mi", "--state_embedder_dir=repr", "--obs_embedder_dir=repr",
        "--train_episodes=2", "--num_envs=2", "--batch_size=2", "--eval_episodes=2", "--start_training=1",
        "--film_episodes=1", "--updates_per_step=0.1", "--save_dir=logs", "--run_name=run", "--cuda=-1",
        "--config_rl.replay_steps=200",
    )  # fmt: skip
    run = tmp_path / "logs/default/run"
    assert json.loads((run / "summary.json").read_text())["env"] == "PomdpFile-v0"
    assert list(run.rglob("*.gif"))
    call("scripts/inspect_episode.py", str(run), "--episodes=1", "--out=page")
    page = (tmp_path / "page/episodes.html").read_text()
    assert "tiger-left" in page


def test_a_file_that_comes_along_is_found_from_anywhere_unless_there_is_one_of_its_name(scripts, tmp_path):
    name = "configs/envs/tiger.pomdp"
    env = (CONFIG, f"--config_env.kwargs.path={name}", "--config_env.horizon=8", "--episodes=2", "--random_episodes=2")
    for data in ("its", "own"):
        done = scripts.run("main_collect_data.py", *env, f"--data_path={data}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(TIGER.replace("tiger-left", "left"))
    features = [read_dataset(tmp_path / data).spec.state_features[0] for data in ("its", "own")]
    assert features == ["tiger-left", "left"]


def test_a_file_that_is_wrong_is_refused_in_one_line(scripts, tmp_path):
    (tmp_path / "tiger.pomdp").write_text(TIGER.replace("0.85 0.15\n", "0.85 0.25\n"))
    for flags, message in (
        ((), "config_env.kwargs.path: '' is no file"),
        (("--config_env.kwargs.path=none",), "config_env.kwargs.path: none: cannot be read"),
        (
            ("--config_env.kwargs.path=tiger.pomdp",),
            "config_env.kwargs.path: tiger.pomdp, line 15: O of action 'listen'",
        ),
    ):
        done = scripts.run("main.py", CONFIG, *flags, "--save_dir=logs", cwd=tmp_path)
        assert_refused(done, message)
