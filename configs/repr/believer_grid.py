"""The Believer (Wang et al., ICML 2023) where views are maps; sizes near those published with Nguyen et al., 2024."""

from ml_collections import ConfigDict

VARIANTS = {
    "gpt": {"layers": 1, "heads": 2, "dropout": 0.0},  # as wide as the embedding of the observation
    "gru": {"out_dim": 128, "layers": 1},  # published: 256, 3
}


def get_config(memory: str = "gpt") -> ConfigDict:
    config = ConfigDict()
    config.kind = "believer"
    config.embedding_dim = 16  # z_state
    config.action_embedding_dim = 16
    config.hidden_dim = 128  # of the dynamics
    config.encoder = ConfigDict(
        {"hidden_dims": (), "channels": (32, 64), "kernels": (2, 2), "strides": (1, 1), "pools": (1, 1)}
    )
    config.state_epochs = 10  # of the state's embedding, before the belief
    config.state_lr = 1e-3
    config.batch_size = 128  # transitions
    config.state_weights = ConfigDict({"reconstruction": 1.0, "reward": 10.0, "state_dynamics": 1.0, "kl": 0.01})
    config.num_epochs = 20  # of the belief
    config.lr = 1e-3
    config.batch_episodes = 16
    config.belief = ConfigDict(
        {
            "embedding_dim": 128,  # of the observation
            "encoder": {"hidden_dims": (), "channels": (8, 16), "kernels": (2, 2), "strides": (1, 1), "pools": (1, 1)},
            "memory": memory,
            "kwargs": VARIANTS[memory],
            "context_dims": (256, 256),
            "latent_dim": 32,
            "hidden_dims": (256, 256),  # of posterior and decoder
            "min_std": 0.1,
        }
    )
    return config.lock()
