"""`broken_cases`: a case that newly fails is run again, and only its fresh trials count against it."""

from __future__ import annotations

import json
import subprocess
import time
from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.stats

from evalkit.stats.multiplicity import compare_case, find_significant
from tests.conftest import Done, Project

CASES = 40

AGENT = """
    import os, pathlib, time

    LOG = os.open("calls.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def answer(text, context):
        number, trial = int(text), context["trial"]
        os.write(LOG, f"c{{number}} {{trial}}\\n".encode())
        if pathlib.Path("slow").exists() and trial:
            time.sleep(0.3)
        return "no" if {fails} else "yes"
"""

STEADY = "False"
WAVERING = "number < 5 and trial in (0, 9)"
"""Five cases fail the first trial, and the last of ten."""
BROKEN = "number in (3, 17)"

GATE = "  - {broken_cases: 0}\n"


def write_set(project: Project, gate: str = GATE) -> None:
    rows = [f"  - {{id: c{n}, input: '{n}', expected: 'yes'}}\n" for n in range(CASES)]
    project.write(
        "set.yaml",
        "agent: {python: ./agent.py:answer}\nconcurrency: 4\n"
        f"gate:\n{gate}cases:\n{''.join(rows)}",
    )


def change_agent(project: Project, fails: str) -> None:
    project.write("agent.py", AGENT.format(fails=fails))
    (project.folder / "calls.log").unlink(missing_ok=True)


def prepare(project: Project, fails: str, gate: str = GATE, trials: int = 10) -> Project:
    """A set with a baseline of an agent that fails so."""
    write_set(project, gate)
    change_agent(project, fails)
    done = project.evalkit("baseline", "set.yaml", "--trials", str(trials))
    assert done.code == 0, done
    change_agent(project, fails)
    return project


def calls(project: Project) -> list[str]:
    return (project.folder / "calls.log").read_text().splitlines()


def run(project: Project, *options: str) -> Done:
    return project.evalkit("run", "set.yaml", "--format", "json", *options)


def decision(done: Done) -> dict[str, Any]:
    parts = ("outcome", "exit_code", "reason", "tally", "checks", "notes")
    return {part: done.json[part] for part in parts}


def agree_afterwards(project: Project, done: Done) -> None:
    for command in ("gate", "show"):
        again = project.evalkit(command, done.json["run"]["id"], "--format", "json")
        assert decision(again) == decision(done)


def test_broken_cases_are_run_again_and_named(project: Project) -> None:
    prepare(project, STEADY)
    change_agent(project, BROKEN)
    done = run(project)
    assert (done.code, done.json["outcome"]) == (1, "fail")
    assert done.json["checks"][0]["sentence"] == (
        "FAIL broken cases: 2 proven, at most 0 allowed: c3 (5/5 -> 0/4), c17 (5/5 -> 0/4). "
        "2 stable cases newly failed and had fresh trials."
    )
    assert done.json["tally"]["selected"] == len(calls(project)) == CASES + 8
    agree_afterwards(project, done)


def test_fresh_trials_enter_no_other_number(project: Project) -> None:
    prepare(project, STEADY)
    change_agent(project, BROKEN)
    done = run(project)
    [summary] = done.json["metrics"]
    assert (summary["due"], summary["mean"]) == (CASES, 38 / 40)
    assert [len(case["trials"]) for case in done.json["cases"]] == [1] * CASES
    facts = " ".join(project.evalkit("show", "latest").out.split())
    assert "40 cases x 1 trial and 8 fresh trials of 2 cases" in facts
    shown = project.evalkit("show", "latest", "c17")
    assert "Fresh trial 4" in shown.out
    as_json = project.evalkit("show", "latest", "c17", "--format", "json").json
    assert [trial["passed"] for trial in as_json["fresh_trials"]] == [False] * 4


def test_an_unchanged_agent_that_wavers_passes(project: Project) -> None:
    prepare(project, WAVERING)
    done = run(project)
    assert (done.code, done.json["outcome"]) == (0, "pass")
    assert done.json["tally"]["selected"] == CASES + 5 * 4
    sentence = done.json["checks"][0]["sentence"]
    assert sentence.startswith("PASS broken cases: 0 proven, at most 0 allowed.")
    assert "5 stable cases newly failed and had fresh trials." in sentence
    agree_afterwards(project, done)


def test_the_failure_a_case_was_chosen_for_is_no_proof(project: Project) -> None:
    prepare(project, STEADY)
    change_agent(project, "number == 3 and trial == 0")
    assert run(project).code == 0
    change_agent(project, "number == 3 and trial in (0, 1, 2, 3, 4)")
    assert run(project).code == 1


def test_what_was_unstable_or_failed_before_is_not_run_again(project: Project) -> None:
    prepare(project, "number == 3 or (number == 4 and trial % 2 == 0)")
    done = run(project)
    assert len(calls(project)) == CASES
    assert "No stable case failed." in done.json["checks"][0]["sentence"]


def test_as_many_may_be_broken_as_the_rule_says(project: Project) -> None:
    prepare(project, STEADY, "  - {broken_cases: 2}\n")
    change_agent(project, BROKEN)
    done = run(project)
    assert done.code == 0
    assert [hit["case_id"] for hit in done.json["checks"][0]["hits"]] == ["c3", "c17"]


def test_fresh_trials_come_after_the_looks(project: Project) -> None:
    prepare(project, STEADY, "  - {metric: exact_match, max_drop: 0.02}\n" + GATE)
    change_agent(project, BROKEN)
    done = run(project)
    assert [check["outcome"] for check in done.json["checks"]] == ["fail", "fail"]
    assert len(calls(project)) == CASES + 8
    agree_afterwards(project, done)


def test_a_run_without_fresh_trials_is_undecided_until_it_is_resumed(project: Project) -> None:
    prepare(project, STEADY, "  - {max_regressed: 9}\n")
    change_agent(project, BROKEN)
    assert run(project, "--run-id", "old").code == 0
    write_set(project)
    undecided = project.evalkit("gate", "old", "--format", "json")
    assert undecided.code == 3
    assert "evalkit run set.yaml --resume --run-id old" in undecided.json["reason"]
    resumed = run(project, "--resume", "--run-id", "old")
    assert resumed.code == 1
    assert len(calls(project)) == CASES + 8


def test_a_small_baseline_proves_nothing(project: Project) -> None:
    prepare(project, STEADY, trials=3)
    change_agent(project, BROKEN)
    done = run(project)
    assert done.code == 3
    assert "proof needs 5 baseline trials of a case, and there are 3" in done.json["reason"]
    assert len(calls(project)) == CASES


def test_without_a_baseline_it_says_so(project: Project) -> None:
    write_set(project)
    change_agent(project, STEADY)
    assert "there is no baseline yet" in run(project).json["reason"]
    assert run(project, "--allow-missing-baseline").code == 0


def test_fresh_trials_that_are_lost_leave_the_run_undecided(project: Project) -> None:
    prepare(project, STEADY)
    up = "__import__('os').path.exists('up')"
    change_agent(project, f"number == 3 and 1 / (0 if trial and not {up} else 1)")
    done = run(project)
    assert done.code == 3
    assert done.json["tally"]["counts"]["agent_error"] == 4
    (project.folder / "up").touch()
    (project.folder / "calls.log").unlink()
    again = run(project, "--resume", "--run-id", done.json["run"]["id"], "--retry-errors")
    assert again.code == 1
    assert len(calls(project)) == 4


def test_a_run_killed_among_its_fresh_trials_goes_on_with_them(project: Project) -> None:
    prepare(project, STEADY)
    change_agent(project, "number < 5")
    (project.folder / "slow").touch()
    process = subprocess.Popen(
        project.command("run", "set.yaml", "--run-id", "cut"),
        cwd=project.folder,
        env=project.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    rows = project.folder / ".evalkit/runs/cut/trials.jsonl"
    deadline = time.monotonic() + 30
    while not (rows.exists() and rows.read_bytes().count(b"\n") >= CASES + 5):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    process.kill()
    process.wait()
    (project.folder / "slow").unlink()
    kept = [json.loads(line) for line in rows.read_bytes().split(b"\n")[:-1]]
    assert CASES < len(kept) < CASES + 20
    assert project.evalkit("gate", "cut").code == 3
    before = len(calls(project))
    resumed = run(project, "--resume", "--run-id", "cut")
    assert resumed.code == 1
    assert len(calls(project)) - before == CASES + 20 - len(kept)
    agree_afterwards(project, resumed)
    assert decision(run(project, "--run-id", "uncut")) == decision(resumed)
    before = len(calls(project))
    assert decision(run(project, "--resume", "--run-id", "cut")) == decision(resumed)
    assert len(calls(project)) == before


def test_parts_with_fresh_trials_merge_into_the_whole(project: Project) -> None:
    prepare(project, STEADY)
    change_agent(project, BROKEN)
    for part in ("1/2", "2/2"):
        run(project, "--shard", part, "--run-id", f"part-{part[0]}")
    merged = project.evalkit("merge", "part-1", "part-2", "--format", "json")
    assert merged.code == 1
    whole = run(project)
    assert merged.json["checks"] == whole.json["checks"]
    agree_afterwards(project, merged)


def test_a_run_with_fresh_trials_can_become_the_baseline(project: Project) -> None:
    prepare(project, WAVERING)
    done = run(project, "--trials", "5")
    assert project.evalkit("baseline", "set.yaml", "--from", done.json["run"]["id"]).code == 0
    [line, *_] = (project.folder / "baselines/set.jsonl").read_text().splitlines()
    assert "fresh" not in json.loads(line)
    assert run(project).json["baseline"]["trials"] == 5


@pytest.mark.parametrize(("base_trials", "trials"), [(5, 4), (3, 2), (1, 4)])
def test_a_case_is_tested_as_fisher_would(base_trials: int, trials: int) -> None:
    for before, now in product(range(base_trials + 1), range(trials + 1)):
        found = compare_case(before, base_trials, now, trials)
        table = np.array([[now, trials - now], [before, base_trials - before]])
        assert found.p_value == pytest.approx(scipy.stats.fisher_exact(table, "less")[1])
        assert found.min_p_value <= found.p_value + 1e-12


def test_what_cannot_be_proven_takes_no_alpha_from_what_can() -> None:
    broken = compare_case(5, 5, 0, 4)
    wavering = compare_case(4, 5, 3, 4)
    assert find_significant([broken, *[wavering] * 20], 0.05) == [True] + [False] * 20
    assert find_significant([broken] * 6, 0.05) == [True] * 6
    assert find_significant([], 0.05) == []


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("cases", [1, 6, 20])
def test_unchanged_cases_are_hardly_ever_called_broken(rate: float, cases: int) -> None:
    rng = np.random.default_rng(5)
    draws = 1000
    alarms = 0
    for _ in range(draws):
        rows = zip(rng.binomial(5, rate, cases), rng.binomial(4, rate, cases), strict=True)
        tests = [compare_case(int(before), 5, int(now), 4) for before, now in rows]
        alarms += any(find_significant(tests, 0.05))
    # Three standard errors above .05.
    assert alarms / draws <= 0.05 + 0.02
