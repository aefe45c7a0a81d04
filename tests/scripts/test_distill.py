"""Distillation as a user does it: a teacher that sees the state, its students, their files, and what is refused."""

import json

import pytest

from policies.deployed.files import load_policy
from tests.helpers.runs import assert_identical, outcome
from tests.helpers.scripts import assert_refused

DAGGER, CLONE = ("--config_rl=configs/rl/distill.py:dagger",), ("--config_rl=configs/rl/distill.py:clone",)
ELF, A2C = "--config_rl=configs/rl/distill.py:elf", "--config_rl=configs/rl/a2c.py"
TINY = (
    "--train_episodes=4", "--num_envs=4", "--batch_size=3", "--eval_episodes=2", "--updates_per_step=0.1",
    "--config_env.horizon=12", "--config_env.eval.interval=20", "--film_episodes=0", "--config_rl.head_dims=(8,)",
    "--cuda=-1",
)  # fmt: skip
HELPER = "tests.helpers.advisers"


def train(scripts, folder, *flags, env="heaven_hell"):
    return scripts.run("main.py", f"--config_env=configs/envs/{env}.py", *flags, *TINY, f"--save_dir={folder}")


def trained(scripts, folder, *flags, name="run", env="heaven_hell"):
    done = train(scripts, folder, *flags, f"--run_name={name}", env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning") == 0, done.stderr
    return folder / "default" / name


@pytest.fixture(scope="module")
def teachers(scripts, tmp_path_factory):
    """Teachers that see the state: of discrete actions, and of continuous ones."""
    folder = tmp_path_factory.mktemp("teachers")
    grid = trained(scripts, folder, "--config_rl=configs/rl/dqn.py:teacher", "--start_training=1", name="grid")
    line = ("--config_rl=configs/rl/sac.py:teacher", "--start_training=1")
    return {"heaven_hell": grid, "car_flag_1d": trained(scripts, folder, *line, name="line", env="car_flag_1d")}


@pytest.mark.parametrize("env", ["heaven_hell", "car_flag_1d"])
def test_a_teacher_that_sees_the_state_teaches_and_is_never_deployed(scripts, teachers, tmp_path, env):
    teacher = teachers[env]
    about = load_policy(str(teacher))[1]
    for script, *flags in (
        ("scripts/export.py", f"--run={teacher}"),
        ("scripts/publish.py", f"--run={teacher}", f"--out={tmp_path / 'new'}"),
        ("main.py", f"--config_env=configs/envs/{env}.py", f"--policy_dir={teacher}"),
    ):
        flag = "--policy_dir" if script == "main.py" else "--run"
        assert_refused(scripts.run(script, *flags), f"{flag}: ", "teacher acts on the state, which nobody has")
    assert not (tmp_path / "new").exists() and not list(teacher.glob("**/*.onnx*"))
    run = trained(scripts, tmp_path, *DAGGER, f"--expert_policy_dir={teacher}", env=env)
    config = json.loads((run / "config.json").read_text())["config"]
    assert config["rl"]["teacher"] == "policy" and len(config["run"]["expert_policy_sha256"]) == 64
    student = load_policy(str(run))[1]
    assert student["spec"]["obs_dim"] == about["spec"]["obs_dim"]  # the domain's, both of 3 or 4 numbers
    for kind in ("onnx", "torchscript"):
        done = scripts.run("scripts/export.py", f"--run={run}", f"--format={kind}", "--episodes=3")
        assert done.returncode == 0, done.stderr
    done = scripts.run("scripts/publish.py", f"--run={run}", f"--out={tmp_path / 'new'}")
    assert done.returncode == 0, done.stderr
    assert str(teacher) not in (tmp_path / "new/policy.json").read_text()


def test_a_student_is_loaded_without_its_teacher(scripts, tmp_path):
    """Who made a policy of a function of his own does not have it imported by who plays the policy."""
    run = trained(scripts, tmp_path, *CLONE, f"--config_rl.teacher={HELPER}:up")
    file = run / "policy" / "policy.json"
    about = json.loads(file.read_text())
    assert about["config"]["rl"]["teacher"] == f"{HELPER}:up"
    about["config"]["rl"]["teacher"] = "no.such.module:nobody"
    file.write_text(json.dumps(about))
    flags = (
        "--config_env=configs/envs/heaven_hell.py",
        f"--policy_dir={run}",
        "--eval_episodes=1",
        "--film_episodes=0",
    )
    assert scripts.run("main.py", *flags).returncode == 0
    assert scripts.run("scripts/export.py", f"--run={run}", "--episodes=2").returncode == 0


def test_each_of_several_seeds_is_its_run_alone(scripts, tmp_path):
    flags = (*DAGGER, "--config_rl.teacher=informed")
    assert train(scripts, tmp_path, *flags, "--num_seeds=2", "--seed=4", "--run_name=both").returncode == 0
    alone = outcome(trained(scripts, tmp_path, *flags, "--seed=5", name="alone"))
    assert_identical(outcome(tmp_path / "default" / "both_s5"), alone)


def test_a_teacher_that_fails_on_the_way_loses_nothing(scripts, tmp_path):
    flags = (*DAGGER, f"--config_rl.teacher={HELPER}:failing_later", "--run_name=run", "--checkpoint_minutes=0")
    fails = {"FAIL_AFTER": "8"}
    before = scripts.start(
        "main.py", "--config_env=configs/envs/heaven_hell.py", *flags, *TINY, f"--save_dir={tmp_path}", **fails
    ).wait()
    assert before.returncode == 2 and "Traceback" not in before.stderr
    said = f"error: --config_rl.teacher: {HELPER}:failing_later raised RuntimeError: the light went out"
    assert before.stderr.splitlines()[-1] == said
    run = tmp_path / "default/run"
    assert list((run / "checkpoint").glob("*.ckpt")) and not (run / "summary.json").exists()
    done = train(scripts, tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stdout
    whole = trained(scripts, tmp_path, *flags, name="whole")
    assert_identical(outcome(run), outcome(whole))


@pytest.mark.parametrize(
    ("env", "flags", "expected"),
    [
        ("cartpole_hidden", DAGGER, ("--config_rl.teacher=expert: ", "has no expert; choose informed")),
        ("cartpole_hidden", (*DAGGER, "--config_rl.teacher=informed"), ("does not tell informed_actions",)),
        ("heaven_hell", (*DAGGER, "--expert_policy_dir={tmp}"), ("--expert_policy_dir: no policy in",)),
        ("heaven_hell", (*DAGGER, "--config_rl.teacher=policy"), ("--config_rl.teacher=policy: needs --expert",)),
        ("heaven_hell", (*DAGGER, "--config_rl.beta.end=1.5"), ("--config_rl.beta.end=1.5: a number from 0 to 1",)),
        ("heaven_hell", (*DAGGER, f"--config_rl.teacher={HELPER}:failing"), ("failing raised ValueError: dark",)),
        ("heaven_hell", (*DAGGER, "--config_rl.intrinsic.use=('information_gain',)"), ("--config_rl.intrinsic.use",)),
        ("heaven_hell", (ELF, "--config_rl.teacher="), ("--config_rl.teacher: needed by",)),
        (
            *("heaven_hell", (*DAGGER, "--expert_policy_dir={tmp}", "--config_rl.teacher=guess")),
            ("--expert_policy_dir: of --config_rl.teacher=policy, not guess",),
        ),
        (
            *("heaven_hell", (*DAGGER, "--sampled_seq_len=5", "--config_rl.carry=stored")),
            ("--config_rl.carry=stored: beside a teacher no carries are kept",),
        ),
        ("heaven_hell", (A2C, "--expert_policy_dir={tmp}"), ("--expert_policy_dir: not for a2c",)),
        ("car_flag_1d", ("--expert_policy_dir={heaven_hell}", *DAGGER), ("discrete actions; CarFlag-1D-v0's are not",)),
        ("heaven_hell_n", ("--expert_policy_dir={heaven_hell}", *DAGGER), ("sees 3 numbers of the state", "has")),
    ],
)  # fmt: skip
def test_what_cannot_teach_is_one_line_and_leaves_nothing(scripts, teachers, tmp_path, env, flags, expected):
    given = [flag.format(tmp=tmp_path / "nothing", **teachers) for flag in flags]
    done = train(scripts, tmp_path, *given, "--run_name=run", env=env)
    assert_refused(done, *expected)
    assert not list(tmp_path.glob("default/*/checkpoint/*"))


def test_what_says_nothing_is_warned_of(scripts, tmp_path):
    done = train(scripts, tmp_path, "--config_rl.teacher=expert", "--start_training=1")
    assert done.returncode == 0, done.stderr
    assert "dqn:history learns nothing of its teacher" in done.stderr
    assert "--start_training is not used by dqn:history" in done.stderr
