"""Define the option groups of commands: each field is an option, each group one parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

from evalkit.cli.options import (
    BaselineOption,
    BaseOption,
    CaseIdsOption,
    ConcurrencyOption,
    DriftPolicy,
    Format,
    FormatOption,
    InconclusivePolicy,
    MaxCostOption,
    MaxErrorsOption,
    OutputOption,
    PrintFormat,
    RequireBaseOption,
    RunIdOption,
    SeedOption,
    VerboseOption,
    agent_option,
    comparison_option,
    output_option,
    parse_trials,
    report_file,
    resume_option,
    selection_option,
    trials_option,
)
from evalkit.report.registry import FILE_FORMATS

if TYPE_CHECKING:
    from evalkit.ci.base import GateChoice
    from evalkit.core.settings import SettingsOverrides
    from evalkit.evalset.selection import Selection
    from evalkit.runner.records import RunOptions
    from evalkit.store.refs import BaselineChoice

# Named tuples, because every command would wait about a millisecond for each dataclass.


class SelectionOptions(NamedTuple):
    """The cases to run."""

    expression: Annotated[
        str | None,
        selection_option(
            "-k", metavar="EXPR", help="Cases whose id or tags match, as in 'refund and not slow'."
        ),
    ] = None
    tag: Annotated[
        list[str], selection_option("--tag", metavar="TAG", help="Only cases with this tag.")
    ] = []  # noqa: RUF012 - typer copies it
    case: CaseIdsOption = []  # noqa: RUF012
    last_failed: Annotated[
        bool,
        selection_option(
            "--lf", "--last-failed", help="Only cases that did not pass in the last run."
        ),
    ] = False
    shard: Annotated[
        str | None, selection_option(metavar="I/N", help="Part I of N parts of equal size.")
    ] = None
    limit: Annotated[int | None, selection_option(min=1, help="Maximum number of cases.")] = None

    def build_selection(self) -> Selection:
        """Return the selection, without `--last-failed`, whose cases are read from the store."""
        from evalkit.evalset.selection import Selection, parse_shard

        return Selection(
            case_ids=tuple(self.case),
            tags=tuple(self.tag),
            expression=self.expression,
            shard=parse_shard(self.shard) if self.shard is not None else None,
            limit=self.limit,
        )


class SettingOptions(NamedTuple):
    """The settings of the eval set that the command line can override."""

    trials: Annotated[
        str | None,
        trials_option(
            metavar="N|auto",
            help="Number of trials per case; auto: up to 5, until the gate has a result (default).",
        ),
    ] = None
    concurrency: ConcurrencyOption = None
    max_errors: MaxErrorsOption = None
    max_cost_usd: MaxCostOption = None
    seed: SeedOption = None
    on_inconclusive: Annotated[
        InconclusivePolicy | None,
        comparison_option(help="Whether an inconclusive threshold passes or fails the build."),
    ] = None
    on_judge_drift: Annotated[
        DriftPolicy | None,
        comparison_option(help="What to do when the judge's model differs from the baseline's."),
    ] = None

    def build_overrides(self) -> SettingsOverrides:
        """Return the settings that the user gave."""
        from evalkit.core.settings import SettingsOverrides

        return SettingsOverrides(
            trials=parse_trials(self.trials),
            concurrency=self.concurrency,
            max_errors=self.max_errors,
            on_inconclusive=self.on_inconclusive.value if self.on_inconclusive else None,
            on_judge_drift=self.on_judge_drift.value if self.on_judge_drift else None,
            max_cost_usd=self.max_cost_usd,
            seed=self.seed,
        )


class AgentOptions(NamedTuple):
    """The agent under test."""

    agent: Annotated[
        str | None,
        agent_option(
            "--agent",
            metavar="REF",
            help="Test this Python function instead of the set's agent; paths start from the set's "
            "folder.",
        ),
    ] = None
    agent_version: Annotated[
        str | None,
        agent_option(metavar="LABEL", help="Name of this version (default: the git commit)."),
    ] = None


class BaselineOptions(NamedTuple):
    """The baseline to compare a run with, and the gate to apply."""

    baseline: BaselineOption = None
    allow_missing_baseline: Annotated[
        bool,
        comparison_option(
            "--allow-missing-baseline", help="Gate a run without a baseline; the report says so."
        ),
    ] = False
    base: BaseOption = None
    require_base: RequireBaseOption = False
    accept_gate_changes: Annotated[
        bool,
        comparison_option("--accept-gate-changes", help="Use the gate as this change edits it."),
    ] = False
    accepted_by: Annotated[
        str | None,
        comparison_option(
            "--accepted-by",
            metavar="WHO@COMMIT",
            help="Accept a failure and edits of the gate of this commit, in the name of WHO.",
        ),
    ] = None
    store: Annotated[
        Path | None,
        comparison_option(
            "--store",
            metavar="FOLDER",
            help="Let .evalkit or the baselines be links into this folder, also in CI.",
        ),
    ] = None

    def choose_baseline(self) -> BaselineChoice:
        """Return which baseline to compare with."""
        from evalkit.store.refs import BaselineChoice

        return BaselineChoice(ref=self.baseline, allow_missing=self.allow_missing_baseline)

    def choose_gate(self) -> GateChoice:
        """Return which definition of the gate to use."""
        from evalkit.ci.acceptance import parse_acceptance
        from evalkit.ci.base import GateChoice

        acceptance = None if self.accepted_by is None else parse_acceptance(self.accepted_by)
        return GateChoice(
            base=self.base,
            accept=self.accept_gate_changes or acceptance is not None,
            acceptance=acceptance,
            require=self.require_base,
            store=self.store,
        )


class ResumeOptions(NamedTuple):
    """The id of a run, and whether to continue it."""

    resume: Annotated[bool, resume_option("--resume", help="Continue an unfinished run.")] = False
    run_id: RunIdOption = None
    retry_errors: Annotated[
        bool, resume_option("--retry-errors", help="With --resume: repeat trials that had errors.")
    ] = False

    @property
    def conflict(self) -> tuple[str, bool]:
        """The message about options that contradict each other, and whether they do."""
        return "--retry-errors requires --resume", self.retry_errors and not self.resume

    def choose_run(self, agent_version: str | None = None) -> RunOptions:
        """Return the options of the run to start or to continue."""
        from evalkit.runner.records import RunOptions

        return RunOptions(
            agent_version=agent_version,
            run_id=self.run_id,
            resume=self.resume,
            retry_errors=self.retry_errors,
        )


class ResultOptions(NamedTuple):
    """The format and the destination of a result."""

    format: FormatOption = Format.table
    output: OutputOption = None


class ReportOptions(NamedTuple):
    """The format and the destination of a run's report."""

    format: Annotated[
        PrintFormat,
        output_option(
            "--format", help="Format of the result; github also annotates failing cases."
        ),
    ] = PrintFormat.table
    output: OutputOption = None
    verbose: VerboseOption = False
    quiet: Annotated[
        bool, output_option("-q", "--quiet", help="Print only the result and its reason.")
    ] = False


class ReportFiles(dict[str, Path]):
    """The report files to write, by format. Each registered format has its own option."""

    def __init__(self, **files: Path | None) -> None:
        super().__init__({name: path for name, path in files.items() if path is not None})


def list_group_options(group: Any) -> list[inspect.Parameter]:
    """Return the options of a group as keyword parameters; empty for any other type."""
    if group is ReportFiles:
        # Built with the command, so that every registered format has an option.
        fields = {name: Annotated[Path | None, report_file(name)] for name in FILE_FORMATS}
        defaults: dict[str, Any] = dict.fromkeys(fields)
    elif hasattr(group, "_field_defaults"):
        fields = get_type_hints(group, include_extras=True)
        defaults = group._field_defaults
    else:
        return []
    return [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=annotation
        )
        for name, annotation in fields.items()
    ]


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with each group among its parameters expanded into options.

    typer builds the options from the signature. A call rebuilds the groups from their values.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters = list(signature.parameters.values())
    groups = {
        each.name: (each.annotation, list_group_options(each.annotation)) for each in parameters
    }
    expanded = [
        option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for each in parameters
        for option in groups[each.name][1] or [each]
    ]

    @wraps(command)
    def call(**values: Any) -> None:
        for name, (group, options) in groups.items():
            if options:
                values[name] = group(**{each.name: values.pop(each.name) for each in options})
        command(**values)

    # typer reads order and defaults from the signature, and types from the annotations.
    vars(call)["__signature__"] = signature.replace(parameters=expanded)
    call.__annotations__ = {each.name: each.annotation for each in expanded}
    return call
