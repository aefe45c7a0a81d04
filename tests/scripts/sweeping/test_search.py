"""A search over fields: what it tells, and that it goes on."""

import json

import pytest

from scripts.sweeping import search
from tests.helpers.sweeps import sweep_of, train
from utils.errors import UserError


def search_sweep(tmp_path, **changed):
    fields = {"x": {"low": -1.0, "high": 1.0}, "kind": {"choices": ("a", "b")}, "n": {"low": 1, "high": 3}}
    settings = {"metric": "final.success", "trials": 12, "fields": fields} | changed
    stage = train(("trial", "seed"), "--do=ok", "--x={x}", "--kind={kind}", "--n={n}", "--seed={seed}")
    return sweep_of(tmp_path, {"seed": (0, 1)}, {"t": stage}, search=settings)


def test_a_search_tells_the_mean_over_seeds_and_goes_on_where_it_was_stopped(tmp_path):
    sweep = search_sweep(tmp_path)
    calls = []

    def execute(jobs):
        calls.append([job.id for job in jobs])
        if len(calls) == 3:
            return False
        for job in jobs:
            flags = dict(word.split("=", 1) for word in job.words[1:])
            assert flags["--kind"] in "ab" and flags["--n"] in "123" and -1 <= float(flags["--x"]) <= 1
            if job.trial != 4:
                job.folder.mkdir(parents=True)
                value = float(flags["--x"]) + int(flags["--seed"])  # the mean over seeds: x + 0.5
                job.done_file.write_text(json.dumps({"final": {"success": value}}))
        return True

    assert search.Search(sweep).run(execute, 2) is False
    assert calls == [[f"t/t{k}_s{seed}" for k in (n, n + 1) for seed in (0, 1)] for n in (0, 2, 4)]
    again = search.Search(sweep)  # a new process
    assert again.run(execute, 2) is True
    assert calls[3] == calls[2], "what was open is taken up, with the fields that it had"
    assert len(again.trials()) == 12
    drawn = [tuple(fields.values()) for fields in again.trials().values()]
    assert len(set(drawn)) == 12, "a process that goes on draws anew"
    values = {trial.number: trial.value for trial in again.study.get_trials()}
    assert values.pop(4) is None
    for number, value in values.items():
        assert value == pytest.approx(again.trials()[number]["x"] + 0.5)
    assert again.report().splitlines()[0].split()[1] == str(max(values, key=values.get))
    assert "11 trials, 1 failed" in again.report()
    again.run(lambda jobs: pytest.fail("nothing is left"), 2)


def test_a_search_with_other_choices_is_another_search(tmp_path):
    search.Search(search_sweep(tmp_path)).run(lambda jobs: False, 2)
    kinds = {"x": {"low": -1.0, "high": 1.0}, "kind": {"choices": ("a", "c")}, "n": {"low": 1, "high": 3}}
    with pytest.raises(UserError, match=r"search\.fields\.kind: .* another name"):
        search.Search(search_sweep(tmp_path, fields=kinds))
    wider = kinds | {"kind": {"choices": ("a", "b")}, "x": {"low": -2.0, "high": 1.0}}
    search.Search(search_sweep(tmp_path, fields=wider))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"metric": ""}, "search.metric"),
        ({"direction": "up"}, "search.direction"),
        ({"trials": 0}, "search.trials"),
        ({"seed": 2**64}, "search.seed: a whole number below"),
        ({"seed": -1}, "search.seed: a whole number from 0 on"),
        ({"fields": {}}, "search.fields is empty"),
        ({"fields": {"x": {"low": 2, "high": 1}}}, "search.fields.x"),
        ({"fields": {"x": {"low": 0.0, "high": 1.0, "log": True}}}, "low must be above 0"),
        ({"feilds": {}}, "did you mean 'fields'?"),
        ({"fields": {"kind": {"choices": (1, 2)}, "n": {"choices": (1, 2)}}}, "unknown {x}"),
        ({"fields": {"y": {"choices": (1, 2)}}}, "search.fields.y: no stage has a flag with {y}"),
        ({"fields": {"seed": {"choices": (1, 2)}}}, "search.fields.seed: choose another name"),
        ({"fields": {"x": 0.1}}, "search.fields.x: a group of fields"),
        ({"fields": {"x": {"low": "0", "high": 1}}}, "search.fields.x.low: a number"),
        ({"fields": {"x": {"low": 0.0, "high": float("inf")}}}, "search.fields.x.high: a number"),
        ({"fields": {"x": {"choices": "ab"}}}, "search.fields.x.choices: a tuple"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(tmp_path, changed, said):
    with pytest.raises(UserError) as refused:
        sweep = search_sweep(tmp_path, **changed)
        sweep.jobs(search.example(sweep))
    assert said in str(refused.value)


def test_a_stage_that_uses_a_searched_field_is_told_to_be_over_trials(tmp_path):
    stage = train(("seed",), "--seed={seed}", "--x={x}")
    settings = {"metric": "final.success", "fields": {"x": {"low": 0.0, "high": 1.0}}}
    sweep = sweep_of(tmp_path, {"seed": (0, 1)}, {"t": stage}, search=settings)
    with pytest.raises(UserError, match=r"stages.t: \{x\} is a trial's; add 'trial' to the stage's over"):
        sweep.jobs(search.example(sweep))


def test_a_metric_that_no_summary_has_is_refused(tmp_path):
    sweep = search_sweep(tmp_path, metric="final.sucess")

    def execute(jobs):
        for job in jobs:
            job.folder.mkdir(parents=True)
            job.done_file.write_text('{"final": {"success": 1}}')
        return True

    with pytest.raises(UserError, match=r"search.metric: .*'final.sucess'"):
        search.Search(sweep).run(execute, 1)


@pytest.mark.parametrize("summary", ['{"final": {"return": 1.0}}', "{}", "[]", "3", '{"final": {"succ'])
def test_a_summary_without_the_success_that_is_asked_for_is_one_line_that_says_what_to_ask_for(tmp_path, summary):
    sweep = search_sweep(tmp_path)

    def execute(jobs):
        for job in jobs:
            job.folder.mkdir(parents=True, exist_ok=True)
            job.done_file.write_text(summary)
        return True

    for _ in range(2):  # the same command says the same
        with pytest.raises(
            UserError, match=r"no number 'final.success'; where the env does not tell success, ask for a"
        ):
            search.Search(sweep).run(execute, 1)


def staged(tmp_path, **changed):
    """A search whose trials all need one job."""
    fields = {"x": {"low": 0.5, "high": 1.0}}
    settings = {"metric": "final.success", "trials": 3, "fields": fields} | changed
    stages = {"first": train((), "--do=ok"), "t": train(("trial",), "--do=ok", "--x={x}", "--needs={first}")}
    return sweep_of(tmp_path, {}, stages, search=settings)


def finish(jobs):
    for job in jobs:
        job.folder.mkdir(parents=True, exist_ok=True)
        job.done_file.write_text(json.dumps({"final": {"success": 0.5}}))
    return True


def answer_one(sweep):
    """Has the first trials come to an end, and is stopped in the next."""
    ended = []
    assert search.Search(sweep).run(lambda jobs: not ended and (ended.append(finish(jobs)) or True), 2) is False


def test_a_failure_before_the_trials_costs_none_of_them(tmp_path):
    stuck = search.Search(staged(tmp_path))
    assert stuck.run(lambda jobs: True, 2) is False
    assert stuck.blocked.stage == "first"
    begun = stuck.trials(unfinished=True)
    assert len(begun) == 2
    again = search.Search(staged(tmp_path))  # the cause is gone
    assert again.run(finish, 2) is True and again.blocked is None
    assert "3 trials, 0 failed" in again.report()
    assert {number: again.trials()[number] for number in begun} == begun


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"metric": "final.return"}, r"search\.metric: .* was begun with final\.success, not final\.return"),
        ({"direction": "minimize"}, r"search\.direction: .* was begun with maximize, not minimize"),
        ({"fields": {"x": {"low": 0.5, "high": 1.0, "log": True}}}, r"search\.fields\.x: .* another name"),
    ],
)
def test_another_question_is_another_search(tmp_path, changed, said):
    answer_one(staged(tmp_path))
    with pytest.raises(UserError, match=said):
        search.Search(staged(tmp_path, **changed))
    assert search.Search(staged(tmp_path)).run(finish, 2) is True, "as it was it goes on"


def test_other_flags_are_another_search(tmp_path):
    answer_one(staged(tmp_path))
    longer = staged(tmp_path)
    longer.more["t"] = ["--train_episodes=9"]
    with pytest.raises(UserError, match=r"stages\.t: .* another name"):
        search.Search(longer)
    assert search.Search(staged(tmp_path)).run(finish, 2) is True


@pytest.mark.parametrize("asked", [0, 2])
def test_while_no_trial_has_come_to_an_end_flags_and_metric_may_be_corrected(tmp_path, asked):
    wrong = search.Search(staged(tmp_path))
    if asked:
        assert wrong.run(lambda jobs: True, asked) is False and wrong.blocked is not None
    corrected = staged(tmp_path, metric="final.return")
    corrected.more |= {"first": ["--do=right"], "t": ["--train_episodes=9"]}
    again, ran = search.Search(corrected), []

    def execute(jobs):
        ran.extend(jobs)
        for job in jobs:
            job.folder.mkdir(parents=True, exist_ok=True)
            job.done_file.write_text(json.dumps({"final": {"return": 2.0}}))
        return True

    assert again.run(execute, 2) is True
    assert "3 trials, 0 failed" in again.report()
    assert again.trials().items() >= wrong.trials().items(), "what was asked for stays"
    assert all({"first": "--do=right", "t": "--train_episodes=9"}[job.stage] in job.words for job in ran)
    with pytest.raises(UserError, match=r"search\.metric: .* was begun with final\.return"):
        search.Search(staged(tmp_path))


def test_another_range_is_told(tmp_path):
    search.Search(staged(tmp_path)).run(finish, 2)
    wider = staged(tmp_path, fields={"x": {"low": 0.25, "high": 1.0}}, trials=4)
    with pytest.warns(UserWarning, match=r"search\.fields\.x: .* from 0\.5 to 1\.0, not from 0\.25 to 1\.0") as told:
        again = search.Search(wider)
    assert len(told) == 1
    assert again.run(finish, 2) is True and "4 trials, 0 failed" in again.report()


def test_a_kill_between_a_trial_and_its_fields_costs_that_trial_alone(tmp_path):
    begun = search.Search(staged(tmp_path))
    begun.study.ask()  # and no field yet
    again = search.Search(staged(tmp_path))
    assert again.run(finish, 2) is True
    assert "3 trials, 0 failed" in again.report()
    assert "3 trials, 0 failed" in search.Search(staged(tmp_path), ours=False).report()


def test_half_a_line_at_the_end_of_the_journal_is_cut(tmp_path):
    search.Search(staged(tmp_path)).run(lambda jobs: False, 2)
    path = staged(tmp_path).folder / search.STORAGE
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "wor')
    assert search.Search(staged(tmp_path), ours=False).trials()
    assert path.read_bytes().endswith(b"wor"), "who only looks changes nothing"
    assert search.Search(staged(tmp_path)).run(finish, 2) is True
    assert "3 trials, 0 failed" in search.Search(staged(tmp_path)).report()
