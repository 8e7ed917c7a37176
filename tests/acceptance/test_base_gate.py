"""The gate of a change comes from its base, and no loosening of it goes unnoticed."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.conftest import Project

Git = Callable[..., str]

AGENT = """
    def answer(text):
        return text.upper()
"""

BROKEN_AGENT = """
    def answer(text):
        return text if text == 'one' else text.upper()
"""

SET = """
    evalset: echo
    agent: {python: ./agent.py:answer}
    judge: lexical
    max_errors: 0
    metrics:
      - exact_match
      - ./polite.py:polite
      - rubric: rubrics/agrees.yaml
    gate:
      - {metric: exact_match, min: 0.9, test: point}
      - {metric: exact_match, max_drop: 0.02}
      - {metric: exact_match, tag: safety, min: 0.9, test: point}
      - {metric: polite, min: 0.9, test: point}
      - {metric: agrees, min: 0.5, test: point}
      - {must_pass: all}
    cases:
      - {id: one, input: one, expected: ONE, tags: [safety]}
      - {id: two, input: two, expected: TWO, tags: [safety]}
      - {id: three, input: three, expected: THREE}
      - {id: four, input: four, expected: FOUR}
"""

PLUGIN = """
    from words import RUDE

    def polite(case, output):
        return float(not any(word in output.text for word in RUDE))
"""

RUBRIC = """
    rubric: agrees
    description: Whether an answer says what the reference says.
    needs: [reference]
    pass_at: 1
    criteria:
      - name: says_it
        question: Does the answer state what the reference states?
        levels:
          - {name: "yes", value: 1, description: "Everything the reference states is there."}
          - {name: "no", value: 0, description: "It is missing or contradicted."}
"""

KIND_JUDGE = "judge: {openai: {model: kind, base_url: 'http://127.0.0.1:9/v1'}}"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose one commit has a set, all it names, and its baseline."""
    made = Project(tmp_path_factory.mktemp("recorded"))
    made.write("agent.py", AGENT)
    made.write("polite.py", PLUGIN)
    made.write("words.py", "RUDE = ['idiot']\n")
    made.write("rubrics/agrees.yaml", RUBRIC)
    made.write("echo.yaml", SET)
    made.write(".gitignore", ".evalkit/\n__pycache__/\n")
    done = made.evalkit("baseline", "echo.yaml", "--trials", "2")
    assert done.code == 0, done
    shutil.rmtree(made.folder / ".evalkit")
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "base"]):
        run_git(made, *arguments)
    return made.folder


def run_git(project: Project, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments],
        cwd=project.folder,
        env=project.environ(),
        capture_output=True,
        check=True,
        text=True,
    ).stdout


@pytest.fixture
def change(recorded: Path, tmp_path: Path) -> Project:
    """A branch off that commit, in which nothing is edited yet."""
    shutil.copytree(recorded, tmp_path / "repository")
    made = Project(tmp_path / "repository")
    run_git(made, "checkout", "-q", "-b", "change")
    return made


def edit(project: Project, name: str, old: str, new: str) -> Path:
    path = project.folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def commit(project: Project) -> None:
    run_git(project, "add", "--all")
    run_git(project, "commit", "-qm", "change")


def record_anew(project: Project) -> None:
    project.write("agent.py", BROKEN_AGENT)
    done = project.evalkit("baseline", "echo.yaml", "--trials", "2")
    assert done.code == 0, done


def lower_score_by_hand(project: Project) -> None:
    edit(project, "baselines/echo.jsonl", '"passed":true', '"passed":false')


def delete_case(project: Project) -> None:
    edit(project, "echo.yaml", "  - {id: one, input: one, expected: ONE, tags: [safety]}\n", "")


TAMPERINGS: dict[str, tuple[Callable[[Project], object], str]] = {
    "lower a threshold": (
        lambda p: edit(p, "echo.yaml", "polite, min: 0.9", "polite, min: 0.1"),
        "threshold polite: min 0.9, test point -> min 0.1, test point",
    ),
    "remove a threshold": (
        lambda p: edit(p, "echo.yaml", "  - {must_pass: all}\n", ""),
        "threshold must pass: removed, was must_pass all",
    ),
    "widen a tolerance": (
        lambda p: edit(p, "echo.yaml", "max_drop: 0.02", "max_drop: 0.2"),
        "threshold exact_match: max_drop 0.02 -> max_drop 0.2",
    ),
    "delete a case": (delete_case, "1 case removed: one"),
    "relabel a case": (
        lambda p: edit(p, "echo.yaml", "expected: ONE", "expected: one"),
        "1 case relabeled: one",
    ),
    "ask an easier question": (
        lambda p: edit(p, "echo.yaml", "input: one", "input: ONE"),
        "1 case edited: one",
    ),
    "skip a case by its tag": (
        lambda p: edit(p, "echo.yaml", "expected: ONE, tags: [safety]", "expected: ONE"),
        "1 case with other tags: one",
    ),
    "skip cases by the tag of a metric": (
        lambda p: edit(
            p, "echo.yaml", "- exact_match\n", "- exact_match: {}\n    tags: [safety]\n"
        ),
        "metric exact_match: no longer scores 2 cases: three, four",
    ),
    "record the baseline with a worse agent": (record_anew, "the baseline was replaced"),
    "edit the baseline": (lower_score_by_hand, "the baseline was replaced"),
    "edit a rubric": (
        lambda p: edit(p, "rubrics/agrees.yaml", "pass_at: 1", "pass_at: 0.1"),
        "metric agrees: rubrics/agrees.yaml was edited",
    ),
    "swap the judge": (
        lambda p: edit(p, "echo.yaml", "judge: lexical", KIND_JUDGE),
        "judges: edited",
    ),
    "change a plugin": (
        lambda p: edit(p, "polite.py", "float(not any", "float(True or not any"),
        "metric polite: ./polite.py:polite was edited, or a file that it uses",
    ),
    "change what a plugin imports": (
        lambda p: edit(p, "words.py", "['idiot']", "[]"),
        "metric polite: ./polite.py:polite was edited, or a file that it uses",
    ),
    "raise max_errors": (
        lambda p: edit(p, "echo.yaml", "max_errors: 0", "max_errors: 9"),
        "max_errors: 0 -> 9",
    ),
    "let errors pass from the project file": (
        lambda p: (
            edit(p, "echo.yaml", "max_errors: 0\n", ""),
            p.write("evalkit.yaml", "max_errors: 9\n"),
        )[0],
        "max_errors: 0 -> 9",
    ),
    "add a threshold that takes alpha from the others": (
        lambda p: edit(
            p,
            "echo.yaml",
            "gate:\n",
            "gate:\n  - {metric: exact_match, max_drop: 0.02, tag: safety}\n",
        ),
        "alpha is shared by 2 thresholds, not 1",
    ),
    "play answers back from a file": (
        lambda p: (
            p.write("made.jsonl", '{"case": "one", "output": "ONE"}\n'),
            edit(p, "echo.yaml", "{python: ./agent.py:answer}", "{recorded: made.jsonl}"),
            p.write(
                "made.jsonl",
                "".join(
                    json.dumps({"case": name, "output": name.upper()}) + "\n"
                    for name in ("one", "two", "three", "four")
                ),
            ),
        )[1],
        "agent: python -> recorded",
    ),
    "bring verdicts along": (
        lambda p: (
            p.write(".evalkit/cache/verdicts/made.json", "{}\n"),
            run_git(p, "add", "--force", ".evalkit"),
        ),
        "files are committed in the store of runs and verdicts: .evalkit/cache/verdicts/made.json",
    ),
    "move the set and lower it": (
        lambda p: (
            edit(p, "echo.yaml", "polite, min: 0.9", "polite, min: 0.1"),
            run_git(p, "mv", "echo.yaml", "moved.yaml"),
        )[0],
        "threshold polite: min 0.9, test point -> min 0.1, test point",
    ),
}


@pytest.mark.parametrize(("tamper", "told"), TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_a_change_that_loosens_its_gate_waits_for_approval(
    change: Project, tamper: Callable[[Project], object], told: str
) -> None:
    tamper(change)
    commit(change)
    name = "moved.yaml" if (change.folder / "moved.yaml").exists() else "echo.yaml"
    done = change.evalkit("run", name, "--base", "main", "--format", "json")
    assert done.code == 4, done
    report = done.json
    assert report["exit_code"] == 4
    loosening = [edit["sentence"] for edit in report["gate"]["changes"] if edit["loosened"]]
    assert any(sentence.startswith(told) for sentence in loosening), loosening
    # The cases and labels are those of the base, whatever became of them.
    assert {case["id"] for case in report["cases"]} == {"one", "two", "three", "four"}
    assert "Under the rules of main" in report["reason"]


def test_bad_cases_cannot_be_made_to_count_as_errors(change: Project) -> None:
    change.write("agent.py", "def answer(text):\n    raise RuntimeError(text)\n")
    edit(change, "echo.yaml", "max_errors: 0", "max_errors: 9")
    commit(change)
    done = change.evalkit("run", "echo.yaml", "--base", "main")
    assert done.code in (3, 4), done
    assert "max_errors allows 0" in " ".join(done.out.split())


def test_a_worse_agent_fails_under_the_rules_of_the_base_whatever_the_change_says(
    change: Project,
) -> None:
    change.write("agent.py", BROKEN_AGENT)
    delete_case(change)
    commit(change)
    told = change.evalkit("run", "echo.yaml", "--base", "main", "--format", "json").json
    assert told["exit_code"] == 4
    assert "the result is FAIL" in told["reason"]
    assert next(c for c in told["cases"] if c["id"] == "one")["passed"] == 0
    accepted = change.evalkit(
        "run", "echo.yaml", "--base", "main", "--accept-gate-changes", "--format", "json"
    )
    assert accepted.code == 0, accepted
    assert accepted.json["gate"]["accepted"]
    assert [edit["sentence"] for edit in accepted.json["gate"]["changes"]] == [
        "1 case removed: one"
    ]
    assert {case["id"] for case in accepted.json["cases"]} == {"two", "three", "four"}


def move_cases(project: Project) -> None:
    head, cases = (project.folder / "echo.yaml").read_text().split("cases:\n")
    project.write("echo.yaml", head + "cases: [cases/all.yaml]\n")
    project.write("cases/all.yaml", cases)
    commit(project)
    run_git(project, "mv", "cases/all.yaml", "cases/every.yaml")
    edit(project, "echo.yaml", "all.yaml", "every.yaml")


TIGHTENINGS: dict[str, Callable[[Project], object]] = {
    "nothing in the gate": lambda p: p.write("notes.txt", "hello\n"),
    "raise a threshold": lambda p: edit(p, "echo.yaml", "polite, min: 0.9", "polite, min: 1"),
    "narrow a tolerance": lambda p: edit(p, "echo.yaml", "max_drop: 0.02", "max_drop: 0.01"),
    "add an absolute threshold": lambda p: edit(
        p, "echo.yaml", "gate:\n", "gate:\n  - {metric: polite, tag: safety, min: 1, test: point}\n"
    ),
    "fail what is inconclusive": lambda p: edit(
        p, "echo.yaml", "max_errors: 0", "max_errors: 0\non_inconclusive: fail"
    ),
    "move the cases to a file of their own": move_cases,
    "move a rubric": lambda p: (
        run_git(p, "mv", "rubrics", "scales"),
        edit(p, "echo.yaml", "rubrics/agrees", "scales/agrees"),
    )[1],
    "change the agent and how it is run": lambda p: (
        p.write("agent.py", "def answer(text):\n    return text.swapcase()\n"),
        edit(p, "echo.yaml", "max_errors: 0", "max_errors: 0\nconcurrency: 2"),
    )[1],
}


@pytest.mark.parametrize("tighten", TIGHTENINGS.values(), ids=TIGHTENINGS.keys())
def test_a_change_that_loosens_nothing_gets_the_verdict_itself(
    change: Project, tighten: Callable[[Project], object]
) -> None:
    tighten(change)
    commit(change)
    done = change.evalkit("run", "echo.yaml", "--base", "main", "--format", "json")
    assert done.code == 0, done
    assert not [edit for edit in done.json["gate"]["changes"] if edit["loosened"]]


def test_new_cases_are_run_and_outweigh_nothing(change: Project) -> None:
    change.write("agent.py", BROKEN_AGENT)
    easy = "".join(
        f"  - {{id: easy-{n}, input: x, expected: X, tags: [safety]}}\n" for n in range(30)
    )
    edit(change, "echo.yaml", "cases:\n", f"cases:\n{easy}")
    commit(change)
    done = change.evalkit("run", "echo.yaml", "--base", "main", "--format", "json")
    assert done.code == 1, done
    report = done.json
    assert len(report["cases"]) == 34
    limit = report["checks"][0]
    assert (limit["name"], limit["outcome"], limit["candidate"]) == ("exact_match", "fail", 0.75)
    assert report["gate"]["changes"][0]["sentence"].startswith("30 cases added: easy-0")


def test_a_new_case_that_fails_is_not_let_in_unseen(change: Project) -> None:
    edit(change, "echo.yaml", "cases:\n", "cases:\n  - {id: hard, input: x, expected: Y}\n")
    commit(change)
    done = change.evalkit("run", "echo.yaml", "--base", "main")
    assert done.code == 1, done
    assert "holds without the 1 added case" in " ".join(done.out.split())


def test_what_is_added_with_its_own_metric_is_scored_by_it(change: Project) -> None:
    change.write("loud.py", "def loud(case, output):\n    return float(output.text.isupper())\n")
    new = "  - {id: new, input: x, expected: X, metrics: [./loud.py:loud]}\n"
    edit(change, "echo.yaml", "cases:\n", f"cases:\n{new}")
    commit(change)
    done = change.evalkit("run", "echo.yaml", "--base", "main", "--format", "json")
    assert done.code == 0, done
    case = next(case for case in done.json["cases"] if case["id"] == "new")
    assert {score["metric"] for score in case["trials"][0]["scores"]} >= {"loud", "exact_match"}


def test_every_report_tells_of_the_same_edits(change: Project) -> None:
    edit(change, "echo.yaml", "polite, min: 0.9", "polite, min: 0.1")
    edit(change, "echo.yaml", "max_drop: 0.02", "max_drop: 0.01")
    commit(change)
    done = change.evalkit(
        "run", "echo.yaml", "--base", "main", "--junit", "r.xml", "--markdown", "r.md"
    )
    assert done.code == 4
    text = " ".join(done.out.split())
    assert "LOOSENS threshold polite: min 0.9" in text
    assert "allowed threshold exact_match: max_drop 0.02" in text
    assert "gate as of main" in text
    markdown = (change.folder / "r.md").read_text()
    assert "- LOOSENS: threshold polite: min 0.9" in markdown
    suites = ET.fromstring((change.folder / "r.xml").read_text())
    marks = {
        case.get("name"): [mark.tag for mark in case]
        for case in suites.iter("testcase")
        if (case.get("name") or "").startswith("edit of the gate")
    }
    assert sorted(marks.values()) == [[], ["failure"]]
    again = change.evalkit("gate", "latest", "--base", "main", "--format", "json")
    assert again.code == 4
    assert [c["loosened"] for c in again.json["gate"]["changes"]] == [False, True]
    assert change.evalkit("show", "latest").code == 0


def test_a_set_that_is_new_is_held_to_its_own_rules(change: Project) -> None:
    (change.folder / "other.yaml").write_text(
        "agent: {python: ./agent.py:answer}\ncases:\n- {id: a, input: x, expected: X}\n"
    )
    commit(change)
    done = change.evalkit("run", "other.yaml", "--base", "main")
    assert done.code == 0, done
    assert "does not exist at main" in " ".join(done.out.split())


def test_a_link_in_place_of_a_set_is_not_a_new_set(change: Project) -> None:
    text = (change.folder / "echo.yaml").read_text()
    (change.folder / "easy.yaml").write_text(text.replace("polite, min: 0.9", "polite, min: 0.1"))
    (change.folder / "echo.yaml").unlink()
    (change.folder / "echo.yaml").symlink_to("easy.yaml")
    commit(change)
    assert change.evalkit("run", "echo.yaml", "--base", "main").code == 4


def test_the_road_to_accept_an_edit_is_that_of_the_ci_system(change: Project) -> None:
    delete_case(change)
    commit(change)
    words = ("run", "echo.yaml", "--base", "main")
    here = change.evalkit(*words, env={"CI": "", "GITHUB_ACTIONS": ""}).out
    assert re.search(
        r"^  if the edits are meant:\n +evalkit run .* --accept-gate-", here, re.MULTILINE
    )
    assert "--accepted-by" not in here
    gitlab = {"GITLAB_CI": "true", "GITHUB_ACTIONS": ""}
    done = change.evalkit("gate", "latest", "--base", "main", env=gitlab)
    head = run_git(change, "rev-parse", "HEAD").strip()
    assert f"--accepted-by NAME@{head}" in done.out
    assert done.out.index("--accepted-by") < done.out.index("--accept-gate-changes")
    github = {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/12/merge", "GITHUB_EVENT_PATH": ""}
    assert "--accepted-by" in change.evalkit(*words, env=github).out
    change.write(
        ".github/workflows/gate.yml", '        with:\n  accept-label: "evalkit: accept" # x\n'
    )
    done = change.evalkit(*words, env=github)
    assert "a maintainer applies the label:" in done.out
    assert "    gh pr edit 12 --add-label 'evalkit: accept'\n" in done.out


def test_a_set_that_was_deleted_is_the_only_problem(change: Project) -> None:
    (change.folder / "echo.yaml").unlink()
    commit(change)
    done = change.evalkit("run", "echo.yaml", "--base", "main")
    assert (done.code, done.err) == (2, "echo.yaml: the file does not exist.\n")


def test_a_set_that_could_not_be_read_at_the_base_can_be_mended_with_approval(
    change: Project,
) -> None:
    good = (change.folder / "echo.yaml").read_text()
    run_git(change, "checkout", "-q", "main")
    edit(change, "echo.yaml", "max_errors: 0", "max_erors: 0")
    commit(change)
    run_git(change, "checkout", "-q", "-B", "change")
    (change.folder / "echo.yaml").write_text(good)
    commit(change)
    done = change.evalkit("run", "echo.yaml", "--base", "main")
    assert done.code == 4
    assert "echo.yaml:4: eval set: unknown key 'max_erors'" in done.err
    assert str(tempfile.gettempdir()) + "/evalkit-base" not in done.err
    done = change.evalkit("run", "echo.yaml", "--base", "main", "--accept-gate-changes")
    assert done.code == 0, done


def test_what_others_did_on_the_base_since_is_no_edit_of_this_change(change: Project) -> None:
    run_git(change, "checkout", "-q", "main")
    edit(change, "echo.yaml", "polite, min: 0.9", "polite, min: 1")
    commit(change)
    run_git(change, "checkout", "-q", "change")
    done = change.evalkit("run", "echo.yaml", "--base", "main", "--format", "json")
    assert done.code == 0, done
    assert done.json["gate"]["changes"] == []
    assert "the merge base" in done.json["gate"]["base"]


def push_to_origin(change: Project, folder: Path) -> Path:
    """A bare repository that has main, the change, and the merge of both that a CI system tests."""
    origin = folder / "origin.git"
    run_git(change, "clone", "-q", "--bare", ".", str(origin))
    run_git(change, "checkout", "-q", "main")
    for number in range(3):
        change.write("later.txt", f"{number}\n")
        commit(change)
    run_git(change, "push", "-q", str(origin), "main")
    run_git(change, "merge", "-q", "--no-edit", "change")
    run_git(change, "push", "-q", str(origin), "HEAD:refs/pull/1/merge", "change:change")
    return origin


def clone_shallow(origin: Path, folder: Path, ref: str) -> Project:
    """What actions/checkout leaves behind: one commit and no branch."""
    folder.mkdir()
    clone = Project(folder)
    run_git(clone, "init", "-q")
    run_git(clone, "remote", "add", "origin", f"file://{origin}")
    run_git(clone, "fetch", "-q", "--no-tags", "--depth=1", "origin", f"+{ref}:refs/remotes/x")
    run_git(clone, "checkout", "-q", "--detach", "refs/remotes/x")
    return clone


@pytest.mark.parametrize("ref", ["refs/pull/1/merge", "refs/heads/change"])
def test_in_a_shallow_pull_request_the_base_is_found_and_fetched_by_itself(
    change: Project, tmp_path: Path, ref: str
) -> None:
    edit(change, "echo.yaml", "polite, min: 0.9", "polite, min: 0.1")
    commit(change)
    origin = push_to_origin(change, tmp_path)
    clone = clone_shallow(origin, tmp_path / "clone", ref)
    done = clone.evalkit("run", "echo.yaml", env={"GITHUB_BASE_REF": "main"})
    assert done.code == 4, done
    assert "gate as of origin/main" in " ".join(done.out.split())
    assert run_git(clone, "status", "--short") == ""
    # An explicit base wins over the one of the environment.
    done = clone.evalkit("run", "echo.yaml", "--base", "HEAD", env={"GITHUB_BASE_REF": "main"})
    assert done.code == 0, done


def test_a_base_that_cannot_be_had_says_what_to_fetch(change: Project, tmp_path: Path) -> None:
    edit(change, "echo.yaml", "polite, min: 0.9", "polite, min: 0.1")
    commit(change)
    origin = push_to_origin(change, tmp_path)
    clone = clone_shallow(origin, tmp_path / "clone", "refs/heads/change")
    origin.rename(tmp_path / "gone.git")
    done = clone.evalkit("run", "echo.yaml", env={"GITHUB_BASE_REF": "main"})
    assert done.code == 2
    assert "GITHUB_BASE_REF 'origin/main': there is no such commit here" in done.err
    assert (
        "git fetch --no-tags --unshallow origin +refs/heads/main:refs/remotes/origin/main"
        in done.err
    )
    assert clone.runs() == []
    gitlab = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": "0" * 40}
    done = clone.evalkit("run", "echo.yaml", env=gitlab)
    assert done.code == 2
    assert "CI_MERGE_REQUEST_DIFF_BASE_SHA" in done.err


def test_a_package_that_is_installed_from_the_checkout_is_taken_from_the_base(
    change: Project,
) -> None:
    run_git(change, "checkout", "-q", "main")
    change.write(
        "lib/kindness.py",
        "def kind(case, output):\n    return 0.0 if 'ONE' in output.text else 1.0\n",
    )
    edit(change, "echo.yaml", "./polite.py:polite", "kindness:kind")
    edit(change, "echo.yaml", "polite, min: 0.9", "kind, min: 0.9")
    commit(change)
    run_git(change, "checkout", "-q", "-B", "change")
    change.write("lib/kindness.py", "def kind(case, output):\n    return 1.0\n")
    commit(change)
    # As an installation in editable mode does, the environment leads to the checkout's own folder.
    path = {"PYTHONPATH": str(change.folder / "lib")}
    done = change.evalkit("run", "echo.yaml", "--base", "main", "--format", "json", env=path)
    assert done.code in (1, 4), done
    kind = next(check for check in done.json["checks"] if check["name"] == "kind")
    assert kind["outcome"] == "fail"


def test_parts_of_a_run_leave_the_review_to_the_whole(change: Project) -> None:
    edit(change, "echo.yaml", "polite, min: 0.9", "polite, min: 0.1")
    commit(change)
    for part in ("1/2", "2/2"):
        done = change.evalkit("run", "echo.yaml", "--base", "main", "--shard", part)
        assert done.code == 0, done
    parts = [str(folder) for folder in change.runs()]
    done = change.evalkit("merge", *parts, "--base", "main", "--format", "json")
    assert done.code == 4, done
    assert done.json["tally"]["selected"] == 4


def test_a_limit_on_the_command_line_needs_approval_too(change: Project) -> None:
    done = change.evalkit("run", "echo.yaml", "--base", "main", "--limit", "2")
    assert done.code == 4, done
    assert "only a part of the cases was run: --limit 2" in " ".join(done.out.split())


@pytest.mark.slow
def test_nothing_is_left_behind_when_the_run_is_cancelled(change: Project, tmp_path: Path) -> None:
    change.write("agent.py", "import time\n\ndef answer(text):\n    time.sleep(60)\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        change.command("run", "echo.yaml", "--base", "main"),
        cwd=change.folder,
        env=change.environ({"TMPDIR": str(temporary)}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not change.runs() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(temporary.glob("evalkit-base-*"))
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert not list(temporary.glob("evalkit-base-*"))
    assert run_git(change, "worktree", "list").count("\n") == 1
