"""The configs and flags of a run as one: what the command line, the domain and the files say, merged and checked."""

from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from policies.build import FAMILIES
from utils.config import check_numbers
from utils.errors import choose
from utils.merging import apply_domain, apply_domain_memory


def resolve(
    config_env: ConfigDict,
    config_rl: ConfigDict,
    config_seq: ConfigDict,
    config_repr: ConfigDict | None,
    overridden: set[str],
    flags: Mapping[str, Any],
    overridden_seq: Collection[str] = (),
) -> ConfigDict:
    """All configs as one; settings of method and memory come from their files, the domain, then the command line.

    Args:
        overridden, overridden_seq: fields of `config_rl` and `config_seq` that the command line set.
        flags: fields of `config_rl` that have a flag of their own; None where it was not given.
    """
    for name in config_env.get("rl", {}):
        choose(FAMILIES, name.partition(":")[0], f"--config_env: rl of {config_env.id}")
    apply_domain(config_rl, config_env, config_rl.family, overridden, variant=config_rl.variant)
    apply_domain_memory(config_seq, config_env, overridden_seq)
    for field, value in flags.items():
        if value is not None:
            config_rl[field] = value
    check_ranges(config_env, config_rl)
    return ConfigDict({"env": config_env, "rl": config_rl, "seq": config_seq, "repr": config_repr})


def check_ranges(config_env: ConfigDict, config_rl: ConfigDict) -> None:
    """Refuses numbers with which nothing can be learned.

    Raises:
        UserError: names the field.
    """
    positive = (
        "lr",
        "actor_lr",
        "critic_lr",
        "target_interval",
        "temperature.lr",
        "temperature.initial",
        "adam_eps",
        "max_grad_norm",
        "batch_size",
        "aux_batch_size",
        "replay_steps",
        "predictor_lr",
    )
    shares = ("discount", "return_lambda", "tau", "exploration.start", "exploration.end", "temperature.target_share")
    check_numbers("rl", config_rl, positive, shares, ("updates_per_step", "intrinsic.anneal_steps", "exploration.zeta"))
    check_numbers("env", config_env, ("eval.episodes", "eval.interval"))
