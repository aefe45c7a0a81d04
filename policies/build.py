"""The only place where names in a config become objects."""

import inspect
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from ml_collections import ConfigDict
from safetensors import SafetensorError
from torch import nn

from envs.base import EnvSpec
from policies.agent import Agent, HistoryPolicy
from policies.auxiliary import AUXILIARY
from policies.dqn import DQN, ValueNetworks
from policies.embedders import encoder_config, load_encoder, load_tensors, save_tensors
from policies.intrinsic import INTRINSIC
from policies.parts import AuxiliaryLoss, IntrinsicReward, choose_name
from policies.views import PRIVILEGED, PUBLIC, Head, PrivilegedViews, PublicViews
from torchkit.networks import Encoder, EncoderConfig, init_linear
from torchkit.sequence import MEMORIES, Memory
from utils.config import flatten, json_tuples, to_dict
from utils.errors import UserError, choose
from utils.run import atomic_write

POLICY_FORMAT = 1

SIZES = (
    *("rl.head_dims", "rl.auxiliary.state_prediction.hidden_dims", "seq.state_dim"),
    *(f"seq.{kind}.{name}" for kind in ("vector", "image") for name in ("obs_dim", "action_dim")),
    *(f"seq.kwargs.{name}" for name in ("out_dim", "hidden_dims", "layers", "heads")),
)


class Builder:
    """Makes the parts of an agent from its configs.

    Args:
        spec: sizes of the domain.
        config: groups `rl`, `seq` and, where ψ or φ is used, `repr`.
        state_embedder, obs_embedder: folders or files of φ and ψ (stage 2), None where not given.
    """

    def __init__(
        self, spec: EnvSpec, config: ConfigDict, state_embedder: str | None = None, obs_embedder: str | None = None
    ):
        self.spec, self.config = spec, config
        self.state_embedder, self.obs_embedder = state_embedder, obs_embedder
        given = {"--state_embedder_dir": state_embedder, "--obs_embedder_dir": obs_embedder}
        self.unused = {flag for flag, path in given.items() if path is not None}  # flags that no part has asked for
        check_sizes(config)
        self.sizes = config.seq.vector if spec.obs_image_shape is None else config.seq.image
        self.dims: dict[str, int] = {}  # widths of views, computed or not
        self.views: set[str] = set()  # those that are computed
        self.frozen: dict[str, nn.Module] = {}
        self.auxiliary: dict[str, AuxiliaryLoss] = {}

    def agent(self, seed: int, device: torch.device) -> Agent:
        """The agent of the family that `config.rl.family` names."""
        torch.manual_seed(seed)
        return choose(FAMILIES, self.config.rl.family, "--config_rl.family")(self, seed, device)

    def policy(self, z_obs: EncoderConfig | None = None) -> HistoryPolicy:
        """The acting part. `z_obs` says how ψ is built where all weights will be loaded: its own file is not needed."""
        rl = self.config.rl
        check_inputs(rl.policy_inputs, PUBLIC, "--config_rl.policy_inputs")
        shortcuts: dict[str, Any] = {}
        if "observation" in rl.policy_inputs or "observation" in rl.get("critic_inputs", ()):
            shortcuts["observation"] = self.embedder(self.spec.obs_dim, self.spec.obs_image_shape, self.sizes.obs_dim)
        if "z_obs" in rl.policy_inputs:
            shortcuts["z_obs"] = self.z_obs() if z_obs is None else Encoder(z_obs)
        action_dim, reward_dim = self.sizes.action_dim, self.sizes.reward_dim
        width = self.sizes.obs_dim + action_dim + reward_dim
        memory = build_memory(self.config.seq, width, self.spec.max_episode_steps + 1)
        public = PublicViews(
            obs_embedder=self.embedder(self.spec.obs_dim, self.spec.obs_image_shape, self.sizes.obs_dim),
            action_embedder=vector_embedder(self.spec.action_dim, action_dim),
            reward_embedder=vector_embedder(1, reward_dim) if reward_dim else None,
            memory=memory,
            shortcuts=shortcuts,
        )
        self.dims = {"history": memory.out_dim, "state": self.config.seq.state_dim, "observation": self.sizes.obs_dim}
        if "z_obs" in shortcuts:
            self.dims["z_obs"] = shortcuts["z_obs"].config.out_dim
        self.views = {"history", *shortcuts}
        return HistoryPolicy(public, self.head(rl.policy_inputs))

    def head(self, inputs: tuple[str, ...]) -> Head:
        """A head over views, with an output an action."""
        return Head(inputs, self.dims, self.config.rl.head_dims, self.spec.action_dim)

    def embedder(self, in_dim: int, image_shape: tuple[int, ...] | None, out_dim: int) -> nn.Module:
        """Linear-ReLU of a vector, or a CNN with a linear output of an image."""
        if image_shape is None:
            return vector_embedder(in_dim, out_dim)
        cnn = self.config.seq.image.cnn
        pools = (1,) * len(cnn.channels)
        return Encoder(EncoderConfig(in_dim, out_dim, (), image_shape, cnn.channels, cnn.kernels, cnn.strides, pools))

    def z_obs(self) -> Encoder:
        """ψ, with gradients unless it is frozen."""
        source = choose_name(("trainable", "frozen", "scratch"), self.config.rl.z_obs, "--config_rl.z_obs")
        if source == "scratch":
            return Encoder(encoder_config(self.repr_config("z_obs"), self.spec.obs_dim, self.spec.obs_image_shape))
        if self.obs_embedder is None:
            raise UserError(f"--obs_embedder_dir: needed by config_rl.z_obs={source}; give it, or choose scratch")
        self.unused.discard("--obs_embedder_dir")
        encoder = load_encoder(
            self.obs_embedder, "o_encoder", self.spec.obs_dim, "--obs_embedder_dir", env_id=self.spec.env_id
        )
        return encoder.requires_grad_(source == "trainable")

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
            self.state_embedder, "s_encoder", self.spec.state_dim, "--state_embedder_dir", env_id=self.spec.env_id
        )
        return encoder, encoder.out_dim

    def repr_config(self, user: str) -> ConfigDict:
        """The sizes of encoders that are not read from a file."""
        if self.config.get("repr") is None:
            raise UserError(f"--config_repr: needed by config_rl.{user}={self.config.rl[user]}")
        return self.config.repr

    def critic_parts(self) -> tuple[Head | None, PrivilegedViews]:
        """The head of U and the learned embedding of the state, or None and nothing. Call `policy` first."""
        inputs = self.config.rl.critic_inputs
        if not inputs:
            return None, PrivilegedViews({}, {})
        check_inputs(inputs, tuple(self.dims), "--config_rl.critic_inputs")
        spec = self.spec
        embedders = {}
        if "state" in inputs:
            embedders["state"] = self.embedder(spec.state_dim, spec.state_image_shape, self.config.seq.state_dim)
            self.views.add("state")
        return self.head(inputs), PrivilegedViews(embedders, {})

    def width(self, view: str) -> int:
        """The number of features of a view, which is computed from now on if it was not before. Call `policy` first.

        Raises:
            UserError: the view is one that only a head's inputs bring about.
        """
        if view == "z_state" and view not in self.frozen:
            self.frozen[view], self.dims[view] = self.z_state()
            self.views.add(view)
        if view not in self.views:
            raise UserError(
                f"--config_rl: a part reads the view {view!r}; there are {', '.join(sorted(self.views))}, and what "
                f"policy_inputs and critic_inputs name"
            )
        return self.dims[view]

    def auxiliary_parts(
        self,
    ) -> tuple[PrivilegedViews, dict[str, AuxiliaryLoss], dict[str, tuple[IntrinsicReward, float]]]:
        """What is held against frozen views of the state, φ; the auxiliary losses and the weighted bonuses, by name."""
        rl = self.config.rl
        choose_name(("shared", "separate"), rl.predictor_step, "--config_rl.predictor_step")
        self.frozen, self.auxiliary = {}, {}
        for name in rl.auxiliary.use:
            loss = choose(AUXILIARY, name, "--config_rl.auxiliary.use")
            self.auxiliary[name] = loss.build(self, self.settings_of("auxiliary", name))
        intrinsic = {}
        for name in rl.intrinsic.use:
            bonus = choose(INTRINSIC, name, "--config_rl.intrinsic.use")
            settings = self.settings_of("intrinsic", name)
            intrinsic[name] = (bonus.build(self, settings), settings.weight)
        return PrivilegedViews({}, self.frozen), self.auxiliary, intrinsic

    def settings_of(self, kind: str, name: str) -> ConfigDict:
        """The config row of an auxiliary loss or intrinsic reward."""
        settings = self.config.rl[kind].get(name)
        if settings is None:
            raise UserError(f"--config_rl.{kind}.use: {name} has no settings; give the config a row {kind}.{name}")
        return settings


def build_dqn(parts: Builder, seed: int, device: torch.device) -> DQN:
    """A DQN of any variant."""
    if not parts.spec.discrete:
        raise UserError("--config_rl: dqn needs discrete actions; this domain's are continuous")
    choose_name(("fp32", "bf16"), parts.config.rl.precision, "--config_rl.precision")
    policy = parts.policy()
    critic, privileged = parts.critic_parts()
    state_target, auxiliary, intrinsic = parts.auxiliary_parts()
    networks = ValueNetworks(policy, critic, privileged)
    return DQN(networks, state_target, auxiliary, intrinsic, parts.config.rl, parts.spec.action_dim, seed, device)


FAMILIES = {"dqn": build_dqn}


def build_memory(config_seq: ConfigDict, width: int, context: int) -> Memory:
    """The memory that the config names, for inputs of `width`; one with a limited reach gets `context` rows.

    Raises:
        UserError: an unknown memory, or settings that it does not take.
    """
    kind = choose(MEMORIES, config_seq.memory, "--config_seq.memory")
    takes = set(inspect.signature(kind).parameters) - {"in_dim", "context"}
    for name, value in config_seq.kwargs.items():
        if name not in takes:
            raise UserError(
                f"--config_seq.memory: {config_seq.memory} has no kwargs.{name}, it takes {', '.join(sorted(takes))}; "
                f"configs/seq/{config_seq.memory}.py has its own"
            )
        if name in ("layers", "heads", "out_dim") and value < 1:
            raise UserError(f"--config_seq.kwargs.{name}={value}: at least 1 is needed")
    kwargs = dict(config_seq.kwargs)
    if width % kwargs.get("heads", 1):
        raise UserError(f"--config_seq.kwargs.heads: {kwargs['heads']} does not divide the width {width}")
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
    for field in SIZES:
        value = values.get(field, ())
        if min(value if isinstance(value, tuple) else (value,), default=1) < 1:
            raise UserError(f"--config_{field}={value}: at least 1 is needed")


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


def save_policy(folder: Path, policy: HistoryPolicy, spec: EnvSpec, config: ConfigDict, extra: dict[str, Any]) -> None:
    """Writes `policy.safetensors` and `policy.json`, which says how to rebuild it; nothing in them sees the state."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / "policy.safetensors", policy.state_dict())
    groups = {name: to_dict(config[name]) for name in ("env", "rl", "seq", "repr") if config.get(name) is not None}
    about = {"format": POLICY_FORMAT, "spec": asdict(spec), "config": groups, **extra}
    if "z_obs" in policy.public.shortcuts:
        about["z_obs"] = policy.public.shortcuts["z_obs"].config.to_json()  # type: ignore[union-attr, operator]
    atomic_write(folder / "policy.json", json.dumps(about, indent=2) + "\n")


def load_policy(folder: str, spec: EnvSpec | None = None) -> tuple[HistoryPolicy, dict[str, Any]]:
    """Reads what `save_policy` wrote: the policy and the content of its json.

    Raises:
        UserError: nothing there, damaged files, or a policy of a domain of other sizes.
    """
    path = Path(folder)
    path = path / "policy" if (path / "policy" / "policy.json").exists() else path
    try:
        about = json.loads((path / "policy.json").read_text())
        config = ConfigDict(json_tuples(about["config"]))
        saved = EnvSpec(**json_tuples(about["spec"]))
        z_obs = EncoderConfig.from_json(about["z_obs"]) if "z_obs" in about else None
        horizon = saved.max_episode_steps if spec is None else max(saved.max_episode_steps, spec.max_episode_steps)
        policy = Builder(replace(saved, max_episode_steps=horizon), config).policy(z_obs)
        policy.load_state_dict(load_tensors(path / "policy.safetensors"))
    except FileNotFoundError as error:
        raise UserError(f"--policy_dir: no policy in {folder} ({Path(str(error.filename)).name} is missing)") from error
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"--policy_dir: the policy in {path} is damaged ({type(error).__name__})") from error
    if spec is not None and (spec.obs_dim, spec.action_dim) != (saved.obs_dim, saved.action_dim):
        raise UserError(
            f"--policy_dir: a policy for {saved.obs_dim} observations and {saved.action_dim} actions; "
            f"{spec.env_id} has {spec.obs_dim} and {spec.action_dim}"
        )
    return policy.eval(), about
