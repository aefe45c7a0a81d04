"""The Believer goes on learning what z_state may be, from what is replayed (Wang et al., ICML 2023).

-ELBO of each row, with the posterior that stage 2 left. This loss alone trains what makes the samples; the rest of the
agent learns from them without reaching it.
"""

from collections.abc import Mapping
from typing import Self

import torch
from ml_collections import ConfigDict
from torch import Tensor

from buffers.batch import EpisodeBatch
from policies.extensions import AuxiliaryLoss
from policies.models.believer import Believer
from policies.models.trunk import Trunk
from torchkit.cvae import elbo
from utils.errors import UserError


class BeliefElbo(AuxiliaryLoss):
    """The posterior, which reads z_state and stays out of the policy."""

    def __init__(self, believer: Believer, weight: float):
        super().__init__()
        self.posterior = believer.posterior
        self._decoder = (believer.history.decoder,)  # in a tuple: it is the policy's, not a module of this loss
        self.latent_dim, self.loss_weight = believer.history.config.latent_dim, weight

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        """The loss of the belief that the agent has.

        Raises:
            UserError: z_state is not of the width that the belief is about.
        """
        believer, width = trunk.training_only["believer"], trunk.width("z_state")
        assert isinstance(believer, Believer)
        about = believer.history.config.x_dim
        if width != about:
            raise UserError(
                f"--state_embedder_dir: z_state has {width} numbers, the belief is about {about}; give this flag and "
                f"--obs_embedder_dir the same folder, of a --config_repr of the Believer"
            )
        return cls(believer, settings.weight)

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        context, z_state = views["belief_context"].float(), views["z_state"].float()
        noise = torch.randn(*context.shape[:-1], self.latent_dim, device=context.device)
        return -elbo(self.posterior, self._decoder[0], z_state, context, noise)
