"""How alike encoders are: CKA on known answers, and a row a run of stage 2."""

import json

import numpy as np
import pytest

from buffers.dataset import write_dataset
from envs.make import make_vector_env
from policies.acting.collect import collect_episodes
from policies.representation.kinds import Settings
from policies.representation.run import pretrain
from scripts.reporting.encoders import COLUMNS, cka, rows
from tests.helpers.configs import config_named
from utils.errors import UserError


def test_cka_is_blind_to_rotation_and_scale_and_tells_strangers():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 4))
    turn, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    assert cka(x, 7 * x @ turn + 3) == pytest.approx(1)
    assert cka(x, rng.standard_normal((2000, 6))) == pytest.approx(0, abs=0.01)
    # of two independent columns one is kept: ‖YᵀX‖² = n², ‖XᵀX‖ = √2 n, ‖YᵀY‖ = n
    plane = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert cka(plane, plane[:, :1]) == pytest.approx(1 / np.sqrt(2))
    assert cka(plane, np.ones((4, 1))) == 0


@pytest.fixture
def trained(tmp_path):
    """Two seeds of stage 2 on a few episodes."""
    config_env, config_repr = config_named("envs", "heaven_hell"), config_named("repr", "heaven_hell")
    with config_repr.unlocked():
        config_repr.num_epochs, config_repr.batch_size, config_repr.hidden_dim = 1, 100, 16
        config_repr.encoder.hidden_dims = (16, 16)
    played = collect_episodes(
        lambda count, seed: make_vector_env(config_env, count, seed=seed), 20, 0, num_envs=10, seed=0, guess_share=0.0
    )
    envs = make_vector_env(config_env, 1, seed=0)
    write_dataset(tmp_path / "data", played, envs.spec_sizes, {"seed": 5}, envs.single_action_space)
    for seed in (0, 1):
        settings = Settings(
            data_path=str(tmp_path / "data"), save_dir=str(tmp_path / f"repr/s{seed}"), seed=seed, report_steps=20
        )
        argv = ["main_pretrain_representations.py", "--threads=1", f"--threads={1 + seed}"]
        pretrain(config_env, config_repr, settings, argv)
    return tmp_path


def test_a_row_a_run_held_against_the_first(trained):
    first, second = (dict(zip(COLUMNS, row, strict=True)) for row in rows([str(trained / "repr")]))
    assert [first[name] for name in ("env", "data", "seed", "threads")] == ["HeavenHell-v0", "5", "0", "1"]
    assert [second[name] for name in ("seed", "threads")] == ["1", "2"]
    assert first["likeness, z_state"] == first["likeness, z_obs"] == "–"
    assert 0 < float(second["likeness, z_state"]) < 1
    for row in (first, second):
        assert all(np.isfinite(float(row[name])) for name in ("hidden", "of facts", "shared, nats", "spread", "read"))


def test_what_is_no_run_of_stage_2_is_one_line(trained, tmp_path):
    with pytest.raises(UserError, match="--runs: no finished run of stage 2"):
        rows([str(tmp_path / "nowhere")])
    (trained / "repr/s1/report.json").write_text("{}")
    with pytest.raises(UserError, match=r"--runs: .*s1 is not what stage 2 writes, or is damaged \(KeyError"):
        rows([str(trained / "repr")])


def test_a_folder_named_twice_is_one_and_other_sizes_are_one_line(trained):
    config, report = (json.loads((trained / f"repr/s1/{name}.json").read_text()) for name in ("config", "report"))
    assert len(rows([str(trained / "repr"), str(trained / "repr/s0/..")])) == 2
    report["factors"] = {}  # as of a domain that names none
    (trained / "repr/s1/report.json").write_text(json.dumps(report))
    named = dict(zip(COLUMNS, rows([str(trained / "repr")])[1], strict=True))
    assert named["of facts"] == named["read"] == "–"
    config_env = config_named("envs", "sphinx")
    played = collect_episodes(
        lambda count, seed: make_vector_env(config_env, count, seed=seed), 2, 0, num_envs=2, seed=0, guess_share=0.0
    )
    spec = make_vector_env(config_env, 1, seed=0).spec_sizes
    space = make_vector_env(config_env, 1, seed=0).single_action_space
    write_dataset(trained / "wider", played, spec, {"seed": 5}, space)
    config["config"]["data"]["path"] = str(trained / "wider")
    (trained / "repr/s1/config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"--runs: the z_state of .*s1 is of .* numbers, of the first run of Heaven"):
        rows([str(trained / "repr")])
