"""Intrinsic rewards: one object, one method `reward(views, batch) -> (T, B)`; settings in `config_rl.intrinsic`."""

from policies.extensions import IntrinsicReward
from policies.intrinsic.follower_value import FollowerValue
from policies.intrinsic.information_gain import InformationGain
from policies.intrinsic.random_network_distillation import RandomNetworkDistillation
from policies.intrinsic.visit_count import VisitCount
from policies.intrinsic.visitation import FutureVisitation, MarginalVisitation

INTRINSIC: dict[str, type[IntrinsicReward]] = {
    "information_gain": InformationGain,
    "follower_value": FollowerValue,
    "random_network_distillation": RandomNetworkDistillation,
    "visit_count": VisitCount,
    "future_visitation": FutureVisitation,
    "marginal_visitation": MarginalVisitation,
}
