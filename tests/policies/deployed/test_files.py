"""A saved policy: of an earlier version it is read, damaged it is refused, and a defect of the code is neither."""

import json
import os
import random

import pytest
import torch
from ml_collections import ConfigDict

from policies.build import build_agent
from policies.deployed.files import load_policy, save_policy
from policies.deployed.inspection import rebuilt_agent
from policies.models.sources import Sources
from policies.models.trunk import Trunk
from tests.helpers.agents import CPU, SPEC, make_config
from utils.checkpoint import save_checkpoint
from utils.config import json_tuples
from utils.errors import UserError


@pytest.fixture
def saved(tmp_path):
    """A run's folder with policy and checkpoint, and its agent."""
    config = make_config("mi", z_obs="scratch", z_state="random")
    agent = build_agent(Sources(SPEC, config), 0, CPU)
    save_policy(tmp_path / "policy", agent.policy, SPEC, config, {})
    save_checkpoint(tmp_path / "checkpoint", {"agent": agent.checkpoint()})
    return tmp_path, agent


def edit(folder, change):
    file = folder / "policy" / "policy.json"
    about = json.loads(file.read_text())
    change(about)
    file.write_text(json.dumps(about))


def test_policy_and_agent_of_before_a_field_came_are_as_they_were(saved):
    folder, agent = saved
    about = load_policy(str(folder))[1]
    gone = ("return_lambda", "cut_traces", "precision", "auxiliary", "policy_inputs")
    edit(folder, lambda old: [old["config"]["rl"].pop(name) for name in gone])
    edit(folder, lambda old: old["config"]["rl"]["intrinsic"].pop("anneal_steps"))
    policy, again = load_policy(str(folder))
    new = json.loads(json.dumps(again["config"]))
    assert new["rl"].pop("auxiliary")["use"] == ["state_prediction"]  # the row's, at the file's own sizes
    assert new["rl"] == {name: value for name, value in about["config"]["rl"].items() if name != "auxiliary"}
    for name, value in agent.policy.state_dict().items():
        assert torch.equal(policy.state_dict()[name], value)
    edit(folder, lambda old: old["config"]["rl"].update(auxiliary=about["config"]["rl"]["auxiliary"]))
    config = ConfigDict(json_tuples(load_policy(str(folder))[1]["config"]))
    rebuilt = rebuilt_agent(folder, SPEC, config, None, None)
    for name, value in agent.state_dict().items():  # moments that are still to come are NaN
        torch.testing.assert_close(rebuilt.state_dict()[name], value, rtol=0, atol=0, equal_nan=True)


DAMAGE = {
    "no group": (lambda about: about["config"].pop("seq"), "ValueError: its config lacks rl or seq"),
    "no view": (lambda about: about["views"].pop("folds"), "views: this config lacks folds"),
    "odd spec": (lambda about: about["spec"].update(width=3), "unexpected keyword argument 'width'"),
    "list": (lambda about: about.update(config=[]), "'list' object has no attribute"),
    "family": (lambda about: about["config"]["rl"].update(family={}), "config_rl.family: unknown value"),
    "sizes": (lambda about: about["config"]["rl"].update(head_dims=[5]), r"head.net.0.bias: .* by the config"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_told_with_what_is_wrong(saved, case):
    change, why = DAMAGE[case]
    edit(saved[0], change)
    with pytest.raises(UserError, match=f"--policy_dir: the policy in .* is damaged.*{why}"):
        load_policy(str(saved[0]))


ODD = (None, -1, 0, 1.5, 10**9, 2**70, "x", "", [], [1, "a"], [[]], {}, {"x": 1}, True, float("nan"), [10**9] * 3)


def places(value, path=()):
    """Every place in nested dicts and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


@pytest.mark.parametrize("group", ["config", "config/rl", "config/rl/belief", "config/seq/kwargs", "spec", "views"])
@pytest.mark.parametrize("name", ["a.b", "../../x", "", " ", "items", "__class__", "_locked", "9", "ψ"])
def test_a_field_of_any_name_is_passed_over_or_refused(saved, group, name):
    def change(about):
        for key in group.split("/"):
            about = about[key]
        about[name] = {"x": 1}

    edit(saved[0], change)
    try:
        load_policy(str(saved[0]))
    except UserError as error:
        assert "\n" not in str(error) and str(error).startswith("--policy_dir: ")


def put(value, path, new):
    *parents, last = path
    for key in parents:
        value = value[key]
    value[last] = new


@pytest.mark.parametrize("variant", ["mi", "sac:believer"])
def test_a_policy_edited_by_hand_is_read_or_refused(tmp_path, variant):
    config = make_config(variant, memory="gpt", z_obs="scratch", z_state="random", believer="scratch")
    agent = build_agent(Sources(SPEC, config), 0, CPU)
    save_policy(tmp_path, agent.policy, SPEC, config, {})
    file = tmp_path / "policy.json"
    about = file.read_text()
    rng = random.Random(0)
    every = list(places(json.loads(about)))
    refused = 0
    cases = [(path, odd) for path in every for odd in ODD]
    for path, odd in cases if "EVERY_EDIT" in os.environ else rng.sample(cases, 60):
        edited = json.loads(about)
        put(edited, path, odd)
        file.write_text(json.dumps(edited))
        try:
            load_policy(str(tmp_path))
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and str(error).startswith("--policy_dir: "), (path, odd)
        except Exception as error:
            raise AssertionError(f"{path} = {odd!r}") from error
    assert refused


def test_weights_that_are_no_numbers_are_refused(saved):
    folder, agent = saved
    with torch.no_grad():
        next(agent.policy.parameters()).view(-1)[0] = float("nan")
    save_policy(folder / "policy", agent.policy, SPEC, make_config("mi", z_obs="scratch", z_state="random"), {})
    with pytest.raises(UserError, match=r"is damaged \(ValueError: .* is not finite somewhere"):
        load_policy(str(folder))


def test_a_checkpoint_of_another_agent_is_told_with_what_differs(saved):
    with pytest.raises(UserError, match=r"--run: the checkpoint .* is not of the agent .*head.* by the config"):
        rebuilt_agent(saved[0], SPEC, make_config("history"), None, None)


@pytest.mark.parametrize("error", [KeyError, AttributeError, TypeError, ValueError, RuntimeError])
def test_a_defect_of_the_code_is_not_called_damage(saved, monkeypatch, error):
    def broken(*_, **__):
        raise error("a defect")

    monkeypatch.setattr(Trunk, "head", broken)
    for call in (
        lambda: load_policy(str(saved[0])),
        lambda: rebuilt_agent(saved[0], SPEC, make_config("history"), None, None),
    ):
        with pytest.raises(error, match="a defect"):
            call()
