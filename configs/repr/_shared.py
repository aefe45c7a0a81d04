"""What stage 2's configs have in common; a domain's file says its sizes, and may set the rest otherwise.

Sizes and weights are the published ones (Nguyen et al., CoRL 2024), weights those of CarFlag-2D; those of the Believer
were published with them.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

MEMORIES: dict[str, dict[str, Any]] = {  # of the Believer, by the names of configs/seq
    "gpt": {"layers": 1, "heads": 2, "dropout": 0.0},  # as wide as the embedding of the observation
    "gru": {"out_dim": 128, "layers": 1},  # published: 256, 3
}
MAPS = {  # where both views are maps; weights as published for Sphinx
    "num_epochs": 30,  # published: 1000; the probes have settled by then
    "reward_weight": 10.0,
    "state_dynamics_weight": 0.5,
    "obs_dynamics_weight": 0.03,
    "overlap_weight": 0.3,
    "obs_info_weight": 0.5,
}


def encoder(hidden_dims: tuple[int, ...] = (), **convolutions: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Layers of the encoder of a view; what it puts out is `embedding_dim` wide."""
    layers = {
        "hidden_dims": hidden_dims,  # widths, of a view that is no image
        # of an image, an entry a convolution: how many, and pixels
        "channels": (),
        "kernels": (),
        "strides": (),
        "pools": (),  # of the max-pooling after it; 1 for none
    }
    return layers | convolutions


def embedded(hidden_dim: int, layers: Mapping[str, tuple[int, ...]]) -> ConfigDict:
    """What both kinds of representations read."""
    config = ConfigDict()
    config.batch_size = 500  # transitions
    config.lr = 1e-3  # of Adam
    config.embedding_dim = 32  # width of z_state, and of z_obs where there is one
    config.action_embedding_dim = 16  # width of the action's, where the next embeddings are predicted
    config.hidden_dim = hidden_dim  # of the three layers that predict the next embeddings and the reward
    config.encoder = ConfigDict(layers)
    return config


def disentangled(hidden_dim: int, **convolutions: tuple[int, ...]) -> ConfigDict:
    """Embeddings of state and observation that share nothing; views that are vectors go through two hidden layers."""
    config = embedded(hidden_dim, encoder((hidden_dim, hidden_dim), **convolutions))
    config.num_epochs = 1000  # passes over the data (published: 1000)
    config.club_lr = 1e-3  # of CLUB's likelihood
    config.anneal = 0.5  # share of the epochs over which the learning rates fall to 0 (published: 0)
    config.club_steps = 5  # likelihood steps of CLUB after each step of the encoders
    config.standardise = True  # embeddings saved with mean 0 and mean squared norm 1
    # weights of squared errors: of the reward, and of the next z_state and z_obs
    config.reward_weight = 1.0
    config.state_dynamics_weight = 1.0
    config.obs_dynamics_weight = 5.0
    # and in nats
    config.overlap_weight = 10.0  # CLUB between the embeddings (Cheng et al., 2020)
    config.state_info_weight = 0.0  # Jensen-Shannon information of z_state about the state (Hjelm et al., 2019)
    config.obs_info_weight = 1.0  # and of z_obs about the observation
    return config


def believer(memory: str, of_state: Mapping[str, tuple[int, ...]], of_obs: Mapping[str, tuple[int, ...]]) -> ConfigDict:
    """The Believer (Wang et al., ICML 2023): an embedding of the state, and a belief about it given the history."""
    config = embedded(128, of_state)
    config.kind = "believer"
    config.embedding_dim = 16
    config.state_epochs = 10  # passes over the data for the state's embedding, before the belief
    config.state_lr = 1e-3  # of the state's embedding
    config.batch_size = 128
    # of squared errors of the state, of the reward and of the next z_state; of nats that z_state tells of the state
    config.state_weights = ConfigDict({"reconstruction": 1.0, "reward": 10.0, "state_dynamics": 1.0, "kl": 0.01})
    config.num_epochs = 20  # passes over the data for the belief
    config.batch_episodes = 16  # of the belief, by `lr`
    config.belief = ConfigDict(
        {
            "embedding_dim": 128,  # of the observation
            "encoder": of_obs,
            "memory": memory,  # and what its constructor takes
            "kwargs": MEMORIES[memory],
            "context_dims": (256, 256),  # layers of what the belief is read from
            "latent_dim": 32,  # width of the latent variable
            "hidden_dims": (256, 256),  # of posterior and decoder
            "min_std": 0.1,  # of both, in the unit of z_state and of the latent variable
        }
    )
    return config.lock()
