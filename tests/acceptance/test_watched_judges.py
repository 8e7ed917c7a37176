"""A judge is watched from its first verdict to its last: whatever it turns into, no run passes unnoticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Done, Project
from tests.support.scripted_server import Asked, Play, ScriptedServer, json_reply, served
from tests.support.stub_judges import Asking, completion, honest, read_asking, verdict_of

AGENT = """
def answer(text):
    number = int(text.split()[-1])
    return f"It is number {number * 7}." if number % 4 else "Let me think about it."
"""

RUBRIC = """
rubric: correctness
needs: [reference]
pass_at: 1
criteria:
  - name: agrees
    question: Does the answer say what the reference says?
"""

TURNS_AFTER = 20
Says = Callable[[Asking], dict[str, Any]]


def write_set(project: Project, url: str, cases: int, more: str = "") -> None:
    project.write("agent.py", AGENT)
    project.write("correctness.yaml", RUBRIC)
    rows = "".join(
        f"  - {{id: c{n}, input: which {n}, expected: number {n * 7}}}\n" for n in range(cases)
    )
    project.write(
        "set.yaml",
        f"agent: {{python: ./agent.py:answer}}\njudge: {{openai: {{model: m1, base_url: {url}/v1}}}}\n"
        f"metrics: [{{rubric: correctness.yaml}}]\ngate: [{{metric: correctness, min: 0.5}}]\n"
        f"{more}cases:\n{rows}",
    )


def run(project: Project, *options: str, key: str = "sk-canary-key") -> Done:
    return project.evalkit("run", "set.yaml", *options, env={"OPENAI_API_KEY": key})


def is_about_a_case(asking: Asking) -> bool:
    return asking.material["input"].startswith("which")


def is_an_answer(asking: Asking) -> bool:
    """Whether the agent gave it; a control about a case is shown with one more criterion."""
    return is_about_a_case(asking) and list(asking.levels) == ["agrees"]


def best(asking: Asking) -> dict[str, Any]:
    return verdict_of(asking, lambda _, levels: levels[0])


def worst(asking: Asking) -> dict[str, Any]:
    return verdict_of(asking, lambda _, levels: levels[-1])


def serving(
    says: Callable[[Asking, int], dict[str, Any]], models: tuple[str, ...] = ("m1-2026",)
) -> ScriptedServer:
    """Serve a judge that is told how often it was asked before; it answers as one model after the other."""
    calls = iter(range(100_000))

    def choose(asked: Asked) -> Play:
        number = next(calls)
        reply = completion(json.dumps(says(read_asking(asked.json), number)))
        return json_reply({**reply, "model": models[number % len(models)]})

    return ScriptedServer(choose=choose)


def turning(into: Says) -> Callable[[Asking, int], dict[str, Any]]:
    return lambda asking, number: (honest if number < TURNS_AFTER else into)(asking)


@pytest.mark.parametrize(
    "into",
    [
        best,
        worst,
        lambda asking: best(asking) if is_about_a_case(asking) else honest(asking),
    ],
    ids=["passes everything", "fails everything", "passes the cases"],
)
def test_a_judge_that_turns_during_the_run_is_not_trusted(project: Project, into: Says) -> None:
    with served(serving(turning(into))) as server:
        write_set(project, server.url, cases=40)
        done = run(project, "--format", "json")
    assert done.code == 3, done.out
    assert done.json["reason"].startswith("Judge not trusted: control")
    assert "PASS" not in done.out
    wrong = [each for each in done.json["run"]["judges"]["controls"] if each["held"] is False]
    assert all(each["after"] and each["wrong"] for each in wrong)


@pytest.mark.slow
def test_the_controls_of_a_large_run_are_few_and_everywhere_and_a_cached_run_has_none(
    project: Project,
) -> None:
    with served(serving(lambda asking, _: honest(asking))) as server:
        write_set(project, server.url, cases=200)
        first = run(project)
        kinds = [is_an_answer(read_asking(asked.json)) for asked in server.asked]
        controls = kinds.count(False)
        assert (first.code, kinds.count(True)) == (0, 200), first.out
        assert controls <= 0.06 * len(kinds)
        assert f"{controls} of {controls} controls passed" in " ".join(first.out.split())
        # In the first and the last calls, and in each quarter of the run.
        assert not all(kinds[:8])
        assert not any(kinds[-2:])
        assert not any(all(kinds[start : start + 53]) for start in (0, 53, 106, 159))

        again = run(project)
        assert (again.code, len(server.asked)) == (0, len(kinds)), again.out
        assert "200 of 200 verdicts from the cache" in " ".join(again.out.split())
        difference = project.evalkit("diff", *(each.name for each in project.runs())).out
        assert "200 of 200 verdicts from the cache" in " ".join(difference.split())
    assert controls >= 12


def test_a_run_with_one_new_answer_checks_its_judge(project: Project) -> None:
    says: list[Says] = [honest]
    with served(serving(lambda asking, _: says[0](asking))) as server:
        write_set(project, server.url, cases=8)
        assert run(project).code == 0
        says[0] = best
        write_set(project, server.url, cases=9)
        done = run(project)
        # The verdicts of the first run are left, but nobody trusted the judge since.
        write_set(project, server.url, cases=8)
        assert run(project).code == 3
    assert done.code == 3, done.out
    told = " ".join(done.out.split())
    assert "Judge not trusted: control" in told
    assert "8 of 9 verdicts from the cache" in told


@pytest.mark.slow
def test_a_merge_that_has_the_baseline_judged_again_checks_the_judge(project: Project) -> None:
    says: list[Says] = [honest]
    with served(serving(lambda asking, _: says[0](asking))) as server:
        write_set(project, server.url, cases=8)
        recorded = project.evalkit("baseline", "set.yaml", env={"OPENAI_API_KEY": "sk-canary-key"})
        assert recorded.code == 0, recorded.err
        project.write("correctness.yaml", RUBRIC.replace("Does the", "Does this"))
        project.write("agent.py", AGENT.replace("It is number", "That is number"))
        for shard in ("1/2", "2/2"):
            assert run(project, "--shard", shard).code in (0, 3)
        says[0] = worst
        runs = [each.name for each in project.runs()][-2:]
        merged = project.evalkit("merge", *runs, env={"OPENAI_API_KEY": "sk-canary-key"})
    assert merged.code == 3, merged.out + merged.err
    told = " ".join(merged.err.split())
    assert "the baseline was judged again, and judge not trusted: control" in told


def test_two_models_in_one_run_are_said_and_both_are_checked(project: Project) -> None:
    with served(serving(lambda asking, _: honest(asking), models=("m1-a", "m1-b"))) as server:
        write_set(project, server.url, cases=20)
        fine = run(project, "--format", "json")
    assert fine.code == 0, fine.out
    notes = " ".join(fine.json["notes"])
    assert "answered as m1-a fp1 and as m1-b fp1 within this run" in notes

    def second_is_lenient(asking: Asking, number: int) -> dict[str, Any]:
        return best(asking) if number % 2 else honest(asking)

    with served(serving(second_is_lenient, models=("m1-a", "m1-b"))) as server:
        write_set(project, server.url, cases=20)
        assert run(project).code == 3


def test_one_slip_of_a_judge_is_reported_and_does_not_cost_the_run(project: Project) -> None:
    slips = iter([True])

    def says(asking: Asking, _: int) -> dict[str, Any]:
        slip = asking.answer == "Bananas are rich in potassium." and next(slips, False)
        return best(asking) if slip else honest(asking)

    with served(serving(says)) as server:
        write_set(project, server.url, cases=3)
        done = run(project)
    assert done.code == 0, done.out
    told = " ".join(done.out.split())
    assert "controls passed, 1 wrong answer to them, too few to distrust it" in told


def test_a_short_key_is_no_secret_that_makes_verdicts_unreadable(project: Project) -> None:
    with served(serving(lambda asking, _: honest(asking))) as server:
        write_set(project, server.url, cases=2)
        done = run(project, key="e")
    assert "2 scored" in done.out, done.out + done.err
