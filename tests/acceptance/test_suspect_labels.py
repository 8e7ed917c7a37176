"""Labels that versions, judges, and raters contradict: ranked, queued first, named beside must_pass."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import evalkit
from tests.conftest import Project

SCHEMA = json.loads((Path(evalkit.__file__).parent / "schemas" / "report.schema.json").read_text())

# Every version makes its own errors, except on c3 and c8, where the label is wrong.
AGENT = """
    import hashlib

    def answer(text, context):
        digest = hashlib.sha256(f"{VERSION}/{text}".encode()).digest()
        return f"wrong {digest[1]}" if digest[0] < 20 and text not in ("3", "8") else f"Right {text}."
"""
WRONG = ("c3", "c8")
LINE = '  - {{id: c{n}, input: "{n}", expected: {label}, tags: [{tag}]}}\n'


def make_set(metrics: str = "[exact_match]", gate: str = "") -> str:
    cases = "".join(
        LINE.format(
            n=n,
            label="wrong label" if f"c{n}" in WRONG else f'"Right {n}."',
            tag="core" if n in (3, 4) else "other",
        )
        for n in range(1, 41)
    )
    return f"evalset: facts\nagent: {{python: ./v0.py:answer}}\nmetrics: {metrics}\n{gate}cases:\n{cases}"


def add_versions(project: Project, count: int, agent: str = AGENT) -> None:
    for version in range(count):
        project.write(
            f"v{version}.py", f"VERSION = {version}\n{agent.replace(chr(10) + '    ', chr(10))}"
        )
        project.evalkit(
            "run", "facts.yaml", "--agent", f"./v{version}.py:answer", "--agent-version", f"v{version}"
        )  # fmt: skip


def suspects(project: Project) -> dict[str, Any]:
    done = project.evalkit("show", "latest", "--suspect-labels", "--format", "json")
    assert done.code == 0, done.err
    jsonschema.validate(done.json, SCHEMA)
    return {each["case_id"]: each for each in done.json["ranked"] if each["is_suspect"]}


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("facts"))
    project.write("facts.yaml", make_set(gate="gate: [{must_pass: [core]}]\n"))
    add_versions(project, 5)
    return project


def test_versions_that_otherwise_err_differently_show_the_wrong_labels(facts: Project) -> None:
    found = suspects(facts)
    assert set(found) == set(WRONG)
    assert found["c3"]["answer"] == "Right 3."
    assert (found["c3"]["versions"], found["c3"]["all_versions"]) == (5, 5)
    text = facts.evalkit("show", "latest", "--suspect-labels").out
    assert "2 of 40 cases with a label, by the answers of 5 versions" in text
    assert "5 of 5 versions" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    # c3 must pass and fails; the note stands in the report, and the gate still fails.
    done = facts.evalkit("show", "latest", "--format", "json")
    (note,) = [note for note in done.json["notes"] if note.startswith("SUSPECT LABEL")]
    assert "must_pass fails on c3 (" in note
    assert "c8" not in note, "it need not pass"
    assert done.json["outcome"] == "fail"


def test_versions_that_always_err_alike_prove_nothing(project: Project) -> None:
    same = AGENT.replace("{VERSION}/", "")
    project.write("facts.yaml", make_set())
    add_versions(project, 3, same)
    assert suspects(project) == {}
    text = project.evalkit("show", "latest", "--suspect-labels").out
    assert "0 of 40 cases" in text
    assert "c3" not in text


RUBRIC = """
    rubric: right
    pass_at: 1
    criteria: [{name: right, question: Is the answer right?}]
"""


def test_people_who_contradict_a_label_are_heard_and_its_answers_come_first(
    project: Project,
) -> None:
    project.write("right.yaml", RUBRIC)
    project.write(
        "facts.yaml", "judge: lexical\n" + make_set("[exact_match, {rubric: right.yaml}]")
    )
    add_versions(project, 1)
    assert suspects(project) == {}, "one version against a label proves nothing"
    assert worksheet(project, "ann", "c8") != "c8"
    worksheet(project, "bob", "c8")
    (found,) = suspects(project).values()
    assert (found["case_id"], found["raters_for"], found["versions"]) == ("c8", 2, 1)
    assert "2 raters for it" in " ".join(
        project.evalkit("show", "latest", "--suspect-labels").out.split()
    )
    assert worksheet(project, "eve", "c8") == "c8", "a suspect label is asked for first"


def worksheet(project: Project, rater: str, case: str) -> str:
    """Label the answers of one case as right, and return the case of the first row."""
    options = ("review", "latest", "--rater", rater, "--sample", "80")
    assert project.evalkit(*options, "--csv-out", "sheet.csv").code == 0
    with (project.folder / "sheet.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["level"] = "yes" if row["case"] == case else ""
    with (project.folder / "sheet.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    done = project.evalkit(*options, "--csv-in", "sheet.csv")
    assert done.code == 0, done.err
    return rows[0]["case"]


def test_conflicting_options_are_refused(facts: Project) -> None:
    assert facts.evalkit("show", "latest", "--flaky", "--suspect-labels").code == 2
    done = facts.evalkit("show", "latest", "c3", "--suspect-labels")
    assert done.code == 2
    assert "Leave out 'c3'" in done.err
