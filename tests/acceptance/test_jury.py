"""A jury on the command line: several judges, one verdict, and what each of them said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conftest import Done, Project
from tests.support.scripted_server import ScriptedServer, reply, served
from tests.support.stub_judges import Asking, honest, replying, verdict_of

RUBRIC = """
rubric: correctness
needs: [reference]
pass_at: 1
criteria:
  - name: agrees
    question: Does the answer say what the reference says?
"""

GRADED = """
rubric: correctness
needs: [reference]
pass_at: 0.5
criteria:
  - name: agrees
    question: How much of the reference does the answer say?
    levels: [{name: all, value: 1}, {name: part, value: 0.5}, {name: none, value: 0}]
"""

CONTROLS = 12
KEYS = {"OPENAI_API_KEY": "sk-first-canary-key", "SECOND_KEY": "sk-second-canary-key"}


def harsh_on(*words: str) -> Any:
    """An honest judge that fails answers with one of these words."""

    def judge(asking: Asking) -> dict[str, Any]:
        if any(word in asking.answer for word in words):
            return verdict_of(asking, lambda _, levels: levels[-1])
        return honest(asking)

    return judge


def approve(asking: Asking) -> dict[str, Any]:
    return verdict_of(asking, lambda _, levels: levels[0])


@pytest.fixture
def servers() -> Iterator[list[ScriptedServer]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(served(ScriptedServer(choose=replying(honest)))) for _ in range(3)
        ]


def write_set(
    project: Project,
    servers: list[ScriptedServer],
    *,
    rule: str = "",
    rubric: str = RUBRIC,
    cases: int = 6,
) -> None:
    project.write("agent.py", 'def answer(text):\n    return f"{text}: it is Paris."\n')
    project.write("correctness.yaml", rubric)
    jurors = "".join(
        f"    - {{openai: {{model: m{number}, base_url: {server.url}/v1"
        f"{', api_key_env: SECOND_KEY' if number == 2 else ''}}}}}\n"
        for number, server in enumerate(servers, start=1)
    )
    rows = "".join(f"  - {{id: c{n}, input: q{n}, expected: Paris}}\n" for n in range(cases))
    project.write(
        "set.yaml",
        f"agent: {{python: ./agent.py:answer}}\njudge:\n  jury:\n{jurors}{rule}"
        f"metrics: [{{rubric: correctness.yaml}}]\ncases:\n{rows}",
    )


def run(project: Project, *options: str) -> Done:
    return project.evalkit("run", "set.yaml", *options, env=KEYS)


def scores(project: Project) -> dict[str, Any]:
    return {row["case_id"]: row["scores"][0] for row in project.rows()}


def test_the_majority_decides_and_reports_say_how_far_the_jurors_agree(
    project: Project, servers: list[ScriptedServer]
) -> None:
    servers[2].choose = replying(harsh_on("q1:", "q3:"))
    write_set(project, servers)
    done = run(project, "--format", "json")
    assert done.code == 0, done.out + done.err
    asked = [len(server.asked) for server in servers]
    # A juror that fails answers that repeat the reference is asked whether it passes right ones.
    assert asked[:2] == [6 + CONTROLS] * 2
    assert asked[2] > 6 + CONTROLS
    authorized = [{each.headers["authorization"] for each in server.asked} for server in servers]
    assert authorized[1] == {f"Bearer {KEYS['SECOND_KEY']}"} != authorized[0]

    found = scores(project)
    verdict = found["c1"]["judgement"]["verdicts"][0]
    assert (verdict["level"], verdict["votes"]) == ("yes", ["yes", "yes", "no"])
    said = found["c1"]["judgement"]["jurors"]
    names = [f"m{number} at 127.0.0.1:{server.port}" for number, server in enumerate(servers, 1)]
    assert [juror["judge"] for juror in said] == names
    assert [juror["verdicts"][0]["level"] for juror in said] == ["yes", "yes", "no"]

    (measured,) = done.json["jurors"]
    assert (measured["metric"], measured["criterion"]) == ("correctness", "agrees")
    shares = {
        (pair["rater"], pair["other"]): pair["agreement"]["accuracy"]["value"]
        for pair in measured["pairs"]
    }
    assert shares == {
        (names[0], names[1]): 1.0,
        (names[0], names[2]): pytest.approx(4 / 6),
        (names[1], names[2]): pytest.approx(4 / 6),
    }
    notes = [note for note in done.json["notes"] if note.startswith("JURY: correctness, agrees:")]
    assert len(notes) == 3
    assert "agree on 66.7% of 6 answers (kappa 0.00" in notes[1]
    trust = done.json["run"]["judges"]
    assert trust["calls"] == sum(asked)
    assert {result["judge"] for result in trust["controls"]} == set(names)
    assert trust["judges"] == [f"jury of 3 by majority: {'; '.join(names)}"]

    shown = project.evalkit("show", "latest", "c1", env=KEYS)
    assert shown.out.count("judged by m") == 3
    # Hundreds of lines of prompts and replies are for who asks for them.
    assert shown.out.endswith("What the judges were asked and answered: -v\n")
    whole = project.evalkit("show", "latest", "c1", "-v", env=KEYS)
    assert whole.out.count("       asked\n") == whole.out.count("       answered\n") == 3
    assert whole.out.count("agrees = ") == 4
    assert len(whole.out) > 3 * len(shown.out)
    assert "agrees = yes, votes yes, yes, no" in " ".join(shown.out.split())

    again = run(project)
    assert again.code == 0
    assert "JURY: correctness, agrees" in again.out
    assert "6 of 6 verdicts from the cache" in " ".join(again.out.split())
    assert [len(server.asked) for server in servers] == asked, "each vote is cached"


def test_a_tie_has_no_verdict_and_a_lost_juror_is_never_counted_as_agreeing(
    project: Project, servers: list[ScriptedServer]
) -> None:
    servers[1].choose = replying(harsh_on("q1:"))
    write_set(project, servers[:2])
    tie = run(project)
    assert tie.code == 3, tie.out
    state = scores(project)["c1"]
    assert state["state"] == "unscored"
    assert state["explanation"] == "the jury has no majority (agrees: yes, no)"

    # Two of three are a majority of all; where they differ, nobody can say.
    servers[2].choose = lambda _: reply("nope", status=401)
    write_set(project, servers)
    lost = run(project, "--format", "json")
    assert lost.code == 3, lost.out
    found = scores(project)
    assert [found[case].get("state", "scored") for case in ("c0", "c1")] == [
        "scored",
        "judge_error",
    ]
    assert "the jury has no majority (agrees: yes, no, (none))" in found["c1"]["explanation"]
    assert any("is down" in note for note in lost.json["notes"])

    # One of three is not.
    servers[1].choose = servers[2].choose
    project.write("set.yaml", (project.folder / "set.yaml").read_text().replace("q1", "q9"))
    down = run(project)
    assert down.code == 2, down.out + down.err
    assert "SECOND_KEY" in down.err


def test_one_juror_that_fails_a_control_makes_the_jury_untrusted(
    project: Project, servers: list[ScriptedServer]
) -> None:
    servers[1].choose = replying(approve)
    write_set(project, servers)
    done = run(project)
    assert done.code == 3
    assert "Judge not trusted: control" in done.out
    assert f"m2 at 127.0.0.1:{servers[1].port}" in done.out
    assert "PASS" not in done.out
    servers[1].choose = replying(honest)
    approving = len(servers[1].asked)
    assert run(project).code == 0
    asked = [len(server.asked) for server in servers]
    assert (asked[0], asked[2]) == (6 + CONTROLS, 6 + CONTROLS), "only its votes were forgotten"
    assert asked[1] == approving + 6 + CONTROLS


def test_a_juror_that_turns_during_the_run_makes_the_jury_untrusted(
    project: Project, servers: list[ScriptedServer]
) -> None:
    calls = iter(range(10_000))
    servers[1].choose = replying(
        lambda asking: approve(asking) if next(calls) >= 20 else honest(asking)
    )
    write_set(project, servers, cases=30)
    done = run(project, "--format", "json")
    assert done.code == 3, done.out
    assert done.json["reason"].startswith("Judge not trusted: control")
    controls = done.json["run"]["judges"]["controls"]
    wrong = [each for each in controls if each["held"] is False]
    assert {each["judge"] for each in wrong} == {f"m2 at 127.0.0.1:{servers[1].port}"}
    # Each juror is watched from the first answer to the last.
    after = {
        name: {e["after"] for e in controls if e["judge"] == name}
        for name in {each["judge"] for each in controls}
    }
    assert len(after) == 3
    assert all(1 in places and 30 in places and len(places) > 2 for places in after.values())


def test_a_calibration_of_a_jury_asks_afresh_and_pays_no_juror_twice(
    project: Project, servers: list[ScriptedServer]
) -> None:
    write_set(project, servers)
    rows = [("It is Paris.", "yes"), ("Well, Paris.", "yes"), ("It is Rome.", "no")]
    listed = "".join(f'"{answer}",{level},Paris\n' for answer, level in rows)
    project.write("labels.csv", f"answer,level,reference\n{listed}")
    arguments = ("calibrate", "correctness.yaml", "labels.csv", "--set", "set.yaml")
    for server in servers[1:]:
        server.choose = lambda _: reply("nope", status=401)
    assert project.evalkit(*arguments, env=KEYS).code == 2
    assert len(servers[0].asked) == 3
    for server in servers[1:]:
        server.choose = replying(approve)
        server.asked.clear()
    done = project.evalkit(*arguments, "--format", "json", env=KEYS)
    assert done.code == 0, done.out + done.err
    assert [len(server.asked) for server in servers] == [3, 3, 3], "one juror's votes were kept"
    assert done.json["cached_verdicts"] == 0, "no verdict of the jury was"
    (criterion,) = done.json["calibration"]["criteria"]
    assert criterion["agreement"]["accuracy"]["value"] == pytest.approx(2 / 3)
    for server in servers:
        server.choose = replying(honest)
    again = project.evalkit(*arguments, "--format", "json", env=KEYS)
    (criterion,) = again.json["calibration"]["criteria"]
    assert criterion["agreement"]["accuracy"]["value"] == 1.0
    assert [len(server.asked) for server in servers] == [6, 6, 6]


def test_the_mean_of_graded_levels_is_the_score(
    project: Project, servers: list[ScriptedServer]
) -> None:
    def halfway(asking: Asking) -> dict[str, Any]:
        if "q2:" in asking.answer:
            return verdict_of(asking, lambda _, levels: levels[1])
        return honest(asking)

    servers[2].choose = replying(halfway)
    write_set(project, servers, rule="  rule: mean\n", rubric=GRADED)
    done = run(project)
    assert done.code == 0, done.out + done.err
    score = scores(project)["c2"]
    assert score["value"] == pytest.approx(2.5 / 3)
    assert score["judgement"]["verdicts"][0]["votes"] == ["all", "all", "part"]


def test_a_baseline_is_judged_again_when_a_juror_is_added(
    project: Project, servers: list[ScriptedServer]
) -> None:
    write_set(project, servers[:2])
    assert project.evalkit("baseline", "set.yaml", "--trials", "1", env=KEYS).code == 0
    write_set(project, servers)
    dry = project.evalkit("run", "set.yaml", "--dry-run", env=KEYS).out
    assert f"m3 at 127.0.0.1:{servers[2].port}: {2 * 6 + CONTROLS} calls" in " ".join(dry.split())
    assert "only if no judge" not in dry
    done = run(project, "--format", "json")
    assert done.code == 0, done.out + done.err
    assert any("rescored on the baseline's stored outputs" in note for note in done.json["notes"])
    # The answers of both sides are equal, so each juror is asked once about each.
    assert len(servers[2].asked) == 6 + CONTROLS
    assert len(servers[0].asked) == 6 + CONTROLS


def test_calibrate_compares_the_jury_and_each_juror_with_people(
    project: Project, servers: list[ScriptedServer]
) -> None:
    servers[1].choose = replying(harsh_on("north"))
    write_set(project, servers)
    rows = [("It is Paris.", "yes"), ("Paris, in the north.", "yes"), ("It is Rome.", "no")]
    listed = "".join(f'"{answer}",{level},Paris\n' for answer, level in rows)
    project.write("labels.csv", f"answer,level,reference\n{listed}")
    arguments = ("calibrate", "correctness.yaml", "labels.csv", "--set", "set.yaml")
    done = project.evalkit(*arguments, "--format", "json", env=KEYS)
    assert done.code == 0, done.out + done.err
    assert done.json["calibration"]["judge"].startswith("jury of 3 by majority")
    (criterion,) = done.json["calibration"]["criteria"]
    assert criterion["agreement"]["accuracy"]["value"] == 1.0
    with_people = {
        pair["rater"][:2]: pair["agreement"]["accuracy"]["value"]
        for pair in criterion["jurors"]
        if pair["other"] == "people"
    }
    assert with_people == {"m1": 1.0, "m2": pytest.approx(2 / 3), "m3": 1.0}
    assert len(criterion["jurors"]) == 6
    shown = project.evalkit(*arguments, env=KEYS)
    assert shown.code == 0
    assert "jurors" in shown.out
    stored = json.loads((project.folder / "correctness.calibration.json").read_text())
    assert len(stored["calibrations"]) == 1


def test_what_is_wrong_with_a_jury_is_told_with_its_line(project: Project) -> None:
    project.write("agent.py", "def answer(text):\n    return text\n")
    project.write("correctness.yaml", RUBRIC)
    project.write(
        "set.yaml",
        """
        agent: {python: ./agent.py:answer}
        judge:
          jury:
            - openai: {model: m1, base_url: http://127.0.0.1:9/v1}
            - openai: {model: m1, base_url: http://127.0.0.1:9/v1}
          rule: vote
        metrics: [{rubric: correctness.yaml}]
        cases: [{id: c, input: q, expected: a}]
        """,
    )
    done = project.evalkit("validate", "set.yaml")
    assert done.code == 2
    assert "set.yaml:5: judge: jury: this juror is the same as one before it" in done.err
    assert "rule must be majority or mean, not 'vote'" in done.err
    project.write(
        "set.yaml",
        "agent: {python: ./agent.py:answer}\njudge: {jury: [lexical]}\n"
        "metrics: [{rubric: correctness.yaml}]\ncases: [{id: c, input: q, expected: a}]\n",
    )
    done = project.evalkit("validate", "set.yaml")
    assert done.code == 2
    assert "jury has 1 juror; name 2 to 9" in done.err
