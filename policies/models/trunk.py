"""The public views of one network with their memory, and its embeddings of the state: made on first demand."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from policies.models.believer import Belief
from policies.models.encoders import vector_embedder
from policies.models.exact_belief import ExactBelief
from policies.models.heads import Head
from policies.models.history import History
from policies.models.latent import Latent
from policies.models.sources import Sources, normalised_views
from policies.models.travelled import Travelled
from policies.models.views import Fold, PrivilegedViews, PublicViews
from torchkit.actions import Actions
from torchkit.moments import Moments
from torchkit.networks import EncoderConfig, Entries, Sums
from torchkit.normalise import RunningNorm
from torchkit.sequence import Memory
from utils.errors import UserError, at_least_one, choose, first_line


class Trunk:
    """The views of one network: made on first demand, and only then computed.

    A policy's head may ask for public views only; a critic's head and extensions for any.

    Attributes:
        actions: what the outputs of the policy's head mean.
        auxiliary: the auxiliary losses on these views, by name, once they are there.
        training_only: what a fold leaves for its loss and no policy has, such as the `believer` behind `belief`.
        kept: what a policy's json must say of public views beside the configs.
    """

    def __init__(self, sources: Sources, actions: Actions):
        self.sources, self.spec, self.config, self.actions = sources, sources.spec, sources.config, actions
        self.dims: dict[str, int] = {}
        self.folds: dict[str, Fold] = {}
        self.shortcuts: dict[str, nn.Module] = {}
        self.embedders: dict[str, nn.Module] = {}
        self.auxiliary: Mapping[str, nn.Module] = {}
        self.training_only: dict[str, nn.Module] = {}
        self.kept: dict[str, dict[str, Any]] = {}

    def width(self, view: str) -> int:
        """The number of features of a view, which is computed from now on if it was not before.

        Raises:
            UserError: there is no such view, or something is missing of which it is made.
        """
        if view not in self.dims:
            make = choose(MAKERS, view, "--config_rl: views")
            self.dims[view] = make(self)
        return self.dims[view]

    def moments(self, view: str) -> Moments | None:
        """Those of a frozen view of the state over the domain's states, where its file has them."""
        self.width(view)
        return self.sources.moments.get(view)

    def head(self, inputs: tuple[str, ...], out_dim: int, out_bound: float = 3e-3, **other: int) -> Head:
        """A head over views, and `other` inputs of given widths."""
        at_least_one({"--config_rl.head_dims": self.config.rl.head_dims})
        dims = {name: self.width(name) for name in inputs} | other
        return Head((*inputs, *other), dims, self.config.rl.head_dims, out_dim, out_bound)

    def public(self) -> PublicViews:
        """The public views that were asked for."""
        return PublicViews(self.folds, self.shortcuts, self.kept)

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

    def make_fold(self, view: str) -> int:
        """A view that remembers, by its name in `FOLDS`."""
        self.folds[view] = fold = FOLDS[view].build(self.sources, self.training_only)
        if isinstance(fold, History) and self._shares and "observation" in self.shortcuts:
            self.shortcuts["observation"] = fold.obs_embedder
        if fold.kept_as is not None:
            self.kept[fold.kept_as] = fold.to_json()
        return fold.out_dim

    def make_memory_input(self) -> int:
        """What goes into the memory behind `history`."""
        self.history.shows_input, sizes = True, self.sources.sizes
        return int(sizes.obs_dim + sizes.action_dim + sizes.reward_dim)

    def make_observation(self) -> int:
        """A learned embedding of the present observation, the memory's own where there is one and it is shared."""
        spec, width = self.spec, self.sources.sizes.obs_dim
        if self._shares and "history" in self.folds:
            self.shortcuts["observation"] = self.history.obs_embedder
        else:
            self.shortcuts["observation"] = self.sources.embedder(spec.obs_dim, spec.obs_image_shape, width)
        return width

    @property
    def _shares(self) -> bool:
        """Whether heads read the memory's embedding of the observation."""
        return bool(self.sources.sizes.get("shared", False))

    def make_z_obs(self) -> int:
        """The observation embedder, with gradients unless it is frozen."""
        encoder = self.sources.z_obs()
        self.shortcuts["z_obs"], self.kept["z_obs"] = encoder, encoder.config.to_json()
        return encoder.out_dim

    def make_state(self) -> int:
        """A learned embedding of the state."""
        spec, width = self.spec, self._state_dim()
        self.embedders["state"] = self.sources.embedder(spec.state_dim, spec.state_image_shape, width, "state")
        return width

    def make_signal(self) -> int:
        """A learned embedding of the named features of the state."""
        names = self.config.rl.critic.signal
        if not names or isinstance(names, str):
            raise UserError("--config_rl.critic.signal: a tuple of features of the state is needed, such as ('0', '1')")
        dim, width = self.spec.state_dim, self._state_dim()
        groups = [group for name in names for group in self.spec.feature_groups(str(name))]
        layers: list[nn.Module] = [*vector_embedder(len(groups), width)]
        sums = [name for name in names if str(name) in dict(self.spec.state_groups)]
        if "state" in normalised_views(self.config.rl) and sums and len(sums) < len(names):
            raise UserError(
                f"--config_rl.critic.signal: {', '.join(sums)} are sums of entries, which config_rl.normalise does not "
                "reach; name these alone, or leave 'state' out of it"
            )
        if any(len(group) != 1 for group in groups):  # counts, which are normal enough
            layers.insert(0, Sums(groups, dim))
        else:
            layers.insert(0, Entries([entry for group in groups for entry in group]))
            if "state" in normalised_views(self.config.rl):
                layers.insert(0, RunningNorm(dim, "state"))
        self.embedders["signal"] = nn.Sequential(*layers)
        return width

    def _state_dim(self) -> int:
        """The width of a learned embedding of the state."""
        at_least_one({"--config_seq.state_dim": self.config.seq.state_dim})
        return int(self.config.seq.state_dim)

    def make_z_state(self) -> int:
        """The state embedder, one and the same for all trunks."""
        return self.sources.frozen_state("z_state")


FOLDS: dict[str, type[Fold]] = {
    "history": History,
    "belief": Belief,
    "exact_belief": ExactBelief,
    "latent": Latent,
    "travelled": Travelled,
}
MAKERS: dict[str, Callable[[Trunk], int]] = {
    **{view: partial(Trunk.make_fold, view=view) for view in FOLDS},
    "memory_input": Trunk.make_memory_input,
    "observation": Trunk.make_observation,
    "z_obs": Trunk.make_z_obs,
    "state": Trunk.make_state,
    "signal": Trunk.make_signal,
    "z_state": Trunk.make_z_state,
}
PUBLIC = (*FOLDS, "observation", "z_obs")  # what a policy's head may read
PRIVILEGED = ("state", "z_state", "signal")  # and in training a critic's


def try_kept(sources: Sources) -> None:
    """Builds what a policy's json describes by itself, to see whether it can be.

    Raises:
        UserError: it cannot.
    """

    def begin(fold: type[Fold]) -> None:
        fold.build(sources, {}).initial_carry(1)

    makers: dict[str, Callable[[], Any]] = {"z_obs": sources.z_obs}
    makers |= {fold.kept_as: partial(begin, fold) for fold in FOLDS.values() if fold.kept_as is not None}
    for key, config in sources.kept.items():
        try:
            makers[key]()
        except (ArithmeticError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(f"{config} cannot be built ({first_line(error)})") from error


def kept_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a policy's json says of how its public views are built, by its keys.

    Raises:
        KeyError, TypeError, ValueError: it is damaged.
    """
    readers: dict[str, Callable[[dict[str, Any]], Any]] = {"z_obs": EncoderConfig.from_json}
    readers |= {fold.kept_as: fold.from_json for fold in FOLDS.values() if fold.kept_as is not None}
    return {key: read(about[key]) for key, read in readers.items() if key in about}
