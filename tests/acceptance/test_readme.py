"""README and guide are true today: their sessions, their examples, their links, the command reference."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit import __version__
from evalkit.cli.app import SUBCOMMANDS
from evalkit.evalset.keys import JUDGE_KEYS
from evalkit.metrics.registry import METRICS
from evalkit.metrics.specs import JUDGED_REFS
from tests.conftest import ECHO_SET, Project
from tests.support.paths import ROOT

REPOSITORY = ROOT
README = REPOSITORY / "README.md"
GUIDE = REPOSITORY / "evalkit" / "guide"
PAGES = (README, *sorted(GUIDE.glob("*.md")))
ABOUT = (*PAGES, *sorted((REPOSITORY / ".github").glob("*.md")))
UPDATE = bool(os.environ.get("EVALKIT_UPDATE_README"))
MOST_README_LINES = 350
README_SESSION_LINES = 24
"""Of a session in the README; the guide shows all of them."""

EXIT_CODES = {
    "evalkit run evalsets/support.yaml --agent ./support/agent_v2.py:answer": 1,
    "evalkit calibrate delivery.yaml labels.csv --judge lexical": 1,
}
"""Of the sessions that do not exit 0."""

SESSION = re.compile(r"<!-- session: ([^\n]+) -->\n```text\n(.*?)```\n", re.DOTALL)
INSTALLED_FROM = re.compile(
    r"^(?:CI installs|evalkit was|evalkit runs) .*?\n(?=\n)", re.DOTALL | re.MULTILINE
)
FILE = re.compile(r"^\*\*`([\w./-]+)`\*\*\n\n```\w+\n(.*?)```$", re.DOTALL | re.MULTILINE)
"""A file of an example: its name on a line of its own, and its content."""

COMMANDS_MARKER = "<!-- commands -->\n"
RETIRED = (
    r"told|tells|untold|mends?|stands?|standing|held to|holds? (?:good|to)|comes? to|go(?:es)? on with|"
    r"wavers?|there is but|by lot|lots?|whoever|alongside|rivals?|opponents?|"
    r"evalkit aa|labelled|judgement|behaviour"
)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def sessions() -> list[tuple[Path, str]]:
    return [(page, found[1]) for page in PAGES for found in SESSION.finditer(page.read_text())]


def files_of(page: Path) -> dict[str, str]:
    return {found[1]: found[2] for found in FILE.finditer(page.read_text())}


def section(page: str, heading: str) -> str:
    text = (GUIDE / page).read_text()
    return text[text.index(f"\n## {heading}") :].partition("\n## ")[2].partition("\n## ")[0]


def run_here(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if "COLOR" not in name}
    return subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments],
        cwd=folder,
        env={**kept, "COLUMNS": "80", "LINES": "24"},
        capture_output=True,
        text=True,
        check=False,
    )


def without_what_varies(session: str) -> str:
    """A session without times, ids, versions and the alignment that follows from them."""
    session = re.sub(r"\d{8}-\d{6}-support-[0-9a-f]{6}", "RUN", session)
    session = re.sub(r"version \S+?(,|\n)", r"version V\1", session)
    session = re.sub(r"\d+(\.\d+)? (s|ms)\b", "T", session)
    session = re.sub(r"latency_s.*|.*\d{4}-\d\d-\d\d.*", "", session)
    return " ".join(session.split())


@pytest.fixture
def shipped(tmp_path: Path) -> Project:
    """The shipped sets, where runs can be stored without touching the checkout."""
    for folder in ("evalsets", "rubrics"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("page", "command"), sessions(), ids=lambda value: getattr(value, "stem", "")
)
def test_a_session_is_what_the_command_prints(shipped: Project, page: Path, command: str) -> None:
    for name, content in files_of(page).items():
        shipped.write(name, content)
    done = run_here(shipped.folder, *command.split()[1:])
    assert done.returncode == EXIT_CODES.get(command, 0), done.stderr
    # Where evalkit was installed from here is no matter of the reader's.
    printed = INSTALLED_FROM.sub(f"CI installs evalkit-ci=={__version__}.\n", done.stdout)
    lines = [line.rstrip() for line in printed.splitlines()]
    if page == README and len(lines) > README_SESSION_LINES:
        lines = [*lines[:README_SESSION_LINES], "…"]
    made = "\n".join((f"$ {command}", *lines)) + "\n"
    text = page.read_text()
    [shown] = [found for found in SESSION.finditer(text) if found[1] == command]
    if UPDATE:
        page.write_text(text[: shown.start(2)] + made + text[shown.end(2) :])
    else:
        assert without_what_varies(shown[2]) == without_what_varies(made), (
            "run with EVALKIT_UPDATE_README=1 pytest -n 0 tests/acceptance/test_readme.py"
        )


@each_page
def test_every_session_shown_is_executed(page: Path) -> None:
    shown = re.findall(r"^\$ (.+)$", page.read_text(), re.MULTILINE)
    assert shown == [command for where, command in sessions() if where == page]


def test_the_reference_has_every_command_and_option() -> None:
    listed = run_here(REPOSITORY, "--help").stdout
    commands = re.findall(r"^(?:│ |  )([a-z][a-z-]*)  ", listed, re.MULTILINE)
    assert {"run", "baseline", "gate"} <= set(commands)
    for group, names in SUBCOMMANDS.items():
        place = commands.index(group) + 1
        commands[place:place] = [f"{group} {name}" for name in names]
    made = f"\n`evalkit`\n\n```text\n{listed.strip()}\n```\n" + "".join(
        f"\n`evalkit {name}`\n\n```text\n{run_here(REPOSITORY, *name.split(), '--help').stdout.strip()}\n```\n"
        for name in commands
    )
    page = GUIDE / "cli.md"
    head, marker, shown = page.read_text().partition(COMMANDS_MARKER)
    assert marker
    if UPDATE:
        page.write_text(head + marker + made)
    else:
        assert shown == made, (
            "run with EVALKIT_UPDATE_README=1 pytest -n 0 tests/acceptance/test_readme.py"
        )


def test_the_readme_is_short_and_links_every_page_of_the_guide() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= MOST_README_LINES
    linked = re.findall(r"^\| \[([\w-]+)\]\(evalkit/guide/([\w-]+)\.md\)", text, re.MULTILINE)
    assert sorted(file for _, file in linked) == sorted(page.stem for page in PAGES[1:])
    assert all(topic == file for topic, file in linked)


@each_page
def test_a_page_begins_with_a_heading_and_a_sentence(page: Path) -> None:
    heading, empty, first = page.read_text().splitlines()[:3]
    assert heading.startswith("# ")
    assert empty == ""
    assert re.match(r"[`A-Za-z]", first)


@pytest.mark.parametrize("page", ABOUT, ids=lambda page: page.stem)
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", ABOUT, ids=lambda page: page.stem)
def test_no_retired_word_and_no_path_of_this_machine(page: Path) -> None:
    text = page.read_text().partition(COMMANDS_MARKER)[0]
    text = re.sub(r"```text\n.*?```", "", text, flags=re.DOTALL)  # made by the product itself
    assert re.findall(rf"\b(?:{RETIRED})\b|evalkit run .*--failed", text, re.IGNORECASE) == []
    assert re.findall(r"(?<!/tmp)/work\b|\.\./shared|/home/|pypi\.org", text) == []


def test_every_built_in_metric_is_in_the_table() -> None:
    text = (GUIDE / "metrics.md").read_text()
    for name in (*METRICS, *JUDGED_REFS):
        assert re.search(rf"^\| [^|]*`{name}`[^|]* \|", text, re.MULTILINE), name


def test_every_shipped_rubric_and_every_key_of_a_judge_is_in_a_table() -> None:
    rubrics = section("rubrics.md", "Rubrics that ship") + section("judging.md", "Keys")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", rubrics, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    shipped = {path.stem for path in (REPOSITORY / "rubrics").glob("*.yaml")}
    assert named == shipped | set(JUDGE_KEYS)


@pytest.mark.parametrize("name", ["politeness.py:politeness", "brevity.py:Words: {at_most: 50}"])
def test_the_plugins_of_the_guide_work(project: Project, name: str) -> None:
    for file, content in files_of(GUIDE / "plugins.md").items():
        project.write(file, content)
    project.write("agent.py", "def answer(text):\n    return 'Sorry, thank you.'\n")
    metric = f"{{./{name}}}" if "{" in name else f"./{name}"
    project.write("echo.yaml", ECHO_SET.replace("exact_match", metric))
    done = project.evalkit("run", "echo.yaml", "--format", "json")
    assert done.code == 0, done
    [score] = done.json["cases"][0]["trials"][0]["scores"]
    assert score["passed"]
    assert score["explanation"] in ("says thank, sorry", "3 words")


def test_the_rubric_of_the_guide_is_valid_and_its_controls_pass(project: Project) -> None:
    page = GUIDE / "rubrics.md"
    [case] = re.findall(r"```yaml\n(cases:\n.*?)```", page.read_text(), re.DOTALL)
    project.write("next_step.yaml", files_of(page)["next_step.yaml"])
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


def write_stubs(project: Project) -> None:
    """What the examples of the guide name and do not show."""
    project.write("support_agent.py", "def answer(text):\n    return '30 days'\n")
    project.write("politeness.py", "def politeness(case, output):\n    return 1\n")


def test_the_sets_of_the_guide_are_valid(project: Project) -> None:
    write_stubs(project)
    files = files_of(GUIDE / "evalset.md")
    for name, content in files.items():
        project.write(name, content)
    done = project.evalkit(
        "validate",
        *(name for name in files if name.startswith("evalsets/") and name.endswith(".yaml")),
    )
    assert done.code == 0, done


def test_the_first_set_of_the_readme_passes(project: Project) -> None:
    for name, content in files_of(README).items():
        project.write(name, content)
    assert project.evalkit("validate", "evalsets/refunds.yaml").code == 0
    assert project.evalkit("run", "evalsets/refunds.yaml").code == 3, "there is no baseline yet"
    assert project.evalkit("baseline", "evalsets/refunds.yaml").code == 0
    done = project.evalkit("run", "evalsets/refunds.yaml", "--format", "json")
    assert done.code == 0, done
    assert [case["id"] for case in done.json["cases"]] == [
        "refund-window",
        "ship-cost",
        "return-boots",
    ]


def snippets() -> list[tuple[str, str]]:
    """The parts of eval sets that the guide shows, each with the page it is on."""
    fences = r"^```yaml\n((?:agent|judge|metrics|gate):.*?)```$"
    return [
        (page.stem, yaml)
        for page in PAGES[1:]
        for yaml in re.findall(fences, page.read_text(), re.DOTALL | re.MULTILINE)
        if yaml not in files_of(page).values()
    ]


@pytest.mark.parametrize(("page", "yaml"), snippets(), ids=lambda value: value[:24])
def test_a_part_of_a_set_in_the_guide_is_valid(project: Project, page: str, yaml: str) -> None:
    write_stubs(project)
    for name, content in files_of(GUIDE / f"{page}.md").items():
        project.write(name, content)
    for name in ("agent.sh", "../tools/agent"):
        project.write(name, "#!/bin/sh\n").chmod(0o755)
    case = "  - {id: a, input: a, expected: [a], tags: [safety, refunds, numbers, complaints]}\n"
    project.write("tasks/a/test_a.py", "")
    project.write("hidden/a/test_a.py", "")
    project.write("outputs.jsonl", '{"case": "a", "output": "a"}\n')
    text = yaml
    if not yaml.startswith("agent:"):
        text += "agent: {python: ./support_agent.py:answer}\n"
    if not yaml.startswith("metrics:"):
        text += "metrics: [{contains: {all: true}}, latency_s]\n"
    if "pairwise:" in yaml:
        text += "judge: lexical\n"
        rubric = ROOT / "rubrics" / "helpfulness.yaml"
        project.write("rubrics/helpfulness.yaml", rubric.read_text())
    project.write("set.yaml", f"{text}cases:\n{case}")
    named = re.findall(r"[A-Z_]+_(?:KEY|BEDROCK)\b", yaml)
    keys = dict.fromkeys(("TOKEN", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "TENANT", *named), "x")
    done = project.evalkit("validate", "set.yaml", env=keys)
    assert done.code == 0, done
