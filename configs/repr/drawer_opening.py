"""DrawerOpening: embeddings of 84x84 images; sizes and weights as published (Nguyen et al., CoRL 2024)."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.num_epochs = 1000  # as published; not measured here
    config.batch_size = 500  # transitions
    config.lr = 1e-3
    config.club_lr = 1e-3
    config.anneal = 0.0  # share of the epochs over which the learning rates fall to 0
    config.club_steps = 5  # likelihood steps of CLUB after each step of the encoders
    config.club_rows = "recent"  # on the last batches as they were embedded; fresh: embedded anew, as published
    config.precision = "fp32"  # bf16: the encoders in bfloat16, where the processor is fast at it
    config.embedding_dim = 32
    config.action_embedding_dim = 16
    config.hidden_dim = 512  # of the dynamics
    config.encoder = ConfigDict(
        {
            "hidden_dims": (512, 512),  # of a view that is no image
            "channels": (32, 64, 64),
            "kernels": (8, 4, 3),
            "strides": (4, 4, 1),
            "pools": (1, 1, 1),  # 84 -> 20 -> 5 -> 3
        }
    )
    config.standardise = True  # embeddings saved with mean 0 and mean squared norm 1
    config.reward_weight = 100.0
    config.state_dynamics_weight = 1.0
    config.obs_dynamics_weight = 1.0
    config.overlap_weight = 1.0  # CLUB between the embeddings
    config.state_info_weight = 1e-3  # Jensen-Shannon information of z^s about the state
    config.obs_info_weight = 1.0  # and of z^o about the observation
    return config.lock()
