"""Recurrent Advantage Actor-Critic and its asymmetric variants: --config_rl=configs/rl/a2c.py:VARIANT."""

from ml_collections import ConfigDict

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
    config = ConfigDict()
    config.family = "a2c"
    config.variant = variant

    config.policy_inputs = ("history", "observation")  # views of the actor's head: history, belief, observation, z_obs
    config.critic_inputs = ("history", "observation")  # views of the critic's head, the state's among them
    config.critic = ConfigDict({"signal": ()})  # features of the state in the view signal, by name or number
    config.critic_memory = "separate"  # actor and critic have a memory each
    config.observe = ()  # embeddings in place of the domain's observation: z_obs, z_state; () for the observation
    config.head_dims = (256, 256)

    config.discount = 0.99
    config.return_lambda = 0.9  # of the advantages; 0 is the one-step temporal difference
    config.discounted_gradient = False  # True: step t weighs γ^t, as the theorem says; False: as everyone does
    config.time_limit_is_terminal = False  # True: no bootstrap at the horizon
    config.actor_lr = 3e-4
    config.critic_lr = 1e-3
    config.adam_eps = 1e-8
    config.target_interval = 10  # updates after which the frozen critic is replaced
    config.tau = 0.005  # rate of slow copies that auxiliary losses keep
    config.max_grad_norm = 1.0

    config.entropy = ConfigDict({"start": 0.03, "end": 0.003, "steps": 200_000})  # weight, linear in env steps

    config.batch_size = 16  # fresh episodes an update
    config.aux_batch_size = 64  # not used: the parts learn from the same episodes
    config.updates_per_step = 0.0  # one update a batch, however long its episodes
    config.replay_steps = 10_000  # at least a batch of the longest episodes

    config.normalise = ()  # by running statistics of what is learned from: obs, state, reward
    config.precision = "fp32"  # bf16: the large products of an update in bfloat16, where the processor is fast at them

    config.z_obs = "trainable"  # ψ: trainable (from stage 2), frozen, scratch
    config.z_state = "pretrained"  # φ, never trained here: pretrained, random, raw (the state itself)
    config.believer = "pretrained"  # what the belief is made of: pretrained (stage 2), scratch
    config.belief = ConfigDict({"samples": 30, "sample_dims": (64, 64), "out_dim": 128})  # networks of the samples

    config.auxiliary = ConfigDict({"use": (), "use_actor": ()})  # of the critic's views, and of the actor's
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
    config.auxiliary.belief_elbo = ConfigDict({"weight": 0.05})
    config.predictor_step = "shared"  # one backward for all

    config.intrinsic = ConfigDict({"use": (), "anneal_steps": 0})  # env steps over which bonuses fall to 0; 0: never
    config.intrinsic.information_gain = ConfigDict(
        {
            "weight": 1.0,  # α
            "bonus_target": "common",  # common z_t (paper), own_step (released code), potential, foreseen
        }
    )

    config.update_from_flattened_dict(VARIANTS[variant])
    return config.lock()
