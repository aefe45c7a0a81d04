"""What a run of stage 3 opens, keeps and says; main.py has its parts in order."""

import json
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ml_collections import ConfigDict

from buffers.dataset import dataset_digest
from buffers.recorded import located
from envs.make import FILE_DIGEST, FILE_FIELD, file_digest, width_for
from policies.acting.embedded_envs import env_maker
from policies.acting.evaluate import GreedyPolicy, means
from policies.agents.base import Agent
from policies.build import FAMILIES
from policies.deployed.files import load_policy, policy_digest, save_policy
from policies.extensions import wants_expert
from policies.models.on_disk import embedders_digest
from policies.models.sources import normalised_views
from policies.probing.gauge import EPISODES, BeliefGauge
from policies.training.experience import kind_for
from policies.training.experience.base import Experience, Origin
from policies.training.observers import Gauge, Observer
from policies.training.settings import Options, Settings
from policies.training.summary import FINAL_EPISODES, draw_curve, play_final, read_summary, table, write_film
from policies.training.trainer import Record
from torchkit.normalise import RunningNorm
from utils.checkpoint import load_checkpoint, restoring, whole
from utils.config import to_dict, warn_of_another_task
from utils.device import device_of, prepare_cpu
from utils.errors import choose
from utils.logger import JsonlWriter, Logger, TensorBoardWriter, WandbWriter, Writer
from utils.progress import Say, Show, progress
from utils.run import Run
from utils.seeding import seed_everything

LOOKS, LOOKS_BY_PARTICLES = 5, 2  # of a gauge, in a run, besides the first; those by particles take ten times as long


@dataclass(frozen=True)
class Telling:
    """How a run tells of itself: in lines, and by a progress bar.

    `adapt` puts something in the agent's place before it is used.
    """

    say: Say = print
    show: Show = progress
    adapt: Callable[[Agent], Agent] = lambda agent: agent


def prepare(settings: Settings, options: Options) -> torch.device:
    """Threads and global generators as the settings say, and the device."""
    prepare_cpu(settings.threads)
    seed_everything(settings.seed)
    return device_of(options.cuda)


def said_of_finished(config: ConfigDict, settings: Settings, options: Options, say: Say) -> bool:
    """Whether the run is finished, and not to be longer now; then its report has been told again.

    A film that a stop has kept from being made is made now.

    Raises:
        UserError: its folder holds another run.
    """
    summary = read_summary(options.folder)
    if summary is None:
        return False
    with closing(open_run(config, settings, options)) as finished:
        if finished.grown:
            return False
        if options.film_episodes and "film" not in summary:
            make_envs, _ = env_maker(config, settings.state_embedder, settings.obs_embedder, settings.num_envs)
            policy = GreedyPolicy(load_policy(str(finished.folder), flag="--save_dir")[0])
            films = (finished.films_dir, options.film_episodes)
            finished.finish(summary | {"film": write_film(policy, make_envs, settings.seed, *films)})
    say(f"{finished.folder} is finished; its report:\n{table(summary)}")
    return True


def warn_of_unused(origin: Origin, agent: Agent, unused: set[str]) -> None:
    """Warns of flags that nothing has asked for, and of losses that want an expert's episodes where there are none."""
    rl = origin.config.rl
    read = {"reward"} | {module.of for module in agent.modules() if isinstance(module, RunningNorm)}
    unused = unused | {f"--config_rl.normalise: {view}" for view in normalised_views(rl) if view not in read}
    if "beta" in rl and not rl.teacher and (rl.beta.start or rl.beta.end):
        unused.add("--config_rl.beta, without config_rl.teacher,")
    for flag in sorted(unused):
        warnings.warn(f"{flag} is not used by {origin.method}", RuntimeWarning, stacklevel=2)
    if not origin.settings.start_expert and not origin.settings.data_path and wants_expert(agent):
        text = f"{origin.method} has nothing to clone: give --start_expert_training"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    if rl.get("teacher") and not any(getattr(module, "of_teacher", False) for module in agent.modules()):
        text = f"{origin.method} learns nothing of its teacher, who acts in config_rl.beta of the steps alone"
        warnings.warn(text, RuntimeWarning, stacklevel=2)


def warn_of_encoders(config: ConfigDict, settings: Settings) -> None:
    """Warns of encoders whose training is not finished, or was on the same domain seen or told otherwise."""
    given = {"--state_embedder_dir": settings.state_embedder, "--obs_embedder_dir": settings.obs_embedder}
    flags: dict[Path, list[str]] = {}
    for flag, path in given.items():
        if path is not None:
            where = Path(path).expanduser()
            flags.setdefault(where if where.is_dir() else where.parent, []).append(flag)
    for folder, named in flags.items():
        try:
            about = json.loads((folder / "config.json").read_text())["config"]
            before = {name: value for name, value in about["env"].items() if name != "horizon"}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # files alone, or published ones
            continue
        who = " and ".join(named)
        warn_of_another_task(who, before, config.env)
        if "repr" in about and not (folder / "summary.json").is_file():
            text = f"{who}: stage 2 in {folder} has not come to its end; the command that began it goes on"
            warnings.warn(text, RuntimeWarning, stacklevel=2)


def open_record(
    origin: Origin, options: Options, agent: Agent, experience: Experience, say: Say
) -> tuple[Record, dict[str, Any] | None]:
    """The run's folder with its metrics and its policy, which anybody can act by; and the checkpoint to go on from."""
    config, settings = origin.config, origin.settings
    run = open_run(config, settings, options)
    saved = load_checkpoint(run.checkpoint_dir)
    first_step = 0
    if saved is not None:
        with restoring(run.checkpoint_dir):
            say(f"resuming {run.folder} at {saved['counters'][experience.clock]} {experience.unit}")
            first_step = whole(saved["counters"]["reported_steps"], "reported_steps") + 1
    jsonl = JsonlWriter(run.metrics_path)
    mirrored = open_mirrors(options, run, plain_configs(config), settings.seed, first_step)

    def keep_policy(where: Path) -> None:
        save_policy(where, agent.deployed, origin.spec, config, {"settings": settings.to_dict()})

    return Record(run, Logger([jsonl, *mirrored]), jsonl, keep_policy), saved


def gauges(origin: Origin, options: Options, total: int) -> list[Observer]:
    """What `--gauge` asks for, of a run of a total length by its clock.

    Raises:
        UserError: the domain does not tell what is to be measured.
    """
    if options.gauge is None:
        return []
    config, seed = origin.config, origin.settings.seed
    envs = origin.make_envs(width_for(config.env, EPISODES), seed=seed)
    gauge = BeliefGauge(config, envs, f"--gauge={options.gauge}")
    looks = LOOKS_BY_PARTICLES if gauge.by_particles else LOOKS
    return [Gauge(gauge, options.gauge_interval or max(1, total // looks), seed)]


def plain_configs(config: ConfigDict) -> dict[str, Any]:
    """The groups that there are, as plain values."""
    return {name: to_dict(config[name]) for name in ("env", "rl", "seq", "repr") if config.get(name) is not None}


def open_run(config: ConfigDict, settings: Settings, options: Options) -> Run:
    """The folder of a run, new or of the same run, locked.

    Raises:
        UserError: it holds another run, or is another process's.
    """
    digests = {
        "state_embedder_sha256": embedders_digest(settings.state_embedder, ("s_encoder",)),
        "obs_embedder_sha256": embedders_digest(settings.obs_embedder, ("o_encoder", "believer")),
    }
    if settings.data_path is not None:
        digests["data_path_sha256"] = dataset_digest(located(settings.data_path))
    if settings.expert_policy is not None:
        digests["expert_policy_sha256"] = policy_digest(settings.expert_policy)
    if (digest := file_digest(config.env)) is not None:
        digests["env_file_sha256"] = digest
    configs = plain_configs(config) | {"run": settings.to_dict() | digests}
    # the domain's settings have gone into rl and seq; and what is in memory changes nothing
    may_differ = ("run.threads", "run.max_rows", "env.rl", "env.seq")
    kind = kind_for(choose(FAMILIES, config.rl.family, "--config_rl.family"), config.rl)
    return Run.create(
        *(options.save_dir, options.name, configs, options.command),
        may_differ=may_differ,
        may_grow=kind.may_grow,
        digest_of={FILE_DIGEST: FILE_FIELD},
    )


def open_mirrors(options: Options, run: Run, configs: dict[str, Any], seed: int, first_step: int) -> list[Writer]:
    """TensorBoard and wandb, as asked for; what they hold of later steps is from before an interruption."""
    writers: list[Writer] = []
    names, group = options.mirrors, options.name.rpartition("/")[0]
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
    origin: Origin,
    options: Options,
    agent: Agent,
    experience: Experience,
    run: Run,
    history: list[dict[str, float]],
    say: Say,
) -> None:
    """100 greedy episodes, learning curve, film, summary and a short table; the policy is kept with each checkpoint."""
    config, settings, make_envs = origin.config, origin.settings, origin.make_envs
    final = play_final(agent.greedy(), make_envs, config.env, settings.seed)
    last = means(history[-10:])
    summary: dict[str, Any] = {
        "env": config.env.id,
        "method": f"{config.rl.family}:{config.rl.variant}",
        "memory": config.seq.memory,
        "seed": settings.seed,
        "demonstrations": settings.start_expert,
        "env_steps": experience.env_steps,
        "updates": experience.updates,
        "final_episodes": FINAL_EPISODES,
        "final": final,
        "last_evaluation": history[-1],
        "mean_of_last_ten": {name: last[name] for name in ("return", "success", "length") if name in last},
    }
    if any("success" in row for row in history):
        summary["steps_to_0.9"] = next((row["step"] for row in history if row.get("success", 0.0) >= 0.9), None)
    run.finish(summary)  # whatever fails in drawing it
    title = f"{summary['env']}, {summary['method']}"
    draw_curve(history, run.folder / "learning_curve.png", title, experience.clock)
    if options.film_episodes:
        films = (run.films_dir, options.film_episodes)
        run.finish(summary | {"film": write_film(agent.greedy(), make_envs, settings.seed, *films)})
    say(table(summary))
    say(f"everything is in {run.folder}")
