"""Tells before any training which features of the state are worth giving to a critic, from stored episodes.

Each feature alone and each pair is ranked by what it tells of the return that the history does not: see
policies/probing/signals.py for the two tests. --out gets signals.json and signals.png.

Example: python scripts/signals.py --config_env=configs/envs/heaven_hell_n.py:1 --data_path=data/HeavenHell-1-v0_s42 \
    --out=signals
"""

import itertools
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from absl import flags

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from utils.app import define_seed, run
from utils.config import define_config_flag
from utils.errors import UserError
from utils.files import atomic_write, folder_for
from utils.optional import need

MOST = 12  # features that are taken without being named
FEWEST = 10  # episodes, which stand for themselves in no fit

_ENV = define_config_flag("config_env", None, "the domain, such as configs/envs/heaven_hell_n.py:1", required=True)
_DATA = flags.DEFINE_string("data_path", None, "data set of stage 1, or another of Minari's", required=True)
_OUT = flags.DEFINE_string("out", "signals", "folder to write")
_FEATURES = flags.DEFINE_list("features", None, "names of features of the state; all of them if not given")
_DISCOUNT = flags.DEFINE_float("discount", 0.99, "of the return", lower_bound=0.0, upper_bound=1.0)
_EPISODES = flags.DEFINE_integer("episodes", 250, "of the data set, at most", lower_bound=FEWEST)
_TREES = flags.DEFINE_integer("trees", 100, "of a random forest", lower_bound=1)
_PERMUTATIONS = flags.DEFINE_integer(
    "permutations", 1000, "of whole episodes, for p-values, each of one signal alone", lower_bound=19
)
_SEED = define_seed(0, "of forests and permutations")


def main() -> None:
    """Reads, tests, ranks, writes."""
    need("scripts/signals.py", "sklearn")
    from buffers.recorded import STATE_FIELD, read_episodes
    from envs.make import make_vector_env
    from policies.probing.signals import Effort, ranked, steps_of
    from utils.progress import progress

    out = folder_for(_OUT.value, "--out")
    with closing(make_vector_env(_ENV.value, 1, seed=0)) as envs:
        spec = envs.spec_sizes
    stored = read_episodes(_DATA.value, _ENV.value, spec)
    if len(stored) < FEWEST:
        raise UserError(f"--data_path: the dataset has {len(stored)} episodes; at least {FEWEST} are needed")
    if not stored.has_states:
        raise UserError(f"{STATE_FIELD}: --data_path has no states, whose features are asked about; say where they are")
    names = _FEATURES.value or [*dict(spec.state_groups)] or [*spec.state_features]
    names = names or [str(entry) for entry in range(spec.state_dim)]
    if spec.state_image_shape is not None or (len(names) > MOST and not _FEATURES.value):
        raise UserError(f"--features: {spec.env_id} has {len(names)} features; name up to {MOST} of numbers")
    groups = {name: spec.feature_groups(name, "--features") for name in names}
    steps = steps_of(stored, groups, _DISCOUNT.value, _EPISODES.value)
    if steps.return_M.std() == 0:
        raise UserError(f"--data_path: all returns of {_DATA.value} are the same; nothing can tell them apart")
    effort = Effort(_TREES.value, _PERMUTATIONS.value, _SEED.value)
    signals = [(name,) for name in names] + list(itertools.combinations(names, 2))
    with progress(len(signals), 0, "signals") as bar:
        found = ranked(steps, signals, effort, lambda: bar.update(1))
    out.mkdir(parents=True, exist_ok=True)
    draw(found, out / "signals.png", spec.env_id)
    settings = {name: flags.FLAGS[name].value for name in ("data_path", "discount", "trees", "permutations", "seed")}
    record = {"env": spec.env_id, **settings, "found": [one._asdict() for one in found]}
    atomic_write(out / "signals.json", json.dumps(record, indent=1))
    print("\n".join(told(found)))
    print(f"written to {out}: signals.json, signals.png")


def told(found: Sequence[Any]) -> list[str]:
    """The table, and what to do with it."""
    width = max(len(", ".join(one.names)) for one in found)
    lines = [f"{'signal':{width}}  gain    p       HSIC     of most  p"]
    for one in found:
        lines.append(
            f"{', '.join(one.names):{width}}  {one.gain:+.3f}  {one.p_gain:.4f}  {one.dependence:.1e}  "
            f"{one.share:.4f}   {one.p_dependence:.4f}"
        )
    best = next((one for one in found if one.gain > 0 and max(one.p_gain, one.p_dependence) < 0.05), None)
    if best is None:
        return [*lines, "none passes both tests at 0.05: nothing here says that a signal would help"]
    return [*lines, f"the best that passes both tests at 0.05: --config_rl.critic.signal={best.names!r}"]


def draw(found: Sequence[Any], path: Path, title: str) -> None:
    """Both effects of each signal, the best at the top; filled where p is below 0.05."""
    import matplotlib.pyplot as plt

    from scripts.reporting.figures import write_figure

    figure, sides = plt.subplots(1, 2, sharey=True, figsize=(9, 1.2 + 0.3 * len(found)), layout="constrained")
    rows = range(len(found))[::-1]
    for side, effect, p, what in (
        (sides[0], "gain", "p_gain", "share of the return's variance\nthat only the signal tells"),
        (sides[1], "share", "p_dependence", "dependence of what the history\nleaves of signal and return"),
    ):
        sure = [getattr(one, p) < 0.05 for one in found]
        face = ["#0072B2" if one else "none" for one in sure]
        side.barh(rows, [getattr(one, effect) for one in found], color=face, edgecolor="#0072B2")
        side.axvline(0, color="#999999", linewidth=1)
        side.set_xlabel(what)
    sides[0].set_yticks(rows, [", ".join(one.names) for one in found])
    figure.suptitle(f"{title}: filled where p < 0.05")
    write_figure(figure, path, dpi=120)


if __name__ == "__main__":
    run(main)
