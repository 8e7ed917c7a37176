"""`evalkit aa`: how often a gate fails an agent that did not change."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import evalkit
from evalkit.commands.resamples import evaluate_resample, plan_resampling, split_trials
from evalkit.core.eval_set import Rule
from evalkit.core.run import Run
from evalkit.core.settings import Settings
from tests.conftest import Project
from tests.support.run_samples import counted, make_run

SCHEMA = json.loads((Path(evalkit.__file__).parent / "schemas" / "report.schema.json").read_text())
GATE = "[{metric: exact_match, max_drop: 0.02, primary: true}, {max_regressed: 0}]"

WAVERING = """
    import random

    def answer(text, context):
        right = random.Random(context["seed"]).random() < (0.7 if text[-1] in "0123" else 1.0)
        return text.upper() if right else "?"
"""


@pytest.fixture
def wavering(project: Project) -> Project:
    rows = "".join(f"  - {{id: c{n}, input: q{n}, expected: Q{n}}}\n" for n in range(30))
    project.write("agent.py", WAVERING)
    project.write(
        "set.yaml",
        f"agent: {{python: ./agent.py:answer}}\nmetrics: [exact_match]\ngate: {GATE}\ncases:\n{rows}",
    )
    assert project.evalkit("baseline", "set.yaml").code == 0
    return project


@pytest.mark.slow
def test_an_exact_rule_holds_its_level_where_a_bare_one_cries_wolf(wavering: Project) -> None:
    runs = wavering.runs()
    done = wavering.evalkit("false-alarms", "set.yaml", "--format", "json")
    assert done.code == 0, done.err
    jsonschema.validate(done.json, SCHEMA)
    assert wavering.runs() == runs, "something was run"
    exact, bare = done.json["rules"]
    assert exact["repeats"] == 200
    assert exact["fail_rate"] <= 0.1
    assert exact["low"] <= exact["fail_rate"] <= exact["high"]
    assert bare["fail_rate"] > 0.5
    assert bare["level"] is None
    assert exact["level"] == 0.05
    # The gate fails whenever one of its rules does.
    assert done.json["gate"]["outcomes"]["fail"] >= bare["outcomes"]["fail"]
    assert (done.json["base_trials"], done.json["trials"]) == (5, 5)
    assert 1 < done.json["mean_trials"] < 5
    assert any("regressed cases" in sentence for sentence in done.json["sentences"])


@pytest.mark.slow
def test_the_same_seed_draws_the_same_and_another_does_not(wavering: Project) -> None:
    def drawn(seed: str) -> str:
        done = wavering.evalkit("false-alarms", "set.yaml", "--repeats", "10", "--seed", seed)
        assert done.code == 0
        assert max(map(len, done.out.splitlines())) <= 80
        return done.out

    assert drawn("1") == drawn("1")
    assert drawn("1").replace("seed 1", "") != drawn("2").replace("seed 2", "")


def test_shared_out_trials_are_all_of_them_once_and_every_one_comes_up() -> None:
    run = make_run({"m": counted({"a": (3, 6), "b": (1, 6)})})
    whole = sorted((trial.case_id, trial.scores[0].value or 0.0) for trial in run.trials)
    firsts = []
    draws = split_trials(run, 2, np.random.default_rng(0))
    for _, (rest, candidate) in zip(range(400), draws, strict=False):
        both = (*rest.trials, *candidate.trials)
        assert sorted((trial.case_id, trial.scores[0].value or 0.0) for trial in both) == whole
        assert [trial.number for trial in candidate.trials] == [0, 1, 0, 1]
        assert (rest.header.trials, candidate.header.trials) == (4, 2)
        firsts.append(sum(t.scores[0].value or 0.0 for t in candidate.trials if t.case_id == "a"))
    # Hypergeometric: two of six, three of which passed.
    assert np.mean(firsts) == pytest.approx(1.0, abs=0.12)
    assert np.mean([one == 2 for one in firsts]) == pytest.approx(3 / 15, abs=0.07)


NO_MORE = Rule(metric="m", max_drop=0.02)
NONE_BROKEN = Rule(broken_cases=0)


def stored(trials: int) -> Run:
    """Forty cases, half of which pass always and half 4 times in 5."""
    passes = {f"c{n}": (trials if n % 2 else trials * 4 // 5, trials) for n in range(40)}
    return make_run({"m": counted(passes)})


@pytest.mark.parametrize(
    ("trials", "rules", "drawn"),
    [
        (10, (NO_MORE,), (1, 5, 5, 0)),
        (7, (NO_MORE,), (1, 4, 4, 0)),
        (5, (NO_MORE,), (1, 2, 2, 0)),
        (10, (NONE_BROKEN,), (1, 1, 0, 4)),
        (9, (NONE_BROKEN,), (0, 1, 0, 0)),
        (13, (NO_MORE, NONE_BROKEN), (1, 5, 5, 0)),
        (14, (NO_MORE, NONE_BROKEN), (2, 5, 5, 4)),
    ],
)
def test_looks_and_fresh_trials_are_drawn_where_there_are_enough(
    trials: int, rules: tuple[Rule, ...], drawn: tuple[int, ...]
) -> None:
    drawing = plan_resampling(Settings(), rules, stored(trials))
    assert (len(drawing.rules), drawing.trials, drawing.looks, drawing.fresh) == drawn
    assert ("broken_cases is left out" in " ".join(drawing.notes)) == (len(rules) > drawn[0])


def test_drawn_trials_are_decided_stage_by_stage_as_a_run_is() -> None:
    run = stored(14)
    drawing = plan_resampling(Settings(), (NO_MORE, NONE_BROKEN), run)
    draws = split_trials(run, drawing.trials + drawing.fresh, np.random.default_rng(3))
    taken, suspected = set(), 0
    for _, (rest, pool) in zip(range(25), draws, strict=False):
        one = evaluate_resample(rest, pool, drawing, Settings())
        taken.add(one.trials)
        change, proven = one.gate_result.checks
        assert change.rule.alpha == {1: 0.03, 2: 0.02, 3: 0.0175, 5: 0.015}[round(one.trials)]
        assert change.trials == one.trials
        assert proven.outcome == "pass", "no case of an unchanged agent is left untold"
        suspected += "fresh trials" in proven.sentence
    assert len(taken) > 1
    assert suspected > 10


def test_runs_of_the_agent_are_stored_and_never_repeat_the_baselines_draws(
    wavering: Project,
) -> None:
    before = len(wavering.runs())
    done = wavering.evalkit(
        "false-alarms", "set.yaml", "--run", "--repeats", "3", "--format", "json"
    )
    assert done.code == 0, done.err
    jsonschema.validate(done.json, SCHEMA)
    made = wavering.runs()[before:]
    seeds = [json.loads((run / "run.json").read_text())["settings"]["seed"] for run in made]
    assert seeds == [0, 2, 3], "1 is the baseline's"
    assert done.json["from_runs"]
    assert done.json["gate"]["repeats"] == 3
    outcomes = [
        wavering.evalkit("gate", str(run), "--format", "json").json["outcome"] for run in made
    ]
    assert done.json["gate"]["outcomes"]["fail"] == outcomes.count("fail")


def test_too_few_stored_trials_are_refused_with_a_way_out(wavering: Project) -> None:
    done = wavering.evalkit("false-alarms", "set.yaml", "--trials", "10")
    assert done.code == 3
    assert "--run" in done.err
    (wavering.folder / "baselines" / "set.jsonl").unlink()
    done = wavering.evalkit("false-alarms", "set.yaml")
    assert done.code == 3
    assert "evalkit baseline set.yaml" in done.err


def test_runs_are_compared_with_the_baseline_as_it_is_scored_today(project: Project) -> None:
    def write_set(metric: str) -> None:
        project.write(
            "set.yaml",
            f"""
            agent: {{python: ./agent.py:answer}}
            metrics: [{{{metric}, name: facts}}]
            gate: [{{metric: facts, max_drop: 0.5}}]
            cases: [{{id: a, input: a, expected: A}}, {{id: b, input: b, expected: B}}]
            """,
        )

    project.write("agent.py", "def answer(text):\n    return text.upper()\n")
    write_set("contains: {all: true}")
    assert project.evalkit("baseline", "set.yaml", "--trials", "3").code == 0
    write_set("exact_match: {}")
    done = project.evalkit(
        "false-alarms", "set.yaml", "--run", "--repeats", "1", "--format", "json"
    )
    assert done.json["gate"]["outcomes"]["undecided"] == 0, done.out
