"""Command lines that a seed makes: each a right one in which one or two things are wrong, or odd."""

import random

HEAVEN_HELL = "--config_env=configs/envs/heaven_hell.py"
TINY_TRAIN = {
    "config_env": "configs/envs/heaven_hell.py", "config_rl": "configs/rl/dqn.py:history",
    "config_seq": "configs/seq/gru.py", "train_episodes": "1", "num_envs": "2", "batch_size": "2",
    "start_training": "1", "eval_episodes": "1", "updates_per_step": "0.02", "film_episodes": "0", "cuda": "-1",
    "config_env.horizon": "5", "config_rl.head_dims": "(4,)", "save_dir": "{tmp}/logs", "run_name": "{name}",
}  # fmt: skip
TINY_COLLECT = {
    "config_env": "configs/envs/heaven_hell.py", "episodes": "3", "random_episodes": "2", "num_envs": "2",
    "config_env.horizon": "5", "data_path": "{tmp}/{name}",
}  # fmt: skip
TINY_PRETRAIN = {
    "config_env": "configs/envs/heaven_hell.py", "config_repr": "configs/repr/heaven_hell.py", "cuda": "-1",
    "data_path": "{data}", "num_epochs": "1", "report_steps": "1", "save_dir": "{tmp}/{name}",
}  # fmt: skip
BASES = {
    "main.py": TINY_TRAIN,
    "main_collect_data.py": TINY_COLLECT,
    "main_pretrain_representations.py": TINY_PRETRAIN,
    "scripts/report.py": {"runs": "{runs}", "out": "{tmp}/{name}"},
    "scripts/export.py": {"run": "{run}", "episodes": "1", "out": "{tmp}/{name}.onnx"},
    "scripts/inspect_episode.py": {"run": "{run}", "episodes": "1", "out": "{tmp}/{name}"},
    "scripts/publish.py": {"run": "{run}", "out": "{tmp}/{name}"},
    "scripts/sweep.py": {"config_sweep": "configs/sweeps/quick.py", "dry_run": "true", "save_dir": "{tmp}/logs"},
    "scripts/results.py": {"runs": "{runs}", "page": "{tmp}/{name}.md"},
    "scripts/solve.py": {
        "config_env": "configs/envs/pomdp_file.py", "config_env.kwargs.path": "{tiger}", "horizon": "3",
        "time_limit": "1", "save_dir": "{tmp}/logs", "run_name": "{name}",
    },
}  # fmt: skip
WEIGHTS = (6, 3, 2, 3, 1, 1, 1, 2, 2, 2)
MEMORIES = ("bmru", "brc", "gpt", "gru", "hybrid", "lru", "lstm", "markov", "mgu", "mingru", "mlp", "nbrc")
WORDS = (
    "", " ", "0", "-1", "1.5", "nan", "inf", "-inf", "1e400", "x", "None", "True", "()", "(1,)", "('a',)", "{}",
    "18446744073709551616", "99999999999999999999999", "/", "..", "~", "nowhere/x", "a b", "ψ", "$x$", "a\nb", "%s",
    "{tmp}", "configs/seq/gru.py", "configs/rl/dqn.py:mi", "configs/rl/dqn.py:", "configs/rl/a2c.py", ":", "README.md",
    "/dev/null", "[1]", "=", "'", '"', "1,2", ",", "{run}", "{data}", "{damaged}", "{tiger}",
    "2", "0.5",
)  # fmt: skip
FIELDS = {
    "config_rl": (
        "discount", "return_lambda", "lr", "tau", "batch_size", "head_dims", "policy_inputs", "critic_inputs",
        "updates_per_step", "replay_steps", "exploration.start", "exploration.steps", "exploration", "auxiliary.use",
        "intrinsic.use", "precision", "z_obs", "double_q", "q_target", "family", "variant", "head_dims[0]", "observe",
        "max_grad_norm", "belief.samples", "nothing", "critic.signal", "target_interval",
    ),
    "config_env": (
        "id", "module", "horizon", "state_fn", "hidden", "eval.episodes", "eval.interval", "augment", "n_aug",
        "kwargs", "state_low", "rl", "eval", "nothing", "kwargs.x", "kwargs.path", "kwargs.continuing",
        "kwargs.first_observation", "kwargs.one_hot",
    ),
    "config_seq": (
        "memory", "kwargs.out_dim", "kwargs.layers", "vector.obs_dim", "vector.reward_dim", "state_dim", "warmup",
        "double", "kwargs.threshold", "kwargs.r_min", "kwargs.r_max", "kwargs.heads", "kwargs.dropout",
    ),
    "config_repr": ("lr", "batch_size", "embedding_dim", "encoder.hidden_dims", "anneal", "num_epochs", "kind", "x"),
    "config_sweep": ("name", "axes", "stages", "slurm.hours", "x"),
}  # fmt: skip
EXTRA = {
    "main.py": ("group", "num_seeds", "batch_seeds", "policy_dir", "state_embedder_dir", "obs_embedder_dir", "threads",
                "time_limit", "checkpoint_minutes", "sampled_seq_len", "start_expert_training", "seed", "config_repr"),
    "main_collect_data.py": ("guess_share", "seed", "overwrite", "aug", "n_aug", "expert_policy_dir"),
    "main_pretrain_representations.py": ("seed", "threads", "log_freq", "init_model"),
    "scripts/report.py": ("threshold", "threshold_metric", "statistic", "by", "film_megabytes", "allow_mixed",
                          "optimum_seconds"),
    "scripts/export.py": ("format", "seed", "config_env", "trust"),
    "scripts/inspect_episode.py": ("seed", "gif", "config_env", "state_embedder_dir", "obs_embedder_dir", "trust"),
    "scripts/publish.py": ("run", "out"),
    "scripts/sweep.py": ("jobs", "add", "cluster", "partition", "hours", "memory_gb", "gpus", "runs_per_job", "status"),
    "scripts/results.py": ("title", "metric", "target", "notes", "refresh"),
    "scripts/solve.py": ("file", "method", "gap", "relative_gap", "discount", "episodes", "reading", "seed",
                         "keep_policy"),
}  # fmt: skip
FREE = ("seed", "out_dim", "obs_dim", "head_dims", "batch_size", "replay_steps", "embedding_dim")  # may be great


def lines(seed, count):
    """So many (script, flags); places in braces are the caller's to fill."""
    rng = random.Random(seed)
    return [line(rng, f"n{number}") for number in range(count)]


def line(rng, name):
    script = rng.choices(list(BASES), WEIGHTS)[0]
    flags = {key: value.replace("{name}", name) for key, value in BASES[script].items()}
    words = []
    if "config_seq" in flags:
        flags["config_seq"] = f"configs/seq/{rng.choice(MEMORIES)}.py"
    for _ in range(rng.choice((1, 1, 2))):
        kind = rng.random()
        if kind < 0.35:
            flags[rng.choice(list(flags))] = rng.choice(WORDS)
        elif kind < 0.6:
            flags[rng.choice(EXTRA[script])] = rng.choice(WORDS)
        elif kind < 0.85:
            owner = rng.choice([key for key in FIELDS if key in flags] or ["config_env"])
            flags[f"{owner}.{rng.choice(FIELDS[owner])}"] = rng.choice(WORDS)
        elif kind < 0.92:
            flags.pop(rng.choice(list(flags)))
        else:
            words.append(
                rng.choice((*WORDS, "--", "--x", "--no", "--flagfile={tmp}/x", "--helpp", "--num_env=3", "-x"))
            )
    if script in ("scripts/report.py", "scripts/results.py"):  # the whole machine would be searched
        words = ["/nowhere" if word == "/" else word for word in words]
        flags = {key: "/nowhere" if value == "/" else value for key, value in flags.items()}
    for key, value in flags.items():  # an amount that is taken must be small, or the line would run for ever
        if value.isdigit() and int(value) > 99 and key.rpartition(".")[2] not in FREE:
            flags[key] = "-1"
    return script, [*(f"--{key}={value}" for key, value in flags.items()), *words]
