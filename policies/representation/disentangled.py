"""Stage 2: embeddings of state and observation that are informative, relevant to the task, and do not overlap.

The state embedder, φ(s) = z_state, and the observation embedder, ψ(o) = z_obs, are trained together (Nguyen et al.,
CoRL 2024) to tell their inputs (Jensen-Shannon information maximisation), to predict the next embeddings and the
reward, and to share nothing (CLUB). z_state then keeps what matters and the present observation does not show.

Dimension key: M real steps, D distinct transitions, U distinct rows, B batch, O observation, S state, A actions,
Z embedding.
"""

import itertools
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from buffers.augment import turn_actions
from buffers.transitions import Batch, TransitionData
from torchkit.mutual_information import Club, club_upper_bound_of_pairs, jsd_loss
from torchkit.networks import Encoder, EncoderConfig
from utils.device import products_of

CHUNK = 512  # rows


@dataclass(frozen=True)
class RepresentationConfig:
    """Sizes and weights of the objective; a weight of 0 leaves its term out."""

    obs_encoder: EncoderConfig
    state_encoder: EncoderConfig
    action_dim: int
    hidden_dim: int = 128
    action_embedding_dim: int = 16
    reward_weight: float = 1.0
    state_dynamics_weight: float = 1.0
    obs_dynamics_weight: float = 1.0
    overlap_weight: float = 1.0
    state_info_weight: float = 0.0
    obs_info_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.obs_encoder.out_dim != self.state_encoder.out_dim:
            raise ValueError("both embeddings must have the same size: the dynamics read their mean")


class RepresentationObjective(nn.Module):
    """Both encoders and all that trains them: tails for the local features, dynamics with three heads, CLUB."""

    def __init__(self, config: RepresentationConfig):
        super().__init__()
        self.config = config
        Z = config.obs_encoder.out_dim
        self.s_encoder = Encoder(config.state_encoder)
        self.o_encoder = Encoder(config.obs_encoder)
        self.s_local = self.s_encoder.make_rest() if config.state_info_weight else None
        self.o_local = self.o_encoder.make_rest() if config.obs_info_weight else None
        self.action_embedding = nn.Linear(config.action_dim, config.action_embedding_dim)
        sizes = (Z + config.action_embedding_dim, *[config.hidden_dim] * 3)
        layers = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        # next z_state, next z_obs, reward
        self.dynamics = nn.Sequential(*layers, nn.Linear(config.hidden_dim, 2 * Z + 1))
        self.club = Club(Z, Z)

    def representation_parameters(self) -> list[nn.Parameter]:
        """Everything but CLUB, which has its own optimiser."""
        club = {id(parameter) for parameter in self.club.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in club]

    def embed(self, data: TransitionData, batch: Batch) -> "tuple[_Embedded, _Embedded]":
        """A batch's states and observations, embedded."""
        return _embed(self.s_encoder, data, "state", batch), _embed(self.o_encoder, data, "obs", batch)

    def losses(
        self,
        data: TransitionData,
        batch: Batch,
        permutation_B: Tensor,
        embedded: "tuple[_Embedded, _Embedded] | None" = None,
    ) -> dict[str, Tensor]:
        """The weighted total and each term, unweighted: scalars, smaller is better.

        `max_s_zs` and `max_o_zo` are Jensen-Shannon losses (0 where nothing is known), `min_zs_zo` is the positive part
        of the CLUB bound in nats, whose gradient reaches both encoders.

        Args:
            permutation_B: a random permutation of the batch, for CLUB's shuffled pairs.
            embedded: what `embed` makes of the batch, where that is at hand.
        """
        config, d, Z = self.config, batch.distinct_D, self.config.obs_encoder.out_dim
        s, o = self.embed(data, batch) if embedded is None else embedded
        terms = {"max_s_zs": _info_loss(self.s_local, s, batch), "max_o_zo": _info_loss(self.o_local, o, batch)}

        excess_DD = batch.pairs(permutation_B) - batch.share_D.diag()
        mu_DZ, logvar_DZ = self.club(s.z_DZ)
        terms["min_zs_zo"] = club_upper_bound_of_pairs(mu_DZ, logvar_DZ, o.z_DZ, excess_DD).relu()

        action = data.action[d] if batch.angle_D is None else turn_actions(data.action[d], batch.angle_D)
        predicted = self.dynamics(torch.cat([0.5 * (s.z_DZ + o.z_DZ), self.action_embedding(action)], dim=-1))
        discount_D1 = data.discount[d, None]  # a true ending is followed by the zero vector, a time limit is not
        after = torch.cat([discount_D1 * s.next_DZ, discount_D1 * o.next_DZ, data.reward[d, None]], dim=-1)
        errors = batch.mean((predicted - after).square()).split([Z, Z, 1])
        terms |= {name: error.sum() for name, error in zip(("state_dynamics", "obs_dynamics", "reward"), errors)}
        weights = {
            "max_s_zs": config.state_info_weight,
            "max_o_zo": config.obs_info_weight,
            "min_zs_zo": config.overlap_weight,
            "state_dynamics": config.state_dynamics_weight,
            "obs_dynamics": config.obs_dynamics_weight,
            "reward": config.reward_weight,
        }
        weight = errors[0].new_tensor([weights[name] for name in terms])
        return {"total": torch.stack(list(terms.values())) @ weight, **terms}

    @torch.no_grad()
    def embed_pairs(self, data: TransitionData, batches: list[Batch]) -> list[tuple[Tensor, Tensor]]:
        """(z_state, z_obs) of each batch's distinct transitions, without gradients, in one forward pass for all."""
        views, width = ((self.s_encoder, "state"), (self.o_encoder, "obs")), self.config.hidden_dim
        return list(zip(*(_embed_each(encoder, data, view, batches, width) for encoder, view in views)))


@dataclass(frozen=True)
class _Embedded:
    """Distinct rows seen through an encoder, and where each transition finds its own."""

    local: Tensor  # (U, …) first-block activations
    z_UZ: Tensor
    place_D: Tensor
    z_DZ: Tensor
    next_DZ: Tensor  # after the transition, without gradient


def _embed(encoder: Encoder, data: TransitionData, view: str, batch: Batch) -> _Embedded:
    """Embeds the rows before with gradient and those after without; each distinct row once."""
    ids, next_ids = data.ids(view)
    id_D, next_id_D = ids[batch.distinct_D], next_ids[batch.distinct_D]
    if data.is_small(view, batch):  # all its rows at once, the rows after included
        local = encoder.local(data.read(view, data.numbers(view)))
        z_UZ = encoder.rest(local).float()
        return _Embedded(local, z_UZ, id_D, z_UZ[id_D], z_UZ.detach()[next_id_D])
    number, angle, place_D = batch.frames(id_D)
    local = encoder.local(data.read(view, number, angle))
    z_UZ = encoder.rest(local).float()
    with torch.no_grad():
        next_DZ = _embed_rows(encoder, data, view, next_id_D, batch)
    return _Embedded(local, z_UZ, place_D, z_UZ[place_D], next_DZ)


def _embed_rows(encoder: Encoder, data: TransitionData, view: str, id_D: Tensor, batch: Batch) -> Tensor:
    """Embeddings (D, Z) of rows by number, each distinct row embedded once, in parts that a cache can hold."""
    number, angle, place_D = (data.numbers(view), None, id_D) if data.is_small(view, batch) else batch.frames(id_D)
    parts = number.split(CHUNK)
    angles = [None] * len(parts) if angle is None else angle.split(CHUNK)
    return torch.cat([encoder(data.read(view, *part)).float() for part in zip(parts, angles)])[place_D]


def _embed_each(
    encoder: Encoder, data: TransitionData, view: str, batches: list[Batch], width: int
) -> Sequence[Tensor]:
    """Embeddings (D, Z) of the rows before each batch's transitions, in one forward pass of layers about that wide."""
    (ids, _), sizes = data.ids(view), [len(batch.distinct_D) for batch in batches]
    if all(data.is_small(view, batch) for batch in batches):
        with products_of(len(data.numbers(view)), width, width):
            z_UZ = encoder(data.read(view, data.numbers(view))).float()
        return z_UZ[ids[torch.cat([batch.distinct_D for batch in batches])]].split(sizes)
    joined = Batch.side_by_side(batches)
    z = _embed_rows(encoder, data, view, ids[joined.distinct_D], joined)
    return z.split(sizes)


def _info_loss(tail: nn.Module | None, view: _Embedded, batch: Batch) -> Tensor:
    """The Jensen-Shannon loss of a view; distinct rows are each other's negatives and their own positives."""
    if tail is None:
        return view.z_UZ.new_zeros(())
    count_U = view.z_UZ.new_zeros(len(view.z_UZ)).index_add_(0, view.place_D, batch.count_D)
    positive_UU = torch.eye(len(count_U), device=count_U.device)
    low = view.local.dtype == torch.bfloat16
    with torch.autocast(view.local.device.type, torch.bfloat16) if low else nullcontext():
        local_UZ = tail(view.local)
    return jsd_loss(local_UZ.float(), view.z_UZ, positive_UU, count_U)
