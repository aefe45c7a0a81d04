"""A policy that a stranger sends imports nothing but this repository's envs, unless the user says so."""

import pytest
from ml_collections import ConfigDict

from policies.deployed.trust import config_of
from tests.helpers.configs import config_named
from utils.config import to_dict
from utils.errors import UserError


def about(**fields):
    return {"config": {"env": to_dict(config_named("envs", "heaven_hell")) | fields, "rl": {"family": "dqn"}}}


FOREIGN = {
    "a module": {"module": "marker"},
    "a module that begins alike": {"module": "envs_of_mine"},
    "a function": {"state_fn": "marker:read"},
    "a wrapper": {"wrappers": ["envs.pictures:x", "marker:Wrapper"]},
    "the second of two": {"wrappers": "envs.pictures:x,marker:Wrapper"},
    "an id": {"id": "marker:Env-v0"},
    "somewhere inside": {"more": {"deep": [["marker:x"]]}},
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_modules_are_asked_about(case):
    with pytest.raises(
        UserError, match=r"--run: its files ask to import '(marker|envs_of_mine)', .*--config_env.*--trust"
    ):
        config_of(about(**FOREIGN[case]), None, False, "--run")
    assert config_of(about(**FOREIGN[case]), None, True, "--run").env
    given = ConfigDict({"id": "mine"})
    assert config_of(about(**FOREIGN[case]), given, False, "--run").env == given


@pytest.mark.parametrize(
    "fields", [{}, {"module": ""}, {"module": "envs.robot"}, {"state_fn": "envs.wrappers:state_attribute"},
               {"state_fn": "observation"}, {"kwargs": {"text": "a:b"}}]
)  # fmt: skip
def test_what_is_our_own_is_taken(fields):
    assert config_of(about(**fields), None, False, "--run").rl.family == "dqn"


def test_a_policy_without_a_domain_says_so():
    with pytest.raises(UserError, match="--config_env"):
        config_of({"config": {"rl": {}}}, None, True, "--run")
