"""The README tells what is true today: its sessions, its command reference, its examples."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.evalset.judges import JUDGE_KEYS
from evalkit.metrics.open_rubric import RUBRIC_REFS
from evalkit.metrics.registry import METRICS
from tests.conftest import ECHO_SET, Project
from tests.support.paths import ROOT

REPOSITORY = ROOT
README = REPOSITORY / "README.md"
UPDATE = bool(os.environ.get("EVALKIT_UPDATE_README"))
COMMANDS = (
    "init",
    "run",
    "baseline",
    "gate",
    "score",
    "ask",
    "comment",
    "history",
    "diff",
    "report",
    "show",
    "review",
    "traces",
    "power",
    "aa",
    "calibrate",
    "validate",
    "merge",
    "repair",
)
SESSION_LINES = 24

SESSIONS = {
    "evalkit run evalsets/support.yaml": 0,
    "evalkit run evalsets/support.yaml --agent ./support/agent_v2.py:answer": 1,
}


def run_here(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if "COLOR" not in name}
    return subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments],
        cwd=folder,
        env={**kept, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )


def replace_or_compare(marker: str, made: str, same: Callable[[str], str] = str) -> None:
    """Hold what stands behind a marker to what is made now, or put it there when asked to."""
    text = README.read_text()
    start = text.index(marker) + len(marker)
    end = re.compile(r"\n```\n(?!\n?```)|\n\n(?=## |A \*\*plugin)").search(text, start)
    assert end
    stop = end.end() if end.group().startswith("\n```") else end.start()
    if UPDATE:
        README.write_text(text[:start] + made + text[stop:])
    else:
        assert same(text[start:stop].strip()) == same(made.strip()), (
            "run with EVALKIT_UPDATE_README=1"
        )


def without_what_varies(session: str) -> str:
    """A session without times, ids, versions and the alignment that follows from them."""
    session = re.sub(r"\d{8}-\d{6}-support-[0-9a-f]{6}", "RUN", session)
    session = re.sub(r"version \S+?(,|\n)", r"version V\1", session)
    session = re.sub(r"\d+(\.\d+)? (s|ms)\b", "T", session)
    session = re.sub(r"latency_s.*|.*\d{4}-\d\d-\d\d.*", "", session)
    return " ".join(session.split())


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """The shipped sets, where runs can be stored without touching the checkout."""
    for folder in ("evalsets", "rubrics"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    return tmp_path


@pytest.mark.parametrize("command", SESSIONS)
def test_the_sessions_are_what_the_commands_print(shipped: Path, command: str) -> None:
    done = run_here(shipped, *command.split()[1:])
    assert done.returncode == SESSIONS[command], done.stderr
    lines = done.stdout.splitlines()
    shown = "\n".join(line.rstrip() for line in lines[:SESSION_LINES])
    more = "\n…" if len(lines) > SESSION_LINES else ""
    session = f"\n```text\n$ {command}\n{shown}{more}\n```\n"
    replace_or_compare(f"<!-- session: {command} -->", session, without_what_varies)


def test_the_reference_holds_every_command_and_option() -> None:
    blocks = [
        f"\n`evalkit {name}`\n\n```text\n{run_here(REPOSITORY, name, '--help').stdout.strip()}\n```\n"
        for name in COMMANDS
    ]
    listed = run_here(REPOSITORY, "--help").stdout
    assert set(re.findall(r"^  (\w+)  ", listed, re.MULTILINE)) - {"Options"} == set(COMMANDS)
    text = README.read_text()
    marker = "<!-- commands -->"
    start = text.index(marker) + len(marker)
    stop = text.index("\n## Glossary")
    made = "".join(f"\n{block.strip()}\n" for block in blocks)
    if UPDATE:
        README.write_text(text[:start] + "\n" + made + text[stop:])
    else:
        assert text[start:stop].strip() == made.strip(), "run with EVALKIT_UPDATE_README=1"


def test_every_built_in_metric_is_in_the_table() -> None:
    text = README.read_text()
    section = text[text.index("## Metrics") : text.index("## Judging")]
    for name in (*METRICS, *RUBRIC_REFS):
        assert re.search(rf"^\| [^|]*`{name}`[^|]* \|", section, re.MULTILINE), name


def test_the_plugin_of_the_readme_works(project: Project) -> None:
    code = re.search(r"```python\n# politeness.py\n(.*?)```", README.read_text(), re.DOTALL)
    assert code
    project.write("politeness.py", code[1])
    project.write("agent.py", "def answer(text):\n    return 'Sorry, thank you.'\n")
    project.write("echo.yaml", ECHO_SET.replace("exact_match", "./politeness.py:politeness"))
    done = project.evalkit("run", "echo.yaml", "--format", "json")
    assert done.code == 0, done
    scores = done.json["cases"][0]["trials"][0]["scores"]
    assert scores[0]["value"] == 1.0
    assert "sorry" in scores[0]["explanation"]


def test_judging_names_every_shipped_rubric_and_every_key_of_a_judge() -> None:
    text = README.read_text()
    section = text[text.index("## Judging") : text.index("## The gate")]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    shipped = {path.stem for path in (REPOSITORY / "rubrics").glob("*.yaml")}
    assert named == shipped | set(JUDGE_KEYS)


def test_the_rubric_of_the_readme_is_valid_and_its_controls_hold(project: Project) -> None:
    rubric, case = re.findall(
        r"```yaml\n(# yaml[^`]*?rubric\.schema.*?|cases:\n  - id: two-prices.*?)```",
        README.read_text(),
        re.DOTALL,
    )
    project.write("next_step.yaml", rubric)
    project.write(
        "agent.py", "def answer(text):\n    return 'Express 12.90, standard 4.90 euros.'\n"
    )
    head = (
        "agent: {python: ./agent.py:answer}\njudge: lexical\nmetrics: [{rubric: next_step.yaml}]\n"
    )
    project.write("set.yaml", head + case)
    assert project.evalkit("validate", "next_step.yaml", "set.yaml").code == 0
    done = project.evalkit("run", "set.yaml", "--format", "json")
    assert done.code == 0, done
    scores = {each["metric"]: each for each in done.json["cases"][0]["trials"][0]["scores"]}
    assert set(scores) == {"next_step", "criteria"}
    assert scores["criteria"]["passed"]


def test_the_set_of_the_readme_is_valid(project: Project) -> None:
    code = re.search(r"```yaml\n(# yaml-language-server.*?)```", README.read_text(), re.DOTALL)
    assert code
    project.write("support.yaml", code[1])
    project.write("support_agent.py", "def answer(text):\n    return '30 days'\n")
    project.write("politeness.py", "def politeness(case, output):\n    return 1\n")
    done = project.evalkit("validate", "support.yaml")
    assert done.code == 0, done


def test_the_calibration_of_the_readme_is_what_the_command_prints(project: Project) -> None:
    text = README.read_text()
    for name in ("delivery.yaml", "labels.csv"):
        content = re.search(rf"```\w+\n# {name}\n(.*?)```", text, re.DOTALL)
        assert content
        project.write(name, content[1])
    command = "evalkit calibrate delivery.yaml labels.csv --judge lexical"
    done = run_here(project.folder, *command.split()[1:])
    assert done.returncode == 1, done.stderr
    shown = "\n".join(line.rstrip() for line in done.stdout.splitlines())
    replace_or_compare("<!-- calibration session -->", f"\n```text\n$ {command}\n{shown}\n```\n")
