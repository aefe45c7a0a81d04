"""Configs are held to the kinds of this repository's own; what a stranger's json says names no file to run."""

import json

import pytest

from tests.helpers.configs import config_named
from utils.config import ROOT, load_config, to_dict
from utils.errors import UserError
from utils.standards import KINDS, check_kind, with_new_fields

FOLDERS = {"env": "envs", "sweep": "sweeps"}
OWN = [
    (group, file) for group in KINDS for file in sorted((ROOT / "configs" / FOLDERS.get(group, group)).glob("[!_]*.py"))
]


@pytest.mark.parametrize(("group", "file"), OWN, ids=lambda value: getattr(value, "stem", value))
def test_every_config_of_this_repository_is_of_its_kind(group, file):
    config = load_config(file, "", str(file))
    check_kind(group, config, f"--config_{group}")
    for other in KINDS:
        if other != group:
            with pytest.raises(UserError, match=f"--config_{other}: this file is .*, for --config_{group}, and lacks"):
                check_kind(other, config, f"--config_{other}")


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("head_dims", (64.5,), "a tuple of whole numbers"),
        ("head_dims", (64, True), "a tuple of whole numbers"),
        ("policy_inputs", (1,), "a tuple of texts"),
        ("discount", float("nan"), "a finite number"),
        ("discount", "much", "a finite number"),
        ("batch_size", 2.5, "a whole number"),
        ("double_q", 1, "True or False"),
        ("precision", 16, "a text"),
        ("exploration", 0.1, "a group of fields"),
        ("exploration.start", (), "a finite number"),
    ],
)
def test_a_field_of_another_kind_is_named(field, value, wanted):
    config = to_dict(config_named("rl", "dqn"))
    *parents, leaf = field.split(".")
    group = config
    for part in parents:
        group = group[part]
    group[leaf] = value
    with pytest.raises(UserError) as caught:
        check_kind("rl", config, "--config_rl")
    assert str(caught.value).startswith(f"--config_rl.{field}") and wanted in str(caught.value)


def test_a_missing_field_is_named():
    config = to_dict(config_named("rl", "dqn"))
    del config["exploration"]["steps"]
    with pytest.raises(UserError, match=r"--config_rl: this config lacks exploration\.steps"):
        check_kind("rl", config, "--config_rl")


def test_a_field_of_a_domain_that_is_nearly_another_is_refused_and_one_of_the_users_own_is_not():
    config = to_dict(config_named("envs", "heaven_hell"))
    check_kind("env", config | {"my_friction": 0.5, "more": {}, "state_size": 3}, "--config_env")
    for wrong, right in (("obs_key", "obs_keys"), ("wrapper", "wrappers"), ("state_func", "state_fn")):
        with pytest.raises(UserError, match=f"--config_env: unknown field '{wrong}' .did you mean '{right}'"):
            check_kind("env", config | {wrong: "z"}, "--config_env")


def test_a_kind_of_the_users_own_needs_no_fields_but_its_name():
    check_kind("rl", {"family": "mine"}, "--config_rl")
    check_kind("seq", {"memory": "mine"}, "--config_seq")
    check_kind("hat", {}, "--config_hat")


def test_what_may_be_empty_or_a_text_is_so():
    env = to_dict(config_named("envs", "masked"))
    for hidden in ("velocity", (), (1, 3)):
        check_kind("env", env | {"hidden": hidden}, "--config_env")
    with pytest.raises(UserError, match=r"hidden=\('a',\): a text or a tuple of whole numbers"):
        check_kind("env", env | {"hidden": ("a",)}, "--config_env")


@pytest.mark.parametrize("name", ["{up}", "../{up}", "{here}", "rl/../../{up}"])
@pytest.mark.parametrize("key", ["", "family", "memory", "id", "None"])
def test_a_stored_config_names_no_file_to_run(tmp_path, name, key):
    (tmp_path / "marker.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n\ndef get_config(): return {{}}\n"
    )
    up = "../" * len(ROOT.parts) + str(tmp_path)[1:]
    name = name.format(up=up, here=tmp_path)
    stored = {name: {key: "marker"}, "rl": {key: f"../{name}/marker"}, "seq": {key: f"{name}/marker"}}
    assert with_new_fields(json.loads(json.dumps(stored))) == stored
    assert not (tmp_path / "ran").exists()
