"""The only place where names in a config become objects."""

import inspect
from collections.abc import Iterable

import torch
from ml_collections import ConfigDict
from torch import nn

from envs.base import EnvSpec
from policies.a2c import A2C
from policies.agent import Agent, HistoryPolicy
from policies.auxiliary import AUXILIARY
from policies.belief import Belief, Believer, BelieverConfig, believer_config, load_believer
from policies.dqn import DQN, Q_TARGETS, ValueNetworks
from policies.embedders import encoder_config, image_encoder, load_encoder
from policies.intrinsic import INTRINSIC
from policies.parts import AuxiliaryLoss, PartSet, choose_name
from policies.sac import SAC
from policies.views import PRIVILEGED, PUBLIC, Critic, Fold, Head, History, PrivilegedViews, PublicViews
from torchkit.networks import Encoder, EncoderConfig, Entries, init_linear
from torchkit.sequence import MEMORIES, Memory
from utils.config import flatten
from utils.errors import UserError, choose

SIZES = (
    *("rl.head_dims", "rl.action_dim", "seq.state_dim"),
    *(f"rl.auxiliary.{name}.hidden_dims" for name in ("state_prediction", "self_prediction")),
    *(f"rl.belief.{name}" for name in ("samples", "sample_dims", "out_dim")),
    *(f"seq.{kind}.{name}" for kind in ("vector", "image") for name in ("obs_dim", "action_dim")),
    *(f"seq.kwargs.{name}" for name in ("out_dim", "hidden_dims", "layers", "heads")),
)


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
    def memory(self) -> Memory:
        """The memory behind `history`."""
        self.width("history")
        history = self.folds["history"]
        assert isinstance(history, History)
        return history.memory

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
                raise UserError(f"{flag}: {name} is a loss of an actor; name it in auxiliary.use_actor of sac or a2c")
            self.auxiliary[name] = loss.build(self, self.builder.settings_of("auxiliary", name))
        intrinsic = {}
        for name in bonuses:
            bonus = choose(INTRINSIC, name, "--config_rl.intrinsic.use")
            settings = self.builder.settings_of("intrinsic", name)
            intrinsic[name] = (bonus.build(self, settings), settings.weight)
        return PartSet(self.auxiliary, intrinsic)

    def make_history(self) -> int:
        """Embedders and the memory of the config."""
        sizes, spec = self.builder.sizes, self.spec
        width = sizes.obs_dim + sizes.action_dim + sizes.reward_dim
        memory = build_memory(self.config.seq, width, spec.max_episode_steps + 1)
        self.folds["history"] = History(
            obs_embedder=self.builder.embedder(spec.obs_dim, spec.obs_image_shape, sizes.obs_dim),
            action_embedder=vector_embedder(spec.action_dim, sizes.action_dim),
            reward_embedder=vector_embedder(1, sizes.reward_dim) if sizes.reward_dim else None,
            memory=memory,
        )
        return memory.out_dim

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
    "belief": Side.make_belief,
    "observation": Side.make_observation,
    "z_obs": Side.make_z_obs,
    "state": Side.make_state,
    "signal": Side.make_signal,
    "z_state": Side.make_z_state,
}


class Builder:
    """Makes the parts of an agent from its configs.

    Args:
        spec: sizes of the domain.
        config: groups `rl`, `seq` and, where ψ or φ is used, `repr`.
        state_embedder, obs_embedder: folders or files of φ and ψ (stage 2), None where not given.
        z_obs_config, believer_config: how ψ and the Believer are built where all weights will be loaded, so that
            their own files are not needed.
    """

    def __init__(
        self,
        spec: EnvSpec,
        config: ConfigDict,
        state_embedder: str | None = None,
        obs_embedder: str | None = None,
        z_obs_config: EncoderConfig | None = None,
        believer_config: BelieverConfig | None = None,
    ):
        self.spec, self.config = spec, config
        self.z_obs_config, self.believer_config = z_obs_config, believer_config
        self.state_embedder, self.obs_embedder = state_embedder, obs_embedder
        given = {"--state_embedder_dir": state_embedder, "--obs_embedder_dir": obs_embedder}
        self.unused = {flag for flag, path in given.items() if path is not None}  # flags that no part has asked for
        check_sizes(config)
        self.sizes = config.seq.vector if spec.obs_image_shape is None else config.seq.image
        self.frozen: dict[str, nn.Module] = {}
        self._frozen_dims: dict[str, int] = {}

    def agent(self, seed: int, device: torch.device) -> Agent:
        """The agent of the family that `config.rl.family` names."""
        torch.manual_seed(seed)
        rl = self.config.rl
        choose_name(("fp32", "bf16"), rl.precision, "--config_rl.precision")
        choose_name(("shared", "separate"), rl.predictor_step, "--config_rl.predictor_step")
        choose_name(("shared", "separate"), rl.critic_memory, "--config_rl.critic_memory")
        return choose(FAMILIES, rl.family, "--config_rl.family")(self, seed, device)

    def policy_head(self, side: Side) -> Head:
        """The head that acts: an output an action, or mean and log standard deviation of a continuous action."""
        inputs = self.config.rl.policy_inputs
        check_inputs(inputs, PUBLIC, "--config_rl.policy_inputs")
        if self.spec.discrete:
            return side.head(inputs, self.spec.action_dim)
        return side.head(inputs, 2 * self.spec.action_dim, out_bound=1e-3)

    def policy(self, folds: Iterable[str] = (), shortcuts: Iterable[str] = ()) -> HistoryPolicy:
        """The acting part alone; `folds` and `shortcuts` are views that it has without its head's asking."""
        side = Side(self)
        head = self.policy_head(side)
        for view in (*folds, *shortcuts):
            side.width(view)
        return HistoryPolicy(side.public(), head, self.spec.discrete)

    def critic_side(self, policy_side: Side) -> Side:
        """Where critic heads take their views from: the policy's side, or one of their own."""
        check_inputs(self.config.rl.critic_inputs, (*PUBLIC, *PRIVILEGED), "--config_rl.critic_inputs")
        return policy_side if self.config.rl.critic_memory == "shared" else Side(self)

    def embedder(self, in_dim: int, image_shape: tuple[int, ...] | None, out_dim: int) -> nn.Module:
        """Linear-ReLU of a vector, or a CNN with a linear output of an image."""
        if image_shape is None:
            return vector_embedder(in_dim, out_dim)
        return Encoder(image_encoder(self.config.seq.image.cnn, in_dim, out_dim, image_shape, "--config_seq.image.cnn"))

    def z_obs(self) -> Encoder:
        """ψ, with gradients unless it is frozen."""
        if self.z_obs_config is not None:
            return Encoder(self.z_obs_config)
        source = choose_name(("trainable", "frozen", "scratch"), self.config.rl.z_obs, "--config_rl.z_obs")
        if source == "scratch":
            return Encoder(encoder_config(self.repr_config("z_obs"), self.spec.obs_dim, self.spec.obs_image_shape))
        if self.obs_embedder is None:
            raise UserError(f"--obs_embedder_dir: needed by config_rl.z_obs={source}; give it, or choose scratch")
        self.unused.discard("--obs_embedder_dir")
        encoder = load_encoder(
            self.obs_embedder,
            "o_encoder",
            self.spec.obs_dim,
            "--obs_embedder_dir",
            env_id=self.spec.env_id,
            image_shape=self.spec.obs_image_shape,
            config_repr=self.config.get("repr"),
        )
        return encoder.requires_grad_(source == "trainable")

    def believer(self) -> Believer:
        """The Believer of stage 2; a new one at each call."""

        def make_memory(config: ConfigDict, width: int) -> Memory:
            return build_memory(config, width, self.spec.max_episode_steps + 1)

        spec, source = self.spec, self.config.rl.believer
        if self.believer_config is not None:
            return Believer(self.believer_config, make_memory)
        if choose_name(("pretrained", "scratch"), source, "--config_rl.believer") == "scratch":
            config = believer_config(self.repr_config("believer"), spec.obs_dim, spec.obs_image_shape)
            return Believer(config, make_memory)
        if self.obs_embedder is None:
            raise UserError("--obs_embedder_dir: needed by config_rl.believer=pretrained; give it, or choose scratch")
        self.unused.discard("--obs_embedder_dir")
        return load_believer(self.obs_embedder, spec.obs_dim, make_memory, "--obs_embedder_dir", spec.env_id)

    def frozen_state(self, view: str) -> int:
        """The width of a frozen view of the state, which is computed from now on."""
        if view not in self.frozen:
            self.frozen[view], self._frozen_dims[view] = self.z_state()
        return self._frozen_dims[view]

    def state_views(self) -> PrivilegedViews:
        """The frozen views of the state that were asked for."""
        return PrivilegedViews({}, self.frozen)

    def z_state(self) -> tuple[nn.Module, int]:
        """φ and the width of its embedding."""
        source = choose_name(("pretrained", "random", "raw"), self.config.rl.z_state, "--config_rl.z_state")
        if source == "raw":
            return nn.Identity(), self.spec.state_dim
        if source == "random":
            config = encoder_config(self.repr_config("z_state"), self.spec.state_dim, self.spec.state_image_shape)
            return Encoder(config), config.out_dim
        if self.state_embedder is None:
            raise UserError("--state_embedder_dir: needed by config_rl.z_state=pretrained; give it, or random or raw")
        self.unused.discard("--state_embedder_dir")
        encoder = load_encoder(
            self.state_embedder,
            "s_encoder",
            self.spec.state_dim,
            "--state_embedder_dir",
            env_id=self.spec.env_id,
            image_shape=self.spec.state_image_shape,
            config_repr=self.config.get("repr"),
        )
        return encoder, encoder.out_dim

    def repr_config(self, user: str) -> ConfigDict:
        """The sizes of encoders that are not read from a file."""
        if self.config.get("repr") is None:
            raise UserError(f"--config_repr: needed by config_rl.{user}={self.config.rl[user]}")
        return self.config.repr

    def settings_of(self, kind: str, name: str) -> ConfigDict:
        """The config row of an auxiliary loss or intrinsic reward."""
        settings = self.config.rl[kind].get(name)
        if settings is None:
            raise UserError(f"--config_rl.{kind}.use: {name} has no settings; give the config a row {kind}.{name}")
        return settings


def build_dqn(builder: Builder, seed: int, device: torch.device) -> DQN:
    """A DQN of any variant."""
    rl, spec = builder.config.rl, builder.spec
    if not spec.discrete:
        raise UserError(
            "--config_rl: dqn needs discrete actions, this domain's are continuous; configs/rl/sac.py takes both"
        )
    choose_name(Q_TARGETS, rl.q_target, "--config_rl.q_target")
    if rl.q_target != "return" and not rl.critic_inputs:
        raise UserError(f"--config_rl.q_target={rl.q_target}: needs a critic, name its views in critic_inputs")
    side, critic = Side(builder), None
    head = builder.policy_head(side)
    if rl.critic_inputs:
        own = builder.critic_side(side)
        critic_head = own.head(rl.critic_inputs, spec.action_dim)
        critic = Critic(None if own is side else own.public(), own.privileged(), [critic_head])
    check_belief(side, rl.auxiliary.use, "use")
    parts = side.parts(rl.auxiliary.use, rl.intrinsic.use)
    networks = ValueNetworks(HistoryPolicy(side.public(), head), critic)
    return DQN(networks, builder.state_views(), parts, rl, spec.action_dim, seed, device)


def build_sac(builder: Builder, seed: int, device: torch.device) -> SAC:
    """A SAC of any variant."""
    rl, spec = builder.config.rl, builder.spec
    side = Side(builder)
    head = builder.policy_head(side)
    own = builder.critic_side(side)
    if own is side and (left_out := sorted(set(rl.policy_inputs) - set(rl.critic_inputs))):
        raise UserError(
            f"--config_rl.critic_memory=shared: the critics' loss alone trains what both read, and critic_inputs lack "
            f"{', '.join(left_out)}; choose separate"
        )
    if spec.discrete:
        heads = [own.head(rl.critic_inputs, spec.action_dim) for _ in range(2)]
        action_embedder = None
    else:
        heads = [own.head(rl.critic_inputs, 1, action=rl.action_dim) for _ in range(2)]
        action_embedder = vector_embedder(spec.action_dim, rl.action_dim)
    check_belief(own, rl.auxiliary.use, "use")
    if own is not side:
        check_belief(side, rl.auxiliary.use_actor, "use_actor")
    parts = own.parts(rl.auxiliary.use, rl.intrinsic.use)
    actor_parts = side.parts(rl.auxiliary.use_actor, (), actor=True)
    public = side.public()
    critic = Critic(public if own is side else own.public(), own.privileged(), heads, action_embedder)
    policy = HistoryPolicy(public, head, spec.discrete)
    return SAC(policy, critic, builder.state_views(), parts, actor_parts, rl, spec.action_dim, seed, device)


def build_a2c(builder: Builder, seed: int, device: torch.device) -> A2C:
    """An A2C of any variant."""
    rl, spec = builder.config.rl, builder.spec
    if rl.updates_per_step:
        raise UserError("--updates_per_step: a2c learns once from each batch of fresh episodes; leave the flag out")
    if rl.critic_memory == "shared":
        raise UserError("--config_rl.critic_memory: a2c's critic has a memory of its own; choose separate")
    if rl.predictor_step == "separate":
        raise UserError("--config_rl.predictor_step: a2c has one batch for all; choose shared")
    side = Side(builder)
    head = builder.policy_head(side)
    own = builder.critic_side(side)
    heads = [own.head(rl.critic_inputs, 1)]
    check_belief(own, rl.auxiliary.use, "use")
    check_belief(side, rl.auxiliary.use_actor, "use_actor")
    parts = own.parts(rl.auxiliary.use, rl.intrinsic.use)
    actor_parts = side.parts(rl.auxiliary.use_actor, (), actor=True)
    critic = Critic(own.public(), own.privileged(), heads)
    policy = HistoryPolicy(side.public(), head, spec.discrete)
    return A2C(policy, critic, builder.state_views(), parts, actor_parts, rl, seed, device)


FAMILIES = {"dqn": build_dqn, "sac": build_sac, "a2c": build_a2c}


def build_memory(config_seq: ConfigDict, width: int, context: int, flag: str = "--config_seq") -> Memory:
    """The memory that a config names, for inputs of `width`; one with a limited reach gets `context` rows.

    `flag` is how the user named the config, for errors.

    Raises:
        UserError: an unknown memory, or settings that it does not take.
    """
    kind = choose(MEMORIES, config_seq.memory, f"{flag}.memory")
    takes = set(inspect.signature(kind).parameters) - {"in_dim", "context"}
    for name, value in config_seq.kwargs.items():
        if name not in takes:
            raise UserError(
                f"{flag}.memory: {config_seq.memory} has no kwargs.{name}, it takes {', '.join(sorted(takes))}; "
                f"configs/seq/{config_seq.memory}.py has its own"
            )
        if name in ("layers", "heads", "out_dim") and value < 1:
            raise UserError(f"{flag}.kwargs.{name}={value}: at least 1 is needed")
        if name == "dropout" and not 0 <= value < 1:
            raise UserError(f"{flag}.kwargs.dropout={value}: a share from 0 to below 1 is needed")
    kwargs = dict(config_seq.kwargs)
    if width % kwargs.get("heads", 1):
        raise UserError(f"{flag}.kwargs.heads: {kwargs['heads']} does not divide the width {width}")
    if "context" in inspect.signature(kind).parameters:
        kwargs["context"] = context
    return kind(width, **kwargs)


def vector_embedder(in_dim: int, out_dim: int) -> nn.Sequential:
    """Linear-ReLU."""
    return nn.Sequential(init_linear(nn.Linear(in_dim, out_dim)), nn.ReLU())


def check_sizes(config: ConfigDict) -> None:
    """Refuses layers without any width.

    Raises:
        UserError: names the field.
    """
    values = flatten({"rl": config.rl, "seq": config.seq})
    if values.get("rl.belief.sample_dims") == ():
        raise UserError("--config_rl.belief.sample_dims=(): at least one layer is needed")
    for kind in ("vector", "image"):
        if (width := values.get(f"seq.{kind}.reward_dim", 0)) < 0:
            raise UserError(f"--config_seq.{kind}.reward_dim={width}: 0, for none, or more is needed")
    for field in SIZES:
        value = values.get(field, ())
        if min(value if isinstance(value, tuple) else (value,), default=1) < 1:
            raise UserError(f"--config_{field}={value}: at least 1 is needed")


def check_belief(side: Side, losses: tuple[str, ...], field: str) -> None:
    """Refuses a belief that no loss trains: it learns by its evidence bound alone."""
    if "belief" in side.folds and "belief_elbo" not in losses:
        raise UserError(
            f"--config_rl.auxiliary.{field}: the belief learns by belief_elbo alone; name it there "
            "(auxiliary.belief_elbo.weight=0 leaves the belief as it is), or choose critic_memory=shared"
        )


def check_inputs(inputs: tuple[str, ...], known: tuple[str, ...], flag: str) -> None:
    """Refuses an empty tuple of views, and views that the head may not, or cannot, see."""
    if not inputs or isinstance(inputs, str):
        raise UserError(f"{flag}: a tuple of views is needed, out of {', '.join(known)}")
    for name in inputs:
        if name in PRIVILEGED and known is PUBLIC:
            raise UserError(
                f"{flag}: {name!r} is privileged, the policy will not have it; choose from {', '.join(known)}"
            )
        choose_name(known, name, flag)
