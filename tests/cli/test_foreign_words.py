"""Words of other tools are answered with ours."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import typer

from evalkit.cli.app import COMMAND_NAMES, app
from evalkit.cli.foreign_words import FOREIGN_COMMANDS, FOREIGN_OPTIONS
from tests.conftest import Done


@pytest.mark.parametrize("word", FOREIGN_COMMANDS)
def test_a_foreign_command_is_answered_with_ours(word: str, call: Callable[..., Done]) -> None:
    done = call(word, "set.yaml")
    assert done.code == 2
    assert done.out == ""
    assert done.err == f"evalkit: there is no command {word!r}. Use {FOREIGN_COMMANDS[word]}.\n"


def test_no_foreign_command_is_one_of_ours_and_every_answer_is() -> None:
    assert not set(FOREIGN_COMMANDS) & set(COMMAND_NAMES)
    answers = {
        name
        for text in FOREIGN_COMMANDS.values()
        for name in re.findall(r"evalkit (\S+?)\b(?![-\w])", text)
    }
    assert answers - {"--version"} - set(COMMAND_NAMES) == set()


def test_a_mistyped_command_gets_the_nearest(call: Callable[..., Done]) -> None:
    assert "Did you mean 'baseline'?" in call("baselin").err
    assert "evalkit --help lists the commands" in call("xyzzy").err


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("run", "x", "-n", "3"), "--trials N"),
        (("run", "x", "--repeat=3"), "--trials N"),
        (("run", "x", "--failed"), "--last-failed"),
        (("run", "x", "--filter", "a"), "-k EXPR"),
        (("run", "x", "--filter-pattern", "a"), "-k EXPR"),
        (("run", "-c", "x"), "the eval set as an argument"),
        (("run", "x", "--no-cache"), "without --cache"),
        (("run", "x", "--model", "m"), "`model`"),
        (("run", "x", "--threshold", "1"), "`gate`"),
        (("gate", "x", "--report", "r"), "--html FILE"),
        (("validate", "x", "--json"), "--format json"),
    ],
)
def test_a_foreign_option_is_answered_with_ours(
    arguments: tuple[str, ...], answer: str, call: Callable[..., Done]
) -> None:
    done = call(*arguments)
    assert done.code == 2
    [line] = done.err.splitlines()
    assert line.startswith(f"evalkit {arguments[0]}: there is no option '-")
    assert answer in line


def test_no_option_is_advised_that_the_command_lacks(call: Callable[..., Done]) -> None:
    done = call("show", "latest", "-n", "3")
    assert done.code == 2
    assert "--trials" not in done.err
    assert "No such option" in done.err


def test_every_option_that_is_advised_exists() -> None:
    group = typer.main.get_command(app)
    context = typer.Context(group)
    options = {
        option
        for name in COMMAND_NAMES
        for param in group.get_command(context, name).params  # type: ignore[attr-defined]
        for option in param.opts
    }
    advised = {
        option
        for text in FOREIGN_OPTIONS.values()
        for option in re.findall(r"(?<![\w-])--?[a-z][\w-]*", text)
    }
    assert advised - options == set()
