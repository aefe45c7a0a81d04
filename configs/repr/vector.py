"""Any domain whose views are vectors: the published weights of CarFlag-2D, to start from and to be tuned."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.num_epochs = 60
    config.batch_size = 500  # transitions
    config.lr = 1e-3
    config.club_lr = 5e-3  # faster than the encoders, which else hide from CLUB
    config.anneal = 0.5  # share of the epochs over which the learning rates fall to 0
    config.club_steps = 5  # likelihood steps of CLUB after each step of the encoders
    config.embedding_dim = 32
    config.action_embedding_dim = 16
    config.hidden_dim = 128  # of the dynamics
    config.encoder = ConfigDict({"hidden_dims": (128, 128), "channels": (), "kernels": (), "strides": (), "pools": ()})
    config.standardise = True  # embeddings saved with mean 0 and mean squared norm 1
    config.reward_weight = 1.0
    config.state_dynamics_weight = 1.0
    config.obs_dynamics_weight = 5.0
    config.overlap_weight = 10.0  # CLUB between the embeddings; at 1.0, z_state told the place of CarFlag's car
    config.state_info_weight = 0.0  # Jensen-Shannon information of z_state about the state
    config.obs_info_weight = 1.0  # and of z_obs about the observation
    return config.lock()
