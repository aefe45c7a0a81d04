"""The views of one network, made of a config on first demand, and the parts that stand on them."""

import inspect
from typing import TYPE_CHECKING

from ml_collections import ConfigDict
from torch import nn

from policies.auxiliary import AUXILIARY
from policies.extensions import AuxiliaryLoss, PartSet
from policies.intrinsic import INTRINSIC
from policies.models.believer import Belief, Believer
from policies.models.views import Fold, Head, History, PrivilegedViews, PublicViews
from torchkit.actions import Actions
from torchkit.networks import Entries, init_linear
from torchkit.sequence import MEMORIES, Memory
from utils.errors import UserError, choose

if TYPE_CHECKING:
    from policies.build import Builder


class Side:
    """The views of one network and the parts that stand on them: made on first demand, and only then computed.

    A policy's head may ask for public views only; a critic's head and the parts for any. `Parts` is what parts see.
    """

    def __init__(self, builder: "Builder"):
        self.builder, self.spec, self.config = builder, builder.spec, builder.config
        self.dims: dict[str, int] = {}
        self.folds: dict[str, Fold] = {}
        self.shortcuts: dict[str, nn.Module] = {}
        self.embedders: dict[str, nn.Module] = {}
        self.auxiliary: dict[str, AuxiliaryLoss] = {}
        self._believer: Believer | None = None

    @property
    def actions(self) -> Actions:
        """What the outputs of the policy's head mean."""
        return self.builder.actions

    def width(self, view: str) -> int:
        """The number of features of a view, which is computed from now on if it was not before.

        Raises:
            UserError: there is no such view, or something is missing of which it is made.
        """
        if view not in self.dims:
            maker = choose(VIEWS, view, "--config_rl: views")
            self.dims[view] = maker(self)
        return self.dims[view]

    def head(self, inputs: tuple[str, ...], out_dim: int, out_bound: float = 3e-3, **other: int) -> Head:
        """A head over views, and `other` inputs of given widths."""
        dims = {name: self.width(name) for name in inputs} | other
        return Head((*inputs, *other), dims, self.config.rl.head_dims, out_dim, out_bound)

    def public(self) -> PublicViews:
        """The public views that were asked for."""
        return PublicViews(self.folds, self.shortcuts)

    def privileged(self) -> PrivilegedViews:
        """The learned embeddings of the state that were asked for."""
        return PrivilegedViews(self.embedders, {})

    @property
    def history(self) -> History:
        """The fold of the view `history`."""
        self.width("history")
        fold = self.folds["history"]
        assert isinstance(fold, History)
        return fold

    @property
    def memory(self) -> Memory:
        """The memory behind `history`."""
        return self.history.memory

    @property
    def believer(self) -> Believer:
        """The conditional VAE behind `belief`."""
        self.width("belief")
        assert self._believer is not None
        return self._believer

    def parts(self, losses: tuple[str, ...], bonuses: tuple[str, ...], actor: bool = False) -> PartSet:
        """The named auxiliary losses and intrinsic rewards; what they need of each other is there by then.

        Raises:
            UserError: there is no such part, or it is the actor's and these are not.
        """
        self.auxiliary = {}
        flag = f"--config_rl.auxiliary.{'use_actor' if actor else 'use'}"
        for name in losses:
            loss = choose(AUXILIARY, name, flag)
            if loss.of_actor and not actor:
                raise UserError(f"{flag}: {name} is a loss of an actor; name it in auxiliary.use_actor of sac")
            self.auxiliary[name] = loss.build(self, self.builder.settings_of("auxiliary", name, flag))
        intrinsic = {}
        for name in bonuses:
            bonus = choose(INTRINSIC, name, "--config_rl.intrinsic.use")
            settings = self.builder.settings_of("intrinsic", name, "--config_rl.intrinsic.use")
            intrinsic[name] = (bonus.build(self, settings), settings.weight)
        return PartSet(self.auxiliary, intrinsic)

    def make_history(self) -> int:
        """Embedders and the memory of the config."""
        sizes, spec = self.builder.sizes, self.spec
        memory = build_memory(self.config.seq, self._input_width(), spec.max_episode_steps + 1)
        self.folds["history"] = History(
            obs_embedder=self.builder.embedder(spec.obs_dim, spec.obs_image_shape, sizes.obs_dim),
            action_embedder=vector_embedder(spec.action_dim, sizes.action_dim),
            reward_embedder=vector_embedder(1, sizes.reward_dim) if sizes.reward_dim else None,
            memory=memory,
        )
        return memory.out_dim

    def _input_width(self) -> int:
        sizes = self.builder.sizes
        return int(sizes.obs_dim + sizes.action_dim + sizes.reward_dim)

    def make_memory_input(self) -> int:
        """What goes into that memory."""
        self.history.shows_input = True
        return self._input_width()

    def make_belief(self) -> int:
        """The part of the Believer that acts, and networks of its samples."""
        sizes, self._believer = self.config.rl.belief, self.builder.believer()
        self.folds["belief"] = Belief(self._believer.history, sizes.samples, sizes.sample_dims, sizes.out_dim)
        return int(sizes.out_dim)

    def make_observation(self) -> int:
        """A learned embedding of the present observation."""
        spec, width = self.spec, self.builder.sizes.obs_dim
        self.shortcuts["observation"] = self.builder.embedder(spec.obs_dim, spec.obs_image_shape, width)
        return width

    def make_z_obs(self) -> int:
        """ψ, with gradients unless it is frozen."""
        encoder = self.builder.z_obs()
        self.shortcuts["z_obs"] = encoder
        return encoder.out_dim

    def make_state(self) -> int:
        """A learned embedding of the state."""
        spec, width = self.spec, self.config.seq.state_dim
        self.embedders["state"] = self.builder.embedder(spec.state_dim, spec.state_image_shape, width)
        return width

    def make_signal(self) -> int:
        """A learned embedding of the named features of the state."""
        names = self.config.rl.critic.signal
        if not names or isinstance(names, str):
            raise UserError("--config_rl.critic.signal: a tuple of features of the state is needed, such as ('0', '1')")
        entries = [entry for name in names for entry in self.spec.feature_entries(str(name))]
        width = self.config.seq.state_dim
        self.embedders["signal"] = nn.Sequential(Entries(entries), *vector_embedder(len(entries), width))
        return width

    def make_z_state(self) -> int:
        """φ, one and the same for all sides."""
        return self.builder.frozen_state("z_state")


VIEWS = {
    "history": Side.make_history,
    "memory_input": Side.make_memory_input,
    "belief": Side.make_belief,
    "observation": Side.make_observation,
    "z_obs": Side.make_z_obs,
    "state": Side.make_state,
    "signal": Side.make_signal,
    "z_state": Side.make_z_state,
}


def check_belief(side: Side, losses: tuple[str, ...], field: str) -> None:
    """Refuses a belief that no loss trains: it learns by its evidence bound alone."""
    if "belief" in side.folds and "belief_elbo" not in losses:
        raise UserError(
            f"--config_rl.auxiliary.{field}: the belief learns by belief_elbo alone; name it there "
            "(auxiliary.belief_elbo.weight=0 leaves the belief as it is)"
        )


def build_memory(config_seq: ConfigDict, width: int, context: int, flag: str = "--config_seq") -> Memory:
    """The memory that a config names, for inputs of `width`; one with a limited reach gets `context` rows.

    `flag` is how the user named the config, for errors.

    Raises:
        UserError: an unknown memory, or settings that it does not take.
    """
    kind = choose(MEMORIES, config_seq.memory, f"{flag}.memory")
    takes = set(inspect.signature(kind).parameters) - {"in_dim", "context"}
    for name in config_seq.kwargs:
        if name not in takes:
            raise UserError(
                f"{flag}.memory: {config_seq.memory} has no kwargs.{name}, it takes {', '.join(sorted(takes))}; "
                f"configs/seq/{config_seq.memory}.py has its own"
            )
    kwargs = dict(config_seq.kwargs)
    if "context" in inspect.signature(kind).parameters:
        kwargs["context"] = context
    try:
        return kind(width, **kwargs)
    except UserError as error:
        raise UserError(f"{flag}.kwargs.{error}") from error


def vector_embedder(in_dim: int, out_dim: int) -> nn.Sequential:
    """Linear-ReLU."""
    return nn.Sequential(init_linear(nn.Linear(in_dim, out_dim)), nn.ReLU())
