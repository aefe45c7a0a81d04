"""Where a run's batches come from, and its clock: envs and a replay, fresh episodes, or episodes that are stored.

A family names its own in `Agent.learns_from`, or its config does, by a name of `EXPERIENCES`.
"""

from ml_collections import ConfigDict

from policies.agents.base import Agent
from policies.training.experience.base import Experience, Origin
from policies.training.experience.played import FreshEpisodes, RelabelledEpisodes, ReplayedEnvs
from policies.training.experience.stored import StoredData, StoredThenEnvs
from utils.errors import choose

EXPERIENCES: dict[str, type[Experience]] = {
    "replayed_envs": ReplayedEnvs,
    "relabelled_episodes": RelabelledEpisodes,
    "fresh_episodes": FreshEpisodes,
    "stored_data": StoredData,
    "stored_then_envs": StoredThenEnvs,
}


def kind_for(learner: Agent | type[Agent], config_rl: ConfigDict) -> type[Experience]:
    """That which the config names, or else the family; where its replay has a teacher, the teacher's kind.

    Raises:
        UserError: none is named, or one that is not there.
    """
    if "learns_from" in config_rl:
        kind = choose(EXPERIENCES, config_rl.learns_from, "--config_rl.learns_from")
    else:
        name, who = getattr(learner, "learns_from", ""), getattr(learner, "__name__", type(learner).__name__)
        kind = choose(EXPERIENCES, name, f"{who}.learns_from")
    return RelabelledEpisodes if kind is ReplayedEnvs and config_rl.get("teacher") else kind


def experience_of(agent: Agent, origin: Origin) -> Experience:
    """That from which the agent learns.

    Raises:
        UserError: the flags do not give what it needs, or give what it cannot use.
    """
    experience = kind_for(agent, origin.config.rl).build(origin, agent)
    experience.check(agent)
    return experience
