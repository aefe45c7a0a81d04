r"""Stage 3: trains an agent, or with --policy_dir evaluates and films a finished one. The same command resumes a run.

Example: python main.py --config_env=configs/envs/heaven_hell.py --config_rl=configs/rl/dqn.py:mi \
    --state_embedder_dir=DIR --obs_embedder_dir=DIR
"""

import sys
import time
from typing import Any

from absl import flags

from policies.training.flags import define_flags, overrides, runs_of, warn_of_training
from utils.app import run

BEGAN = time.monotonic()

define_flags()
_GIVEN = flags.FLAGS


def main() -> None:
    """Resolves the configs, then plays a finished policy, or trains one run, or one a seed."""
    from policies.training.many_seeds import SeedRun, train_seeds
    from policies.training.replay import replay
    from policies.training.resolve import resolve

    given = _GIVEN
    config = resolve(given.config_env, given.config_rl, given.config_seq, given.config_repr, **overrides(given))
    runs = [SeedRun(*one) for one in runs_of(given, config, BEGAN)]
    if given.policy_dir is not None:
        warn_of_training(given)
        replay(given.policy_dir, config, *runs[0], say=print)
        return
    code = train(config, *runs[0]) if len(runs) == 1 else train_seeds(train, config, runs, given.batch_seeds, print)
    if code:
        sys.exit(code)


def train(config: Any, settings: Any, options: Any, **telling: Any) -> int:
    """Trains or resumes one run, its parts in the order in which data meet them; returns the exit code.

    Args:
        config: as `resolve` gives it.
        settings, options: those of `policies.training.settings`.
        telling: `say`, `show` and `adapt` of `policies.training.run.Telling`.
    """
    from envs.make import width_for
    from policies.acting.embedded_envs import env_maker
    from policies.build import build_agent
    from policies.models.sources import Sources
    from policies.training.experience import experience_of
    from policies.training.experience.base import Origin
    from policies.training.observers import Evaluation
    from policies.training.run import (
        Telling,
        finish,
        gauges,
        open_record,
        prepare,
        said_of_finished,
        warn_of_encoders,
        warn_of_unused,
    )
    from policies.training.trainer import Stopped, Trainer
    from policies.training.warmup import WarmUp

    tell = Telling(**telling)
    device = prepare(settings, options)
    if said_of_finished(config, settings, options, tell.say):
        return 0
    make_envs, shown = env_maker(config, settings.state_embedder, settings.obs_embedder, settings.num_envs)
    eval_envs = make_envs(width_for(config.env, config.env.eval.episodes), seed=settings.seed)
    origin = Origin(config, settings, make_envs, eval_envs.spec_sizes)
    sources = Sources(origin.spec, config, settings.state_embedder, settings.obs_embedder)
    agent = tell.adapt(build_agent(sources, settings.seed, device))
    experience = experience_of(agent, origin)
    looking = gauges(origin, options, experience.total)
    warn_of_unused(origin, agent, sources.unused - shown)
    warn_of_encoders(config, settings)
    record, saved = open_record(origin, options, agent, experience, tell.say)
    evaluation = Evaluation(eval_envs, config.env.eval, settings.seed, record.keep_best)
    trainer = Trainer(agent, experience, [evaluation, *looking], options.schedule, record, tell.show)
    try:
        trainer.train(saved, WarmUp.of(origin))
    except Stopped as stop:
        tell.say(f"{stop.reason} {trainer.where}; the same command {'goes on' if trainer.begun else 'starts over'}")
        return stop.exit_code
    finally:
        still_open: list[Any] = [record.logger, experience, eval_envs, *looking]
        for one in still_open:
            one.close()
    finish(origin, options, agent, experience, record.run, evaluation.history, tell.say)
    return 0


if __name__ == "__main__":
    run(main)
