"""Dreamer on an informed world model: --config_rl=configs/rl/dreamer.py:VARIANT."""

from ml_collections import ConfigDict

from configs.rl._shared import replayed, valued, with_row

VARIANTS = {
    # the latent tells the observation (Hafner et al., Nature 2025)
    "observed": {"auxiliary.world_model.decode": "obs"},
    # it tells the state, from observations alone (Lambrechts, Bolland & Ernst, RLC 2024)
    "informed": {"auxiliary.world_model.decode": "info"},
    # it tells both
    "both": {"auxiliary.world_model.decode": "both"},
    # informed, of the size and with the rates of the released code
    "published": {
        "latent": {"deterministic": 512, "groups": 32, "classes": 32, "hidden": 512},
        "auxiliary.world_model.hidden_dims": (512, 512),
        "auxiliary.world_model.free_nats": 1.0,
        "head_dims": (512, 512),
        "discount": 0.997,
        "entropy.start": 3e-4,
        "entropy.end": 3e-4,
        "model_lr": 1e-4,
        "actor_lr": 3e-5,
        "critic_lr": 3e-5,
    },
}


def get_config(variant: str = "informed") -> ConfigDict:
    """The family's settings with a variant's row written over them."""
    config = replayed(valued("dreamer", variant))
    config.policy_inputs = ("latent",)
    config.auxiliary.use = ("world_model",)
    config.deploy = "online"
    config.head_dims = (64,)  # of actor and critic
    config.tau = 0.02  # of the slow critic
    config.max_grad_norm = 100.0

    config.imagined_steps = 15  # of a dream, from each row that was replayed
    config.return_lambda = 0.95  # of dreamed returns
    config.return_rate = 0.01  # of the averages of their percentiles, by which advantages are divided
    # weight, linear in env steps, beside advantages of about 1: what is small lets an actor settle before the model has
    config.entropy = ConfigDict({"start": 0.1, "end": 3e-3, "steps": 20_000})
    config.critic_bins = 255
    config.slow_critic = 1.0  # weight of what keeps the critic near its slow copy
    config.model_lr = 3e-3  # of Adam
    config.actor_lr = 3e-4
    config.critic_lr = 1e-3

    config.batch_size = 16  # episodes
    config.updates_per_step = 0.1  # gradient updates an env step
    return with_row(config, VARIANTS)
