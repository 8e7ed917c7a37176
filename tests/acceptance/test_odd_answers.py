"""Answers as models really give them, and answers that keep a program busy, from a run's end to end."""

from __future__ import annotations

import json

from tests.conftest import Project

FENCE = '{"a": 1}'

ANSWERS: dict[str, tuple[str, str, str, bool]] = {
    # case: metric, expected, answer, passes
    "digit": ("{similarity: {method: partial}}", '"The refund takes 14 days."', "4", False),
    "word": ("{similarity: {method: token_set}}", '"The refund takes 14 days."', "the", False),
    "spaces": ("numeric", "500", "It costs 10 500 euros.", False),
    "comma": ("numeric", "5", "It is 0,5 km away.", False),
    "lakh": ("numeric", "0", "You owe 1,00,000 rupees.", False),
    "emphasis": ("numeric", "42", "The answer is _42_.", True),
    "any": ("{numeric: {pick: any}}", "42", "42 of 50", True),
    "crlf": ("{json: {fenced: true}}", "{a: 1}", f"```json\r\n{FENCE}\r\n```", True),
    "tilde": ("{json: {fenced: true}}", "{a: 1}", f"~~~ json5\n{FENCE}\n~~~", True),
    "prose": ("{json: {prose: true, tolerance: 0.5}}", "{a: 1.5}", f"It is {FENCE}.", True),
    "reasoned": ("{exact_match: {strip_reasoning: true}}", "yes", "<think>no?</think>yes", True),
    "in-list": ("{compiles: {path: main.py}}", "x", "1. So:\n\n   ```python\n   print(1)\n   ```", True),
    "in-think": (
        "{compiles: {path: main.py}}", "x", "<think>\n```python\nx = (\n```\n</think>\n```python\nx = 1\n```", True,
    ),
    "marks": ("exact_match", "x", "a" + "\u0301\u0323" * 50_000, False),
    "brackets": ("{json: {prose: true}}", "{a: 1}", "[" * 200_000, False),
    "digits": ("numeric", "1", "1" * 200_000, False),
}  # fmt: skip


def test_odd_answers_are_scored_as_they_are_meant_and_none_keeps_the_run_busy(
    project: Project,
) -> None:
    lines = [{"case": case, "output": row[2]} for case, row in ANSWERS.items()]
    project.write("out.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    cases = "".join(
        f"  - {{id: {case}, input: q, expected: {expected}, metrics: [{metric}]}}\n"
        for case, (metric, expected, _, _) in ANSWERS.items()
    )
    project.write("odd.yaml", f"agent: {{recorded: out.jsonl}}\ncases:\n{cases}")
    done = project.evalkit(
        "run", "odd.yaml", "--trials", "1", "--format", "json", "--markdown", "odd.md",
        "--junit", "odd.xml", "--html", "odd.html",
    )  # fmt: skip
    assert done.code == 1, done
    statuses = {case["id"]: case["status"] for case in done.json["cases"]}
    wanted = {case: "passed" if row[3] else "failed" for case, row in ANSWERS.items()}
    assert {case: "passed" if status == "passed" else "failed" for case, status in statuses.items()} == wanted  # fmt: skip


def test_a_set_that_nothing_can_fail_is_refused_with_its_line(project: Project) -> None:
    start = "agent: {recorded: out.jsonl}\ncases: [{id: a, input: q, expected: x}]\n"
    project.write("out.jsonl", '{"case": "a", "output": "x"}\n')
    for section, said in (
        ("metrics: []\n", "set.yaml:3: eval set: metrics lists none. List at least one"),
        ("metrics:\n", "set.yaml:3: eval set: metrics lists none. List at least one"),
        ("metrics: [latency_s]\n", "nothing can fail: every metric only measures"),
        ("gate: [{metric: exact_match, min: 0}]\n", "nothing can fail: no result exceeds"),
    ):
        project.write("set.yaml", start + section)
        done = project.evalkit("validate", "set.yaml")
        assert done.code == 2, done
        assert said in done.out + done.err, done
    project.write(
        "set.yaml", f"{start}metrics: [latency_s]\ngate: [{{metric: latency_s, max: 2}}]\n"
    )
    assert project.evalkit("validate", "set.yaml").code == 0
