"""The configs and flags of a run as one: what the command line, the domain and the files say, merged and checked."""

import warnings
from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from envs.make import horizon_of
from policies.build import FAMILIES
from policies.training.experience import kind_for
from utils.config import check_numbers
from utils.errors import UserError, choose
from utils.merging import apply_domain, apply_domain_memory
from utils.reads import check_reads

FLAGS = {"teacher": "expert_policy_dir"}  # of fields that have another name


def resolve(
    config_env: ConfigDict,
    config_rl: ConfigDict,
    config_seq: ConfigDict,
    config_repr: ConfigDict | None,
    overridden: set[str],
    flags: Mapping[str, Any],
    overridden_seq: Collection[str] = (),
    eval_episodes: int | None = None,
    given: Collection[str] = (),
) -> ConfigDict:
    """All configs as one; settings of method and memory come from their files, the domain, then the command line.

    Args:
        overridden, overridden_seq: fields of `config_rl` and `config_seq` that the command line set.
        flags: fields of `config_rl` that have a flag of their own; None where it was not given.
        eval_episodes: that of `config_env.eval`, where it was given.
        given: all flags of the command line, of which those are warned of that the experience has no use for.

    Raises:
        UserError: there is no such family, or a field that it reads is missing or out of range.
    """
    for name in config_env.get("rl", {}):
        choose(FAMILIES, name.partition(":")[0], f"--config_env: rl of {config_env.id}")
    apply_domain(config_rl, config_env, config_rl.family, overridden, variant=config_rl.variant)
    apply_domain_memory(config_seq, config_env, overridden_seq)
    for field, value in flags.items():
        if value is not None and field not in config_rl:
            flag = FLAGS.get(field, field)
            raise UserError(f"--{flag}: not for {config_rl.family}, whose config has no such field; leave it out")
        if value is not None:
            config_rl[field] = value
    family = choose(FAMILIES, config_rl.family, "--config_rl.family", "policies/build.py")
    experience = kind_for(family, config_rl)
    for reader in (family, experience):
        check_reads(reader, config_rl, "--config_rl")
    for flag in experience.ignores:
        if flag in given:
            text = f"--{flag} is not used by {config_rl.family}:{config_rl.variant}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
    check_numbers("env", config_env, ("eval.episodes", "eval.interval"))
    with config_env.unlocked():
        config_env.horizon = horizon_of(config_env)
        if eval_episodes is not None:
            config_env.eval.episodes = eval_episodes
    return ConfigDict({"env": config_env, "rl": config_rl, "seq": config_seq, "repr": config_repr})
