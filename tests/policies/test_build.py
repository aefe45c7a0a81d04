"""From names in a config to objects, and what a config cannot ask for (the rest of it: tests/scripts/test_main.py)."""

import re
from importlib import import_module

import pytest
import torch
from ml_collections import ConfigDict
from torch import nn

from envs.base import EnvSpec
from policies.build import FAMILIES, build_agent
from policies.intrinsic.information_gain import InformationGain
from policies.models.sources import Sources
from policies.training.resolve import resolve
from tests.helpers.agents import (
    A2C_VARIANTS,
    CONTINUOUS,
    CPU,
    DREAMER_VARIANTS,
    IMAGES,
    SAC_VARIANTS,
    SPEC,
    VARIANTS,
    make_agent,
    make_config,
    weights,
    write_embedders,
)
from tests.helpers.configs import config_named
from tests.helpers.scripts import ROOT
from utils.config import json_tuples
from utils.errors import UserError


def test_the_rows_are_the_published_methods():
    agents = {variant: make_agent(variant) for variant in VARIANTS}
    of_visits = ["cv", "mv", "count", "rnd", "mi_cv"]
    published = ["history", "mi", "ua", "ua_vr", "ba", "ba_vr", *of_visits, "zp", "believer", "zero_on", "zero_off"]
    assert list(agents) == [*published, "teacher", "elf"]
    heads = {variant: agent.policy.head.inputs for variant, agent in agents.items()}
    both = dict.fromkeys(agents, ("history", "observation"))
    own = dict.fromkeys(("mi", "mi_cv"), ("history", "z_obs")) | {"believer": ("belief", "observation")}
    assert heads == both | own | dict.fromkeys(("zero_on", "zero_off", "teacher"), ("observation",))
    assert [list(agents[name].policy.public.folds) for name in ("mi", "zero_on")] == [["history"], []]
    critics = {v: agent.online.critic.heads[0].inputs for v, agent in agents.items() if agent.online.critic}
    full, state = ("history", "observation", "state"), ("state",)
    assert critics == {"ua": full, "ua_vr": full, "ba": state, "ba_vr": state}
    losses = {variant: list(agent.extensions.auxiliary) for variant, agent in agents.items()}
    assert {variant: names for variant, names in losses.items() if names} == {
        "mi": ["state_prediction"], "zp": ["self_prediction"], "believer": ["belief_elbo"],
        "elf": ["follower", "state_prediction"], "mi_cv": ["state_prediction"],
    }  # fmt: skip
    bonuses = {variant: list(agent.extensions.intrinsic) for variant, agent in agents.items()}
    assert {variant: names for variant, names in bonuses.items() if names} == {
        "mi": ["information_gain"], "cv": ["future_visitation"], "mv": ["marginal_visitation"],
        "count": ["visit_count"], "rnd": ["random_network_distillation"],
        "mi_cv": ["information_gain", "future_visitation"], "elf": ["follower_value"],
    }  # fmt: skip
    bonus = agents["mi"].extensions.intrinsic["information_gain"]
    assert isinstance(bonus, InformationGain)
    assert bonus.weight == agents["mi"].config.intrinsic.information_gain.weight
    assert bonus.discount == agents["mi"].config.discount
    heavy = make_agent("mi", intrinsic__information_gain__weight=3.0)
    assert heavy.extensions.intrinsic["information_gain"].weight == 3.0


def test_the_rows_of_dreamer_differ_in_what_the_latent_tells():
    told = {"observed": ["obs"], "informed": ["state"], "both": ["obs", "state"], "published": ["state"]}
    assert sorted(f"dreamer:{row}" for row in told) == sorted(DREAMER_VARIANTS)
    for row, views in told.items():
        agent = make_agent(f"dreamer:{row}", spec=CONTINUOUS)
        assert agent.policy.head.inputs == agent.critic.inputs == ("latent",)
        assert list(agent.policy.public.folds) == ["latent"]
        assert list(agent.world_model.decoders) == views


def test_the_rows_of_the_actor_critics_are_the_published_methods():
    history, belief, bare = ("history", "observation"), ("belief", "observation"), ("observation",)
    rows = {  # what actor and critics see, auxiliary losses of critics and of the actor, what stands for observations
        "sac:history": (history, history, [], [], ()),
        "sac:mi": (("history", "z_obs"), ("history", "z_obs"), ["state_prediction"], [], ()),
        "sac:ua": (history, (*history, "state"), [], [], ()),
        "sac:ba": (history, ("observation", "state"), [], [], ()),
        "sac:zp": (history, history, ["self_prediction"], ["self_prediction"], ()),
        "sac:believer": (belief, belief, ["belief_elbo"], [], ()),
        "sac:embed": (bare, bare, [], ["behaviour_cloning"], ()),
        "sac:zero_on": (bare, bare, [], ["behaviour_cloning"], ("z_state",)),
        "sac:zero_off": (bare, bare, [], ["behaviour_cloning"], ("z_obs", "z_state")),
        "sac:teacher": (bare, bare, [], [], ("state",)),
        "sac:elf": (history, history, ["follower", "state_prediction"], [], ()),
        "a2c:history": (history, history, [], [], ()),
        "a2c:ua": (history, (*history, "state"), [], [], ()),
        "a2c:ba": (history, ("state",), [], [], ()),
        "a2c:informed": (history, (*history, "signal"), [], [], ()),
    }
    assert sorted(rows) == sorted((*SAC_VARIANTS, *A2C_VARIANTS))
    for row, (actor, critic, losses, of_actor, observe) in rows.items():
        agent = make_agent(row, spec=CONTINUOUS, **({"critic__signal": ("1",)} if "informed" in row else {}))
        assert agent.policy.head.inputs == actor
        for head in agent.critic.heads:
            assert set(head.inputs) - {"action"} == set(critic)
            assert ("action" in head.inputs) == row.startswith("sac:")
        assert (list(agent.extensions.auxiliary), list(agent.actor_extensions.auxiliary)) == (losses, of_actor)
        assert agent.config.observe == observe
        paid = {"sac:mi": ["information_gain"], "sac:elf": ["follower_value"]}.get(row, [])
        assert list(agent.extensions.intrinsic) == paid
        assert (agent.critic.public is agent.policy.public) == (row == "sac:believer")


def test_rows_differ_in_what_makes_them_and_in_nothing_else():
    configs = {variant: make_config(variant).rl for variant in VARIANTS}
    may = {
        "history": set(), "mi": {"policy_inputs", "auxiliary", "intrinsic"},
        "ua": {"critic_inputs", "double_q"}, "ba": {"critic_inputs", "double_q"},
        "ua_vr": {"critic_inputs", "double_q", "q_target"},
        "ba_vr": {"critic_inputs", "double_q", "q_target"},
        "mi_cv": {"policy_inputs", "auxiliary", "intrinsic"},
        "cv": {"intrinsic"}, "mv": {"intrinsic"}, "count": {"intrinsic"}, "rnd": {"intrinsic"},
        "zp": {"auxiliary"}, "believer": {"auxiliary", "policy_inputs"},
        "zero_on": {"observe", "policy_inputs"}, "zero_off": {"observe", "policy_inputs"},
        "teacher": {"observe", "policy_inputs"}, "elf": {"auxiliary", "intrinsic", "teacher", "z_state"},
    }  # fmt: skip
    for variant, config in configs.items():
        differs = {k for k in config if config[k] != configs["history"][k]} - {"variant"}
        assert differs == may[variant]


def test_the_same_seed_builds_the_same_weights():
    a, b, c = (weights(make_agent("mi", seed=seed)) for seed in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)
    assert all(
        torch.equal(a[name], a[name.replace("target.", "online.", 1)]) for name in a if name.startswith("target.")
    )


def test_embedders_are_those_of_the_files(tmp_path):
    agent = make_agent("mi", embedders=write_embedders(tmp_path))
    torch.manual_seed(5)
    again = make_agent("mi", embedders=write_embedders(tmp_path), seed=3)
    for which in (lambda a: a.policy.public.shortcuts["z_obs"], lambda a: a.state_views.frozen["z_state"]):
        assert all(torch.equal(x, y) for x, y in zip(weights(which(agent)).values(), weights(which(again)).values()))


def test_phi_may_be_the_state_itself():
    agent = make_agent("mi", z_state="raw")
    assert isinstance(agent.state_views.frozen["z_state"], nn.Identity)
    assert agent.extensions.auxiliary["state_prediction"].net[-1].out_features == SPEC.state_dim


def test_embedders_that_nothing_asks_for_are_known(tmp_path):
    files = write_embedders(tmp_path)
    unused = {}
    for variant, options in (("history", {}), ("mi", {}), ("mi", {"z_state": "raw"}), ("mi", {"z_obs": "scratch"})):
        sources = Sources(SPEC, make_config(variant, **options), files, files)
        build_agent(sources, 0, CPU)
        unused[variant, *options] = sources.unused
    both = {"--state_embedder_dir", "--obs_embedder_dir"}
    assert unused == {
        ("history",): both, ("mi",): set(),
        ("mi", "z_state"): {"--state_embedder_dir"}, ("mi", "z_obs"): {"--obs_embedder_dir"},
    }  # fmt: skip


REFUSED = {
    "continuous": ({"spec": EnvSpec("C-v0", 3, 3, 2, False, 9)}, "needs discrete actions"),
    "family": ({"family": "dqm"}, "--config_rl.family: unknown value 'dqm' (did you mean 'dqn'?)"),
    "memory": ({"seq": {"memory": "mgx"}}, "; a new one is a line in torchkit/sequence/__init__.py"),
    "a view twice": ({"policy_inputs": ("history",) * 2}, "policy_inputs=('history', 'history'): each view once"),
    "no inputs": ({"policy_inputs": ()}, "--config_rl.policy_inputs: a tuple of views"),
    "unknown view": ({"critic_inputs": ("z_ob", "state")}, "--config_rl.critic_inputs: unknown value 'z_ob'"),
    "no critic to regress to": ({"q_target": "critic"}, "--config_rl.q_target=critic: needs a critic"),
    "memory of the critic": ({"critic_memory": "own"}, "--config_rl.critic_memory: unknown value 'own'"),
    "state for the actor": ({"variant": "sac:mi", "policy_inputs": ("state",)}, "'state' is privileged"),
    "bonus alone": ({"intrinsic__use": ("information_gain",)}, "auxiliary.use=('state_prediction',)"),
    "cloning by a critic": (
        {"variant": "sac:mi", "auxiliary__use": ("behaviour_cloning",)}, "--config_rl.auxiliary.use: behaviour_cloning"
    ),
    "no width of actions": ({"variant": "sac:mi", "action_dim": 0}, "--config_rl.action_dim=0: at least 1"),
    "no width of predictions": (
        {"variant": "zp", "auxiliary__self_prediction.hidden_dims": (0,)},
        "--config_rl.auxiliary.self_prediction.hidden_dims=(0,)",
    ),
    "a weight below 0": (
        {"variant": "zp", "auxiliary__self_prediction.weight": -1.0},
        "--config_rl.auxiliary.self_prediction.weight=-1.0: a finite number from 0 on is needed",
    ),
    "no rate of a bonus": (
        {"intrinsic__use": ("random_network_distillation",), "intrinsic__random_network_distillation.lr": 0.0},
        "--config_rl.intrinsic.random_network_distillation.lr=0.0: a number above 0 is needed",
    ),
    "no layers of samples": ({"variant": "believer", "belief__sample_dims": ()}, "--config_rl.belief.sample_dims=()"),
    "width of rewards": ({"seq": {"vector.reward_dim": -1}}, "--config_seq.vector.reward_dim=-1: 0, for none"),
    "dropout": ({"memory": "gpt", "seq": {"kwargs.dropout": 1.5}}, "--config_seq.kwargs.dropout=1.5"),
    "convolutions": ({"spec": IMAGES, "seq": {"image.cnn.kernels": (2,)}}, "--config_seq.image.cnn: channels, kernels"),
    "one centre": (
        {"spec": IMAGES, "seq": {"image.cnn.centre": (0.2,), "image.cnn.spread": (0.1,)}},
        "--config_seq.image.cnn: centre (0.2,) and spread (0.1,) must have a number for each of the 2 channels",
    ),
    "no spread at all": ({"spec": IMAGES, "seq": {"image.cnn.centre": (0.2, 0.0)}}, "--config_seq.image.cnn: centre"),
    "no spread": (
        {"spec": IMAGES, "seq": {"image.cnn.centre": (0.2, 0.0), "image.cnn.spread": (0.1, 0.0)}},
        "--config_seq.image.cnn: centre",
    ),
    "words for numbers": (
        {"spec": IMAGES, "seq": {"image.cnn.centre": ("",), "image.cnn.spread": ("",)}},
        "--config_seq.image.cnn: centre",
    ),
    "endless spread": (
        {"spec": IMAGES, "seq": {"image.cnn.centre": (0.0, 0.0), "image.cnn.spread": (1.0, float("inf"))}},
        "--config_seq.image.cnn: centre",
    ),
    "wide convolutions": ({"spec": IMAGES, "seq": {"image.cnn.kernels": (2, 9)}}, "--config_seq.image.cnn: the layers"),
    "no stride": ({"spec": IMAGES, "seq": {"image.cnn.strides": (1, 0)}}, "--config_seq.image.cnn.strides=(1, 0)"),
    "unknown bonus": ({"intrinsic__use": ("surprise",)}, "; a new one is a line in policies/intrinsic/__init__.py"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_built_is_one_line(case):
    options, message = REFUSED[case]
    with pytest.raises(UserError, match=re.escape(message)):
        make_agent(**options)


def test_a_row_or_field_that_an_extension_lacks_is_one_line():
    config = make_config("zp")
    settings, flag = config.rl.auxiliary.self_prediction, "--config_rl.auxiliary"
    with config.rl.unlocked():
        del settings.weight, settings.hidden_dims
        message = "SelfPrediction reads weight, hidden_dims, which the config lacks"
        with pytest.raises(UserError, match=f"^{flag}.self_prediction: {message}$"):
            build_agent(Sources(SPEC, config), 0, CPU)
        del config.rl.auxiliary.self_prediction
        message = "give the config a row auxiliary.self_prediction in configs/rl/_shared.py or configs/rl/dqn.py"
        with pytest.raises(UserError, match=f"^{flag}.use: self_prediction has no settings; {message}$"):
            build_agent(Sources(SPEC, config), 0, CPU)


def test_lists_become_tuples_again_all_the_way_down():
    assert json_tuples({"a": [1, [2, {"b": [3]}]], "c": "text"}) == {"a": (1, (2, {"b": (3,)})), "c": "text"}


@pytest.mark.parametrize("path", sorted((ROOT / "configs/envs").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_a_domain_names_families_and_rows_that_are_there(path):
    for name in config_named("envs", path.stem).rl:
        family, _, row = name.partition(":")
        assert family in FAMILIES
        assert not row or row in import_module(f"configs.rl.{family}").VARIANTS


def test_a_domain_that_misspells_a_family_is_refused():
    config_env = ConfigDict({"id": "Maze-v0", "rl": {"sca:mi": {"discount": 0.5}}})
    config = make_config()
    with pytest.raises(UserError, match=r"--config_env: rl of Maze-v0: unknown value 'sca' .*did you mean 'sac'"):
        resolve(config_env, config.rl, config.seq, None, set(), {})
