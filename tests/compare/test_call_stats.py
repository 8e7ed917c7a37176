"""Calls by tool and by model: counted, timed, and in every report that says what a run came to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.compare.call_stats import CallStats, compute_call_stats
from evalkit.core.run import Run
from evalkit.core.spans import Span, ToolCall
from evalkit.core.trial import Output
from evalkit.report.call_rows import call_rows
from evalkit.report.screen import Screen
from evalkit.report.terminal import render_terminal
from tests.conftest import Project
from tests.support.report_samples import candidate_run, failing_report


def run_of(*outputs: Output) -> Run:
    run = candidate_run()
    trials = [replace(run.trials[0], number=n, output=output) for n, output in enumerate(outputs)]
    return replace(run, trials=tuple(trials))


def tool(name: str, seconds: float | None = None, error: str | None = None) -> ToolCall:
    return ToolCall(name=name, duration_s=seconds, error=error)


def test_calls_are_summed_up_by_tool_over_all_trials() -> None:
    run = run_of(
        Output(tool_calls=(tool("pay", 1.0), tool("look"), tool("pay", 3.0, "Timeout"))),
        Output(tool_calls=(tool("pay", 2.0),)),
        Output(text="none"),
    )
    look, pay = compute_call_stats(run)
    assert look == CallStats(kind="tool", name="look", calls=1, trials=1, errors=0)
    assert (pay.calls, pay.trials, pay.errors) == (3, 2, 1)
    assert pay.error_rate == pytest.approx(1 / 3)
    assert pay.p50_s == 2.0
    assert pay.p95_s == pytest.approx(2.9)
    assert pay.p99_s == pytest.approx(2.98)


def test_models_are_summed_up_from_spans_with_what_they_tell() -> None:
    def ask(model: str, **more: int | float) -> Span:
        told: dict[str, int | float] = {"duration_s": 1.0, **more}
        return Span(id=f"{model}{more}", name="chat", kind="model", model=model, **told)  # type: ignore[arg-type]

    spans = (
        Span(id="0", name="agent", kind="agent", input_tokens=99),
        ask("big", input_tokens=10, output_tokens=1, cost_usd=0.5),
        ask("big", input_tokens=20),
        ask(""),
    )
    inside = Span(id="2", parent_id="1", name="HTTP chat", kind="model", model="small")
    around = Span(id="1", name="chat", kind="model", model="small")
    [small] = compute_call_stats(run_of(Output(spans=(around, inside))))
    assert small.calls == 1
    unnamed, big = compute_call_stats(run_of(Output(spans=spans)))
    assert (unnamed.name, unnamed.input_tokens) == ("(unnamed)", None)
    assert (big.calls, big.input_tokens, big.output_tokens, big.cost_usd) == (2, 30, 1, 0.5)
    rows = call_rows(compute_call_stats(run_of(Output(spans=spans))))
    assert rows[1] == (
        "model big", "2", "0.0%", "1.00 s", "1.00 s", "1.00 s", "31 tokens, $0.500",
    )  # fmt: skip


def test_a_run_that_tells_of_no_call_has_no_section_for_them() -> None:
    silent = replace(failing_report(), calls=compute_call_stats(run_of(Output(text="x"))))
    assert "\nCalls\n" not in render_terminal(silent, Screen(), verbose=True)


@pytest.mark.parametrize("width", [40, 80])
def test_the_names_of_tools_do_no_harm_on_a_screen(width: int) -> None:
    hostile = tool("\x1b[31mpay\n::error::" + "x" * 500, 0.1, "E")
    calls = compute_call_stats(run_of(Output(tool_calls=(hostile,))))
    report = replace(failing_report(), calls=calls)
    shown = render_terminal(report, Screen(width=width), verbose=True)
    assert "\nCalls\n" in shown
    assert "\x1b" not in shown
    assert not [line for line in shown.splitlines() if line.startswith("::")]
    assert max(map(len, shown.split("\nCalls\n")[1].split("\n\n")[0].splitlines())) <= width


def test_a_run_reports_its_calls_as_json_and_on_screen(project: Project) -> None:
    project.write(
        "agent.py",
        """
        def answer(text):
            failed = "Timeout" if text == "two" else None
            call = {"name": "look", "duration_s": 0.25, "error": failed}
            return {"output": text.upper(), "tool_calls": [call]}
        """,
    )
    document = project.evalkit("run", "echo.yaml", "--format", "json").json
    [look] = document["calls"]
    assert (look["kind"], look["name"], look["calls"], look["errors"]) == ("tool", "look", 3, 1)
    assert (look["p50_s"], look["p99_s"]) == (0.25, 0.25)
    shown = project.evalkit("show", "latest", "-v").out
    assert "tool look      3   33.3%  0.250 s  0.250 s  0.250 s" in shown
