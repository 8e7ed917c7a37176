"""Runs judged by a chat model, as typed: who is asked how often, what is kept, and the exit code."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evalkit.judge.request_format import MAX_GUESSES
from tests.conftest import Done, Project
from tests.support.scripted_server import (
    Asked,
    Play,
    ScriptedServer,
    json_reply,
    reply,
    served,
    slow,
)
from tests.support.stub_judges import completion, honest, read_asking, replying, verdict_of

AGENT = """
import pathlib

CALLS = pathlib.Path(__file__).with_name("calls")

def answer(text):
    with CALLS.open("a") as file:
        file.write("x")
    return f"{text}: it is Paris."
"""

RUBRIC = """
rubric: correctness
needs: [reference]
pass_at: 1
criteria:
  - name: agrees
    question: Does the answer say what the reference says?
"""

CONTROLS = 12
"""What a judge without an error is asked beside up to 200 answers."""
KEY = "sk-s3cret-canary-key"


def write_set(
    project: Project, url: str, *, judge: str = "", cases: int = 6, **limits: Any
) -> None:
    more = "".join(f", {name}: {json.dumps(value)}" for name, value in limits.items())
    project.write("agent.py", AGENT)
    project.write("correctness.yaml", RUBRIC)
    named = judge or f"{{openai: {{model: m1, base_url: {url}/v1}}{more}}}"
    listed = "".join(
        f"  - {{id: c{number}, input: q{number}, expected: Paris}}\n" for number in range(cases)
    )
    project.write(
        "set.yaml",
        "agent: {python: ./agent.py:answer}\n"
        "concurrency: 2\n"
        f"judge: {named}\nmetrics: [{{rubric: correctness.yaml}}]\ncases:\n{listed}",
    )


def agent_calls(project: Project) -> int:
    calls = project.folder / "calls"
    return len(calls.read_text()) if calls.exists() else 0


def states(project: Project) -> list[str]:
    return [score.get("state", "scored") for row in project.rows() for score in row["scores"]]


def run(project: Project, *options: str, env: Mapping[str, str] | None = None) -> Done:
    return project.evalkit("run", "set.yaml", *options, env={"OPENAI_API_KEY": KEY, **(env or {})})


class Switch:
    """A server that can be mended while it serves."""

    def __init__(self, choose: Callable[[Asked], Play]) -> None:
        self.choose = choose

    def __call__(self, asked: Asked) -> Play:
        return self.choose(asked)


def test_every_answer_is_judged_by_one_call_and_never_again(project: Project) -> None:
    with served(ScriptedServer(choose=replying(honest))) as server:
        write_set(project, server.url)
        first = run(project, "--format", "json")
        assert (first.code, len(server.asked)) == (0, 6 + CONTROLS), first.out + first.err
        again = run(project, "--format", "json")
        assert (again.code, len(server.asked)) == (0, 6 + CONTROLS)
    judgements = [score["judgement"] for row in project.rows() for score in row["scores"]]
    assert {judgement["model"] for judgement in judgements} == {"m1-2026-11"}
    assert {judgement["fingerprint"] for judgement in judgements} == {"fp1"}
    assert all(judgement["is_cached"] for judgement in judgements)


def test_no_verdict_of_a_judge_that_got_a_control_wrong_is_kept(project: Project) -> None:
    """Else its praise would count in the run after it was mended."""
    switch = Switch(replying(lambda asking: verdict_of(asking, lambda _, levels: levels[0])))
    with served(ScriptedServer(choose=switch)) as server:
        write_set(project, server.url)
        project.write("agent.py", AGENT.replace("Paris", "Rome"))
        praised = run(project)
        assert praised.code == 3
        assert "Judge not trusted: control" in praised.out
        assert "PASS" not in praised.out
        switch.choose = replying(honest)
        asked = len(server.asked)
        assert run(project).code == 1
        assert len(server.asked) - asked == 6 + CONTROLS
        assert run(project).code == 1
        assert len(server.asked) - asked == 6 + CONTROLS, "what a trusted judge said is kept"


@pytest.mark.parametrize(("status", "word"), [(401, "OPENAI_API_KEY"), (404, "'m1'")])
def test_what_only_the_user_can_mend_ends_the_run_and_keeps_what_was_paid_for(
    project: Project, status: int, word: str
) -> None:
    switch = Switch(lambda _: json_reply({"error": {"message": f"no {KEY}"}}, status=status))
    with served(ScriptedServer(choose=switch)) as server:
        write_set(project, server.url, cases=30)
        done = run(project)
        assert done.code == 2, done.out + done.err
        assert 1 <= len(server.asked) <= 1 + MAX_GUESSES
        assert done.err.startswith("set.yaml:3: judge openai: ")
        assert word in done.err
        assert "OPENAI_API_KEY" in done.err
        assert KEY not in done.out + done.err
        asked = agent_calls(project)
        assert 0 < asked <= 2 * 2, "more agents were asked than there is room for"
        assert len(project.rows()) == asked
        assert set(states(project)) == {"judge_error"}

        switch.choose = replying(honest)
        resume = re.search(r"evalkit run (.+)$", done.err.strip())
        assert resume, done.err
        mended = project.evalkit("run", *resume[1].split(), env={"OPENAI_API_KEY": KEY})
    assert mended.code == 0, mended.out + mended.err
    assert agent_calls(project) == 30, "an answer was paid for twice"
    latest = {row["case_id"]: row["scores"][0] for row in project.rows()}
    assert [score["value"] for score in latest.values()] == [1.0] * 30


def test_an_endpoint_that_is_down_ends_the_run_undecided(project: Project) -> None:
    with served(ScriptedServer((reply("oops", status=500),))) as server:
        write_set(project, server.url, cases=40, attempts=1)
        done = run(project)
    assert done.code == 3, done.out + done.err
    said = " ".join(done.out.split())
    assert "no judge answers any more (5 calls in a row failed" in said
    assert said.count("--resume") == said.count("--retry-errors") == 2
    assert agent_calls(project) < 40
    assert set(states(project)) == {"judge_error"}


def test_the_second_judge_serves_when_the_first_is_down(project: Project) -> None:
    with (
        served(ScriptedServer((reply("nope", status=401),))) as first,
        served(ScriptedServer(choose=replying(honest))) as second,
    ):
        write_set(
            project,
            "",
            judge=f"[{{openai: {{model: m1, base_url: {first.url}/v1}}}}, "
            f"{{openai: {{model: m2, base_url: {second.url}/v1}}}}]",
        )
        done = run(project)
        assert done.code == 0, done.out + done.err
        assert 1 <= len(first.asked) <= 1 + MAX_GUESSES
        assert len(second.asked) == 6 + CONTROLS
    judges = {score["judgement"]["judge"] for row in project.rows() for score in row["scores"]}
    assert judges == {f"m2 at 127.0.0.1:{second.port}"}


def test_a_limit_of_cost_ends_the_run_undecided(project: Project) -> None:
    with served(ScriptedServer(choose=replying(honest))) as server:
        prices = {"input": 1000.0, "output": 0.0}  # 0.1 USD a call
        write_set(project, server.url, cases=40, prices=prices, max_cost_usd=1.2, concurrency=1)
        done = run(project)
        assert (done.code, len(server.asked)) == (3, 12), done.out + done.err
    assert "max_cost_usd is 1.2 USD, and the judge's calls have cost 1.2 USD" in " ".join(
        done.out.split()
    )


def test_a_limit_of_cost_on_what_has_no_price_is_refused_before_any_call(project: Project) -> None:
    with served(ScriptedServer(choose=replying(honest))) as server:
        write_set(project, server.url, max_cost_usd=1.0)
        done = run(project)
        assert (done.code, server.asked) == (2, [])
    assert (
        "set.yaml:3: judge openai: max_cost_usd is set, but there is no price for 'm1'" in done.err
    )
    assert agent_calls(project) == 0


def test_a_missing_key_is_told_by_its_variables_name_before_any_call(project: Project) -> None:
    write_set(project, "https://models.example")
    done = project.evalkit("run", "set.yaml")
    assert done.code == 2
    assert "set.yaml:3: judge openai: environment variable 'OPENAI_API_KEY'" in done.err
    assert agent_calls(project) == 0


MALFORMED = {
    "c0": "{}",
    "c1": '{"pass": true, "score": 0}',
    "c2": "The answer is right.",
    "c3": "",
}


def test_a_reply_that_is_no_verdict_is_neither_a_pass_nor_a_failure_and_is_not_kept(
    project: Project,
) -> None:
    def choose(asked: Asked) -> Play:
        asking = read_asking(asked.json)
        case = f"c{asking.material['input'][1:]}"
        if case in MALFORMED:
            return json_reply(completion(MALFORMED[case]))
        if case == "c4":
            return json_reply(completion(json.dumps(honest(asking)), "length"))
        if case == "c5":
            twice = f"{json.dumps(honest(asking))} {json.dumps(honest(asking))}"
            return json_reply(completion(twice))
        return replying(honest)(asked)

    switch = Switch(choose)
    with served(ScriptedServer(choose=switch)) as server:
        write_set(project, server.url, cases=8)
        done = run(project, "--format", "json")
        assert done.code == 3, done.out + done.err
        scores = {row["case_id"]: row["scores"][0] for row in project.rows()}
        lost = [scores[f"c{number}"] for number in range(6)]
        assert {score["state"] for score in lost} == {"unscored"}
        assert all(score.get("value") is None and score.get("passed") is None for score in lost)
        assert len({score["explanation"] for score in lost}) == 6, "each has its own reason"
        assert [scores[name]["value"] for name in ("c6", "c7")] == [1.0, 1.0]

        switch.choose = replying(honest)
        asked = len(server.asked)
        again = run(project)
        assert (again.code, len(server.asked) - asked) == (0, 6 + CONTROLS), again.out + again.err


def test_what_a_judge_writes_does_no_harm_wherever_it_ends_up(project: Project) -> None:
    evil = f"\x1b[31m::error::{KEY} \u202e ]]> <script> \ud83d half\x00"

    def judge(asking: Any) -> object:
        said = verdict_of(asking, lambda _, levels: levels[-1])
        for part in said["verdicts"].values():
            part |= {"explanation": evil, "evidence": "Paris"}
        return said if "it is Paris" in asking.answer else honest(asking)

    with served(ScriptedServer(choose=replying(judge))) as server:
        write_set(project, server.url)
        done = run(project, env={"GITHUB_ACTIONS": "true"})
        shown = project.evalkit("show", "latest", "c1", env={"GITHUB_ACTIONS": "true"})
    assert done.code == 1, done.out + done.err
    for text in (done.out, shown.out):
        assert KEY not in text
        assert not re.search(r"^::", text, re.MULTILINE)
        assert not set("\x00\u202e") & set(text)
    stored = [path for path in (project.folder / ".evalkit").rglob("*") if path.is_file()]
    assert all(KEY.encode() not in path.read_bytes() for path in stored)


def lenient(asking: Any) -> object:
    """Gives everything the first level, the bad controls as well."""
    return verdict_of(asking, lambda _, levels: levels[0])


def test_a_resumed_run_is_decided_by_what_its_judge_made_of_the_controls_before(
    project: Project,
) -> None:
    with served(ScriptedServer(choose=replying(lenient))) as server:
        write_set(project, server.url)
        first = run(project)
        (folder,) = project.runs()
        for name in ("judges.json", "summary.json"):  # as a kill leaves it between two files
            (folder / name).unlink()
        calls = len(server.asked)
        gated = project.evalkit("gate", "latest")
        resumed = run(project, "--resume")
    assert (first.code, gated.code, resumed.code) == (3, 3, 3), gated.out + resumed.out
    assert "--resume --run-id" in gated.out
    assert "Judge not trusted: control" in resumed.out
    again = [read_asking(asked.json).answer for asked in server.asked[calls:]]
    assert len(again) >= CONTROLS
    assert not [answer for answer in again if "it is Paris" in answer], (
        "the controls are asked anew, and no case is"
    )


def test_a_stand_in_of_the_same_name_is_checked_as_well(project: Project) -> None:
    asked_first = 0

    def choose(asked: Asked) -> Play:
        nonlocal asked_first
        if asked.target.startswith("/b/"):
            return replying(lenient)(asked)
        asked_first += 1
        well = asked_first <= CONTROLS + 2
        return replying(honest)(asked) if well else reply("no", status=401)

    with served(ScriptedServer(choose=choose)) as server:
        judges = ", ".join(
            f"{{openai: {{model: m1, base_url: {server.url}/{place}/v1}}}}" for place in "ab"
        )
        write_set(project, "", judge=f"[{judges}]", cases=20)
        done = run(project)
    assert asked_first > CONTROLS + 2
    assert done.code == 3, done.out + done.err


def test_a_judge_that_goes_down_while_it_takes_over_leaves_a_run_to_one_judge_all_the_same(
    project: Project,
) -> None:
    lasts = 0

    def choose(_: Asked) -> Play:
        nonlocal lasts
        lasts -= 1
        return replying(honest)(_) if lasts >= 0 else reply("no", status=401)

    with (
        served(ScriptedServer(choose=choose)) as first,
        served(ScriptedServer(choose=replying(honest))) as second,
    ):
        judges = ", ".join(
            f"{{openai: {{model: m1, base_url: {server.url}/v1}}}}" for server in (first, second)
        )
        write_set(project, "", judge=f"[{judges}]")
        assert run(project).code == 0
        (folder,) = project.runs()
        for name in ("judges.json", "summary.json"):
            (folder / name).unlink()
        lasts = CONTROLS + 3
        resumed = run(project, "--resume")
    assert resumed.code == 0, resumed.out + resumed.err
    assert lasts < 0
    latest = {row["case_id"]: row["scores"][0]["judgement"]["judge"] for row in project.rows()}
    header = json.loads((folder / "run.json").read_text())
    assert {*latest.values()} == {header["metrics"][0]["judge"]}


TRACED_AGENT = AGENT.replace("import pathlib", "import pathlib\n\nimport evalkit").replace(
    "    return f", "    with evalkit.span('tool', 'look up'):\n        pass\n    return f"
)


def kill_while_judged(
    project: Project, server: ScriptedServer, *options: str, answers: int = 4
) -> Path:
    """Start a run, kill it -9 once so many answers wait for their verdicts; gives the run's folder."""
    process = subprocess.Popen(
        project.command("run", "set.yaml", *options),
        cwd=project.folder,
        env=project.environ({"OPENAI_API_KEY": KEY}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    asked, deadline = len(server.asked), time.monotonic() + 30
    while len(server.asked) == asked or len(waiting(project)) < answers:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert all("error" in row["output"] for row in project.rows())
    return project.runs()[-1]


def waiting(project: Project) -> list[str]:
    path = project.runs()[-1] / "answers.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def test_an_answer_that_waits_for_its_verdict_survives_kill_9(project: Project) -> None:
    switch = Switch(lambda _: slow(reply("never"), 60))
    with served(ScriptedServer(choose=switch)) as server:
        write_set(project, server.url)
        project.write("agent.py", TRACED_AGENT)
        folder = kill_while_judged(project, server)
        kill_while_judged(project, server, "--resume")
        switch.choose = replying(honest)
        mended = run(project, "--resume", "--format", "json")
    assert mended.code == 0, mended.out + mended.err
    assert agent_calls(project) == 6, "an answer was paid for twice"
    assert sorted(row["case_id"] for row in project.rows(folder)) == [f"c{n}" for n in range(6)]
    assert not (folder / "answers.jsonl").exists()
    steps = project.evalkit("traces", "--tool", "look up", "--format", "json")
    assert len(steps.json["rows"]) == 6, steps.out


def test_an_answer_that_was_torn_by_the_kill_is_asked_for_again(project: Project) -> None:
    switch = Switch(lambda _: slow(reply("never"), 60))
    with served(ScriptedServer(choose=switch)) as server:
        write_set(project, server.url)
        path = kill_while_judged(project, server) / "answers.jsonl"
        path.write_bytes(path.read_bytes()[:-20])
        switch.choose = replying(honest)
        mended = run(project, "--resume")
    assert mended.code == 0, mended.out + mended.err
    assert agent_calls(project) == 7


def test_what_waits_does_not_outlive_the_agent_it_came_from(project: Project) -> None:
    switch = Switch(lambda _: slow(reply("never"), 60))
    with served(ScriptedServer(choose=switch)) as server:
        write_set(project, server.url)
        kill_while_judged(project, server)
        project.write("agent.py", AGENT.replace("Paris", "Rome"))
        refused = run(project, "--resume")
    assert refused.code == 2
    assert "Start a new run" in refused.err


@pytest.mark.parametrize("options", [(), ("--retry-errors",)])
def test_an_answer_to_a_second_try_is_not_paid_for_a_third_time(
    project: Project, tmp_path: Path, options: tuple[str, ...]
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    breaking = (
        f"def answer(text):\n    if pathlib.Path({str(broken)!r}).exists():\n"
        "        with evalkit.span('tool', 'old step'):\n            raise ValueError('boom')\n"
    )
    switch = Switch(replying(honest))
    with served(ScriptedServer(choose=switch)) as server:
        write_set(project, server.url, cases=4)
        project.write("agent.py", TRACED_AGENT.replace("def answer(text):\n", breaking))
        assert run(project, "--run-id", "one").code == 3
        broken.unlink()
        switch.choose = lambda _: slow(reply("never"), 60)
        kill_while_judged(project, server, "--resume", "--run-id", "one", "--retry-errors")
        switch.choose = replying(honest)
        mended = run(project, "--resume", "--run-id", "one", *options)
    assert mended.code == 0, mended.out + mended.err
    assert agent_calls(project) == 4, "an answer was paid for twice"
    found = project.evalkit("traces", "--tool", "look up", "--format", "json").json["rows"]
    assert [row["state"] for row in found] == ["scored"] * 4


def test_garbage_among_the_answers_that_wait_is_named(project: Project) -> None:
    switch = Switch(lambda _: slow(reply("never"), 60))
    with served(ScriptedServer(choose=switch)) as server:
        write_set(project, server.url, cases=4)
        path = kill_while_judged(project, server, answers=4) / "answers.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join((lines[0], "{garbage}\n", *lines[2:])))
        done = run(project, "--resume")
        assert done.code == 3
        assert "answers.jsonl:2: not an answer" in done.err
        path.write_text("".join((lines[0], *lines[2:])))
        switch.choose = replying(honest)
        assert run(project, "--resume").code == 0
    assert agent_calls(project) == 5


def test_an_interrupted_run_tells_of_the_answers_that_wait(project: Project) -> None:
    switch = Switch(lambda _: slow(reply("never"), 60))
    with served(ScriptedServer(choose=switch)) as server:
        write_set(project, server.url, cases=4)
        kill_while_judged(project, server, answers=4)
        asked = len(server.asked)
        process = subprocess.Popen(
            project.command("run", "set.yaml", "--resume"),
            cwd=project.folder,
            env=project.environ({"OPENAI_API_KEY": KEY}),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        deadline = time.monotonic() + 30
        while len(server.asked) == asked:
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "0 of 4 trials are done and stored, and 4 unscored answers." in " ".join(out.split())


def is_control(asked: Asked) -> bool:
    return read_asking(asked.json).material.get("reference") != "Paris"


def test_a_control_whose_calls_are_lost_is_judged_again_at_the_end(project: Project) -> None:
    lost: list[bytes] = []

    def choose(asked: Asked) -> Play:
        body = asked.body
        if is_control(asked) and "bananas" in read_asking(asked.json).answer.casefold():
            lost.append(body)
            if len(lost) <= 2:
                return json_reply(completion("I cannot say."))
        return replying(honest)(asked)

    with served(ScriptedServer(choose=choose)) as server:
        write_set(project, server.url, cases=2, concurrency=1)
        done = run(project)
    assert done.code == 0, done.out + done.err
    assert "12 of 12 controls passed" in " ".join(done.out.split())
    assert len(lost) > 2


def test_a_control_that_cannot_be_judged_is_the_headline_and_no_threshold_passes(
    project: Project,
) -> None:
    def choose(asked: Asked) -> Play:
        if is_control(asked) and read_asking(asked.json).answer.endswith("Friday."):
            return json_reply(completion("I cannot say."))
        return replying(honest)(asked)

    switch = Switch(choose)
    with served(ScriptedServer(choose=switch)) as server:
        write_set(project, server.url, cases=2)
        done = run(
            project, "--junit", "junit.xml", "--markdown", "report.md", "--html", "report.html"
        )
        assert done.code == 3, done.out + done.err
        told = " ".join(done.out.split())
        headline = (
            "Judge not checked: control 'built-in near miss: another weekday' of correctness could not "
            "be judged by m1"
        )
        assert told.startswith(f"UNDECIDED set: {headline}")
        assert "11 of 12 controls passed, 1 could not be judged" in told
        assert "UNDECIDED must pass: the judge of correctness could not be checked." in told
        assert "PASS" not in done.out
        for name in ("junit.xml", "report.md", "report.html"):
            text = (project.folder / name).read_text().replace("&#x27;", "'").replace("&#39;", "'")
            assert headline[:30] in text, name
        switch.choose = replying(honest)
        command = re.search(r"evalkit (score [\w-]+)", " ".join(done.out.split()))
        assert command, done.out
        again = project.evalkit(*command[1].split(), env={"OPENAI_API_KEY": KEY})
    assert again.code == 0, again.out + again.err


def test_a_judge_that_goes_down_over_its_controls_is_not_trusted_with_what_it_judged(
    project: Project,
) -> None:
    def choose(asked: Asked) -> Play:
        return json_reply({"choices": []}) if is_control(asked) else replying(honest)(asked)

    with served(ScriptedServer(choose=choose)) as server:
        write_set(project, server.url, cases=20, attempts=1, deadline_s=2)
        done = run(project)
    assert done.code == 3, done.out + done.err
    assert "PASS" not in done.out


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"error": {"message": "Incorrect API key provided: sk-abc"}}, "OPENAI_API_KEY"),
        (
            {"code": "Client specified an invalid argument", "error": "Incorrect API key"},
            "OPENAI_API_KEY",
        ),
        ([{"error": {"code": 400, "message": "m1 is not a valid model ID"}}], "no model 'm1'"),
        (
            {"error": {"message": "I do not like this.", "type": "None", "code": "400"}},
            "OPENAI_API_KEY",
        ),
    ],
    ids=["key", "xAI", "model", "unexplained"],
)
def test_a_proxy_that_refuses_everything_with_400_ends_the_run_after_a_handful_of_requests(
    project: Project, said: object, words: str
) -> None:
    with served(ScriptedServer(choose=lambda _: json_reply(said, status=400))) as server:
        write_set(project, server.url, cases=30)
        done = run(project)
        assert done.code == 2, done.out + done.err
        # Those that were in flight, the other modes, and the plain request that confirms it.
        assert len(server.asked) <= 1 + MAX_GUESSES + 3 + 1
    assert done.err.startswith("set.yaml:3: judge openai: ")
    assert words in done.err
    assert "OPENAI_API_KEY" in done.err
    assert KEY not in done.out + done.err
