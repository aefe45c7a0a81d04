"""Every script ends as `utils.app.run` promises: one line, the right exit code, no traceback."""

import os
import subprocess
import sys
import textwrap
import time
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
        config = ConfigDict({"discount": 0.9, "critic": {"inputs": ("history",), "lr": 1e-3}, "layers": 3, "on": True})
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


def test_help_is_quick_and_names_flags_and_defaults(script):
    begin = time.monotonic()
    done = script("--help")
    assert done.returncode == 0
    assert time.monotonic() - begin < 3
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
