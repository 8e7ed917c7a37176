"""The command that asks about stored traces: options become a question."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import Format, FormatOption, parse_duration
from evalkit.cli.output import refuse_conflicting_options


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
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Find stored traces, by flags or in SQL."""
    from evalkit.commands.traces import find_traces, query_traces_sql
    from evalkit.report.traces import table_text, traces_json, traces_text
    from evalkit.trace.query import TraceQuery

    question = TraceQuery(
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
    refuse_conflicting_options(
        ("--sql asks by itself; leave out the other flags", bool(sql) and question.has_filters)
    )
    if sql is not None:
        answer = query_traces_sql(sql, tuple(run), limit, create_context())
        emit(traces_json(answer) if format is Format.json else table_text(answer, detect_screen()))
        return
    found = find_traces(question, tuple(run), create_context())
    if format is Format.json:
        emit(traces_json(found.answer))
    else:
        emit(traces_text(question, found.answer, found.runs, detect_screen()))
