"""The trainer: what it does when, on an agent that only counts."""

import contextlib
import itertools
import json
import math
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ml_collections import ConfigDict

from buffers.episode_buffer import EpisodeBuffer
from policies.agents.base import Agent
from policies.training.experience.played import MEASURED, FreshEpisodes, Plan, ReplayedEnvs
from policies.training.observers import Evaluation, crossed
from policies.training.settings import Schedule
from policies.training.trainer import Averages, Record, Stopped, Trainer
from tests.helpers.envs import Countdown
from utils.checkpoint import load_checkpoint
from utils.device import device_of
from utils.errors import DivergenceError, UserError
from utils.logger import JsonlWriter, Logger
from utils.run import Run
from utils.stopping import UNFINISHED

H = 5


class Counting(Agent):
    """Random actions; an update counts, and remembers its batches."""

    device, learns_from = torch.device("cpu"), "replayed_envs"

    def __init__(self, wants_aux_batch=False, diverge_at=None, stop_at=None):
        super().__init__()
        self.wants_aux_batch, self.diverge_at, self.stop_at = wants_aux_batch, diverge_at, stop_at
        self.updates, self.batches, self.epsilon_steps = 0, [], []
        self.rng = np.random.default_rng(0)

    def act(self, obs_NO, prev_action_NA, prev_reward_N, start_N, carry, explore):
        if explore:
            self.epsilon_steps.append(self.env_steps)
        return self.rng.integers(2, size=len(obs_NO)), carry

    def update(self, batch, aux_batch=None):
        if self.updates == self.diverge_at:
            raise DivergenceError("the loss is nan")
        if self.updates == self.stop_at:
            signal.raise_signal(signal.SIGUSR1)
        self.updates += 1
        self.batches.append((batch, aux_batch))
        return {"loss": torch.tensor(float(self.updates))}

    def checkpoint(self):
        return {"updates": self.updates, "env_steps": self.env_steps, "rng": self.rng.bit_generator.state}

    def load_checkpoint(self, state):
        self.updates, self.env_steps, self.rng.bit_generator.state = state.values()


class Measuring(Counting):
    """One that has to be told of the domain's states before it learns."""

    seen = None

    @property
    def unmeasured(self):
        return self.seen is None

    def measure(self, batch):
        assert self.updates == 0
        self.seen = batch


class Watched(Trainer):
    """A trainer, and by short names what tests look at."""

    def train(self, saved):
        super().train(saved)
        return self.history if self.observers else []

    def __getattr__(self, name):
        if name in ("env_steps", "start_steps", "updates", "buffer", "envs"):
            return getattr(self.experience, name)
        found = {"total_steps": "experience.total", "history": "observers.0.history", "run": "record.run"}.get(name)
        if found is None:
            raise AttributeError(name)
        value = self
        for part in found.split("."):
            value = value[int(part)] if part.isdecimal() else getattr(value, part)
        return value


@pytest.fixture
def make(tmp_path):
    def trainer(agent=None, num_envs=4, horizon=H, expert=True, name="run", capacity=10_000, **schedule):
        plan = {
            "train_episodes": 40, "start_random": 3, "start_expert": 0, "updates_per_step": 0.25, "batch_size": 2,
            "aux_batch_size": 6,
        }  # fmt: skip
        when = {"log_interval": 30, "checkpoint_minutes": 5.0, "eval_interval": 50, "time_limit_hours": math.inf}
        when["began"] = None
        when = {key: schedule.pop(key, value) for key, value in when.items()}
        kept = []
        envs, eval_envs = (Countdown(n, horizon, expert) for n in (num_envs, 4))
        run = Run.create(tmp_path, name, {}, [])
        jsonl = JsonlWriter(run.metrics_path)
        buffer = EpisodeBuffer(envs.spec_sizes, capacity, horizon, seed=0)
        agent = agent or Counting()
        kind = {"replayed_envs": ReplayedEnvs, "fresh_episodes": FreshEpisodes}[agent.learns_from]
        experience = kind(envs, buffer, Plan(**plan | schedule), 0)
        record = Record(run, Logger([jsonl]), jsonl, lambda folder: kept.append((folder.name, experience.env_steps)))
        looked = ConfigDict({"episodes": 4, "interval": when.pop("eval_interval")})
        observers = [Evaluation(eval_envs, looked, 0, record.keep_best)]
        made = Watched(agent, experience, observers, Schedule(**when), record)
        made.kept = kept
        return made

    return trainer


def rows_of(trainer):
    return [json.loads(line) for line in trainer.run.metrics_path.read_text().splitlines()]


def test_steps_updates_evaluations_and_lines_come_when_they_are_due(make):
    trainer = make()
    history = trainer.train(None)
    start = trainer.start_steps
    assert trainer.total_steps == start + 40 * H
    assert trainer.total_steps <= trainer.env_steps < trainer.total_steps + 4
    assert trainer.updates == trainer.agent.updates == int(0.25 * trainer.env_steps)
    due = [start, *(next(n for n in range(start, 999, 4) if n >= k) for k in (50, 100, 150, 200)), trainer.env_steps]
    assert [row["step"] for row in history] == sorted(set(due))
    rows = rows_of(trainer)
    assert [row["step"] for row in rows if "eval/return" in row] == [row["step"] for row in history]
    logged = [row["step"] for row in rows if "updates" in row]
    assert logged[-1] == trainer.env_steps
    assert all(any(k <= step < k + 4 for step in logged) for k in range(30 * (start // 30 + 1), trainer.env_steps, 30))
    assert trainer.agent.epsilon_steps == list(range(start, trainer.env_steps, 4))


def test_a_lines_means_are_those_since_the_line_before(make):
    trainer = make()
    trainer.train(None)
    done = 0
    for row in rows_of(trainer):
        if "loss" in row:
            assert row["loss"] == pytest.approx(np.mean(range(done + 1, row["updates"] + 1)))
            done = row["updates"]
    assert done == trainer.updates


@pytest.mark.parametrize(("plan", "learns"), [({"updates_per_step": 0.001}, False), ({"updates_per_step": 0.01}, True)])
def test_a_run_without_an_update_says_so(make, plan, learns, recwarn):
    trainer = make(**plan)
    trainer.train(None)
    told = [str(warning.message) for warning in recwarn if "nothing was learned" in str(warning.message)]
    assert ((trainer.updates > 0), len(told)) == (learns, not learns)


@pytest.mark.parametrize("blind_from, times", [(5, 1), (None, 0)])
def test_a_policy_that_is_blind_is_told_of_once(make, blind_from, times, recwarn):
    class Seeing(Counting):
        def update(self, batch, aux_batch=None):
            blind = blind_from is not None and self.updates >= blind_from
            return super().update(batch, aux_batch) | {"policy/spread": torch.tensor(0.0 if blind else 1e-8)}

    trainer = make(Seeing())
    trainer.train(None)
    told = [str(warning.message) for warning in recwarn if "policy/spread is 0" in str(warning.message)]
    assert len(told) == times
    if times:
        blind = [row["step"] for row in rows_of(trainer) if row.get("policy/spread") == 0]
        assert len(blind) > 1 and told[0].startswith(f"run: at {blind[0]} of {trainer.total_steps} steps the policy's")


@pytest.mark.parametrize("aux", [True, False])
def test_a_second_batch_is_drawn_for_agents_that_ask(make, aux):
    trainer = make(Counting(wants_aux_batch=aux))
    trainer.train(None)
    for batch, second in trainer.agent.batches:
        assert batch.mask.shape[1] == 2
        assert (second is not None) == aux
        assert second is None or second.mask.shape[1] == 6


def test_demonstrations_succeed_are_protected_and_come_first(make):
    trainer = make(start_expert=5, capacity=60, train_episodes=60)
    trainer.train(None)
    buffer = trainer.buffer
    assert buffer._num_protected == 5
    for slot in range(5):
        first, length = buffer._first[slot], buffer._length[slot]
        assert (buffer._rows["action"][first : first + length] == 1).all()
    assert buffer._oldest > 0  # the ring went round


def test_a_signal_among_the_demonstrations_stops_with_nothing_saved(make, monkeypatch):
    trainer, kept = make(start_expert=5), []

    def keep(episode, protect=False):
        kept.append(episode)
        if len(kept) == 2:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(trainer.experience, "keep", keep)
    with pytest.raises(Stopped, match="stopped by SIGTERM"):
        trainer.train(None)
    assert len(kept) == 2
    assert load_checkpoint(trainer.run.checkpoint_dir) is None


@pytest.fixture
def clock(monkeypatch):
    """The trainer's clock, in seconds; it goes as a test says."""
    found = SimpleNamespace(now=0.0)
    monkeypatch.setattr("policies.training.trainer.time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def each_step_takes(trainer, clock, seconds):
    step = trainer.envs.step

    def slow(actions):
        clock.now += seconds
        return step(actions)

    trainer.envs.step = slow


@pytest.mark.parametrize("first", [{"start_random": 30}, {"start_expert": 30}, {"agent": Measuring()}])
def test_the_time_limit_ends_what_comes_before_training(make, clock, first):
    trainer = make(time_limit_hours=0.5, **first)  # of 4 envs, at 400 s a step
    each_step_takes(trainer, clock, 400)
    # not as what waits to be taken up: whoever does so would do it for ever
    with pytest.raises(UserError, match=r"^--time_limit=0\.5: .* end before training begins, and nothing .* give more"):
        trainer.train(None)
    assert 1800 < clock.now <= 1800 + H * 400, "the first episode that ends after it"
    assert load_checkpoint(trainer.run.checkpoint_dir) is None


def test_a_process_that_gets_no_further_writes_no_checkpoint(make):
    first = make()
    first.train(None)
    first.run.close()
    written = sorted(first.run.checkpoint_dir.iterdir())
    make().train(load_checkpoint(first.run.checkpoint_dir))
    assert sorted(first.run.checkpoint_dir.iterdir()) == written


def test_a_resumed_process_saves_within_the_minutes_of_its_own_start(make, clock):
    first = make(Counting(stop_at=5))
    with pytest.raises(Stopped):
        first.train(None)
    first.run.close()
    clock.now = 10_240.0
    again = make(began=10_000.0)  # 240 of its 300 s have gone into its start
    each_step_takes(again, clock, 20)
    again.train(load_checkpoint(again.run.checkpoint_dir))
    saved = [step for name, step in again.kept if name == "policy"]
    # by the step after 300 s of the process; then 300 s, or 15 steps of 4 envs, and the one after them
    assert saved[:2] == [first.env_steps + 4 * 4, first.env_steps + 4 * (4 + 16)]


def test_an_expert_that_never_succeeds_is_an_error_that_names_the_flag(make):
    trainer = make(start_expert=1)
    trainer.envs.expert_action = lambda guess_N: np.zeros(4, np.int64)
    with pytest.raises(UserError, match=r"--start_expert_training: after 20 rounds .* still lacks 1 .*episodes$"):
        trainer.train(None)


def test_demonstrations_of_an_env_that_tells_no_success_are_refused_with_why(make):
    trainer = make(start_expert=1)
    step = trainer.envs.step
    trainer.envs.step = lambda actions: (*step(actions)[:4], {})
    with pytest.raises(UserError, match="lacks 1 successful episodes; Countdown-v0 does not tell success"):
        trainer.train(None)


@pytest.mark.parametrize("terminal", [True, False])
def test_at_the_time_limit_the_discount_says_whether_it_is_terminal(make, terminal):
    trainer = make(time_limit_is_terminal=terminal)
    trainer.train(None)
    buffer = trainer.buffer
    slots = buffer._slots(np.arange(len(buffer)))
    last = buffer._first[slots] + buffer._length[slots] - 1
    discount, at_limit = buffer._rows["discount"][last], buffer._length[slots] == H
    assert at_limit.any()
    np.testing.assert_array_equal(discount, 0.0 if terminal else at_limit)


def test_without_prefill_training_waits_for_the_first_episode(make):
    trainer = make(start_random=0, updates_per_step=2.0)
    trainer.train(None)
    assert trainer.start_steps == 0
    assert trainer.updates == 2 * trainer.env_steps


def test_a_divergence_leaves_the_last_checkpoint(make):
    trainer = make(Counting(diverge_at=20))
    with pytest.raises(DivergenceError, match="the loss is nan after 20 updates"):
        trainer.train(None)
    saved = load_checkpoint(trainer.run.checkpoint_dir)
    assert saved["counters"]["env_steps"] == trainer.start_steps
    assert saved["agent"]["updates"] == saved["counters"]["updates"] == 0


def test_the_policy_is_kept_at_each_checkpoint_and_whenever_an_evaluation_is_the_best(make):
    trainer = make(checkpoint_minutes=0.0)
    history = trainer.train(None)
    best, steps = -np.inf, []
    for row in history:
        if row["return"] > best:
            best = row["return"]
            steps.append(row["step"])
    assert [step for name, step in trainer.kept if name == "policy_best"] == steps
    kept = [step for name, step in trainer.kept if name == "policy"]
    assert sorted(set(kept)) == list(range(trainer.start_steps, trainer.env_steps + 1, 4))


@pytest.mark.parametrize("updates_per_step", [0.25, 6.0])  # the 20th update is one of 24 that four steps earn
def test_a_signal_stops_after_the_update_saves_and_leaves_the_handlers_as_they_were(make, updates_per_step):
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    trainer = make(Counting(stop_at=20), updates_per_step=updates_per_step)
    with pytest.raises(Stopped, match="stopped by SIGUSR1") as stopped:
        trainer.train(None)
    assert trainer.updates == 21
    assert stopped.value.exit_code == UNFINISHED
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)] == handlers
    trainer.run.close()

    saved = load_checkpoint(trainer.run.checkpoint_dir)
    resumed, unbroken = (make(name=name, updates_per_step=updates_per_step) for name in ("run", "unbroken"))
    assert resumed.train(saved) == unbroken.train(None)
    assert resumed.agent.updates == unbroken.agent.updates

    def lines(trainer):
        return [{k: v for k, v in row.items() if not k.startswith("clock/")} for row in rows_of(trainer)]

    assert lines(resumed) == lines(unbroken)


def test_the_bar_counts_down_what_the_first_episodes_have_earned(make):
    told = []

    class Bar(contextlib.nullcontext):
        def update(self, steps):
            told.append(steps)

        def set_postfix(self, shown, refresh=True):
            told.append(shown)

    trainer = make(start_random=25, updates_per_step=1.0)
    trainer._show = lambda *about: Bar(Bar())
    trainer.train(None)
    name = "updates owed"
    expected = [[{name: n}, 0] for n in range(trainer.start_steps + 4, 99, -1) if n % 10 == 0]
    assert told[: told.index(4)] == list(itertools.chain.from_iterable(expected))
    assert not any(name in shown for shown in told[told.index(4) :] if isinstance(shown, dict))


def test_averages_start_anew_once_read():
    averages = Averages()
    averages.add({"a": 1.0, "b": torch.tensor(2.0)})
    averages.add({"a": 3.0})
    assert averages.read() == {"a": 2.0, "b": 2.0}
    averages.add({"a": 5.0})
    assert averages.read() == {"a": 5.0}


def test_an_average_of_what_is_told_now_and_then_is_over_all_and_of_what_never_is_none():
    averages = Averages()
    for told in (None, True, None, None):
        averages.add({"told": told, "untold": None})
    assert averages.read() == {"told": 0.25}


def test_crossed_by_hand():
    assert [crossed(a, b, 10) for a, b in ((0, 9), (0, 10), (10, 19), (9, 10), (11, 40))] == [
        False,
        True,
        False,
        True,
        True,
    ]


def test_devices():
    assert device_of(-1) == torch.device("cpu")
    with pytest.raises(UserError, match=f"--cuda={torch.cuda.device_count()}"):
        device_of(torch.cuda.device_count())


class OnPolicy(Counting):
    """Acts by the number of its updates, so that an episode tells which policy played it."""

    learns_from = "fresh_episodes"

    def act(self, obs_NO, prev_action_NA, prev_reward_N, start_N, carry, explore):
        assert explore, "it learns from what it explores"
        return np.full(len(obs_NO), self.updates % 2), carry


def test_an_on_policy_agent_learns_from_what_it_has_just_played_and_nothing_else(make):
    agent = OnPolicy()
    trainer = make(agent, train_episodes=12, batch_size=3, updates_per_step=0.0, eval_interval=10_000)
    trainer.observers = []  # which would act without exploring
    trainer.train(None)
    assert trainer.start_steps == 0, "no random episodes: it could not learn from them"
    assert agent.updates == len(agent.batches) >= 4
    for number, (batch, _) in enumerate(agent.batches):
        assert batch.mask.shape[1] == 3
        assert bool((batch.action[batch.mask > 0] == number % 2).all())
    assert trainer.env_steps == sum(int(batch.mask.sum()) for batch, _ in agent.batches)


def test_an_agent_that_must_know_its_states_is_shown_random_episodes_that_do_not_count(make):
    plain, agent = make(name="plain"), Measuring()
    trainer = make(agent)
    plain.train(None), trainer.train(None)
    assert agent.seen.mask.shape[1] == MEASURED
    assert len(agent.seen.state.distinct) > 1
    assert (trainer.env_steps, trainer.experience.episodes, len(trainer.buffer)) == (
        plain.env_steps, plain.experience.episodes, len(plain.buffer)
    )  # fmt: skip
    first, seen = make(name="again"), Measuring()
    first.agent = seen
    first.train(None)
    assert torch.equal(seen.seen.state.full(), agent.seen.state.full())  # by the run's seed


ODD = {
    "counters.updates": "",
    "counters.episodes": 10**9,
    "counters.env_steps": None,
    **{f"counters.env_steps ({steps})": steps for steps in (10**9, 10)},
    "counters.start_steps": 10**6,
    **{f"counters.updates ({updates})": updates for updates in (-1, 10**6)},
    "agent.env_steps": 10**6,
    "history.0.step (later)": 10**6,
    "counters.reported_steps": b"abc",
    "buffer.counters._used_rows": {},
    "buffer.counters._next_row": 1.5,
    "buffer.counters._newest": 10**9,
    "buffer.counters._oldest": 10**9,
    "buffer.rows.action": np.zeros(1000),
    "buffer.rows": {},
    "buffer.length": np.full(20, 10**6),
    "history.0.return": torch.zeros(3),
    "history.0.step": True,
    "averages.counts": {},
    "averages.sums.loss": "much",
    "metrics_offset": True,
}


@pytest.mark.filterwarnings("ignore:.*shorter than its checkpoint says")
@pytest.mark.parametrize("field", ODD)
def test_a_checkpoint_with_odd_content_is_refused_in_one_line(make, field):
    with pytest.raises(Stopped):
        make(Counting(stop_at=9)).train(None)
    trainer = make(name="other")
    saved = load_checkpoint(trainer.run.folder.parent / "run" / "checkpoint")
    make(name="whole")._load(saved)
    *path, last = (int(part) if part.isdecimal() else part for part in field.partition(" ")[0].split("."))
    inner = saved
    for part in path:
        inner = inner[part]
    inner[last] = ODD[field]
    with pytest.raises(UserError, match="does not fit this run") as caught:
        trainer.train(saved)
    assert "\n" not in str(caught.value)
