"""`--budget-usd` and `--budget-trials`: trials that a budget buys, and what they detect, said beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import evalkit
from tests.conftest import Done, Project

SCHEMA = json.loads((Path(evalkit.__file__).parent / "schemas" / "report.schema.json").read_text())

CASES = 40
AGENT = """
    COST = {cost}

    def answer(text, context):
        number, trial = int(text), context["trial"]
        if number < 8:
            right = {silent_passes}
        elif number < 24:
            right = (number + trial) % {every} != 0
        else:
            right = True
        reply = {{"output": "yes" if right else "no"}}
        return reply if COST is None else {{**reply, "cost_usd": COST}}
"""


def write_agent(
    project: Project, every: int = 2, cost: float | None = 0.01, *, silent_passes: bool = False
) -> None:
    """An agent that fails every second trial of a flaky case, and never passes the first eight cases."""
    project.write("agent.py", AGENT.format(every=every, cost=cost, silent_passes=silent_passes))


def write_set(project: Project, gate: str = "[{metric: exact_match, max_drop: 0.02}]") -> None:
    rows = "".join(f"  - {{id: c{n}, input: '{n}', expected: 'yes'}}\n" for n in range(CASES))
    project.write("set.yaml", f"agent: {{python: ./agent.py:answer}}\ngate: {gate}\ncases:\n{rows}")


@pytest.fixture
def recorded(project: Project) -> Project:
    """A set whose baseline of ten trials is flaky on 16 of 40 cases, and never passes 8."""
    write_set(project)
    write_agent(project)
    assert project.evalkit("baseline", "set.yaml", "--trials", "10").code == 0
    return project


def run(project: Project, *options: str) -> Done:
    return project.evalkit("run", "set.yaml", "--format", "json", *options)


def count_trials(project: Project) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in project.rows():
        found[row["case_id"]] = found.get(row["case_id"], 0) + 1
    return found


def note(report: Any) -> str:
    (found,) = [note for note in report["notes"] if note.startswith("Budget of")]
    return str(found)


def test_a_budget_buys_looks_and_says_what_they_detect(recorded: Project) -> None:
    done = run(recorded, "--budget-trials", "150")
    report = done.json
    budget = report["run"]["budget"]
    plan = budget["plan"]
    # 40 + 3 * 32 = 136 trials: never-passing cases take one.
    assert (plan["trials_per_case"], plan["looks"], plan["most_trials"]) == (4, 4, 136)
    assert 0 < plan["smallest_drop"] < 0.2
    # Said before the first call, and in the report.
    points = f"{100 * plan['smallest_drop']:.1f} pt"
    assert f"fails 4 times in 5 is {points}" in done.err
    assert "Not used: 14 trials (about $0.140), too few for the next step." in done.err
    assert budget["more"]["smallest_drop"] < plan["smallest_drop"]
    assert "100 more trials would detect" in done.err
    counts = count_trials(recorded)
    spent = sum(counts.values())
    assert len(counts) == CASES
    assert spent <= plan["most_trials"]
    assert note(report).endswith(
        f"Spent {spent} of 150 trials, ${spent / 100:.{3 if spent < 100 else 2}f}."
    )
    jsonschema.validate(report, SCHEMA)
    for command in ("gate", "show"):
        again = recorded.evalkit(command, report["run"]["id"], "--format", "json")
        assert again.json["notes"] == report["notes"]
        assert again.json["run"]["budget"] == budget


def test_dollars_buy_the_trials_that_the_baseline_paid_for(recorded: Project) -> None:
    drops = []
    for usd in (0.4, 1.5, 2.5, 20):
        done = run(recorded, "--dry-run", "--budget-usd", str(usd))
        jsonschema.validate(done.json, SCHEMA)
        budget = done.json["budget"]
        assert budget["max_trials"] == round(usd * 100)
        assert budget["trial_cost_usd"] == pytest.approx(0.01)
        assert CASES <= budget["plan"]["most_trials"] <= budget["max_trials"]
        assert done.json["most_trials"] == budget["plan"]["trials_per_case"]
        drops.append(budget["plan"]["smallest_drop"])
    assert drops == sorted(drops, reverse=True)
    assert len(set(drops)) == 4
    assert budget["plan"] == budget["more"]
    assert budget["next_step"] is None
    plan = recorded.evalkit("power", "set.yaml", "--budget-usd", "2.5")
    text = " ".join(plan.out.split())
    assert "Budget of $2.50, 250 trials at about $0.01000: 6 per case, 240 trials" in text
    assert "$1.00 more (100 trials) would detect" in text


def test_what_a_budget_cannot_do_is_said_before_anything_is_paid(project: Project) -> None:
    def refused(*options: str, command: str = "run") -> str:
        done = project.evalkit(command, "set.yaml", *options)
        assert done.code == 2, done
        return done.err

    write_set(project)
    write_agent(project, cost=None)
    assert "there is no baseline" in refused("--budget-trials", "100")
    assert project.evalkit("baseline", "set.yaml", "--trials", "1").code == 0
    assert "one trial per case" in refused("--budget-trials", "100")
    assert project.evalkit("baseline", "set.yaml", "--trials", "3").code == 0
    stored = len(project.runs())
    assert "--budget-usd needs the cost of a trial" in refused("--budget-usd", "2")
    few = refused("--budget-trials", "39")
    assert "does not buy 1 trial of each of 40 cases" in few
    assert "at least --budget-trials 40" in few
    conflicts = refused("--budget-trials", "99", "--trials", "3", "--shard", "1/2", "--resume")
    for option in ("--trials", "--shard", "--resume"):
        assert option in conflicts
    both = refused("--budget-trials", "99", "--budget-usd", "1", "--noise", "0.1", command="power")
    assert "exclude each other" in both
    assert "other assumptions" in both
    assert len(project.runs()) == stored, "nothing was run"
    # The newest run has the cost that the baseline lacks.
    write_agent(project, cost=0.02)
    assert project.evalkit("run", "set.yaml", "--trials", "1").code != 2
    low = refused("--budget-usd", "0.79")
    assert "at least --budget-usd 0.8 (40 trials)" in low
    assert project.evalkit("run", "set.yaml", "--dry-run", "--budget-usd", "0.8").code == 0


def test_a_look_that_the_budget_no_longer_buys_is_left_out(recorded: Project) -> None:
    # Eight cases that never passed pass now, so each may take further trials that were not planned. The
    # flaky ones fail, so that the mean does not change and the first look is inconclusive.
    write_agent(recorded, every=1, silent_passes=True)
    done = run(recorded, "--budget-trials", "72")
    assert done.json["run"]["budget"]["plan"]["most_trials"] == 72
    assert done.json["outcome"] == "inconclusive"
    assert sum(count_trials(recorded).values()) == CASES, "a second look would take 40 more"
    assert "because the budget does not buy the next look" in done.json["notes"][0]


def test_an_agent_that_costs_more_stops_at_the_budget(recorded: Project) -> None:
    write_agent(recorded, every=2, cost=0.03)
    done = run(recorded, "--budget-usd", "1.4")
    report = done.json
    assert report["run"]["budget"]["plan"]["looks"] == 4
    assert report["outcome"] == "inconclusive"
    # 40 trials cost $1.20, and 32 more would cost $0.96.
    assert sum(count_trials(recorded).values()) == CASES
    assert report["notes"][0] == (
        "Stopped after 1 of up to 4 trials per case, because the budget does not buy the next look."
    )
    assert note(report).endswith("Spent 40 of 140 trials, $1.20 of $1.40.")


def test_a_resumed_run_keeps_its_budget(recorded: Project) -> None:
    done = run(recorded, "--budget-trials", "250", "--exitfirst")
    assert not done.json["run"]["finished"]
    resumed = run(recorded, "--resume")
    assert resumed.json["run"]["budget"] == done.json["run"]["budget"]
    assert set(count_trials(recorded).values()) == {6}
    assert note(resumed.json).endswith("Spent 240 of 250 trials, $2.40.")


def test_a_budget_is_shared_with_the_agent_it_is_compared_with(
    recorded: Project, git: Callable[..., str]
) -> None:
    recorded.write(".gitignore", ".evalkit/\n__pycache__/\n")
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "base"]):
        git(*arguments)
    done = run(recorded, "--against", "main", "--budget-trials", "170")
    plan = done.json["run"]["budget"]["plan"]
    assert (plan["trials_per_case"], plan["looks"], plan["most_trials"]) == (2, 0, 160)
    assert done.json["run"]["trials"] == done.json["baseline"]["trials"] == 2
    assert note(done.json).endswith("Spent 160 of 170 trials, $1.60.")
    few = recorded.evalkit("run", "set.yaml", "--against", "main", "--budget-trials", "79")
    assert few.code == 2
    assert "at least --budget-trials 80" in few.err
