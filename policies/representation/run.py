"""Stage 2 as the user calls it: a data set in, a folder with both embedders and a report of what they hold out."""

import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from ml_collections import ConfigDict

from buffers.recorded import STATE_FIELD, open_episodes
from buffers.stored import About, EpisodesOnDisk
from envs.make import describing_env, make_vector_env
from policies.models.on_disk import embedders_digest
from policies.representation.keeper import Keeper
from policies.representation.kinds import KINDS, Data, Kind, Settings
from policies.representation.training import EpochTrainer, train_representations
from utils.checkpoint import load_checkpoint, restoring, whole
from utils.config import check_numbers, to_dict, warn_of_another_task
from utils.device import device_of, prepare_cpu
from utils.errors import UserError, choose
from utils.files import atomic_write, write_json
from utils.logger import JsonlWriter, Logger, WandbWriter, Writer
from utils.optional import need
from utils.progress import progress
from utils.run import Run
from utils.seeding import seed_everything
from utils.stopping import StopRequest

CHECKPOINT_SECONDS = 60.0
POSITIVE = (
    *("batch_size", "batch_episodes", "club_steps"),
    *("embedding_dim", "action_embedding_dim", "hidden_dim", "encoder.hidden_dims"),
    *(f"belief.{name}" for name in ("embedding_dim", "context_dims", "latent_dim", "hidden_dims", "min_std")),
)


def pretrain(config_env: ConfigDict, config_repr: ConfigDict, settings: Settings, command: Sequence[str]) -> str:
    """Trains, or goes on training, both embedders; measures what they hold and returns the report as text.

    Raises:
        UserError: an input that the user can mend.
        DivergenceError: the loss is no longer finite; the last good checkpoint stays.
    """
    need("the report of stage 2", "sklearn")
    need("--wandb", *(["wandb"] if settings.wandb else []))
    prepare_cpu(settings.threads)
    device = device_of(settings.cuda)
    with closing(make_vector_env(config_env, 1, seed=0)) as envs:
        spec = envs.spec_sizes
    stored = open_episodes(settings.data_path, config_env, spec, settings.max_rows)  # by an env of its own
    if not stored.has_states:
        raise UserError(f"{STATE_FIELD}: --data_path has no states, of which stage 2 learns; say where they are")
    warn_of_another_task("--data_path", stored.metadata.get("config_env", {}), config_env)
    seed_everything(settings.seed)
    kind = choose(KINDS, config_repr.get("kind", "disentangled"), "--config_repr.kind")
    check_numbers("repr", config_repr, POSITIVE, ("anneal",), ("lr", "club_lr", "state_lr"))
    data = Data.of(stored, settings.max_rows, settings.seed)
    trainer = kind.make(config_repr, data, settings, device)
    run = open_run(config_env, config_repr, settings, stored, command)
    try:
        check_schedule(run, config_repr)
        seconds = fit(trainer, run, settings, stored, kind, config_repr)
        with closing(describing_env(config_env)) as env:
            result, text = kind.report(trainer, data.shown, env, settings)
        write_json(run.folder / "report.json", result)
        atomic_write(run.folder / "report.md", text)
        run.finish({"epochs": trainer.epoch, "seconds_per_epoch": seconds})
    finally:
        run.close()
        if isinstance(stored, EpisodesOnDisk):
            stored.close()
    return f"{text}\nembedders and report are in {run.folder}"


def open_run(
    config_env: ConfigDict, config_repr: ConfigDict, settings: Settings, stored: About, command: Sequence[str]
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
    if isinstance(stored, EpisodesOnDisk):  # else it changes nothing
        config["run"]["max_rows"] = settings.max_rows
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
    trainer: EpochTrainer, run: Run, settings: Settings, stored: About, kind: "Kind", config_repr: ConfigDict
) -> float:
    """Trains to the end from the run's checkpoint, if it has one; returns the seconds of an epoch.

    At a stop signal what is done is saved: at the end of the epoch, or where that is long, as of its beginning.

    Raises:
        KeyboardInterrupt, SystemExit: after the signal.
    """
    jsonl = JsonlWriter(run.metrics_path)
    state = load_checkpoint(run.checkpoint_dir)
    with restoring(run.checkpoint_dir):
        if state is not None:
            trainer.load_state_dict(state["trainer"])
        jsonl.truncate(0 if state is None else whole(state["metrics_bytes"], "metrics_bytes"))
    writers: list[Writer] = [jsonl]
    if settings.wandb:
        name = settings.wandb_name or run.folder.name
        writers.append(WandbWriter(run.folder, name, {"save_dir": settings.save_dir}, group="representations"))
    logger = Logger(writers)
    began, first_epoch = time.monotonic(), trainer.epoch
    stop = StopRequest()
    keeper = Keeper(trainer, run, jsonl, stop)
    bar = progress(trainer.num_epochs, initial=trainer.epoch, desc=stored.spec.env_id, unit="epoch")
    with closing(logger), bar, stop.listening(), keeper.at_a_stop():
        for epoch, metrics in train_representations(trainer, keeper.after_batch):
            logger.write(epoch, metrics)
            bar.set_postfix({name: f"{metrics[name]:.3g}" for name in kind.shown if name in metrics})
            bar.update()
            due = epoch % settings.log_freq == 0 or time.monotonic() - keeper.saved > CHECKPOINT_SECONDS
            if due or epoch == trainer.num_epochs or stop.number is not None:
                about = {"env_id": stored.spec.env_id, "epochs": epoch, "seed": settings.seed}
                kind.save(run.folder, trainer, config_repr, about)
                keeper.save()
            stop.interrupt(keeper.where)
            keeper.after_epoch()
    return (time.monotonic() - began) / max(1, trainer.epoch - first_epoch)
