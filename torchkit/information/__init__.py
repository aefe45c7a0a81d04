"""Estimators of mutual information from pairs of samples, all behind `fit(x, y) -> nats`.

`torchkit.mutual_information` has what networks are trained by; here is what tells a number. None is right everywhere:
each says what it is (`bound`) and where it cannot be trusted (`doubt`, `limit`); docs/results/estimators.md shows it.
"""

from torchkit.information.base import Estimator
from torchkit.information.counting import KSG, PlugIn
from torchkit.information.critics import JSD, MINE, NWJ, SMILE, InfoNCE
from torchkit.information.likelihoods import CLUB, BarberAgakov

ESTIMATORS: dict[str, type[Estimator]] = {
    "mine": MINE,
    "nwj": NWJ,
    "infonce": InfoNCE,
    "smile": SMILE,
    "jsd": JSD,
    "barber_agakov": BarberAgakov,
    "club": CLUB,
    "ksg": KSG,
    "plug_in": PlugIn,
}
