"""Recurrent DQN and its asymmetric variants: --config_rl=configs/rl/dqn.py:VARIANT."""

from ml_collections import ConfigDict

VARIANTS = {
    # what the policy sees is what is learned from
    "history": {},
    # the memory predicts z^s and is paid for what it gains; the head sees z^o (Nguyen, The, Amato & Platt, 2024)
    "mi": {
        "policy_inputs": ("history", "z_obs"),
        "auxiliary.use": ("state_prediction",),
        "intrinsic.use": ("information_gain",),
    },
    # Asymmetric DQN: U(h, s), unbiased (Baisero, Daley & Amato, 2022); losses are means over steps, not over episodes
    "ua": {"critic_inputs": ("history", "observation", "state"), "double_q": False},
    # the same with reduced variance: Q regresses to U (ADQN-VR)
    "ua_vr": {"critic_inputs": ("history", "observation", "state"), "double_q": False, "q_target": "critic"},
    # Asymmetric DQN with a state-only critic U(s), biased (ADQN-State, ADQN-State-VR)
    "ba": {"critic_inputs": ("state",), "double_q": False},
    "ba_vr": {"critic_inputs": ("state",), "double_q": False, "q_target": "critic"},
    # self-prediction: the history tells the next history
    "zp": {"auxiliary.use": ("self_prediction",)},
    # Believer: in place of the memory, samples of what z^s may be given the history (Wang et al., 2023)
    "believer": {"policy_inputs": ("belief", "observation"), "auxiliary.use": ("belief_elbo",)},
    # checks of stage 2: what acts sees φ(s) alone, which must not be enough, or with ψ(o), which must be
    "zero_on": {"observe": ("z_state",), "policy_inputs": ("observation",)},
    "zero_off": {"observe": ("z_obs", "z_state"), "policy_inputs": ("observation",)},
}


def get_config(variant: str = "history") -> ConfigDict:
    """The family's settings with a variant's row written over them."""
    config = ConfigDict()
    config.family = "dqn"
    config.variant = variant

    config.policy_inputs = ("history", "observation")  # views of the acting head: history, belief, observation, z_obs
    config.critic_inputs = ()  # views of U, the state's among them; () for none
    config.critic = ConfigDict({"signal": ()})  # features of the state in the view signal, by name or number
    config.critic_memory = "shared"  # U reads the memory of Q (shared), or has one of its own (separate)
    config.observe = ()  # embeddings in place of the domain's observation: z_obs, z_state; () for the observation
    config.head_dims = (256, 256)

    config.discount = 0.99
    config.return_lambda = 0.9  # Watkins's Q(λ) over the stored episode; 0 is the paper's one-step target
    config.cut_traces = True  # at actions that are not greedy; False is Peng's Q(λ)
    config.double_q = True  # the online network selects the action that the target network evaluates
    # what Q regresses to: return; critic, U⁻ of the same step; released, as the released code of CoRL 2024 had it, U⁻
    # of the next step, without reward and discount, for all actions alike
    config.q_target = "return"
    config.vr_all_actions = True  # with critic: for all actions; False is the paper's equation, the taken one alone
    config.time_limit_is_terminal = False  # True: no bootstrap at the horizon, as in the released code
    config.lr = 3e-4
    config.adam_eps = 1e-8
    config.tau = 0.005
    config.max_grad_norm = 1.0
    config.deploy = "average"  # what acts greedily and is kept: average, which follows what learns by tau; online

    # ε is linear in env steps; a random action is kept for n steps with probability ∝ n^-zeta (Dabney et al., 2021),
    # for one step where zeta is 0
    config.exploration = ConfigDict({"start": 1.0, "end": 0.1, "steps": 40_000, "zeta": 2.0})

    config.batch_size = 16  # episodes
    config.aux_batch_size = 64  # episodes of a separate predictor step
    config.updates_per_step = 0.1  # gradient updates an env step
    config.replay_steps = 1_000_000

    config.normalise = ()  # by running statistics of what is learned from: obs, state, reward
    config.precision = "fp32"  # bf16: the large products of an update in bfloat16, where the processor is fast at them

    config.z_obs = "trainable"  # ψ: trainable (from stage 2), frozen, scratch
    config.z_state = "pretrained"  # φ, never trained here: pretrained, random, raw (the state itself)
    config.believer = "pretrained"  # what the belief is made of: pretrained (stage 2), scratch
    config.belief = ConfigDict({"samples": 30, "sample_dims": (64, 64), "out_dim": 128})  # networks of the samples

    config.auxiliary = ConfigDict({"use": ()})
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
