"""Learning from stored episodes, --config_rl=configs/rl/offline.py:VARIANT with --data_path=DATA."""

from ml_collections import ConfigDict

from configs.rl._shared import actor_critic, with_row

PRIVILEGED = ("history", "observation", "state")
VARIANTS = {
    # behaviour cloning: stored actions are made likely, all alike
    "bc": {"critics": "none", "weight": "ones"},
    # advantage-weighted regression, by the behaviour's own values of what the policy sees
    "awr": {},
    # by values of history and state (AAWR; Hu et al., 2025); of the state alone, as its released code has them; with
    # what an action gains on average over the states that the history leaves open
    "aawr": {"critic_inputs": PRIVILEGED},
    "aawr_state": {"critic_inputs": ("state",)},
    "aawr_marginal": {"critic_inputs": PRIVILEGED, "advantage": "marginal"},
    # implicit Q-learning (Kostrikov, Nair & Levine, 2022): values nearer to those of the best stored actions
    "iql": {"expectile": 0.7},
    # SAC's actor and critics with a lower bound on I(S; A) in both losses (MISA; Ma et al., 2023), by bounds that are
    # ever looser; and with the gradient of the actor's bound left biased
    "misa": {"critics": "policy"},
    "misa_dv": {"critics": "policy", "bound.kind": "dv"},
    "misa_f": {"critics": "policy", "bound.kind": "f"},
    "misa_biased": {"critics": "policy", "bound.correction": "none"},
    # conservative Q-learning, CQL(H) (Kumar et al., 2020): the same with all actions alike in the policy's place
    "cql": {"critics": "policy", "bound.prior": "uniform", "bound.actor_weight": 0.0},
}


def get_config(variant: str = "awr") -> ConfigDict:
    """The family's settings with a variant's row written over them."""
    config = actor_critic("offline", variant)

    # what critics learn: none, no critics; expectile, of stored actions alone; policy, of the policy's own actions
    config.critics = "expectile"
    config.return_lambda = 0.0  # λ-returns over the stored episode, traces not cut; 0 is the one-step target
    config.expectile = 0.5  # τ: 0.5, the mean, gives the behaviour's values; towards 1 those of the best stored actions
    config.action_dim = 64  # width of the embedding of an action that a critic judges

    # without critics of the policy's own actions it learns by weighted regression on stored ones
    config.weight = "exp"  # of an action: exp(A · inverse_temperature), at most max_weight; indicator, of A > 0; ones
    config.inverse_temperature = 3.0  # 1/β
    config.max_weight = 100.0
    config.advantage = "joint"  # A of all that critics see; marginal: its mean given what the policy sees, regressed
    # Gaussians that continuous actions are a mixture of, for experts who do now one thing, now another; 0: one, under
    # tanh. Of a mixture distance is likelihood
    config.mixture = 0
    config.fit = "likelihood"  # of stored actions; distance: of continuous ones the squared distance of the mean

    # with them it learns as SAC's does, and a bound on I(S; A) keeps it to what is stored
    config.temperature = ConfigDict(
        {
            "initial": 1.0,  # α
            "auto": True,  # α follows the entropy; False keeps the initial one
            "lr": 1e-4,  # by which α follows
            "target_entropy": -1.0,  # floor of the entropy in nats, for each dimension of a continuous action
            "target_share": 0.1,  # floor of the entropy of discrete actions, as a share of that of the uniform policy
        }
    )
    config.bound = ConfigDict(
        {
            "kind": "misa",  # misa, dv (Donsker & Varadhan) or f (Nguyen, Wainwright & Jordan)
            "prior": "policy",  # whose actions the normaliser is of: policy; uniform, all alike
            "critic_weight": 5.0,  # γ1; 0 leaves the critics as SAC's
            "actor_weight": 0.5,  # γ2, likewise
            # gradient of the normaliser by the policy, of continuous actions: snis, the critics' samples reweighted;
            # hmc, chains of Hamiltonian Monte Carlo; none: left out. Of discrete actions it is exact, or left out
            "correction": "snis",
            "samples": 50,  # K actions, or chains, a state
            "rows": 32,  # states a batch at which continuous actions are drawn, at random; their cost is K times that
            "hmc": {"transitions": 10, "step": 0.5, "leaps": 2},  # before the draw that is kept; the step in units of π
        }
    )
    config.actor_lr = 3e-4  # of Adam
    config.critic_lr = 3e-4

    config.batch_size = 32  # episodes
    config.num_updates = 20_000  # on what is stored
    config.learns_from = "stored_data"  # stored_then_envs: then from envs besides, for --train_episodes
    config.stored_share = 0.5  # of a batch then, of what was stored
    config.updates_per_step = 0.25  # gradient updates an env step then
    config.replay_steps = 1_000_000  # env steps that are kept then
    return with_row(config, VARIANTS)
