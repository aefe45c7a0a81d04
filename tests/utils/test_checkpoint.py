"""Checkpoints come back as they were, tell when they are damaged, and survive a kill at any moment."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from utils import checkpoint
from utils.checkpoint import TAG, keep_newest, load_checkpoint, restoring, save_checkpoint
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
DTYPES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    ">f4",
    "complex64",
]
TORCH_DTYPES = [torch.bool, torch.uint8, torch.int64, torch.float32, torch.float64, torch.bfloat16]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda key: key != TAG)
arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
tensors = st.builds(
    lambda dtype, shape: torch.ones(shape).mul(3).to(dtype),
    st.sampled_from(TORCH_DTYPES),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    text,
    st.binary(max_size=8),
    arrays,
    tensors,
    st.sampled_from([np.float32(1.5), np.int64(-3), np.bool_(True), np.uint8(7)]),
)
states = st.dictionaries(
    text,
    st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(st.one_of(text, st.integers(0, 9)), inner, max_size=3),
        ),
        max_leaves=8,
    ),
    max_size=4,
)


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_same(left, right)
    elif isinstance(a, np.ndarray | np.generic):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert torch.equal(a, b)
    else:
        assert repr(a) == repr(b)


@given(states)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_round_trip(state):
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(folder, state)
        assert_same(state, load_checkpoint(folder))


def test_learning_goes_on_bit_for_bit(tmp_path):
    torch.manual_seed(0)
    rng = np.random.default_rng(3)
    net = torch.nn.Linear(4, 2)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)

    def learn(net, optimiser, rng):
        for _ in range(3):
            optimiser.zero_grad()
            net(torch.from_numpy(rng.standard_normal((5, 4)).astype(np.float32))).square().sum().backward()
            optimiser.step()
        return net.weight.detach().clone()

    learn(net, optimiser, rng)
    parts = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "rng": rng.bit_generator.state}
    save_checkpoint(tmp_path, parts)
    unbroken = learn(net, optimiser, rng)

    state = load_checkpoint(tmp_path)
    net, rng = torch.nn.Linear(4, 2), np.random.default_rng()
    net.load_state_dict(state["net"])
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)
    optimiser.load_state_dict(state["optimiser"])
    rng.bit_generator.state = state["rng"]
    assert torch.equal(learn(net, optimiser, rng), unbroken)


def test_loaded_arrays_can_be_written(tmp_path):
    save_checkpoint(tmp_path, {"ring": np.arange(3)})
    ring = load_checkpoint(tmp_path)["ring"]
    ring[0] = 7
    assert ring.tolist() == [7, 1, 2]


def test_a_view_is_stored_without_what_it_views(tmp_path):
    path = save_checkpoint(tmp_path, {"row": torch.zeros(1000, 1000)[0], "column": np.zeros((1000, 1000))[:, 0]})
    assert path.stat().st_size < 100_000


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()]), {(1, 2): 3}, {"__kind__": "array"}])
def test_what_cannot_be_stored_is_named(tmp_path, value):
    with pytest.raises(TypeError, match=r"state\['buffer'\]"):
        save_checkpoint(tmp_path, {"buffer": value})
    assert load_checkpoint(tmp_path) is None


def test_nothing_there_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "no folder") is None


def test_newest_two_are_kept_and_newest_is_loaded(tmp_path):
    for step in range(12):
        save_checkpoint(tmp_path, {"step": step})
    assert len(list(tmp_path.iterdir())) == 2
    assert load_checkpoint(tmp_path) == {"step": 11}


def test_of_a_run_that_has_ended_the_newest_is_kept(tmp_path):
    keep_newest(tmp_path / "no folder")
    for step in range(2):
        save_checkpoint(tmp_path, {"step": step})
    for _ in range(2):
        keep_newest(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1 and load_checkpoint(tmp_path) == {"step": 1}
    save_checkpoint(tmp_path, {"step": 2})
    assert load_checkpoint(tmp_path) == {"step": 2}


def truncate(data, rng):
    return data[: rng.randrange(len(data))]


def flip_a_bit(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def append(data, rng):
    return data + b"\0"


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, append])
@pytest.mark.parametrize("seed", range(8))
def test_damage_is_detected_and_the_previous_one_used(tmp_path, damage, seed):
    rng = random.Random(seed)
    paths = [save_checkpoint(tmp_path, {"step": step, "x": np.arange(50)}) for step in range(2)]
    paths[1].write_bytes(damage(paths[1].read_bytes(), rng))
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert load_checkpoint(tmp_path)["step"] == 0
    # the damaged one no longer counts as one of the two
    save_checkpoint(tmp_path, {"step": 2})
    assert len(list(tmp_path.glob("*.ckpt"))) == 2
    assert load_checkpoint(tmp_path) == {"step": 2}


def test_all_damaged_names_the_folder(tmp_path):
    for path in [save_checkpoint(tmp_path, {"step": step}) for step in range(2)]:
        path.write_bytes(path.read_bytes()[:-1])
    with warnings.catch_warnings(action="ignore"), pytest.raises(UserError, match=str(tmp_path)):
        load_checkpoint(tmp_path)


def test_no_code_runs_on_loading(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.system, ("touch harmed",)

    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, {"x": Harm()})


@pytest.mark.parametrize("dtype", ["O", "U3", "S2", "V4", "M8[s]", "m8", "f4,i4", "nothing", 3])
def test_only_plain_numbers_are_read_from_what_a_stranger_wrote(tmp_path, monkeypatch, dtype):
    array = {TAG: "array", "dtype": dtype, "shape": (0,), "data": torch.zeros(0, dtype=torch.uint8)}
    monkeypatch.setattr(checkpoint, "_encode", lambda state, where: state)
    save_checkpoint(tmp_path, {"x": array})
    with pytest.raises(UserError, match="holds something else than this program writes"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        [1],
        {"x": {TAG: "array"}},
        {"x": {TAG: "int", "hex": "z"}},
        {"x": {TAG: "bytes", "data": 3}},
        {"x": {TAG: "array", "dtype": "f4", "shape": (9,), "data": torch.zeros(2, dtype=torch.uint8)}},
    ],
)
def test_other_content_is_refused_in_one_line(tmp_path, monkeypatch, content):
    monkeypatch.setattr(checkpoint, "_encode", lambda state, where: content)
    path = save_checkpoint(tmp_path, {})
    with pytest.raises(UserError, match=str(path)):
        load_checkpoint(tmp_path)


def test_a_checkpoint_of_something_else_says_so(tmp_path):
    net = torch.nn.Linear(4, 2)
    for state in ({}, {"net": {"weight": torch.zeros(3, 3)}}, {"net": 3}):
        with pytest.raises(UserError, match="does not fit this run"), restoring(tmp_path):
            net.load_state_dict(state["net"])
    with pytest.raises(UserError, match=r"does not fit this run.*\(OverflowError"), restoring(tmp_path):
        random.setstate((3, (2**70,) * 625, None))


@pytest.mark.parametrize("limit", [10, 5_000, 400_000])
def test_full_disk_keeps_earlier_checkpoints(tmp_path, limit):
    save_checkpoint(tmp_path, {"step": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match="ckpt") as caught:
            save_checkpoint(tmp_path, {"step": 2, "big": np.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert [path.name for path in tmp_path.iterdir()] == ["00000001.ckpt"]
    assert load_checkpoint(tmp_path) == {"step": 1}


def test_killed_while_saving_leaves_a_good_checkpoint(tmp_path):
    saver = (
        "import sys, numpy as np\n"
        "from utils.checkpoint import load_checkpoint, save_checkpoint\n"
        "step = (load_checkpoint(sys.argv[1]) or {'step': 0})['step']\n"
        "print(step, flush=True)\n"
        "while True:\n"
        "    step += 1\n"
        "    save_checkpoint(sys.argv[1], {'step': step, 'x': np.full(200_000, step)})\n"
    )
    rng = random.Random(0)
    before = 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", saver, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        with process.stdout:
            assert int(process.stdout.readline()) >= before
            time.sleep(rng.uniform(0.05, 0.3))
            process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        with warnings.catch_warnings(action="error"):
            state = load_checkpoint(tmp_path)
        if state is not None:
            assert (state["x"] == state["step"]).all()
            assert state["step"] >= before
            before = state["step"]
    assert before > 0
    assert len(list(tmp_path.iterdir())) <= 4
