"""The whole of the command line: its commands, its help, its standard options."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit import __version__
from evalkit.cli.app import COMMAND_NAMES, COMMANDS, SUBCOMMANDS, load_command
from tests.conftest import Done, Project

every_command = pytest.mark.parametrize("name", COMMAND_NAMES)
SUMMARY_WIDTH = 55
"""What fits on one line of `evalkit --help` in 80 columns."""


def test_every_command_is_one_file_of_its_name() -> None:
    shared = {
        "__init__", "app", "budget_options", "completion", "console", "distribution", "errors", "execution_options",
        "foreign_words", "help_panels",
        "option_groups", "options", "output", "private_process", "progress", "progress_counts", "progress_log",
        "progress_screen", "run_sets",
    }  # fmt: skip
    folder = Path(sys.modules["evalkit.cli.app"].__file__ or "").parent
    files = {path.stem for path in folder.glob("*.py")} - shared
    inner = {f"{name}_{each}" for name, names in SUBCOMMANDS.items() for each in names}
    assert files == {name.replace("-", "_") for name in COMMAND_NAMES} | inner


def test_bare_evalkit_prints_help_and_exits_0(call: Callable[..., Done]) -> None:
    bare = call()
    assert bare.code == 0
    assert bare.out == call("--help").out == call("-h").out
    assert bare.err == ""


def test_help_has_every_command_on_one_line_of_its_panel(call: Callable[..., Done]) -> None:
    lines = call("--help").out.splitlines()
    for title, names in COMMANDS.items():
        start = lines.index(f"{title}:") + 1
        assert [line.split()[0] for line in lines[start : start + len(names)]] == list(names)


@every_command
def test_a_summary_is_short_and_begins_with_a_verb(name: str) -> None:
    first = (load_command(name).__doc__ or "").splitlines()[0]
    assert len(first) <= SUMMARY_WIDTH
    assert re.fullmatch(r"[A-Z][a-z]+ .*\.", first)


@every_command
def test_a_command_has_few_parameters(name: str) -> None:
    code = load_command(name).__code__
    assert code.co_argcount + code.co_kwonlyargcount <= 13, "group options; see option_groups.py"


def test_run_has_its_options_in_named_panels(call: Callable[..., Done]) -> None:
    titles = re.findall(r"^(\w+):$", call("run", "--help").out, re.MULTILINE)
    assert titles == [
        "Arguments", "Selection", "Agent", "Comparison", "Trials", "Resume", "Execution", "Output",
        "Options",
    ]  # fmt: skip
    assert load_command("run").__code__.co_argcount <= 9


@every_command
def test_every_option_says_what_it_does_in_a_sentence(name: str, call: Callable[..., Done]) -> None:
    shown = call(name, "--help").out
    for option in re.findall(r"^  (-[^ ].*?)(?:  |$)", shown, re.MULTILINE):
        [help_text] = re.findall(rf"^  {re.escape(option)}\s+(\S.*)", shown, re.MULTILINE)
        assert re.match(r"[A-Z]", help_text), option


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_names_the_distribution(option: str, call: Callable[..., Done]) -> None:
    assert call(option).out == f"evalkit {__version__} (evalkit-ci)\n"


def test_completion_lists_commands_and_options(project: Project) -> None:
    def complete(line: str) -> list[str]:
        environ = {
            "_EVALKIT_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split()) - 1),
        }
        done = subprocess.run(
            project.command(),
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.split()

    assert complete("evalkit rep") == ["report", "repair"]
    assert "--last-failed" in complete("evalkit run --la")


def test_the_completion_script_can_be_shown(call: Callable[..., Done]) -> None:
    shown = call("--help").out
    assert "--install-completion" in shown
    assert "--show-completion" in shown


@pytest.mark.parametrize("option", ["--agent", "--agent-version", "--baseline"])
def test_an_empty_value_is_refused(option: str, call: Callable[..., Done]) -> None:
    done = call("run", "set.yaml", option, "")
    assert done.code == 2
    assert f"'{option}'" in done.err
    assert "the value is empty" in done.err
