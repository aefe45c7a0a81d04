"""The kinds of stage 2: how the trainer of each is made, what is saved of it, what is said of it in the end."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import gymnasium as gym
import numpy as np
import torch
from ml_collections import ConfigDict
from numpy.typing import NDArray
from safetensors import SafetensorError

from buffers.augment import check_turnable
from buffers.stored import About, EpisodesOnDisk, StoredEpisodes
from buffers.transitions import TransitionData, epoch_generator
from policies.models.believer import Believer, believer_config, save_believer
from policies.models.encoders import build_memory, encoder_config
from policies.models.on_disk import load_encoder, save_encoder
from policies.probing.believer import believer_report, believer_text
from policies.probing.embeddings import report
from policies.probing.text import as_text
from policies.representation.believer import (
    BELIEF_METRICS,
    STATE_METRICS,
    BelieverTrainer,
    BelieverTraining,
    StateModel,
)
from policies.representation.disentangled import RepresentationConfig, RepresentationObjective
from policies.representation.training import EpochTrainer, Pieces, RepresentationTrainer, TrainingConfig
from torchkit.moments import Moments
from torchkit.networks import Encoder
from utils.device import choose_precision
from utils.errors import UserError, choose_name, first_line
from utils.tensors import load_tensors, save_tensors


@dataclass(frozen=True)
class Data:
    """What stage 2 learns of.

    Attributes:
        stored: all episodes.
        shown: those of which the embeddings' moments and the report are: all, or where these are on disk, a piece.
        max_rows: how many rows may be in memory, half of them of what is shown and half of a piece.
    """

    stored: StoredEpisodes | EpisodesOnDisk
    shown: StoredEpisodes
    max_rows: int = 0

    @classmethod
    def of(cls, stored: StoredEpisodes | EpisodesOnDisk, max_rows: int | None, seed: int) -> Self:
        """Of data on disk the first piece of the first epoch is shown.

        Raises:
            UserError: a piece does not hold two episodes.
        """
        if isinstance(stored, StoredEpisodes):
            return cls(stored, stored)
        assert max_rows is not None, "else they are in memory"
        if max_rows < (needed := 4 * (int(stored.length.max()) + 1)):
            steps = int(stored.length.max())
            raise UserError(
                f"--max_rows={max_rows}: two pieces of two episodes of up to {steps} steps need {needed}; give as many"
            )
        first = shuffled(stored, epoch_generator(seed, 0), max_rows // 2)[0]
        return cls(stored, stored.some(first), max_rows)

    def pieces(self, device: torch.device) -> Pieces | None:
        """The pieces of an epoch; None where all is in memory."""
        stored = self.stored
        if isinstance(stored, StoredEpisodes):
            return None

        def pieces(rng: torch.Generator) -> Iterator[TransitionData]:
            for numbers in shuffled(stored, rng, self.max_rows // 2):
                yield transition_data(stored.some(numbers)).to(device)

        return pieces


def shuffled(stored: EpisodesOnDisk, rng: torch.Generator, rows: int) -> list[NDArray[np.int64]]:
    """The numbers of all episodes at random, in pieces of at most so many rows."""
    return stored.pieces(torch.randperm(len(stored), generator=rng).numpy(), rows)


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
    max_rows: int | None = None


def make_disentangled(
    config_repr: ConfigDict, data: Data, settings: Settings, device: torch.device
) -> RepresentationTrainer:
    """Embedders of state and observation that share nothing, on their data."""
    stored = data.stored
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
    known = transition_data(data.shown)
    return RepresentationTrainer(objective, known, config, settings.seed, device, data.pieces(device))


def report_disentangled(
    trainer: RepresentationTrainer, stored: StoredEpisodes, env: gym.Env[Any, Any], settings: Settings
) -> tuple[dict[str, Any], str]:
    """What both embeddings hold."""
    encoders = {"z_state": trainer.objective.s_encoder, "z_obs": trainer.objective.o_encoder}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        encoders |= {f"{name} untrained": Encoder(encoder.config) for name, encoder in encoders.items()}
    result = report(stored, encoders, env, settings.seed, settings.report_steps)
    return result, as_text(result)


def make_believer(config_repr: ConfigDict, data: Data, settings: Settings, device: torch.device) -> BelieverTrainer:
    """The Believer's embedding of the state and its belief about it, on their data."""
    stored = data.stored
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
    known, pieces = transition_data(data.shown), data.pieces(device)
    networks = (state_model, believer)
    return BelieverTrainer(*networks, known, stored, config, settings.seed, device, pieces, data.max_rows)


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
    """Writes the state's embedding as that of the other kind is written, and the belief model."""
    encoder = trainer.state_model.mean_encoder()
    save_encoder(folder, "s_encoder", encoder, about, moments_of(encoder, trainer.data, "state"))
    save_believer(folder, trainer.believer, about)


def build_objective(config_repr: ConfigDict, stored: About) -> RepresentationObjective:
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
        copies=stored.copies,
    )


def save_objective(
    folder: Path, trainer: RepresentationTrainer, config_repr: ConfigDict, about: Mapping[str, Any]
) -> None:
    """Writes both encoders, standardised if asked for, and all weights of the objective for `--init_model`."""
    objective, data, standardise = trainer.objective, trainer.data, config_repr.standardise
    encoders = {"s_encoder": (objective.s_encoder, "state"), "o_encoder": (objective.o_encoder, "obs")}
    for name, (encoder, view) in encoders.items():
        moments = moments_of(encoder, data, view)
        if standardise:
            encoder, moments = encoder.standardised(moments), moments.standardised()
        save_encoder(folder, name, encoder, {**about, "standardised": standardise}, moments)
    save_tensors(folder / "objective.safetensors", objective.state_dict())


def moments_of(encoder: Encoder, data: TransitionData, view: str) -> Moments:
    """Those of a view's embedding over the rows that are acted from.

    What is arrived at by a true ending is never embedded with a target.
    """
    z_UZ, row_of_transition = data.embed_all(encoder, view), data.ids(view)[0]
    weight = torch.bincount(row_of_transition.cpu()[data.steps.cpu()], minlength=len(z_UZ))
    return Moments.of(z_UZ, weight.to(z_UZ.device))


def load_objective(folder: str, objective: RepresentationObjective, stored: About) -> None:
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

    make: Callable[[ConfigDict, Data, Settings, torch.device], EpochTrainer]
    save: Callable[[Path, Any, ConfigDict, Mapping[str, Any]], None]
    report: Callable[[Any, StoredEpisodes, gym.Env[Any, Any], Settings], tuple[dict[str, Any], str]]
    shown: tuple[str, ...]  # metrics in the progress bar


KINDS = {
    "disentangled": Kind(
        make_disentangled, save_objective, report_disentangled, ("total", "max_o_zo", "min_zs_zo", "reward")
    ),
    "believer": Kind(make_believer, save_state_and_belief, report_believer, (*STATE_METRICS, *BELIEF_METRICS)),
}
