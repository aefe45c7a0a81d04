"""Cassandra's format: every spelling, against numbers by hand and a slow second reading; and what is refused."""

import os
import random
import re
import time
from dataclasses import replace

import numpy as np
import pytest

from envs import finite
from envs.car_flag import CarFlag2DRules
from envs.finite import RewardEntries, dense, informed_values
from envs.heaven_hell import HeavenHellRules
from envs.heaven_hell_n import heaven_hell_model
from envs.pomdp_format import read_pomdp
from envs.pomdp_writer import write_pomdp
from envs.sphinx import SphinxRules
from envs.t_maze import t_maze_model
from tests.helpers.pomdps import FILES, TIGER, assert_same, drawn_pomdp, needs_files
from utils.errors import UserError

PREAMBLE = "discount: 0.9\nvalues: reward\nstates: 3\nactions: 2\nobservations: 2\n"
PLAIN = PREAMBLE + "T: * identity\nO: * uniform\n"


@pytest.fixture
def read(tmp_path):
    def of(text, **options):
        (tmp_path / "domain.pomdp").write_text(text)
        return read_pomdp(tmp_path / "domain.pomdp", **options)

    return of


def test_tiger_by_hand(read):
    tiger = read(TIGER)
    half = np.full((2, 2), 0.5)
    np.testing.assert_array_equal(tiger.transition_ASE, [np.eye(2), half, half])
    np.testing.assert_array_equal(tiger.observation_AEO, [[[0.85, 0.15], [0.15, 0.85]], half, half])
    np.testing.assert_array_equal(tiger.reward_SA, [[-1, -100, 10], [-1, 10, -100]])
    np.testing.assert_array_equal(tiger.ends_ASE, [np.zeros((2, 2)), np.ones((2, 2)), np.ones((2, 2))])
    assert (tiger.discount, tiger.states, tiger.start_S.tolist()) == (0.95, ("tiger-left", "tiger-right"), [0.5, 0.5])
    assert tiger.reward is tiger.first_SO is None


def test_a_reset_starts_anew_where_it_is_asked_for(read):
    tiger = read(TIGER.replace("start: uniform", "start: 0.25 0.75"), continuing=True)
    assert tiger.ends_ASE is None
    np.testing.assert_array_equal(tiger.transition_ASE[1], [[0.25, 0.75]] * 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(" : ", ":"),
        lambda text: text.replace(": ", " :\n\t"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "  # it's : a comment\n"),
        lambda text: text.replace("tiger-left :", "0 :").replace("R: open-left", "R: 1"),
        lambda text: "\n".join(reversed(text.split("T:", 1)[0].split("\n"))) + "\nT:" + text.split("T:", 1)[1],
        lambda text: text.replace("T: listen identity", "T: * uniform T: listen 1 0 0 1"),
        lambda text: text.replace("0.85 0.15\n0.15 0.85", "uniform O:*:0 .85 15e-2 O:listen:1:0 0.15 O:0:1:1 +8.5e-1"),
        lambda text: text.replace("T: open-left : * reset", "T:1 reset").replace("* reset", "0 reset T:2:1 reset"),
        lambda text: text.replace("listen : * : * : * -1", "*:*:*:* -1 R: 0 : 1 : 1 -1 -1 R: 0 : 0 -1 -1 -1 -1"),
        lambda text: text.replace("start: uniform", ""),
        lambda text: text.replace("start: uniform", "start include: 0 tiger-right"),
        lambda text: re.sub(r" (-?\d+)$", lambda paid: f" {-int(paid[1])}", text, flags=re.M).replace("reward", "cost"),
    ],
)  # fmt: skip
def test_tiger_however_it_is_spelt(read, change):
    spelt = change(TIGER)
    assert spelt != TIGER
    other = read(spelt)
    assert_same(read(TIGER), replace(other, reward_SA=other.reward_SA + 0.0))


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("", [1 / 3] * 3),
        ("start: uniform", [1 / 3] * 3),
        ("start: 0.5 0.25 0.25", [0.5, 0.25, 0.25]),
        ("start: b", [0, 1, 0]),
        ("start: 2", [0, 0, 1]),
        ("start include: a 2", [0.5, 0, 0.5]),
        ("start exclude: a", [0, 0.5, 0.5]),
    ],
)
def test_starts(read, start, expected):
    text = PLAIN.replace("states: 3", "states: a b c")
    np.testing.assert_array_equal(read(text + start).start_S, expected)
    np.testing.assert_array_equal(read(start + "\n" + text).start_S, expected)  # the preamble's order is free


def test_observations_hang_on_the_state_after_and_rewards_on_all_four(read):
    domain = read(
        PREAMBLE
        + """T: * : * 0.0 0.5 0.5
        O: 0 : * 1 0    O: 0 : 2 0.2 0.8    O: 1 uniform
        R: * : * : * : * 1.0     R: 0 : * : 2 : 1 11.0     R: 0 : 1 : * : 1 6"""
    )
    # to 2 with 0.5, there o1 with 0.8: 0.4 · 11 + 0.6 · 1; from 1 the later entry counts instead
    np.testing.assert_allclose(domain.reward_SA, [[5, 1], [0.4 * 6 + 0.6, 1], [5, 1]], rtol=1e-15)
    paid = domain.reward(np.array([0, 0, 0, 1, 0]), np.array([0, 1, 1, 1, 2]), 2, np.array([1, 1, 0, 1, 0]))
    np.testing.assert_array_equal(paid, [11, 6, 1, 1, 1])


def test_costs_are_negative_rewards(read):
    text = PLAIN + "R: 1 : 2 : * : * 3"
    assert read(text).reward_SA[2].tolist() == [0, 3]
    assert read(text.replace("values: reward", "values: cost")).reward_SA[2].tolist() == [0, -3]


def slowly(statements, shape):
    """The last word on every cell, one at a time; rows of a statement are None where all are meant."""
    table = np.zeros(shape)
    for index, value in statements:
        table[tuple(slice(None) if i == "*" else int(i) for i in index)] = value
    return table


def test_later_statements_win_as_in_a_slow_second_reading(read):
    rng = np.random.default_rng(0)
    star = lambda size: rng.choice(["*", *map(str, range(size))], p=[0.3, *[0.7 / size] * size])  # noqa: E731
    for _ in range(30):
        text, moves, looks, pays = PREAMBLE + "start: 0.5 0.5 0\n", [(("*", "*"), [1, 0, 0])], [(("*",), 0.5)], []
        text += "T: * : * 1 0 0\nO: * uniform\n"
        resets = []  # whether a row is one
        for _ in range(12):
            action, state, after, obs = star(2), star(3), star(3), star(2)
            kind, row = rng.integers(6), rng.dirichlet(np.ones(3)).tolist()
            if kind == 0:
                text += f"T: {action} : {state} reset\n"
                moves.append(((action, state), [0.5, 0.5, 0]))
                resets.append(((action, state), True))
            elif kind == 1:
                text += f"T: {action} {' '.join(map(str, np.roll(np.eye(3), 1, 0).ravel()))}\n"
                moves.append(((action,), np.roll(np.eye(3), 1, 0)))
                resets.append(((action,), False))
            elif kind == 2:
                text += f"T: {action} : {state} {' '.join(map(repr, row))}\n"
                moves.append(((action, state), row))
                resets.append(((action, state), False))
            elif kind == 3:
                end = rng.integers(3)
                text += f"T: {action} : {state} : * 0.0 T: {action}:{state}:{end} 1\n"
                moves += [((action, state), 0.0), ((action, state, str(end)), 1.0)]
                resets.append(((action, state), False))
            elif kind == 4:
                text += f"O: {action} : {after} {row[0]!r} {1 - row[0]!r}\n"
                looks.append(((action, after), [row[0], 1 - row[0]]))
            else:
                where = f"R: {action} : {state} : {after}"
                text += f"{where} : {obs} {row[0]!r}\n{where} 1 {row[1]!r}\n"
                pays += [((action, state, after, obs), row[0]), ((action, state, after), [1, row[1]])]
        domain = read(text)
        T, Z, R = slowly(moves, (2, 3, 3)), slowly(looks, (2, 3, 2)), slowly(pays, (2, 3, 3, 2))
        np.testing.assert_allclose(domain.transition_ASE, T, atol=1e-15)
        expected = slowly(resets, (2, 3)).astype(bool)
        ends = np.zeros((2, 3, 3)) if domain.ends_ASE is None else np.array(domain.ends_ASE)
        np.testing.assert_array_equal(ends, expected[..., None] * (T > 0))
        np.testing.assert_allclose(domain.observation_AEO, Z, atol=1e-15)
        np.testing.assert_allclose(domain.reward_SA, np.einsum("ase,aeo,aseo->sa", T, Z, R), atol=1e-14)
        if domain.reward is not None:
            np.testing.assert_array_equal(domain.reward(*np.indices(R.shape)), R)


def test_rows_are_brought_to_1_where_only_digits_are_missing(read):
    thirds = read(PLAIN + "T: 0 : 1 0.333333 0.333333 0.333333").transition_ASE[0][1]
    np.testing.assert_allclose(thirds, 1 / 3, rtol=1e-15)
    with pytest.raises(UserError, match=r"line 8: T of action '0' and state '1' sums to 0.99998; expected 1"):
        read(PLAIN + "T: 0 : 1 0.33333 0.33333 0.33332")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PREAMBLE.replace("discount: 0.9\n", ""), "line 4: expected a line 'discount:' in the preamble"),
        (PREAMBLE.replace("values: reward\n", "") + "T: * identity O: * uniform", "expected a line 'values:'"),
        ("states: 2\nT: 0 identity", "line 2: expected a line 'actions:' in the preamble, .*; found 'T'"),
        (PLAIN.replace("0.9", "1.5"), "line 1: expected one number above 0 and at most 1; found '1.5'"),
        (PLAIN.replace("reward", "money"), "line 2: expected 'reward' or 'cost'; found 'money'"),
        (PLAIN.replace("states: 3", "states: a b a"), "line 3: expected names of states that differ .*; found 'a'"),
        (PLAIN.replace("actions: 2", "actions:"), "line 5: expected something after 'actions:'; found 'observations'"),
        (PLAIN.replace("actions: 2", "actions: 0"), "line 4: expected a number of actions from 1"),
        (PLAIN.replace("actions: 2", "actions: go *"), r"line 4: expected the number of actions, or .*'\*'"),
        (PLAIN + "states: 3", "line 8: 'states:' for the second time"),
        (PLAIN + "T: 7 identity", "line 8: expected one of the 2 actions, by name or number, or '\\*'; found '7'"),
        (PLAIN.replace("ions: 2", "ions: left up") + "R: lef : 0 : * : * 1", r"\(did you mean 'left'\?\); found 'lef'"),
        (PLAIN + "T: 0 : 0 0.5 0.5", "line 8: expected 'uniform', 'reset' or 3 numbers; the file ends here"),
        (PLAIN + "T: 0\n1 0 0\n0 1 nan\n0 0 1", "line 10: expected .*'reset' or 3 by 3 numbers; found 'nan'"),
        (PLAIN + "T: 0 : 0 1 0 0 0", "line 8: expected one of discount, values, .*; found '0'"),
        (PLAIN + "T: 0 : 0 1.5 -0.5 0", "line 8: T of 1.5; expected probabilities from 0 to 1"),
        (PLAIN + "T: 0 : 0 : 0 nan", "line 8: expected a number; found 'nan'"),
        (PLAIN + "T: 0 : 0 : 1 1e999", "line 8: T of inf; expected probabilities"),
        (PLAIN + "T: 0 : 0 : 0 0.2", "line 8: T of action '0' and state '0' sums to 0.2; expected 1"),
        (PLAIN + "O: 0 identity", "line 8: expected 3 by 2 numbers, which 'identity' cannot be; found 'identity'"),
        (PLAIN + "O: 0 : 0 reset", "line 8: expected 'uniform' or 2 numbers; found 'reset'"),
        (PLAIN + "R: 0 1", "line 8: expected ':' and a state; found '1'"),
        (PLAIN + "R: 0 : 0 : 0 : 0 1e999", r"a reward of inf; expected 1e\+30 at most"),
        (PLAIN + "R: 0 : 0 : 0 : 0 -1e39", r"a reward of -1e\+39; expected 1e\+30 at most"),
        (PREAMBLE + "T: 0 identity O: * uniform", "line 6: T of action '1' and state '0' sums to 0; expected 1"),
        (PLAIN + "start: 0.5 0.6 -0.1", "line 8: the start sums to 1; expected 1, and no number below 0"),
        (PLAIN + "start: 0.5 0.6", "line 8: expected 3 probabilities, 'uniform' or a state; found '0.5'"),
        (PLAIN + "start exclude: 0 1 2", "line 8: expected some state that is left"),
        (PLAIN.replace("states: 3", "states: 9999999999"), "expected a number of states from 1 to 1,000,000"),
        (PLAIN.replace("states: 3", "states: 999999").replace("actions: 2", "actions: 999999"), "GiB of memory"),
        ("", "line 1: expected a line 'actions:' in the preamble, before T, O and R; the file ends here"),
        ("\x00\x01PNG", "line 1: expected one of discount"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(read, text, message):
    with pytest.raises(UserError, match=message) as refused:
        read(text)
    assert "domain.pomdp" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_numbers_of_any_length_are_refused_in_a_line(read):
    with pytest.raises(UserError, match="a number of states from 1 to 1,000,000"):
        read(PLAIN.replace("states: 3", "states: " + "9" * 5000))
    assert len(read(PLAIN.replace("states: 3", "states: 0003")).states) == 3


def test_the_one_state_that_there_is_may_be_the_start(read):
    for start in ("0", "1", "1.0", "uniform"):
        assert read(PLAIN.replace("states: 3", "states: 1") + f"\nstart: {start}\n").start_S.tolist() == [1.0]


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.pomdpx").write_text("anything")
    (tmp_path / "b.pomdp").write_text('<?xml version="1.0"?>\n<pomdpx version="1.0">')
    for name in ("a.pomdpx", "b.pomdp"):
        with pytest.raises(UserError, match="POMDPX, which is not read; expected Cassandra's format"):
            read_pomdp(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("none.pomdp", "cannot be read"), (".", "is no file"), ("pipe", "is no file")):
        with pytest.raises(UserError, match=message):
            read_pomdp(tmp_path / name)


def test_a_mark_of_the_byte_order_is_passed_over(tmp_path):
    (tmp_path / "x.pomdp").write_text("\ufeff" + TIGER, encoding="utf-8")
    assert read_pomdp(tmp_path / "x.pomdp").states == ("tiger-left", "tiger-right")


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "tiger.pomdp"
    path.write_text(TIGER)
    first = read_pomdp(path)
    assert read_pomdp(path) is first
    path.write_text(TIGER.replace("0.95", "0.5"))
    assert read_pomdp(path).discount == 0.5


WORDS = ("nan", "-0.5", "inf", "*", ":", "T:", "O: *", "R:", "uniform", "identity", "reset", "states: 3", "1e400", "#",
         "start include: 1", "9" * 11, "é", "start: 0", "values: cost", "#!ends: 0 : 0 : 0 0.5")  # fmt: skip


def mutated(rng, text):
    for _ in range(rng.randint(1, 3)):
        first = rng.randrange(len(text) + 1)
        last = min(len(text), first + rng.randint(1, 40))
        text = rng.choice([
            text[:first] + text[last:],
            f"{text[:first]} {rng.choice(WORDS)} {text[first:]}",
            text[:first],
            text[:first] + chr(rng.randint(1, 300)) + text[last:],
            text[:last] + text[first:],
            text[:first] + re.sub(r"\d", lambda _: str(rng.randrange(10)), text[first:], count=1),
            text[:first] + text[first:].replace(" ", "\n# another\n", 1),
        ])  # fmt: skip
    return text


def test_200_damaged_files_end_in_a_domain_or_in_one_line(read):
    rng, refused = random.Random(0), 0
    for number in range(200):
        text = mutated(rng, TIGER)
        try:
            domain = read(text + "#" * number)  # never of the time and size of the one before
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
            assert "domain.pomdp" in str(error)
            continue
        for matrix in (*domain.transition_ASE, *domain.observation_AEO, domain.start_S[None]):
            np.testing.assert_allclose(dense(matrix).sum(axis=1), 1, atol=1e-12)
        assert np.isfinite(domain.reward_SA).all()
    assert 100 < refused < 200


@pytest.mark.parametrize("seed", range(5))
def test_what_is_written_is_read_again_bit_for_bit(tmp_path, seed):
    rng = np.random.default_rng(seed)
    domain = drawn_pomdp(rng, states=4, actions=3, observations=3, ends=0.3 * (seed % 2))
    domain = replace(domain, first_SO=domain.first_SO if seed % 3 else None)
    write_pomdp(domain, tmp_path / "domain.pomdp")
    again = read_pomdp(tmp_path / "domain.pomdp")
    if domain.ends_ASE is not None:
        there = tuple(ends * (move > 0) for ends, move in zip(domain.ends_ASE, domain.transition_ASE))
        domain = replace(domain, ends_ASE=there)
    assert_same(domain, again)
    if domain.ends_ASE is not None:
        with pytest.raises(UserError, match="the file says itself where episodes end"):
            read_pomdp(tmp_path / "domain.pomdp", continuing=True)


def test_rewards_of_transitions_are_written_as_well(tmp_path, read):
    domain = drawn_pomdp(np.random.default_rng(0), ends=0)
    entries = RewardEntries(np.array([[-1, 1, 2, -1], [0, -1, -1, 1]]), np.array([2.0, -0.1]), (2, 3, 3, 2))
    function = lambda a, s, e, o: entries(a, s, e, o)  # noqa: E731 a rule that is no list of entries
    for reward in (entries, function):
        paid = entries.expected(domain.transition_ASE, domain.observation_AEO)
        write_pomdp(replace(domain, reward=reward, reward_SA=paid), tmp_path / "written.pomdp")
        again = read_pomdp(tmp_path / "written.pomdp")
        np.testing.assert_allclose(again.reward_SA, paid, rtol=1e-14)
        T, Z = np.array(domain.transition_ASE), np.array(domain.observation_AEO)
        possible = (T[..., None] * Z[:, None]) > 0
        index = np.nonzero(possible)
        np.testing.assert_array_equal(again.reward(*index), entries(*index))


@pytest.mark.parametrize("rules", [HeavenHellRules, SphinxRules, CarFlag2DRules])
def test_native_domains_are_written_and_read_again(tmp_path, rules):
    if rules is CarFlag2DRules:
        pytest.importorskip("scipy")
    model = rules().model
    write_pomdp(model, tmp_path / "native.pomdp")
    assert_same(model, read_pomdp(tmp_path / "native.pomdp"))


def test_names_that_repeat_are_left_out(tmp_path):
    model = replace(heaven_hell_model(1), actions=("move",) * 4)
    write_pomdp(model, tmp_path / "repeated.pomdp")
    assert_same(replace(model, actions=("0", "1", "2", "3")), read_pomdp(tmp_path / "repeated.pomdp"))


def test_domains_for_others_start_anew_where_they_end(tmp_path):
    """Who knows the side is paid 1 with each third step: v = γ² + γ³ v."""
    write_pomdp(heaven_hell_model(1), tmp_path / "one.pomdp", for_others=True)
    assert "#!ends" not in (tmp_path / "one.pomdp").read_text()
    one = read_pomdp(tmp_path / "one.pomdp", continuing=True)
    value = one.start_S @ informed_values(one).max(axis=1)
    assert value == pytest.approx(0.99**2 / (1 - 0.99**3), abs=1e-7)
    ending = read_pomdp(tmp_path / "one.pomdp")
    assert ending.start_S @ informed_values(ending).max(axis=1) == pytest.approx(0.99**2, abs=1e-9)
    if (FILES / "heavenhell_1.pomdp").exists():
        theirs = read_pomdp(FILES / "heavenhell_1.pomdp", continuing=True)
        np.testing.assert_allclose(informed_values(one), informed_values(theirs), atol=1e-9)


def test_arms_of_the_t_maze_are_worth_nothing_to_others():
    model = t_maze_model(3, 0.2)
    continuing = replace(model, ends_ASE=None)
    np.testing.assert_allclose(informed_values(continuing), informed_values(model), atol=1e-8)


@needs_files
@pytest.mark.parametrize("path", sorted(FILES.glob("*.pomdp")), ids=lambda path: path.stem)
def test_files_of_others_are_read_and_written_again(tmp_path, path):
    domain = read_pomdp(path)
    resets = "reset" in path.read_text()
    assert (domain.ends_ASE is not None) == resets
    write_pomdp(domain, tmp_path / "again.pomdp")
    assert_same(domain, read_pomdp(tmp_path / "again.pomdp"))
    if resets:
        assert_same(read_pomdp(path, continuing=True), read_pomdp(tmp_path / "again.pomdp", continuing=True))


def large(states, actions=5):
    """A file of sparse transitions, entry by entry."""
    rng, lines = random.Random(0), [f"discount: 0.95\nvalues: reward\nactions: {actions}\nobservations: 20\nstates:"]
    lines += [f"state_{i}" for i in range(states)]
    for action in range(actions):
        for state in range(states):
            lines += [f"T: {action} : state_{state} : state_{end} 0.1" for end in rng.sample(range(states), 10)]
            lines.append(f"O: {action} : state_{state}\n{'0.05 ' * 20}\nR: {action} : {state} : * : * {state}")
    return "\n".join(lines)


def test_300_states_in_800_kilobytes_take_less_than_two_seconds(read):
    text = large(300, actions=6) + "#" * 20
    assert len(text) > 800_000
    before = time.process_time()
    domain = read(text)
    assert time.process_time() - before < 2
    assert domain.reward_SA[7].tolist() == [7.0] * 6


def test_sparse_is_dense_in_less_memory(read, monkeypatch):
    pytest.importorskip("scipy")
    sparse = read(large(300))
    assert not isinstance(sparse.transition_ASE[0], np.ndarray)
    assert isinstance(sparse.observation_AEO[0], np.ndarray)  # all observations are possible everywhere
    monkeypatch.setattr(finite, "is_installed", lambda module: False)
    full = read(large(300) + "#")
    assert all(isinstance(matrix, np.ndarray) for matrix in full.transition_ASE)
    for one, other in zip(sparse.transition_ASE, full.transition_ASE):
        np.testing.assert_array_equal(one.toarray(), other)


def test_what_does_not_fit_dense_is_taken_sparse_and_says_what_it_needs(read, monkeypatch):
    pytest.importorskip("scipy")
    text = PLAIN.replace("states: 3", "states: 10000")
    monkeypatch.setattr(finite, "total_memory", lambda: 2.0**30)
    with pytest.warns(UserWarning, match=r"T: 1\.5 GiB where dense; taken as sparse, 0\.0 GiB"):
        domain = read(text)
    assert domain.transition_ASE[0].nnz == 10_000
    monkeypatch.setattr(finite, "is_installed", lambda module: False)
    with pytest.raises(UserError, match=r"T: 1\.5 GiB are needed .* scipy is not installed; .*\[finite\]"):
        read(text + "#")
