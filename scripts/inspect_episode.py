"""Plays episodes of a run's policy and writes one HTML page, which needs no network, to go through them step by step.

At each step: the env's picture, what the agent sees, the state, action values or probabilities, the predictor's error
and the bonus as the run's own agent computes them, the reward, when the hidden fact was seen, and where the domain
tells it the exact belief, beside what can be read of it from the policy's memory.

Example: python scripts/inspect_episode.py logs/default/mi --episodes=3 --gif
"""

import sys
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

from absl import flags

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from policies.deployed.flags import define_domain, define_run, folder_of, run_of
from utils.app import define_seed, run
from utils.errors import UserError
from utils.files import atomic_write, folder_for

_ENV, _TRUST = define_domain()
_RUN = define_run()
_EPISODES = flags.DEFINE_integer("episodes", 3, "greedy episodes to play", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "folder to write; inspect in the folder of the run, or of a policy without one")
_SEED = define_seed(0, "of the episodes")
_GIF = flags.DEFINE_boolean("gif", False, "write the film as well")
_STATE_EMBEDDER = flags.DEFINE_string("state_embedder_dir", None, "where the run's is now, if it was moved")
_OBS_EMBEDDER = flags.DEFINE_string("obs_embedder_dir", None, "where the run's is now, if it was moved")


def main() -> None:
    """Loads policy and agent, plays, judges, writes."""
    from envs.make import describing_env, width_for
    from policies.acting.embedded_envs import env_maker, seen_in_place_of_observations
    from policies.acting.evaluate import FPS, write_gif
    from policies.deployed import inspection
    from policies.deployed.files import check_fits, load_policy, settings_of
    from policies.deployed.trust import config_of
    from policies.probing.gauge import READ_EPISODES, BeliefGauge, memories
    from scripts.inspect_page import Views, ending, page
    from utils.seeding import generator

    folder = folder_of(_RUN)
    policy, about = load_policy(str(folder), flag="--run")
    folder = run_of(folder)
    out = folder_for(_OUT.value or str(folder / "inspect"), "--out")
    config, settings = config_of(about, _ENV.value, _TRUST.value, "--run"), settings_of(about)
    out.mkdir(parents=True, exist_ok=True)
    embedders = (
        _STATE_EMBEDDER.value or settings["state_embedder"],
        _OBS_EMBEDDER.value or settings["obs_embedder"],
    )
    make_envs, _ = env_maker(config, *embedders)
    with closing(make_envs(1, seed=_SEED.value)) as envs:
        check_fits(about, envs.spec_sizes, "--run")
    seed = int(generator(_SEED.value, "inspect").integers(2**31))
    notes: dict[str, str] = {}
    try:
        envs = make_envs(1, seed=_SEED.value, render_mode="rgb_array")
        played = inspection.play(policy, envs, _EPISODES.value, seed, draw=True)
    except UserError as error:
        if _GIF.value:
            raise UserError(f"--gif: {error}") from error
        notes["picture"] = str(error)
        envs = make_envs(1, seed=_SEED.value)
        played = inspection.play(policy, envs, _EPISODES.value, seed, draw=False)
    spec = envs.spec_sizes
    judged: list[Any] = [None] * len(played)
    try:
        agent = inspection.rebuilt_agent(folder, spec, config, *embedders)
        judged = [inspection.judge(agent, one.episode, spec) for one in played]
        if not judged[0].losses and not judged[0].bonuses:
            notes["bonus"] = f"{config.rl.family}:{config.rl.variant} has neither a predictor nor a bonus"
        elif agent.bonus_share() < 1:
            notes["share"] = (
                f"Bonuses are shown in full; they are annealed, and {agent.bonus_share():.0%} is paid by now."
            )
    except UserError as error:
        notes["bonus"] = str(error)
        warnings.warn(f"no predictor and no bonus on the page: {error}", stacklevel=2)
    beliefs: list[Any] = [None] * len(played)
    if config.rl.observe:
        what = seen_in_place_of_observations(config.rl.observe)
        notes["belief"] = f"what acts here sees {what}, not the domain's observations"
    else:
        single = describing_env(config.env)
        why = f"{config.env.id} does not tell its belief"
        try:
            beliefs = [single.belief(one.episode.obs, one.episode.action, one.terminated) for one in played]
        except UserError as error:  # what its model takes is not there: memory, or a package
            why = str(error)
        if beliefs[0] is None:
            notes["belief"] = why
    reads: list[Any] = [None] * len(played)
    if beliefs[0] is not None and policy.public.folds:
        with closing(make_envs(width_for(config.env, READ_EPISODES), seed=_SEED.value)) as read_envs:
            read = BeliefGauge(config, read_envs, "--run").readout(policy, seed)
        reads = [read(memory_RH) for memory_RH in memories(policy, [one.episode for one in played], spec)]
    views = Views(spec, policy.actions, f"{config.rl.family}:{config.rl.variant}, {config.seq.memory}", notes)
    atomic_write(out / "episodes.html", page(views, played, judged, beliefs, reads))
    print(out / "episodes.html")
    if _GIF.value:
        write_gif([frame for one in played for frame in ending(one, FPS)], out / "episodes.gif", FPS)
        print(out / "episodes.gif")


if __name__ == "__main__":
    run(main, positional="run")
