"""Configs: what a domain asks is below the command line, and a wrong field is answered with the right one."""

import json
import math
import warnings

import pytest
from ml_collections import ConfigDict

from tests.helpers.configs import config_named
from utils.config import (
    ROOT,
    _ConfigParser,
    check_fields,
    flatten,
    json_tuples,
    load_config,
    to_dict,
    warn_of_another_task,
)
from utils.errors import UserError
from utils.merging import apply_domain, apply_domain_memory
from utils.standards import with_new_fields


@pytest.fixture
def config_rl():
    return ConfigDict({"discount": 0.99, "layers": 2, "critic": {"inputs": ("history",), "lr": 1e-3}}).lock()


def domain(**fields):
    return ConfigDict({"id": "Maze-v0", "rl": {"dqn": fields}}, allow_dotted_keys=True).lock()


@pytest.mark.parametrize("fields", [{"critic.lr": 0.1, "discount": 1}, {"critic": {"lr": 0.1}, "discount": 1}])
def test_domain_settings_are_applied_dotted_or_nested(config_rl, fields):
    apply_domain(config_rl, domain(**fields), "dqn", {})
    assert config_rl.critic.lr == 0.1
    assert config_rl.discount == 1.0
    assert isinstance(config_rl.discount, float)
    assert config_rl.is_locked


def test_command_line_is_above_the_domain(config_rl):
    config_rl.critic.lr = 0.5
    apply_domain(config_rl, domain(**{"critic.lr": 0.1, "discount": 0.9}), "dqn", {"critic.lr": 0.5})
    assert config_rl.critic.lr == 0.5
    assert config_rl.discount == 0.9


def test_a_row_of_the_family_is_above_the_family_and_below_the_command_line(config_rl):
    asked = ConfigDict({"id": "Maze-v0", "rl": {"dqn": {"discount": 0.9, "layers": 3}, "dqn:mi": {"discount": 0.8}}})
    apply_domain(config_rl, asked, "dqn", {}, variant="mi")
    assert (config_rl.discount, config_rl.layers) == (0.8, 3)
    apply_domain(config_rl, asked, "dqn", {}, variant="ua")
    assert config_rl.discount == 0.9
    config_rl.discount = 0.5
    apply_domain(config_rl, asked, "dqn", {"discount"}, variant="mi")
    assert config_rl.discount == 0.5
    asked["rl"]["dqn:mi"] = {"discont": 0.8}
    with pytest.raises(UserError, match=r"rl\.dqn:mi of Maze-v0: .*did you mean 'discount'"):
        apply_domain(config_rl, asked, "dqn", {}, variant="mi")


def test_the_domain_sizes_the_memory_below_the_command_line():
    config_seq = ConfigDict({"memory": "gru", "image": {"obs_dim": 100, "cnn": {"channels": (8, 16)}}}).lock()
    asked = ConfigDict({"id": "Maze-v0", "seq": {"image": {"obs_dim": 64, "cnn": {"channels": (32,)}}}})
    apply_domain_memory(config_seq, asked, {"image.obs_dim"})
    assert config_seq.image.obs_dim == 100 and config_seq.image.cnn.channels == (32,)
    apply_domain_memory(config_seq, ConfigDict({"id": "Maze-v0"}), {})
    with pytest.raises(UserError, match=r"seq of Maze-v0: .*unknown field 'width'"):
        apply_domain_memory(config_seq, ConfigDict({"id": "Maze-v0", "seq": {"width": 1}}), {})


def test_domain_without_the_family_changes_nothing(config_rl):
    before = config_rl.to_dict()
    apply_domain(config_rl, domain(discount=0.1), "sac", {})
    apply_domain(config_rl, ConfigDict({"id": "Maze-v0"}), "dqn", {})
    assert config_rl.to_dict() == before


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"critic.rate": 1.0}, ["Maze-v0", "critic.rate"]),
        ({"discont": 1.0}, ["Maze-v0", "did you mean 'discount'?"]),
        ({"lr": 1.0}, ["did you mean 'critic.lr'?"]),
        ({"layers": 1.5}, ["layers", "int", "1.5"]),
    ],
)
def test_wrong_domain_field_names_domain_and_nearest(config_rl, fields, parts):
    with pytest.raises(UserError) as caught:
        apply_domain(config_rl, domain(**fields), "dqn", {})
    for part in parts:
        assert part in str(caught.value)


def test_check_fields_takes_groups_and_indices(config_rl):
    check_fields(["critic", "critic.inputs[0]", "discount"], config_rl, "--config_rl")
    with pytest.raises(UserError, match=r"critic\.input'"):
        check_fields(["critic.input"], config_rl, "--config_rl")


def test_to_dict_is_json_and_keeps_values(config_rl):
    plain = to_dict(config_rl)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["critic"]["inputs"] == ["history"]


def test_json_tuples_undoes_what_json_does_to_tuples():
    config = {"layers": ((1, 2), (3,)), "nested": {"shape": (2,), "none": None}, "name": "a"}
    assert json_tuples(json.loads(json.dumps(config))) == config


def test_flatten_keeps_empty_groups():
    assert flatten(ConfigDict({"a": {"b": 1, "c": {}}})) == {"a.b": 1, "a.c": ConfigDict()}


def stored_config(variant="mi", **changes):
    """As a run writes it."""
    config = {"rl": to_dict(config_named("rl", f"sac:{variant}")), "seq": to_dict(config_named("seq", "gru"))}
    config["rl"] |= changes
    return config


def test_a_stored_config_gets_the_fields_that_came_later_at_their_defaults():
    now = stored_config(discount=0.5)
    stored = json.loads(json.dumps(now))
    for group, name in (("rl", "critic_inputs"), ("rl", "tau"), ("seq", "state_dim")):
        del stored[group][name]
    del stored["rl"]["temperature"]["lr"], stored["rl"]["intrinsic"]["information_gain"], stored["seq"]["vector"]
    before = json.dumps(stored)
    assert with_new_fields(stored) == now  # critic_inputs are those of the variant
    assert json.dumps(stored) == before


def test_a_stored_config_without_a_field_is_of_what_was_done_then():
    """Not of today's default, by which a run would go on as another."""
    stored = {"rl": to_dict(config_named("rl", "dqn:mi"))}
    assert (stored["rl"]["deploy"], stored["rl"]["exploration"]["zeta"]) == ("average", 2.0)
    del stored["rl"]["deploy"], stored["rl"]["exploration"]["zeta"]
    filled = with_new_fields(stored)["rl"]
    assert (filled["deploy"], filled["exploration"]["zeta"]) == ("online", 0.0)
    assert with_new_fields({"rl": {"family": "dqn"}})["rl"]["exploration"]["zeta"] == 0.0
    assert "deploy" not in with_new_fields({"rl": {"family": "a2c"}})["rl"]  # which has never had it


def test_what_is_stored_is_never_changed():
    odd = {"seq": {"memory": "gru", "kwargs": {"out_dim": 5}}, "env": {"id": "x"}, "repr": None, "seed": 3}
    filled = with_new_fields(odd | {"rl": {"family": "dqn", "variant": "mine", "exploration": 0.1, "gone": 1}})
    assert filled["seq"]["kwargs"] == {"out_dim": 5}
    assert {name: filled[name] for name in ("env", "repr", "seed")} == {"env": {"id": "x"}, "repr": None, "seed": 3}
    assert (filled["rl"]["variant"], filled["rl"]["exploration"], filled["rl"]["gone"]) == ("mine", 0.1, 1)
    assert filled["rl"]["tau"] == config_named("rl", "dqn").tau  # a variant of the user's own


@pytest.mark.parametrize("family", ["../seq/gru", "mine", "", 3])
def test_only_files_of_the_group_are_looked_into(family):
    assert with_new_fields({"rl": {"family": family}}) == {"rl": {"family": family}}


def test_another_task_of_the_same_domain_is_warned_of():
    now = ConfigDict({"id": "Maze-v0", "horizon": 50, "kwargs": {"noise": False}, "eval": {"episodes": 3}})
    same = {"id": "Maze-v0", "horizon": 50, "kwargs": {"noise": False, "old": 1}, "eval": {"episodes": 9}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for before in (same, {}, {"id": "Other-v0", "horizon": 9}):
            warn_of_another_task("--data_path", before, now)
    other = same | {"horizon": 12, "kwargs": {"noise": True}}
    with pytest.warns(UserWarning, match="is of Maze-v0 with horizon = 12, not 50, kwargs.noise = True, not"):
        warn_of_another_task("--data_path", other, now)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("=1.5",), 1.5),
        (("=-3",), -3),
        (("", "-3"), -3),
        (("=True",), True),
        (("",), True),
        (("=a b=c",), "a b=c"),
        (("=(1,2)",), (1, 2)),
        (("=[0.5]",), (0.5,)),
        (("=007",), "007"),
        (("=false",), False),
        (("=-inf",), -math.inf),
        (("=1.5", "--config_env.kwargs.new=2"), 2.0),
    ],
)
def test_an_open_group_takes_a_field_of_any_name(monkeypatch, words, value):
    flag, parser = "--config_env.kwargs.new", _ConfigParser("config_env", None)
    monkeypatch.setattr("sys.argv", ["main.py", flag + words[0], *words[1:]])
    config = parser.parse("configs/envs/third_party.py:any")
    assert config.kwargs.to_dict() == {"new": value} and isinstance(config.kwargs.new, type(value))
    with pytest.raises(UserError, match=r"unknown field 'kwargs\.new'"):
        parser.parse("configs/envs/heaven_hell.py")


@pytest.mark.parametrize(
    "word",
    [
        *("kwargs.new=None", "kwargs.new=none", "kwargs.new={}", "kwargs.new=(1,(2,))", "kwargs.a.b=1", "idd=3"),
        *("kwargs.class=1", "kwargs.items=1", "kwargs._fields=1", "kwargs.new='a'"),
    ],
)
def test_what_an_open_group_cannot_take_names_the_flag(monkeypatch, word):
    monkeypatch.setattr("sys.argv", ["main.py", f"--config_env.{word}"])
    with pytest.raises(
        UserError, match=r"^--config_env.*(a number, a text, True or False|unknown field|without quotes)"
    ):
        _ConfigParser("config_env", None).parse("configs/envs/third_party.py:any")


def test_an_argument_of_two_kinds_is_given_once(monkeypatch):
    monkeypatch.setattr("sys.argv", ["main.py", "--config_env.kwargs.new=1", "--config_env.kwargs.new=a"])
    with pytest.raises(UserError, match=r"kwargs\.new: given as '1' and as 'a'"):
        _ConfigParser("config_env", None).parse("configs/envs/third_party.py:any")


def test_a_config_whose_open_group_is_none_refuses_the_field(monkeypatch, tmp_path):
    file = tmp_path / "odd.py"
    file.write_text("from ml_collections import ConfigDict\nOPEN = ('kwargs',)\n\n\n"
                    "def get_config():\n    return ConfigDict({'id': 'x'})\n")  # fmt: skip
    monkeypatch.setattr("sys.argv", ["main.py", "--config_env.kwargs.new=1"])
    with pytest.raises(UserError, match=r"unknown field 'kwargs\.new'"):
        _ConfigParser("config_env", None).parse(str(file))


def test_arguments_of_a_third_party_that_one_side_has_are_another_task():
    plain = {"id": "Pendulum-v1", "kwargs": {}, "wrappers": "", "horizon": 20}
    light = plain | {"kwargs": {"g": 5.0}}
    with pytest.warns(UserWarning, match="is of Pendulum-v1 with kwargs.g = 5.0, not the env's own"):
        warn_of_another_task("--data_path=x", light, ConfigDict(plain))
    with pytest.warns(UserWarning, match="with kwargs.g = the env's own, not 5.0"):
        warn_of_another_task("--data_path=x", plain, ConfigDict(light))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for same in (plain, light):
            warn_of_another_task("--data_path=x", same, ConfigDict(same))


@pytest.mark.parametrize(("name", "right"), [("heaven_hell_n", "1, 2, 3, 4"), ("four_rooms", "7x7, 9x9")])
def test_variants_that_are_a_list_are_told_where_another_is_asked_for(name, right):
    with pytest.raises(UserError, match=f"^--config_env: variant: unknown value 'nothing'; choose from {right}$"):
        load_config(ROOT / f"configs/envs/{name}.py", "nothing", "--config_env")
