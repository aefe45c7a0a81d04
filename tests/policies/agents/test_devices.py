"""Updates on another device than the CPU, without one: on torch's device `meta` whatever is left behind is an error.

Nothing is computed there; but an operation on tensors of two devices is refused as it is on a GPU.
"""

import contextlib
from dataclasses import fields, is_dataclass, replace

import pytest
import torch

from policies.agents.learner import Learner
from tests.helpers.agents import (
    A2C_VARIANTS,
    CONTINUOUS,
    DREAMER_VARIANTS,
    SAC_VARIANTS,
    SPEC,
    VARIANTS,
    make_agent,
    make_batch,
)

META = torch.device("meta")


def moved(x):
    """The same on the device `meta`."""
    if isinstance(x, torch.Tensor):
        return x.to(META)
    if is_dataclass(x):
        return replace(x, **{f.name: moved(getattr(x, f.name)) for f in fields(x)})
    return x


def step_unseen(self, losses, metrics):
    """`Learner._step` but for what looks at values, of which there are none."""
    for name, loss in losses.items():
        torch.autograd.backward(loss, inputs=self.parameters_of[name])
    with torch.no_grad():
        for target, online in self.followers:
            torch._foreach_lerp_(target, online, self.config.tau)


@pytest.fixture
def elsewhere(monkeypatch):
    """Moves an agent; autocast knows no such device."""
    monkeypatch.setattr(Learner, "_step", step_unseen)
    monkeypatch.setattr(Learner, "_autocast", lambda self: contextlib.nullcontext())
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *args: False)

    def move(agent):
        names = {id(p): name for name, p in agent.named_parameters()}
        agent.to(META)
        agent.device, now = META, dict(agent.named_parameters())

        def same(parameters):
            return [now[names[id(p)]] for p in parameters]

        agent.parameters_of = {name: same(mine) for name, mine in agent.parameters_of.items()}
        agent.followers = [(same(target), same(online)) for target, online in agent.followers]
        return agent

    return move


def update(agent, spec, elsewhere):
    batch = make_batch(spec=spec)
    there = moved(batch)
    there.__dict__ |= {"real_rows": moved(batch.real_rows), "real_steps": moved(batch.real_steps)}
    return elsewhere(agent).update(there)


ASKING = {"cv", "mv", "count", "mi_cv", "rnd"}  # how many cells there are, or which rows are real: meta cannot tell
DISCRETE = [v for v in (*VARIANTS, *SAC_VARIANTS, *A2C_VARIANTS) if v not in ASKING]


@pytest.mark.parametrize("memory", ["gru", "gpt"])
@pytest.mark.parametrize(("variant", "spec"), [(v, SPEC) for v in DISCRETE] + [(v, CONTINUOUS) for v in SAC_VARIANTS])
def test_an_update_leaves_nothing_on_the_cpu(variant, spec, memory, elsewhere):
    signal = {"critic__signal": ("1",)} if variant == "a2c:informed" else {}
    metrics = update(make_agent(variant, memory, spec=spec, **signal), spec, elsewhere)
    on_meta = {name for name, value in metrics.items() if value.device == META}
    assert on_meta >= {"loss/td", "q/target"}


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS])
@pytest.mark.parametrize("variant", DREAMER_VARIANTS)
def test_a_dream_leaves_nothing_on_the_cpu(variant, spec, elsewhere):
    metrics = update(make_agent(variant, spec=spec), spec, elsewhere)
    on_meta = {name for name, value in metrics.items() if value.device == META}
    assert on_meta >= {"loss/world_model", "loss/actor", "loss/critic", "q/target"}


def test_a_tensor_that_is_left_behind_is_found(elsewhere):
    agent = make_agent("sac:mi", "gru", spec=CONTINUOUS)
    predictor = agent.extensions.auxiliary["state_prediction"].net
    predictor.register_forward_hook(lambda module, args, out: out + torch.zeros(out.shape))
    with pytest.raises(RuntimeError, match="device"):
        update(agent, CONTINUOUS, elsewhere)
