"""Every script ends as `utils.app.run` promises: one line, the right exit code, no traceback."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = '''
    """Shows what its flags say."""

    import sys

    from absl import flags

    from utils.app import run
    from utils.config import define_config_flag, override_values, to_dict

    METHOD = define_config_flag("config_rl", "method.py:plain", "the method")
    ENV = define_config_flag("config_env", None, "the domain", required="--config_env" in sys.argv[-1])
    WORDS = flags.DEFINE_list("words", [], "some")
    NUM = flags.DEFINE_integer("num_envs", 4, "how many", lower_bound=1)
    THEN = flags.DEFINE_string("then", "", "what to run in main")

    def main():
        from utils.errors import DivergenceError, UserError

        exec(THEN.value)
        print(to_dict(METHOD.value), override_values("config_rl"), NUM.value)

    run(main)
'''
METHOD = """
    from ml_collections import ConfigDict

    VARIANTS = {"plain": {}, "half": {"discount": 0.5}}

    def get_config(variant="plain"):
        critic = {"inputs": ("history",), "lr": 1e-3}
        config = ConfigDict({"family": "toy", "discount": 0.9, "critic": critic, "layers": 3, "on": True})
        config.update_from_flattened_dict(VARIANTS[variant])
        return config.lock()
"""

needs_full_device = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device that is always full")


@pytest.fixture
def script(tmp_path):
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "method.py").write_text(textwrap.dedent(METHOD))
    (tmp_path / "plain.py").write_text("discount = 1\n")
    (tmp_path / "broken.py").write_text("def get_config(:\n")
    (tmp_path / "memory.py").write_text("def get_config():\n    return {'memory': 'gru'}\n")
    for name, body in {"none": "pass", "number": "return 3", "raises": "return {}['x']", "leaves": "exit(1)"}.items():
        (tmp_path / f"{name}.py").write_text(f"def get_config():\n    {body}\n")
    (tmp_path / "late.py").write_text("import sys\n1 / 0\n")

    def call(*arguments, redirect=None):
        return subprocess.run(
            [sys.executable, "script.py", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=redirect or subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )

    return call


def test_help_imports_nothing_slow_and_names_flags_and_defaults(script, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # each module that is imported, on stderr
    done = script("--help")
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"absl", "utils"} <= imported and not {"torch", "numpy", "gymnasium", "policies"} & imported
    assert done.stdout.startswith("Shows what its flags say.")
    assert "--config_rl: the method (default: method.py:plain)" in done.stdout
    assert "--num_envs: how many (default: 4)" in done.stdout


def test_variant_overrides_and_tuples_are_taken(script):
    done = script(
        "--config_rl=method.py:half", "--config_rl.layers=5", "--noconfig_rl.on", "--config_rl.critic.inputs=('a','b')"
    )
    assert done.returncode == 0, done.stderr
    assert "'discount': 0.5" in done.stdout
    assert "{'layers': 5, 'on': False, 'critic.inputs': ('a', 'b')}" in done.stdout


def test_default_config_can_be_overridden(script):
    done = script("--config_rl.discount=0.7")
    assert done.returncode == 0, done.stderr
    assert "'discount': 0.7" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--config_rl.discont=0.9"], ["--config_rl", "'discont'", "did you mean 'discount'?"]),
        (["--config_rl.critic.rl=1"], ["'critic.rl'", "'critic.lr'"]),
        (["--config_rl=method.py:hlaf"], ["--config_rl=method.py:hlaf", "did you mean 'half'?", "half, plain"]),
        (["--config_rl=methood.py"], ["--config_rl", "'methood.py'", "did you mean 'method.py'?"]),
        (["--config_rl=broken.py"], ["--config_rl=broken.py", "line 1"]),
        (["--config_rl=plain.py"], ["--config_rl=plain.py", "get_config()"]),
        (["--config_rl.discount=much"], ["--config_rl.discount=much"]),
        (["--config_rl.layers=1.5"], ["--config_rl.layers=1.5"]),
        (["--config_rl"], ["--config_rl"]),
        (["--config_env.id=3"], ["give --config_env=FILE first"]),
        (["--num_env=3"], ["--num_env", "did you mean 'num_envs'?"]),
        (["--num_envs=0"], ["--num_envs=0"]),
        (["--num_envs=few"], ["--num_envs=few"]),
        (["--config_rl.layers=1", "--config_rl=method.py"], ["--config_rl.layers", "before"]),
        (["--then=--config_env"], ["--config_env is required"]),
        (["stray"], ["'stray'"]),
        (["--config_rl=memory.py"], ["--config_rl", "is a memory, for --config_seq", "it is not a method"]),
        (["--config_rl=none.py"], ["--config_rl=none.py", "gives NoneType, not a ConfigDict"]),
        (["--config_rl=number.py"], ["--config_rl=number.py", "gives int, not a ConfigDict"]),
        (["--config_rl=raises.py"], ["--config_rl=raises.py", "raises.py, line 2: KeyError: 'x'"]),
        (["--config_rl=leaves.py"], ["--config_rl=leaves.py", "line 2: SystemExit: 1"]),
        (["--config_rl=late.py"], ["--config_rl=late.py", "late.py, line 2: ZeroDivisionError"]),
        (["--config_rl.critic.inputs[0]=x"], ["--config_rl.critic.inputs[0]", "given as a whole"]),
        (["--config_rl.critic=3"], ["--config_rl.critic", "critic.inputs, critic.lr"]),
        (["--flagfile=nowhere"], ["--flagfile", "nowhere"]),
        (["--then=raise MemoryError('Unable to allocate 376. GiB')"], ["out of memory", "376", "replay_steps"]),
        (['--then=raise RuntimeError("can\'t allocate memory: you tried")'], ["out of memory", "--batch_size"]),
        (["--then=raise UserError('--flag: one\\nline')"], ["--flag: one line"]),
        (["--then=raise OSError(30, '', '/nowhere/x')"], ["/nowhere/x: Read-only file system"]),
        (["--then=open('method.py/x')"], ["method.py/x", "Not a directory"]),
        pytest.param(
            ["--then=open('/dev/full', 'w', buffering=1).write('x' * 99999)"],
            ["No space left on device"],
            marks=needs_full_device,
        ),
    ],
)
def test_mendable_input_is_one_line_and_code_2(script, arguments, parts):
    done = script(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    for part in parts:
        assert part in done.stderr


def test_a_flagfile_may_hold_a_config_and_its_fields(tmp_path, script):
    (tmp_path / "flags").write_text("--config_rl=method.py:half\n# a comment\n--config_rl.layers=7\n--num_envs=9\n")
    done = script("--flagfile=flags", "--config_rl.critic.lr=0.5")
    assert done.returncode == 0, done.stderr
    assert "'discount': 0.5" in done.stdout and "9" in done.stdout
    assert "{'layers': 7, 'critic.lr': 0.5}" in done.stdout


def test_a_list_that_is_given_twice_is_one_list(script):
    done = script("--words=a,b", "--words=c", "--then=print(WORDS.value)")
    assert done.returncode == 0, done.stderr
    assert "['a', 'b', 'c']" in done.stdout


@pytest.mark.parametrize(("signal", "code"), [("SIGTERM", 75), ("SIGUSR1", 75), ("SIGINT", 130)])
def test_a_stop_signal_to_what_does_not_listen_has_its_code(script, signal, code):
    done = script(f"--then=import os, signal; os.kill(os.getpid(), signal.{signal}); import time; time.sleep(30)")
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("raised", "code"), [("DivergenceError('loss is nan')", 3), ("KeyboardInterrupt", 130), ("SystemExit(7)", 7)]
)
def test_other_ends_have_their_own_codes(script, raised, code):
    done = script(f"--then=raise {raised}")
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_defect_keeps_its_traceback(script):
    done = script("--then=open('not there')")
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stderr


def test_an_error_of_the_users_own_code_is_shown_and_ends_with_the_field(script):
    raising = "with blaming('config_env.id', 'A-v0'): raise MemoryError('all of it\\nis gone')"
    done = script(f"--then=from utils.errors import blaming\n{raising}")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "replay_steps" not in done.stderr
    assert done.stderr.splitlines()[-1] == "error: config_env.id: A-v0 raised MemoryError: all of it"


def test_a_stop_signal_ends_code_of_others_with_its_code(script):
    stopped = "with blaming('a', 'b'): os.kill(os.getpid(), signal.SIGTERM)"
    done = script(f"--then=import os, signal\nfrom utils.errors import blaming\n{stopped}")
    assert done.returncode == 75, done.stderr
    assert done.stderr == "stopped by SIGTERM\n"


@needs_full_device
def test_full_disk_behind_stdout_is_one_line(script):
    with Path("/dev/full").open("w") as full:
        done = script(redirect=full)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_gone_is_no_error(tmp_path, script):
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"{sys.executable} script.py --then='print(9 * chr(10) * 99999)' | head -1; echo ${{PIPESTATUS[0]}}",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["141"]
    assert done.stderr == ""


def test_warnings_are_one_line(script):
    done = script("--then=import warnings; warnings.warn('careful')")
    assert done.returncode == 0
    assert done.stderr == "warning: careful\n"
