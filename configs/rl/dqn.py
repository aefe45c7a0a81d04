"""Recurrent DQN and its asymmetric variants: --config_rl=configs/rl/dqn.py:VARIANT."""

from ml_collections import ConfigDict

from configs.rl._shared import replayed, valued, with_row

VARIANTS = {
    # what the policy sees is what is learned from
    "history": {},
    # the memory predicts z_state and is paid for what it gains; the head sees z_obs (Nguyen, The, Amato & Platt, 2024)
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
    # what is visited is paid: how widely spread it will be (Bolland et al., 2026), how rare it is, what is new
    "cv": {"intrinsic.use": ("future_visitation",)},
    "mv": {"intrinsic.use": ("marginal_visitation",)},
    "count": {"intrinsic.use": ("visit_count",)},
    "rnd": {"intrinsic.use": ("random_network_distillation",)},
    # both what is learned of the state and how widely spread is what will be visited
    "mi_cv": {
        "policy_inputs": ("history", "z_obs"),
        "auxiliary.use": ("state_prediction",),
        "intrinsic.use": ("information_gain", "future_visitation"),
    },
    # self-prediction: the history tells the next history
    "zp": {"auxiliary.use": ("self_prediction",)},
    # Believer: in place of the memory, samples of what z_state may be given the history (Wang et al., 2023)
    "believer": {"policy_inputs": ("belief", "observation"), "auxiliary.use": ("belief_elbo",)},
    # checks of stage 2: what acts sees z_state alone, which must not be enough, or with z_obs, which must be
    "zero_on": {"observe": ("z_state",), "policy_inputs": ("observation",)},
    "zero_off": {"observe": ("z_obs", "z_state"), "policy_inputs": ("observation",)},
    # what acts sees the state: not to be deployed, but to teach
    "teacher": {"observe": ("state",), "policy_inputs": ("observation",)},
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
    config = replayed(valued("dqn", variant))
    config.critic_inputs = ()  # views of U, the state's among them; () for none
    config.critic_memory = "shared"  # U reads the memory of Q (shared), or has one of its own (separate)

    config.return_lambda = 0.9  # Watkins's Q(λ) over the stored episode; 0 is the paper's one-step target
    config.cut_traces = True  # at actions that are not greedy; False is Peng's Q(λ)
    config.double_q = True  # the online network selects the action that the target network evaluates
    # what Q regresses to: return; critic, U⁻ of the same step; released, as the released code of CoRL 2024 had it, U⁻
    # of the next step, without reward and discount, for all actions alike
    config.q_target = "return"
    config.vr_all_actions = True  # with critic: for all actions; False is the paper's equation, the taken one alone
    config.lr = 3e-4  # of Adam
    # ε is linear in env steps; a random action is kept for n steps with probability ∝ n^-zeta (Dabney et al., 2021),
    # for one step where zeta is 0; weights: how likely each action is, none where all are alike
    config.exploration = ConfigDict({"start": 1.0, "end": 0.1, "steps": 40_000, "zeta": 2.0, "weights": ()})

    config.batch_size = 16  # episodes
    config.updates_per_step = 0.1  # gradient updates an env step
    return with_row(config, VARIANTS)
