"""The options of the command line, each defined once: its name, its type, what help says of it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer


class Format(StrEnum):
    """What a result is printed as."""

    table = "table"
    json = "json"


class ReportFormat(StrEnum):
    """What a judged run is printed as."""

    table = "table"
    json = "json"
    github = "github"


class InconclusivePolicy(StrEnum):
    """What an inconclusive threshold does."""

    passing = "pass"
    failing = "fail"


class DriftPolicy(StrEnum):
    """What a drift does."""

    warn = "warn"
    fail = "fail"


def parse_trials(given: str | None) -> int | Literal["auto"] | None:
    """A number of trials, or the word that leaves it to what the trials show."""
    if given is None:
        return None
    if given == "auto":
        return "auto"
    if not (given.isascii() and given.isdigit() and int(given) >= 1):
        raise typer.BadParameter(
            f"{given!r} is neither 'auto' nor a whole number from 1 on.", param_hint="'--trials'"
        )
    return int(given)


def parse_duration(given: str | None) -> float | None:
    """Seconds from `2s`, `200ms` or a bare number."""
    if given is None:
        return None
    text = given.strip().lower()
    factor = 0.001 if text.endswith("ms") else 1.0
    try:
        seconds = float(text.removesuffix("ms").removesuffix("s")) * factor
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise typer.BadParameter(f"{given!r} is no duration such as 2s or 200ms.")
    return seconds


EvalSetArgument = Annotated[
    Path, typer.Argument(metavar="EVALSET", help="The eval set, a YAML file.")
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run: its id or the start of it, a path, 'latest', 'baseline' or an agent version.",
    ),
]
ExpressionOption = Annotated[
    str | None,
    typer.Option("-k", metavar="EXPR", help="Cases by words of id or tags: 'a and not b'."),
]
TagsOption = Annotated[list[str], typer.Option("--tag", metavar="TAG", help="Cases with this tag.")]
CaseIdsOption = Annotated[
    list[str], typer.Option("--case", metavar="ID", help="The case with this id.")
]
TrialsOption = Annotated[
    str | None,
    typer.Option(
        metavar="N|auto", help="Trials of every case; auto: up to 3, while undecided (default)."
    ),
]
FixedTrialsOption = Annotated[
    int | None, typer.Option("--trials", min=1, help="Trials of every case.")
]
ConcurrencyOption = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Agents at work at once.")
]
MaxErrorsOption = Annotated[
    int | None, typer.Option(min=0, help="Trials that may end without a score (default 0).")
]
OnInconclusiveOption = Annotated[
    InconclusivePolicy | None,
    typer.Option(help="Whether inconclusive thresholds pass or fail the build."),
]
OnJudgeDriftOption = Annotated[
    DriftPolicy | None,
    typer.Option(help="Whether a judge that answers as another model than before is only told of."),
]
SeedOption = Annotated[int | None, typer.Option(help="Seed that agents are given (default 0).")]
AgentOption = Annotated[
    str | None,
    typer.Option(
        "--agent",
        metavar="REF",
        help="Test this Python function, not the set's agent; paths start from the set's folder.",
    ),
]
AgentVersionOption = Annotated[
    str | None, typer.Option(metavar="LABEL", help="Name of this version (default: git commit).")
]
BaselineOption = Annotated[
    str | None,
    typer.Option("--baseline", metavar="RUN", help="Compare with this instead of the baseline."),
]
AllowMissingBaselineOption = Annotated[
    bool, typer.Option("--allow-missing-baseline", help="Gate without a baseline, loudly.")
]
BaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="REF",
        help="Take the gate from where this branch was left (in a pull request: found by itself).",
    ),
]
AcceptGateChangesOption = Annotated[
    bool, typer.Option("--accept-gate-changes", help="Decide by the gate as this change edits it.")
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="REF",
        help="Run the agent of this commit alongside, in turns, in place of a baseline.",
    ),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run.")]
RunIdOption = Annotated[
    str | None, typer.Option(metavar="ID", help="Name the run, or with --resume the one meant.")
]
RetryErrorsOption = Annotated[
    bool, typer.Option("--retry-errors", help="With --resume: run trials again that had errors.")
]
CacheOption = Annotated[
    bool, typer.Option("--cache", help="Reuse outputs of the same agent to the same question.")
]
ReportFormatOption = Annotated[
    ReportFormat,
    typer.Option("--format", help="How to print the result; github: marks broken cases too."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print the result.")]
JunitOption = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML.")
]
MarkdownOption = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Also write a Markdown summary.")
]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write an HTML report.")
]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Also write the cases as CSV.")
]
CtrfOption = Annotated[
    Path | None, typer.Option("--ctrf", metavar="FILE", help="Also write CTRF JSON.")
]


class ReportPaths(NamedTuple):
    """Where reports are to be written, beside what is printed."""

    junit: Path | None = None
    markdown: Path | None = None
    html: Path | None = None
    csv: Path | None = None
    ctrf: Path | None = None
