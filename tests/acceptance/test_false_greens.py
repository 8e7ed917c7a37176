"""Inputs on which other evaluation tools come out green or wrong: here none is green."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Project

HEAD = "evalset: demo\nagent: {python: ./agent.py:answer}\n"

INVALID = {
    "misspelt top-level key": (
        HEAD + "defualt_metrics: [exact_match]\ncases:\n- {id: a, input: x, expected: X}\n",
        ["set.yaml:3", "unknown key 'defualt_metrics'"],
    ),
    "misspelt case key": (
        HEAD + "cases:\n- id: a\n  input: x\n  expcted: X\n",
        ["set.yaml:6", "unknown key 'expcted'", "did you mean 'expected'"],
    ),
    "misspelt metric": (
        HEAD + "metrics: [exact_mach]\ncases:\n- {id: a, input: x, expected: X}\n",
        ["set.yaml:3", "exact_mach", "did you mean 'exact_match'"],
    ),
    "missing file of cases": (
        HEAD + "cases: [nowhere.yaml]\n",
        ["set.yaml:3", "nowhere.yaml"],
    ),
    "case that nothing scores": (
        HEAD + "metrics: [exact_match]\ncases:\n- {id: a, input: x}\n",
        ["set.yaml:5", "case 'a'", "no metric scores it"],
    ),
    "case without expected in a set without metrics": (
        HEAD + "cases:\n- {id: a, input: x}\n",
        ["set.yaml:4", "case 'a'", "no metric scores it"],
    ),
    "duplicate key": (
        HEAD + "cases:\n- {id: a, input: x, expected: X}\nevalset: other\n",
        ["set.yaml:5", "evalset", "1"],
    ),
    "duplicate case id": (
        HEAD
        + "cases:\n- {id: a, input: x, expected: X}\n- {id: b, input: x, expected: X}\n"
        + "- {id: a, input: y, expected: Y}\n",
        ["set.yaml:6", "'a'", "set.yaml:4"],
    ),
    "threshold on a metric the set does not have": (
        HEAD + "gate: [{metric: accuracy, min: 0.5}]\ncases:\n- {id: a, input: x, expected: X}\n",
        ["set.yaml:3", "'accuracy'"],
    ),
    "threshold on a tag no case has": (
        HEAD
        + "gate: [{metric: exact_match, tag: refund, min: 0.5}]\n"
        + "cases:\n- {id: a, input: x, expected: X, tags: [refunds]}\n",
        ["set.yaml:3", "'refund'", "did you mean 'refunds'"],
    ),
    "metric that no case has a label for": (
        HEAD
        + "metrics: [exact_match, {one_of: {expected: anser}, name: second}]\n"
        + "cases:\n- {id: a, input: x, expected: {answer: X}, metrics: [{contains: [X]}]}\n",
        ["set.yaml:3", "'second' scores no case"],
    ),
    "no agent": (
        "evalset: demo\ncases:\n- {id: a, input: x, expected: X}\n",
        ["no agent"],
    ),
    "misspelt function of the agent": (
        "agent: {python: ./agent.py:anwser}\ncases:\n- {id: a, input: x, expected: X}\n",
        ["anwser", "answer"],
    ),
}


@pytest.mark.parametrize(("content", "wanted"), INVALID.values(), ids=INVALID.keys())
def test_a_mistake_in_the_set_is_refused_before_any_call(
    project: Project, content: str, wanted: list[str]
) -> None:
    project.write("agent.py", "def answer(text):\n    open('called', 'w')\n    return 'X'\n")
    project.write("set.yaml", content)
    done = project.evalkit("run", "set.yaml")
    assert done.code == 2, done
    for words in wanted:
        assert words.lower() in done.err.lower()
    assert not (project.folder / "called").exists()
    assert not project.runs()


def test_all_mistakes_are_told_at_once(project: Project) -> None:
    project.write(
        "set.yaml",
        HEAD + "metrics: [exact_mach]\ncases:\n- {id: a, inptu: x}\n- {id: a, input: x, tags: 3}\n",
    )
    done = project.evalkit("run", "set.yaml")
    assert done.code == 2
    for words in ("exact_mach", "inptu", "'a'", "tags"):
        assert words in done.err


def test_a_template_variable_that_a_case_does_not_give_is_refused(project: Project) -> None:
    project.write(
        "set.yaml",
        """
        agent: {command: [echo, "{metadata.user}"]}
        cases:
          - {id: a, input: x, expected: X, metadata: {user: ann}}
          - {id: b, input: x, expected: X}
        """,
    )
    done = project.evalkit("run", "set.yaml")
    assert done.code == 2
    assert "metadata.user" in done.err
    assert "'b'" in done.err
    assert "'a'" not in done.err


@pytest.mark.parametrize("content", ["", "# nothing\n", HEAD + "cases: []\n"])
def test_an_empty_set_is_not_green(project: Project, content: str) -> None:
    project.write("set.yaml", content)
    done = project.evalkit("run", "set.yaml")
    assert done.code == 5, done
    assert "no cases" in done.err


@pytest.mark.parametrize("options", [["--tag", "x"], ["-k", "nothing"], ["-k", "one and two"]])
def test_a_selection_that_matches_nothing_is_not_green(
    project: Project, options: list[str]
) -> None:
    done = project.evalkit("run", "echo.yaml", *options)
    assert done.code == 5
    assert " ".join(options[:1]) in done.err


def test_a_missing_set_is_named(project: Project) -> None:
    done = project.evalkit("run", "ecko.yaml")
    assert done.code == 2
    assert "ecko.yaml" in done.err


def test_an_agent_that_raises_on_one_case_leaves_no_green_run(project: Project) -> None:
    project.write(
        "agent.py",
        """
        def answer(text):
            if text == "two":
                raise KeyError("no such order")
            return text.upper()
        """,
    )
    done = project.evalkit("run", "echo.yaml", "--format", "json")
    assert done.code == 3
    report = done.json
    assert report["outcome"] == "undecided"
    assert report["tally"]["counts"]["agent_error"] == 1
    assert report["tally"]["counts"]["scored"] == 2
    assert sum(report["tally"]["counts"].values()) == report["tally"]["selected"] == 3


def test_an_error_within_the_budget_is_counted_beside_the_mean(project: Project) -> None:
    project.write(
        "agent.py", "def answer(text):\n    return text.upper() if text != 'two' else 1 / 0\n"
    )
    project.write(
        "set.yaml",
        (project.folder / "echo.yaml").read_text() + "gate: [{metric: exact_match, min: 0.1}]\n",
    )
    done = project.evalkit("run", "set.yaml", "--max-errors", "1")
    assert done.code == 0, done
    assert "1 of 3 trials has no score" in done.out
    assert "2 of 3 scored" in project.evalkit("show", "latest", "-v").out
    assert "1 agent error" in done.out


@pytest.mark.parametrize(
    "value", ["float('nan')", "float('inf')", "None", "'good'", "7.5", "1e400"]
)
def test_a_metric_that_gives_no_sound_number_is_an_error_not_a_score(
    project: Project, value: str
) -> None:
    project.write("rate.py", f"def rate(case, output):\n    return {value}\n")
    project.write(
        "set.yaml",
        HEAD + "metrics: [./rate.py:rate]\ngate: [{metric: rate, min: 0.1}]\n"
        "cases:\n- {id: a, input: x}\n",
    )
    done = project.evalkit("run", "set.yaml", "--format", "json")
    assert done.code == 3
    assert done.json["tally"]["counts"]["metric_error"] == 1
    assert "NaN" not in done.out


def test_two_runs_at_once_lose_nothing(project: Project) -> None:
    cases = "".join(f"- {{id: c{n}, input: x, expected: X}}\n" for n in range(60))
    project.write(
        "agent.py", "import time\ndef answer(text):\n    time.sleep(.01)\n    return 'X'\n"
    )
    project.write("set.yaml", HEAD + "cases:\n" + cases)
    both = [
        subprocess.Popen(
            project.command("run", "set.yaml"),
            cwd=project.folder,
            env=project.environ(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    assert [len(project.rows(run)) for run in project.runs()] == [60, 60]


def test_the_same_prompt_with_other_variables_is_asked_again(project: Project) -> None:
    project.write(
        "set.yaml",
        """
        agent: {command: [echo, "{metadata.user}"]}
        cases:
          - {id: a, input: who?, expected: ann, metadata: {user: ann}}
          - {id: b, input: who?, expected: bob, metadata: {user: bob}}
        """,
    )
    done = project.evalkit("run", "set.yaml")
    assert done.code == 0, done


def test_a_full_disk_is_not_green_and_tears_nothing(project: Project) -> None:
    cases = "".join(f"- {{id: c{n}, input: x, expected: X}}\n" for n in range(50))
    project.write("set.yaml", HEAD + "trials: 4\ncases:\n" + cases)
    limit = 20_000
    done = project.evalkit(
        "run",
        "set.yaml",
        preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.code == 3, done
    assert "could not save" in done.err
    content = (project.runs()[-1] / "trials.jsonl").read_bytes()
    assert content.endswith(b"\n")
    assert 0 < len(project.rows()) < 200
    resumed = project.evalkit("run", "set.yaml", "--resume")
    assert resumed.code == 0
    assert len(project.rows()) == 200


def test_a_metric_or_case_that_the_baseline_lacks_is_named(project: Project) -> None:
    assert project.evalkit("baseline", "echo.yaml", "--trials", "3").code == 0
    text = (project.folder / "echo.yaml").read_text()
    project.write(
        "echo.yaml",
        text.replace("[exact_match]", "[exact_match, {contains: {all: true}}]")
        + "  - {id: four, input: four, expected: FOUR}\n"
        + "gate: [{metric: contains, max_drop: 0.02}]\n",
    )
    done = project.evalkit("run", "echo.yaml", "--format", "json")
    report = done.json
    assert "contains: rescored on the baseline's stored outputs" in " ".join(report["notes"])
    [check] = report["checks"]
    assert (check["baseline"], check["candidate"], check["cases"]) == (1, 1, 3)
    assert "four" in " ".join(report["notes"])
    origins = {case["case_id"]: case["origin"] for case in report["comparison"]["cases"]}
    assert origins["four"] == "added"


def test_a_baseline_edited_by_hand_needs_approval(project: Project) -> None:
    assert project.evalkit("baseline", "echo.yaml", "--trials", "3").code == 0
    path = project.folder / "baselines" / "echo.jsonl"
    path.write_text(path.read_text().replace('"value":1.0', '"value":0.0', 1))
    done = project.evalkit("run", "echo.yaml")
    assert done.code == 4
    assert "edited" in done.err


def test_a_missing_baseline_is_not_green(project: Project) -> None:
    project.write(
        "echo.yaml",
        (project.folder / "echo.yaml").read_text()
        + "gate: [{metric: exact_match, max_drop: 0.02}]\n",
    )
    done = project.evalkit("run", "echo.yaml")
    assert done.code == 3
    assert "evalkit baseline echo.yaml" in done.out
    allowed = project.evalkit("run", "echo.yaml", "--allow-missing-baseline")
    assert allowed.code == 0
    assert "NO BASELINE" in allowed.out


def test_a_crashed_agent_is_never_a_pass(project: Project, tmp_path: Path) -> None:
    project.write("agent.py", "import os\ndef answer(text):\n    os._exit(0)\n")
    done = project.evalkit("run", "echo.yaml")
    assert done.code == 3


@pytest.mark.parametrize(
    "limit", ["max_drop: 2", "min: 90", "max: 1.5", "max_drop: 0.02, margin: 5"]
)
def test_a_limit_in_percent_on_a_share_is_refused(project: Project, limit: str) -> None:
    project.write(
        "set.yaml",
        HEAD
        + f"gate: [{{metric: exact_match, {limit}}}]\ncases:\n- {{id: a, input: x, expected: X}}\n",
    )
    for command in (["validate"], ["run"]):
        done = project.evalkit(*command, "set.yaml")
        assert done.code == 2
        assert "set.yaml:3" in done.err
        assert "share in 0..1" in done.err


def test_a_metric_that_always_fails_does_not_hide_the_fall_of_another(project: Project) -> None:
    text = (
        (project.folder / "echo.yaml")
        .read_text()
        .replace("[exact_match]", "[{contains: {all: [please]}}, exact_match]")
    )
    project.write("echo.yaml", text + "gate: [{max_regressed: 0}]\n")
    assert project.evalkit("baseline", "echo.yaml", "--trials", "3").code == 0
    assert project.evalkit("run", "echo.yaml").code == 0
    project.write(
        "agent.py", "def answer(text):\n    return '?' if text == 'two' else text.upper()\n"
    )
    done = project.evalkit("run", "echo.yaml")
    assert done.code == 1, done.out
    assert "two (exact_match 3/3 -> 0/1)" in " ".join(done.out.split())


@pytest.mark.parametrize(
    "options",
    [
        ["-k", ""],
        ["--shard", ""],
        ["--tag", ""],
        ["--case", ""],
        ["--agent-version", ""],
        ["--baseline", ""],
        ["--run-id", ""],
        ["--junit", ""],
        ["--retry-errors"],
        ["--dry-run", "--resume"],
    ],
    ids=" ".join,
)
def test_an_option_that_says_nothing_does_not_run_everything(
    project: Project, options: list[str]
) -> None:
    done = project.evalkit("run", "echo.yaml", *options)
    assert done.code in (2, 5), done
    assert done.err
    assert not project.runs()


@pytest.mark.parametrize("command", [["validate", "set.yaml"], ["run", "set.yaml", "--dry-run"]])
def test_an_agent_that_cannot_be_loaded_is_not_called_sound(
    project: Project, command: list[str]
) -> None:
    project.write(
        "set.yaml",
        "agent: {python: ./agent.py:anwser}\ncases:\n- {id: a, input: x, expected: X}\n",
    )
    done = project.evalkit(*command)
    assert done.code == 2
    assert "did you mean 'answer'" in done.err.lower()


def test_a_report_that_cannot_be_written_is_told_before_anything_is_spent(
    project: Project,
) -> None:
    done = project.evalkit("run", "echo.yaml", "--junit", str(project.folder))
    assert done.code == 2
    assert "is a folder" in done.err
    assert not project.runs()
