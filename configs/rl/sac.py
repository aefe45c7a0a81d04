"""Recurrent Soft Actor-Critic and its asymmetric variants: --config_rl=configs/rl/sac.py:VARIANT."""

from ml_collections import ConfigDict

VARIANTS = {
    # actor and critics see what the policy will have
    "history": {},
    # the critics' memory predicts z^s and is paid for what it gains; heads see z^o (Nguyen, The, Amato & Platt, 2024)
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
    # Believer: in place of the memory, samples of what z^s may be given the history; one belief for actor and critics
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
    # checks of stage 2: what acts sees φ(s) alone, which must not be enough, or with ψ(o), which must be
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
}


def get_config(variant: str = "history") -> ConfigDict:
    """The family's settings with a variant's row written over them."""
    config = ConfigDict()
    config.family = "sac"
    config.variant = variant

    config.policy_inputs = ("history", "observation")  # views of the actor's head: history, belief, observation, z_obs
    config.critic_inputs = ("history", "observation")  # views of the critics' heads, the state's among them
    config.critic = ConfigDict({"signal": ()})  # features of the state in the view signal, by name or number
    config.critic_memory = "separate"  # a memory for actor and critics each; shared: one, trained by the critics' loss
    config.observe = ()  # embeddings in place of the domain's observation: z_obs, z_state; () for the observation
    config.head_dims = (256, 256)
    config.action_dim = 64  # width of the embedding of the action that a critic judges

    config.discount = 0.99
    config.return_lambda = 0.0  # λ-returns over the stored episode, traces not cut; 0 is the one-step target
    config.time_limit_is_terminal = False  # True: no bootstrap at the horizon, as in the released code
    config.actor_lr = 3e-4
    config.critic_lr = 3e-4
    config.adam_eps = 1e-8
    config.tau = 0.005
    config.max_grad_norm = 1.0
    config.deploy = "average"  # what acts greedily and is kept: average, which follows what learns by tau; online

    config.temperature = ConfigDict(
        {
            "initial": 0.1,  # α
            "auto": True,  # α follows the entropy; False keeps the initial one
            "lr": 3e-4,
            "target_entropy": -1.0,  # floor of the entropy in nats, for each dimension of a continuous action
            "target_share": 0.1,  # floor of the entropy of discrete actions, as a share of that of the uniform policy
        }
    )

    config.batch_size = 32  # episodes
    config.aux_batch_size = 64  # episodes of a separate predictor step
    config.updates_per_step = 0.25  # gradient updates an env step
    config.replay_steps = 1_000_000

    config.normalise = ()  # by running statistics of what is learned from: obs, state, reward
    config.precision = "fp32"  # bf16: the large products of an update in bfloat16, where the processor is fast at them

    config.z_obs = "trainable"  # ψ: trainable (from stage 2), frozen, scratch
    config.z_state = "pretrained"  # φ, never trained here: pretrained, random, raw (the state itself)
    config.believer = "pretrained"  # what the belief is made of: pretrained (stage 2), scratch
    config.belief = ConfigDict({"samples": 30, "sample_dims": (64, 64), "out_dim": 128})  # networks of the samples

    config.auxiliary = ConfigDict({"use": (), "use_actor": ()})  # of the critics' views, and of the actor's
    config.auxiliary.state_prediction = ConfigDict(
        {
            "weight": 0.5,  # β, on the gradient into the memory
            # what is predicted of z^s and how an error counts: share (of the variance of z^s, so that knowing nothing
            # costs 1), nats (of a Gaussian along principal axes); in the embedding's own unit: l2 (paper), cosine,
            # abs_cosine (released code)
            "error": "share",
            "hidden_dims": (128, 128),
        }
    )
    config.auxiliary.self_prediction = ConfigDict({"weight": 1.0, "hidden_dims": (128, 128)})
    # its weights are its own and Adam takes any scale: the weight only keeps it from ruling max_grad_norm
    config.auxiliary.belief_elbo = ConfigDict({"weight": 0.05})
    config.auxiliary.behaviour_cloning = ConfigDict({"weight": 1.0})
    config.predictor_step = "shared"  # shared: one backward for all; separate: the released code's own step and batch
    config.predictor_lr = 3e-4  # of the separate step

    config.intrinsic = ConfigDict({"use": (), "anneal_steps": 0})  # env steps over which bonuses fall to 0; 0: never
    config.intrinsic.information_gain = ConfigDict(
        {
            "weight": 1.0,  # α, reward for each unit of `error` that a prediction gains
            "bonus_target": "common",  # common z_t (paper), own_step (released code), potential, foreseen
        }
    )

    config.update_from_flattened_dict(VARIANTS[variant])
    return config.lock()
