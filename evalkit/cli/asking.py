"""The command that asks about stored traces: options become a question."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.console import emit, real_screen, real_world
from evalkit.delivery import refuse_unlike
from evalkit.options import Format, OutputFormat, parse_duration


def traces(
    failed: Annotated[bool, typer.Option("--failed", help="That did not pass.")] = False,
    agent_version: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Of this version of the agent.")
    ] = None,
    tool: Annotated[str | None, typer.Option(metavar="NAME", help="That called this tool.")] = None,
    error_type: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With such an error, in the --tool or --model if given."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="That called this model.")
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Of this user.")] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Of this session.")] = None,
    case: Annotated[str | None, typer.Option(metavar="ID", help="Of this case.")] = None,
    slower_than: Annotated[
        str | None,
        typer.Option(metavar="2s|200ms", help="In the --tool or --model if given, else in all."),
    ] = None,
    run: Annotated[
        list[str], typer.Option("--run", metavar="RUN", help="In this run (default: in all).")
    ] = [],  # noqa: B006
    sql: Annotated[
        str | None,
        typer.Option(metavar="SELECT", help="Ask this of runs, trials, scores and spans."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show at most so many.")] = 50,
    format: OutputFormat = Format.table,  # noqa: A002
) -> None:
    """Find stored traces, by flags or in SQL."""
    from evalkit.commands.traces import ask_in_sql, find_traces
    from evalkit.reports.traces import table_text, traces_json, traces_text
    from evalkit.tracing.question import Question

    question = Question(
        failed=failed,
        agent_version=agent_version,
        tool=tool,
        error_type=error_type,
        model=model,
        user=user,
        session=session,
        case_id=case,
        slower_than_s=parse_duration(slower_than),
        limit=limit,
    )
    refuse_unlike(("--sql asks by itself; leave out the other flags", bool(sql) and question.asks))
    if sql is not None:
        answer = ask_in_sql(sql, tuple(run), limit, real_world())
        emit(traces_json(answer) if format is Format.json else table_text(answer, real_screen()))
        return
    found = find_traces(question, tuple(run), real_world())
    if format is Format.json:
        emit(traces_json(found.answer))
    else:
        emit(traces_text(question, found.answer, found.runs, real_screen()))
