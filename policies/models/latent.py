"""The view `latent`: the history folded by a recurrent state-space model, the agent's part of a world model.

It reads observations and actions alone; what it is trained to tell, the training-time information among it, is the
business of the auxiliary loss `world_model` (Lambrechts, Bolland & Ernst, RLC 2024).
"""

from typing import Self

from torch import Tensor, nn

from buffers.batch import PublicBatch
from policies.models.sources import Sources
from policies.models.views import Fold, Inputs, Views
from torchkit.sequence import Carry
from torchkit.sequence.base import forget
from torchkit.state_space import StateSpace, StateSpaceSizes
from utils.errors import at_least_one


class Latent(Fold):
    """`latent` (…, F), without a gradient: whoever reads it learns on it, and it learns by the world model alone.

    For that it publishes `latent_states`, the same with gradients, and the log-probabilities `latent_prior` and
    `latent_posterior` (T+1, B, G, C). In training mode codes are sampled; else they are the likeliest, so that what
    acts is a function of the history.
    """

    trained_by = "world_model"

    def __init__(self, obs_embedder: nn.Module, model: StateSpace):
        super().__init__()
        self.obs_embedder, self.model = obs_embedder, model
        self.out_dim = model.sizes.out_dim

    @classmethod
    def build(cls, sources: Sources, training_only: dict[str, nn.Module]) -> Self:
        """An embedder of observations, of the width that `config.seq` says, and the model of `config.rl.latent`."""
        spec, width, sizes = sources.spec, sources.sizes.obs_dim, sources.config.rl.latent
        at_least_one({f"--config_rl.latent.{name}": size for name, size in sizes.items()})
        model = StateSpace(width, spec.action_dim, StateSpaceSizes(**sizes))
        return cls(sources.embedder(spec.obs_dim, spec.obs_image_shape, width), model)

    def initial_carry(self, batch_size: int) -> Carry:
        return self.model.initial(batch_size)

    def _seen(self, obs: Tensor) -> Tensor:
        """What the posterior reads of observations."""
        return self.model.seen_obs(self.obs_embedder(obs))

    def forward(self, batch: PublicBatch, carry: Carry | None = None) -> Views:
        """See `Fold`; after a carry no row but the first is a start."""
        action, obs = batch.previous.through(self.model.of_action), batch.obs.through(self._seen)
        h, e = self.initial_carry(batch.mask.shape[1]) if carry is None else carry
        if carry is not None:
            h, e = (forget(part, batch.start[0]) for part in (h, e))
        found = self.model.unroll(action, obs, (h, e))
        views = {"latent": found.latent.detach(), "latent_states": found.latent}
        return views | {"latent_prior": found.prior, "latent_posterior": found.posterior}

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Tensor, Carry]:
        before = self.initial_carry(len(now.obs_NO)) if carry is None else carry
        h, e = (forget(part, now.start_N) for part in before)
        action_1NX, obs_1NX = self.model.of_action(now.prev_action_NA)[None], self._seen(now.obs_NO)[None]
        latent_NF = self.model.unroll(action_1NX, obs_1NX, (h, e)).latent[0]
        return latent_NF, latent_NF.split([self.model.sizes.deterministic, self.model.sizes.codes], dim=-1)
