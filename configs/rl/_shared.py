"""What the configs of the families have in common; each family's file adds its own, and may set these otherwise."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict


def with_row(config: ConfigDict, variants: Mapping[str, Any]) -> ConfigDict:
    """The settings with the row of `config.variant` written over them, locked."""
    config.update_from_flattened_dict(variants[config.variant])
    return config.lock()


def learner(family: str, variant: str) -> ConfigDict:
    """What every family that learns by gradient reads, and what its extensions and views do."""
    config = ConfigDict()
    config.family = family  # a class of policies/agents
    config.variant = variant  # the row

    # views of the acting head: history, belief, observation, z_obs, latent, travelled (the sum of all actions so far)
    config.policy_inputs = ("history", "observation")
    # in place of the domain's observation: embeddings, z_obs, z_state; or state, what a teacher sees
    config.observe = ()
    config.head_dims = (256, 256)  # widths of a head's hidden layers
    config.drop_action = 0.0  # share of steps whose action the view history is not told afterwards, while it learns
    config.normalise = ()  # by running statistics of what is learned from: obs, state, reward
    config.adam_eps = 1e-8  # (Kingma & Ba, 2015)
    config.tau = 0.005  # share of the way that slow copies go at each update
    config.max_grad_norm = 1.0  # to which the gradient of each optimiser is clipped
    config.precision = "fp32"  # bf16: the large products of an update in bfloat16, where the processor is fast at them

    config.z_obs = "trainable"  # the observation embedder: trainable (from stage 2), frozen, scratch
    config.z_state = "pretrained"  # the state embedder, never trained here: pretrained, random, raw (the state itself)
    config.believer = "pretrained"  # what the belief is made of: pretrained (stage 2), scratch
    # how many samples of z_state, widths of the layers that each goes through, and of the view (Wang et al., 2023)
    config.belief = ConfigDict({"samples": 30, "sample_dims": (64, 64), "out_dim": 128})
    # the view latent: widths of its deterministic state and of the layers of prior and posterior, and its codes
    config.latent = ConfigDict({"deterministic": 64, "groups": 8, "classes": 8, "hidden": 64})

    config.auxiliary = ConfigDict({"use": ()})  # losses of the network that learns values
    config.auxiliary.state_prediction = ConfigDict(
        {
            "weight": 0.5,  # β, on the gradient into the memory
            # what is predicted of z_state and how an error counts: share (of the variance of z_state, so that knowing
            # nothing costs 1), nats (of a Gaussian along principal axes); in the embedding's own unit: l2 (paper),
            # cosine, abs_cosine (released code)
            "error": "share",
            "hidden_dims": (128, 128),  # of the predictor
        }
    )
    # on a squared error of the next history (Ni et al., 2024), and the widths of its predictor
    config.auxiliary.self_prediction = ConfigDict({"weight": 1.0, "hidden_dims": (128, 128)})
    # on nats; its weights are its own and Adam takes any scale: the weight only keeps it from ruling max_grad_norm
    config.auxiliary.belief_elbo = ConfigDict({"weight": 0.05})
    # what trains the latent (Lambrechts et al., RLC 2024; Hafner et al., Nature 2025)
    config.auxiliary.world_model = ConfigDict(
        {
            "weight": 1.0,
            "decode": "info",  # what the latent must tell: obs, info (the state, in training alone), both
            "hidden_dims": (64,),  # of the networks that tell it, rewards and ends
            "bins": 255,  # of a reward
            # what a step may tell at no cost, and without that the prior learns to foresee it
            "free_nats": 0.1,
            "dynamics": 0.5,  # on what pulls the prior to the posterior
            "representation": 0.1,  # on what pulls the posterior to the prior
        }
    )
    config.predictor_step = "shared"  # shared: one backward for all; separate: the released code's own step and batch

    config.intrinsic = ConfigDict({"use": (), "anneal_steps": 0})  # steps over which bonuses fall to 0; 0: never
    config.intrinsic.information_gain = ConfigDict(
        {
            "weight": 1.0,  # α, reward for each unit of `error` that a prediction gains
            # what counts as gained: best (known of the episode), common z_t (paper), own_step (released code),
            # potential, foreseen
            "bonus_target": "best",
        }
    )
    # weight: reward for an error as large as the variance of what is predicted; the rest: of its networks, which map
    # observations (Burda et al., 2019)
    config.intrinsic.random_network_distillation = ConfigDict(
        {"weight": 0.1, "hidden_dims": (64,), "out_dim": 16, "lr": 1e-3}
    )
    # what counts as visited: `features`, observation, state or history, or features of the state by name or number, in
    # at most so many cells; rows farther apart than `radius` are different ones
    visits = {"features": ("observation",), "cells": 64, "radius": 1e-3}
    config.intrinsic.visit_count = ConfigDict({"weight": 0.1, **visits})  # reward for a first visit
    config.intrinsic.marginal_visitation = ConfigDict(
        {"weight": 0.01, **visits, "lr": 1e-2, "relative": False}  # reward for a nat; γ is the agent's
    )
    config.intrinsic.future_visitation = ConfigDict(
        {
            "weight": 0.01,  # reward for a nat; γ is the agent's
            **visits,
            "condition": "history",  # what the measure is given beside the action: history, observation, state
            "steps": 10,  # N of its targets
            "correction": "tree",  # of stored actions that are not the policy's; none, as published, biases N > 1
            "relative": False,  # True: less log K, as published, so that to end is to be spared a bonus below 0
            "estimate": "exact",  # of the entropy; sampled: by one cell, as published
            "hidden_dims": (64,),
            "lr": 1e-3,
            "tau": 0.1,  # by which its slow copy follows
        }
    )
    return config


def valued(family: str, variant: str) -> ConfigDict:
    """The same for families that learn values, which may see the state."""
    config = learner(family, variant)
    config.critic = ConfigDict({"signal": ()})  # features of the state in the view signal, by name or number
    config.discount = 0.99  # γ, a step
    config.time_limit_is_terminal = False  # True: no bootstrap at the horizon, as in the released code
    return config


def replayed(config: ConfigDict) -> ConfigDict:
    """What learning from a replay adds."""
    config.deploy = "average"  # what acts greedily and is kept: average, which follows what learns by tau; online
    config.aux_batch_size = 64  # episodes of a separate predictor step
    config.predictor_lr = 3e-4  # of the separate step
    return kept(config)


def kept(config: ConfigDict) -> ConfigDict:
    """What a replay keeps and gives, and what a teacher beside it adds."""
    config.replay_steps = 1_000_000  # env steps that are kept
    # windows of --sampled_seq_len steps: rows before one that memories read and nothing is learned of, and what they
    # begin with: zero, nothing; stored, what they held when the episode was played (Kapturowski et al., 2019)
    config.burn_in, config.carry = 0, "zero"
    # who advises: expert (the domain's), guess (the same, for a guessed goal), informed (the domain's, by the state),
    # policy (by --expert_policy_dir), or "module:function" of states and observations; "" for none
    config.teacher = ""
    config.beta = ConfigDict({"start": 0.0, "end": 0.0, "steps": 0})  # share of steps that it does, linear in env steps
    # ELF: a follower of the advice, and pay for what its value gains (Walsman et al., 2023)
    config.auxiliary.follower = ConfigDict({"weight": 1.0, "handover": 0.05})  # chance of it before each step
    config.intrinsic.follower_value = ConfigDict({"weight": 1.0})
    return config


def actor_critic(family: str, variant: str) -> ConfigDict:
    """What actors and critics of their own add."""
    config = valued(family, variant)
    config.critic_inputs = ("history", "observation")  # views of the critics' heads, the state's among them
    config.critic_memory = "separate"  # a memory for actor and critics each; shared: one, trained by the critics' loss
    config.auxiliary.use_actor = ()  # losses of the actor's views
    # on how far the policy is from the expert's actions: the distance of its best one, or the likelihood; the same of a
    # head on the observation alone; and of the next actions, foreseen
    cloning = {"weight": 1.0, "fit": "distance"}
    config.auxiliary.behaviour_cloning = ConfigDict(cloning)
    config.auxiliary.observation_cloning = ConfigDict(cloning)
    config.auxiliary.action_chunk = ConfigDict({**cloning, "steps": 6})
    return config
