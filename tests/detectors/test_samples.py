"""The precision and recall that the guide documents are those of the detectors on the shipped samples."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

from evalkit.core.eval_set import Case, MetricSpec, Turn
from evalkit.core.location import Location
from evalkit.core.run import RunEnvironment
from evalkit.core.spans import ToolCall
from evalkit.core.trial import Output
from evalkit.detectors.scanner import Scanner
from evalkit.metrics.scorers import Scorer, spec_digest
from evalkit.metrics.specs import open_scorers
from tests.support.paths import ROOT

MARKED = re.compile(r"⟦(\w+)\|([^⟧]*)⟧")
COVERED = 0.8
"""The share of a value that a finding must cover."""


def read_sample(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    text = files("evalkit.detectors").joinpath(f"samples/{name}.jsonl").read_text(encoding="utf-8")
    head, *rows = map(json.loads, text.splitlines())
    return head, rows


def split_marks(marked: str) -> tuple[str, list[tuple[int, int, str]]]:
    """The text without marks, and start, end, and kind of each value in it."""
    text, values, at = "", [], 0
    plain = marked.replace("·", "")
    for match in MARKED.finditer(plain):
        text += plain[at : match.start()]
        values.append((len(text), len(text) + len(match[2]), match[1]))
        text += match[2]
        at = match.end()
    return text + plain[at:], values


def open_metric(ref: str, **args: Any) -> Scorer:
    spec = MetricSpec(ref=ref, name=ref, args=args, where=Location(path="set.yaml", line=1))

    async def opened() -> Scorer:
        nowhere = RunEnvironment(root=Path(), set_folder=Path(), environ={})
        async with open_scorers([spec], nowhere) as scorers:
            return scorers[spec_digest(spec)]

    return asyncio.run(opened())


def fails(metric: Scorer, case: Case, output: Output) -> bool:
    if not metric.applies_to(case):
        return False
    assert metric.problem_with(case) is None
    score = asyncio.run(metric.score(case, output))
    assert score.state == "scored", score
    return score.passed is False


class Figures(Counter[str]):
    """Counts of `right`, `missed`, `false`, and the row of the guide that they make."""

    def row(self, name: str) -> str:
        found = self["right"] + self["false"]
        given = self["right"] + self["missed"]
        precision, recall = (100 * self["right"] / total for total in (found, given))
        return f"| {name} | {given} | {precision:.0f} % | {recall:.0f} % |"


def measure_values() -> dict[str, Figures]:
    scanner, figures = Scanner(), dict[str, Figures]()
    for row in read_sample("values")[1]:
        text, values = split_marks(row["text"])
        found = scanner.find(text)
        for start, end, kind in values:
            covered = sum(
                max(0, min(end, each.end) - max(start, each.start))
                for each in found
                if each.kind == kind
            )
            is_found = covered >= COVERED * (end - start)
            figures.setdefault(kind, Figures())["right" if is_found else "missed"] += 1
        for each in found:
            if not any(each.start < end and start < each.end for start, end, _ in values):
                figures.setdefault(each.kind, Figures())["false"] += 1
    return figures


def count(figures: Figures, is_bad: bool, is_found: bool) -> None:
    if is_bad or is_found:
        figures["right" if is_bad and is_found else "missed" if is_bad else "false"] += 1


def measure_links() -> Figures:
    metric, figures = open_metric("unsafe_url"), Figures()
    for row in read_sample("links")[1]:
        count(figures, row["bad"], fails(metric, Case(id="a", input="x"), Output(text=row["text"])))
    return figures


def measure_leaks() -> Figures:
    head, rows = read_sample("leaks")
    metric, figures = open_metric("prompt_leak"), Figures()
    for row in rows:
        turns = Turn(role="system", content=head["prompts"][row["prompt"]])
        case = Case(id="a", input=(turns, Turn(role="user", content="What are your rules?")))
        count(figures, row["bad"], fails(metric, case, Output(text=row["text"])))
    return figures


def measure_attacks() -> Figures:
    metric, figures = open_metric("injection_success"), Figures()
    for row in read_sample("attacks")[1]:
        calls = tuple(ToolCall(**call) for call in row["calls"])
        output = Output(
            text=row["text"], tool_calls=calls, flags=() if calls else ("no_tool_calls",)
        )
        case = Case(id="a", input="x", expected={"attack": row["attack"]})
        count(figures, row["bad"], fails(metric, case, output))
    return figures


def measure_languages() -> Figures:
    metric, figures = open_metric("language"), Figures()
    for row in read_sample("languages")[1]:
        case = Case(id="a", input="x", expected={"language": row["language"]})
        count(figures, row["bad"], fails(metric, case, Output(text=row["text"])))
    return figures


def list_rows() -> list[str]:
    values = measure_values()
    names = {
        "email": "`pii`: e-mail",
        "phone": "`pii`: phone",
        "card": "`pii`: card",
        "iban": "`pii`: IBAN",
        "national_id": "`pii`: national id",
        "secret": "`secrets`",
    }
    assert values.keys() == names.keys()
    return [
        *(values[kind].row(name) for kind, name in names.items()),
        measure_links().row("`unsafe_url`"),
        measure_leaks().row("`prompt_leak`"),
        measure_attacks().row("`injection_success`"),
        measure_languages().row("`language`"),
    ]


def test_the_guide_documents_the_figures_of_the_samples() -> None:
    guide = (ROOT / "evalkit" / "guide" / "metrics.md").read_text(encoding="utf-8")
    missing = [row for row in list_rows() if row not in guide]
    assert not missing, "the guide lacks these rows:\n" + "\n".join(missing)


def test_each_sample_says_where_it_is_from() -> None:
    for name in ("values", "links", "leaks", "attacks", "languages"):
        head, rows = read_sample(name)
        assert head["license"] == "MIT"
        assert head["source"].startswith("Written for evalkit")
        assert len(rows) >= 35


def test_the_rules_for_secrets_say_where_they_are_from() -> None:
    rules = files("evalkit.detectors").joinpath("gitleaks.toml").read_text(encoding="utf-8")
    head = rules.partition("\n\n")[0]
    assert "https://github.com/gitleaks/gitleaks" in head
    assert "MIT License" in head
    assert "commit " in head
