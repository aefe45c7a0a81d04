"""A run of stage 3 from its configs to its report."""

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from buffers import augment
from buffers.episode_buffer import EpisodeBuffer
from envs.make import width_for
from policies.acting.embedded_envs import MakeEnvs, env_maker
from policies.acting.rollout import check_expert
from policies.agents.base import Agent
from policies.build import build_agent
from policies.deployed.files import save_policy
from policies.models.on_disk import embedders_digest
from policies.models.sources import Sources
from policies.training.summary import FINAL_EPISODES, draw_curve, judge, read_summary, table, write_film
from policies.training.trainer import Schedule, Stopped, Trainer
from utils.checkpoint import load_checkpoint, restoring
from utils.config import to_dict
from utils.device import device_of, prepare_cpu
from utils.errors import UserError
from utils.logger import JsonlWriter, Logger, TensorBoardWriter, WandbWriter, Writer
from utils.progress import Say, Show, progress
from utils.run import Run
from utils.seeding import generator, seed_everything


@dataclass(frozen=True)
class Settings:
    """The flags that decide what a run comes to; they are kept in its config.json."""

    seed: int
    train_episodes: int
    num_envs: int
    start_random: int
    start_expert: int
    window: int
    state_embedder: str | None
    obs_embedder: str | None
    threads: int


def train(
    config: ConfigDict,
    settings: Settings,
    *,
    folder: tuple[str, str],
    command: Sequence[str],
    cuda: int | None,
    mirrors: Sequence[str],
    film_episodes: int,
    checkpoint_minutes: float,
    time_limit_hours: float | None,
    say: Say,
    began: float | None = None,
    show: Show = progress,
    adapt: Callable[[Agent], Agent] = lambda agent: agent,
) -> int:
    """Trains or resumes a run and writes its report; returns the exit code.

    Hours and minutes are counted from `began`, a time of `time.monotonic`, if given. `adapt` puts something in the
    agent's place before it is used.
    """
    prepare_cpu(settings.threads)
    seed_everything(settings.seed)
    device = device_of(cuda)
    if (summary := read_summary(Path(*folder))) is not None:
        finished = open_run(config, settings, folder, command)
        finished.close()
        if not finished.grown:
            say(f"{finished.folder} is finished; its report:\n{table(summary)}")
            return 0
    make_envs, used = env_maker(config, settings.state_embedder, settings.obs_embedder)
    envs = make_envs(settings.num_envs, seed=settings.seed)
    spec = envs.spec_sizes
    sources = Sources(spec, config, settings.state_embedder, settings.obs_embedder)
    agent = adapt(build_agent(sources, settings.seed, device))
    # embeddings cannot be turned, what they are made of is not stored
    turned = 0.0 if config.rl.observe else augment.turned_share(config.env.augment, config.env.n_aug, spec)
    if config.rl.observe and config.env.augment and config.env.n_aug:
        warnings.warn(f"no turned copies for {config.rl.family}:{config.rl.variant}: it sees embeddings", stacklevel=2)
    for flag in sorted(sources.unused - used):
        warnings.warn(f"{flag} is not used by {config.rl.family}:{config.rl.variant}", RuntimeWarning, stacklevel=2)
    check_demonstrations(config, settings, agent, make_envs)
    buffer_seed = int(generator(settings.seed, "replay").integers(2**31))
    mirrored = augment.mirrors(config.env.augment)
    buffer = EpisodeBuffer(spec, config.rl.replay_steps, settings.window, buffer_seed, turned, mirrored)
    buffer.check_fits(settings.train_episodes * (spec.max_episode_steps + 1))
    run = open_run(config, settings, folder, command)
    saved = load_checkpoint(run.checkpoint_dir)
    if saved is not None:
        with restoring(run.checkpoint_dir):
            say(f"resuming {run.folder} at {saved['counters']['env_steps']} steps")
    jsonl = JsonlWriter(run.metrics_path)
    first_step = 0 if saved is None else saved["counters"]["reported_steps"] + 1
    group = folder[1].rpartition("/")[0]
    logger = Logger([jsonl, *open_mirrors(mirrors, run, plain_configs(config), group, settings.seed, first_step)])

    def keep_policy(where: Path) -> None:
        save_policy(where, agent.deployed, spec, config, {"settings": asdict(settings)})

    eval_envs = make_envs(width_for(config.env, config.env.eval.episodes), seed=settings.seed)
    trainer = Trainer(
        agent,
        envs,
        eval_envs,
        buffer,
        make_schedule(config, settings, checkpoint_minutes, time_limit_hours),
        run,
        logger,
        jsonl,
        keep_policy,
        settings.seed,
        show,
        began,
    )
    try:
        history = trainer.train(saved)
    except Stopped as stop:
        where = f"at {trainer.env_steps} of {trainer.total_steps} steps" if trainer.begun else "before training began"
        say(f"{stop.reason} {where}; the same command {'goes on' if trainer.begun else 'starts over'}")
        return stop.exit_code
    finally:
        logger.close()
        envs.close()
        eval_envs.close()
    finish(agent, make_envs, config, settings, run, history, film_episodes, say)
    return 0


def check_demonstrations(config: ConfigDict, settings: Settings, agent: Agent, make_envs: MakeEnvs) -> None:
    """Warns of a cloning actor that is given no demonstrations.

    Raises:
        UserError: some are asked for, of a family that cannot learn from them or of a domain without an expert.
    """
    family, flag = config.rl.family, "--start_expert_training"
    if not settings.start_expert:
        if "behaviour_cloning" in config.rl.auxiliary.get("use_actor", ()):
            text = f"{family}:{config.rl.variant} has nothing to clone: give {flag}"
            warnings.warn(text, RuntimeWarning, stacklevel=3)
        return
    if agent.on_policy:
        raise UserError(f"{flag}: {family} learns from fresh episodes alone; leave the flag out")
    with closing(make_envs(1, seed=0)) as one:
        check_expert(one, flag, "leave the flag out")


def make_schedule(
    config: ConfigDict, settings: Settings, checkpoint_minutes: float, time_limit_hours: float | None
) -> Schedule:
    """How long a run collects, learns and judges itself, and when it stops."""
    return Schedule(
        train_episodes=settings.train_episodes,
        start_random=settings.start_random,
        start_expert=settings.start_expert,
        updates_per_step=config.rl.updates_per_step,
        batch_size=config.rl.batch_size,
        aux_batch_size=config.rl.aux_batch_size,
        eval_interval=config.env.eval.interval,
        eval_episodes=config.env.eval.episodes,
        checkpoint_minutes=checkpoint_minutes,
        time_limit_is_terminal=config.rl.time_limit_is_terminal,
        time_limit_hours=math.inf if time_limit_hours is None else time_limit_hours,
    )


def plain_configs(config: ConfigDict) -> dict[str, Any]:
    """The groups that there are, as plain values."""
    return {name: to_dict(config[name]) for name in ("env", "rl", "seq", "repr") if config.get(name) is not None}


def open_run(config: ConfigDict, settings: Settings, folder: tuple[str, str], command: Sequence[str]) -> Run:
    """The folder of a run, new or of the same run, locked.

    Raises:
        UserError: it holds another run, or is another process's.
    """
    digests = {
        "state_embedder_sha256": embedders_digest(settings.state_embedder, ("s_encoder",)),
        "obs_embedder_sha256": embedders_digest(settings.obs_embedder, ("o_encoder", "believer")),
    }
    configs = plain_configs(config) | {"run": asdict(settings) | digests}
    may_differ = ("run.threads", "env.rl", "env.seq")  # the domain's settings have gone into rl and seq
    may_grow = ("run.train_episodes",)
    return Run.create(*folder, config=configs, command=command, may_differ=may_differ, may_grow=may_grow)


def open_mirrors(
    names: Sequence[str], run: Run, configs: dict[str, Any], group: str, seed: int, first_step: int
) -> list[Writer]:
    """TensorBoard and wandb, as asked for; what they hold of later steps is from before an interruption."""
    writers: list[Writer] = []
    env, rl, seq = configs["env"], configs["rl"], configs["seq"]
    tags = {"domain": env["id"], "method": f"{rl['family']}:{rl['variant']}", "memory": seq["memory"]}
    if "tensorboard" in names:
        about = {"run": run.folder.name, "group": group, "seed": seed}
        writers.append(TensorBoardWriter(run.folder / "tensorboard", first_step, tags | about))
    if "wandb" in names:
        labels = [*tags.values(), f"seed {seed}"]
        writers.append(WandbWriter(run.folder, run.folder.name, configs | {"seed": seed}, group=group, tags=labels))
    return writers


def finish(
    agent: Agent,
    make_envs: MakeEnvs,
    config: ConfigDict,
    settings: Settings,
    run: Run,
    history: list[dict[str, float]],
    film_episodes: int,
    say: Say,
) -> None:
    """100 greedy episodes, learning curve, film, summary and a short table; the policy is kept with each checkpoint."""
    final = judge(agent.greedy(), make_envs, config.env, settings.seed)
    last = history[-10:]
    summary: dict[str, Any] = {
        "env": config.env.id,
        "method": f"{config.rl.family}:{config.rl.variant}",
        "memory": config.seq.memory,
        "seed": settings.seed,
        "demonstrations": settings.start_expert,
        "env_steps": history[-1]["step"],
        "final_episodes": FINAL_EPISODES,
        "final": final,
        "last_evaluation": history[-1],
        "mean_of_last_ten": {k: sum(row[k] for row in last) / len(last) for k in ("return", "success", "length")},
        "steps_to_0.9": next((row["step"] for row in history if row["success"] >= 0.9), None),
    }
    run.finish(summary)  # whatever fails in drawing it
    draw_curve(history, run.folder / "learning_curve.png", f"{summary['env']}, {summary['method']}")
    if film_episodes:
        film = write_film(agent.greedy(), make_envs, settings.seed, run.films_dir, film_episodes)
        run.finish(summary | {"film": film})
    say(table(summary))
    say(f"everything is in {run.folder}")
