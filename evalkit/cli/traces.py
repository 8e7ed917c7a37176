"""evalkit traces: find stored traces by filters or with SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.options import parse_duration
from evalkit.cli.output import print_result, refuse_conflicting_options

if TYPE_CHECKING:
    from evalkit.trace.query import TraceQuery


class TraceFilters(NamedTuple):
    """The filters for traces; a trace must match all of them."""

    failed: Annotated[bool, typer.Option("--failed", help="Only trials that did not pass.")] = False
    agent_version: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Only trials of this agent version.")
    ] = None
    tool: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only trials that called this tool.")
    ] = None
    error_type: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Only trials with this error, in the --tool or --model if given."
        ),
    ] = None
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only trials that called this model.")
    ] = None
    user: Annotated[str | None, typer.Option(metavar="ID", help="Only trials of this user.")] = None
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="Only trials of this session.")
    ] = None
    case: Annotated[str | None, typer.Option(metavar="ID", help="Only trials of this case.")] = None
    slower_than: Annotated[
        str | None,
        typer.Option(
            metavar="2s|200ms",
            help="Only trials that took longer, or whose call of the --tool or --model did.",
        ),
    ] = None

    def build_query(self, limit: int) -> TraceQuery:
        """Return the query for at most `limit` rows."""
        from evalkit.trace.query import TraceQuery

        return TraceQuery(
            failed=self.failed,
            agent_version=self.agent_version,
            tool=self.tool,
            error_type=self.error_type,
            model=self.model,
            user=self.user,
            session=self.session,
            case_id=self.case,
            slower_than_s=parse_duration(self.slower_than),
            limit=limit,
        )


def traces(
    result: ResultOptions,
    filters: TraceFilters,
    run: Annotated[
        list[str], typer.Option("--run", metavar="RUN", help="Only this run (default: all runs).")
    ] = [],  # noqa: B006 - typer copies it
    sql: Annotated[
        str | None,
        typer.Option(metavar="SELECT", help="Query the tables runs, trials, scores, and spans."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Maximum number of rows.")] = 50,
) -> None:
    """Find stored traces by filters or with SQL."""
    from evalkit.commands.traces import find_traces, query_traces_sql
    from evalkit.report.traces import table_text, traces_json, traces_text

    query = filters.build_query(limit)
    refuse_conflicting_options(
        ("--sql is a complete query; leave out the filters", bool(sql) and query.has_filters)
    )
    if sql is not None:
        answer = query_traces_sql(sql, tuple(run), limit, create_context())
        print_result(answer, result, traces_json, table_text)
        return
    found = find_traces(query, tuple(run), create_context())
    print_result(
        found,
        result,
        lambda found: traces_json(found.answer),
        lambda found, screen: traces_text(query, found.answer, found.runs, screen),
    )
