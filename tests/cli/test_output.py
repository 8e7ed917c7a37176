"""Where a result goes: stdout or a file, whole or in short."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from tests.conftest import ECHO_SET, Project

FAILING = ECHO_SET.replace("expected: TWO", "expected: ZWEI")


@pytest.mark.parametrize("option", ["-o", "--output"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "echo.yaml"),
        ("gate", "latest"),
        ("show", "latest"),
        ("show", "latest", "one"),
        ("validate", "echo.yaml"),
        ("history", "echo.yaml"),
        ("diff", "latest", "latest"),
        ("traces",),
    ],
    ids=" ".join,
)
def test_a_result_goes_to_the_file_instead_of_stdout(
    project: Project, arguments: tuple[str, ...], option: str
) -> None:
    project.evalkit("run", "echo.yaml")
    done = project.evalkit(*arguments, "--format", "json", option, "out/result.json")
    assert (done.code, done.out) == (0, ""), done
    assert json.loads((project.folder / "out" / "result.json").read_text())


def test_a_schema_goes_to_a_file(project: Project) -> None:
    assert project.evalkit("schema", "evalset", "-o", "set.json").out == ""
    printed = project.evalkit("schema", "evalset").out
    assert (project.folder / "set.json").read_text() == printed


def test_a_folder_is_refused_before_anything_runs(project: Project) -> None:
    (project.folder / "out").mkdir()
    done = project.evalkit("run", "echo.yaml", "-o", "out")
    assert done.code == 2
    assert "out is a folder. Name a file to write." in done.err
    assert project.runs() == []


@pytest.mark.parametrize("option", ["--html", "--junit", "-o"])
def test_a_dash_is_no_file(project: Project, option: str) -> None:
    done = project.evalkit("run", "echo.yaml", option, "-")
    assert (done.code, "'-' does not mean stdout here. Name a file" in done.err) == (2, True), done
    assert project.runs() == []
    assert not (project.folder / "-").exists()


def test_the_exit_code_is_the_same_with_a_file(project: Project) -> None:
    project.write("echo.yaml", FAILING)
    assert project.evalkit("run", "echo.yaml", "-o", "result.txt").code == 1
    assert (project.folder / "result.txt").read_text().startswith("FAIL")
    named = project.evalkit("run", "echo.yaml", "-o", "result.json")
    assert json.loads((project.folder / "result.json").read_text())["exit_code"] == 1
    assert named.err.splitlines()[-1] == "result.json: written."
    assert "FAIL  echo" in named.err
    assert not project.evalkit("run", "echo.yaml", "-q", "-o", "result.json").err


@pytest.mark.parametrize("option", ["-q", "--quiet"])
def test_quiet_prints_the_result_and_its_reason_alone(project: Project, option: str) -> None:
    project.write("echo.yaml", FAILING)
    whole = project.evalkit("run", "echo.yaml").out
    short = project.evalkit("run", "echo.yaml", option).out
    assert short.startswith("FAIL")
    assert whole.startswith(short)
    assert "\n\n" not in short
    assert "Cases:" not in short


@pytest.mark.parametrize("option", ["-v", "--verbose"])
def test_verbose_prints_every_row(project: Project, option: str) -> None:
    cases = "".join(f"  - {{id: c{number}, input: a, expected: b}}\n" for number in range(30))
    project.write(
        "echo.yaml",
        f"agent: {{python: ./agent.py:answer}}\nmetrics: [exact_match]\ncases:\n{cases}",
    )
    assert "; worst 10:" in project.evalkit("run", "echo.yaml").out
    done = project.evalkit("run", "echo.yaml", option)
    assert "worst" not in done.out
    assert all(f" c{number} " in done.out for number in range(30))


def test_annotations_stay_on_stdout_where_the_workflow_runner_reads_them(project: Project) -> None:
    project.write("echo.yaml", FAILING)
    done = project.evalkit("run", "echo.yaml", "--format", "github", "-o", "result.txt")
    assert done.out.startswith("::")
    assert "::error" not in (project.folder / "result.txt").read_text()


def test_a_step_summary_keeps_what_other_commands_wrote(project: Project) -> None:
    project.evalkit("run", "echo.yaml")
    summary = project.write("summary.md", "from an earlier step\n")
    done = project.evalkit(
        "gate", "latest", "-o", "summary.md", env={"GITHUB_STEP_SUMMARY": str(summary)}
    )
    assert done.code == 0, done
    assert summary.read_text().startswith("from an earlier step\nPASS")


@pytest.mark.parametrize(
    "options", [("-o", "r", "--html", "./r"), ("--junit", "r", "--csv", "r")], ids=" ".join
)
def test_one_file_for_two_reports_is_refused_before_anything_runs(
    project: Project, options: tuple[str, ...]
) -> None:
    done = project.evalkit("run", "echo.yaml", *options)
    assert done.code == 2
    assert "is named for 2 reports; name a file for each." in done.err
    assert project.runs() == []


def test_a_device_takes_several_reports(project: Project) -> None:
    done = project.evalkit("run", "echo.yaml", "--html", "/dev/null", "--csv", "/dev/null")
    assert done.code == 0, done


def test_stdout_by_its_path_may_be_a_pipe(project: Project) -> None:
    done = project.evalkit("run", "echo.yaml", "-o", "/dev/stdout")
    assert done.code == 0, done
    assert done.out.startswith("PASS")


def test_exitfirst_stops_at_an_error_too(project: Project) -> None:
    project.write("agent.py", "def answer(text):\n    raise ValueError(text)\n")
    done = project.evalkit("run", "echo.yaml", "-x", "--concurrency", "1", "--trials", "1")
    assert done.code == 3, done
    assert len(project.rows()) == 1


def test_many_problems_are_counted_in_the_last_line(project: Project) -> None:
    rules = "".join(f"  - {{metric: exact_match, mini: .{number}}}\n" for number in range(1, 8))
    (project.folder / "echo.yaml").write_text(f"{dedent(ECHO_SET).lstrip()}gate:\n{rules}")
    done = project.evalkit("run", "echo.yaml")
    first, *_, last = done.err.splitlines()
    assert (done.code, done.out) == (2, "")
    assert first.startswith("echo.yaml:")
    assert (
        last
        == f"evalkit: {len(done.err.splitlines()) - 1} problems; nothing was done. Fix them all at once."
    )
