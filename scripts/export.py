"""Writes the acting policy of a run as a stateful step that runs without this program, and a json that describes it.

(observation, previous action, start, carry) -> (action, output of the network, carry), for any number of envs at once.
There is no input for the state. Before the file is there it has been held against the policy, step by step, over random
episodes of the domain. docs/deploy.md shows how to run it with onnxruntime and numpy alone.

Example: python scripts/export.py logs/default/mi --format=onnx
"""

import json
import sys
from pathlib import Path

from absl import flags

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from policies.deployed.flags import define_domain, define_run, folder_of, run_of
from utils.app import define_seed, run
from utils.errors import UserError
from utils.files import atomic_path, write_json
from utils.run import git_revision

_ENV, _TRUST = define_domain()
_RUN = define_run()
_FORMAT = flags.DEFINE_string("format", "onnx", "onnx, or torchscript")
_OUT = flags.DEFINE_string("out", None, "the file; policy.onnx or policy.pt in --run if not given")
_EPISODES = flags.DEFINE_integer("episodes", 100, "random episodes to compare over", lower_bound=1)
_SEED = define_seed(0, "of these episodes")

FORMAT = 1


def main() -> None:
    """Loads the policy, writes the file, compares, describes."""
    from envs.make import actions_of, maker
    from policies.deployed import export
    from policies.deployed.files import check_deployable, check_fits, load_policy
    from policies.deployed.trust import config_of
    from utils.errors import choose

    suffix = choose(export.FORMATS, _FORMAT.value, "--format")[0]
    folder = folder_of(_RUN)
    policy, about = load_policy(str(folder), flag="--run")
    check_deployable(about, "--run")
    config = config_of(about, _ENV.value, _TRUST.value, "--run")
    if config.rl.observe:
        raise UserError(
            f"--run: {config.rl.family}:{config.rl.variant} acts on embeddings that are made outside of it "
            f"(config_rl.observe = {config.rl.observe}); there is nothing to deploy"
        )
    file = Path(_OUT.value).expanduser() if _OUT.value else folder / f"policy{suffix}"
    if not file.parent.is_dir():
        raise UserError(f"--out: there is no folder {file.parent}")
    if file.is_dir():
        raise UserError(f"--out: {file} is a folder; name a file in it")
    action = actions_of(config.env).to_json()  # asked of an env that is gone when the next one is made
    envs = maker(config.env)(min(10, _EPISODES.value), seed=_SEED.value)
    spec = envs.spec_sizes
    check_fits(about, spec, "--run")
    signature = export.signature_of(policy, spec, policy.actions.output)
    description = {
        "format": FORMAT,
        "file": file.name,
        **signature.to_json(),
        "longest_episode": export.context_of(policy),
        "action": action,
        "domain": export.domain_of(config.env),
        **export.image_of(spec),
        "method": f"{config.rl.family}:{config.rl.variant}",
        "memory": config.seq.memory,
        "git_revision": git_revision(),
        "trained_by_git_revision": trained_by(folder),
    }
    with atomic_path(file) as draft, atomic_path(f"{file}.json") as described:  # both or neither
        exported = export.write(policy, signature, _FORMAT.value, draft)
        found = export.check(policy, exported, signature, envs, _EPISODES.value, _SEED.value)
        checked = {
            "episodes": _EPISODES.value,
            "steps": found.steps,
            "largest_difference": found.largest,
            "precision": found.precision,
        }
        write_json(described, description | {"checked": checked})
    envs.close()
    names = ", ".join(port.name for port in signature.inputs)
    print(f"{file}: ({names}) -> ({', '.join(port.name for port in signature.outputs)})")
    exactly = ", in double precision," if found.precision == "double" else ""
    print(
        f"equal to the policy{exactly} within {found.largest:.1e} over {found.steps} steps of {_EPISODES.value} random "
        "episodes"
    )
    if description["longest_episode"] is not None:
        print(f"{config.seq.memory} remembers at most {description['longest_episode']} steps of an episode")


def trained_by(folder: Path) -> str | None:
    """The git revision that a run's config.json names, if it is there.

    Raises:
        UserError: the file is damaged.
    """
    path = run_of(folder) / "config.json"
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"--run: {path} is damaged: it is not JSON, or only half of it") from error
    return str(config["git_revision"]) if isinstance(config, dict) and "git_revision" in config else None


if __name__ == "__main__":
    run(main, positional="run")
