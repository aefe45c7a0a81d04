"""Sphinx: embeddings of 6x6 maps; sizes and weights as published (Nguyen et al., CoRL 2024)."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.num_epochs = 30  # published: 1000; the probes have settled by then
    config.batch_size = 500  # transitions
    config.lr = 1e-3
    config.club_lr = 1e-3
    config.anneal = 0.5  # share of the epochs over which the learning rates fall to 0 (published: 0)
    config.club_steps = 5  # likelihood steps of CLUB after each step of the encoders
    config.embedding_dim = 32
    config.action_embedding_dim = 16
    config.hidden_dim = 256  # of the dynamics
    config.encoder = ConfigDict(
        {
            "hidden_dims": (256, 256),  # of a view that is no image
            "channels": (64, 128, 256),
            "kernels": (2, 2, 2),
            "strides": (1, 1, 1),
            "pools": (1, 2, 1),  # 6 -> 5 -> 2 -> 1
        }
    )
    config.standardise = True  # embeddings saved with mean 0 and mean squared norm 1
    config.reward_weight = 10.0
    config.state_dynamics_weight = 0.5
    config.obs_dynamics_weight = 0.03
    config.overlap_weight = 0.3  # CLUB between the embeddings
    config.state_info_weight = 0.0  # Jensen-Shannon information of z_state about the state
    config.obs_info_weight = 0.5  # and of z_obs about the observation
    return config.lock()
