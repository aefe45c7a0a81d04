"""A finished policy in the part of a domain's expert: its own episodes, of what it observes."""

from ml_collections import ConfigDict

from envs.base import EnvSpec
from policies.acting.embedded_envs import seen_in_place_of_observations
from policies.acting.evaluate import GreedyPolicy
from policies.deployed.files import load_policy, policy_digest
from utils.config import warn_of_another_task
from utils.device import prepare_cpu
from utils.errors import UserError


def expert_policy(
    folder: str | None, spec: EnvSpec, config_env: ConfigDict, guess_share: float
) -> tuple[GreedyPolicy | None, str | None]:
    """The policy of --expert_policy_dir and the digest of its files; None where it was not given.

    Raises:
        UserError: there is none that acts on the domain's observations, or it is asked to guess.
    """
    if folder is None:
        return None, None
    if guess_share:
        raise UserError("--guess_share: a policy does not guess; leave out this flag or --expert_policy_dir")
    prepare_cpu(1)
    policy, about = load_policy(folder, spec, flag="--expert_policy_dir")
    row = about["config"]["rl"]
    if row.get("observe"):
        name = f"{row['family']}:{row['variant']}"
        what = seen_in_place_of_observations(row["observe"])
        raise UserError(f"--expert_policy_dir: {name} acts on {what}; give one that acts on observations")
    warn_of_another_task("--expert_policy_dir", about["config"].get("env", {}), config_env)
    return GreedyPolicy(policy), policy_digest(folder)
