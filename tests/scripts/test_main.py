"""Stage 3 as a user calls it: every variant and memory, every option, the report, and one line for what cannot be."""

import json
import os
import shutil
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from configs.rl import a2c, dqn, sac
from policies.models.believer import save_believer
from policies.models.on_disk import save_encoder
from tests.helpers.agents import make_believer
from tests.helpers.scripts import ROOT, assert_refused
from torchkit.networks import Encoder, EncoderConfig

HEAVEN_HELL = "--config_env=configs/envs/heaven_hell.py"
REPR = "--config_repr=configs/repr/heaven_hell.py"
TINY = (
    "--train_episodes=9", "--num_envs=4", "--batch_size=3", "--start_training=2", "--eval_episodes=2",
    "--updates_per_step=0.03", "--config_env.horizon=12", "--config_env.eval.interval=20", "--film_episodes=0",
    "--config_rl.head_dims=(8,)", "--cuda=-1",
)  # fmt: skip
MEMORIES = ("markov", "mlp", "gru", "lstm", "gpt")


def write_embedders(folder, state_dim=3, obs_dim=3):
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    for name, in_dim in (("s_encoder", state_dim), ("o_encoder", obs_dim)):
        save_encoder(folder, name, Encoder(EncoderConfig(in_dim, 6, (9,))), {"env_id": "HeavenHell-v0"})
    save_believer(folder, make_believer(obs_dim=obs_dim), {"env_id": "HeavenHell-v0"})
    return folder


@pytest.fixture(scope="module")
def embedders(tmp_path_factory):
    folder = write_embedders(tmp_path_factory.mktemp("embedders"))
    return (f"--state_embedder_dir={folder}", f"--obs_embedder_dir={folder}")


@pytest.fixture
def main(scripts, tmp_path):
    def call(*flags, tiny=True, env_flag=HEAVEN_HELL, **options):
        files = [f for f in (env_flag, *flags) if f and f.startswith("--config_") and "." not in f.split("=")[0]]
        settings = (f"--save_dir={tmp_path / 'logs'}", "--run_name=run", *(TINY if tiny else ()))
        return scripts.run("main.py", *files, *settings, *(f for f in flags if f not in files), **options)

    return call


@pytest.fixture
def run_folder(tmp_path):
    return tmp_path / "logs" / "default" / "run"


def metrics_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_trained(done, folder):
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    rows = metrics_of(folder)
    losses = [row["loss/td"] for row in rows if "loss/td" in row]
    assert losses
    assert all(np.isfinite(losses))
    return summary, rows


def needed(variant, embedders):
    """The flags of stage 2's results that a row cannot do without."""
    return embedders[: {"mi": 2, "mi_cv": 2, "believer": 2, "zero_off": 2, "zero_on": 1}.get(variant, 0)]


@pytest.mark.parametrize(
    ("variant", "memory"),
    [(v, m) for v in dqn.VARIANTS for m in MEMORIES if m == "gru" or v in ("history", "mi", "ua", "ba_vr")],
)
def test_every_variant_trains_and_with_any_memory(main, run_folder, embedders, variant, memory):
    flags = (f"--config_rl=configs/rl/dqn.py:{variant}", f"--config_seq=configs/seq/{memory}.py")
    done = main(*flags, *needed(variant, embedders))
    summary, rows = assert_trained(done, run_folder)
    assert (summary["method"], summary["memory"]) == (f"dqn:{variant}", memory)
    assert summary["env_steps"] == rows[-1]["step"]
    assert summary["final_episodes"] == 100
    logged = set().union(*rows)
    assert {
        "grad_norm",
        "q/taken",
        "q/target",
        "q/max",
        "policy/spread",
        "train/return",
        "eval/success",
        "updates",
    } <= logged
    assert {"clock/env_steps_per_second", "clock/updates_per_second"} <= logged
    assert ("loss/critic" in logged) == (variant[:2] in ("ua", "ba"))
    assert {"loss/state_prediction", "bonus/information_gain"} <= logged or variant != "mi"
    assert "warning" not in done.stderr.replace("warning: --start_training is not used by dqn:elf", "")


@pytest.mark.parametrize(
    "memory", sorted({path.stem for path in (ROOT / "configs/seq").glob("[a-z]*.py")} - set(MEMORIES))
)
def test_every_other_memory_trains_as_its_config_says(main, run_folder, embedders, memory):
    done = main("--config_rl=configs/rl/dqn.py:mi", f"--config_seq=configs/seq/{memory}.py", *embedders)
    summary, _ = assert_trained(done, run_folder)
    assert (summary["method"], summary["memory"]) == ("dqn:mi", memory)
    assert "warning" not in done.stderr


@pytest.mark.parametrize(
    ("method", "seq"), [("dqn.py:history", ("lstm", "--config_seq.double=True")), ("a2c.py:history", ("mgu",))]
)
def test_a_warmed_up_memory_trains_and_again_the_same(main, run_folder, method, seq):
    flags = (f"--config_rl=configs/rl/{method}", f"--config_seq=configs/seq/{seq[0]}.py", *seq[1:])
    kept = []
    for _ in range(2):
        rate = ("--updates_per_step=0",) if method.startswith("a2c") else ()
        done = main(*flags, "--config_seq.warmup=2", "--config_seq.kwargs.out_dim=8", *rate)
        assert done.returncode == 0, done.stderr
        rows = metrics_of(run_folder)
        kept.append([{k: v for k, v in row.items() if not k.startswith("clock/")} for row in rows])
        shutil.rmtree(run_folder)
    assert kept[0] == kept[1]
    assert {"memory/before/number", "memory/after/variability", "memory/after/residual", "memory/warmed"} <= set(
        kept[0][0]
    )


METHODS = [*(f"sac:{name}" for name in sac.VARIANTS), *(f"a2c:{name}" for name in a2c.VARIANTS)]


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
@pytest.mark.parametrize("method", METHODS)
def test_every_actor_critic_trains(main, run_folder, embedders, method, actions):
    family, _, variant = method.partition(":")
    env_flag, signal = HEAVEN_HELL, "heaven"
    if actions == "continuous":
        env_flag, signal = "--config_env=configs/envs/car_flag_1d.py", "flag"
    fresh = ("--updates_per_step=0",) if family == "a2c" else ()
    asked = (f"--config_rl.critic.signal=('{signal}',)",) if variant == "informed" else ()
    flags = (f"--config_rl=configs/rl/{family}.py:{variant}", *fresh, *asked, *needed(variant, embedders))
    done = main(*flags, env_flag=env_flag)
    summary, rows = assert_trained(done, run_folder)
    assert summary["method"] == method
    logged = set().union(*rows)
    assert {"grad_norm/actor", "grad_norm/critic", "policy/entropy", "policy/spread", "loss/actor"} <= logged
    again = main(*flags, f"--policy_dir={run_folder}", env_flag=env_flag)
    if variant == "teacher":
        assert_refused(again, "--policy_dir", "sac:teacher acts on the state")
        return
    assert again.returncode == 0, again.stderr
    assert method in again.stdout


def test_what_acts_on_embeddings_needs_them(main):
    rl = "--config_rl=configs/rl/dqn.py:zero_off"
    assert_refused(main(rl), "--obs_embedder_dir", "observe")
    assert_refused(main(rl, "--config_rl.observe=('z_stat',)"), "--config_rl.observe", "z_state")


def test_a_policy_that_acts_on_embeddings_asks_for_its_row(main, scripts, run_folder, embedders):
    assert main("--config_rl=configs/rl/dqn.py:zero_off", *embedders).returncode == 0
    done = scripts.run("main.py", HEAVEN_HELL, f"--policy_dir={run_folder}", "--cuda=-1")
    assert_refused(done, "--policy_dir", "dqn:zero_off acts on embeddings", "--config_rl")


AUX = "--config_rl.auxiliary.state_prediction"
GAIN = "--config_rl.intrinsic.information_gain"

OPTIONS = {
    "error": ("mi", f"{AUX}.error=abs_cosine"),
    "l2, own step": (
        "mi", f"{AUX}.error=l2", f"{GAIN}.bonus_target=own_step",
    ),
    "potential": ("mi", f"{GAIN}.bonus_target=potential"),
    "foreseen": ("mi", f"{GAIN}.bonus_target=foreseen"),
    "frozen psi, random phi": ("mi", "--config_rl.z_obs=frozen", "--config_rl.z_state=random", REPR),
    "psi from scratch, raw state": ("mi", "--config_rl.z_obs=scratch", "--config_rl.z_state=raw", REPR),
    "separate predictor step": ("mi", "--config_rl.predictor_step=separate", "--config_rl.aux_batch_size=5"),
    "one-step targets": ("mi", "--config_rl.return_lambda=0"),
    "no cuts": ("history", "--config_rl.cut_traces=False"),
    "the time limit is terminal": ("history", "--config_rl.time_limit_is_terminal=True"),
    "bfloat16": ("mi", "--config_rl.precision=bf16"),
    "windows": ("ua", "--sampled_seq_len=5"),
    "windows with carries": ("ua", "--sampled_seq_len=5", "--config_rl.burn_in=2", "--config_rl.carry=stored"),
    "demonstrations": ("mi", "--start_expert_training=2", "--config_env.horizon=20"),
    "no random episodes": ("history", "--start_training=0"),
    "another memory width": ("history", "--config_seq.kwargs.out_dim=17", "--config_seq.vector.reward_dim=4"),
    "no bonus": ("mi", "--config_rl.intrinsic.use=()"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_trains(main, run_folder, embedders, name):
    variant, *flags = OPTIONS[name]
    used = () if variant != "mi" or "psi from scratch" in name else embedders[1:] if "random phi" in name else embedders
    done = main(f"--config_rl=configs/rl/dqn.py:{variant}", *used, *flags)
    _, rows = assert_trained(done, run_folder)
    assert ("loss/predictor_step" in set().union(*rows)) == (name == "separate predictor step")
    config = json.loads((run_folder / "config.json").read_text())["config"]
    if name == "demonstrations":
        assert config["run"]["start_expert"] == 2
    if name == "one-step targets":
        assert config["rl"]["return_lambda"] == 0


@pytest.mark.parametrize("domain", ["sphinx", "car_flag_2d"])
def test_image_domains_train(main, run_folder, tmp_path, domain):
    flags = (f"--config_repr=configs/repr/{domain}.py", "--config_rl.z_obs=scratch", "--config_rl.z_state=random")
    done = main("--config_rl=configs/rl/dqn.py:mi", *flags, env_flag=f"--config_env=configs/envs/{domain}.py")
    assert_trained(done, run_folder)


def test_a_run_leaves_its_whole_report(main, run_folder, scripts, tmp_path):
    done = main("--film_episodes=2", "--config_rl.discount=0.9", "--tensorboard", "--wandb", WANDB_MODE="offline")
    summary, _ = assert_trained(done, run_folder)
    assert iio.imread(run_folder / "learning_curve.png").ndim == 3
    film = iio.imread(next((run_folder / "films").glob("*.gif")))
    assert len(film) >= 4  # equal frames are one: a first one and a framed last one of each episode at least
    assert summary["film"].endswith(".gif")
    config = json.loads((run_folder / "config.json").read_text())
    assert config["config"]["rl"]["discount"] == 0.9
    assert config["config"]["rl"]["batch_size"] == 3
    assert list((run_folder / "tensorboard").glob("events.*"))
    assert list((run_folder / "wandb").glob("offline-run-*"))
    for text in ("HeavenHell-v0", "dqn:history, gru, seed 42", "success of 100 greedy episodes"):
        assert text in done.stdout

    finished = main("--film_episodes=2", "--config_rl.discount=0.9")
    assert finished.returncode == 0
    assert "is finished" in finished.stdout
    (film,) = (run_folder / "films").glob("*.gif")
    before = film.read_bytes()
    film.unlink()
    (run_folder / "summary.json").write_text(json.dumps({k: v for k, v in summary.items() if k != "film"}))  # a stop
    assert "is finished" in main("--film_episodes=2", "--config_rl.discount=0.9").stdout
    assert film.read_bytes() == before
    assert json.loads((run_folder / "summary.json").read_text()) == summary

    shown = scripts.run("main.py", HEAVEN_HELL, "--config_env.horizon=12", f"--policy_dir={run_folder}", "--cuda=-1",
                        "--eval_episodes=7", "--film_episodes=1", cwd=tmp_path)  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert "success of 7 greedy episodes" in shown.stdout
    assert "film: " in shown.stdout
    assert not (tmp_path / "logs" / "default" / "run" / "policy" / "films").exists()
    by_part = scripts.run("main.py", HEAVEN_HELL, "--config_env.horizon=12", f"--policy_dir={run_folder / 'policy'}",
                          "--cuda=-1", "--eval_episodes=7", "--film_episodes=0", cwd=tmp_path)  # fmt: skip
    assert by_part.stdout.strip() in shown.stdout
    assert (run_folder / "policy_best" / "policy.safetensors").exists()


def test_a_policy_needs_no_embedder_files_to_be_evaluated(scripts, run_folder, tmp_path, embedders, main):
    assert main("--config_rl=configs/rl/dqn.py:mi", *embedders).returncode == 0
    saved = load_file(run_folder / "policy" / "policy.safetensors")
    phi = load_file(f"{embedders[0].split('=')[1]}/s_encoder.safetensors")
    assert not any(torch.equal(a, b) for a in saved.values() for b in phi.values() if a.shape == b.shape)
    done = scripts.run("main.py", HEAVEN_HELL, f"--policy_dir={run_folder}", "--cuda=-1", "--film_episodes=0",
                       "--eval_episodes=3", "--config_env.horizon=12", "--time_limit=1", "--seed=3")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "dqn:mi" in done.stdout
    assert "warning: --time_limit: not used with --policy_dir" in done.stderr.splitlines()


def test_the_same_seed_gives_the_same_run_and_another_one_does_not(main, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main(f"--run_name={name}", f"--seed={seed}").returncode == 0
    weights = [load_file(tmp_path / "logs" / "default" / name / "policy" / "policy.safetensors") for name in "abc"]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not all(torch.equal(weights[0][key], weights[2][key]) for key in weights[0])


def test_embedders_that_a_row_does_not_use_are_pointed_out(main, run_folder, embedders):
    done = main(*embedders)
    assert_trained(done, run_folder)
    lines = done.stderr.splitlines()
    for flag in ("--state_embedder_dir", "--obs_embedder_dir"):
        assert f"warning: {flag} is not used by dqn:history" in lines


def test_fields_that_nothing_reads_are_pointed_out(main, run_folder):
    done = main("--config_rl.normalise=('obs','state','reward')", "--config_rl.beta.start=0.5", "--train_episodes=3")
    assert done.returncode == 0
    told = [line for line in done.stderr.splitlines() if "is not used by" in line]
    assert told == [
        "warning: --config_rl.beta, without config_rl.teacher, is not used by dqn:history",
        "warning: --config_rl.normalise: state is not used by dqn:history",
    ]


def mi(*flags):
    return ("--config_rl=configs/rl/dqn.py:mi", *flags)


STORED = ("--sampled_seq_len=5", "--config_rl.carry=stored")
REFUSED = {
    "variant": (("--config_rl=configs/rl/dqn.py:histori",), ["--config_rl", "'histori'", "'history'"]),
    "family file": (("--config_rl=configs/rl/dqm.py:mi",), ["--config_rl", "dqn.py"]),
    "family": (("--config_rl.family=dqnn",), ["--config_rl.family", "'dqnn'", "'dqn'"]),
    "memory file": (("--config_seq=configs/seq/gpu.py",), ["--config_seq", "gru.py"]),
    "memory": (("--config_seq.memory=gruu",), ["--config_seq.memory", "'gru'", "lstm"]),
    "env": (("--config_env.id=HeavenHel-v0",), ["config_env.id", "HeavenHell-v0"]),
    "override": (("--config_rl.discont=0.9",), ["discont", "'discount'"]),
    "override of another type": (("--config_rl.discount=high",), ["discount"]),
    "flag": (("--train_episode=3",), ["--train_episode", "'train_episodes'"]),
    "heads": (("--config_seq=configs/seq/gpt.py", "--config_seq.kwargs.heads=5"), ["--config_seq.kwargs.heads"]),
    "warm-up of what has none": (
        ("--config_seq=configs/seq/mingru.py", "--config_seq.warmup=5"),
        ["--config_seq.warmup", "gru, lstm, brc, nbrc and mgu", "not for mingru"],
    ),
    "carries without windows": (("--config_rl.carry=stored",), ["--config_rl.carry=stored", "--sampled_seq_len below"]),
    "rows before no windows": (("--config_rl.burn_in=4",), ["--config_rl.burn_in=4", "--sampled_seq_len below"]),
    "visits of windows": (
        ("--config_rl=configs/rl/dqn.py:mv", "--sampled_seq_len=5"),
        ["--config_rl.intrinsic.use", "marginal_visitation", "--sampled_seq_len="],
    ),
    "carry": (("--config_rl.carry=kept", "--sampled_seq_len=5"), ["--config_rl.carry", "'kept'", "stored, zero"]),
    "rows before none": (("--config_rl.burn_in=-1",), ["--config_rl.burn_in=-1", "a finite number from 0 on"]),
    "carries of a memory that does not act": (
        ("--config_rl=configs/rl/dqn.py:ua", "--config_rl.critic_memory=separate", *STORED),
        ["--config_rl.carry=stored", "--config_rl.critic_memory=shared"],
    ),
    "carries of a slow memory": (
        ("--config_rl=configs/rl/dqn.py:zp", *STORED),
        ["--config_rl.auxiliary.use", "self_prediction is for burn_in=0 and carry=zero"],
    ),
    "windows of fresh episodes": (("--config_rl=configs/rl/a2c.py", "--config_rl.burn_in=4"), ["burn_in"]),
    "carries of several seeds as one batch": (
        ("--num_seeds=2", "--batch_seeds", *STORED),
        ["--batch_seeds", "burn_in=0 and carry=zero", "--nobatch_seeds"],
    ),
    "double of what has none": (
        ("--config_seq=configs/seq/gpt.py", "--config_seq.double=True"),
        ["--config_seq.double", "not for gpt"],
    ),
    "double of an odd width": (
        ("--config_seq.double=True", "--config_seq.kwargs.out_dim=7"),
        ["--config_seq.kwargs.out_dim=7", "even"],
    ),
    "warm-up of several seeds as one batch": (
        ("--config_seq.warmup=5", "--num_seeds=2", "--batch_seeds"),
        ["--batch_seeds", "--config_seq.warmup", "--nobatch_seeds"],
    ),
    "mi without embedders": (mi(), ["--obs_embedder_dir", "z_obs"]),
    "frozen psi without a file": (
        mi("--config_rl.z_obs=frozen", "--config_rl.z_state=raw"),
        ["--obs_embedder_dir", "frozen"],
    ),
    "phi without a file": (mi("--config_rl.z_obs=scratch", REPR), ["--state_embedder_dir", "random or raw"]),
    "scratch without sizes": (mi("--config_rl.z_obs=scratch"), ["--config_repr", "z_obs"]),
    "embedders nowhere": (mi("--obs_embedder_dir=/nowhere"), ["--obs_embedder_dir", "/nowhere"]),
    "z_obs": (mi("--config_rl.z_obs=frosen"), ["--config_rl.z_obs", "'frozen'"]),
    "error": (mi(f"{AUX}.error=cosin", "EMBEDDERS"), ["state_prediction.error", "'cosine'"]),
    "bonus target": (mi(f"{GAIN}.bonus_target=comon", "EMBEDDERS"), ["bonus_target", "'common'"]),
    "predictor step": (mi("--config_rl.predictor_step=both", "EMBEDDERS"), ["--config_rl.predictor_step", "separate"]),
    "bonus without its loss": (
        mi("--config_rl.auxiliary.use=()", "EMBEDDERS"),
        ["--config_rl.intrinsic.use", "state_prediction"],
    ),
    "auxiliary": (
        ("--config_rl.auxiliary.use=('state_predicton',)",),
        ["--config_rl.auxiliary.use", "state_prediction"],
    ),
    "precision": (("--config_rl.precision=fp16",), ["--config_rl.precision", "bf16"]),
    "the state for the policy": (
        ("--config_rl.policy_inputs=('history','state')",),
        ["--config_rl.policy_inputs", "'state'", "privileged"],
    ),
    "z_state for the policy": (
        ("--config_rl.policy_inputs=('z_state',)",),
        ["--config_rl.policy_inputs", "privileged"],
    ),
    "no inputs": (("--config_rl.policy_inputs=()",), ["--config_rl.policy_inputs"]),
    "unknown input": (("--config_rl.policy_inputs=('histroy',)",), ["--config_rl.policy_inputs", "'history'"]),
    "unknown critic input": (("--config_rl.critic_inputs=('stat',)",), ["--config_rl.critic_inputs", "'state'"]),
    "memory with another's settings": (("--config_seq.memory=gpt",), ["--config_seq.memory", "out_dim", "heads"]),
    "no layers": (("--config_seq.kwargs.layers=0",), ["--config_seq.kwargs.layers"]),
    "no width": (("--config_seq.vector.obs_dim=0",), ["--config_seq.vector.obs_dim"]),
    "empty layer": (("--config_rl.head_dims=(8,0)",), ["--config_rl.head_dims"]),
    "no evaluation": (("--config_env.eval.interval=0",), ["--config_env.eval.interval"]),
    "updates without end": (("--updates_per_step=inf",), ["updates_per_step", "finite"]),
    "no number": (("--checkpoint_minutes=nan",), ["--checkpoint_minutes=nan"]),
    "demonstrations for on-policy learning": (
        ("--config_rl=configs/rl/a2c.py", "--start_expert_training=2", "--updates_per_step=0"),
        ["--start_expert_training", "a2c", "leave the flag out"],
    ),
    "discount above one": (("--config_rl.discount=1.5",), ["--config_rl.discount"]),
    "lambda above one": (("--config_rl.return_lambda=2",), ["--config_rl.return_lambda"]),
    "learning rate below zero": (("--config_rl.lr=-1",), ["--config_rl.lr"]),
    "a cloning critic": (
        ("--config_rl=configs/rl/dqn.py", "--config_rl.auxiliary.use=('behaviour_cloning',)"),
        ["--config_rl.auxiliary.use", "use_actor"],
    ),
    "bonuses that grow": (("--config_rl.intrinsic.anneal_steps=-1",), ["--config_rl.intrinsic.anneal_steps"]),
    "critic's view": (("--config_rl.critic_inputs=('z_stat',)",), ["--config_rl.critic_inputs", "z_state"]),
    "z_state without φ": (("--config_rl.critic_inputs=('z_state',)",), ["--state_embedder_dir", "z_state"]),
    "exploration of negative length": (("--config_rl.exploration.steps=-1",), ["--config_rl.exploration.steps=-1"]),
    "a fee on entropy": (
        ("--config_rl=configs/rl/a2c.py:history", "--config_rl.entropy.start=-1.0"),
        ["--config_rl.entropy.start=-1.0", "from 0 on"],
    ),
    "gpu": (("--cuda=99",), ["--cuda=99"]),
    "no envs": (("--num_envs=0",), ["--num_envs"]),
    "a seed of more than 64 bits": ((f"--seed={2**64}",), ["--seed"]),
    "demonstrations larger than the replay": (
        ("--start_expert_training=3", "--config_rl.replay_steps=10", "--config_env.horizon=14"),
        ["--start_expert_training", "--config_rl.replay_steps"],
    ),
    "no policy": (("--policy_dir=/nowhere",), ["--policy_dir", "/nowhere"]),
    "unwritable": (("--save_dir=/proc/nowhere",), ["--save_dir", "/proc/nowhere"]),
    "save_dir is a file": ((f"--save_dir={ROOT / 'LICENSE'}",), ["--save_dir"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line(main, embedders, case):
    flags, expected = REFUSED[case]
    flags = [flag for f in flags for flag in (embedders if f == "EMBEDDERS" else [f])]
    done = main(*flags)
    assert_refused(done, *expected)
    assert done.stdout == ""


@pytest.mark.parametrize("text", ["import nowhere_to_be_found", "a = ConfigDct()", "def f(:"])
def test_a_config_file_that_does_not_run_is_one_line(main, tmp_path, text):
    (tmp_path / "mine.py").write_text(text + "\n")
    assert_refused(main(env_flag=f"--config_env={tmp_path / 'mine.py'}"), "--config_env", "mine.py")


def test_a_folder_below_home_and_a_damaged_summary(main, tmp_path):
    flags = ("--save_dir=~/runs", "--run_name=a")
    done = main(*flags, HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    again = main(*flags, HOME=str(tmp_path))
    assert "is finished; its report" in again.stdout
    summary = tmp_path / "runs/default/a/summary.json"
    summary.write_text(summary.read_text()[:-20])
    assert_refused(main(*flags, HOME=str(tmp_path)), "--save_dir", "summary.json is damaged")


def test_no_config_at_all_is_one_line(main):
    assert_refused(main(env_flag=None, tiny=False), "--config_env is required")


def test_continuous_actions_are_refused(main, tmp_path):
    (tmp_path / "pendulum.py").write_text(
        (ROOT / "configs/envs/cartpole_hidden.py")
        .read_text()
        .replace("CartPole-v1", "Pendulum-v1")
        .replace("(1, 3)", "(2,)")
    )
    done = main(env_flag=f"--config_env={tmp_path / 'pendulum.py'}")
    assert_refused(done, "dqn needs discrete actions")


def test_demonstrations_of_a_domain_without_an_expert_are_refused_before_anything_is_written(main, run_folder):
    done = main("--start_expert_training=2", env_flag="--config_env=configs/envs/cartpole_hidden.py")
    assert_refused(done, "--start_expert_training", "no expert")
    assert not run_folder.exists()
    assert main(env_flag="--config_env=configs/envs/cartpole_hidden.py").returncode == 0


def test_damaged_embedders_are_refused(main, tmp_path):
    def refused(*expected):
        both = (f"--state_embedder_dir={tmp_path / 'e'}", f"--obs_embedder_dir={tmp_path / 'e'}")
        assert_refused(main("--config_rl=configs/rl/dqn.py:mi", *both), *expected)
        assert not (tmp_path / "logs").exists()

    folder = write_embedders(tmp_path / "e", obs_dim=5)
    refused("--obs_embedder_dir", "5 numbers", "3")
    write_embedders(folder, state_dim=4)
    refused("--state_embedder_dir", "4 numbers", "3")
    write_embedders(folder)
    weights = folder / "o_encoder.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    refused("--obs_embedder_dir", "damaged")
    flipped = bytearray(whole)
    flipped[-5] ^= 1
    weights.write_bytes(flipped)
    refused("--obs_embedder_dir", "damaged")
    weights.write_bytes(whole)
    (folder / "o_encoder.json").write_text("{")
    refused("--obs_embedder_dir", "damaged")


def test_another_config_in_the_same_folder_is_refused_and_loses_nothing(main, run_folder):
    assert main().returncode == 0
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    assert_refused(main("--config_rl.lr=0.1"), "--run_name", "rl.lr", "0.1")
    assert_refused(main("--seed=1"), "--run_name", "run.seed")
    assert {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()} == before


def test_a_policy_of_another_domain_or_a_damaged_one_is_refused(main, run_folder, scripts, tmp_path):
    assert main().returncode == 0
    show = (f"--policy_dir={run_folder}", "--cuda=-1", "--film_episodes=0")
    assert_refused(
        scripts.run("main.py", "--config_env=configs/envs/sphinx.py", *show), "--policy_dir", "72", "3 observations"
    )
    weights = run_folder / "policy" / "policy.safetensors"
    tensors, whole = load_file(weights), weights.read_bytes()
    save_file({k: v for k, v in tensors.items() if "head" not in k}, weights)
    assert_refused(scripts.run("main.py", HEAVEN_HELL, *show), "--policy_dir", "damaged", "its checksum does not match")
    weights.write_bytes(whole)
    (run_folder / "policy" / "policy.json").write_text("[]")
    assert_refused(scripts.run("main.py", HEAVEN_HELL, *show), "--policy_dir", "damaged", "list indices")


def test_a_loss_that_is_not_finite_ends_the_run_with_the_state_before_it_kept(main, run_folder):
    flags = ("--config_rl.lr=1e30", "--updates_per_step=0.2")
    done = main(*flags)
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "nan" in done.stderr or "inf" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((run_folder / "checkpoint").glob("*.ckpt"))
    assert not (run_folder / "summary.json").exists()
    assert main(*flags).returncode == 3


def test_a_full_disk_is_one_line_and_the_run_goes_on_once_there_is_room(main, run_folder, tmp_path):
    full = main("--checkpoint_minutes=0", file_limit=100_000)
    assert full.returncode == 2, full.stderr
    assert "Traceback" not in full.stderr
    assert full.stderr.splitlines()[-1].startswith("error: ")
    assert str(run_folder) in full.stderr
    assert main().returncode == 0
    assert main("--run_name=unbroken").returncode == 0
    broken, unbroken = (load_file(run_folder.parent / n / "policy" / "policy.safetensors") for n in ("run", "unbroken"))
    assert all(torch.equal(broken[key], unbroken[key]) for key in unbroken)


def test_main_as_its_own_process(tmp_path):
    """Once without the server's help: output, progress and exit codes are those of a plain process."""
    command = [sys.executable, str(ROOT / "main.py"), HEAVEN_HELL, *TINY, f"--save_dir={tmp_path}"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "everything is in" in done.stdout
    assert (tmp_path / "default" / "HeavenHell-v0_dqn-history_gru_s42" / "summary.json").exists()
    refused = subprocess.run([*command, "--config_rl.lrr=1"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert_refused(refused, "lrr", "'lr'")
