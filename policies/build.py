"""From configs to agents: the one place where a family's name becomes one."""

from collections.abc import Iterable

import torch

from policies.agents.a2c import A2C
from policies.agents.assembly import policy_head
from policies.agents.base import Agent
from policies.agents.distill import Distill
from policies.agents.dqn import DQN
from policies.agents.dreamer.dreamer import Dreamer
from policies.agents.offline import Offline
from policies.agents.sac import SAC
from policies.models.exact_belief import AlphaVectorHead
from policies.models.policy import HistoryPolicy
from policies.models.sources import Sources
from policies.models.trunk import Trunk
from torchkit.actions import Actions, ActionValues
from utils.errors import UserError, choose

SOLVED = "solved"  # what stands in place of a family's name where nothing was learned: see policies/deployed/solved.py
FAMILIES: dict[str, type[Agent]] = {
    "dqn": DQN,
    "sac": SAC,
    "a2c": A2C,
    "offline": Offline,
    "distill": Distill,
    "dreamer": Dreamer,
}


def build_agent(sources: Sources, seed: int, device: torch.device) -> Agent:
    """The agent of the family that `config.rl.family` names."""
    torch.manual_seed(seed)
    return family_of(sources).build(sources, actions_of(sources), seed, device)


def build_policy(sources: Sources, folds: Iterable[str] = (), shortcuts: Iterable[str] = ()) -> HistoryPolicy:
    """The acting part alone; `folds` and `shortcuts` are views that it has without its head's asking."""
    solved = sources.config.rl.family == SOLVED
    trunk = Trunk(sources, ActionValues() if solved else actions_of(sources))
    if solved:
        trunk.width("exact_belief")
        return HistoryPolicy(trunk.public(), AlphaVectorHead(sources.kept["exact_belief"]), trunk.actions)
    head = policy_head(trunk)
    for view in (*folds, *shortcuts):
        trunk.width(view)
    return HistoryPolicy(trunk.public(), head, trunk.actions)


def family_of(sources: Sources) -> type[Agent]:
    """That of `config.rl.family`."""
    return choose(FAMILIES, sources.config.rl.family, "--config_rl.family", "policies/build.py")


def actions_of(sources: Sources) -> Actions:
    """What the outputs of the policy's head mean.

    Raises:
        UserError: the family has no such actions.
    """
    family = family_of(sources)
    if sources.spec.discrete:
        return family.discrete_actions
    actions = family.continuous_of(sources.config.rl)
    if actions is None:
        others = ", ".join(f"configs/rl/{name}.py" for name, other in FAMILIES.items() if other.continuous_actions)
        raise UserError(
            f"--config_rl: {sources.config.rl.family} needs discrete actions, this domain's are continuous; choose "
            f"from {others}"
        )
    return actions
