"""The public views of one network with their memory, and its embeddings of the state: made on first demand."""

from collections.abc import Mapping

from torch import nn

from policies.models.believer import Belief, Believer
from policies.models.heads import Head
from policies.models.history import History, build_memory, vector_embedder
from policies.models.sources import Sources, normalised_views
from policies.models.views import Fold, PrivilegedViews, PublicViews
from torchkit.actions import Actions
from torchkit.moments import Moments
from torchkit.networks import Entries
from torchkit.normalise import RunningNorm
from torchkit.sequence import Memory
from utils.errors import UserError, choose


class Trunk:
    """The views of one network: made on first demand, and only then computed.

    A policy's head may ask for public views only; a critic's head and extensions for any.

    Attributes:
        actions: what the outputs of the policy's head mean.
        auxiliary: the auxiliary losses on these views, by name, once they are there.
    """

    def __init__(self, sources: Sources, actions: Actions):
        self.sources, self.spec, self.config, self.actions = sources, sources.spec, sources.config, actions
        self.dims: dict[str, int] = {}
        self.folds: dict[str, Fold] = {}
        self.shortcuts: dict[str, nn.Module] = {}
        self.embedders: dict[str, nn.Module] = {}
        self.auxiliary: Mapping[str, nn.Module] = {}
        self._believer: Believer | None = None

    def width(self, view: str) -> int:
        """The number of features of a view, which is computed from now on if it was not before.

        Raises:
            UserError: there is no such view, or something is missing of which it is made.
        """
        if view not in self.dims:
            maker = choose(VIEWS, view, "--config_rl: views")
            self.dims[view] = maker(self)
        return self.dims[view]

    def moments(self, view: str) -> Moments | None:
        """Those of a frozen view of the state, where its file has them."""
        self.width(view)
        return self.sources.moments.get(view)

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

    def make_history(self) -> int:
        """Embedders and the memory of the config."""
        sizes, spec = self.sources.sizes, self.spec
        memory = build_memory(self.config.seq, self._input_width(), spec.max_episode_steps + 1)
        self.folds["history"] = History(
            obs_embedder=self.sources.embedder(spec.obs_dim, spec.obs_image_shape, sizes.obs_dim),
            action_embedder=vector_embedder(spec.action_dim, sizes.action_dim),
            reward_embedder=self.sources.reward_embedder(sizes.reward_dim),
            memory=memory,
        )
        return memory.out_dim

    def _input_width(self) -> int:
        sizes = self.sources.sizes
        return int(sizes.obs_dim + sizes.action_dim + sizes.reward_dim)

    def make_memory_input(self) -> int:
        """What goes into that memory."""
        self.history.shows_input = True
        return self._input_width()

    def make_belief(self) -> int:
        """The part of the Believer that acts, and networks of its samples."""
        sizes, self._believer = self.config.rl.belief, self.sources.believer()
        self.folds["belief"] = Belief(self._believer.history, sizes.samples, sizes.sample_dims, sizes.out_dim)
        return int(sizes.out_dim)

    def make_observation(self) -> int:
        """A learned embedding of the present observation."""
        spec, width = self.spec, self.sources.sizes.obs_dim
        self.shortcuts["observation"] = self.sources.embedder(spec.obs_dim, spec.obs_image_shape, width)
        return width

    def make_z_obs(self) -> int:
        """ψ, with gradients unless it is frozen."""
        encoder = self.sources.z_obs()
        self.shortcuts["z_obs"] = encoder
        return encoder.out_dim

    def make_state(self) -> int:
        """A learned embedding of the state."""
        spec, width = self.spec, self.config.seq.state_dim
        self.embedders["state"] = self.sources.embedder(spec.state_dim, spec.state_image_shape, width, "state")
        return width

    def make_signal(self) -> int:
        """A learned embedding of the named features of the state."""
        names = self.config.rl.critic.signal
        if not names or isinstance(names, str):
            raise UserError("--config_rl.critic.signal: a tuple of features of the state is needed, such as ('0', '1')")
        entries = [entry for name in names for entry in self.spec.feature_entries(str(name))]
        width = self.config.seq.state_dim
        layers = [Entries(entries), *vector_embedder(len(entries), width)]
        if "state" in normalised_views(self.config.rl):
            layers.insert(0, RunningNorm(self.spec.state_dim, "state"))
        self.embedders["signal"] = nn.Sequential(*layers)
        return width

    def make_z_state(self) -> int:
        """φ, one and the same for all trunks."""
        return self.sources.frozen_state("z_state")


VIEWS = {
    "history": Trunk.make_history,
    "memory_input": Trunk.make_memory_input,
    "belief": Trunk.make_belief,
    "observation": Trunk.make_observation,
    "z_obs": Trunk.make_z_obs,
    "state": Trunk.make_state,
    "signal": Trunk.make_signal,
    "z_state": Trunk.make_z_state,
}
