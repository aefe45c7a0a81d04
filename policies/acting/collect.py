"""Stage 1: random and expert episodes, and what they cover."""

from collections.abc import Callable, Mapping, Sequence

from buffers.batch import Episode
from envs.base import AsymmetricVectorEnv
from policies.acting.evaluate import statistics
from policies.acting.rollout import ExpertPolicy, Policy, RandomPolicy, iterate_episodes
from utils.seeding import generator, seed_for


def collect_episodes(
    make_envs: Callable[[int, int], AsymmetricVectorEnv],
    num_random: int,
    num_expert: int,
    *,
    num_envs: int,
    seed: int,
    guess_share: float = 0.0,
    expert_policy: Policy | None = None,
    on_episode: Callable[[Episode], object] = lambda episode: None,
) -> list[Episode]:
    """Plays `num_random` episodes with uniform actions, then `num_expert` with the expert.

    Both kinds have random streams of their own: how many there are of one kind changes nothing in the other. The order
    does not depend on how long episodes take, so that the first n of a kind are as fair a sample as all of them.

    Args:
        make_envs: called with a number of envs and a seed.
        num_random: episodes with uniform actions.
        num_expert: episodes of the expert; 0 where the domain has none.
        num_envs: envs stepped together, at most; the episodes depend on it.
        seed: fixes everything else.
        guess_share: share of the expert's episodes in which it guesses instead of looking.
        expert_policy: plays the expert's part; the domain's own expert if not given.
        on_episode: told of each episode when it ends.
    """
    collected: list[Episode] = []
    for expert, num_episodes in ((False, num_random), (True, num_expert)):
        if num_episodes == 0:
            continue
        kind = "expert" if expert else "random"
        env_seed = seed_for(seed, "collect", kind, "envs")
        rng = generator(seed, "collect", kind, "policy")
        envs = make_envs(min(num_envs, num_episodes), env_seed)
        try:
            spec = envs.spec_sizes
            policy: Policy = RandomPolicy(spec.action_dim, spec.discrete, rng)
            if expert:
                policy = ExpertPolicy(envs, guess_share, rng) if expert_policy is None else expert_policy
            by_slot: list[list[Episode]] = [[] for _ in range(envs.num_envs)]
            for slot, episode in iterate_episodes(envs, policy, num_episodes, env_seed):
                episode.expert = expert
                by_slot[slot].append(episode)
                on_episode(episode)
        finally:
            envs.close()
        rounds = range(len(by_slot[0]))  # the first slot plays as many as any
        collected += [played[i] for i in rounds for played in by_slot if i < len(played)]
    return collected


def coverage(episodes: Sequence[Episode]) -> dict[str, dict[str, float]]:
    """What the episodes hold: for `random` and `expert` ones, where there are such, and for `all`.

    Returns:
        By kind: `episodes` and `steps`, how many, and their `statistics`; what one kind alone tells is 0 of the others.
    """
    told = statistics(episodes)
    groups = {
        "random": [episode for episode in episodes if not episode.expert],
        "expert": [episode for episode in episodes if episode.expert],
        "all": episodes,
    }
    return {
        kind: {
            "episodes": len(group),
            "steps": sum(len(episode) for episode in group),
            **dict.fromkeys(told, 0.0),
            **statistics(group),
        }
        for kind, group in groups.items()
        if group
    }


def coverage_table(covered: Mapping[str, Mapping[str, float]]) -> str:
    """Coverage as aligned text, one line a kind of episode; a dash for what the env does not tell."""
    forms = {"episodes": ",", "steps": ",", "success": ".3f", "informed": ".3f", "length": ".1f", "return": ".3f"}
    rows = [[format(row[name], form) if name in row else "–" for name, form in forms.items()]
            for row in covered.values()]  # fmt: skip
    widths = [max(10, *(2 + len(cell) for cell in column)) for column in zip(forms, *rows, strict=True)]
    lines = [
        f"{kind:8}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for kind, cells in zip(("", *covered), (list(forms), *rows), strict=True)
    ]
    return "\n".join(lines)
