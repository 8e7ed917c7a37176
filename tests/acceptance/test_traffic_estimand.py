"""`evalkit traffic weigh` and `estimand: traffic`: a verdict weighed by what users ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Project

TOPICS = ("return", "delivery", "warranty", "password", "discount")
QUESTIONS = (
    "How long may I use the {} before it ends?",
    "Where on the web page do I find the {} form?",
    "Can somebody explain the {} rules for members?",
    "Why was my {} refused by your colleague yesterday?",
)

SET = """
    evalset: shop
    agent: {python: ./agent.py:answer}
    gate:
      - {metric: exact_match, max_drop: 0.02, estimand: traffic}
    cases:
"""

AGENT = """
    def answer(text):
        return "?" if WRONG and WRONG in text else text.upper()

    WRONG = ""
"""


@pytest.fixture
def shop(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A set of 20 cases with a baseline, whose threshold is weighed by traffic."""
    monkeypatch.setenv("EVALKIT_REDACTION_KEY", "a-key-for-tests-only-0123456789")
    asked = [
        (f"{topic}-{number}", question.format(topic))
        for topic in TOPICS
        for number, question in enumerate(QUESTIONS)
    ]
    rows = "".join(
        f"      - {{id: {case}, input: {json.dumps(text)}, expected: {json.dumps(text.upper())}}}\n"
        for case, text in asked
    )
    project.write("shop.yaml", SET + rows)
    project.write("agent.py", AGENT)
    assert project.evalkit("baseline", "shop.yaml", "--trials", "3").code == 0
    return project


def import_requests(project: Project, counts: dict[str, int]) -> None:
    """Store requests of 100 users about topics, and some about nothing that the set has."""
    lines: list[dict[str, Any]] = []
    for topic, count in counts.items():
        for number in range(count):
            text = QUESTIONS[number % len(QUESTIONS)].format(topic).lower().removesuffix("?")
            if topic == "other":
                text = "qwxz jkvb " * 3
            lines.append(
                {
                    "id": f"{topic}{number}",
                    "ts": f"2026-11-{1 + number % 28:02d}T10:00:{number % 60:02d}Z",
                    "input": text,
                    "output": "yes",
                    "user": f"{topic}-user-{number % 100}",
                }
            )
    path = project.folder / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = project.evalkit("traffic", "import", "log.jsonl", "--as", "prod", "--format", "table")
    assert done.code == 0, done.err


def break_topic(project: Project, topic: str) -> None:
    project.write("agent.py", AGENT.replace('WRONG = ""', f'WRONG = "{topic}"'))


def test_the_verdict_follows_what_users_ask(shop: Project) -> None:
    # Without weights nothing passes silently: neither a run, nor the check before it.
    done = shop.evalkit("run", "shop.yaml", "--trials", "1")
    assert done.code == 3
    assert "no weights of traffic are stored for this set" in " ".join(done.out.split())
    planned = shop.evalkit("run", "shop.yaml", "--dry-run")
    assert "evalkit traffic weigh" in " ".join((planned.out + planned.err).split())

    counts = {"return": 500, "delivery": 30, "warranty": 30, "password": 30, "discount": 10}
    import_requests(shop, {**counts, "other": 200})
    weighed = shop.evalkit("traffic", "weigh", "shop.yaml", "--traffic", "prod", "--format", "json")
    assert weighed.code == 0, weighed.err
    mix = weighed.json["mix"]
    assert weighed.json["file"] == "traffic/shop.json"
    assert mix["unmatched"] == pytest.approx(0.25)
    of_topics = {t: sum(mix["shares"][f"{t}-{n}"] for n in range(4)) for t in TOPICS}
    assert of_topics == pytest.approx({t: count / 800 for t, count in counts.items()})
    text = shop.evalkit("traffic", "weigh", "shop.yaml", "--traffic", "prod").out
    assert "75.0% of 800 requests from 2026-11-01 to 2026-11-28" in " ".join(text.split())
    assert "qwxz jkvb" in text

    # Each topic is a fifth of the set, but users ask about one of them 50 times as often.
    reports = {}
    for topic in ("discount", "return"):
        break_topic(shop, topic)
        done = shop.evalkit("run", "shop.yaml", "--trials", "3", "--format", "json")
        reports[topic] = done.json, done
    checks = {topic: report["checks"][0] for topic, (report, _) in reports.items()}
    assert checks["discount"]["difference"] == pytest.approx(-10 / 600, abs=1e-6)
    assert checks["return"]["difference"] == pytest.approx(-500 / 600, abs=1e-6)
    assert (checks["return"]["outcome"], reports["return"][1].code) == ("fail", 1)
    assert checks["discount"]["outcome"] != "fail"
    notes = " ".join(reports["discount"][0]["notes"])
    assert "75.0% of 800 requests from 2026-11-01 to 2026-11-28 resemble a case" in notes
    assert "With all cases alike, the change is -20.0 pt." in notes


def test_weights_are_checked(shop: Project) -> None:
    import_requests(shop, {"return": 20})
    assert shop.evalkit("traffic", "weigh", "shop.yaml", "--traffic", "prod").code == 0
    few = shop.evalkit("run", "shop.yaml", "--trials", "1")
    assert few.code == 3
    assert "worth 20 independent ones, and 30 are needed" in " ".join(few.out.split())

    path = shop.folder / "traffic" / "shop.json"
    mix = json.loads(path.read_text())
    path.write_text(json.dumps({**mix, "unmatched": 0.9}))
    broken = shop.evalkit("validate", "shop.yaml")
    assert broken.code == 2
    assert "traffic/shop.json: not weights of traffic: its shares add up to 1.9" in broken.err
    assert shop.evalkit("traffic", "weigh", "shop.yaml", "--traffic", "prod").code == 0
    assert json.loads(path.read_text()) == mix

    unknown = shop.evalkit("traffic", "weigh", "shop.yaml", "--traffic", "pord")
    assert unknown.code == 2
    assert "Did you mean 'prod'?" in unknown.err


def test_a_change_of_the_weights_needs_approval(shop: Project, git: Callable[..., str]) -> None:
    import_requests(shop, {"return": 300, "delivery": 100})
    assert shop.evalkit("traffic", "weigh", "shop.yaml", "--traffic", "prod").code == 0
    git("init", "-b", "main")
    git("add", ".")
    git("commit", "-m", "Weigh by traffic")
    # Of what the change breaks, nobody is said to ask any more.
    break_topic(shop, "return")
    path = shop.folder / "traffic" / "shop.json"
    mix = json.loads(path.read_text())
    shares = {case: 0.0 if "return" in case else 0.25 / 4 for case in mix["shares"]}
    path.write_text(json.dumps({**mix, "shares": shares}))
    git("commit", "-am", "Hide it")
    done = shop.evalkit("run", "shop.yaml", "--trials", "1", "--base", "HEAD~1")
    text = " ".join(done.out.split())
    assert done.code == 4, text
    assert text.count("weighed by traffic until 2026-11-28 (weights") >= 2
    # The base's weights decide.
    assert "the result is FAIL" in text or "weighed by traffic, down 75.0 pt" in text
