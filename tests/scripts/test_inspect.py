"""scripts/inspect_episode.py as a user calls it; its numbers against the networks' equations written out in NumPy."""

import base64
import io
import json
import re
import shutil
import subprocess

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from safetensors.numpy import load_file

from policies.models.on_disk import save_encoder
from tests.helpers.scripts import ROOT, assert_refused
from torchkit.networks import Encoder, EncoderConfig
from utils.checkpoint import load_checkpoint

TINY = (
    "--train_episodes=3", "--num_envs=4", "--batch_size=3", "--start_training=2", "--eval_episodes=2",
    "--updates_per_step=0.1", "--config_env.horizon=20", "--config_env.eval.interval=20", "--film_episodes=0",
    "--config_rl.head_dims=(8,)", "--cuda=-1",
)  # fmt: skip
# what so short a training predicts is never nearer than nothing is, for which `best` pays nothing
COMMON = "--config_rl.intrinsic.information_gain.bonus_target=common"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def train(scripts, folder, env, *flags):
    done = scripts.run("main.py", f"--config_env=configs/envs/{env}.py", *flags, *TINY, f"--save_dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder / "default"


@pytest.fixture(scope="module")
def embedders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedders")
    torch.manual_seed(0)
    for name in ("s_encoder", "o_encoder"):
        save_encoder(folder, name, Encoder(EncoderConfig(3, 6, (9,))), {"env_id": "HeavenHell-v0"})
    return folder


@pytest.fixture(scope="module")
def mi(scripts, embedders, tmp_path_factory):
    flags = ("--config_rl=configs/rl/dqn.py:mi", COMMON, f"--state_embedder_dir={embedders}", "--run_name=mi")
    return (
        train(scripts, tmp_path_factory.mktemp("mi"), "heaven_hell", *flags, f"--obs_embedder_dir={embedders}") / "mi"
    )


def page_of(folder):
    text = (folder / "episodes.html").read_text()
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//|@import|fetch\(|XMLHttpRequest", text)  # no network
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


@pytest.fixture(scope="module")
def page(scripts, mi):
    done = scripts.run("scripts/inspect_episode.py", mi, "--episodes", "2", "--gif")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return page_of(mi / "inspect")


def linear(tensors, name, x):
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def histories(p, obs, action):
    """The GRU of the policy's history, by its equations."""
    h, rows = np.zeros(p["memory.net.weight_hh_l0"].shape[1]), []
    before = np.vstack([np.zeros(4), np.eye(4)[action]])
    for o, a in zip(obs, before, strict=True):
        x = np.concatenate([relu(linear(p, "action_embedder.0", a)), relu(linear(p, "obs_embedder.0", o))])
        i = p["memory.net.weight_ih_l0"] @ x + p["memory.net.bias_ih_l0"]
        r = p["memory.net.weight_hh_l0"] @ h + p["memory.net.bias_hh_l0"]
        size = len(h)
        reset, update = sigmoid(i[:size] + r[:size]), sigmoid(i[size : 2 * size] + r[size : 2 * size])
        new = np.tanh(i[2 * size :] + reset * r[2 * size :])
        h = (1 - update) * new + update * h
        rows.append(h)
    return np.stack(rows)


def part(tensors, prefix):
    return {k.removeprefix(prefix): np.asarray(v, np.float64) for k, v in tensors.items() if k.startswith(prefix)}


def squared_error(prediction, target):
    return np.square(prediction - target).sum(-1)


def test_the_numbers_are_those_of_the_networks_written_out(page, mi, embedders):
    policy = load_file(mi / "policy" / "policy.safetensors")
    saved = {k: v.numpy() for k, v in load_checkpoint(mi / "checkpoint")["agent"]["modules"].items()}
    predictor = part(saved, "parts.auxiliary.state_prediction.net.")
    unit = part(saved, "parts.auxiliary.state_prediction.unit.")
    phi = part(load_file(embedders / "s_encoder.safetensors"), "")
    psi, head = part(policy, "public.shortcuts.z_obs."), part(policy, "head.net.")
    for e in page["episodes"]:
        obs, state, action = np.array(e["obs"]), np.array(e["state"]), np.array(e["action"])
        h = histories(part(policy, "public.folds.history."), obs, action)
        z_obs = linear(psi, "rest.0", relu(linear(psi, "first.0", obs)))
        q = linear(head, "2", relu(linear(head, "0", np.concatenate([h, z_obs], axis=1))))
        np.testing.assert_allclose(e["outputs"]["Q"], q[:-1], atol=1e-5)
        np.testing.assert_array_equal(action, q[:-1].argmax(axis=1))
        online = histories(
            part(saved, "online.policy.public.folds.history."), obs, action
        )  # what learns, not its average
        predicted = linear(predictor, "4", relu(linear(predictor, "2", relu(linear(predictor, "0", online)))))
        z_state = (linear(phi, "rest.0", relu(linear(phi, "first.0", state))) - unit["centre_Z"]) / unit["scale_Z"]
        error = squared_error(predicted, z_state)
        np.testing.assert_allclose(e["losses"]["state_prediction"], error, rtol=1e-4, atol=1e-4)
        gain = squared_error(predicted[:-1], z_state[1:]) - error[1:]  # common z_t, at weight 1
        np.testing.assert_allclose(e["bonuses"]["information_gain"], gain, rtol=1e-3, atol=1e-3)
        assert np.abs(gain).max() > 1e-4


def test_an_annealed_bonus_is_shown_in_full_and_said_to_be(scripts, page, embedders, tmp_path):
    flags = ("--config_rl=configs/rl/dqn.py:mi", f"--state_embedder_dir={embedders}", "--run_name=half")
    half = ("--config_rl.intrinsic.anneal_steps=160", f"--obs_embedder_dir={embedders}", COMMON)
    run = train(scripts, tmp_path, "heaven_hell", *flags, *half) / "half"
    assert scripts.run("scripts/inspect_episode.py", run, "--episodes=1").returncode == 0
    left = 1 - load_checkpoint(run / "checkpoint")["agent"]["env_steps"] / 160
    told = page_of(run / "inspect")
    assert f"{left:.0%} is paid by now" in told["notes"]["share"]
    assert max(map(abs, told["episodes"][0]["bonuses"]["information_gain"])) > 1e-4


def test_the_page_tells_one_episode_whole(page, mi):
    assert (page["env"], page["method"], page["notes"]) == ("HeavenHell-v0", "dqn:mi, gru", {})
    for e in page["episodes"]:
        steps = len(e["reward"])
        for name in ("obs", "state", "saw", "frames", "belief", "entropy"):
            assert len(e[name]) == steps + 1, name
        for frame in e["frames"]:
            assert iio.imread(io.BytesIO(base64.b64decode(frame))).shape == (160, 224, 3)
        side = np.array(e["state"])[:, 2]
        known = np.array(e["obs"])[:, 2] != 0
        np.testing.assert_array_equal(e["saw"], np.cumsum(known) > 0)
        expected = np.where(np.array(e["saw"])[:, None], np.eye(2)[(side > 0).astype(int)], 0.5)
        np.testing.assert_array_equal(e["belief"], expected)
        np.testing.assert_allclose(e["entropy"], np.where(e["saw"], 0, np.log(2)), atol=1e-7)
        assert e["return"] == sum(e["reward"])
    with Image.open(mi / "inspect" / "episodes.gif") as film:  # pictures that do not change are kept as one, longer
        shown = sum(frame.info["duration"] for frame in ImageSequence.Iterator(film))
    assert shown == pytest.approx(sum(len(e["frames"]) + 5 for e in page["episodes"]) * 1000 / 6, rel=0.05)


@pytest.mark.skipif(BROWSER is None, reason="no browser on this machine")
def test_a_browser_shows_it(page, mi):
    url = (mi / "inspect" / "episodes.html").as_uri() + "#2.3"
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--dump-dom")
    shown = subprocess.run([BROWSER, *options, url], capture_output=True, text=True, timeout=120).stdout
    e = page["episodes"][1]
    assert f"step 3 of {len(e['reward'])}" in shown
    assert e["story"][0] in shown
    assert shown.count("<svg") == 4  # paid, loss, entropy, values
    assert shown.count("<td>action ") == 4
    assert e["frames"][3] in shown


@pytest.mark.skipif(BROWSER is None, reason="no browser on this machine")
@pytest.mark.parametrize(("numbers", "maps"), [(12, 0), (13, 1)])
def test_more_numbers_than_can_be_read_are_a_heat_map_over_the_episode(numbers, maps, tmp_path):
    steps = 4
    episode = {
        "success": True, "return": 1.0, "story": [], "frames": [], "decision": "values", "facts": [],
        "obs": [[(-1) ** i * t / steps for i in range(numbers)] for t in range(steps + 1)],
        "state": [[0.5]] * (steps + 1), "saw": [False] * (steps + 1), "action": [0] * steps, "reward": [0.0] * steps,
        "bonuses": {}, "losses": {}, "outputs": {"Q": [[0.0, 1.0]] * (steps + 1)}, "belief": [], "entropy": [],
    }  # fmt: skip
    data = {
        "env": "Long-v0", "method": "m", "discrete": True, "obs_image_shape": None, "state_image_shape": None,
        "notes": {"picture": "none", "belief": "none"}, "state_features": ["x"], "episodes": [episode],
    }  # fmt: skip
    ask = """<script>
const made = document.querySelectorAll("canvas.heat"), said = [];
if (made.length) {
  const box = made[0].getBoundingClientRect(), pen = made[0].getContext("2d");
  const at = (t, i) => [box.width * (t + 0.5) / 5, box.height * (i + 0.5) / 13].map(Math.round);
  for (const [t, i] of [[0, 0], [4, 0], [4, 1]]) {
    const [x, y] = at(t, i), event = { clientX: box.left + x, clientY: box.top + y };
    made[0].dispatchEvent(new MouseEvent("mousemove", event));
    said.push([made[0].nextSibling.textContent, [...pen.getImageData(x, y, 1, 1).data].slice(0, 3)]);
  }
  made[0].dispatchEvent(new MouseEvent("click", { clientX: box.right - 2, clientY: box.top + 2 }));
}
const result = document.createElement("pre");
result.id = "result";
result.textContent = JSON.stringify([made.length, said, document.getElementById("where").textContent]);
document.body.append(result);
</script></body>"""
    path = tmp_path / "episodes.html"
    template = (ROOT / "scripts/inspect_page.html").read_text()
    path.write_text(template.replace("{{DATA}}", json.dumps(data)).replace("</body>", ask))
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom")
    shown = subprocess.run([BROWSER, *options, path.as_uri()], capture_output=True, text=True, timeout=120).stdout
    count, said, where = json.loads(re.search('<pre id="result">(.*?)</pre>', shown, re.S)[1])
    assert count == maps
    if maps:
        assert said == [
            ["step 0, 0: 0", [255, 255, 255]],
            ["step 4, 0: 1", [213, 94, 0]],
            ["step 4, 1: -1", [0, 114, 178]],
        ]
        assert where == "step 4 of 4"


def test_images_continuous_actions_and_what_is_missing(scripts, tmp_path):
    run = train(scripts, tmp_path, "car_flag_2d", "--run_name=image") / "image"
    done = scripts.run("scripts/inspect_episode.py", run / "policy_best", "--episodes=1", f"--out={tmp_path / 'a'}")
    assert done.returncode == 0, done.stderr
    page = page_of(tmp_path / "a")
    assert page["obs_image_shape"] == [2, 11, 11]
    assert "neither a predictor nor a bonus" in page["notes"]["bonus"]
    assert len(page["episodes"][0]["facts"]) == 112
    run = train(scripts, tmp_path, "masked", "--config_rl=configs/rl/sac.py:zp", "--run_name=torque") / "torque"
    shutil.rmtree(run / "checkpoint")
    done = scripts.run("scripts/inspect_episode.py", run, "--episodes=1")
    assert done.returncode == 0, done.stderr
    assert "warning: no predictor and no bonus" in done.stderr
    page = page_of(run / "inspect")
    assert "there is no checkpoint in" in page["notes"]["bonus"]
    assert "does not tell its belief" in page["notes"]["belief"]
    e = page["episodes"][0]
    np.testing.assert_allclose(e["action"], e["outputs"]["mean"], atol=1e-6)
    assert e["belief"] == []


def test_a_policy_without_a_run_is_inspected_in_its_own_folder(scripts, mi, tmp_path):
    beside = tmp_path / "policies"
    shutil.copytree(mi / "policy", beside / "published")
    shutil.copyfile(mi / "config.json", beside / "config.json")  # of somebody else
    done = scripts.run("scripts/inspect_episode.py", beside / "published", "--episodes=1")
    assert done.returncode == 0, done.stderr
    assert "no predictor and no bonus on the page" in done.stderr
    assert (beside / "published/inspect/episodes.html").exists() and not (beside / "inspect").exists()
    shutil.copytree(mi, tmp_path / "run")
    done = scripts.run("scripts/inspect_episode.py", tmp_path / "run/policy", "--episodes=1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/inspect/episodes.html").exists()


def test_an_embedder_that_has_gone_is_named(scripts, mi, embedders, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(mi, run)
    about = json.loads((run / "policy" / "policy.json").read_text())
    about["settings"] |= {"state_embedder": "gone", "obs_embedder": "gone"}
    (run / "policy" / "policy.json").write_text(json.dumps(about))
    done = scripts.run("scripts/inspect_episode.py", run, "--episodes=1")
    assert done.returncode == 0, done.stderr
    assert "_embedder_dir: no gone" in page_of(run / "inspect")["notes"]["bonus"]
    given = (f"--state_embedder_dir={embedders}", f"--obs_embedder_dir={embedders}")
    done = scripts.run("scripts/inspect_episode.py", run, "--episodes=1", *given)
    whole = page_of(run / "inspect")
    assert "bonus" not in whole["notes"], done.stderr
    del about["config"]["rl"]["intrinsic"]["anneal_steps"]  # as of a version without it
    (run / "policy" / "policy.json").write_text(json.dumps(about))
    done = scripts.run("scripts/inspect_episode.py", run, "--episodes=1", *given)
    assert done.returncode == 0, done.stderr
    assert page_of(run / "inspect") == whole


def test_what_cannot_be_inspected_is_one_line(scripts, mi, tmp_path):
    def inspect(*flags):
        return scripts.run("scripts/inspect_episode.py", *flags)

    assert_refused(inspect(), "--run is required")
    assert_refused(inspect(tmp_path), "--run: no policy in")
    assert_refused(inspect(mi, "--episodes=0"), "episodes")
    assert_refused(inspect(mi, "--episode=1"), "--episode", "episodes")
    (tmp_path / "file").touch()
    assert_refused(inspect(mi, f"--out={tmp_path / 'file'}"), "--out", "is a file; name a folder")
