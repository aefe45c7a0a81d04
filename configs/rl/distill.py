"""Students of a teacher that knows more than they do: --config_rl=configs/rl/distill.py:VARIANT.

`elf` learns of rewards as well: it is that of configs/rl/dqn.py, with its settings; for continuous actions there is
configs/rl/sac.py:elf.
"""

from ml_collections import ConfigDict

from configs.rl import dqn
from configs.rl._shared import kept, learner, with_row

VARIANTS = {
    # behaviour cloning: the teacher plays, and the student learns of what it does
    "clone": {"beta.end": 1.0},
    # the student plays, more and more of it, and the teacher says what it would have done (Ross et al., 2011)
    "dagger": {},
    # a follower of the teacher, and an explorer that is paid for what following gains (Walsman et al., 2023)
    "elf": dqn.VARIANTS["elf"],
}


def get_config(variant: str = "dagger") -> ConfigDict:
    """The family's settings with a variant's row written over them."""
    if variant == "elf":
        return dqn.get_config(variant)
    config = kept(learner("distill", variant))
    config.teacher = "expert"
    config.beta.start, config.beta.steps = 1.0, 5_000
    config.lr = 1e-3  # of Adam
    config.discount = 0.99  # γ, of `normalise` alone: by it rewards are brought to size
    config.time_limit_is_terminal = False  # of no account: no value is learned

    config.batch_size = 16  # episodes
    config.updates_per_step = 0.1  # gradient updates an env step
    return with_row(config, VARIANTS)
