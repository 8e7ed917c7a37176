"""evalkit view: show the stored runs as web pages."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.console import can_open_browser, create_context, emit, say
from evalkit.cli.options import output_option

if TYPE_CHECKING:
    from evalkit.core.context import Context

HISTORY_ROWS = 50


def view(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="The run to show first (default: the list of all)."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port on loopback (default: any that is free)."),
    ] = None,
    open_browser: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open",
            help="Open the page in a browser (default: yes in a terminal, never in CI).",
        ),
    ] = None,
    export: Annotated[
        Path | None,
        output_option(
            "--export",
            metavar="FOLDER",
            help="Write the pages to a folder instead of serving them.",
        ),
    ] = None,
    max_runs: Annotated[
        int, output_option("--max-runs", min=1, help="With --export: how many runs, newest first.")
    ] = 20,
) -> None:
    """Show the stored runs in a browser, live.

    A run under way is followed to its verdict. The pages only read the store, and other computers cannot
    open them. End with Ctrl-C.
    """
    from evalkit.cli.output import refuse_conflicting_options
    from evalkit.commands import view as command

    context = create_context(quiet=True)
    renderers = command.PageRenderers(history=render_history_page, diff=render_diff_page)
    store = command.ProjectStore(context, renderers)
    if export is not None:
        refuse_conflicting_options(
            ("--port has no effect with --export", port is not None),
            ("--open has no effect with --export", bool(open_browser)),
            (f"--export writes the newest runs. Leave out {run!r}", run is not None),
        )
        counts = command.export(store, export, max_runs, context)
        say("\n".join(counts.left_out))
        emit(f"{counts.runs:,} runs in {counts.files:,} pages: {export / 'index.html'}\n")
        return

    command.view(store, port, run, context, partial(announce, wants_browser=open_browser))
    say("evalkit view: stopped.")


def announce(address: str, single_use: str, *, wants_browser: bool | None) -> None:
    """Print the address of the pages, and open a browser if there is one.

    The browser gets a file that leads to another address, which works once: other users can see what
    programs are started with, but not read the file.
    """
    emit(f"{address}\n")
    say("evalkit view: the address is for you only. End with Ctrl-C.")
    if wants_browser is not False and can_open_browser():
        import threading
        import webbrowser

        # In a thread: some browsers return only when their window is closed.
        place = write_private_page(single_use).as_uri()
        threading.Thread(target=webbrowser.open, args=(place,), daemon=True).start()
    elif wants_browser:
        say(
            "evalkit view: no browser was opened: there is no terminal on a desktop, or this is CI."
        )


def write_private_page(address: str) -> Path:
    """Write a page that leads to an address, which only this user can read; it is removed at the end."""
    import atexit
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="evalkit-view-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    page = folder / "open.html"
    page.touch(mode=0o600)
    page.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={address}">')
    return page


def render_history_page(evalset: Path, context: Context) -> str:
    """Return the page of `evalkit history` for a set."""
    from evalkit.commands.history import HistoryFilter, read_history
    from evalkit.report.html.history import render_history

    found = read_history(evalset, HistoryFilter(agent=None, limit=HISTORY_ROWS), None, context)
    return render_history(found.evalset, found.rows, found.notes)


def render_diff_page(base: str, candidate: str, context: Context) -> str:
    """Return the page of `evalkit diff` for two runs."""
    from evalkit.commands.diff import diff
    from evalkit.report.html.diff import render_diff
    from evalkit.report.model import Diff

    found = diff((base, candidate), (), (), context)
    assert isinstance(found, Diff), "more than two runs make a matrix"  # noqa: S101
    return render_diff(found)
