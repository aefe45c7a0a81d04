"""What the networks of an agent are made of, each made when it is asked for: sizes, embedders, the Believer."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict
from torch import nn

from envs.base import EnvSpec
from policies.models.encoders import encoder_config, image_encoder, vector_embedder
from policies.models.on_disk import load_embedder, load_moments
from torchkit.moments import Moments
from torchkit.networks import Encoder
from torchkit.normalise import RewardScale, RunningNorm
from utils.errors import UserError, at_least_one, choose_name

NORMALISED = ("obs", "state", "reward")


class Sources:
    """What the networks of one agent are made of.

    Args:
        spec: sizes of the domain.
        config: groups `rl`, `seq` and, where an embedder is used, `repr`.
        state_embedder, obs_embedder: folders or files of both embedders (stage 2), None where not given.
        kept: what the json of a saved policy says of how its views are built, where all weights will be loaded, so
            that the embedders' own files are not needed; see `policies.models.trunk.kept_of`.
    """

    def __init__(
        self,
        spec: EnvSpec,
        config: ConfigDict,
        state_embedder: str | None = None,
        obs_embedder: str | None = None,
        kept: Mapping[str, Any] | None = None,
    ):
        self.spec, self.config, self.kept = spec, config, dict(kept or {})
        given = {"--state_embedder_dir": state_embedder, "--obs_embedder_dir": obs_embedder}
        self.given = {flag: path for flag, path in given.items() if path is not None}
        self.unused = set(self.given)  # flags that nothing has asked for
        kind = "vector" if spec.obs_image_shape is None else "image"
        self.sizes = config.seq[kind]
        check_sizes(self.sizes, f"--config_seq.{kind}")
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
        """The observation embedder, with gradients unless it is frozen."""
        if "z_obs" in self.kept:
            return Encoder(self.kept["z_obs"])
        source = choose_name(("trainable", "frozen", "scratch"), self.config.rl.z_obs, "--config_rl.z_obs")
        if source == "scratch":
            return Encoder(encoder_config(self.repr_config("z_obs"), self.spec.obs_dim, self.spec.obs_image_shape))
        path = self.embedder_path("--obs_embedder_dir", f"z_obs={source}", "scratch")
        return load_embedder("z_obs", path, self.spec, self.config).requires_grad_(source == "trainable")

    def frozen_state(self, view: str) -> int:
        """The width of a frozen view of the state, which is computed from now on."""
        if view not in self.frozen:
            self.frozen[view], self._frozen_dims[view] = self.z_state()
        return self._frozen_dims[view]

    def z_state(self) -> tuple[nn.Module, int]:
        """The state embedder and the width of its embedding."""
        source = choose_name(("pretrained", "random", "raw"), self.config.rl.z_state, "--config_rl.z_state")
        if source == "raw":
            return nn.Identity(), self.spec.state_dim
        if source == "random":
            config = encoder_config(self.repr_config("z_state"), self.spec.state_dim, self.spec.state_image_shape)
            return Encoder(config), config.out_dim
        path = self.embedder_path("--state_embedder_dir", "z_state=pretrained", "random or raw")
        encoder = load_embedder("z_state", path, self.spec, self.config)
        moments = load_moments(path, "s_encoder", encoder.out_dim, "--state_embedder_dir")
        if moments is not None:
            self.moments["z_state"] = moments
        return encoder, encoder.out_dim

    def embedder_path(self, flag: str, user: str, instead: str) -> str:
        """What an embedder flag gave, which counts as used from now on.

        Raises:
            UserError: it was not given; `user` is the setting that needs it, `instead` what else to set.
        """
        if flag not in self.given:
            raise UserError(f"{flag}: needed by config_rl.{user}; give it, or choose {instead}")
        self.unused.discard(flag)
        return self.given[flag]

    def repr_config(self, user: str) -> ConfigDict:
        """The sizes of encoders that are not read from a file."""
        if self.config.get("repr") is None:
            raise UserError(f"--config_repr: needed by config_rl.{user}={self.config.rl[user]}")
        return self.config.repr


def normalised_views(config_rl: ConfigDict) -> tuple[str, ...]:
    """What `config_rl.normalise` names: obs, state, reward.

    Raises:
        UserError: it names something else, or rewards where no γ says how returns are summed.
    """
    names = config_rl.get("normalise", ())
    names = (names,) if isinstance(names, str) and names else tuple(names)
    if "reward" in names and "discount" not in config_rl:
        raise UserError(f"--config_rl.normalise: {config_rl.family} has no discount, which reward needs; leave it out")
    return tuple(choose_name(NORMALISED, name, "--config_rl.normalise") for name in names)


def check_sizes(sizes: ConfigDict, flag: str) -> None:
    """Refuses embedders without any width; that of rewards may be 0, for none.

    Raises:
        UserError: names the field.
    """
    at_least_one({f"{flag}.{name}": sizes[name] for name in ("obs_dim", "action_dim")})
    if sizes.reward_dim < 0:
        raise UserError(f"{flag}.reward_dim={sizes.reward_dim}: 0, for none, or more is needed")
