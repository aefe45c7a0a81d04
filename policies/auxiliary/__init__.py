"""Auxiliary losses: one object, one method `loss(views, batch) -> (T+1, B)`; settings in `config_rl.auxiliary`."""

from policies.auxiliary.action_chunk import ActionChunk
from policies.auxiliary.behaviour_cloning import BehaviourCloning
from policies.auxiliary.belief_elbo import BeliefElbo
from policies.auxiliary.follower import Follower
from policies.auxiliary.observation_cloning import ObservationCloning
from policies.auxiliary.self_prediction import SelfPrediction
from policies.auxiliary.state_prediction import StatePrediction
from policies.auxiliary.world_model import WorldModel
from policies.extensions import AuxiliaryLoss

AUXILIARY: dict[str, type[AuxiliaryLoss]] = {
    "state_prediction": StatePrediction,
    "self_prediction": SelfPrediction,
    "behaviour_cloning": BehaviourCloning,
    "observation_cloning": ObservationCloning,
    "action_chunk": ActionChunk,
    "belief_elbo": BeliefElbo,
    "follower": Follower,
    "world_model": WorldModel,
}
