"""What a signal tells of the return beyond the history: by hand, and on the synthetic POMDP of the paper."""

import json
from dataclasses import replace

import numpy as np
import pytest

from policies.probing.signals import (
    Effort,
    Steps,
    cross_fitted,
    dependence,
    gained,
    history_code,
    kernel_features,
    median_far,
    ranked,
    returns_to_go,
)
from scripts.reporting import signals as synthetic
from tests.helpers.scripts import assert_refused

EPISODE_M = np.repeat(np.arange(60), 5)


def test_returns_and_codes_by_hand():
    np.testing.assert_allclose(returns_to_go(np.array([1.0, 0.0, 4.0]), 0.5), [2.0, 2.0, 4.0])
    obs_TO, action_TA = np.arange(1.0, 7.0)[:, None], np.eye(2)[[0, 1, 1, 0, 0, 1]]
    code_TC = history_code(obs_TO, action_TA)
    assert code_TC.shape == (6, 3 * 4 + 3 + 2)
    assert code_TC[0].tolist() == [1, 0, 0] + [0] * 12 + [1, 0]  # of what is before the start nothing
    assert code_TC[5].tolist() == [6, 1, 0, 5, 1, 0, 4, 0, 1, 3, 0, 1] + [1.5, 0.5, 0] + [0, 1]


def test_hsic_is_that_of_whole_kernels():
    rng = np.random.default_rng(0)
    x_MX = rng.normal(size=(120, 2))
    y_MY = np.sin(x_MX[:, :1]) + 0.1 * rng.normal(size=(120, 1))

    def kernel(value, wide):
        return np.exp(-np.square(value[:, None] - value[None]).sum(-1) / (2 * wide))

    centre = np.eye(120) - 1 / 120
    k, m = (centre @ kernel(value, 2.0) @ centre for value in (x_MX, y_MY))
    exact = np.trace(k @ m) / 120**2
    found, share, p = dependence(x_MX, y_MY, (2.0, 2.0), np.arange(120), Effort(permutations=99))
    assert found == pytest.approx(exact, rel=0.02)  # all rows are landmarks
    assert share == pytest.approx(exact / np.sqrt(np.trace(k @ k) * np.trace(m @ m)) * 120**2, rel=0.02)
    assert p == 0.01
    features = kernel_features(x_MX, 2.0, np.random.default_rng(0))
    np.testing.assert_allclose(features @ features.T, k, atol=0.03)
    assert median_far(np.ones((9, 1)), 0) == 1.0


def test_what_whole_episodes_have_in_common_is_no_evidence():
    """Both sides are drawn once an episode: step by step exchanged they would seem to depend on each other."""
    rng = np.random.default_rng(4)
    ps = []
    for _ in range(20):
        x_E, y_E = rng.normal(size=(2, 60, 1))
        ps.append(dependence(x_E[EPISODE_M], y_E[EPISODE_M], (2.0, 2.0), EPISODE_M, Effort(permutations=39))[2])
    assert np.mean(np.array(ps) < 0.1) < 0.3
    assert dependence(x_E[EPISODE_M], 0 * y_E[EPISODE_M], (1.0, 1.0), EPISODE_M, Effort(permutations=9)) == (0, 0, 1)


def test_any_seed_is_taken():
    x_M1 = np.random.default_rng(0).normal(size=(len(EPISODE_M), 1))
    found = dependence(x_M1, x_M1, (1.0, 1.0), EPISODE_M, Effort(permutations=9, seed=2**63 - 1))
    steps = Steps(EPISODE_M, x_M1, x_M1[:, 0], {})
    told_M1 = cross_fitted(steps, x_M1, x_M1, Effort(trees=2, seed=2**63 - 1))
    assert found[2] == 0.1 and np.corrcoef(told_M1[:, 0], x_M1[:, 0])[0, 1] > 0.5


def test_a_gain_is_a_mean_over_episodes():
    fallen_M = np.array([1.0, 3.0, -1.0, 0.5])
    gain, p = gained(fallen_M, np.array([0, 0, 0, 1]), Effort(permutations=199))
    assert gain == pytest.approx((1.0 + 0.5) / 2)
    assert p == 1 / 200  # both episodes gain


def test_the_published_order_comes_out():
    found = ranked(synthetic.drawn(0, 80), synthetic.SIGNALS, Effort(trees=6, permutations=99))
    by_names = {one.names: one for one in found}
    seen, third, every, paid = (by_names[names] for names in synthetic.SIGNALS)
    assert seen.dependence < third.dependence < min(every.dependence, paid.dependence)
    assert seen.gain < third.gain < min(every.gain, paid.gain)
    assert max(paid.p_dependence, paid.p_gain) == 0.01 and min(seen.p_dependence, seen.p_gain) > 0.1
    assert found[0].gain == max(one.gain for one in found)


def test_nothing_hangs_on_the_unit_of_the_return():
    steps, effort = synthetic.drawn(0, 30), Effort(trees=2, permutations=19)
    told, in_other_units = (
        ranked(replace(steps, return_M=unit * steps.return_M), synthetic.SIGNALS[-1:], effort)[0] for unit in (1, 1024)
    )
    np.testing.assert_allclose(in_other_units[1:], told[1:], rtol=1e-6)


def test_nothing_hangs_on_the_unit_of_a_signal():
    steps, effort = synthetic.drawn(0, 30), Effort(trees=2, permutations=19)
    in_units = {unit: {name: unit * told for name, told in steps.signals.items()} for unit in (1, 1024)}
    told, in_other_units = (
        ranked(replace(steps, signals=signals), synthetic.SIGNALS[-1:], effort)[0] for signals in in_units.values()
    )
    np.testing.assert_allclose(in_other_units[1:], told[1:], rtol=1e-6)


def test_signals_are_in_units_of_their_own_spread():
    steps = Steps(
        EPISODE_M, np.zeros((300, 1)), np.zeros(300), {"a": np.arange(300.0)[:, None], "b": np.ones((300, 1))}
    )
    np.testing.assert_allclose(steps.signal(("a", "b")).std(axis=0), [1.0, 0.0])


def test_features_of_a_data_set_are_ranked(scripts, tmp_path):
    env = ("--config_env=configs/envs/heaven_hell_n.py:1", "--config_env.horizon=12")
    done = scripts.run(
        "main_collect_data.py", *env, "--episodes=60", "--random_episodes=60", f"--data_path={tmp_path / 'data'}"
    )
    assert done.returncode == 0, done.stderr
    flags = (*env, f"--data_path={tmp_path / 'data'}", "--trees=5", "--permutations=49", f"--out={tmp_path / 'out'}")
    done = scripts.run("scripts/signals.py", *flags)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "signals.json").read_text())["found"]
    assert sorted(tuple(one["names"]) for one in found) == [("cell",), ("heaven",), ("heaven", "cell")]
    assert (tmp_path / "out" / "signals.png").read_bytes().startswith(b"\x89PNG")
    assert "signal" in done.stdout and "heaven, cell" in done.stdout
    (tmp_path / "file").touch()
    for out in ("file", "file/below"):
        refused = scripts.run("scripts/signals.py", *flags, f"--out={tmp_path / out}")
        assert_refused(refused, f"--out: {tmp_path / 'file'} is a file; name a folder")
    assert_refused(scripts.run("scripts/signals.py", *flags, "--features=hell"), "--features", "hell", "heaven")
