"""`evalkit help`: the guide in the terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.commands.help import GUIDE, list_topics, read_topic
from tests.conftest import Done, Project

TOPICS = sorted(path.stem for path in GUIDE.glob("*.md"))


def test_without_a_topic_it_lists_all_of_them_with_their_first_sentence(
    call: Callable[..., Done],
) -> None:
    done = call("help")
    assert done.code == 0
    listed = re.findall(r"^  ([a-z-]+)  ", done.out, re.MULTILINE)
    assert listed == TOPICS
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_in_a_pipe_is_plain_and_names_topics_instead_of_links(
    topic: str, call: Callable[..., Done]
) -> None:
    done = call("help", topic)
    assert done.code == 0
    assert done.out.startswith("# ")
    assert "<!--" not in done.out
    assert ".md)" not in done.out
    for named in re.findall(r"evalkit help ([a-z][a-z-]*)", done.out):
        assert named in TOPICS, named


@pytest.mark.parametrize("topic", TOPICS)
def test_a_first_sentence_is_plain(topic: str) -> None:
    sentence = list_topics()[topic]
    assert sentence
    assert not re.search(r"[`\[\]]|\.md", sentence)


def test_a_command_without_a_page_shows_its_own_help(call: Callable[..., Done]) -> None:
    assert "show" not in TOPICS
    assert call("help", "show").out == call("show", "--help").out


def test_a_wrong_topic_suggests_the_nearest(call: Callable[..., Done]) -> None:
    done = call("help", "gates")
    assert (done.code, done.out) == (2, "")
    assert "there is no topic 'gates'. Did you mean 'gate'?" in done.err
    assert "`evalkit help` lists the topics" in call("help", "xyzzy").err
    for word in ("promptfoo", "icontains"):
        assert "It is mentioned in `evalkit help evalset`" in call("help", word).err


@pytest.mark.parametrize("topic", ["../core", "/etc/passwd", ""])
def test_a_topic_is_no_path(topic: str, call: Callable[..., Done]) -> None:
    assert call("help", topic).code == 2


def test_a_link_to_its_own_name_is_named_once() -> None:
    assert "see `evalkit help against`" in read_topic("baseline")
    assert "record a new baseline (`evalkit help baseline`)" in read_topic("exit-codes")


def read_terminal(project: Project, *arguments: str, **environ: str) -> str:
    """What a command shows on a terminal."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environ({"TERM": "xterm", "COLUMNS": "80", **environ}),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(controller, 65536):
            shown += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(controller)
    assert process.wait(60) == 0
    return shown.decode()


def test_a_page_on_a_terminal_is_rendered(project: Project) -> None:
    shown = read_terminal(project, "help", "baseline")
    assert "\x1b[" in shown
    assert "# Baselines" not in shown
    assert "Baselines" in shown


def test_a_terminal_without_color_gets_none(project: Project) -> None:
    shown = read_terminal(project, "help", "baseline", NO_COLOR="1")
    assert not re.search(r"\x1b\[[\d;]*3\d[\d;]*m", shown)


def test_a_schema_is_printed_as_it_ships(call: Callable[..., Done]) -> None:
    shipped = Path(GUIDE).parent / "schemas" / "evalset.schema.json"
    assert call("schema", "evalset").out == shipped.read_text()
    done = call("schema", "evalsets")
    assert done.code == 2
    assert "there is no schema 'evalsets'. Did you mean 'evalset'?" in done.err
