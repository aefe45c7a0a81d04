"""Intrinsic rewards: one object, one method `reward(views, batch) -> (T, B)`; settings in `config_rl.intrinsic`."""

from policies.extensions import IntrinsicReward
from policies.intrinsic.information_gain import InformationGain

INTRINSIC: dict[str, type[IntrinsicReward]] = {
    "information_gain": InformationGain,
}
