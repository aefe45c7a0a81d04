"""A run's folder: resumed by the same config, refused to another, written by one process at a time."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.configs import config_named
from utils.config import to_dict
from utils.errors import UserError
from utils.files import atomic_path, atomic_write, content_digest, write_json
from utils.run import Run, check_name, git_revision

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {"rl": {"discount": 0.99, "inputs": ("history", "state")}, "seed": 3, "note": float("nan"), "none": {}}


def create(folder, config=CONFIG, begun=True, **options):
    run = Run.create(folder, "run", config, ["main.py", "--seed=3", "--name=a b"], **options)
    if begun:
        run.metrics_path.touch()
    return run


def test_new_run_writes_what_was_asked(tmp_path):
    run = create(tmp_path)
    record = json.loads(run.config_path.read_text())
    assert not run.resumed
    assert not run.finished
    assert record["config"]["rl"] == {"discount": 0.99, "inputs": ["history", "state"]}
    assert record["command"] == "main.py --seed=3 '--name=a b'"
    assert record["git_revision"] == git_revision()
    assert {"python", "torch", "numpy"} <= set(record["versions"])
    assert all(folder.is_dir() for folder in (run.checkpoint_dir, run.policy_dir, run.films_dir))


def test_same_config_resumes(tmp_path):
    create(tmp_path).close()
    before = (tmp_path / "run/config.json").read_text()
    run = create(tmp_path)
    assert run.resumed
    assert run.config_path.read_text() == before


def test_a_run_of_which_there_is_nothing_is_begun_anew_by_another_config(tmp_path):
    create(tmp_path, begun=False).close()
    run = create(tmp_path, {"seed": 4}, begun=False)
    assert not run.resumed
    assert json.loads(run.config_path.read_text())["config"] == {"seed": 4}
    run.close()
    run.config_path.write_text("damaged")
    run = create(tmp_path)
    run.close()
    with pytest.raises(UserError, match="seed"):
        create(tmp_path, {**CONFIG, "seed": 4})
    run.metrics_path.rename(run.films_dir / "1.gif")
    with pytest.raises(UserError, match="seed"):
        create(tmp_path, {**CONFIG, "seed": 4})


def test_finished_run_says_so(tmp_path):
    run = create(tmp_path)
    run.finish({"success": 1.0})
    run.close()
    run = create(tmp_path)
    assert run.finished
    assert json.loads(run.summary_path.read_text()) == {"success": 1.0}


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"rl": {"discount": 0.9, "inputs": ("history", "state")}}, ["rl.discount = 0.99, not 0.9"]),
        ({"rl": {"discount": 0.99, "inputs": ("state",)}}, ["rl.inputs"]),
        ({"new": 1}, ["new = nothing, not 1"]),
        ({"none": {"a": 1}}, ["none.a"]),
    ],
)
def test_another_config_is_refused_by_its_first_field(tmp_path, changed, parts):
    create(tmp_path).close()
    with pytest.raises(UserError) as caught:
        create(tmp_path, CONFIG | changed)
    for part in ["--run_name", str(tmp_path), *parts]:
        assert part in str(caught.value)
    create(tmp_path).close()  # the refused one has given the folder back


@pytest.mark.parametrize(("before", "now"), [({}, {"centre": ()}), ({"centre": ()}, {})])
def test_an_empty_tuple_is_as_good_as_no_field(tmp_path, before, now):
    """A field that is new does not shut out older runs where it asks for nothing."""
    create(tmp_path, CONFIG | {"encoder": {"dims": (3,), **before}}).close()
    again = create(tmp_path, CONFIG | {"encoder": {"dims": (3,), **now}})
    assert again.resumed
    again.close()
    with pytest.raises(UserError, match=r"encoder.centre = (nothing|\[\]), not \[0.1\]"):
        create(tmp_path, CONFIG | {"encoder": {"dims": (3,), "centre": (0.1,)}})


def test_fields_that_may_differ_do_not_matter(tmp_path):
    create(tmp_path).close()
    assert create(tmp_path, CONFIG | {"seed": 4, "rl": {"x": 1}}, may_differ=("seed", "rl")).resumed


def test_a_field_that_came_after_the_run_began_is_taken_at_its_default(tmp_path):
    config = {"rl": to_dict(config_named("rl", "dqn:mi"))}
    run = create(tmp_path, config)
    record = json.loads(run.config_path.read_text())
    del record["config"]["rl"]["return_lambda"], record["config"]["rl"]["intrinsic"]["anneal_steps"]
    run.config_path.write_text(json.dumps(record))
    run.close()
    with pytest.raises(UserError, match=r"rl\.return_lambda = 0\.9, not 0\.5"):
        create(tmp_path, {"rl": config["rl"] | {"return_lambda": 0.5}})
    with pytest.raises(UserError, match=r"rl\.tau = 0\.005, not 0\.5"):
        create(tmp_path, {"rl": config["rl"] | {"tau": 0.5}})
    assert create(tmp_path, config).resumed


PLACE = {"seed": 3, "data": "here", "data_sha256": "ab"}


@pytest.mark.parametrize(
    ("before", "now", "refused"),
    [
        ({}, {"data": "there"}, None),
        ({}, {"data_sha256": "cd"}, 'data_sha256 = "ab", not "cd"'),
        ({}, {"seed": 4}, "seed = 3, not 4"),
        ({"data_sha256": None}, {}, None),  # of before there were digests
        ({"data_sha256": None}, {"data": "there"}, 'data = "here", not "there"'),
        ({}, {"data_sha256": None}, None),  # what it named is gone
        ({}, {"data": "there", "data_sha256": None}, 'data = "here", not "there"'),
    ],
)
def test_what_a_field_names_is_known_by_its_digest(tmp_path, before, now, refused):
    create(tmp_path, PLACE | before).close()
    if refused is None:
        assert create(tmp_path, PLACE | now).resumed
    else:
        with pytest.raises(UserError, match=refused):
            create(tmp_path, PLACE | now)


def test_a_run_of_before_there_were_digests_goes_on(tmp_path):
    create(tmp_path, {"seed": 3, "data": "here"}).close()
    assert create(tmp_path, PLACE).resumed


def test_a_digest_is_of_contents_and_their_order(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"one")
    b.write_bytes(b"two")
    parts = hashlib.sha256(b"one").digest() + hashlib.sha256(b"two").digest()
    assert content_digest([a, b]) == content_digest([a, "two"]) == hashlib.sha256(parts).hexdigest()
    assert len({content_digest(parts) for parts in ([a, b], [b, a], [a], ["onetwo"], ["on", "etwo"])}) == 5


def test_damaged_config_is_told(tmp_path):
    create(tmp_path).close()
    for text, why in (('{"config": ', "JSONDecodeError: Expecting value"), ("{}", "KeyError"), ("[]", "list")):
        (tmp_path / "run/config.json").write_text(text)
        with pytest.raises(UserError, match=rf"config\.json is damaged \(.*{why}"):
            create(tmp_path)


def test_one_process_at_a_time(tmp_path):
    run = create(tmp_path)
    other = (
        "import sys\n"
        "from utils.app import run\n"
        "from utils.run import Run\n"
        "run(lambda: Run.create(sys.argv.pop(), 'run', {'a': 1}, []))\n"
    )
    command = [sys.executable, "-c", other.replace("sys.argv.pop()", repr(str(tmp_path)))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "another process" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    run.close()
    create(tmp_path).close()


@pytest.mark.parametrize("save_dir", ["/proc/runs", "a_file"])
def test_unwritable_folder_names_the_flag(tmp_path, save_dir):
    (tmp_path / "a_file").write_text("")
    with pytest.raises(UserError, match="--save_dir"):
        create(tmp_path / save_dir)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_forbidden_folder_names_the_flag(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"--save_dir.*Permission denied"):
        create(tmp_path)


def test_atomic_write_replaces_all_or_nothing(tmp_path):
    target = tmp_path / "file.json"
    atomic_write(target, "one")
    atomic_write(target, b"two")
    assert target.read_text() == "two"
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as draft:
        draft.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]


def test_what_a_kill_left_of_a_file_goes_when_it_is_written_again(tmp_path):
    older = [tmp_path / name for name in (".a.12.tmp.json", ".a.9999999.tmp.json")]
    others = [tmp_path / name for name in (".b.12.tmp.json", ".a.12.tmp.txt", ".a.x.tmp.json", ".a.13.tmp.json")]
    for path in (*older, *others):
        path.touch()
        if path != others[-1]:  # which somebody writes now
            os.utime(path, (time.time() - 4000,) * 2)
    atomic_write(tmp_path / "a.json", "{}")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.json", *others])


def test_atomic_path_keeps_the_suffix(tmp_path):
    with atomic_path(tmp_path / "film.gif") as draft:
        assert draft.suffix == ".gif"
        draft.write_bytes(b"x")
    assert (tmp_path / "film.gif").read_bytes() == b"x"


def test_failed_atomic_write_names_the_target(tmp_path):
    with pytest.raises(OSError, match="file"):
        atomic_write(tmp_path / "missing" / "file", "x")


def test_git_revision_is_a_commit_or_unknown():
    revision = git_revision()
    assert revision == "unknown" or len(revision.removesuffix("-dirty")) == 40


@pytest.mark.parametrize("name", ["", " ", "/", "/tmp/x", "..", "a/../b", "a//b", "a/", ".", "a\nb", "a\0b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name):
    with pytest.raises(UserError, match=r"^--group="):
        check_name(name, "--group")


@pytest.mark.parametrize("name", [None, "a", "a/b", "a..b", "ALE/Pong-v5_s0", "ψ $1"])
def test_other_names_are_taken(name):
    check_name(name, "--group")


def test_a_number_that_is_none_is_null(tmp_path):
    write_json(tmp_path / "x.json", {"a": [float("nan"), 1.5, (float("inf"),)], "b": {"c": -float("inf")}})
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"a": [None, 1.5, [None]], "b": {"c": None}}


def test_a_digest_of_another_name_is_compared_in_place_of_its_field(tmp_path):
    digest_of = {"run.file_sha256": "env.path"}

    def config(path, digest):
        return {"env": {"path": path}, "run": {"file_sha256": digest}}

    create(tmp_path, config("a", "1"), digest_of=digest_of).close()
    (tmp_path / "run" / "metrics.jsonl").touch()
    create(tmp_path, config("b", "1"), digest_of=digest_of).close()
    for other, named in ((config("a", "2"), "run.file_sha256 = "), (config("b", ""), "env.path = ")):
        with pytest.raises(UserError, match=named):
            create(tmp_path, other, digest_of=digest_of)


def test_a_field_that_may_grow_has_a_finished_run_go_on(tmp_path):
    run = create(tmp_path, may_grow=("seed",))
    run.finish({"success": 0.5})
    run.close()
    asked = run.config_path.read_bytes()
    longer = create(tmp_path, CONFIG | {"seed": 5}, may_grow=("seed",))
    assert longer.grown == {"seed": 3} and longer.finished and run.config_path.read_bytes() == asked  # only looked at
    longer.go_on()
    assert not longer.finished
    assert json.loads((longer.folder / "summary_3.json").read_text()) == {"success": 0.5}
    longer.close()
    again = create(tmp_path, CONFIG | {"seed": 5}, may_grow=("seed",))
    assert not again.grown
    again.close()
    with pytest.raises(UserError, match="seed = 5, not 4; choose another --run_name, or raise it"):
        create(tmp_path, CONFIG | {"seed": 4}, may_grow=("seed",))
    with pytest.raises(UserError, match="seed = 5, not 9"):
        create(tmp_path, CONFIG | {"seed": 9})
