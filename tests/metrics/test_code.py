"""Metrics that run commands on an agent's files: scores, limits, and the files they leave behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Output, Score
from evalkit.metrics.answer_files import extract_code
from evalkit.metrics.scorers import Scorer, spec_digest
from evalkit.metrics.specs import open_scorers
from evalkit.metrics.test_results import read_junit, read_summary
from evalkit.worker.limited_files import MAX_FILES, RejectedFiles, check_path, write_files
from evalkit.worker.limited_run import find_unshare
from tests.conftest import Project
from tests.metrics.test_builtin import metric_spec, run_score

RIGHT = "def double(x):\n    return 2 * x\n"
WRONG = "def double(x):\n    return x * x\n"
TESTS = {
    "test_double.py": (
        "from solution import double\n\n"
        "def test_two():\n    assert double(2) == 4\n\n"
        "def test_three():\n    assert double(3) == 6\n"
    )
}
PYTEST = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
QUICK = {"": PYTEST, "env": ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]}


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put temporary files of the metrics here, so that a test finds those left behind."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    # Without this project's plugins pytest starts several times faster.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def open_one(ref: str, args: Mapping[str, Json], base: Path, **environ: str) -> Scorer:
    async def opened() -> Scorer:
        surroundings = RunEnvironment(root=base, set_folder=base, environ={**os.environ, **environ})
        spec = metric_spec(ref, args)
        async with open_scorers([spec], surroundings) as scorers:
            return scorers[spec_digest(spec)]

    return asyncio.run(opened())


def files(**contents: str) -> Output:
    return Output(
        data={"files": {name.replace("__", "."): text for name, text in contents.items()}}
    )


def judge(
    ref: str, args: Mapping[str, Json], output: Output, base: Path, expected: Json = None
) -> Score:
    scorer = open_one(ref, args, base)
    case = Case(id="a", input="?", expected=expected)
    assert scorer.applies_to(case)
    assert scorer.problem_with(case) is None
    scored = run_score(scorer, case, output)
    assert not list(Path(tempfile.gettempdir()).iterdir()), "something is left"
    return scored


# --- what an agent returns -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = 1", "x = 1"),
        ("Here:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("```\na\n```\nand\n~~~py\nlonger = 1\n~~~\n", "longer = 1\n"),
        ("````md\n```\nx\n```\n````", "```\nx\n```\n"),
        ("```python\nx = 1", "x = 1\n"),
        ("```python\n```", ""),
        ("  ```py\n  x\n  ```", "x\n"),
    ],
)
def test_the_longest_code_block_of_an_answer_is_its_code(text: str, code: str) -> None:
    assert extract_code(text) == code


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "a\0b", "a\\b", "x" * 201]
)
def test_paths_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(RejectedFiles):
        check_path(name)


def test_a_link_in_a_folder_leads_no_file_out_of_it(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    (inside / "file").symlink_to(outside / "target")
    for name in ("link/x", "file"):
        with pytest.raises(RejectedFiles, match="leads out"):
            write_files({name: "x"}, inside)
    assert not list(outside.iterdir())


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (Output(text="x = 1"), "the output has no data.files"),
        (Output(data={"files": {}}), "not a mapping of paths to text"),
        (Output(data={"files": ["x"]}), "not a mapping of paths to text"),
        (Output(data={"files": {"a.py": 5}}), "not text"),
        (Output(data={"files": {"../a.py": ""}}), "not a path inside"),
        (Output(data={"files": {f"{n}.py": "" for n in range(MAX_FILES + 1)}}), "files; at most"),
        (Output(data={"files": {"a.py": "x" * 10_000_001}}), "larger than"),
        (Output(data={"files": {"a": "", "a/b.py": ""}}), "cannot be written"),
    ],
)
def test_what_is_no_set_of_files_fails_with_the_reason(
    output: Output, said: str, tmp_path: Path
) -> None:
    scored = judge("compiles", {}, output, tmp_path)
    assert (scored.state, scored.passed) == ("scored", False)
    assert said in scored.explanation


# --- compiles and lint_clean --------------------------------------------------------------------


def test_files_compile_by_the_ending_of_their_names(tmp_path: Path) -> None:
    assert judge("compiles", {}, files(a__py=RIGHT, notes__md="x = ("), tmp_path).passed
    broken = judge("compiles", {}, files(a__py=RIGHT, b__py="x = ("), tmp_path)
    assert (broken.value, broken.passed) == (0.5, False)
    assert "b.py does not compile" in broken.explanation
    assert "SyntaxError" in broken.explanation
    nothing = judge("compiles", {}, files(notes__md="x"), tmp_path)
    assert "no file can be compiled" in nothing.explanation
    fenced = Output(text="```python\nx = (\n```")
    assert judge("compiles", {"path": "a.py"}, fenced, tmp_path).passed is False


@pytest.mark.parametrize(
    ("program", "name", "right", "wrong"),
    [
        ("node", "a.js", "let x = 1", "let x = ("),
        ("cc", "a.c", "int f(void) { return 1; }", "int f(void) { return 1 }"),
        ("bash", "a.sh", "if true; then echo; fi", "if true; then echo"),
    ],
)
def test_other_languages_compile_where_their_compiler_is(
    program: str, name: str, right: str, wrong: str, tmp_path: Path
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    assert judge("compiles", {}, Output(data={"files": {name: right}}), tmp_path).passed
    assert not judge("compiles", {}, Output(data={"files": {name: wrong}}), tmp_path).passed


def test_a_compiler_that_is_not_there_is_no_fault_of_the_agents(tmp_path: Path) -> None:
    scorer = open_one("compiles", {}, tmp_path, PATH=str(tmp_path))
    scored = run_score(scorer, Case(id="a", input=""), files(a__c="int x;"))
    assert scored.state == "metric_error"
    assert "no program 'cc'" in scored.explanation
    with pytest.raises(InvalidInput, match="no program 'no-such-linter'"):
        open_one("lint_clean", {"": ["no-such-linter"]}, tmp_path)
    with pytest.raises(InvalidInput, match="command is missing"):
        open_one("lint_clean", {}, tmp_path)


LINTER = """
import sys
for name in sys.argv[1:]:
    if "eval(" in open(name).read():
        sys.exit(f"{name}: eval")
"""


def test_a_linter_of_the_sets_own_folder_is_part_of_the_metric(tmp_path: Path) -> None:
    (tmp_path / "lint.py").write_text(LINTER)
    args = {"": ["python", "{set}/lint.py", "{files}"]}
    assert judge("lint_clean", args, files(a__py=RIGHT), tmp_path).passed
    found = judge("lint_clean", args, files(a__py="eval('1')"), tmp_path)
    assert found.explanation == "python exited with status 1: a.py: eval"
    before = open_one("lint_clean", args, tmp_path).info.digest
    (tmp_path / "lint.py").write_text(LINTER + "\n")
    assert open_one("lint_clean", args, tmp_path).info.digest != before


def test_a_file_named_like_an_option_is_no_option(tmp_path: Path) -> None:
    args = {"": ["python", "-c", "import sys; sys.exit('--help' in sys.argv)", "{files}"]}
    output = Output(data={"files": {"--help": "x"}})
    assert judge("compiles", args, output, tmp_path).passed


# --- tests_passed -------------------------------------------------------------------------------


def test_the_share_of_tests_passed_is_what_pytest_says(tmp_path: Path) -> None:
    args, label = QUICK, {"tests": TESTS}
    assert judge("tests_passed", args, files(solution__py=RIGHT), tmp_path, label).passed
    half = judge("tests_passed", args, files(solution__py=WRONG), tmp_path, label)
    assert (half.value, half.passed) == (0.5, False)
    assert half.explanation.startswith("1 of 2 tests passed")
    mark = {**QUICK, "pass_at": 0.5}
    assert judge("tests_passed", mark, files(solution__py=WRONG), tmp_path, label).passed
    broken = judge("tests_passed", args, files(solution__py="x = ("), tmp_path, label)
    assert (broken.value, broken.passed) == (0, False)


def test_a_junit_report_is_counted_and_must_be_there(tmp_path: Path) -> None:
    label = {"tests": TESTS}
    args = {**QUICK, "": [*PYTEST, "--junit-xml=report.xml"], "junit": "report.xml"}
    half = judge("tests_passed", args, files(solution__py=WRONG), tmp_path, label)
    assert half.value == 0.5
    gone = {"": ["python", "-c", "pass"], "junit": "report.xml"}
    absent = judge("tests_passed", gone, files(solution__py=RIGHT), tmp_path, label)
    assert (absent.value, absent.passed) == (0, False)
    assert "no report 'report.xml' was written" in absent.explanation


@pytest.mark.parametrize(
    "code",
    ["import os\nos._exit(0)", "import sys\nsys.exit(0)", "raise SystemExit"],
)
def test_code_that_ends_the_test_run_early_passes_nothing(code: str, tmp_path: Path) -> None:
    scored = judge(
        "tests_passed", {"": PYTEST}, files(solution__py=code), tmp_path, {"tests": TESTS}
    )
    assert (scored.value, scored.passed) == (0, False), scored


def test_the_agents_files_go_over_the_folder_and_hidden_tests_over_the_agents(
    tmp_path: Path,
) -> None:
    for name, text in {
        "folder/a/solution.py": WRONG,
        "hidden/a/test_double.py": TESTS["test_double.py"],
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    args = {**QUICK, "folder": "folder/{id}", "hidden": "hidden/{id}"}
    cheat = {"solution.py": WRONG, "test_double.py": "def test():\n    pass\n"}
    assert judge("tests_passed", args, Output(data={"files": cheat}), tmp_path).value == 0.5
    honest = {"solution.py": RIGHT}
    assert judge("tests_passed", args, Output(data={"files": honest}), tmp_path).passed
    assert (tmp_path / "folder/a/solution.py").read_text() == WRONG
    other = Case(id="b", input="")
    assert "no folder 'folder/b'" in (
        open_one("tests_passed", args, tmp_path).problem_with(other) or ""
    )
    with pytest.raises(InvalidInput, match="is not a folder of the set"):
        open_one("tests_passed", {**args, "hidden": "hiden/{id}"}, tmp_path)


def test_by_exit_status_alone_there_is_one_test(tmp_path: Path) -> None:
    assert run_code("pass", tmp_path).passed
    scored = run_code("1 / 0", tmp_path)
    assert scored.value == 0
    assert "ZeroDivisionError" in scored.explanation


def test_all_passed_and_a_bad_exit_status_do_not_go_together(tmp_path: Path) -> None:
    said = "print('3 passed in 0.01s'); raise SystemExit(3)"
    scored = run_code(said, tmp_path, counts="pytest")
    assert (scored.value, scored.passed) == (0, False)
    assert "but the exit status is 3" in scored.explanation


def test_a_case_without_tests_is_not_for_it(tmp_path: Path) -> None:
    scorer = open_one("tests_passed", {"": PYTEST}, tmp_path)
    assert not scorer.applies_to(Case(id="a", input="", expected={"other": 1}))
    wrong = Case(id="a", input="", expected={"tests": {"../x": ""}})
    assert "not a path inside" in (scorer.problem_with(wrong) or "")


@pytest.mark.parametrize(
    ("printed", "counts"),
    [
        ("3 passed in 0.01s", (3, 3)),
        ("==== 1 failed, 2 passed, 4 skipped, 1 warning in 0.1s ====", (2, 3)),
        ("1 error in 0.05s", (0, 1)),
        ("2 passed, 1 xfailed, 1 xpassed, 2 errors", (3, 5)),
        ("99 passed\n1 failed", (0, 1)),
        ("2 skipped in 0.1s", (0, 0)),
        ("no tests ran in 0.01s", None),
        ("Passed!", None),
    ],
)
def test_the_last_line_with_counts_counts(printed: str, counts: tuple[int, int] | None) -> None:
    found = read_summary(printed)
    assert (found and (found.passed, found.total)) == counts


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuites>&b;</testsuites>'


@pytest.mark.parametrize("data", [b"", b"<html/>", b"<testsuites>", BOMB, b"x" * 5_000_001])
def test_what_is_no_junit_report_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        read_junit(data)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_entities_are_refused_in_every_encoding(encoding: str) -> None:
    declared = f'<?xml version="1.0" encoding="{encoding}"?>'
    with pytest.raises(ValueError, match="declares entities"):
        read_junit((declared + BOMB.decode()).encode(encoding))
    cases = f"{declared}<testsuites><testcase name='\xe4'/></testsuites>".encode(encoding)
    assert read_junit(cases).passed == 1


def test_junit_cases_are_counted_by_what_is_in_them() -> None:
    data = (
        b"<testsuites><testsuite><testcase name='a'/><testcase name='b'><failure/></testcase>"
        b"<testcase name='c'><error/></testcase><testcase name='d'><skipped/></testcase>"
        b"</testsuite></testsuites>"
    )
    assert (read_junit(data).passed, read_junit(data).total) == (1, 3)


# --- limits -------------------------------------------------------------------------------------


def run_code(code: str, tmp_path: Path, **args: Json) -> Score:
    given = {"": ["python", "solution.py"], "folder": "empty", **args}
    (tmp_path / "empty").mkdir(exist_ok=True)
    return judge("tests_passed", given, files(solution__py=code), tmp_path)


def test_code_that_never_ends_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(973)'], "
        "start_new_session=True)\ntime.sleep(60)\n"
    )
    started = time.monotonic()
    scored = run_code(code, tmp_path, timeout_s=1)
    assert time.monotonic() - started < 8
    assert "took longer than 1 s and was killed" in scored.explanation
    assert not [p for p in psutil.process_iter(["cmdline"]) if "time.sleep(973)" in str(p.info)]


SPAWNING = """
import subprocess, time
for _ in range(12):
    subprocess.Popen(["sleep", "5"])
time.sleep(5)
"""


@pytest.mark.parametrize(
    ("code", "args", "said"),
    [
        ("b = bytearray(400_000_000)", {"memory_mb": 100}, "MemoryError"),
        ("open('big', 'wb').write(bytes(3_000_000))", {"file_mb": 1}, "signal 25|File too large"),
        ("while True: print('x' * 100_000)", {}, "printed too much"),
        ("while True: pass", {"timeout_s": 1}, "took longer than 1 s|signal"),
        (
            SPAWNING,
            {"processes": 6},
            "started more than 6 processes|Resource temporarily unavailable",
        ),
    ],
    ids=["memory", "file size", "output", "processor time", "processes"],
)
def test_what_code_may_take_is_limited(
    code: str, args: dict[str, Json], said: str, tmp_path: Path
) -> None:
    scored = run_code(code, tmp_path, **args)
    assert (scored.value, scored.passed) == (0, False)
    assert any(words in scored.explanation for words in said.split("|")), scored.explanation


def test_the_environment_is_cleared_and_home_is_a_folder_of_its_own(tmp_path: Path) -> None:
    code = "import os\nprint(sorted(os.environ), os.path.expanduser('~'))\nraise SystemExit(1)\n"
    os.environ["EVALKIT_TEST_SECRET"] = "hunter2"
    try:
        said = run_code(code, tmp_path).explanation
        named = run_code(code, tmp_path, env=["EVALKIT_TEST_SECRET"]).explanation
    finally:
        del os.environ["EVALKIT_TEST_SECRET"]
    assert "EVALKIT_TEST_SECRET" not in said
    assert "EVALKIT_TEST_SECRET" in named
    assert "'PATH'" in said
    assert str(Path.home()) + "\n" not in said
    assert "/temporary/evalkit-" in said


CALL_HOME = """
import socket
try:
    socket.create_connection(("127.0.0.1", PORT), 2)
except OSError as error:
    raise SystemExit(f"closed: {error}")
"""


def test_the_network_is_shut_off_where_the_system_allows_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = CALL_HOME.replace("PORT", str(server.getsockname()[1]))
        shut = run_code(code, tmp_path)
        assert run_code(code, tmp_path, network=True).passed
    scorer = open_one("compiles", {}, tmp_path)
    if find_unshare():
        assert "closed" in shut.explanation
        assert scorer.caution == ""
    else:
        assert shut.passed
        assert "network open" in scorer.caution


def test_where_the_network_stays_open_a_run_says_so(project: Project, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").symlink_to(shutil.which("git") or "/usr/bin/git")
    project.write("agent.py", "def answer(text):\n    return {'data': {'files': {'a.py': ''}}}\n")
    project.write(
        "code.yaml",
        "agent: {python: ./agent.py:answer}\nmetrics: [compiles]\ncases: [{id: a, input: x}]\n",
    )
    done = project.evalkit("run", "code.yaml", env={"PATH": str(tools)})
    assert done.code == 0, done
    assert "warning: compiles: the agent's code runs with the network open" in done.err
    quiet = project.evalkit("run", "code.yaml")
    assert ("network open" in quiet.err) is (not find_unshare())


def test_scoring_goes_on_beside_others_and_not_more_at_once_than_there_are_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    (tmp_path / "empty").mkdir()
    args = {"": ["python", "-c", "import time; time.sleep(0.4)"], "folder": "empty"}
    scorer = open_one("tests_passed", args, tmp_path)
    case, output = Case(id="a", input=""), files(a__py="")
    folder = tempfile.gettempdir()
    most = ticks = 0

    async def scoring() -> list[Score]:
        nonlocal most, ticks
        tasks = [asyncio.create_task(scorer.score(case, output)) for _ in range(5)]
        while not all(task.done() for task in tasks):
            most = max(most, len(os.listdir(folder)))  # noqa: PTH208 - it is quick
            ticks += 1
            await asyncio.sleep(0.02)
        return [task.result() for task in tasks]

    assert all(score.passed for score in asyncio.run(scoring()))
    assert most == 2
    assert ticks > 20


def test_the_launcher_says_what_it_cannot_start() -> None:
    launcher = Path(sys.modules["evalkit.worker.limited_run"].__file__ or "").with_name(
        "limited_launcher.py"
    )
    limits = ["cpu_s=5", "memory_mb=100", "processes=50", "file_mb=1"]
    done = subprocess.run(
        [sys.executable, str(launcher), *limits, "--", "/no/such/program"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 126
    assert "No such file" in done.stderr
