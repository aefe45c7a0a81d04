"""Adam beside torch.optim's, and what a checkpoint of it holds."""

import io
import subprocess
import sys

import pytest
import torch

from torchkit.fast.adam import Adam

SHAPES = ((3, 4), (4,), ())


def parameters():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in SHAPES]


def learn(optimiser, mine, steps, seed=1):
    """Random gradients; those of the second parameter are there at every other step alone."""
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        optimiser.zero_grad()
        for i, parameter in enumerate(mine):
            gradient = torch.randn(parameter.shape, generator=generator)
            if i != 1 or step % 2:
                parameter.grad = gradient
        optimiser.step()


def same(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_steps_are_those_of_torch_to_the_bit():
    ours, theirs = parameters(), parameters()
    mine, torchs = Adam(ours, 1e-2, eps=1e-5), torch.optim.Adam(theirs, 1e-2, eps=1e-5, fused=True)
    learn(mine, ours, 7)
    learn(torchs, theirs, 7)
    mine.lr = torchs.param_groups[0]["lr"] = 3e-3
    learn(mine, ours, 3, seed=2)
    learn(torchs, theirs, 3, seed=2)
    assert same(ours, theirs) and not same(ours, parameters())


@pytest.mark.parametrize("by_torch", [False, True])
def test_a_checkpoint_goes_on_as_if_unbroken_and_torchs_own_is_read_as_well(by_torch):
    unbroken, broken = parameters(), parameters()
    whole = Adam(unbroken, 1e-2)
    first = torch.optim.Adam(broken, 1e-2, fused=True) if by_torch else Adam(broken, 1e-2)
    for optimiser, mine in ((whole, unbroken), (first, broken)):
        learn(optimiser, mine, 5)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = Adam(broken, 1e-2)
    second.load_state_dict(torch.load(file, weights_only=True))
    for optimiser, mine in ((whole, unbroken), (second, broken)):
        learn(optimiser, mine, 5, seed=3)
    assert same(unbroken, broken)


def test_what_is_loaded_replaces_all_that_was():
    mine = parameters()
    used, fresh = Adam(mine, 1e-2), Adam(parameters(), 1e-2)
    learn(used, mine, 3)
    used.load_state_dict({"state": {}})
    for ours, new in zip(used.state, fresh.state, strict=True):
        assert same(ours.values(), new.values())


def test_the_state_of_other_parameters_is_refused():
    ours = Adam(parameters(), 1e-2)
    before = [{name: tensor.clone() for name, tensor in own.items()} for own in ours.state]
    other = Adam([torch.randn(4).requires_grad_(), torch.randn(4).requires_grad_()], 1e-2).state_dict()
    for wrong in (other, {"state": {3: ours.state[0]}}):
        with pytest.raises(ValueError, match="of other parameters"):
            ours.load_state_dict(wrong)
    assert all(same(own.values(), old.values()) for own, old in zip(ours.state, before, strict=True))


def test_who_has_handed_the_steps_over_takes_none():
    mine = parameters()
    optimiser = Adam(mine, 1e-2)
    kept = {i: {name: tensor.clone() for name, tensor in own.items()} for i, own in enumerate(optimiser.state)}
    optimiser.hand_over(kept)
    assert optimiser.state_dict()["state"][1]["exp_avg"] is kept[1]["exp_avg"]
    with pytest.raises(AssertionError, match="elsewhere"):
        optimiser.step()


def test_no_gradient_is_no_step():
    mine = parameters()
    optimiser = Adam(mine, 1e-2)
    optimiser.step()
    assert same(mine, parameters()) and all(own["step"] == 0 for own in optimiser.state)


def test_torchs_compiler_is_not_imported():
    """It takes longer than a small stage 2, and only `torch.optim` asks for it."""
    code = (
        "import sys, torch; from torchkit.fast.adam import Adam; p = torch.ones(2, requires_grad=True);"
        "o = Adam([p], 0.1);"
        "p.sum().backward(); o.step(); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
