"""evalkit help: show a page of the guide in the terminal."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from evalkit.cli.completion import complete_topic
from evalkit.cli.console import detect_screen, emit, is_interactive

MAX_COLUMNS = 100
"""Longer lines of prose are hard to read."""


def help(  # noqa: A001 - the command's name
    ctx: typer.Context,
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="[TOPIC]",
            help="A page of the guide, or a command.",
            autocompletion=complete_topic,
        ),
    ] = None,
) -> None:
    """Show a page of the guide, or the list of topics."""
    from evalkit.commands.help import list_topics, read_topic

    topics = list_topics()
    if topic is None:
        emit(render_topics(topics))
        return
    # If a topic and a command share a name, the page explains more than the options.
    command = None if topic in topics else find_command(ctx, topic)
    if command is not None:
        emit(f"{command}\n")
        return
    page = read_topic(topic)
    emit(render_guide_page(page) if is_interactive() else page)


def find_command(ctx: Any, name: str) -> str | None:
    """Return the help of a command; None if there is no such command."""
    command = ctx.parent.command.get_command(ctx.parent, name)
    if command is None:
        return None
    # Without resilient parsing, a missing argument would be an error.
    return str(command.get_help(command.make_context(name, [], ctx.parent, resilient_parsing=True)))


def render_topics(topics: dict[str, str]) -> str:
    """Return the list of topics, each with the first sentence of its page."""
    screen = detect_screen()
    width = max(map(len, topics))
    lines = ["Topics of evalkit help TOPIC:", ""]
    for topic, sentence in topics.items():
        hang = " " * (width + 4)
        lines += screen.fold(sentence, indent=f"  {topic.ljust(width)}  ", hang=hang)
    return "\n".join(lines) + "\n"


def render_guide_page(page: str) -> str:
    """Return a page for the terminal, with styles and folded lines."""
    import io

    from rich.console import Console
    from rich.markdown import Markdown

    screen = detect_screen()
    stream = io.StringIO()
    console = Console(
        file=stream,
        force_terminal=True,
        no_color=not screen.color,
        width=min(screen.columns, MAX_COLUMNS),
    )
    console.print(Markdown(page, hyperlinks=False))
    return stream.getvalue()
