"""`evalkit traffic sample` and `traffic estimate`, as a user types them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalkit.traffic.table import open_traffic
from tests.conftest import Project
from tests.support.traffic_samples import export, span, write_lines

KEY = "a-key-for-tests-only-0123456789"
QUESTIONS = (
    "Where can I buy good tents near here?",  # nearly a known case
    "Which boots do you recommend for wet snow?",
    "And in blue?",
    "Is there a map of the coast in the shop?",
    "How long does a gas stove burn with one cartridge?",
    "My headlamp flickers when it rains, what now?",
    "Can the straps of a rucksack be replaced?",
    "Do children need their own ice axe?",
    "What does it cost to have skis waxed?",
    "When is the climbing wall open on Sundays?",
)
SET = """
    evalset: known
    agent: {python: ./agent.py:answer}
    judge: lexical
    metrics: [{contains: {any: [sell]}}]
    cases:
      - {id: tents-here, input: "Where can I buy good tents near here, please?", expected: sell}
"""


@pytest.fixture(autouse=True)
def redaction_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_REDACTION_KEY", KEY)


def ask(number: int, question: str, answer: str, **more: Any) -> list[dict[str, Any]]:
    """A request: three make a session, two sessions a user; a tool returned what the answer says."""
    trace, start = f"{number + 1:032x}", number * 20_000
    output: dict[str, Any] = {} if more.get("error") else {"output__value": answer}
    return [
        span(
            trace, 1, name="invoke_agent shop", start_ms=start, ms=more.pop("ms", 900),
            gen_ai__operation__name="invoke_agent", user__id=f"user{number // 6}@example.com",
            session__id=f"session-{number // 3}", input__value=question, **output, **more,
        ),
        span(
            trace, 2, 1, name="execute_tool search", start_ms=start + 10, ms=20,
            gen_ai__operation__name="execute_tool", gen_ai__tool__name="search",
            gen_ai__tool__call__arguments="{}", gen_ai__tool__call__result=answer,
        ),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a known set and 90 requests: of each ten the third failed, and the fourth was slow."""
    project = Project(tmp_path_factory.mktemp("imported"))
    project.write("sets/known.yaml", SET)
    project.write("sets/agent.py", 'def answer(text):\n    return f"We sell it: {text}"\n')
    requests = [
        ask(
            number,
            QUESTIONS[number % 10],
            f"We sell it at 12 Market Street. Write to shop{number}@example.com about {number}.",
            error="no answer" if number % 10 == 3 else "",
            ms=4000 if number in (24, 54) else 900,
        )
        for number in range(90)
    ]
    write_lines(
        project.folder / "t.jsonl", [export(each, service__version="v3") for each in requests]
    )
    done = project.evalkit(
        *("traffic", "import", "t.jsonl", "--as", "prod", "--keep-pii"),
        env={"EVALKIT_REDACTION_KEY": KEY},
    )
    assert done.code == 0, done.err
    return project.folder


@pytest.fixture
def prod(imported: Path, tmp_path: Path) -> Project:
    return Project(shutil.copytree(imported, tmp_path / "project"))


def read_samples(project: Project, what: str = "*") -> list[tuple[Any, ...]]:
    with open_traffic(project.folder / ".evalkit" / "traffic" / "prod") as traffic:
        return traffic.execute(f"select {what} from samples order by all").fetchall()


def test_a_sample_repeats_keeps_sessions_whole_and_stores_its_probabilities(prod: Project) -> None:
    first = prod.evalkit("traffic", "sample", "prod", "--n", "30", "--format", "json").json
    assert first == prod.evalkit("traffic", "sample", "prod", "--n", "30", "--format", "json").json
    other = prod.evalkit(
        "traffic", "sample", "prod", "--n", "30", "--seed", "1", "--format", "json"
    ).json
    assert [each["request"] for each in other["requests"]] != [
        each["request"] for each in first["requests"]
    ]
    # A session belongs to the first reason that one of its requests has.
    strata = {each["name"]: each for each in first["strata"]}
    assert sum(each["sessions"] for each in strata.values()) == 30
    assert all(each["pi"] == each["drawn_sessions"] / each["sessions"] for each in strata.values())
    sessions: dict[str, int] = {}
    for each in first["requests"]:
        sessions[each["session"]] = sessions.get(each["session"], 0) + 1
        assert each["pi"] == strata[each["stratum"]]["pi"]
    assert set(sessions.values()) == {3}
    assert len(sessions) == sum(each["drawn_sessions"] for each in strata.values())

    larger = prod.evalkit("traffic", "sample", "prod", "--n", "60", "--format", "json").json
    assert {each["request"] for each in first["requests"]} < {
        each["request"] for each in larger["requests"]
    }
    stored = read_samples(prod, "distinct sample_id, seed, purpose, verdict")
    assert stored == sorted(
        (each["sample"], each["seed"], "list", "listed") for each in (first, other, larger)
    )
    pis = {
        row[0]: row[1]
        for row in read_samples(prod, "request_id, pi, sample_id")
        if row[2] == first["sample"]
    }
    assert pis == {each["request"]: each["pi"] for each in first["requests"]}


def test_new_cases_have_drafts_that_no_run_believes(prod: Project) -> None:
    done = prod.evalkit(
        "traffic", "sample", "prod", "--n", "90", "--to", "sets/new.yaml", "--format", "json"
    )
    assert done.code == 0, done.err
    near = [each for each in done.json["requests"] if "of tents-here (0.9" in each["verdict"]]
    assert near
    assert {each["decided_by"] for each in near} == {"token_sort_ratio"}
    # The import kept personal data; it is replaced in what is to be committed.
    assert done.json["redacted"]["email"] > 0
    text = (prod.folder / "sets/new.yaml").read_text()
    assert "@example.com" not in text
    assert KEY not in text
    cases = yaml.safe_load(text)["cases"]
    assert cases
    assert not any("expected" in case for case in cases)
    # Every case of one user is one cluster, and says where it is from.
    assert all(case["cluster"].startswith("<user:") for case in cases)
    assert all(case["provenance"]["traffic"] == "prod" for case in cases)
    # A case of a failed request has an empty draft, which is as unread as the others.
    assert all("draft" in case for case in cases)
    assert {"failed" in case["tags"] for case in cases if case["draft"] is None} == {True}
    # An earlier question of the session, and its answer, come before the question.
    talks = [case["input"] for case in cases if isinstance(case["input"], list)]
    assert talks
    assert {turn["role"] for talk in talks for turn in talk} == {"user", "assistant"}

    assert prod.evalkit("validate", "sets/new.yaml").code == 0
    run = prod.evalkit("run", "sets/new.yaml")
    assert run.code == 3, run.out
    assert "a draft that nobody has confirmed" in " ".join(run.out.split())
    [drafted, *_] = [case for case in cases if case["draft"]]
    shown = prod.evalkit("show", "latest", drafted["id"])
    assert "Draft, unconfirmed\n  │ We sell it at" in shown.out, shown.out
    confirmed = text.replace("    draft: ", "    expected: ").replace(
        "metrics:\n", "metrics:\n  - contains: {any: [sell]}\n"
    )
    prod.write("sets/new.yaml", confirmed)
    assert prod.evalkit("run", "sets/new.yaml").code == 0
    again = prod.evalkit("traffic", "sample", "prod", "--to", "sets/new.yaml")
    assert again.code == 2
    assert "may have labels" in again.err
    assert (prod.folder / "sets/new.yaml").read_text() == confirmed


def test_a_judge_and_people_get_the_answers_and_the_mean_is_that_of_traffic(prod: Project) -> None:
    rubrics = ("--judge", "groundedness", "--judge", "toxicity", "--judge", "due_refusal")
    done = prod.evalkit("traffic", "sample", "prod", "--n", "45", *rubrics)
    assert done.code == 0, done.err
    assert "without an answer left out" in done.out
    [judged] = (prod.folder / ".evalkit/traffic/prod").glob("judged-*/judged.yaml")
    run = prod.evalkit("run", str(judged))
    assert run.code == 0, run.err + run.out
    assert "controls passed" in run.out

    found = prod.evalkit("traffic", "estimate", "latest", "--format", "json").json
    assert [each["metric"] for each in found["metrics"]] == [
        "groundedness",
        "toxicity",
        "due_refusal",
    ]
    stored = read_samples(prod, "stratum, pi, verdict")
    assert {verdict for _, _, verdict in stored} == {"case", "no answer"}
    answered = [row for row in stored if row[2] == "case"]
    for each in found["metrics"]:
        assert each["judged"] == len(answered)
        assert 0 <= each["low"] <= each["mean"] <= each["high"] <= 1
        assert each["high"] > each["low"]  # also where every answer scores the same
        # The Hajek mean, from the means of the strata.
        weights = {part["name"]: part["judged"] / part["pi"] for part in each["strata"]}
        total = sum(
            part["mean"] * weights[part["name"]] for part in each["strata"] if part["judged"]
        )
        assert each["mean"] == pytest.approx(total / sum(weights.values()))
    assert "90% interval" in prod.evalkit("traffic", "estimate", "latest").out

    sheet = prod.evalkit(
        "review", "latest", "--metric", "toxicity", "--rater", "ann", "--csv-out", "w.csv"
    )
    assert sheet.code == 0, sheet.err
    with (prod.folder / "w.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) >= 30
    with (prod.folder / "w.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows([{**row, "level": "none"} for row in rows])
    read = prod.evalkit(
        "review", "latest", "--metric", "toxicity", "--rater", "ann", "--csv-in", "w.csv"
    )
    assert read.code == 0, read.err
    people = {
        each["metric"]: each["people"]
        for each in prod.evalkit("traffic", "estimate", "latest", "--format", "json").json[
            "metrics"
        ]
    }
    assert people["groundedness"] is None
    assert people["toxicity"]["mean"] == 0
    # Fewer answers have a label than a verdict, so that less is known.
    [toxicity] = [each for each in found["metrics"] if each["metric"] == "toxicity"]
    assert 5 <= people["toxicity"]["labeled"] < toxicity["judged"]
    assert people["toxicity"]["high"] > toxicity["high"]
    # A selection of the answers is no random sample.
    part = prod.evalkit("run", str(judged), "--case", prod.rows()[0]["case_id"])
    assert part.code == 0, part.err
    refused = prod.evalkit("traffic", "estimate", "latest")
    assert refused.code == 2
    assert "lacks" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prd"], "Did you mean 'prod'"),
        (["prod", "--by", "faild"], "--by 'faild' is unknown. Known: failed, slow"),
        (["prod", "--by", "novel"], "Name a set with --like SET"),
        (["prod", "--by", "low-feedback"], "Add random to --by"),
        (["prod", "--judge", "correctness"], "is no rubric. Shipped: groundedness"),
        (["prod", "--to", "elsewhere/x.yaml"], "--like SET"),
    ],
)
def test_a_wrong_command_says_what_to_type(
    prod: Project, arguments: list[str], message: str
) -> None:
    done = prod.evalkit("traffic", "sample", *arguments)
    assert done.code == 2
    assert message in " ".join(done.err.split())
    assert read_samples(prod) == []


def test_only_a_judged_sample_is_estimated_from(project: Project) -> None:
    project.evalkit("run", "echo.yaml")
    done = project.evalkit("traffic", "estimate", "latest")
    assert done.code == 2
    assert "traffic sample NAME --judge" in done.err
