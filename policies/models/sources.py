"""What the networks of an agent are made of, each made when it is asked for: sizes, embedders, the Believer."""

from ml_collections import ConfigDict
from torch import nn

from envs.base import EnvSpec
from policies.models.believer import Believer, BelieverConfig, believer_config, load_believer
from policies.models.encoders import encoder_config, image_encoder
from policies.models.history import build_memory, vector_embedder
from policies.models.on_disk import load_encoder, load_moments
from policies.models.views import PrivilegedViews
from torchkit.moments import Moments
from torchkit.networks import Encoder, EncoderConfig
from torchkit.normalise import RewardScale, RunningNorm
from torchkit.sequence import Memory
from utils.config import flatten
from utils.errors import UserError, at_least_one, choose_name

SIZES = (
    *("rl.head_dims", "rl.action_dim", "seq.state_dim"),
    *(f"rl.auxiliary.{name}.hidden_dims" for name in ("state_prediction", "self_prediction")),
    *(f"rl.belief.{name}" for name in ("samples", "sample_dims", "out_dim")),
    *(f"seq.{kind}.{name}" for kind in ("vector", "image") for name in ("obs_dim", "action_dim")),
)


NORMALISED = ("obs", "state", "reward")


class Sources:
    """What the networks of one agent are made of.

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
        self.unused = {flag for flag, path in given.items() if path is not None}  # flags that nothing has asked for
        check_sizes(config)
        self.sizes = config.seq.vector if spec.obs_image_shape is None else config.seq.image
        self.frozen: dict[str, nn.Module] = {}
        self._frozen_dims: dict[str, int] = {}
        self.moments: dict[str, Moments] = {}  # of frozen views, where their files have them

    def embedder(self, in_dim: int, image_shape: tuple[int, ...] | None, out_dim: int, of: str = "obs") -> nn.Module:
        """Linear-ReLU of a vector, or a CNN with a linear output of an image.

        `of` is the view, obs or state, which `config_rl.normalise` may name: then it is normalised before.

        Raises:
            UserError: it is to be normalised, and is an image.
        """
        normalised = of in normalised_views(self.config.rl)
        if image_shape is None:
            layers = vector_embedder(in_dim, out_dim)
            return nn.Sequential(RunningNorm(in_dim, of), *layers) if normalised else layers
        if normalised:
            raise UserError(
                f"--config_rl.normalise: {of} is an image of {self.spec.env_id}; it is brought to size by "
                "config_seq.image.cnn.centre and spread"
            )
        return Encoder(image_encoder(self.config.seq.image.cnn, in_dim, out_dim, image_shape, "--config_seq.image.cnn"))

    def reward_embedder(self, out_dim: int) -> nn.Module | None:
        """Linear-ReLU of the previous reward, or none where it is to have no width."""
        if not out_dim:
            return None
        layers = vector_embedder(1, out_dim)
        if "reward" in normalised_views(self.config.rl):
            return nn.Sequential(RewardScale(self.config.rl.discount), *layers)
        return layers

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
        moments = load_moments(self.state_embedder, "s_encoder", encoder.out_dim, "--state_embedder_dir")
        if moments is not None:
            self.moments["z_state"] = moments
        return encoder, encoder.out_dim

    def repr_config(self, user: str) -> ConfigDict:
        """The sizes of encoders that are not read from a file."""
        if self.config.get("repr") is None:
            raise UserError(f"--config_repr: needed by config_rl.{user}={self.config.rl[user]}")
        return self.config.repr


def normalised_views(config_rl: ConfigDict) -> tuple[str, ...]:
    """What `config_rl.normalise` names: obs, state, reward.

    Raises:
        UserError: it names something else.
    """
    names = config_rl.get("normalise", ())
    names = (names,) if isinstance(names, str) and names else tuple(names)
    return tuple(choose_name(NORMALISED, name, "--config_rl.normalise") for name in names)


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
