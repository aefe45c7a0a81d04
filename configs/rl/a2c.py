"""Recurrent Advantage Actor-Critic and its asymmetric variants: --config_rl=configs/rl/a2c.py:VARIANT."""

from ml_collections import ConfigDict

from configs.rl._shared import actor_critic, with_row

VARIANTS = {
    # the critic sees what the policy will have
    "history": {},
    # critics of history and state, unbiased, and of the state alone, biased (Baisero & Amato, 2022)
    "ua": {"critic_inputs": ("history", "observation", "state")},
    "ba": {"critic_inputs": ("state",)},
    # V(h, i), unbiased for any signal i of the state: --config_rl.critic.signal says which (Ebi et al., 2026)
    "informed": {"critic_inputs": ("history", "observation", "signal")},
}


def get_config(variant: str = "history") -> ConfigDict:
    """The family's settings with a variant's row written over them."""
    config = actor_critic("a2c", variant)

    config.return_lambda = 0.9  # of the advantages; 0 is the one-step temporal difference
    config.discounted_gradient = False  # True: step t weighs γ^t, as the theorem says; False: as everyone does
    config.actor_lr = 3e-4  # of Adam
    config.critic_lr = 1e-3
    config.target_interval = 10  # updates after which the frozen critic is replaced
    config.entropy = ConfigDict({"start": 0.03, "end": 0.003, "steps": 200_000})  # weight, linear in env steps

    config.batch_size = 16  # fresh episodes an update
    config.updates_per_step = 0.0  # one update a batch, however long its episodes
    config.replay_steps = 10_000  # env steps that are kept: at least a batch of the longest episodes
    return with_row(config, VARIANTS)
