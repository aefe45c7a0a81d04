"""Stages 1 and 2 with continuous actions, as a user calls them: both Car-Flags, and Pendulum without its velocity."""

import json

import gymnasium as gym
import minari
import numpy as np
import pytest

from buffers.dataset import read_dataset
from tests.helpers.scripts import assert_refused

DOMAINS = {  # id, action width, random episodes of 30, sizes of observation and state, horizon
    "car_flag_1d": ("CarFlag-1D-v0", 1, 10, 3, 3, 160),
    "car_flag_2d_continuous": ("CarFlag-2D-Continuous-v0", 2, 10, 4, 4, 50),
    "masked": ("Pendulum-v1", 1, 30, 2, 3, 200),
}
STAGE_2 = ("--config_repr=configs/repr/vector.py", "--num_epochs=1", "--report_steps=20", "--config_repr.batch_size=50",
           "--config_repr.hidden_dim=16")  # fmt: skip


@pytest.fixture(scope="module", params=DOMAINS)
def stages(request, scripts, tmp_path_factory):
    """The domain, the folder in which both stages were run, and what they printed."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    env, num_random = f"--config_env=configs/envs/{name}.py", DOMAINS[name][2]
    flags = ("--episodes=30", f"--random_episodes={num_random}", "--data_path=data")
    flags += ("--guess_share=0.5",) if num_random < 30 else ()
    collected = scripts.run("main_collect_data.py", env, *flags, cwd=folder)
    assert collected.returncode == 0, collected.stderr
    trained = scripts.run("main_pretrain_representations.py", env, *STAGE_2, "--data_path=data", "--save_dir=repr",
                          cwd=folder)  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    return name, folder, collected.stdout, trained.stdout


def test_stage_1_stores_float_actions_in_unit_bounds(stages):
    name, folder, printed, _ = stages
    env_id, width, num_random, obs_dim, state_dim, horizon = DOMAINS[name]
    stored = read_dataset(folder / "data")
    spec = stored.spec
    assert (spec.env_id, spec.action_dim, spec.discrete) == (env_id, width, False)
    assert (spec.obs_dim, spec.state_dim, spec.max_episode_steps) == (obs_dim, state_dim, horizon)
    rows = stored.transitions().row
    assert stored.action.shape[1:] == (width,) and stored.action.dtype == np.float32
    assert np.abs(stored.action).max() <= 1
    uniform = stored.action[rows][np.repeat(~stored.expert, stored.length)]
    assert uniform.std() == pytest.approx(1 / np.sqrt(3), abs=0.05)
    assert stored.expert.sum() == 30 - num_random
    np.testing.assert_array_equal(stored.obs[:, :2], stored.state[:, :2])
    assert [line.split()[0] for line in printed.splitlines()[1:-1]] == [
        "random", *(["expert"] if num_random < 30 else []), "all"
    ]  # fmt: skip
    plain = minari.MinariDataset(folder / "data" / "data")
    assert plain.action_space == gym.spaces.Box(-1, 1, (width,), np.float32)


def test_stage_1_stores_what_the_domain_pays(stages):
    name, folder, _, _ = stages
    stored = read_dataset(folder / "data")
    last = stored.first + stored.length - 1
    if name == "masked":
        assert stored.success is None and stored.informed is None  # it tells neither
        assert (stored.length == 200).all() and (stored.discount[last] == 1).all()
        assert stored.reward.max() <= 0 and stored.reward.sum() / 30 < -500
        return
    honest = stored.expert & stored.informed
    assert 0 < honest.sum() < 20
    if name == "car_flag_2d_continuous":  # on the line, a guess to the right passes the information
        assert stored.success[honest].all()
    assert stored.success[stored.expert].mean() >= 0.5
    np.testing.assert_array_equal(stored.reward[last] > 0, stored.success)
    np.testing.assert_array_equal(stored.discount[last] == 0, stored.reward[last] != 0)


def test_stage_2_embeds_both_views_and_reports(stages):
    name, folder, _, printed = stages
    env_id, _, _, obs_dim, state_dim, _ = DOMAINS[name]
    for encoder, size in (("s_encoder", state_dim), ("o_encoder", obs_dim)):
        described = json.loads((folder / "repr" / f"{encoder}.json").read_text())
        assert (described["env_id"], described["encoder"]["in_dim"]) == (env_id, size)
    report = json.loads((folder / "repr" / "report.json").read_text())
    hidden = {"car_flag_1d": {"side", "place"}, "car_flag_2d_continuous": {"flag", "place"}, "masked": set()}[name]
    assert set(report["factors"]) == hidden
    assert all(np.isfinite(value) for value in report["shared_nats"].values())
    assert f"What the embeddings of {env_id} hold" in printed and "reward_r2" in printed
    (epoch,) = [json.loads(line) for line in (folder / "repr" / "metrics.jsonl").read_text().splitlines()]
    assert np.isfinite(epoch["total"])


def test_another_masked_env_is_one_flag_away(scripts, tmp_path):
    masked = "--config_env=configs/envs/masked.py"
    few = ("--episodes=2", "--random_episodes=2", "--num_envs=2", f"--data_path={tmp_path / 'd'}")
    done = scripts.run("main_collect_data.py", masked, "--config_env.id=Acrobot-v1", *few)
    assert done.returncode == 0, done.stderr
    spec = read_dataset(tmp_path / "d").spec
    assert (spec.env_id, spec.obs_dim, spec.state_dim, spec.discrete) == ("Acrobot-v1", 4, 6, True)
    few = (*few, "--overwrite")
    done = scripts.run("main_collect_data.py", masked, "--config_env.hidden=0,1", *few)
    assert done.returncode == 0, done.stderr
    assert read_dataset(tmp_path / "d").spec.obs_dim == 1
    refused = scripts.run("main_collect_data.py", masked, "--config_env.id=FrozenLake-v1", *few)
    assert_refused(refused, "config_env.hidden", "FrozenLake-v1", "indices")
    assert_refused(scripts.run("main_collect_data.py", masked, "--config_env.hidden=speed", *few), "'velocity'")
    expert = scripts.run("main_collect_data.py", masked, "--episodes=2", f"--data_path={tmp_path / 'e'}")
    assert_refused(expert, "--random_episodes", "Pendulum-v1 has no expert")
