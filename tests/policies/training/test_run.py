"""What a run of stage 3 says before it begins."""

import json
import warnings
from types import SimpleNamespace

from policies.training.run import warn_of_encoders
from tests.helpers.agents import make_config
from tests.helpers.configs import config_named
from utils.config import to_dict


def test_encoders_of_another_task_or_of_a_training_that_has_not_ended_are_told(tmp_path):
    config = make_config("mi")
    with config.unlocked():
        config.env = config_named("envs", "heaven_hell")
    paths = {"state_embedder": str(tmp_path), "obs_embedder": str(tmp_path / "o_encoder.json")}
    settings = SimpleNamespace(**paths)

    def told(finished, **fields):
        about = {"config": {"env": to_dict(config.env) | fields, "repr": {}}}
        (tmp_path / "config.json").write_text(json.dumps(about))
        if finished:
            (tmp_path / "summary.json").write_text("{}")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn_of_encoders(config, settings)
        return [str(one.message) for one in caught]

    both = "--state_embedder_dir and --obs_embedder_dir"
    (half,) = told(False, horizon=7)  # a horizon is nothing that an encoder sees
    assert half.startswith(f"{both}: stage 2 in {tmp_path} has not come to its end")
    (other,) = told(True, state_fn="a:b")
    assert other.startswith(f"{both} is of HeavenHell-v0 with state_fn = a:b, not")
    assert not told(True)
    (tmp_path / "config.json").unlink()  # published encoders have none
    assert not warn_of_encoders(config, settings)
