"""Stage 2 as the user calls it: a data set in, a folder with both embedders and a report of what they hold out."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ml_collections import ConfigDict
from safetensors import SafetensorError

from buffers.augment import check_turnable
from buffers.dataset import StoredEpisodes, check_domain, read_dataset
from buffers.transitions import TransitionData
from envs.make import make_env, make_vector_env
from policies.models.believer import Believer, believer_config, save_believer
from policies.models.history import build_memory
from policies.models.on_disk import (
    embedders_digest,
    encoder_config,
    load_encoder,
    load_tensors,
    save_encoder,
    save_tensors,
)
from policies.probing.embeddings import report
from policies.probing.text import as_text
from policies.representation.believer import (
    BELIEF_METRICS,
    STATE_METRICS,
    BelieverTrainer,
    BelieverTraining,
    StateModel,
    believer_report,
    believer_text,
)
from policies.representation.disentangled import (
    RepresentationConfig,
    RepresentationObjective,
    RepresentationTrainer,
    Trainer,
    TrainingConfig,
    train_representations,
)
from torchkit.networks import Encoder
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.config import check_numbers, to_dict, warn_of_another_task
from utils.device import choose_precision, device_of, prepare_cpu
from utils.errors import UserError, choose, choose_name, first_line
from utils.logger import JsonlWriter, Logger, WandbWriter, Writer
from utils.progress import progress
from utils.run import Run, atomic_write, write_json
from utils.seeding import seed_everything

CHECKPOINT_SECONDS = 60.0
POSITIVE = (
    *("batch_size", "batch_episodes", "club_steps"),
    *("embedding_dim", "action_embedding_dim", "hidden_dim", "encoder.hidden_dims"),
    *(f"belief.{name}" for name in ("embedding_dim", "context_dims", "latent_dim", "hidden_dims", "min_std")),
)


@dataclass(frozen=True)
class Settings:
    """What the command line says beside the configs."""

    data_path: str
    save_dir: str
    seed: int = 0
    log_freq: int = 50
    init_model: str | None = None
    cuda: int | None = None
    threads: int = 1
    wandb: bool = False
    wandb_name: str | None = None
    report_steps: int = 800


def pretrain(config_env: ConfigDict, config_repr: ConfigDict, settings: Settings, command: Sequence[str]) -> str:
    """Trains, or goes on training, both embedders; measures what they hold and returns the report as text.

    Raises:
        UserError: an input that the user can mend.
        DivergenceError: the loss is no longer finite; the last good checkpoint stays.
    """
    prepare_cpu(settings.threads)
    device = device_of(settings.cuda)
    stored = read_dataset(settings.data_path)
    envs = make_vector_env(config_env, 1, seed=0)
    check_domain(stored, envs.spec_sizes)
    envs.close()
    warn_of_another_task("--data_path", stored.metadata.get("config_env", {}), config_env)
    seed_everything(settings.seed)
    kind = choose(KINDS, config_repr.get("kind", "disentangled"), "--config_repr.kind")
    check_numbers("repr", config_repr, POSITIVE, ("anneal",), ("lr", "club_lr", "state_lr"))
    trainer = kind.make(config_repr, stored, settings, device)
    run = open_run(config_env, config_repr, settings, stored, command)
    try:
        check_schedule(run, config_repr)
        seconds = fit(trainer, run, settings, stored, kind, config_repr)
        with closing(make_env(config_env)) as env:
            result, text = kind.report(trainer, stored, env, settings)
        write_json(run.folder / "report.json", result)
        atomic_write(run.folder / "report.md", text)
        run.finish({"epochs": trainer.epoch, "seconds_per_epoch": seconds})
    finally:
        run.close()
    return f"{text}\nembedders and report are in {run.folder}"


def make_disentangled(
    config_repr: ConfigDict, stored: StoredEpisodes, settings: Settings, device: torch.device
) -> RepresentationTrainer:
    """Embedders of state and observation that share nothing, on their data."""
    objective = build_objective(config_repr, stored)
    if settings.init_model is not None:
        load_objective(settings.init_model, objective, stored)
    config = TrainingConfig(
        lr=config_repr.lr,
        club_lr=config_repr.club_lr,
        batch_size=config_repr.batch_size,
        club_steps=config_repr.club_steps,
        num_epochs=config_repr.num_epochs,
        anneal=config_repr.anneal,
        club_rows=choose_name(("fresh", "recent"), config_repr.get("club_rows", "fresh"), "--config_repr.club_rows"),
        precision=choose_precision(config_repr.get("precision", "fp32"), device, "--config_repr.precision"),
    )
    return RepresentationTrainer(objective, transition_data(stored), config, settings.seed, device)


def report_disentangled(
    trainer: RepresentationTrainer, stored: StoredEpisodes, env: gym.Env[Any, Any], settings: Settings
) -> tuple[dict[str, Any], str]:
    """What both embeddings hold."""
    encoders = {"z_s": trainer.objective.s_encoder, "z_o": trainer.objective.o_encoder}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        encoders |= {f"{name} untrained": Encoder(encoder.config) for name, encoder in encoders.items()}
    result = report(stored, encoders, env, settings.seed, settings.report_steps)
    return result, as_text(result)


def make_believer(
    config_repr: ConfigDict, stored: StoredEpisodes, settings: Settings, device: torch.device
) -> BelieverTrainer:
    """The Believer's embedding of the state and its belief about it, on their data."""
    if settings.init_model is not None:
        raise UserError("--init_model: not for config_repr.kind=believer; the same command goes on with more epochs")
    spec, weights = stored.spec, config_repr.state_weights
    encoder = encoder_config(config_repr, spec.state_dim, spec.state_image_shape)
    sizes = (config_repr.hidden_dim, config_repr.action_embedding_dim)
    believer = Believer(
        believer_config(config_repr, spec.obs_dim, spec.obs_image_shape),
        lambda memory, width: build_memory(memory, width, spec.max_episode_steps + 1, "--config_repr.belief"),
    )
    config = BelieverTraining(
        num_epochs=config_repr.state_epochs + config_repr.num_epochs,
        state_epochs=config_repr.state_epochs,
        state_lr=config_repr.state_lr,
        batch_size=config_repr.batch_size,
        weights=dict(weights),
        lr=config_repr.lr,
        episodes=config_repr.batch_episodes,
    )
    state_model = StateModel(encoder, spec.action_dim, *sizes)
    return BelieverTrainer(state_model, believer, transition_data(stored), stored, config, settings.seed, device)


def report_believer(
    trainer: BelieverTrainer, stored: StoredEpisodes, env: gym.Env[Any, Any], settings: Settings
) -> tuple[dict[str, Any], str]:
    """What samples of the belief tell."""
    model = trainer.believer.history
    trainer.believer.eval()
    result = believer_report(stored, trainer.state_model.mean_encoder(), model, env, settings.seed)
    return result, believer_text(result)


def save_state_and_belief(
    folder: Path, trainer: BelieverTrainer, config_repr: ConfigDict, about: Mapping[str, Any]
) -> None:
    """Writes the state's embedding in the form of φ, and the belief model."""
    save_encoder(folder, "s_encoder", trainer.state_model.mean_encoder(), about)
    save_believer(folder, trainer.believer, about)


def build_objective(config_repr: ConfigDict, stored: StoredEpisodes) -> RepresentationObjective:
    """The objective that a config asks for, in the sizes of the data; draws from torch's global generator."""
    spec = stored.spec
    return RepresentationObjective(
        RepresentationConfig(
            obs_encoder=encoder_config(config_repr, spec.obs_dim, spec.obs_image_shape),
            state_encoder=encoder_config(config_repr, spec.state_dim, spec.state_image_shape),
            action_dim=spec.action_dim,
            hidden_dim=config_repr.hidden_dim,
            action_embedding_dim=config_repr.action_embedding_dim,
            reward_weight=config_repr.reward_weight,
            state_dynamics_weight=config_repr.state_dynamics_weight,
            obs_dynamics_weight=config_repr.obs_dynamics_weight,
            overlap_weight=config_repr.overlap_weight,
            state_info_weight=config_repr.state_info_weight,
            obs_info_weight=config_repr.obs_info_weight,
        )
    )


def transition_data(stored: StoredEpisodes) -> TransitionData:
    """All real steps of a data set; with the copies that it asks for, those of the expert's episodes."""
    t = stored.transitions()
    if stored.n_aug:
        check_turnable(stored.spec, "--data_path")
    return TransitionData.from_rows(
        stored.obs,
        stored.state,
        t.row,
        t.next_row,
        stored.spec.encode_action(stored.action[t.row]),
        stored.reward[t.row],
        stored.discount[t.row],
        spec=stored.spec,
        copied_M=np.repeat(stored.expert, stored.length),
        n_aug=stored.n_aug,
        mirrored=stored.mirrored,
    )


def open_run(
    config_env: ConfigDict, config_repr: ConfigDict, settings: Settings, stored: StoredEpisodes, command: Sequence[str]
) -> Run:
    """The folder to write into; it may hold the same training, of fewer epochs or with its data elsewhere."""
    folder = Path(settings.save_dir).expanduser().resolve()
    config = {
        "env": to_dict(config_env),
        "repr": to_dict(config_repr),
        "data": {
            "path": settings.data_path,
            "path_sha256": stored.metadata.get("sha256"),
            "seed": stored.metadata.get("seed"),
            "steps": int(stored.length.sum()),
        },
        "run": {
            "seed": settings.seed,
            "init_model": settings.init_model,
            "init_model_sha256": embedders_digest(settings.init_model, ("s_encoder", "o_encoder", "objective")),
        },
    }
    may_differ = ("repr.num_epochs", "data.path", "env.eval", "env.rl", "env.seq")
    try:
        return Run.create(folder.parent, folder.name, config=config, command=command, may_differ=may_differ)
    except UserError as error:  # this script has one flag for the folder
        raise UserError(str(error).replace("--run_name", "--save_dir")) from error


def check_schedule(run: Run, config_repr: ConfigDict) -> None:
    """Refuses another number of epochs where the learning rates depend on it.

    Raises:
        UserError: what is in the folder is not the beginning of this training.
    """
    before = json.loads(run.config_path.read_text())["config"]["repr"]["num_epochs"]
    if config_repr.get("anneal") and before != config_repr.num_epochs:
        raise UserError(
            f"--num_epochs={config_repr.num_epochs}: the learning rates of {run.folder} fall over {before} epochs; "
            f"give another --save_dir, and --init_model={run.folder} to start from its weights"
        )


def fit(
    trainer: Trainer, run: Run, settings: Settings, stored: StoredEpisodes, kind: "Kind", config_repr: ConfigDict
) -> float:
    """Trains to the end from the run's checkpoint, if it has one; returns the seconds of an epoch."""
    num_epochs = trainer.num_epochs
    jsonl = JsonlWriter(run.metrics_path)
    state = load_checkpoint(run.checkpoint_dir)
    if state is not None:
        trainer.load_state_dict(state["trainer"])
    jsonl.truncate(0 if state is None else state["metrics_bytes"])
    writers: list[Writer] = [jsonl]
    if settings.wandb:
        name = settings.wandb_name or run.folder.name
        writers.append(WandbWriter(run.folder, name, {"save_dir": settings.save_dir}, group="representations"))
    logger = Logger(writers)
    began, first_epoch, saved = time.monotonic(), trainer.epoch, time.monotonic()
    bar = progress(num_epochs, initial=trainer.epoch, desc=stored.spec.env_id, unit="epoch")
    with closing(logger), bar:
        for epoch, metrics in train_representations(trainer):
            logger.write(epoch, metrics)
            bar.set_postfix({name: f"{metrics[name]:.3g}" for name in kind.shown if name in metrics})
            bar.update()
            due = epoch % settings.log_freq == 0 or time.monotonic() - saved > CHECKPOINT_SECONDS
            if due or epoch == num_epochs:
                about = {"env_id": stored.spec.env_id, "epochs": epoch, "seed": settings.seed}
                kind.save(run.folder, trainer, config_repr, about)
                save_checkpoint(run.checkpoint_dir, {"trainer": trainer.state_dict(), "metrics_bytes": jsonl.offset()})
                saved = time.monotonic()
    return (time.monotonic() - began) / max(1, trainer.epoch - first_epoch)


def save_objective(
    folder: Path, trainer: RepresentationTrainer, config_repr: ConfigDict, about: Mapping[str, Any]
) -> None:
    """Writes both encoders, standardised if asked for, and all weights of the objective for `--init_model`."""
    objective, data, standardise = trainer.objective, trainer.data, config_repr.standardise
    encoders = {"s_encoder": (objective.s_encoder, "state"), "o_encoder": (objective.o_encoder, "obs")}
    for name, (encoder, view) in encoders.items():
        saved = encoder
        if standardise:
            # the rows that are acted from: what is arrived at by a true ending is never embedded with a target
            z_UZ, row_of_transition = data.embed_all(encoder, view), data.ids(view)[0]
            weight = torch.bincount(row_of_transition.cpu()[data.steps.cpu()], minlength=len(z_UZ)).float()
            saved = encoder.standardised(z_UZ, weight.to(z_UZ.device))
        save_encoder(folder, name, saved, {**about, "standardised": standardise})
    save_tensors(folder / "objective.safetensors", objective.state_dict())


def load_objective(folder: str, objective: RepresentationObjective, stored: StoredEpisodes) -> None:
    """Takes over the weights of an earlier result: both encoders, and the rest where its sizes are the same.

    Raises:
        UserError: there is none in `folder`, it is damaged, or its encoders have other sizes.
    """
    flag = "--init_model"
    if not Path(folder).expanduser().is_dir():
        raise UserError(f"{flag}: no folder {folder}; give the --save_dir of an earlier result")
    spec = stored.spec
    for name, in_dim in (("s_encoder", spec.state_dim), ("o_encoder", spec.obs_dim)):
        encoder, ours = load_encoder(folder, name, in_dim, flag, env_id=spec.env_id), getattr(objective, name)
        if encoder.config != ours.config:
            raise UserError(f"{flag}: the {name} of {folder} is not as --config_repr asks for it")
        ours.load_state_dict(encoder.state_dict())
    rest = Path(folder).expanduser() / "objective.safetensors"
    if not rest.is_file():
        return
    try:
        tensors = load_tensors(rest)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{flag}: {rest} is damaged ({first_line(error)}); remove it to go on from the encoders alone"
        ) from error
    own = objective.state_dict()
    objective.load_state_dict(own | {k: v for k, v in tensors.items() if k in own and v.shape == own[k].shape})


@dataclass(frozen=True)
class Kind:
    """A kind of representations: how its trainer is made, what is saved of it, what is said of it in the end."""

    make: Callable[[ConfigDict, StoredEpisodes, Settings, torch.device], Trainer]
    save: Callable[[Path, Any, ConfigDict, Mapping[str, Any]], None]
    report: Callable[[Any, StoredEpisodes, gym.Env[Any, Any], Settings], tuple[dict[str, Any], str]]
    shown: tuple[str, ...]  # metrics in the progress bar


KINDS = {
    "disentangled": Kind(
        make_disentangled, save_objective, report_disentangled, ("total", "max_o_zo", "min_zs_zo", "reward")
    ),
    "believer": Kind(make_believer, save_state_and_belief, report_believer, (*STATE_METRICS, *BELIEF_METRICS)),
}
