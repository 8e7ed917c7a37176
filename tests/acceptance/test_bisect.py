"""`evalkit bisect`: which commit made the agent worse, in real repositories, as the user types it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import jsonschema
import pytest

import evalkit
from tests.conftest import Done, Project

Git = Callable[..., str]

SCHEMA = json.loads((Path(evalkit.__file__).parent / "schemas" / "report.schema.json").read_text())

AGENT = """
    import os
    import random
    import time

    import version

    def answer(text, context):
        with open(os.environ["CALLS"], "a") as calls:
            calls.write(f"{version.NAME} {context['case_id']} {context['trial']}\\n")
        time.sleep(float(os.environ["SLEEP"]))
        draw = random.Random(f"{version.NAME} {context['case_id']} {context['trial']}").random()
        return {"output": text.upper() if draw < version.RATE else text, "cost_usd": 0.01}
"""

SET = """
    evalset: echo
    agent: {python: ./agent.py:answer, env: [CALLS, SLEEP]}
    concurrency: 1
    gate:
      - {metric: exact_match, max_drop: 0.02}
    cases:
"""

CASES = 12


@pytest.fixture
def repository(project: Project, git: Git) -> Project:
    """A repository with an agent that is always right, at the tag c0."""
    cases = "".join(f"      - {{id: a{n}, input: x{n}, expected: X{n}}}\n" for n in range(CASES))
    project.write("echo.yaml", SET + cases)
    project.write("agent.py", AGENT)
    project.write(".gitignore", ".evalkit/\n__pycache__/\ncalls.txt\n")
    git("init", "-q", "-b", "main")
    commit(project, git, "c0")
    return project


def commit(project: Project, git: Git, name: str, rate: float = 1.0, *, broken: str = "") -> None:
    """Commit a version of the agent that is right at a rate, and tag it."""
    project.write("version.py", f"{broken}\nNAME = {name!r}\nRATE = {rate}\n")
    git("add", ".")
    git("commit", "-qm", f"{name}: set the rate to {rate}")
    git("tag", name)


def commit_all(project: Project, git: Git, rates: Sequence[float]) -> None:
    for number, rate in enumerate(rates, start=1):
        commit(project, git, f"c{number}", rate)


def environment(project: Project) -> dict[str, str]:
    return {"CALLS": str(project.folder / "calls.txt"), "SLEEP": "0"}


def bisect(project: Project, *arguments: str, **env: str) -> Done:
    return project.evalkit("bisect", *arguments, env={**environment(project), **env})


def count_calls(project: Project) -> Counter[str]:
    """The calls of each version of the agent."""
    lines = (project.folder / "calls.txt").read_text().splitlines()
    return Counter(line.split()[0] for line in lines)


def test_it_finds_the_commit_with_few_calls_and_leaves_the_tree_alone(
    repository: Project, git: Git
) -> None:
    commit_all(repository, git, [1, 1, 1, 1, 0.3, 0.3, 0.3, 0.3])
    # A commit that edits only the set does not change the agent.
    with (repository.folder / "echo.yaml").open("a") as file:
        file.write("# checked\n")
    git("commit", "-qam", "comment")
    # A stored run of BAD is used again. A dirty tree is neither tested nor touched, but its labels count.
    repository.evalkit("run", "echo.yaml", "--allow-missing-baseline", env=environment(repository))
    latest = repository.evalkit("show", "latest", "--format", "json").json["run"]["id"]
    repository.write("version.py", "this is no Python\n")
    echo = repository.folder / "echo.yaml"
    echo.write_text(echo.read_text().replace("expected: X0", "expected: Y0"))
    before = (git("status", "--porcelain"), git("rev-parse", "HEAD"), git("diff"))
    done = bisect(repository, "c0", "main", "echo.yaml", "--format", "json")
    assert done.code == 0, done
    assert before == (git("status", "--porcelain"), git("rev-parse", "HEAD"), git("diff"))
    assert git("worktree", "list").count("\n") == 1
    found = done.json
    jsonschema.validate(found, SCHEMA)
    assert found["schema"] == "evalkit.bisect/v1"
    assert found["found"]["sha"] == git("rev-parse", "c5").strip()
    assert found["found"]["subject"] == "c5: set the rate to 0.3"
    assert found["found"]["author"] == "T <t@example.org>"
    assert found["last_good"]["sha"] == git("rev-parse", "c4").strip()
    assert found["changed_files"] == ["version.py"]
    assert (found["commits"], found["left_out"]) == (9, 1)
    # c0 answers X0 as before, which is wrong by the label of this checkout.
    assert found["change"]["before"] == pytest.approx(1 - 1 / CASES)
    broken = {change["case_id"] for change in found["broken"]}
    assert broken
    assert "a0" not in broken
    # 4 trials at each end, one of which at BAD was stored, and one of every commit between.
    calls = count_calls(repository)
    assert calls.pop("c0") == 4 * CASES
    assert calls.pop("c8") == 4 * CASES
    assert set(calls) == {"c4", "c5", "c6"}
    assert sum(calls.values()) < 3 * 2 * CASES
    assert found["agent_calls"] == 7 * CASES + sum(calls.values())
    assert found["reused_answers"] == CASES
    assert 0 < found["errors_at_most"] < 0.05
    assert repository.evalkit("show", "latest", "--format", "json").json["run"]["id"] == latest
    tested = {row["commit"]["subject"][:2]: row["verdict"] for row in found["tested"]}
    assert (tested["c0"], tested["c4"], tested["c5"]) == ("good", "good", "bad")
    assert "bisecting 8 commits (1 other commit left out)" in done.err
    assert "about 3 steps" in done.err

    # The same command again pays for nothing, and says the same.
    again = bisect(repository, "c0", "main", "echo.yaml")
    assert again.code == 0
    assert f"FOUND {git('rev-parse', 'c5')[:10]} (c5: set the rate to 0.3)" in again.out
    assert "0 agent calls" in again.out
    assert f"git show {git('rev-parse', 'c5')[:10]}" in again.out
    assert "if nothing had changed" in again.out
    assert sum(count_calls(repository).values()) == 8 * CASES + sum(calls.values())


def test_a_noisy_agent_gets_more_trials_where_one_decides_nothing(
    repository: Project, git: Git
) -> None:
    commit_all(repository, git, [0.9, 0.9, 0.9, 0.45, 0.45, 0.45])
    done = bisect(repository, "c1", "c6", "echo.yaml", "--trials", "8", "--format", "json")
    assert done.code == 0, done
    assert done.json["found"]["subject"].startswith("c4")
    trials = [row["trials"] for row in done.json["tested"]]
    assert trials[0] == trials[-1] == 8
    assert max(trials[1:-1]) > 1
    for row in done.json["tested"][1:-1]:
        test = row["to_bad" if row["verdict"] == "good" else "from_good"]
        assert test["is_worse"]
        assert test["p_value"] <= test["level"] < 0.05


def test_commits_that_cannot_be_called_are_skipped(repository: Project, git: Git) -> None:
    commit(repository, git, "c1")
    commit(repository, git, "c2", broken="import not_there")
    commit(repository, git, "c3", 0.2, broken="import not_there")
    commit(repository, git, "c4", 0.2)
    commit(repository, git, "c5", 0.2)
    done = bisect(repository, "c0", "c5", "echo.yaml", "--format", "json")
    assert done.code == 3, done
    result = done.json
    jsonschema.validate(result, SCHEMA)
    assert (result["outcome"], result["found"]) == ("between", None)
    assert [each["subject"][:2] for each in result["suspects"]] == ["c2", "c3", "c4"]
    reasons = [row["reason"] for row in result["tested"] if row["verdict"] == "skipped"]
    assert len(reasons) == 2
    assert all("not_there" in reason and "evalkit-base" not in reason for reason in reasons)
    shown = bisect(repository, "c0", "c5", "echo.yaml").out
    assert "BETWEEN" in shown
    assert "one of 3 commits" in shown
    assert "not_there" in shown


def test_a_merge_is_one_step_and_its_branch_can_be_searched(repository: Project, git: Git) -> None:
    commit(repository, git, "c1")
    git("checkout", "-q", "-b", "topic")
    for name, rate in (("t1", 1.0), ("t2", 0.2), ("t3", 0.2)):
        commit(repository, git, name, rate)
    git("checkout", "-q", "main")
    repository.write("notes.txt", "of main\n")
    git("add", ".")
    git("commit", "-qm", "c2")
    git("merge", "-q", "--no-ff", "-m", "Merge topic", "topic")
    git("tag", "merged")
    commit(repository, git, "c3", 0.2)
    done = bisect(repository, "c0", "main", "echo.yaml", "--format", "json")
    assert done.code == 0, done
    assert done.json["found"]["subject"] == "Merge topic"
    assert len(done.json["found"]["parents"]) == 2
    assert all(not row["commit"]["subject"].startswith("t") for row in done.json["tested"])
    words = done.json["hints"]["search the merged branch"].split()
    inside = repository.evalkit(*words[1:], "--format", "json", env=environment(repository))
    assert inside.code == 0, inside
    assert inside.json["found"]["subject"].startswith("t2")


def test_further_changes_are_named(repository: Project, git: Git) -> None:
    commit_all(repository, git, [1, 0.6, 0.6, 0.0, 0.0])
    done = bisect(repository, "c0", "c5", "echo.yaml", "--format", "json")
    assert done.code == 0, done
    [sentence] = done.json["other_changes"]
    assert "is also worse than" in sentence
    # Whichever of the two the search ends at, the other one is in the sentence.
    assert done.json["found"]["subject"][:2] in ("c2", "c4")


def test_a_killed_search_continues_and_pays_for_nothing_twice(
    repository: Project, git: Git
) -> None:
    commit_all(repository, git, [1, 1, 0.2, 0.2])
    # What a killed process leaves of a commit's files belongs to the test.
    temporary = repository.folder.parent / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        repository.command("bisect", "c0", "c4", "echo.yaml"),
        cwd=repository.folder,
        env=repository.environ(
            {**environment(repository), "SLEEP": "0.01", "TMPDIR": str(temporary)}
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    calls = repository.folder / "calls.txt"
    deadline = time.monotonic() + 60
    while not calls.exists() or calls.read_text().count("\n") < 6 * CASES:
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended too early"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = bisect(repository, "c0", "c4", "echo.yaml", "--format", "json")
    assert done.code == 0, done
    assert done.json["found"]["subject"].startswith("c3")
    counts = Counter(calls.read_text().splitlines())
    # Only the call that was under way when the process was killed may run again.
    assert sum(counts.values()) - len(counts) <= 1
    assert done.json["reused_answers"] >= 6 * CASES - 2


def test_an_interrupted_search_says_how_to_continue(repository: Project, git: Git) -> None:
    commit_all(repository, git, [1, 1, 0.2, 0.2])
    process = subprocess.Popen(
        repository.command("bisect", "c0", "c4", "echo.yaml", "--trials", "3"),
        cwd=repository.folder,
        env=repository.environ({**environment(repository), "SLEEP": "0.05"}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    calls = repository.folder / "calls.txt"
    deadline = time.monotonic() + 60
    while not calls.exists() or calls.read_text().count("\n") < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended too early"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Continue with: evalkit bisect c0 c4 echo.yaml --trials 3" in err
    assert "Traceback" not in err


def test_only_commits_that_can_have_changed_the_agent_are_tested(
    repository: Project, git: Git
) -> None:
    cases = "".join(f"a{n},x{n},X{n}\n" for n in range(CASES))
    repository.write("data/cases.csv", "id,input,expected\n" + cases)
    repository.write("echo.yaml", SET.replace("cases:", "cases: data/cases.csv"))
    commit(repository, git, "c1")
    repository.write("data/cases.csv", "id,input,expected\n" + cases.replace("a0", "b0"))
    git("commit", "-qam", "rename a case")
    repository.write("lib/helper.py", "")
    commit(repository, git, "c2")
    commit(repository, git, "c3", 0.2)
    repository.write("notes/read.md", "")
    git("add", ".")
    git("commit", "-qm", "c4")
    whole = bisect(repository, "c1", "main", "echo.yaml", "--format", "json")
    assert whole.json["found"]["subject"].startswith("c3"), whole
    assert (whole.json["commits"], whole.json["left_out"]) == (4, 1)
    assert whole.json["caution"] == ""
    # The cause is outside of the path, which the result says; everything is stored by now.
    part = bisect(repository, "c1", "main", "echo.yaml", "--path", "lib", "--format", "json")
    assert part.code == 0, part
    assert part.json["found"]["subject"].startswith("c2")
    assert "2 commits next to it, outside of --path" in part.json["caution"]
    assert part.json["agent_calls"] == 0
    every = bisect(repository, "c1", "main", "echo.yaml", "--all", "--format", "json")
    assert every.json["left_out"] == 0
    assert every.json["found"] == whole.json["found"]


def test_a_cost_limit_ends_the_search_between_two_commits(repository: Project, git: Git) -> None:
    commit_all(repository, git, [1, 1, 1, 0.2, 0.2])
    # Both ends cost 0.96, and the first commit between them 0.12.
    done = bisect(repository, "c0", "c5", "echo.yaml", "--max-cost-usd", "1.1", "--format", "json")
    assert done.code == 3, done
    assert done.json["outcome"] == "between"
    assert done.json["stopped"]
    assert done.json["hints"]["continue"] == "evalkit bisect c0 c5 echo.yaml --max-cost-usd 1.1"
    assert done.json["cost_usd"] <= 1.1 + 1e-9
    # Stored trials cost nothing, so the same limit is enough for the rest.
    again = bisect(repository, "c0", "c5", "echo.yaml", "--max-cost-usd", "1.1")
    assert again.code == 0, again
    assert "c4: set the rate" in again.out


def test_what_cannot_be_searched_is_refused(repository: Project, git: Git) -> None:
    commit_all(repository, git, [1, 0.2, 0.8])
    refused = {
        ("c3", "c0"): "BAD is the ancestor",
        ("c0", "c0"): "the same commit",
        ("nope", "c1"): "there is no such commit",
        ("c0", "c1"): "GOOD is not better than BAD: exact_match 100.0%",
        ("c2", "c3"): "BAD is better than GOOD",
    }
    for (good, bad), message in refused.items():
        done = bisect(repository, good, bad, "echo.yaml")
        assert done.code == 2, done
        assert message in done.err
    unknown = bisect(repository, "c0", "c2", "echo.yaml", "--metric", "nope")
    assert unknown.code == 2
    assert "no such metric" in unknown.err
    elsewhere = bisect(repository, "c0", "c2", "echo.yaml", "--path", "prompts")
    assert elsewhere.code == 2
    assert "--all" in elsewhere.err


def test_a_drop_that_is_not_proven_is_left_open(repository: Project, git: Git) -> None:
    commit_all(repository, git, [0.6, 0.5])
    done = bisect(repository, "c1", "c2", "echo.yaml", "--trials", "2")
    assert done.code in (2, 3), done
    assert done.code == 3, done.err
    assert "it is open whether BAD is worse" in done.err
    assert "--trials 4" in done.err
