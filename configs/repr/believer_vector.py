"""The Believer (Wang et al., ICML 2023) where views are vectors; sizes as published with Nguyen et al., CoRL 2024."""

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
    config.encoder = ConfigDict({"hidden_dims": (128, 128), "channels": (), "kernels": (), "strides": (), "pools": ()})
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
            "encoder": {"hidden_dims": (), "channels": (), "kernels": (), "strides": (), "pools": ()},
            "memory": memory,
            "kwargs": VARIANTS[memory],
            "context_dims": (256, 256),
            "latent_dim": 32,
            "hidden_dims": (256, 256),  # of posterior and decoder
            "min_std": 0.1,
        }
    )
    return config.lock()
