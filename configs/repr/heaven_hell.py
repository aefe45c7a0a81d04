"""HeavenHell: embeddings of a vector; sizes and weights as published (Nguyen et al., CoRL 2024)."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.num_epochs = 40  # published: 1000; the probes have settled by then
    config.batch_size = 500  # transitions
    config.lr = 3e-3
    config.club_lr = 3e-3  # published: 3e-4, from which the encoders hide, or not, by their rounding
    config.anneal = 0.5  # share of the epochs over which the learning rates fall to 0 (published: 0)
    config.club_steps = 5  # likelihood steps of CLUB after each step of the encoders
    config.embedding_dim = 32
    config.action_embedding_dim = 16
    config.hidden_dim = 128  # of the dynamics
    config.encoder = ConfigDict({"hidden_dims": (128, 128), "channels": (), "kernels": (), "strides": (), "pools": ()})
    config.standardise = True  # embeddings saved with mean 0 and mean squared norm 1
    config.reward_weight = 10.0
    config.state_dynamics_weight = 1.0
    config.obs_dynamics_weight = 0.5
    config.overlap_weight = 1.0  # CLUB between the embeddings
    config.state_info_weight = 0.0  # Jensen-Shannon information of z_state about the state
    config.obs_info_weight = 1.0  # and of z_obs about the observation
    return config.lock()
