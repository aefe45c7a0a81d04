#!/usr/bin/env bash
# posggym 0.6.0: of two of its finite domains the model that planners and filters are to read, `transition_fn` and
# `observation_fn`, is another than the one by which `step` plays. A good guess is that they are the same, since they
# are methods of one object. But in MultiAgentTiger a step draws what is heard by where the tiger was before, and the
# model has it by where the tiger is after, which the page says as well ("current position"): where the other agent
# opens a door, and the tiger is placed anew, a growl tells nothing of it, and the model says that it does. And in
# MultiAccessBroadcastChannel the model multiplies by the chance of being filled where a buffer is full and nothing is
# sent, though it is then full for sure: what may follow adds up to less than 1, to a tenth for the second node. In
# `envs/classic/tiger.py`, step (`_sample_obs(state, ...)`), and `envs/classic/mabc.py`, _construct_trans_func.
#
# Seen: agent 0 listens while agent 1 opens the left door, and hears a growl on the left: that the tiger is there is
# 0.85 by the model and 0.50 of all such steps. Two nodes whose buffers are as likely full as not send nothing: that the
# second one's is full then is 0.18 by the model, brought to 1, and 0.55 of all such steps; where both are full and wait
# what follows adds up to 0.09. Where both listen, or both nodes send, model and steps agree.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'gymnasium==0.29.1' 'numpy==1.26.4' 'pygame==2.6.1' 'pymunk==7.3.1' 'setuptools==80.9.0' || exit 2
cd "$folder"
# Its source alone: what it fetches more to be built, trained agents, is not needed here.
"$folder/venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --no-build-isolation 'posggym==0.6.0' || exit 2
tar xzf posggym-0.6.0.tar.gz
PYGAME_HIDE_SUPPORT_PROMPT=1 PYTHONPATH="$folder/posggym-0.6.0" "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import itertools

import posggym

DRAWS = 40_000
LEFT, LISTEN = 0, 2  # of the tiger: the door or the growl on the left, and what an agent does
SEND, WAIT, FULL = 0, 1, 1


def model_of(name):
    model = posggym.make(name).unwrapped.model
    model.seed(0)
    return model


def joint(values, agents):
    return [dict(zip(agents, one)) for one in itertools.product(values, repeat=len(agents))]


def by_model(model, belief, actions, observations, heard):
    """What follows and is heard so, by the model's functions, brought to 1."""
    after = {
        new: sum(
            share * model.transition_fn(old, actions, new) * model.observation_fn(seen, new, actions)
            for old, share in belief.items()
            for seen in observations
            if heard(seen)
        )
        for new in belief
    }
    total = sum(after.values())
    return {state: share / total for state, share in after.items()}


def by_steps(model, belief, actions, heard):
    counts = dict.fromkeys(belief, 0)
    for state, share in belief.items():
        for _ in range(round(DRAWS * share)):
            step = model.step(state, actions)
            if heard(step.observations):
                counts[step.state] += 1
    total = sum(counts.values())
    return {state: count / total for state, count in counts.items()}


print("posggym", posggym.__version__)

tiger = model_of("MultiAgentTiger-v0")
sides = {0: 0.5, 1: 0.5}
heard_of = joint(list(itertools.product(range(2), range(3))), tiger.possible_agents)
for name, other, wrong in (("opens the left door", LEFT, True), ("listens", LISTEN, False)):
    actions = {"0": LISTEN, "1": other}

    def growl(seen):
        return seen["0"][0] == LEFT

    model = by_model(tiger, sides, actions, heard_of, growl)[LEFT]
    steps = by_steps(tiger, sides, actions, growl)[LEFT]
    print(f"tiger, the other {name}: there, after a growl, in {model:.2f} by the model, {steps:.2f} of steps")
    assert abs(model - 0.85) < 1e-9
    assert abs(steps - (0.5 if wrong else 0.85)) < 0.02

channel = model_of("MultiAccessBroadcastChannel-v0")
buffers = {state: 0.25 for state in itertools.product(range(2), repeat=2)}
told = joint(range(2), channel.possible_agents)
for name, sent, wrong in (("wait", WAIT, True), ("send", SEND, False)):
    actions = {agent: sent for agent in channel.possible_agents}
    model, steps = (
        sum(share for state, share in after.items() if state[1] == FULL)
        for after in (
            by_model(channel, buffers, actions, told, lambda seen: True),
            by_steps(channel, buffers, actions, lambda seen: True),
        )
    )
    total = sum(channel.transition_fn((FULL, FULL), actions, new) for new in buffers)
    print(f"channel, both {name}: the second is full in {model:.2f} by the model, {steps:.2f} of steps")
    print(f"  of two that are full what follows adds up to {total:.2f}")
    if wrong:
        assert steps - model > 0.3 and abs(steps - 0.55) < 0.02 and abs(total - 0.09) < 1e-9
    else:
        assert abs(steps - model) < 0.02 and abs(total - 1) < 1e-9
PYTHON
