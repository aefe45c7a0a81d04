"""Recurrent Soft Actor-Critic and its asymmetric variants: --config_rl=configs/rl/sac.py:VARIANT."""

from ml_collections import ConfigDict

from configs.rl._shared import actor_critic, replayed, with_row

VARIANTS = {
    # actor and critics see what the policy will have
    "history": {},
    # the critics' memory predicts z_state and is paid for what it gains; heads see z_obs (Nguyen et al., 2024)
    "mi": {
        "policy_inputs": ("history", "z_obs"),
        "critic_inputs": ("history", "z_obs"),
        "auxiliary.use": ("state_prediction",),
        "intrinsic.use": ("information_gain",),
    },
    # critics Q(h, s, a), unbiased, and Q(s, o, a), biased (Baisero & Amato, 2022)
    "ua": {"critic_inputs": ("history", "observation", "state")},
    "ba": {"critic_inputs": ("observation", "state")},
    # self-prediction: the history tells the next history, in actor and critics
    "zp": {"auxiliary.use": ("self_prediction",), "auxiliary.use_actor": ("self_prediction",)},
    # Believer: in place of the memory, samples of what z_state may be given the history; one belief for both
    "believer": {
        "policy_inputs": ("belief", "observation"),
        "critic_inputs": ("belief", "observation"),
        "critic_memory": "shared",
        "auxiliary.use": ("belief_elbo",),
    },
    # no memory, and the expert's actions to copy
    "embed": {
        "policy_inputs": ("observation",),
        "critic_inputs": ("observation",),
        "auxiliary.use_actor": ("behaviour_cloning",),
    },
    # checks of stage 2: what acts sees z_state alone, which must not be enough, or with z_obs, which must be
    "zero_on": {
        "observe": ("z_state",),
        "policy_inputs": ("observation",),
        "critic_inputs": ("observation",),
        "auxiliary.use_actor": ("behaviour_cloning",),
    },
    "zero_off": {
        "observe": ("z_obs", "z_state"),
        "policy_inputs": ("observation",),
        "critic_inputs": ("observation",),
        "auxiliary.use_actor": ("behaviour_cloning",),
    },
    # what acts sees the state: not to be deployed, but to teach
    "teacher": {"observe": ("state",), "policy_inputs": ("observation",), "critic_inputs": ("observation",)},
    # a follower of a teacher, and an explorer that is paid for what following gains (ELF, Walsman et al., 2023); the
    # memory predicts the state, without stage 2: what the advice tells of what was seen is too little to learn it by
    "elf": {
        "teacher": "expert",
        "auxiliary.use": ("follower", "state_prediction"),
        "intrinsic.use": ("follower_value",),
        "z_state": "raw",
    },
}


def get_config(variant: str = "history") -> ConfigDict:
    """The family's settings with a variant's row written over them."""
    config = replayed(actor_critic("sac", variant))
    config.action_dim = 64  # width of the embedding of the action that a critic judges

    config.return_lambda = 0.0  # λ-returns over the stored episode, traces not cut; 0 is the one-step target
    config.actor_lr = 3e-4  # of Adam
    config.critic_lr = 3e-4
    config.temperature = ConfigDict(
        {
            # α; where an end alone pays, to stay alive is worth α × entropy / (1 - γ), which must be less than that
            "initial": 0.1,
            "auto": True,  # α follows the entropy; False keeps the initial one
            "lr": 3e-4,  # by which α follows
            "target_entropy": -1.0,  # floor of the entropy in nats, for each dimension of a continuous action
            "target_share": 0.1,  # floor of the entropy of discrete actions, as a share of that of the uniform policy
        }
    )

    config.batch_size = 32  # episodes
    config.updates_per_step = 0.25  # gradient updates an env step
    return with_row(config, VARIANTS)
