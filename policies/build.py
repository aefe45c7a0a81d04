"""From configs to agents: here and in `policies.models.trunk`, and nowhere else, names in a config become objects."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from ml_collections import ConfigDict
from torch import nn

from envs.base import EnvSpec
from policies.agents.a2c import A2C
from policies.agents.base import Agent, HistoryPolicy
from policies.agents.dqn import DQN, Q_TARGETS, ValueNetworks
from policies.agents.sac import SAC
from policies.models.believer import Believer, BelieverConfig, believer_config, load_believer
from policies.models.on_disk import encoder_config, image_encoder, load_encoder
from policies.models.trunk import Side, build_memory, check_belief, vector_embedder
from policies.models.views import PRIVILEGED, PUBLIC, Critic, Head, PrivilegedViews
from torchkit.actions import Actions, ActionValues, Categorical, TanhGaussian
from torchkit.networks import Encoder, EncoderConfig
from torchkit.sequence import Memory
from utils.config import flatten
from utils.device import choose_precision
from utils.errors import UserError, at_least_one, choose, choose_name

SIZES = (
    *("rl.head_dims", "rl.action_dim", "seq.state_dim"),
    *(f"rl.auxiliary.{name}.hidden_dims" for name in ("state_prediction", "self_prediction")),
    *(f"rl.belief.{name}" for name in ("samples", "sample_dims", "out_dim")),
    *(f"seq.{kind}.{name}" for kind in ("vector", "image") for name in ("obs_dim", "action_dim")),
)


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
        choose_precision(rl.precision, device, "--config_rl.precision")
        choose_name(("shared", "separate"), rl.predictor_step, "--config_rl.predictor_step")
        choose_name(("shared", "separate"), rl.critic_memory, "--config_rl.critic_memory")
        return self.family.build(self, seed, device)

    @property
    def family(self) -> "Family":
        """That of `config.rl.family`."""
        return choose(FAMILIES, self.config.rl.family, "--config_rl.family")

    @property
    def actions(self) -> Actions:
        """What the outputs of the policy's head mean.

        Raises:
            UserError: the family has no such actions.
        """
        if self.spec.discrete:
            return self.family.discrete
        if self.family.continuous is None:
            others = ", ".join(f"configs/rl/{name}.py" for name, other in FAMILIES.items() if other.continuous)
            raise UserError(
                f"--config_rl: {self.config.rl.family} needs discrete actions, this domain's are continuous; choose "
                f"from {others}"
            )
        return self.family.continuous

    def policy_head(self, side: Side) -> Head:
        """The head that acts."""
        inputs = self.config.rl.policy_inputs
        check_inputs(inputs, PUBLIC, "--config_rl.policy_inputs")
        return side.head(inputs, self.actions.out_dim(self.spec.action_dim), out_bound=self.actions.first_bound)

    def policy(self, folds: Iterable[str] = (), shortcuts: Iterable[str] = ()) -> HistoryPolicy:
        """The acting part alone; `folds` and `shortcuts` are views that it has without its head's asking."""
        side = Side(self)
        head = self.policy_head(side)
        for view in (*folds, *shortcuts):
            side.width(view)
        return HistoryPolicy(side.public(), head, self.actions)

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

    def settings_of(self, kind: str, name: str, flag: str) -> ConfigDict:
        """The config row of an auxiliary loss or intrinsic reward; `flag` is what named it, for errors."""
        settings = self.config.rl[kind].get(name)
        if settings is None:
            raise UserError(f"{flag}: {name} has no settings; give the config a row {kind}.{name}")
        return settings


def build_dqn(builder: Builder, seed: int, device: torch.device) -> DQN:
    """A DQN of any variant."""
    rl, spec = builder.config.rl, builder.spec
    actions = builder.actions
    choose_name(Q_TARGETS, rl.q_target, "--config_rl.q_target")
    if rl.q_target != "return" and not rl.critic_inputs:
        raise UserError(f"--config_rl.q_target={rl.q_target}: needs a critic, name its views in critic_inputs")
    side, critic = Side(builder), None
    head = builder.policy_head(side)
    if rl.critic_inputs:
        own = builder.critic_side(side)
        critic_head = own.head(rl.critic_inputs, spec.action_dim)
        critic = Critic(None if own is side else own.public(), own.privileged(), [critic_head])
        if own is not side and "belief" in own.folds:
            raise UserError(
                "--config_rl.critic_memory=separate: nothing would train the critic's own belief; choose shared"
            )
    check_belief(side, rl.auxiliary.use, "use")
    parts = side.parts(rl.auxiliary.use, rl.intrinsic.use)
    networks = ValueNetworks(HistoryPolicy(side.public(), head, actions), critic)
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
    if own is side and (idle := sorted(name for name, part in side.auxiliary.items() if not part.of_actor)):
        raise UserError(
            f"--config_rl.auxiliary.use_actor: {', '.join(idle)} cannot reach a memory that the critics' loss trains "
            "(critic_memory=shared); name it in auxiliary.use, or choose separate"
        )
    public = side.public()
    critic = Critic(public if own is side else own.public(), own.privileged(), heads, action_embedder)
    policy = HistoryPolicy(public, head, builder.actions)
    return SAC(policy, critic, builder.state_views(), parts, actor_parts, rl, spec.action_dim, seed, device)


def build_a2c(builder: Builder, seed: int, device: torch.device) -> A2C:
    """An A2C of any variant."""
    rl = builder.config.rl
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
    policy = HistoryPolicy(side.public(), head, builder.actions)
    return A2C(policy, critic, builder.state_views(), parts, actor_parts, rl, seed, device)


@dataclass(frozen=True)
class Family:
    """A family of agents: how one is built, and what its policy's outputs mean for discrete and continuous actions.

    `continuous` is None where it takes discrete actions alone.
    """

    build: Callable[[Builder, int, torch.device], Agent]
    discrete: Actions
    continuous: Actions | None = None


FAMILIES = {
    "dqn": Family(build_dqn, ActionValues()),
    "sac": Family(build_sac, Categorical(), TanhGaussian()),
    "a2c": Family(build_a2c, Categorical(), TanhGaussian()),
}


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
    at_least_one({f"--config_{field}": values.get(field, ()) for field in SIZES})


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
