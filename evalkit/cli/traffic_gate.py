"""evalkit traffic gate: decide by thresholds whether traffic got worse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from evalkit.cli.console import create_context, say
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.options import BaseOption, RequireBaseOption, comparison_option
from evalkit.cli.output import exit_with_code, print_result, refuse_shared_files, write_file

if TYPE_CHECKING:
    from evalkit.ci.base import GateChoice
    from evalkit.traffic.periods import TrafficFilter


class TrafficChoice(NamedTuple):
    """The requests to decide and to compare with."""

    against: Annotated[
        list[str],
        typer.Option(
            "--against", metavar="NAME", help="Earlier traffic; repeat it for several periods."
        ),
    ] = []  # noqa: RUF012 - typer copies it
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="LABEL", help="Only requests of this version."),
    ] = None
    against_version: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL", help="Compare with this version, of the same traffic or of --against."
        ),
    ] = None
    variant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only requests of this arm of an experiment.")
    ] = None
    against_variant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Compare with this arm of the experiment.")
    ] = None
    environment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only requests of this environment, on both sides."),
    ] = None
    days: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST..LAST", help="The days in UTC to decide (default: all that are stored)."
        ),
    ] = None

    def name_others(self, name: str) -> tuple[str, ...]:
        """Return the traffic to compare with, which may be other requests of the same."""
        is_within = self.against_version is not None or self.against_variant is not None
        return tuple(self.against) or ((name,) if is_within else ())

    def build_filters(self) -> tuple[TrafficFilter, TrafficFilter]:
        """Return which requests count on both sides."""
        from evalkit.commands.traffic.gate import parse_days
        from evalkit.traffic.periods import TrafficFilter

        first, last = parse_days(self.days)
        return (
            TrafficFilter(
                version=self.version,
                variant=self.variant,
                environment=self.environment,
                first=first,
                last=last,
            ),
            TrafficFilter(
                version=self.against_version,
                variant=self.against_variant,
                environment=self.environment,
            ),
        )


class TrafficBase(NamedTuple):
    """Where the thresholds come from."""

    base: BaseOption = None
    require_base: RequireBaseOption = False
    accept_gate_changes: Annotated[
        bool,
        comparison_option(
            "--accept-gate-changes", help="Use the thresholds as this change edits them."
        ),
    ] = False
    accepted_by: Annotated[
        str | None,
        comparison_option(
            "--accepted-by",
            metavar="WHO@COMMIT",
            help="Accept a failure and edits of the thresholds of this commit, in the name of WHO.",
        ),
    ] = None

    def choose_gate(self) -> GateChoice:
        """Return which definition of the thresholds to use."""
        from evalkit.ci.acceptance import parse_acceptance
        from evalkit.ci.base import GateChoice

        acceptance = None if self.accepted_by is None else parse_acceptance(self.accepted_by)
        return GateChoice(
            base=self.base,
            accept=self.accept_gate_changes or acceptance is not None,
            acceptance=acceptance,
            require=self.require_base,
        )


class TrafficGateFiles(NamedTuple):
    """The files to write beside the result."""

    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Also write Markdown.")
    ] = None
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML.")
    ] = None


def traffic_gate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The traffic to decide.")],
    traffic: TrafficChoice,
    base: TrafficBase,
    printed: ResultOptions,
    files: TrafficGateFiles,
) -> None:
    """Decide by thresholds whether traffic got worse.

    The thresholds are in the section `traffic:` of evalkit.yaml. Exit with 0 if all hold, 1 if one fails,
    3 if the traffic does not decide, and 5 if no request matches.
    """
    from evalkit.commands.traffic.gate import TrafficGateRequest, gate_traffic
    from evalkit.traffic.gate_documents import gate_json, gate_junit, gate_markdown
    from evalkit.traffic.gate_text import gate_text

    paths = (files.markdown, files.junit, printed.output)
    refuse_shared_files(path for path in paths if path is not None)
    context = create_context()
    chosen, against_chosen = traffic.build_filters()
    request = TrafficGateRequest(
        name=name,
        against=traffic.name_others(name),
        chosen=chosen,
        against_chosen=against_chosen,
        choice=base.choose_gate(),
    )
    gate = gate_traffic(request, context)
    print_result(gate, printed, gate_json, gate_text)
    if files.markdown is not None:
        write_file(files.markdown, gate_markdown(gate))
    if files.junit is not None:
        write_file(files.junit, gate_junit(gate, context.now().isoformat()))
    if printed.output is not None:
        say(f"{gate.result.word}: {gate.result.reason}")
    exit_with_code(gate.result.exit_code)
