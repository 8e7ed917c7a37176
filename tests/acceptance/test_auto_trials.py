"""`--trials auto`: as many trials of every case as the gate needs, and not one more."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Done, Project

CASES = 40

AGENT = """
    import os, pathlib, time

    LOG = os.open("calls.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    PLAN = {plan}

    def answer(text, context):
        number, trial, case = int(text), context["trial"], context["case_id"]
        os.write(LOG, f"{{case}} {{trial}}\\n".encode())
        if pathlib.Path("slow").exists() and trial == 1:
            time.sleep(0.05)
        return "yes" if PLAN[min(trial, len(PLAN) - 1)](number) else "no"
"""

GATE = "  - {metric: exact_match, max_drop: 0.02}\n"

FLAKY = "[lambda n, t=t: n < 20 or (n // 2 + t) % 2 for t in range(10)]"
"""Half of the cases always pass, the others every other time."""


def write_agent(project: Project, plan: str) -> None:
    """An agent that gets the given cases right in each trial; the last entry repeats."""
    project.write("agent.py", AGENT.format(plan=plan))


def write_set(project: Project, gate: str = GATE, more: str = "") -> None:
    rows = [
        f"  - {{id: c{n}, input: '{n}', expected: 'yes', tags: [t{n % 2}]}}" for n in range(CASES)
    ]
    project.write(
        "set.yaml",
        f"agent: {{python: ./agent.py:answer}}\nconcurrency: 4\n{more}gate:\n{gate}cases:\n"
        + "\n".join(rows)
        + "\n",
    )


@pytest.fixture
def looked(project: Project) -> Project:
    """A set whose baseline of ten trials is flaky on half of its cases."""
    write_set(project)
    write_agent(project, FLAKY)
    record(project)
    return project


def record(project: Project, trials: int = 10) -> None:
    done = project.evalkit("baseline", "set.yaml", "--trials", str(trials))
    assert done.code == 0, done
    (project.folder / "calls.log").unlink()


def calls(project: Project) -> Counter[str]:
    log = project.folder / "calls.log"
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def run(project: Project, *options: str) -> Done:
    return project.evalkit("run", "set.yaml", "--format", "json", *options)


def decision(done: Done) -> dict[str, Any]:
    """What a report decides, and why."""
    parts = ("outcome", "exit_code", "reason", "tally", "checks", "notes")
    return {part: done.json[part] for part in parts}


def header(project: Project) -> Any:
    return json.loads((project.runs()[-1] / "run.json").read_text())


def agree_afterwards(project: Project, done: Done) -> None:
    """Hold the stored run to the same decision."""
    run_id = done.json["run"]["id"]
    for command in ("gate", "show"):
        again = project.evalkit(command, run_id, "--format", "json")
        assert decision(again) == decision(done)


WAVERS = "lambda n: n < 20 or n % 3 == 0"
"""A look at this leaves the gate undecided: the flaky cases pass a little less often."""
WORSE = "lambda n: n < 20"
"""A second look like this proves it."""


def test_what_one_look_shows_is_not_paid_for_twice(project: Project) -> None:
    write_set(project, "  - {metric: exact_match, max_drop: 0.02, margin: 0.1}\n")
    write_agent(project, "[lambda n: True]")
    record(project)
    done = run(project)
    assert (done.code, done.json["outcome"]) == (0, "pass")
    assert done.json["tally"]["selected"] == calls(project).total() == CASES
    assert done.json["notes"][0] == (
        "Decided after 1 of up to 5 trials per case: 160 agent runs saved."
    )
    agree_afterwards(project, done)
    # All is stored and scored, but a run that was interrupted after that did not stop by itself.
    for summary in (project.folder / ".evalkit/runs").glob("*/summary.json"):
        summary.unlink()
    cut = project.evalkit("gate", "latest", "--format", "json")
    assert (cut.code, cut.json["tally"]["counts"]["scored"]) == (0, CASES)
    assert not [note for note in cut.json["notes"] if note.startswith(("Decided", "Stopped"))]


def test_an_absolute_limit_alone_takes_no_more_looks(project: Project) -> None:
    write_set(
        project,
        "  - {metric: exact_match, max_drop: 0.02, margin: 0.1}\n"
        "  - {metric: exact_match, min: 0.99}\n",
    )
    write_agent(project, "[lambda n: True]")
    record(project)
    done = run(project)
    assert (done.code, done.json["outcome"]) == (0, "inconclusive")
    assert done.json["notes"][0] == (
        "Stopped after 1 of up to 5 trials per case, because more trials decide only pass rates that are "
        "compared with the baseline, and none of these is inconclusive."
    )


def test_a_broken_agent_fails_at_the_first_look(looked: Project) -> None:
    write_agent(looked, "[lambda n: n >= 20]")
    done = run(looked, "--trials", "auto")
    assert (done.code, done.json["outcome"]) == (1, "fail")
    assert calls(looked).total() == CASES
    assert "160 agent runs saved" in done.json["notes"][0]
    agree_afterwards(looked, done)


def test_a_second_look_is_taken_while_the_first_decides_nothing(looked: Project) -> None:
    write_agent(looked, f"[{WAVERS}, {WORSE}]")
    done = run(looked)
    assert done.code == 1, done.out
    assert done.json["run"]["trials"] == 2
    assert done.json["tally"]["selected"] == calls(looked).total() == 2 * CASES
    assert done.json["notes"][0].startswith("Decided after 2 of up to 5 trials per case: 120 agent")
    assert done.json["checks"][0]["rule"]["alpha"] == 0.02
    assert "96% interval" in done.json["checks"][0]["sentence"]
    agree_afterwards(looked, done)


def test_four_looks_are_all_there_are(looked: Project) -> None:
    done = run(looked, "--on-inconclusive", "fail")
    assert (done.code, done.json["outcome"]) == (3, "inconclusive")
    assert calls(looked).total() == 5 * CASES
    assert "Took 5 of up to 5 trials" in done.json["notes"][0]
    agree_afterwards(looked, done)


@pytest.mark.parametrize(
    ("gate", "options", "trials"),
    [
        pytest.param(GATE, ["--trials", "2"], 2, id="a number was asked for"),
        pytest.param("  - {metric: exact_match, min: 0.5}\n", [], 1, id="nothing compares"),
        pytest.param(
            "  - {metric: exact_match, max_drop: 0.1, test: point}\n", [], 1, id="no test"
        ),
    ],
)
def test_where_a_look_cannot_help_the_number_of_trials_is_fixed(
    looked: Project, gate: str, options: list[str], trials: int
) -> None:
    write_set(looked, gate)
    done = run(looked, *options)
    assert done.json["run"]["trials"] == trials
    assert not any("runs saved" in note or "Took" in note for note in done.json["notes"])
    assert done.json["checks"][0]["rule"]["alpha"] == 0.05


def test_the_eval_set_may_say_auto_and_the_command_line_a_number(looked: Project) -> None:
    write_set(looked, more="trials: auto\n")
    assert run(looked).json["run"]["trials"] == 5
    write_set(looked, more="trials: 1\n")
    assert run(looked).json["run"]["trials"] == 1
    assert run(looked, "--trials", "auto").json["run"]["trials"] == 5


@pytest.mark.parametrize("trials", ["0", "many", "-1", "1.5", "²"])
def test_other_words_for_trials_are_refused(looked: Project, trials: str) -> None:
    done = looked.evalkit("run", "set.yaml", "--trials", trials)
    assert done.code == 2
    assert "auto" in done.err


def test_a_baseline_of_two_trials_is_not_looked_at(project: Project) -> None:
    write_set(project)
    write_agent(project, FLAKY)
    record(project, trials=2)
    assert run(project).json["run"]["trials"] == 1


def test_a_dry_run_says_how_many_trials_there_may_be(looked: Project) -> None:
    done = looked.evalkit("run", "set.yaml", "--dry-run")
    assert "1 per case, 40 agent calls in total; up to 5 per case" in done.out
    assert run(looked, "--dry-run").json["most_trials"] == 5


def test_two_rules_go_on_while_one_of_them_is_open(looked: Project) -> None:
    rules = [f"  - {{metric: exact_match, max_drop: 0.02, tag: t{n}}}\n" for n in range(2)]
    write_set(looked, "".join(rules))
    done = run(looked)
    assert "inconclusive" in [check["outcome"] for check in done.json["checks"]]
    assert done.json["run"]["trials"] == 5
    write_agent(looked, "[lambda n: n % 2 == 0]")
    broken = run(looked)
    assert "fail" in [check["outcome"] for check in broken.json["checks"]]
    assert broken.json["run"]["trials"] == 1, "one that failed settles it"


def test_trials_lost_beyond_the_budget_are_not_followed_by_more(looked: Project) -> None:
    write_agent(looked, "[lambda n: 1 / (n - 20) and n < 20]")
    done = run(looked)
    assert (done.code, done.json["run"]["trials"]) == (3, 1)
    assert "more would not lead to a decision" in done.json["notes"][0]


def test_a_recording_is_looked_at_no_more_often_than_it_was_recorded(looked: Project) -> None:
    def line(number: int, trial: int) -> str:
        return json.dumps(
            {
                "case": f"c{number}",
                "trial": trial,
                "output": "yes" if number < 20 or (number // 2 + trial) % 2 else "no",
            }
        )

    rows = [line(n, t) for n in range(CASES) for t in range(2)]
    looked.write("answers.jsonl", "\n".join(rows) + "\n")
    text = (looked.folder / "set.yaml").read_text()
    looked.write(
        "set.yaml", text.replace("{python: ./agent.py:answer}", "{recorded: answers.jsonl}")
    )
    assert run(looked).json["tally"]["errors"] == 0
    assert header(looked)["looks"] == 2


def test_parts_are_merged_into_a_whole_with_the_plain_alpha(looked: Project) -> None:
    for part in ("1/2", "2/2"):
        done = run(looked, "--shard", part, "--run-id", f"part-{part[0]}")
        assert done.json["run"]["trials"] == 1
        assert "`evalkit merge` decides" in done.json["notes"][0]
    whole = looked.evalkit("merge", "part-1", "part-2", "--format", "json")
    assert whole.json["tally"]["selected"] == CASES
    assert whole.json["checks"][0]["rule"]["alpha"] == 0.05


def wait_until(condition: Callable[[], bool], limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def stop_in_second_look(project: Project, number: signal.Signals) -> None:
    (project.folder / "slow").touch()
    process = subprocess.Popen(
        project.command("run", "set.yaml", "--run-id", "cut"),
        cwd=project.folder,
        env=project.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: sum(row["number"] == 1 for row in stored(project)) >= 5)
    process.send_signal(number)
    process.wait()
    (project.folder / "slow").unlink()
    assert header(project)["trials"] == 2


def stored(project: Project) -> list[dict[str, Any]]:
    """The whole lines of the run `cut`."""
    path = project.folder / ".evalkit/runs/cut/trials.jsonl"
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("second", [WAVERS, WORSE], ids=["undecided", "decided"])
def test_a_run_stopped_in_its_second_look_goes_on_with_it(
    looked: Project, number: signal.Signals, second: str
) -> None:
    write_agent(looked, f"[{WAVERS}, {second}, {WORSE}]")
    stop_in_second_look(looked, number)
    kept = {(row["case_id"], row["number"]) for row in stored(looked)}
    assert CASES < len(kept) < 2 * CASES
    halfway = looked.evalkit("gate", "cut", "--format", "json")
    assert halfway.code == 3
    before = calls(looked)
    resumed = run(looked, "--resume", "--run-id", "cut")
    again = calls(looked) - before
    assert not {(call.split()[0], int(call.split()[1])) for call in again} & kept, "paid twice"
    wanted = 2 if second == WORSE else 3
    assert resumed.json["run"]["trials"] == wanted
    assert resumed.json["tally"]["counts"]["scored"] == wanted * CASES
    agree_afterwards(looked, resumed)
    uncut = run(looked, "--run-id", "uncut")
    assert decision(uncut) == decision(resumed)
    before = calls(looked)
    finished = run(looked, "--resume", "--run-id", "cut")
    assert decision(finished) == decision(resumed)
    assert calls(looked) == before, "a finished run was paid for again"


def test_a_further_look_leaves_the_order_of_runs_as_it_was(looked: Project) -> None:
    run(looked, "--run-id", "first")
    run(looked, "--run-id", "second", "--trials", "1")
    folder = looked.folder / ".evalkit/runs"
    (folder / "first" / "summary.json").unlink()
    done = run(looked, "--resume", "--run-id", "first")
    assert done.json["run"]["trials"] == 5
    assert looked.evalkit("show", "latest", "--format", "json").json["run"]["id"] == "second"


def test_a_run_cannot_be_resumed_with_another_number_of_trials(looked: Project) -> None:
    run(looked, "--run-id", "one")
    done = looked.evalkit("run", "set.yaml", "--resume", "--run-id", "one", "--trials", "2")
    assert done.code == 2
    assert "trials was 'auto', is 2" in done.err


def test_an_absolute_limit_keeps_its_alpha(looked: Project) -> None:
    write_set(looked, GATE + "  - {metric: exact_match, min: 0.1}\n")
    done = run(looked)
    assert [check["rule"]["alpha"] for check in done.json["checks"]] == [0.015, 0.05]


SILENT = 10
"""Cases that never pass in the baseline of `silent`."""


@pytest.fixture
def silent(project: Project) -> Project:
    """A set whose baseline never passes ten cases, always passes ten, and is flaky on the others."""
    write_set(project)
    write_agent(
        project,
        "[lambda n, t=t: 10 <= n < 20 or (n >= 20 and (n // 2 + t) % 2) for t in range(10)]",
    )
    record(project)
    return project


def test_cases_that_never_passed_take_one_trial_and_new_passes_only_feed_the_test(
    silent: Project,
) -> None:
    # c0 passes for the first time; c1 to c9 still fail. The flaky cases leave the gate inconclusive.
    write_agent(
        silent,
        "[lambda n, t=t: n == 0 or 10 <= n < 20 or (n >= 20 and (n // 2 + t) % 2)"
        " for t in range(10)]",
    )
    done = run(silent, "--run-id", "left")
    most = done.json["run"]["trials"]
    assert most == 5, done.out
    wanted = (CASES - SILENT + 1) * most + SILENT - 1
    made = calls(silent)
    assert made.total() == done.json["tally"]["selected"] == wanted
    assert {call.split()[0]: 0 for call in made}.keys() == {f"c{n}" for n in range(CASES)}
    assert sum(call.startswith("c0 ") for call in made) == most
    assert sum(call.startswith("c1 ") for call in made) == 1
    stored_header = header(silent)
    assert stored_header["counted"] == {f"c{n}": 1 for n in range(SILENT)}
    assert stored_header["extra"] == {"c0": most - 1}
    assert "9 cases that never passed took one trial." in done.json["notes"][0]
    # The mean counts c0 once; its further passes are evidence for the test alone.
    (check,) = done.json["checks"]
    metric = next(each for each in done.json["metrics"] if each["metric"] == "exact_match")
    assert metric["mean"] == pytest.approx(check["candidate"])
    agree_afterwards(silent, done)
    shown = silent.evalkit("show", "left", "c0", "--format", "json")
    assert len(shown.json["trials"]) == most
    again = silent.evalkit("score", "left", "--format", "json")
    assert again.json["tally"]["selected"] == wanted
    assert again.json["checks"][0]["candidate"] == check["candidate"]


def test_a_baseline_that_never_passed_gets_no_second_look(project: Project) -> None:
    write_set(project)
    write_agent(project, "[lambda n: False]")
    record(project)
    done = run(project)
    assert calls(project).total() == CASES
    assert done.json["run"]["trials"] == 1
    agree_afterwards(project, done)
