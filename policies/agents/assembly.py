"""How a family puts its networks together: the head that acts, where critics look, extensions, and what cannot be."""

from ml_collections import ConfigDict

from policies.auxiliary import AUXILIARY
from policies.extensions import AuxiliaryLoss, Extension, Extensions, IntrinsicReward
from policies.intrinsic import INTRINSIC
from policies.models.heads import Head
from policies.models.sources import Sources
from policies.models.trunk import PRIVILEGED, PUBLIC, Trunk
from policies.models.views import PrivilegedViews
from utils.errors import UserError, check_written, choose, choose_name
from utils.reads import check_reads


def policy_head(trunk: Trunk) -> Head:
    """The head that acts."""
    inputs = trunk.config.rl.policy_inputs
    check_inputs(inputs, PUBLIC, "--config_rl.policy_inputs")
    actions = trunk.actions
    return trunk.head(inputs, actions.out_dim(trunk.spec.action_dim), out_bound=actions.first_bound)


def shares_memory(rl: ConfigDict) -> bool:
    """Whether critics read the policy's memory."""
    return choose_name(("shared", "separate"), rl.critic_memory, "--config_rl.critic_memory") == "shared"


def critic_trunk(policy_trunk: Trunk) -> Trunk:
    """Where critic heads take their views from: the policy's trunk, or one of their own."""
    rl = policy_trunk.config.rl
    check_inputs(rl.critic_inputs, (*PUBLIC, *PRIVILEGED), "--config_rl.critic_inputs")
    return policy_trunk if shares_memory(rl) else Trunk(policy_trunk.sources, policy_trunk.actions)


def make_extensions(trunk: Trunk, losses: tuple[str, ...], bonuses: tuple[str, ...], actor: bool = False) -> Extensions:
    """The named auxiliary losses and intrinsic rewards; what they need of each other is there by then.

    Raises:
        UserError: there is no such extension, or it is the actor's and these are not.
    """
    trunk.auxiliary = auxiliary = dict[str, AuxiliaryLoss]()
    flag = f"--config_rl.auxiliary.{'use_actor' if actor else 'use'}"
    for name in losses:
        loss = choose(AUXILIARY, name, flag, "policies/auxiliary/__init__.py")
        if loss.of_actor and not actor:
            raise UserError(f"{flag}: {name} is a loss of an actor; name it in auxiliary.use_actor of sac")
        check_written(loss, AuxiliaryLoss, "loss")
        auxiliary[name] = loss.build(trunk, settings_of(trunk, loss, "auxiliary", name, flag))
    intrinsic = dict[str, IntrinsicReward]()
    for name in bonuses:
        bonus = choose(INTRINSIC, name, "--config_rl.intrinsic.use", "policies/intrinsic/__init__.py")
        check_written(bonus, IntrinsicReward, "reward")
        settings = settings_of(trunk, bonus, "intrinsic", name, "--config_rl.intrinsic.use")
        intrinsic[name] = bonus.build(trunk, settings)
        intrinsic[name].weight = settings.weight
    return Extensions(auxiliary, intrinsic)


def settings_of(trunk: Trunk, reader: type[Extension], kind: str, name: str, flag: str) -> ConfigDict:
    """The config row of an auxiliary loss or intrinsic reward; `flag` is what named it, for errors.

    Raises:
        UserError: there is none, or a field that the class `reads` is missing or out of range.
    """
    settings = trunk.config.rl[kind].get(name)
    if settings is None:
        where = f"configs/rl/_shared.py or configs/rl/{trunk.config.rl.family}.py"
        raise UserError(f"{flag}: {name} has no settings; give the config a row {kind}.{name} in {where}")
    check_reads(reader, settings, f"--config_rl.{kind}.{name}")
    return settings


def check_folds(trunk: Trunk, losses: tuple[str, ...], field: str) -> None:
    """Refuses a fold that no loss trains, where it learns by one alone."""
    for view, fold in trunk.folds.items():
        if fold.trained_by is not None and fold.trained_by not in losses:
            raise UserError(
                f"--config_rl.auxiliary.{field}: the {view} learns by {fold.trained_by} alone; name it there "
                f"(auxiliary.{fold.trained_by}.weight=0 leaves the {view} as it is)"
            )


def frozen_views(sources: Sources) -> PrivilegedViews:
    """The frozen views of the state that were asked for."""
    return PrivilegedViews({}, sources.frozen)


def check_inputs(inputs: tuple[str, ...], known: tuple[str, ...], flag: str) -> None:
    """Refuses an empty tuple of views, a view twice, and views that the head may not, or cannot, see."""
    if not inputs or isinstance(inputs, str):
        raise UserError(f"{flag}: a tuple of views is needed, out of {', '.join(known)}")
    if len(set(inputs)) < len(inputs):
        raise UserError(f"{flag}={inputs}: each view once")
    for name in inputs:
        if name in PRIVILEGED and known is PUBLIC:
            raise UserError(
                f"{flag}: {name!r} is privileged, the policy will not have it; choose from {', '.join(known)}"
            )
        choose_name(known, name, flag)
