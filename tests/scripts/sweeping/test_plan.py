"""From a sweep file to jobs: grids against nested loops, and one line for what cannot be run."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from scripts.sweeping import search
from scripts.sweeping.plan import Sweep
from tests.helpers.scripts import assert_refused
from tests.helpers.sweeps import QUICK, ROOT, sweep_of, train
from utils.config import load_config
from utils.errors import UserError


def test_three_stages_are_what_nested_loops_give(tmp_path):
    axes = {
        "env": ("hh", "sphinx"),
        "method": {"mi": ("--config_rl=dqn:mi", "--state_embedder_dir={pre}"), "ua": ("--config_rl=dqn:ua",)},
        "seed": (0, 1, 2),
    }
    stages = {
        "train": train(("env", "method", "seed"), "--config_env={env}", "--seed={seed}"),
        "pre": {
            "script": "main_pretrain_representations.py",
            "over": ("env",),
            "flags": ("--config_env={env}", "--data_path={collect}"),
        },
        "collect": {"script": "main_collect_data.py", "over": ("env",), "flags": ("--config_env={env}",)},
    }
    jobs = sweep_of(tmp_path, axes, stages).jobs()
    expected = {}
    for env in ("hh", "sphinx"):
        data, pre = f"{tmp_path}/s/collect/{env}", f"{tmp_path}/s/pre/{env}"
        expected[f"collect/{env}"] = ["main_collect_data.py", f"--config_env={env}", f"--data_path={data}"]
        expected[f"pre/{env}"] = ["main_pretrain_representations.py", f"--config_env={env}", f"--data_path={data}"]
        expected[f"pre/{env}"] += [f"--save_dir={pre}", "--threads=1"]
        for method in ("mi", "ua"):
            for seed in (0, 1, 2):
                words = ["main.py", f"--config_env={env}", f"--seed={seed}", f"--config_rl=dqn:{method}"]
                words += [f"--state_embedder_dir={pre}"] if method == "mi" else []
                words += [f"--save_dir={tmp_path}", "--group=s/train", f"--run_name={env}_{method}_s{seed}"]
                expected[f"train/{env}_{method}_s{seed}"] = [*words, "--threads=1"]
    assert {job.id: list(job.words) for job in jobs} == expected
    needs = {job.id: [need.id for need in job.needs] for job in jobs}
    assert needs["pre/hh"] == ["collect/hh"]
    assert needs["train/sphinx_mi_s2"] == ["pre/sphinx"]
    assert needs["train/sphinx_ua_s2"] == []
    order = [job.id for job in jobs]
    assert all(order.index(need.id) < order.index(job.id) for job in jobs for need in job.needs)
    assert [job.done_file for job in jobs if job.id == "collect/hh"] == [tmp_path / "s/collect/hh/data/metadata.json"]


LABELS = st.lists(st.integers(0, 20), min_size=1, max_size=4, unique=True)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), LABELS, min_size=1), st.data())
def test_a_grid_is_the_product_of_the_axes_that_a_stage_is_over(axes, data):
    over = data.draw(st.permutations(sorted(axes)).map(lambda names: names[: max(1, len(names) - 1)]))
    sweep = sweep_of(
        Path("x"), {k: tuple(v) for k, v in axes.items()}, {"t": train(over, *(f"--{a}={{{a}}}" for a in over))}
    )
    rows = [[]]
    for axis in over:
        rows = [[*row, f"--{axis}={value}"] for row in rows for value in axes[axis]]
    assert [list(job.words[1 : 1 + len(over)]) for job in sweep.jobs()] == rows


def test_a_list_names_its_rows_and_a_star_is_every_value(tmp_path):
    axes = {"env": ("hh", "sphinx"), "lr": (0.1, 0.2), "seed": (0, 1)}
    stage = train(
        ("env", "lr", "seed"), "--e={env}", "--lr={lr}", "--seed={seed}", list=(("hh", 0.1, "*"), ("sphinx", 0.2, 1))
    )
    names = [job.name for job in sweep_of(tmp_path, axes, {"train": stage}).jobs()]
    assert names == ["hh_0.1_s0", "hh_0.1_s1", "sphinx_0.2_s1"]


def test_what_nobody_needs_is_not_run_and_flags_of_axes_reach_their_stage(tmp_path):
    axes = {"env": {"hh": {"train": ("--train_episodes=3",), "collect": ("--episodes=5",)}, "sphinx": {}}}
    stages = {
        "collect": {"script": "main_collect_data.py", "over": ("env",), "flags": ("--config_env={env}",)},
        "train": train(("env",), "--config_env={env}", "--state_embedder_dir={collect}", list=(("hh",),)),
    }
    sweep = sweep_of(tmp_path, axes, stages, {"train": ["--train_episodes=9"], "collect": ["--config_env.horizon=4"]})
    collect, run = sweep.jobs()
    assert (collect.id, run.id) == ("collect/hh", "train/hh")
    assert collect.words[1:4] == ("--config_env=hh", "--episodes=5", "--config_env.horizon=4")
    assert [word for word in run.words if "train_episodes" in word] == ["--train_episodes=3", "--train_episodes=9"]


def test_a_config_comes_before_its_fields_whoever_names_them(tmp_path):
    axes = {"env": {"hh": ("--config_rl.lr=0.1",)}, "method": {"mi": ("--config_rl=dqn:mi",)}}
    (job,) = sweep_of(
        tmp_path, axes, {"train": train(("env", "method"), "--config_seq.a=1", "--config_seq=gru")}
    ).jobs()
    assert job.words[1:5] == ("--config_seq=gru", "--config_rl=dqn:mi", "--config_seq.a=1", "--config_rl.lr=0.1")


STAGE = train(("seed",), "--seed={seed}")


@pytest.mark.parametrize(
    ("axes", "stages", "said"),
    [
        ({"seed": ()}, {"t": STAGE}, "axes.seed is empty"),
        ({"seed": (0, 1, 0)}, {"t": STAGE}, "axes.seed: '0' is there twice"),
        ({"seed": (0, 1)}, {}, "stages is empty"),
        ({"seed": (0, 1)}, {"t": {**STAGE, "list": ()}}, "stages.t.list is empty"),
        ({"seed": (0, 1)}, {"t": {**STAGE, "list": ((0, 1),)}}, "no row of 1 values"),
        ({"seed": (0, 1)}, {"t": {**STAGE, "list": ((7,),)}}, "unknown value '7'"),
        ({"seed": (0, 1)}, {"t": train(("seed",), "--x=1")}, "the same command"),
        ({"seed": (0, 1)}, {"t": train(("seed",), "--seed={seed}", "--x=1", "--seed=7")}, "the same command"),
        ({"seed": (0,)}, {"t": train(("seed",), "--num_seeds=3")}, "--num_seeds=3: not in a sweep; give the stage"),
        ({"seed": (0,)}, {"t": train(("seed",), "--policy_dir=x")}, "a run that only plays is no job of a sweep"),
        ({"seed": (0, 1)}, {"t": {**STAGE, "name": "run"}}, "two runs are named 'run'"),
        ({"seed": ("a/b", "a:b")}, {"t": STAGE}, "two runs are named 'sa-b'"),
        ({"seed": (0,)}, {"t": {**STAGE, "skript": "main.py"}}, "unknown field 'skript' (did you mean 'script'?)"),
        ({"seed": (0,)}, {"t": {**STAGE, "script": "mian.py"}}, "did you mean 'main.py'?"),
        ({"seed": (0,)}, {"t": {**STAGE, "over": ("sead",)}}, "did you mean 'seed'?"),
        ({"seed": (0,)}, {"t": {**STAGE, "threads": 0}}, "stages.t.threads"),
        ({"seed": (0,)}, {"t": train(("seed",), "--seed={seed}", "--threads=2")}, "itself; set stages.t.threads"),
        ({"seed": {"a": ("-save_dir=x",)}}, {"t": train(("seed",))}, "-save_dir=x: the sweep sets --save_dir"),
        ({"seed": (0,)}, {"t": {**STAGE, "flags": "--seed=0"}}, "a tuple of strings"),
        ({"seed": (0,)}, {"t": {**STAGE, "slurm": {"hours": 0}}}, "stages.t.slurm.hours: a number above 0"),
        ({"seed": (0,)}, {"t": train(("seed",), "--seed={sed}")}, "unknown {sed} (did you mean 'seed'?)"),
        ({"seed": (0, 1)}, {"t": train((), "--a={u}"), "u": STAGE}, "which {u}?"),
        ({"seed": (0,)}, {"t": train((), "--a={u}"), "u": train((), "--a={t}")}, "refers to itself"),
        ({"seed": 3}, {"t": STAGE}, "axes.seed: a tuple"),
        ({"trial": (0,)}, {"t": STAGE}, "axes.trial"),
        ({"seed": (0,)}, {"jobs": STAGE}, "stages.jobs: choose another name"),
        ((0, 1), {"t": STAGE}, "axes: a group of fields is needed, not [0, 1]"),
        ({"seed": (0,)}, "main.py", "stages: a group of fields"),
        ({"seed": (0,)}, {"t": "main.py"}, "stages.t: a group of fields"),
        ({"seed": (0,)}, {"t": {**STAGE, "script": ("main.py",)}}, "stages.t.script: a text"),
        ({"seed": (0,)}, {"t": {**STAGE, "list": 3}}, "stages.t.list: a tuple"),
        ({"seed": (0,)}, {"t": {**STAGE, "threads": True}}, "stages.t.threads: a whole number"),
        ({"seed": (0,)}, {"t": {**STAGE, "slurm": "gpu"}}, "stages.t.slurm: a group of fields"),
        ({"seed": (0,)}, {"t": {**STAGE, "slurm": {"hours": float("inf")}}}, "stages.t.slurm.hours: a number"),
        ({"seed": (0,)}, {"t": {**STAGE, "slurm": {"runs_per_job": 1.5}}}, "runs_per_job: a whole number"),
        ({"seed": (0,)}, {"t": {**STAGE, "slurm": {"setup": "module load x"}}}, "setup: a tuple of strings"),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused_with_the_field(tmp_path, axes, stages, said):
    with pytest.raises(UserError) as refused:
        sweep = sweep_of(tmp_path, axes, stages)
        sweep.jobs()
        sweep.slurm_of("t")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "..", ".", ".hidden", "a/b", 3, None])
def test_a_name_that_is_no_folder_of_its_own_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="--config_sweep: name"):
        Sweep(ConfigDict({"name": name, "stages": {"t": train(())}}).lock(), tmp_path)


def write_sweep(tmp_path, axes, flags):
    path = tmp_path / "sweep.py"
    path.write_text(f"""from ml_collections import ConfigDict


def get_config():
    flags = ("--config_env=configs/envs/heaven_hell.py", {flags})
    stage = {{"script": "main.py", "over": ("seed",), "flags": flags}}
    return ConfigDict({{"name": "s", "axes": {{"seed": {axes}}}, "stages": {{"train": stage}}}})
""")
    return path


@pytest.mark.parametrize(
    ("flags", "axes", "said"),
    [
        ("'--seed={seed}', '--config_rl.discuont=1'", "(0, 1)", ("stages.train", "did you mean 'discount'?")),
        ("'--seeed={seed}'", "(0, 1)", ("stages.train, s0", "--seeed", "did you mean 'seed'?")),
        ("'--seed={seed}'", "(0, -1)", ("stages.train, s-1", "--seed=-1")),
        ("'--seed={seed}'", "()", ("axes.seed is empty",)),
    ],
)
def test_an_unknown_flag_or_field_is_found_before_anything_runs(scripts, tmp_path, flags, axes, said):
    path = write_sweep(tmp_path, axes, flags)
    done = scripts.run("scripts/sweep.py", f"--config_sweep={path}", f"--save_dir={tmp_path}")
    assert_refused(done, "--config_sweep", *said)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--jobs=0"], ["--jobs"]),
        (["--add=--train_episodes=2"], ["--add", "STAGE:--FLAG=VALUE"]),
        (["--add=trian:--train_episodes=2"], ["--add", "did you mean 'train'?"]),
        (["--config_sweep.axes.sed=(0,)"], ["--config_sweep", "did you mean 'axes.seed'?"]),
        (["--cluster=slrum"], ["--cluster"]),
        (["--cluster=slurm", "--runs_per_job=0"], ["--runs_per_job"]),
        (["--cluster=slurm", "--hours=inf"], ["--hours", "a number"]),
    ],
)
def test_a_wrong_flag_is_one_line(scripts, tmp_path, flags, said):
    assert_refused(scripts.run("scripts/sweep.py", f"--config_sweep={QUICK}", f"--save_dir={tmp_path}", *flags), *said)


def test_without_slurm_the_other_choice_is_named(scripts, tmp_path):
    done = scripts.run(
        "scripts/sweep.py", f"--config_sweep={QUICK}", f"--save_dir={tmp_path}", "--cluster=slurm", PATH="/nowhere"
    )
    assert_refused(done, "--cluster=slurm", "sbatch", "local")
    assert list(tmp_path.iterdir()) == []


NUMBER = {
    "quick": 6,
    "offline": 5 + 9 * 5,
    "asymmetric_dqn": 8 * 20,
    "asymmetric_dqn:heaven_hell_4": 8 * 20,
    "asymmetric_dqn:car_flag": 8 * 20,
    "asymmetric_dqn:cleaner": 2 * 5 + 6 * 20,
    "asymmetric_dqn:four_rooms": 2 + 6 * 5,
    "tiger": 6 + 6 + 7 * 2 * 3,
    "tiger:every": 6 + 6 + 6 + 17 * 2 * 3,
    "information": 6 + 6 + 2 * 2 * 4 * 3,
    "information:methods": 3 * 3 + 3 * 6 * 5,
    "information:t_maze": 13 * 3 + 2 * 3 * 3,
    "information:hikes": 2 * 8 * 3,
    "signals": 4 + 4 + (6 + 6 + 4 + 4 + 4 + 5 + 4 + 5) * 5,
    "search": 4,
    "ablations": 1 + 2 + 10 * 5,
    "memories": 5 + 5 + 13 * 5,
    "memories:sphinx": 5 + 5 + 13 * 5,
    "memories:car_flag_2d": 5 + 5 + 13 * 5,
    "memories:car_flag_2d_continuous": 5 + 5 + 13 * 5,
    "grid_domains": 3 * 4 + 4 * 10 * 5,
    "continuous": 3 * 2 + 2 * 9 * 3,
    "robot_cloning": 3 * 3 + 3 * 3,
    "robot_domains": 3 * 3 + 3 * 6 * 3,
    "robot_domains:two_cores": 3 * 2 + 3 * 2,
    "memories:t_maze": 13 * 3,
    "memories:repeat_first": 13 * 3,
    "memories:autoencode": 13 * 3,
    "exploration": 2 + 10 * 8,
    "exploration:sphinx": 2 + 8 * 8,
    "exploration:car_flag_2d": 2 + 8 * 8,
    "distill:heaven_hell": 5 * 5,
    "distill:heaven_hell_1": 5 * 5,
    "world_model": 2 + 5 * 3,
    "encoders": 3 + 3 * 2 + 1,
    "encoders:sphinx": 3 + 3 * 2 + 1,
    "sure": 3 * 2 + 3 * 2 * 4,
    "sure:heaven_hell_avx2": 2 * 2 + 2 * 2 * 4,
    "sure:sphinx_others": 3 * 8,
    "sure:car_flag_2d": 3 * 2 + 3 * 4,
    "sure:car_flag_2d_continuous": 3 * 2 + 3 * 4,
}


def test_no_sweep_file_is_left_out():
    assert {name.partition(":")[0] for name in NUMBER} == {path.stem for path in (ROOT / "configs/sweeps").glob("*.py")}


@pytest.mark.parametrize("name", sorted({name.partition(":")[0] for name in NUMBER if ":" in name}))
def test_a_variant_that_is_none_is_refused_with_those_there_are(name):
    with pytest.raises(UserError, match=r"variant: unknown value 'nothing'; choose from \w+"):
        load_config(ROOT / f"configs/sweeps/{name}.py", "nothing", "--config_sweep")


@pytest.mark.parametrize("name", NUMBER)
def test_every_sweep_file_passes_its_scripts(scripts, tmp_path, name):
    file, _, variant = name.partition(":")
    given = f"configs/sweeps/{file}.py" + (f":{variant}" if variant else "")
    flags = (f"--config_sweep={given}", f"--save_dir={tmp_path}", "--dry_run", "--cluster=slurm")
    if name != "quick":  # of the many seeds one will do
        flags += ("--config_sweep.axes.seed=(0,)",)
    done = scripts.run("scripts/sweep.py", *flags)
    assert done.returncode == 0, done.stderr
    config = {}
    exec((ROOT / f"configs/sweeps/{file}.py").read_text(), config)
    sweep = Sweep(config["get_config"](*([variant] if variant else [])), tmp_path)
    jobs = sweep.jobs(search.example(sweep) if sweep.search else None)
    assert len(jobs) == NUMBER[name]
    believers = [job for job in jobs if any(word.endswith(":believer") for word in job.words)]
    for job in believers:  # which have a stage 2 of their own
        assert job.needs and all("configs/repr/believer_" in " ".join(one.words) for one in job.needs)
    assert "runs in" in done.stdout
    assert list(tmp_path.iterdir()) == [], "a dry run leaves nothing behind"
