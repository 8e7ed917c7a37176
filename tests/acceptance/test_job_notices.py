"""A job that decides nothing says so in the pull request, and no earlier result stays on show."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evalkit.ci.templates.action.evalkit_action.acceptance import find_acceptance
from evalkit.ci.templates.action.evalkit_action.notice import redact_reason
from evalkit.ci.templates.action.evalkit_action.pull_request import GitHub, Pull
from tests.acceptance.test_github_action import ACTION, Step, read_outputs
from tests.acceptance.test_repository import write_program
from tests.conftest import Project
from tests.support.github_server import HEAD, GitHubServer, github_served
from tests.support.scripted_server import ScriptedServer, json_reply, reply, served

OLD = "b" * 40
KEY = re.compile(r"<!-- evalkit:[0-9a-f]{16} -->")


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with github_served() as server:
        yield server


class Job:
    """The steps of the action, in a project, against GitHub's API on loopback."""

    def __init__(self, project: Project, github: GitHubServer, program: str = "") -> None:
        self.step = Step(project, "")
        program = program or f'exec {sys.executable} -m evalkit "$@"'
        write_program(self.step.temporary / "bin" / "evalkit", program)
        self.github = github
        self.step.environ = github.environ()
        event = {"pull_request": {"number": 7, "head": {"sha": HEAD}}}
        project.write("../event.json", json.dumps(event))
        self.step.environ["GITHUB_EVENT_PATH"] = str(self.step.temporary / "event.json")

    def run(self, sets: str = "echo.yaml", **inputs: str) -> subprocess.CompletedProcess[str]:
        inputs = {"COMMENT": "changed", **inputs}
        return self.step.run(SETS=sets, **inputs)

    def notice(self, command: str, sets: str = "echo.yaml", **inputs: str) -> str:
        """Run the first or the last step of the action."""
        extra = {f"EVALKIT_{name}": text for name, text in inputs.items()}
        environ = {
            **self.step.environ,
            "EVALKIT_SETS": sets,
            "GITHUB_STEP_SUMMARY": str(self.step.temporary / "summary.md"),
            **extra,
        }
        done = subprocess.run(
            [sys.executable, "-EP", str(ACTION / "step.py"), command],
            cwd=self.step.project.folder,
            env=self.step.project.environ(environ),
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def summary(self) -> str:
        path = self.step.temporary / "summary.md"
        return path.read_text() if path.exists() else ""

    @property
    def comment(self) -> str:
        [comment] = self.github.comments
        return str(comment["body"])


def test_one_comment_follows_the_change_through_every_way_a_job_can_end(
    project: Project, github: GitHubServer
) -> None:
    job = Job(project, github)
    project.evalkit("baseline", "echo.yaml", "--trials", "3")
    job.run(COMMENT="always")
    first = job.comment
    assert "## PASS: `echo`" in first
    assert f"Commit `{HEAD[:10]}`" in first

    # A newer commit, whose job starts: the old result is no longer on show.
    github.comments[0]["body"] = first.replace(HEAD, OLD)
    job.notice("start")
    assert f"## RUNNING: commit `{HEAD[:10]}`" in job.comment
    assert f"of commit `{OLD[:10]}`, no longer counts: PASS: `echo`" in job.comment
    assert "## PASS" not in job.comment

    # A missing import.
    project.write("agent.py", "import not_there\n\ndef answer(text):\n    return text\n")
    done = job.run()
    assert done.returncode == 2, done.stderr
    assert "not_there" in done.stderr, "the log still has it"
    for text in (job.comment, job.summary.rpartition("## ")[2]):
        assert "NOT DECIDED: the job could not start" in text
        assert "not_there" in text
        assert HEAD[:10] in text
    assert re.search(
        r"^::error .*title=NOT DECIDED%3A the job could not start::", done.stdout, re.MULTILINE
    )
    assert read_outputs(job.step.output)["exit-code"] == "2"

    # An invalid set: the annotation is at its line.
    text = (project.folder / "echo.yaml").read_text()
    project.write("echo.yaml", text.replace("metrics:", "metrixs:"))
    done = job.run()
    assert re.search(
        r"^::error file=echo.yaml,line=\d+,title=NOT DECIDED", done.stdout, re.MULTILINE
    )
    assert "metrixs" in job.comment
    project.write("echo.yaml", text)

    # No case is selected.
    project.write("agent.py", "def answer(text):\n    return text.upper()\n")
    assert job.run(ARGS="-k nothing").returncode == 5
    assert "## NOT DECIDED: no case was selected" in job.comment

    # The base cannot be fetched.
    assert job.run(BASE="c" * 40).returncode == 2
    assert "NOT DECIDED: the job could not start" in job.comment
    assert "cccccccccc" in job.comment

    # Worse, then fixed.
    project.write(
        "agent.py", "def answer(text):\n    return text.upper() if text != 'two' else '?'\n"
    )
    assert job.run().returncode == 1
    assert "## FAIL: `echo`" in job.comment
    assert "NOT DECIDED" not in job.comment
    assert KEY.match(job.comment)


@pytest.mark.parametrize(
    ("program", "code", "title"),
    [
        ("echo 'evalkit: no key' >&2; exit 2", 2, "the job could not start"),
        ("echo 'evalkit: store' >&2; exit 3", 3, "the job could not start"),
        ("echo 'evalkit: cookie=hunter2-and-more' >&2; exit 4", 4, "the change needs approval"),
        ("echo 'Traceback ```' >&2; exit 70", 70, "evalkit crashed"),
        ("exit 130", 130, "the run was interrupted"),
        ("exit 143", 143, "the run was interrupted"),
        ("exit 0", 3, "the job could not start"),
        ("kill -9 $$", -9, "the job could not start"),
    ],
)
def test_every_exit_code_without_a_report_is_explained(
    project: Project, github: GitHubServer, program: str, code: int, title: str
) -> None:
    job = Job(project, github, f'[ "$1" = base ] && exit 0\n{program}')
    job.step.environ["SESSION_COOKIE"] = "hunter2-and-more"
    done = job.run("a.yaml", ACCEPT_LABEL="evalkit: accept", ACCEPT_ROLE="maintain")
    assert done.returncode == code % 256
    assert f"## NOT DECIDED: {title}" in job.comment
    assert "hunter2" not in job.comment + job.summary
    assert ('"evalkit: accept"' in job.comment) == (code == 4)
    # The text cannot end its own block.
    assert ("````text" in job.comment) == (code == 70)


def test_a_secret_is_hidden_where_a_long_reason_is_cut() -> None:
    printed = f"hunter2-and-more{'.' * 2990}"
    shown = redact_reason(printed, {"SESSION_COOKIE": "hunter2-and-more"})
    assert "more" not in shown
    assert shown.endswith("." * 2990)


def test_what_prevents_the_install_or_kills_the_step_is_said_by_the_last_step(
    project: Project, github: GitHubServer
) -> None:
    job = Job(project, github)
    out = job.notice("end", INSTALL_OUTCOME="failure", RUN_OUTCOME="skipped")
    assert "evalkit could not be installed" in job.comment
    assert "evalkit could not be installed" in job.summary
    assert out.startswith("::error title=NOT DECIDED%3A the job could not start::")
    job.notice("end", INSTALL_OUTCOME="success", RUN_OUTCOME="cancelled")
    assert "canceled, or reached its time limit" in job.comment
    job.notice("end", INSTALL_OUTCOME="success", RUN_OUTCOME="failure")
    assert "ended without a result" in job.comment
    # A step before the action failed.
    assert job.run(BLOCKED="An earlier step of this job failed.").returncode == 3
    assert "An earlier step of this job failed." in job.comment
    assert read_outputs(job.step.output) | {"metrics": "", "report": ""} == {
        "verdict": "undecided",
        "exit-code": "3",
        "metrics": "",
        "report": "",
    }


def test_a_stopped_step_ends_evalkit_and_keeps_the_results_that_are_there(
    project: Project, github: GitHubServer
) -> None:
    log = project.folder / "log"
    job = Job(project, github)
    write_program(
        job.step.temporary / "bin" / "evalkit",
        f"""
        trap 'echo stopped >> {log}; kill $!; exit 143' TERM
        [ "$1" = score ] || exit 0
        sleep 60 & echo running >> {log}
        wait
        """,
    )
    decided = f"<!-- evalkit-state:decided commit:{HEAD} -->\n## PASS: `first`"
    for name in ("first.yaml", "second.yaml"):
        job.run(name, BLOCKED="nothing yet", ANSWERS="answers")
    first, second = github.comments
    first["body"] = first["body"].partition("\n")[0] + f"\n{decided}"
    process = job.step.start(SETS="first.yaml\nsecond.yaml", COMMENT="changed", ANSWERS="answers")
    wait_until(log.exists)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert log.read_text().split() == ["running", "stopped"]
    assert read_outputs(job.step.output)["exit-code"] == "130"
    assert "## PASS: `first`" in first["body"]
    assert "## NOT DECIDED: the job was stopped" in second["body"]
    # The last step says nothing about a result that is there, either.
    job.notice("end", "first.yaml", INSTALL_OUTCOME="success", RUN_OUTCOME="failure")
    assert "## PASS: `first`" in first["body"]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another process; the time limit of the test is the limit."""
    while not condition():
        time.sleep(0.02)


def test_without_evalkit_on_path_the_step_says_so(project: Project, github: GitHubServer) -> None:
    job = Job(project, github)
    (job.step.temporary / "bin" / "evalkit").unlink()
    job.step.environ["PATH"] = "/usr/bin:/bin"
    done = subprocess.run(
        [sys.executable, "-EP", str(ACTION / "step.py"), "run"],
        cwd=project.folder,
        env={
            **project.environ(job.step.environ),
            "EVALKIT_SETS": "echo.yaml",
            "PATH": "/nowhere",
            "GITHUB_OUTPUT": str(job.step.output),
        },
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "evalkit is not installed outside of the checkout" in job.comment
    assert read_outputs_exit(job.step.output) == "2"


def read_outputs_exit(path: Path) -> str:
    return read_outputs(path)["exit-code"]


def test_only_our_comment_on_our_commit_is_replaced(project: Project, github: GitHubServer) -> None:
    job = Job(project, github, "exit 2")
    job.run()
    ours = job.comment
    # A stranger copied the marker, and another job has a comment of its own.
    github.comments.clear()
    github.add_comment(ours, kind="User")
    github.add_comment("<!-- evalkit:0123456789abcdef -->\n## PASS: `other`")
    job.run()
    bodies = [each["body"] for each in github.comments]
    assert bodies[:2] == [ours, "<!-- evalkit:0123456789abcdef -->\n## PASS: `other`"]
    assert len(bodies) == 3
    # A job of a commit that is no longer the newest one says nothing.
    github.head = OLD
    github.comments.clear()
    job.run()
    job.notice("start")
    job.notice("end", INSTALL_OUTCOME="failure")
    assert github.comments == []
    github.head = HEAD
    job.run(COMMENT="never")
    assert github.comments == []


def test_an_old_result_does_not_stay_on_show_when_the_input_is_edited_and_a_check_run_agrees(
    project: Project, github: GitHubServer
) -> None:
    job = Job(project, github)
    project.write("sets/echo.yaml", (project.folder / "echo.yaml").read_text().replace("./", "../"))
    assert job.run("echo.yaml", COMMENT="always", CHECK="true").returncode == 0
    github.comments[0]["body"] = job.comment.replace(HEAD, OLD)
    # The next commit names a folder instead, and its first job cannot start.
    job.notice("start", "sets", CHECK="true")
    assert "## OUT OF DATE: commit `aaaaaaaaaa` has no result here" in job.comment
    assert f"of commit `{OLD[:10]}`, no longer counts: PASS: `echo`" in job.comment
    job.notice("end", "sets", INSTALL_OUTCOME="failure", CHECK="true")
    job.run("sets", COMMENT="always", CHECK="true")
    outdated, comment = (each["body"] for each in github.comments)
    assert "## OUT OF DATE" in outdated
    key, _, heading = comment.splitlines()[:3]
    assert heading == "## PASS: `echo`, `must pass` 3 of 3"
    assert [(each["name"], each.get("conclusion", each["status"])) for each in github.checks] == [
        ("evalkit / evals: echo.yaml", "success"),
        ("evalkit / evals: sets", "in_progress"),
        ("evalkit / evals: sets", "failure"),
        ("evalkit / evals: sets", "success"),
    ]
    # A second set that the folder gets changes neither the comment nor the name of the check run.
    text = (project.folder / "sets/echo.yaml").read_text()
    project.write("sets/more.yaml", text.replace("evalset: echo", "evalset: more"))
    job.run("sets", COMMENT="always", CHECK="true")
    assert github.comments[1]["body"].splitlines()[0] == key
    assert "## PASS: 2 passed" in github.comments[1]["body"]
    assert len(github.comments) == 2
    assert github.checks[-1]["name"] == "evalkit / evals: sets"


def test_a_token_that_may_not_write_changes_no_result(
    project: Project, github: GitHubServer
) -> None:
    github.refused = True
    job = Job(project, github, "exit 4")
    done = job.run(ACCEPT_LABEL="evalkit: accept", ACCEPT_ROLE="maintain")
    assert done.returncode == 4
    assert "pull-requests: write" in done.stdout
    assert "NOT DECIDED" in job.summary


def test_the_status_of_a_commit_from_a_fork_is_not_left_at_success(
    project: Project, github: GitHubServer
) -> None:
    job = Job(project, github, "exit 2")
    del job.step.environ["EVALKIT_PULL"]
    job.step.environ |= {"EVALKIT_OWNER": "fork", "EVALKIT_BRANCH": "topic"}
    job.notice("start", ANSWERS="answers")
    job.run(ANSWERS="answers")
    told = [(each["state"], each["context"]) for each in github.statuses]
    assert told == [("pending", "evalkit/echo"), ("error", "evalkit/echo")]
    assert "NOT DECIDED" in job.comment


LABEL = {"ACCEPT_LABEL": "evalkit: accept", "ACCEPT_ROLE": "maintain"}
ENDED = "2026-11-30T12:00:00Z"
LATER = "2026-11-30T12:05:00Z"


@pytest.fixture
def worse(project: Project, github: GitHubServer, git: Callable[..., str]) -> Job:
    """A commit that is worse than its baseline; the first attempt of its job has ended."""
    project.evalkit("baseline", "echo.yaml", "--trials", "3")
    project.write(
        "agent.py", "def answer(text):\n    return text.upper() if text != 'two' else '?'\n"
    )
    project.write(".gitignore", ".evalkit/\n__pycache__/\n")
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "worse")
    sha = git("rev-parse", "HEAD").strip()
    job = Job(project, github)
    github.head = sha
    github.roles = {"ann": "maintain", "tim": "triage", "wes": "write"}
    github.first_jobs = [{"head_sha": sha, "completed_at": ENDED, "conclusion": "failure"}]
    job.step.environ |= {"EVALKIT_HEAD": sha, "EVALKIT_RUN": "99", "EVALKIT_ATTEMPT": "2"}
    event = {"pull_request": {"number": 7, "head": {"sha": sha}}}
    project.write("../event.json", json.dumps(event))
    return job


def test_a_label_of_a_maintainer_accepts_the_commit_whose_result_was_there(
    worse: Job, github: GitHubServer
) -> None:
    github.label("evalkit: accept", "tim", "2026-11-30T11:00:00Z")
    github.label("evalkit: accept", "tim", "2026-11-30T11:30:00Z", event="unlabeled")
    github.label("evalkit: accept", "ann", LATER)
    done = worse.run(**LABEL)
    sha = github.head
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = read_outputs(worse.step.output)
    assert (outputs["verdict"], outputs["exit-code"]) == ("accepted", "0")
    for text in (worse.comment, worse.summary):
        assert "## ACCEPTED: `echo`" in text
        assert f"Accepted by ann for commit {sha[:10]}" in text
        assert "FAIL" in text, "what failed is still shown"
    report = json.loads(
        (worse.step.project.folder / ".evalkit/report/1-echo/report.json").read_text()
    )
    assert report["acceptance"] == {"who": "ann", "commit": sha}
    assert (report["outcome"], report["exit_code"]) == ("fail", 0)
    assert (
        "<failure"
        not in (worse.step.project.folder / ".evalkit/report/1-echo/junit.xml").read_text()
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("nobody", ""),
        ("triage", "role 'triage'"),
        ("write", "role 'write'"),
        ("bot", "A person has to apply"),
        ("early", "older than the result"),
        ("first attempt", "older than the result"),
        ("other commit", "has no end"),
        ("running", "has no end"),
        ("canceled", "no result to accept"),
        ("skipped", "no result to accept"),
        ("earlier step", "no result to accept"),
        ("page 2", "no result to accept"),
        ("removed", ""),
        ("no label input", ""),
    ],
)
def test_no_other_label_accepts_anything(
    worse: Job, github: GitHubServer, change: str, reason: str
) -> None:
    who = {"triage": "tim", "write": "wes", "bot": "github-actions[bot]"}.get(change, "ann")
    if change != "nobody":
        when = "2026-11-30T11:59:59Z" if change == "early" else LATER
        github.label("evalkit: accept", who, when)
    if change == "removed":
        github.label("evalkit: accept", "ann", LATER, event="unlabeled")
    if change == "first attempt":
        worse.step.environ["EVALKIT_ATTEMPT"] = "1"
    if change == "other commit":
        github.first_jobs[0]["head_sha"] = OLD
    if change in ("canceled", "skipped"):
        word = change.replace("canceled", "cancelled")
        github.first_jobs.append({**github.first_jobs[0], "conclusion": word})
    if change == "earlier step":
        github.first_jobs[0]["steps"] = [
            {"name": n, "conclusion": "failure"} for n in ("pip", "evalkit")
        ]
    if change == "page 2":
        last = {**github.first_jobs[0], "conclusion": "cancelled"}
        github.first_jobs = [*(github.first_jobs * 100), last]
    if change == "running":
        github.first_jobs[0]["completed_at"] = None
    inputs = {} if change == "no label input" else LABEL
    # Variables that the code of the change could set have no effect.
    worse.step.environ["EVALKIT_ACCEPTED_BY"] = f"ann@{github.head}"
    program = '[ "$1" = base ] && exit 0\n[ "$1" = run ] && echo "$*" >&2\nexit 4'
    write_program(worse.step.temporary / "bin" / "evalkit", program)
    done = worse.run(**inputs)
    assert done.returncode == 4
    assert "--accepted-by" not in done.stderr
    assert reason in done.stdout
    assert ("title=not accepted" in done.stdout) == bool(reason)
    assert ("Not accepted yet: " in worse.comment) == bool(reason)


def test_a_label_on_a_commit_of_a_fork_counts_from_the_result_of_the_gate_on(
    worse: Job, github: GitHubServer
) -> None:
    environ = {**worse.step.environ, "EVALKIT_ACCEPT_LABEL": "go", "EVALKIT_ACCEPT_ROLE": "write"}
    api = GitHub({**environ, "GITHUB_API_URL": github.url})
    pull = Pull(7, github.head)
    github.label("go", "ann", LATER)
    github.first_jobs[0]["conclusion"] = "success"
    status = {"context": "evalkit/echo", "state": "failure", "created_at": "2026-11-30T12:06:00Z"}
    for statuses, who in (
        ([], ""),
        ([status], ""),
        ([{**status, "state": "pending", "created_at": ENDED}, status], ""),
        ([status, {**status, "created_at": ENDED}], "ann"),
    ):
        github.statuses = statuses
        found = find_acceptance({**environ, "EVALKIT_ANSWERS": "there"}, api, pull)
        assert (found.who, bool(found.problem)) == (who, not who), statuses
    # A passing job has nothing to accept, unless it only asked the agent.
    assert not find_acceptance(environ, api, pull).who


def test_the_token_is_sent_to_no_other_host() -> None:
    other = ScriptedServer(choose=lambda _: json_reply([]))
    with served(other) as there:
        moved = ScriptedServer(
            choose=lambda _: reply(status=302, headers={"Location": f"{there.url}/x"})
        )
        with served(moved) as here:
            environ = {"GITHUB_REPOSITORY": "o/r", "EVALKIT_COMMENT_TOKEN": "ghs_x"}
            api = GitHub({**environ, "GITHUB_API_URL": here.url})
            assert api.request("GET", "pulls/1") == []
    assert [asked.headers.get("authorization") for asked in moved.asked] == ["Bearer ghs_x"]
    assert [asked.headers.get("authorization") for asked in other.asked] == [None]
