"""A run of stage 3 from its configs to its report."""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from buffers.dataset import dataset_digest
from envs.make import width_for
from policies.acting.embedded_envs import MakeEnvs, env_maker
from policies.agents.base import Agent
from policies.build import build_agent
from policies.deployed.files import save_policy
from policies.extensions import AuxiliaryLoss
from policies.models.on_disk import embedders_digest
from policies.models.sources import Sources
from policies.training.experience import EXPERIENCES, Origin
from policies.training.observers import Evaluation
from policies.training.resolve import Settings
from policies.training.summary import FINAL_EPISODES, judge, plot_curve, read_summary, table, write_film
from policies.training.trainer import Record, Schedule, Stopped, Trainer
from utils.checkpoint import load_checkpoint
from utils.config import to_dict
from utils.device import device_of, prepare_cpu
from utils.logger import JsonlWriter, Logger, TensorBoardWriter, WandbWriter, Writer
from utils.progress import Say, Show, progress
from utils.run import Run
from utils.seeding import seed_everything


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
    show: Show = progress,
    adapt: Callable[[Agent], Agent] = lambda agent: agent,
) -> int:
    """Trains or resumes a run and writes its report; returns the exit code.

    `adapt` puts something in the agent's place before it is used.
    """
    prepare_cpu(settings.threads)
    seed_everything(settings.seed)
    device = device_of(cuda)
    if (summary := read_summary(Path(*folder))) is not None:
        say(f"{open_run(config, settings, folder, command).folder} is finished; its report:\n{table(summary)}")
        return 0
    make_envs, used = env_maker(config, settings.state_embedder, settings.obs_embedder)
    eval_envs = make_envs(width_for(config.env, config.env.eval.episodes), seed=settings.seed)
    origin = Origin(config, settings, make_envs, eval_envs.spec_sizes)
    sources = Sources(origin.spec, config, settings.state_embedder, settings.obs_embedder)
    agent = adapt(build_agent(sources, settings.seed, device))
    for flag in sorted(sources.unused - used):
        warnings.warn(f"{flag} is not used by {origin.method}", RuntimeWarning, stacklevel=2)
    experience = EXPERIENCES[agent.learns_from].build(origin)
    if not settings.start_expert and not settings.data_path and wants_expert(agent):
        text = f"{origin.method} has nothing to clone: give --start_expert_training"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    run = open_run(config, settings, folder, command)
    saved = load_checkpoint(run.checkpoint_dir)
    if saved is not None:
        say(f"resuming {run.folder} at {saved['counters'][experience.clock]} {experience.unit}")
    record = open_record(run, agent, origin, mirrors, folder[1].rpartition("/")[0], saved)
    evaluation = Evaluation(
        eval_envs,
        config.env.eval.episodes,
        config.env.eval.interval,
        settings.seed,
        lambda: record.keep_policy(run.folder / "policy_best"),
    )
    limit = math.inf if time_limit_hours is None else time_limit_hours
    schedule = Schedule(checkpoint_minutes=checkpoint_minutes, time_limit_hours=limit)
    try:
        Trainer(agent, experience, [evaluation], schedule, record, show).train(saved)
    except Stopped as stop:
        where = f"{experience.progress} of {experience.total} {experience.unit}"
        say(f"{stop.reason} at {where}; the same command goes on")
        return stop.exit_code
    finally:
        record.logger.close()
        experience.close()
        eval_envs.close()
    finish(agent, make_envs, config, settings, run, evaluation.history, film_episodes, say)
    return 0


def wants_expert(agent: Agent) -> bool:
    """Whether one of its losses says something on the expert's episodes alone."""
    return any(isinstance(module, AuxiliaryLoss) and module.of_expert for module in agent.modules())


def open_record(
    run: Run, agent: Agent, origin: Origin, mirrors: Sequence[str], group: str, saved: dict[str, Any] | None
) -> Record:
    """The run's metrics, mirrored as asked for, and its policy, which anybody can act by."""
    jsonl, config = JsonlWriter(run.metrics_path), origin.config
    first_step = 0 if saved is None else saved["counters"]["reported_steps"] + 1
    mirrored = open_mirrors(mirrors, run, plain_configs(config), group, origin.settings.seed, first_step)

    def keep_policy(where: Path) -> None:
        save_policy(where, agent.policy, origin.spec, config, {"settings": origin.settings.to_dict()})

    return Record(run, Logger([jsonl, *mirrored]), jsonl, keep_policy)


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
    if settings.data_path is not None:
        digests["data_path_sha256"] = dataset_digest(settings.data_path)
    configs = plain_configs(config) | {"run": settings.to_dict() | digests}
    may_differ = ("run.threads", "env.rl", "env.seq")  # the domain's settings have gone into rl and seq
    return Run.create(*folder, config=configs, command=command, may_differ=may_differ)


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
    plot_curve(history, run.folder / "learning_curve.png", f"{summary['env']}, {summary['method']}")
    if film_episodes:
        summary["film"] = write_film(agent.greedy(), make_envs, settings.seed, run.films_dir, film_episodes)
    run.finish(summary)
    say(table(summary))
    say(f"everything is in {run.folder}")
