"""Groups of options: declared once, expanded for typer, rebuilt for the command."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import pytest
import typer

import evalkit.cli
from evalkit.cli.option_groups import ReportFiles, SelectionOptions, SettingOptions, expand_groups
from evalkit.report.registry import FILE_FORMATS, FileFormat
from tests.conftest import Done, Project

CLI = Path(evalkit.cli.__file__).parent

DIFFERENT_BY_COMMAND = {
    "--agent", "--agent-version", "--case", "--failed", "--format", "--from", "--map", "--html", "--judge", "--limit", "--metric",
    "--repeats", "--run", "--seed", "--set", "--tag", "--trials",
    "--version", "--by", "--tool", "--only", "--traffic", "--days", "--against", "--accept-gate-changes", "--accepted-by",
}  # fmt: skip
"""Options that mean something else, or have another type, in one of the commands that have them."""


class Pair(NamedTuple):
    """Two options of a test."""

    left: Annotated[int, typer.Option()] = 1
    right: Annotated[int, typer.Option("-r", "--right")] = 2


def test_a_group_becomes_its_options_and_a_call_rebuilds_it() -> None:
    seen = []

    def command(name: str, pair: Pair, loud: bool = False) -> None:
        """Print it."""
        seen.append((name, pair, loud))

    expanded = expand_groups(command)
    assert list(inspect.signature(expanded).parameters) == ["name", "left", "right", "loud"]
    assert expanded.__doc__ == "Print it."
    expanded(name="a", left=3, right=2, loud=True)
    assert seen == [("a", Pair(left=3), True)]


def declared_options(path: Path) -> list[str]:
    """The names that the calls of a module declare options with, derived ones included."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        target = getattr(node, "target", None) or next(iter(getattr(node, "targets", [])), None)
        annotated = node.annotation if isinstance(node, ast.arg | ast.AnnAssign) else None
        if annotated is None and isinstance(node, ast.Assign):
            annotated = node.value
        name = node.arg if isinstance(node, ast.arg) else getattr(target, "id", "")
        for call in ast.walk(annotated) if annotated is not None else ():
            function = getattr(call, "func", None)
            called = getattr(function, "attr", getattr(function, "id", ""))
            if not isinstance(call, ast.Call) or called not in OPTION_CALLS:
                continue
            words = [one.value for one in call.args if isinstance(one, ast.Constant)]
            long = [word for word in words if str(word).startswith("--")]
            short = [word for word in words if str(word).startswith("-")]
            found += [str(word) for word in long or short] or [f"--{name.replace('_', '-')}"]
    return found


OPTION_CALLS = {
    "Option", "selection_option", "trials_option", "agent_option", "comparison_option",
    "resume_option", "execution_option", "output_option", "output_file",
}  # fmt: skip


def test_an_option_is_declared_once() -> None:
    counts = Counter(option for path in CLI.glob("*.py") for option in declared_options(path))
    assert {"--ctrf", "--resume", "--tag", "-k", "--output"} - set(counts) == {"--ctrf"}
    assert {option for option, count in counts.items() if count > 1} <= DIFFERENT_BY_COMMAND


def test_a_selection_is_built_from_its_options() -> None:
    selection = SelectionOptions(tag=["a"], case=["b"], shard="1/3", limit=4).build_selection()
    assert (selection.tags, selection.case_ids, selection.limit) == (("a",), ("b",), 4)


@pytest.mark.parametrize(("given", "expected"), [(None, None), ("auto", "auto"), ("3", 3)])
def test_trials_are_a_number_or_auto(given: str | None, expected: object) -> None:
    assert SettingOptions(trials=given).build_overrides().trials == expected


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5", "²", ""])
def test_other_trials_are_refused(given: str) -> None:
    with pytest.raises(typer.BadParameter, match="neither 'auto' nor a whole number"):
        SettingOptions(trials=given).build_overrides()


def test_report_files_hold_only_what_was_asked_for() -> None:
    assert ReportFiles(junit=Path("j.xml"), html=None) == {"junit": Path("j.xml")}
    assert not ReportFiles(html=None)


def render_dummy(report: object) -> str:
    """A report format that a test registers."""
    return f"dummy of {type(report).__name__}\n"


@pytest.fixture
def _dummy_format(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = f"{render_dummy.__module__}:{render_dummy.__name__}"
    row = FileFormat(
        name="dummy", description="a dummy", renderer=renderer, batch_renderer=renderer
    )
    monkeypatch.setitem(FILE_FORMATS, "dummy", row)


@pytest.mark.usefixtures("_dummy_format")
@pytest.mark.parametrize("command", ["run", "gate", "score", "merge", "report"])
def test_a_registered_format_is_an_option_wherever_reports_are_written(
    command: str, call: Callable[..., Done]
) -> None:
    assert "--dummy FILE" in call(command, "--help").out


@pytest.mark.usefixtures("_dummy_format")
def test_a_registered_format_is_written(
    project: Project, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Done]
) -> None:
    monkeypatch.chdir(project.folder)
    assert call("run", "echo.yaml", "--dummy", "run.txt").code == 0
    assert call("report", "latest", "--dummy", "report.txt").code == 0
    for name in ("run.txt", "report.txt"):
        assert (project.folder / name).read_text() == "dummy of Report\n"
