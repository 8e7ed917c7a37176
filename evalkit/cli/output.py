"""Print a command's result or write it to a file, and exit with the right code."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer

from evalkit.cli.console import create_context, detect_screen, emit, is_step_summary, say
from evalkit.cli.option_groups import ReportFiles, ReportOptions, ResultOptions
from evalkit.cli.options import Format, PrintFormat
from evalkit.report.registry import FILE_FORMATS

if TYPE_CHECKING:
    from evalkit.core.context import Context
    from evalkit.report.batch import Batch
    from evalkit.report.model import Report
    from evalkit.report.screen import Screen

ResultT = TypeVar("ResultT")


def refuse_conflicting_options(*conflicts: tuple[str, bool]) -> None:
    """Refuse options that contradict each other, and report all of them at once.

    Raises:
        InvalidInput: at least one conflict applies.
    """
    from evalkit.core.errors import InvalidInput
    from evalkit.core.location import Problem

    problems = [Problem(message=f"{message}.") for message, applies in conflicts if applies]
    if problems:
        raise InvalidInput(problems)


def create_report_context(printed: ReportOptions, files: ReportFiles) -> Context:
    """Create the context of a command that writes reports.

    Raises:
        InvalidInput: two reports would be written to one file.
    """
    refuse_shared_files((*files.values(), *([printed.output] if printed.output else [])))
    return create_context(quiet=printed.quiet)


def refuse_shared_files(paths: Iterable[Path]) -> None:
    """Refuse to write two reports to one file; a device and a step summary take several.

    Raises:
        InvalidInput: a path is given twice.
    """
    counts = Counter(os.path.realpath(path) for path in paths if not is_step_summary(path))
    refuse_conflicting_options(
        *(
            (f"{path} is named for {count} reports; name a file for each", count > 1)
            for path, count in counts.items()
            if Path(path).is_file() or not Path(path).exists()
        )
    )


def write_result(text: str, output: Path | None) -> None:
    """Write a result to the file of `--output`, or print it."""
    if output is None:
        emit(text)
    else:
        write_file(output, text)


def write_file(path: Path, text: str) -> None:
    """Write a report to a file; append it to a step summary, to which other commands also write."""
    from evalkit.core.files import write_atomically

    if is_step_summary(path):
        with path.open("a") as stream:
            stream.write(text)
    else:
        write_atomically(path, text)


def wants_json(options: ResultOptions | ReportOptions) -> bool:
    """Return whether the format is JSON: by its option, or by the extension of the file of `--output`."""
    is_named = options.output is not None and options.output.suffix.lower() == ".json"
    return is_named or options.format.value == Format.json.value


def print_result(
    found: ResultT,
    options: ResultOptions | ReportOptions,
    to_json: Callable[[ResultT], str],
    to_text: Callable[[ResultT, Screen], str],
) -> None:
    """Print a result in the format that the options select."""
    text = to_json(found) if wants_json(options) else to_text(found, detect_screen(options.output))
    write_result(text, options.output)


def deliver_and_exit(report: Report, options: ReportOptions, files: ReportFiles) -> NoReturn:
    """Print the report, write the files, and exit with the code of the gate's result."""
    from evalkit.report.terminal import render_verdict

    print_report(report, options)
    write_report_files(report, files)
    if options.output is not None and not options.quiet:
        say(f"{render_verdict(report, detect_screen()).rstrip()}\n{options.output}: written.")
    exit_with_code(report.gate_result.exit_code)


def print_report(report: Report, options: ReportOptions) -> None:
    """Print a report; with `--format github`, also print annotations for failing cases."""
    from evalkit.report.github import render_github
    from evalkit.report.json import render_json
    from evalkit.report.terminal import render_terminal, render_verdict

    if wants_json(options):
        write_result(render_json(report), options.output)
        return
    screen = detect_screen(options.output)
    if options.quiet:
        text = render_verdict(report, screen)
    else:
        text = render_terminal(report, screen, verbose=options.verbose)
    write_result(text, options.output)
    if options.format is PrintFormat.github:
        emit(render_github(report))  # the workflow runner reads them only from stdout


def write_report_files(report: Report, files: ReportFiles) -> None:
    """Write the report to each file, in the format of its option."""
    for name, path in files.items():
        write_file(path, FILE_FORMATS[name].load()(report))


def deliver_batch_and_exit(batch: Batch, options: ReportOptions, files: ReportFiles) -> NoReturn:
    """Print several runs, write the files, and exit with their worst code."""
    print_batch(batch, options)
    write_batch_files(batch, files)
    if options.output is not None and not options.quiet:
        say(f"{'  '.join((batch.word, batch.reason, *batch.facts))}\n{options.output}: written.")
    exit_with_code(batch.exit_code)


def print_batch(batch: Batch, options: ReportOptions) -> None:
    """Print several runs; with `--format github`, also print annotations.

    One run is printed as if it had been named by itself. In JSON, it stays a list, so that scripts read one
    form.
    """
    from evalkit.report.batch_document import render_batch_json
    from evalkit.report.batch_terminal import render_batch
    from evalkit.report.github import render_batch_github

    if wants_json(options):
        write_result(render_batch_json(batch), options.output)
        return
    if batch.only_report is not None:
        print_report(batch.only_report, options)
        return
    text = render_batch(
        batch,
        detect_screen(options.output),
        verbose=options.verbose,
        is_short=options.quiet,
    )
    write_result(text, options.output)
    if options.format is PrintFormat.github:
        emit(render_batch_github(batch))


def write_batch_files(batch: Batch, files: ReportFiles) -> None:
    """Write several runs to each file; in HTML, each run also has a page beside it."""
    for name, path in files.items():
        if name == "html":
            write_batch_pages(batch, path)
        else:
            write_file(path, FILE_FORMATS[name].load_for_batch()(batch))


def write_batch_pages(batch: Batch, path: Path) -> None:
    """Write the HTML page of several runs, and beside it a page for each run; one run has one page."""
    from evalkit.report.html.batch import name_part_page, render_batch_html

    if batch.only_report is not None:
        write_file(path, FILE_FORMATS["html"].load()(batch.only_report))
        return
    for number, part in enumerate(batch.parts):
        if part.report is not None:
            page = path.with_name(name_part_page(batch, number, path.stem))
            write_file(page, FILE_FORMATS["html"].load()(part.report))
    write_file(path, render_batch_html(batch, stem=path.stem))


def exit_with_code(code: int) -> NoReturn:
    """End the process with an exit code."""
    raise typer.Exit(code)
