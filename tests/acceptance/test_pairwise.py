"""Pairwise metrics on the command line: a run's answers against those of its baseline, blind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Done, Project
from tests.support.pair_judges import (
    first_place,
    is_pair,
    preferring,
    right_and_brief,
    same_level,
)
from tests.support.scripted_server import ScriptedServer, served
from tests.support.stub_judges import read_asking, replying

RUBRIC = """
description: Whether an answer helps.
needs: [reference]
pass_at: 1
criteria:
  - name: helps
    question: Does the answer give the reader what the reference says, briefly?
    levels:
      - {name: all, value: 1, description: All of it.}
      - {name: part, value: 0.5, description: A part of it.}
      - {name: none, value: 0}
"""

CASES = 20
CONTROLS = 12
KEYS = {"OPENAI_API_KEY": "sk-pairwise-canary-key"}
WORSE = 'text + ": it is Paris, as everybody knows who has ever been there."'
SAME = 'text + ": it is Paris."'
BETTER = 'text + " Paris"'


@pytest.fixture
def judge() -> Iterator[ScriptedServer]:
    with served(ScriptedServer(choose=replying(preferring(right_and_brief)))) as server:
        yield server


def write_set(project: Project, url: str, *, gate: str = "", cases: int = CASES) -> None:
    project.write("helpful.yaml", RUBRIC)
    listed = "".join(f"  - {{id: c{n}, input: q{n}, expected: Paris}}\n" for n in range(cases))
    rule = gate or "[{metric: helpful_pairwise, max_drop: 0.05, margin: 0.1}]"
    project.write(
        "set.yaml",
        "agent: {python: ./agent.py:answer}\ntrials: 1\n"
        f"judge: {{openai: {{model: m1, base_url: {url}/v1}}}}\n"
        f"metrics: [contains, {{pairwise: helpful.yaml}}]\ngate: {rule}\ncases:\n{listed}",
    )
    write_agent(project, SAME)


def write_agent(project: Project, expression: str) -> None:
    project.write("agent.py", f"def answer(text):\n    return {expression}\n")


def command(project: Project, *arguments: str) -> Done:
    return project.evalkit(*arguments, env=KEYS)


def record(project: Project, *options: str) -> None:
    done = command(project, "baseline", "set.yaml", *(options or ("--trials", "1")))
    assert done.code == 0, done.out + done.err


def pair_scores(project: Project) -> dict[str, Any]:
    last = {row["case_id"]: row for row in project.rows()}
    return {
        case_id: next(each for each in row["scores"] if each["metric"] == "helpful_pairwise")
        for case_id, row in last.items()
    }


def counts(done: Done) -> tuple[int, int, int, int]:
    (summary,) = [
        each
        for each in done.json["metrics"]
        if each["metric"] == "helpful_pairwise" and each["tag"] is None
    ]
    found = summary["preference"]
    return found["wins"], found["ties"], found["losses"], found["first_flips"]


def test_worse_answers_lose_and_fail_the_gate(project: Project, judge: ScriptedServer) -> None:
    write_set(project, judge.url)
    record(project)
    assert not judge.asked, "a baseline is compared with nothing"
    assert pair_scores(project)["c0"]["state"] == "skipped"
    write_agent(project, WORSE)
    done = command(project, "run", "set.yaml", "--format", "json")
    assert done.code == 1, done.out + done.err
    assert len(judge.asked) == 2 * CASES + CONTROLS
    assert counts(done) == (0, 0, CASES, 0)
    (check,) = done.json["checks"]
    assert (check["baseline"], check["candidate"], check["difference"]) == (0.5, 0.0, -0.5)
    assert check["p_value"] == 0.5**21
    assert check["preference"]["losses"] == CASES
    assert "Cases: 0 won, 0 tied, 20 lost" in check["sentence"]
    assert 0.05 < check["smallest_detectable"] < 0.5

    # The judge is not told which answer is which, and sees each pair in both orders.
    pairs = [read_asking(each.json) for each in judge.asked]
    assert all(map(is_pair, pairs))
    shown = [(each.material["answer_A"], each.material["answer_B"]) for each in pairs]
    ours = [pair for pair in shown if "q7:" in pair[0]]
    assert len(ours) == 2
    assert ours[0] == ours[1][::-1]
    for asking in pairs:
        assert not re.search(r"baseline|candidate|version|previous|new ", str(asking.body))
    # One for the set, one for built-in controls, and one for controls about cases of the set.
    assert len({asking.system for asking in pairs}) == 3

    for words in (("show", "latest", "c7"), ("run", "set.yaml")):
        told = " ".join(command(project, *words).out.split())
        assert "loss against trial 1 of the baseline (helps: worse)" in told or "0 won" in told
    assert len(judge.asked) == 2 * CASES + CONTROLS, "verdicts are cached by both answers"
    report = project.folder / "report.md"
    junit = project.folder / "report.xml"
    again = command(
        project,
        "gate",
        "latest",
        "--markdown",
        str(report),
        "--junit",
        str(junit),
        "--html",
        "r.html",
    )
    assert again.code == 1
    for text in (again.out, report.read_text(), junit.read_text()):
        assert "20 lost" in " ".join(text.split())
    assert "20 lost" in (project.folder / "r.html").read_text()


def test_better_answers_win_and_equal_ones_tie_for_free(
    project: Project, judge: ScriptedServer
) -> None:
    write_set(project, judge.url)
    record(project)
    same = command(project, "run", "set.yaml", "--format", "json")
    assert same.code == 0, same.out + same.err
    assert counts(same) == (0, CASES, 0, 0)
    assert not judge.asked
    assert "has too few cases that are won or lost to fail any drop" in " ".join(same.json["notes"])
    write_agent(project, BETTER)
    better = command(project, "run", "set.yaml", "--format", "json")
    assert better.code == 0, better.out + better.err
    assert counts(better) == (CASES, 0, 0, 0)
    assert better.json["checks"][0]["outcome"] == "pass"


def test_a_judge_that_prefers_a_place_has_only_ties_and_is_not_trusted(
    project: Project, judge: ScriptedServer
) -> None:
    judge.choose = replying(first_place)
    write_set(project, judge.url)
    record(project)
    write_agent(project, WORSE)
    done = command(project, "run", "set.yaml", "--format", "json")
    assert done.code == 3, done.out + done.err
    assert counts(done) == (0, CASES, 0, CASES)
    assert done.json["reason"].startswith("Judge not trusted: control")
    assert done.json["checks"][0]["outcome"] == "undecided"
    told = " ".join(command(project, "show", "latest", "c3").out.split())
    assert "the answer shown first was preferred in both orders" in told
    assert "votes better, worse" in told


def test_flips_prove_nothing_though_every_control_is_passed(
    project: Project, judge: ScriptedServer
) -> None:
    """A judge that prefers a place where answers are close would else show that nothing got worse."""

    def biased(asking: Any) -> object:
        is_control = "same_as_reference" in asking.levels or "library" in asking.material["input"]
        return preferring(right_and_brief)(asking) if is_control else first_place(asking)

    judge.choose = replying(biased)
    write_set(project, judge.url)
    record(project)
    write_agent(project, WORSE)
    done = command(project, "run", "set.yaml", "--format", "json")
    assert done.json["outcome"] == "inconclusive", done.out
    assert counts(done) == (0, CASES, 0, CASES)
    (check,) = done.json["checks"]
    assert (check["low"], check["difference"], check["high"]) == (-0.5, 0.0, 0.5)
    said = (
        "the preference flipped with the order in 20 of 20 judged pairs (20 for the first answer)"
    )
    assert said in check["sentence"]


def test_a_judge_whose_comparisons_turn_during_the_run_is_not_trusted(
    project: Project, judge: ScriptedServer
) -> None:
    calls = iter(range(10_000))

    def turning(asking: Any) -> object:
        turned = next(calls) >= CASES
        return same_level(asking, "B") if turned else preferring(right_and_brief)(asking)

    judge.choose = replying(turning)
    write_set(project, judge.url)
    record(project)
    write_agent(project, BETTER)
    done = command(project, "run", "set.yaml", "--format", "json")
    assert done.code == 3, done.out
    assert done.json["reason"].startswith("Judge not trusted: control")
    assert done.json["checks"][0]["outcome"] == "undecided"
    # It did not turn for good, but nobody knows since when its cached verdicts are right.
    judge.choose = replying(preferring(right_and_brief))
    asked = len(judge.asked)
    assert command(project, "run", "set.yaml").code == 0
    assert len(judge.asked) == asked + 2 * CASES + CONTROLS
    cached = command(project, "run", "set.yaml")
    assert cached.code == 0
    assert len(judge.asked) == asked + 2 * CASES + CONTROLS
    assert f"{CASES} of {CASES} verdicts from the cache" in " ".join(cached.out.split())


def test_a_judge_that_obeys_an_answer_is_not_trusted(
    project: Project, judge: ScriptedServer
) -> None:
    def obedient(asking: Any) -> object:
        for letter in "AB":
            if f"Prefer answer_{letter}" in asking.material.get(f"answer_{letter}", ""):
                return same_level(asking, letter)
        return preferring(right_and_brief)(asking)

    judge.choose = replying(obedient)
    write_set(project, judge.url)
    record(project)
    write_agent(project, BETTER)
    done = command(project, "run", "set.yaml")
    assert done.code == 3
    assert "Judge not trusted: control" in done.out
    assert "should be won by the better answer" in " ".join(done.out.split())
    assert "PASS" not in done.out


def test_a_lost_verdict_is_an_error_and_no_tie(project: Project, judge: ScriptedServer) -> None:
    def mute(asking: Any) -> object:
        if any("q3" in text for text in asking.material.values()):
            return "I cannot say."
        return preferring(right_and_brief)(asking)

    judge.choose = replying(mute)
    write_set(project, judge.url)
    record(project)
    write_agent(project, BETTER)
    done = command(project, "run", "set.yaml", "--run-id", "lost", "--format", "json")
    assert done.code == 3
    assert pair_scores(project)["c3"]["state"] == "unscored"
    assert counts(done) == (CASES - 1, 0, 0, 0)
    judge.choose = replying(preferring(right_and_brief))
    asked = len(judge.asked)
    resumed = command(
        project,
        "run",
        "set.yaml",
        "--run-id",
        "lost",
        "--resume",
        "--retry-errors",
        "--format",
        "json",
    )
    assert resumed.code == 0, resumed.out + resumed.err
    assert counts(resumed) == (CASES, 0, 0, 0)
    assert len(judge.asked) == asked + 2 + CONTROLS, "the other pairs keep their verdicts"


def test_without_a_baseline_nothing_is_compared(project: Project, judge: ScriptedServer) -> None:
    write_set(project, judge.url)
    done = command(project, "run", "set.yaml")
    assert done.code == 3
    assert "there is no baseline yet" in done.out
    skipped = pair_scores(project)["c0"]
    assert skipped["state"] == "skipped"
    assert skipped["explanation"] == "there is no baseline to compare with"
    assert not judge.asked


def test_a_run_is_decided_only_against_the_baseline_it_was_compared_with(
    project: Project, judge: ScriptedServer
) -> None:
    write_set(project, judge.url)
    record(project)
    write_agent(project, BETTER)
    done = command(project, "run", "set.yaml", "--run-id", "compared")
    assert done.code == 0, done.out + done.err
    write_agent(project, WORSE)
    record(project)
    stale = command(project, "gate", "compared")
    assert stale.code == 3, stale.out
    said = " ".join(stale.out.split())
    assert "was compared with another answer than this baseline's" in said
    assert "evalkit score compared" in said
    scored = command(project, "score", "compared", "--format", "json")
    assert scored.code == 0, scored.out + scored.err
    assert counts(scored) == (CASES, 0, 0, 0)


def test_each_trial_of_a_side_is_used_once(project: Project, judge: ScriptedServer) -> None:
    write_set(project, judge.url, cases=5)
    assert command(project, "baseline", "set.yaml", "--trials", "2").code == 0
    write_agent(project, WORSE)
    dry = " ".join(command(project, "run", "set.yaml", "--trials", "3", "--dry-run").out.split())
    assert f"{2 * 10 + CONTROLS} calls with its controls" in dry
    assert "helpful_pairwise: can hardly pass: when all of 5 cases are tied" in dry
    done = command(project, "run", "set.yaml", "--trials", "3", "--format", "json")
    assert done.code == 1, done.out + done.err
    (summary,) = [
        each
        for each in done.json["metrics"]
        if each["metric"] == "helpful_pairwise" and each["tag"] is None
    ]
    assert summary["preference"]["pairs"] == 10
    assert summary["preference"]["losses"] == 5
    skipped = [
        score
        for row in project.rows()
        for score in row["scores"]
        if row["number"] == 2 and score["metric"] == "helpful_pairwise"
    ]
    assert "only 2 answers to this case" in skipped[-1]["explanation"]


def test_another_version_in_the_same_run_is_the_other_side(
    project: Project, judge: ScriptedServer, git: Callable[..., str]
) -> None:
    write_set(project, judge.url)
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "first")
    write_agent(project, WORSE)
    done = command(project, "run", "set.yaml", "--against", "HEAD", "--format", "json")
    assert done.code == 1, done.out + done.err
    assert counts(done) == (0, 0, CASES, 0)
    assert len(judge.asked) == 2 * CASES + CONTROLS
    assert command(project, "gate", "latest").code == 1


def test_a_jury_compares_pairs_by_its_majority(project: Project, judge: ScriptedServer) -> None:
    def contrary(asking: Any) -> object:
        said: Any = preferring(right_and_brief)(asking)
        is_control = "q" not in asking.material["answer_A"][:1]
        for verdict in said["verdicts"].values() if not is_control else ():
            verdict["level"] = {"A": "B", "B": "A"}.get(verdict["level"], "tie")
        return said

    with served(ScriptedServer(choose=replying(contrary))) as other:
        write_set(project, judge.url, cases=8)
        jurors = "".join(
            f"    - openai: {{model: m{number}, base_url: {url}/v1}}\n"
            for number, url in enumerate((judge.url, other.url, judge.url))
        )
        text = (project.folder / "set.yaml").read_text()
        project.write("set.yaml", re.sub(r"judge: .*\n", f"judge:\n  jury:\n{jurors}", text))
        record(project)
        write_agent(project, BETTER)
        done = command(project, "run", "set.yaml", "--format", "json")
        assert len(other.asked) == 2 * 8 + CONTROLS
    assert done.code == 0, done.out + done.err
    assert counts(done) == (8, 0, 0, 0)
    assert sum(each["asked"] for each in done.json["run"]["judges"]["controls"]) == 3 * CONTROLS
    (measured,) = done.json["jurors"]
    assert [pair["agreement"]["accuracy"]["value"] for pair in measured["pairs"]] == [0, 1, 0]


def test_the_lexical_judge_compares_by_its_levels(project: Project) -> None:
    write_set(project, "http://127.0.0.1:9", cases=6)
    text = (project.folder / "set.yaml").read_text()
    project.write("set.yaml", re.sub(r"judge: .*", "judge: lexical", text))
    record(project)
    write_agent(project, '"Bananas are rich in potassium."')
    done = command(project, "run", "set.yaml", "--format", "json")
    assert done.code == 1, done.out + done.err
    assert counts(done) == (0, 0, 6, 0)


def test_what_a_pairwise_metric_cannot_do_is_told(project: Project) -> None:
    write_set(project, "http://127.0.0.1:9", gate="[{metric: helpful_pairwise, max_rise: 0.1}]")
    text = (project.folder / "set.yaml").read_text()
    project.write("set.yaml", text.replace("judge: {openai", "judge: lexical #"))
    project.write(
        "set.yaml",
        (project.folder / "set.yaml")
        .read_text()
        .replace(
            "{pairwise: helpful.yaml}",
            "{pairwise: helpful.yaml}, {pairwise: {file: helpful.yaml, of: tool_calls}, name: calls}",
        ),
    )
    wrong = command(project, "validate", "set.yaml")
    assert wrong.code == 2
    assert "'tool_calls' cannot be compared with a baseline" in wrong.err
    text = (project.folder / "set.yaml").read_text()
    project.write("set.yaml", text.replace("of: tool_calls", "of: data.reply"))
    wrong = command(project, "run", "set.yaml")
    assert wrong.code == 2
    assert "set.yaml:5: gate: 'helpful_pairwise' is pairwise" in wrong.err
    assert "Use max_drop, or min" in wrong.err
    project.write("set.yaml", text.replace(", of: tool_calls", "").replace("max_rise", "max_drop"))
    record(project, "--trials", "3")
    alarms = command(project, "false-alarms", "set.yaml")
    assert "helpful_pairwise is left out" in " ".join(alarms.out.split())
