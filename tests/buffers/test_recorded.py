"""Data sets that others recorded: Minari's own collector and writer in, what our env would have shown out."""

import re

import gymnasium as gym
import numpy as np
import pytest

from buffers.dataset import dataset_digest
from buffers.episode_buffer import EpisodeBuffer
from buffers.recorded import located, open_episodes, read_episodes
from buffers.streamed import StreamedEpisodes
from configs.envs.third_party import get_config
from envs.make import make_env
from tests.helpers import strangers
from tests.helpers.recorded import SPACE, record
from utils.errors import UserError


def config_of(env_id="Odd-v0", **fields):
    config = get_config("any")
    fields = {"id": env_id, "obs_keys": "place,coin", "state_fn": ""} | {
        k.replace("__", "."): v for k, v in fields.items()
    }
    config.update_from_flattened_dict(fields)
    return config


def spec_of(config):
    env = make_env(config)
    env.close()
    return env.spec_sizes


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    return tmp_path / "root"


def read(config, name="odd/coins-v0"):
    return read_episodes(name, config, spec_of(config))


@pytest.mark.parametrize("by_id", [True, False])
def test_odd_spaces_come_as_the_env_shows_them(root, by_id):
    played = record()
    config = config_of(data__state="infos/hidden/fact")
    stored = read(config, "odd/coins-v0" if by_id else root / "odd" / "coins-v0")
    assert (len(stored), stored.length.tolist(), stored.has_states) == (3, [4, 4, 4], True)
    for number, one in enumerate(played):
        episode = stored.episode(number)
        coin = np.eye(3)[one["observations"]["coin"] - 1]
        seen = np.concatenate([one["observations"]["place"], coin], axis=1).astype(np.float32)
        np.testing.assert_array_equal(episode.obs, seen)
        np.testing.assert_array_equal(episode.state, one["infos"]["hidden"]["fact"])
        np.testing.assert_array_equal(episode.action, one["actions"] - 5)
        np.testing.assert_array_equal(episode.reward, one["rewards"])
        assert episode.discount.tolist() == [1, 1, 1, 0]
        assert episode.success is True
    assert episode.obs.dtype == episode.reward.dtype == np.float32
    assert stored.metadata["sha256"] == dataset_digest(located("odd/coins-v0")) is not None


def test_parts_of_a_dict_come_in_the_order_of_the_env():
    played = record()[0]["observations"]
    seen = read(config_of(obs_keys="", data__state="infos/hidden/fact")).episode(0).obs
    for row in range(5):
        flat = gym.spaces.flatten(SPACE, {key: values[row] for key, values in played.items()})
        np.testing.assert_array_equal(seen[row], flat.astype(np.float32))


def test_images_are_kept_as_bytes_and_shown_as_the_env_shows_them():
    played = record()
    config = config_of(obs_keys="picture", obs_image="hwc", data__state="infos/hidden/fact")
    stored = read(config)
    assert stored.obs.dtype == np.uint8
    row = stored.read("obs", np.array([1]))[0]
    np.testing.assert_allclose(row, played[0]["observations"]["picture"][1].ravel() / 255, atol=1e-6)


def test_continuous_actions_and_velocities_are_read_as_the_env_has_them():
    """Pendulum's torque in [-2, 2] becomes [-1, 1]; its velocity is hidden; the state is the observation."""
    played = record("pendulum-v0", "Pendulum-v1", episodes=1)[0]
    config = config_of("Pendulum-v1", obs_keys="", state_fn="observation", hidden="velocity")
    episode = read(config, "pendulum-v0").episode(0)
    np.testing.assert_allclose(episode.action, played["actions"] / 2, atol=1e-6)
    np.testing.assert_array_equal(episode.obs, played["observations"][:, :2])
    np.testing.assert_array_equal(episode.state, played["observations"])
    assert episode.discount.min() == 1.0  # the time limit is no ending
    assert episode.success is None  # Pendulum does not tell


def nan_at(number, one):
    if number == 1:
        one["observations"]["place"][3, 1] = np.nan


def late_info(number, one):
    one["infos"]["hidden"]["fact"] = one["infos"]["hidden"]["fact"][1:]


FACT = "infos/hidden/fact"
WRONG = [
    (
        {"data__state": "infos/fact"},
        None,
        "config_env.data.state=infos/fact: --data_path has none such; choose from infos/hidden, infos/success, coin, "
        "picture, place",
    ),
    ({"data__state": "place"}, None, None),
    (
        {"data__state": "coin"},
        None,
        "config_env.data.state=coin: 5 rows of 1 numbers to an episode of 4 steps; 5 of 2, the state of Odd-v0, are",
    ),
    ({"data__state": FACT}, late_info, f"config_env.data.state={FACT}: 4 rows of 2 numbers to an episode of 4 steps"),
    ({"data__state": "place"}, nan_at, "is damaged, or none of Minari's (obs is not finite in episode 1, row 3)"),
    (
        {"id": "Pendulum-v1", "obs_keys": "", "state_fn": "observation"},
        None,
        "--data_path: the dataset is of Odd-v0, but --config_env is of Pendulum-v1",
    ),
]


@pytest.mark.parametrize(("fields", "spoil", "message"), WRONG)
def test_what_does_not_fit_is_one_line(fields, spoil, message):
    record(spoil=spoil)
    config = config_of(**fields)
    if message is None:
        assert read(config).has_states
        return
    with pytest.raises(UserError, match=re.escape(message)) as told:
        read(config)
    assert "\n" not in str(told.value)


def test_spaces_that_differ_are_named():
    record(action_space=gym.spaces.Discrete(9))
    with pytest.raises(UserError, match=re.escape("--data_path: the actions of the dataset are Discrete(9), those of")):
        read(config_of())


@pytest.mark.parametrize("wrapped", [False, True])
def test_actions_that_a_wrapper_rescaled_are_no_actions_of_the_env_itself(wrapped):
    """The same number then is another torque; bounds that one side alone has say nothing."""
    fields = {"id": "Pendulum-v1", "obs_keys": "", "state_fn": "observation"}
    for name, most in (("rescaled-v0", 1.0), ("endless-v0", np.inf)):
        record(name, "Pendulum-v1", episodes=1, action_space=gym.spaces.Box(-most, most, (1,)), least=-1.0)
    wrappers = {"wrappers": "tests.helpers.recorded:Rescaled"} if wrapped else {}
    config = config_of(**fields, **wrappers)
    if wrapped:
        assert abs(read(config, "rescaled-v0").episode(0).action).max() <= 1
    else:
        with pytest.raises(
            UserError, match=r"^--data_path: the actions .* Box\(-1.0, 1.0.*wrapper; name it in config_env"
        ):
            read(config, "rescaled-v0")
        assert len(read(config, "endless-v0")) == 1


@pytest.mark.parametrize("horizon", [0, 250, 100])
@pytest.mark.parametrize("max_rows", [None, 450])
def test_the_time_limit_is_that_of_the_recording(horizon, max_rows):
    record("pendulum-v0", "Pendulum-v1", episodes=3)
    config = config_of("Pendulum-v1", obs_keys="", state_fn="observation", horizon=horizon)
    stored = open_episodes("pendulum-v0", config, spec_of(config), max_rows)
    if max_rows is None:
        buffer = EpisodeBuffer.of(stored, limit_is_terminal=True, spec=spec_of(config))
    else:
        buffer = StreamedEpisodes(stored, max_rows, 200, 0, limit_is_terminal=True)
    batch = buffer.episodes(np.arange(1))
    assert batch.discount[:-1].min() == 1 and batch.discount[-1].max() == 0 and len(batch.discount) == 200


@pytest.mark.parametrize("text", ["{", "{}"])
def test_metadata_that_are_none_are_one_line(root, text):
    record()
    (root / "odd/coins-v0/data/metadata.json").write_text(text)
    with pytest.raises(UserError, match=r"^--data_path: the dataset at .* is damaged"):
        read(config_of())


def test_a_name_that_is_nothing_is_one_line(root):
    with pytest.raises(UserError, match=r"^--data_path: no dataset at odd/none-v0"):
        read(config_of(), "odd/none-v0")
    assert not root.exists()  # which Minari would make


def test_beside_an_env_of_which_there_may_be_one_no_other_is_made_to_read_by(monkeypatch):
    record()
    spec = spec_of(config_of())
    monkeypatch.setattr(strangers.Robot, "taken", True)
    config = config_of("Robot-v0", module="tests.helpers.strangers", one_instance=True, obs_keys="")
    with pytest.raises(UserError, match=r"^--data_path: .* config_env\.one_instance allows none .*the robot is taken"):
        read_episodes("odd/coins-v0", config, spec)
