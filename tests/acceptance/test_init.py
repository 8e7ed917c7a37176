"""`evalkit init`: what it writes runs, the command it prints works, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.conftest import Project
from tests.support.scripted_server import Asked, Play, ScriptedServer, reply, served


@pytest.fixture
def empty(tmp_path: Path) -> Project:
    """A folder with nothing in it."""
    made = Project(tmp_path / "empty")
    made.folder.mkdir()
    return made


def type_in(project: Project, command: str) -> subprocess.CompletedProcess[str]:
    """What a shell does with a line that was copied from the screen."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", command],
        cwd=project.folder,
        env=project.environ({"PATH": path}),
        capture_output=True,
        check=False,
        text=True,
    )


def next_command(out: str) -> str:
    return out.partition("Next:\n")[2].strip()


def git(project: Project, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=project.folder, check=True, capture_output=True)


def test_the_command_it_prints_works_in_an_empty_repository(empty: Project) -> None:
    git(empty, "init", "-q")
    started = empty.evalkit("init")
    assert started.code == 0, started.err
    done = type_in(empty, next_command(started.out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nPASS" in f"\n{done.stdout}"
    assert "10 passed" in done.stdout
    assert "20 pt ruled out. All 3 thresholds hold." in " ".join(done.stdout.split())
    assert "warning" not in done.stderr
    assert (empty.folder / ".github/workflows/evalkit.yml").is_file()
    worse = (empty.folder / "evalsets/agent.py").read_text().replace("9 am", "9 pm")
    for text in ("8 pm", "4 weeks", "20 cents", "5 euros", "first floor"):
        worse = worse.replace(text, "no idea")
    (empty.folder / "evalsets/agent.py").write_text(worse)
    assert empty.evalkit("run", "evalsets/first.yaml").code == 1


def test_it_takes_the_agent_that_is_there(empty: Project) -> None:
    empty.write("src/my agent.py", "def reply(text):\n    return f'You said {text}'\n")
    started = empty.evalkit("init", "--agent", "src/my agent.py:reply")
    assert started.code == 0, started.err
    assert "only checks that the agent answers" in " ".join(started.out.split())
    assert "../src/my agent.py:reply" in (empty.folder / "evalsets/first.yaml").read_text()
    assert not (empty.folder / "evalsets/agent.py").exists()
    done = type_in(empty, next_command(started.out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout
    first = empty.folder / "evalsets/first.yaml"
    first.write_text(first.read_text().replace("{metric: answers", "{metric: regex"))
    assert "regex is called answers here." in empty.evalkit("validate", str(first)).err


def test_it_takes_an_agent_behind_http_and_doctor_looks_whether_it_is_there(empty: Project) -> None:
    def choose(asked: Asked) -> Play:
        if asked.method == "HEAD":
            return reply(status=405)
        return reply(json.dumps({"output": f"You said {asked.json['input']}"}))

    with served(ScriptedServer(choose=choose)) as server:
        url = f"{server.url}/ask?who=o'neil"
        started = empty.evalkit("init", "--agent", url)
        assert started.code == 0, started.err
        made = yaml.safe_load((empty.folder / "evalsets/first.yaml").read_text())
        assert made["agent"] == {"http": {"url": url}, "timeout_s": 60}
        assert "sent by POST" in started.out
        assert not server.asked
        looked = empty.evalkit("doctor", "evalsets/first.yaml").out
        found = f"127.0.0.1:{server.port} answers (HTTP 405); the agent was not called"
        assert f"  ok    agent     {found}\n" in looked
        assert [(each.method, each.target) for each in server.asked] == [("HEAD", "/ask")]
        done = type_in(empty, next_command(started.out))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "10 passed" in done.stdout
    gone = empty.evalkit("doctor", "evalsets/first.yaml")
    assert gone.code == 2
    text = " ".join(gone.out.split())
    assert f"127.0.0.1:{server.port} cannot be reached: Connection refused. Start the agent" in text
    wrong = empty.evalkit("init", "other", "--agent", "http://{host}/ask")
    assert (wrong.code, "the host may not have a placeholder" in wrong.err) == (2, True), wrong
    assert not (empty.folder / "other").exists()


def test_a_label_that_no_threshold_uses_is_never_passed_over_in_silence(empty: Project) -> None:
    empty.write("bot.py", "def reply(text):\n    return 'Right.'\n")
    assert empty.evalkit("init", "--agent", "bot.py:reply").code == 0
    first = empty.folder / "evalsets/first.yaml"
    labeled = first.read_text().replace("tags: [plain]", "expected: Right, tags: [plain]")
    first.write_text(labeled)
    no_metric = (
        "6 cases with `expected`, but no metric checks answers by it, so a wrong answer passes."
    )
    for command in ("validate", "doctor"):
        assert no_metric in " ".join(empty.evalkit(command, str(first)).out.split())
    # Turned on beside the first metric under a name of its own, no threshold uses it.
    beside = "- {contains: {all: true}, name: says}"
    first.write_text(labeled.replace("# - {contains: {all: true}, name: answers}", beside))
    recorded = empty.evalkit("baseline", str(first))
    assert recorded.code == 0
    empty.write("bot.py", "def reply(text):\n    return 'Wrong.'\n")
    done = empty.evalkit("run", str(first))
    no_threshold = (
        "no threshold uses a metric that checks answers by it, so a wrong answer passes. "
        "Add to `gate`: {metric: says,"
    )
    assert done.code == 0
    for text in (recorded.err, done.err, done.out, empty.evalkit("validate", str(first)).out):
        assert no_threshold in " ".join(text.split())
    checked = empty.evalkit("validate", str(first), "--format", "json").json
    assert len(checked["evalsets"][0]["warnings"]) == 1


def test_the_second_metric_of_a_first_set_is_under_its_gate(empty: Project) -> None:
    empty.write("bot.py", "def reply(text):\n    return 'Right.'\n")
    assert empty.evalkit("init", "--agent", "bot.py:reply").code == 0
    first = empty.folder / "evalsets/first.yaml"
    text = first.read_text().replace("tags: [", "expected: Right, tags: [")
    both = text.replace("# - {contains:", "- {contains:")
    first.write_text(both)
    assert "answers" in empty.evalkit("validate", str(first)).err
    first.write_text(re.sub(r"  - \{regex: .*\n", "", both))
    assert empty.evalkit("baseline", str(first)).code == 0
    empty.write("bot.py", "def reply(text):\n    return 'Wrong.'\n")
    done = empty.evalkit("run", str(first))
    assert (done.code, "so a wrong answer passes" in done.err) == (1, False), done


def test_a_label_that_no_answer_ever_meets_is_named_with_the_baseline(empty: Project) -> None:
    empty.write("bot.py", "def reply(text):\n    return 'Right.'\n")
    assert empty.evalkit("init", "--agent", "bot.py:reply").code == 0
    first = empty.folder / "evalsets/first.yaml"
    text = first.read_text().replace("# - {contains:", "- {contains:")
    text = re.sub(r"  - \{regex: .*\n", "", text).replace("tags: [", "expected: Right, tags: [")
    first.write_text(text.replace("expected: Right", "expected: 5 Business Days", 1))
    done = empty.evalkit("baseline", str(first))
    said = " ".join(done.out.split())
    assert "1 of 10 cases passed no trial, so the gate cannot see them get worse." in said
    assert "hello 0/10 does not contain '5 Business Days' (answers)" in said
    again = empty.evalkit("baseline", str(first), "--format", "json")
    assert again.json["never_passed"] == ["hello"]
    first.write_text(text)
    assert "passed no trial" not in empty.evalkit("baseline", str(first)).out


def test_after_a_sample_set_it_says_how_to_start_with_an_agent(empty: Project) -> None:
    assert empty.evalkit("init").code == 0
    empty.write("bot.py", "def reply(text):\n    return text\n")
    refused = empty.evalkit("init", "--agent", "bot.py:reply")
    message = " ".join(refused.err.split())
    assert (refused.code, "it tests the sample agent." in message) == (2, True), refused
    assert "rm evalsets/first.yaml evalsets/agent.py" in message
    (empty.folder / "evalsets/first.yaml").unlink()
    (empty.folder / "evalsets/agent.py").unlink()
    assert empty.evalkit("init", "--agent", "bot.py:reply").code == 0


def test_it_takes_agent_and_judge_of_the_project_file(empty: Project) -> None:
    empty.write("app.py", "def reply(text):\n    return text\n")
    empty.write("evalkit.yaml", "agent: {python: ./app.py:reply}\njudge: lexical\n")
    refused = empty.evalkit("init")
    assert (refused.code, "evalkit.yaml:1" in refused.err) == (2, True)
    empty.write("evalkit.yaml", "agent: {python: ../app.py:reply}\njudge: lexical\n")
    started = empty.evalkit("init")
    assert started.code == 0, started.err
    lines = (empty.folder / "evalsets/first.yaml").read_text().splitlines()
    assert not [line for line in lines if line.startswith(("agent:", "judge:"))]
    done = type_in(empty, next_command(started.out))
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_folder_is_named_in_the_command(empty: Project) -> None:
    started = empty.evalkit("init", "new place/evals")
    assert started.code == 0, started.err
    assert "only checks" not in started.out
    done = type_in(empty, next_command(started.out))
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_overwritten_and_all_clashes_are_reported_at_once(empty: Project) -> None:
    empty.write("evalsets/first.yaml", "mine")
    empty.write("rubrics", "mine")
    (empty.folder / ".github").mkdir()
    (empty.folder / ".github/workflows").symlink_to("nowhere")
    before = sorted(empty.folder.rglob("*"))
    started = empty.evalkit("init", "--agent", "no.py:answer")
    assert started.code == 2
    for name in (
        "evalsets/first.yaml",
        "rubrics is not a folder",
        "workflows",
        "no.py does not exist",
    ):
        assert name in started.err
    assert sorted(empty.folder.rglob("*")) == before
    assert (empty.folder / "evalsets/first.yaml").read_text() == "mine"


@pytest.mark.parametrize("agent", ["", "answer", "a.py", "a b:c", "x.py:f\n- y"])
def test_what_is_no_entrypoint_is_refused(empty: Project, agent: str) -> None:
    assert empty.evalkit("init", "--agent", agent).code == 2
    assert list(empty.folder.iterdir()) == []


GITHUB_FILES = ["evalkit-accept.yml", "evalkit-baseline.yml", "evalkit.yml"]


@pytest.mark.parametrize(
    ("url", "files"),
    [
        ("git@github.com:o/r.git", GITHUB_FILES),
        ("https://token@github.example.com/o/r", GITHUB_FILES),
        ("https://gitlab.com/o/r.git", [".gitlab-ci.yml"]),
        ("ssh://git@gitlab.example.org:2222/o/r.git", [".gitlab-ci.yml"]),
        ("https://git.example.org/r.git", []),
        ("../origin.git", GITHUB_FILES),
    ],
)
def test_the_workflow_is_for_where_the_repository_is(
    empty: Project, url: str, files: list[str]
) -> None:
    git(empty, "init", "-q")
    git(empty, "remote", "add", "origin", url)
    started = empty.evalkit("init")
    assert started.code == 0, started.err
    found = {*empty.folder.rglob(".github/workflows/*"), *empty.folder.glob(".gitlab-ci.yml")}
    assert sorted(path.name for path in found) == files
    assert ("no workflow for git.example.org" in started.out) == (not files)


def test_in_a_folder_of_a_repository_the_workflow_is_at_its_top(empty: Project) -> None:
    """Here with a table of questions whose columns are called anything."""
    git(empty, "init", "-q")
    bot = Project(empty.folder / "services" / "bot")
    bot.write("bot.py", "def reply(text):\n    return 'You have 30 days.'\n")
    bot.write(
        "faq.csv", "Anliegen;Answer\nHow long?;30 days\nSince when?;\nHow long is it?;30 days\n"
    )
    refused = bot.evalkit("init", "--from", "faq.csv")
    assert refused.code == 2
    assert "Found here: ./bot.py:reply." in refused.err
    assert "no column looks like the question. Columns: Anliegen, Answer." in refused.err
    started = bot.evalkit(
        "init", "--from", "faq.csv", "--map", "input=Anliegen", "--agent", "bot.py:reply"
    )
    assert started.code == 0, started.err
    assert "3 rows: 2 cases, and 1 left out." in started.out
    assert "faq.csv:3: 'Answer' is empty." in started.out
    done = type_in(bot, next_command(started.out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert not (bot.folder / ".github").exists()
    workflow = (empty.folder / ".github/workflows/evalkit.yml").read_text()
    assert "          sets: services/bot/evalsets\n" in workflow
    assert "working-directory" not in workflow
    # A second set needs no second workflow, and the same command again changes nothing.
    workflow += "        env: {KEY: x}\n"
    empty.write(".github/workflows/evalkit.yml", workflow)
    again = bot.evalkit("init", "--agent", "bot.py:reply")
    assert again.code == 0, again.err
    told = " ".join(again.out.split())
    assert "It runs the new set, because it runs all of services/bot/evalsets." in told
    assert (empty.folder / ".github/workflows/evalkit.yml").read_text() == workflow
    elsewhere = " ".join(empty.evalkit("init", "other").out.split())
    assert "under `sets: |`, each on its own line: other/evalsets" in elsewhere
    again = bot.evalkit("init", "--agent", "bot.py:reply")
    assert "Nothing to write" in again.out
    # Without answers, the gate is weak, and the note has what to type instead.
    bot.write("more.csv", "Question,Note\nÜber wen?,a\nÜber WEN?,b\n")
    weak = bot.evalkit("init", "--from", "more.csv", "--agent", "bot.py:reply")
    said = " ".join(weak.out.split())
    assert "2 rows ask the same: lines 2, 3." in said
    assert (
        (bot.folder / "evalsets/more.cases.csv")
        .read_text()
        .splitlines()[1]
        .startswith("ueber-wen,")
    )
    [command] = re.findall(r"rm evalsets/more.yaml \S+ && evalkit init .* expected=COLUMN", said)
    done = type_in(bot, command.replace("COLUMN", "Note"))
    assert done.returncode == 0, done.stderr
    assert "'Note' is expected" in done.stdout
    bot.write("say.csv", "Question,What we should say\nWho?,You\n")
    said = bot.evalkit("init", "--from", "say.csv", "--agent", "bot.py:reply").out
    assert "'What we should say' is expected" in " ".join(said.split())


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ("src/bot.py:answer", "src/bot.py has no 'answer'. It defines reply, Bot."),
        ("src/bot.py", "does not name a function. Write ./src/bot.py:reply."),
        ("src/bto.py:reply", "src/bto.py does not exist; did you mean 'bot.py'?"),
        ("bot:replay", "src/bot.py has no 'replay'. Did you mean 'reply'?"),
        ("bott:reply", "there is no module 'bott'"),
        ("pack.bto:reply", "the package 'pack' has no module 'bto'. Did you mean 'bot'?"),
        ("answer", "Found here: ./main.py:main."),
        ("../bot.py:reply", "is outside of the project"),
    ],
)
def test_an_agent_that_is_not_there_is_answered_without_importing_anything(
    empty: Project, agent: str, message: str
) -> None:
    source = "def reply(text): ...\nclass Bot: ...\nraise SystemExit('imported')\n"
    empty.write("src/bot.py", source)
    empty.write("src/pack/__init__.py", "")
    empty.write("src/pack/bot.py", source)
    empty.write("main.py", "def main(): ...\n")
    (empty.folder.parent / "bot.py").write_text(source)
    started = empty.evalkit("init", "--agent", agent)
    assert (started.code, message in started.err) == (2, True), started.err
    assert not (empty.folder / "evalsets").exists()


def test_questions_and_answers_are_in_quotes_for_every_parser(empty: Project) -> None:
    """Older parsers take `?` or `:` in a text without quotes for a key."""
    empty.write("bot.py", "def reply(text):\n    return text\n")
    for folder, agent in (("own", ["--agent", "bot.py:reply"]), ("first", [])):
        # Outside of a checkout, each folder is a project of its own.
        git(empty, "init", "-q")
        assert empty.evalkit("init", folder, *agent).code == 0
        root = yaml.compose((empty.folder / folder / "evalsets/first.yaml").read_text())
        assert isinstance(root, yaml.MappingNode)
        [cases] = [value for key, value in root.value if key.value == "cases"]
        texts = [
            value
            for case in cases.value
            for key, value in case.value
            if key.value in ("input", "expected")
        ]
        assert len(texts) >= 10
        assert {text.style for text in texts} == {'"'}


def test_forks_after_init_replaces_the_workflow_unless_somebody_edited_it(empty: Project) -> None:
    assert empty.evalkit("init").code == 0
    workflows = empty.folder / ".github/workflows"
    forks = {"evalkit-answers.yml", "evalkit-gate.yml"}
    trusted = workflows / "evalkit.yml"
    text = re.sub(r"install: .*", "install: ./evalkit_ci-9.whl", trusted.read_text())
    trusted.write_text(f"{text}        env:\n          KEY: x\n")
    edited = empty.evalkit("init", "--forks")
    assert edited.code == 0, edited.err
    assert "  +         env:\n  +           KEY: x\n" in edited.out
    assert "install: " not in edited.out
    others = {"evalkit-accept.yml", "evalkit-baseline.yml"}
    assert {path.name for path in workflows.iterdir()} == {"evalkit.yml", *forks, *others}
    assert "WORKFLOW: evalkit-answers.yml" in (workflows / "evalkit-accept.yml").read_text()
    assert next_command(edited.out) == "rm .github/workflows/evalkit.yml"
    trusted.write_text(text)
    changed = empty.evalkit("init", "--forks")
    assert "Removed:\n  .github/workflows/evalkit.yml" in changed.out
    assert {path.name for path in workflows.iterdir()} == {*forks, *others}
    for name in forks:
        text_of_half = (workflows / name).read_text()
        assert '"./evalkit_ci-9.whl"' in text_of_half
        assert "evalsets/first.yaml" in text_of_half, "answers are of one set"
    # Baselines are those of all sets.
    assert "evalkit baseline evalsets" in (workflows / "evalkit-baseline.yml").read_text()
    # Never over what is there.
    trusted.write_text(text)
    (workflows / "evalkit-gate.yml").write_text("mine")
    refused = empty.evalkit("init", "--forks")
    assert (refused.code, "evalkit-gate.yml already exists" in refused.err) == (2, True)
    assert (workflows / "evalkit-gate.yml").read_text() == "mine"
    assert trusted.is_file()


def test_an_existing_pipeline_of_gitlab_gets_a_line_to_add(empty: Project) -> None:
    git(empty, "init", "-q")
    git(empty, "remote", "add", "origin", "https://gitlab.com/o/r.git")
    empty.write(".gitlab-ci.yml", "build: {script: [make]}\n")
    started = empty.evalkit("init")
    assert started.code == 0, started.err
    assert "include: [{local: .gitlab/evalkit.gitlab-ci.yml}]" in started.out
    assert "evals" in yaml.safe_load((empty.folder / ".gitlab/evalkit.gitlab-ci.yml").read_text())


def test_forks_get_two_workflows_that_keep_code_and_secrets_apart(empty: Project) -> None:
    assert empty.evalkit("init", "--forks").code == 0
    workflows = empty.folder / ".github/workflows"
    assert {path.name for path in workflows.iterdir()} == {
        "evalkit-accept.yml",
        "evalkit-answers.yml",
        "evalkit-baseline.yml",
        "evalkit-gate.yml",
    }
    assert "WORKFLOW: evalkit-answers.yml" in (workflows / "evalkit-accept.yml").read_text()


@pytest.mark.parametrize("file", ["evalsets/first.yaml", "rubrics/agrees.yaml"])
def test_an_editor_finds_the_schema_and_is_content(empty: Project, file: str) -> None:
    assert empty.evalkit("init").code == 0
    text = (empty.folder / file).read_text()
    name = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    schema = json.loads((empty.folder / file).with_name(name).read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(text))
