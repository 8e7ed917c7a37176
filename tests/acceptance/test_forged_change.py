"""A change cannot get around the gate of its base by moving, renaming, splitting, or deleting a set."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Done, Project

AGENT = """
    def answer(text):
        return text.upper()
"""

HEAD = "evalset: {name}\nagent: {{python: ./agent.py:answer}}\n"
STRICT = (
    "gate: [{metric: exact_match, min: 0.9, test: point}, {metric: exact_match, max_drop: 0.02}]\n"
)
LOOSE = "gate: [{metric: exact_match, min: 0.1, test: point}]\n"

WORKFLOW = ".github/workflows/ci.yml"

QUESTIONS = [f"where is order number {number}" for number in range(6)]
OTHERS = [f"please cancel ticket {number}" for number in range(4)]


def cases_of(questions: list[str], prefix: str = "c") -> str:
    lines = [
        f"- {{id: {prefix}{number}, input: {question}, expected: {question.upper()}}}\n"
        for number, question in enumerate(questions)
    ]
    return f"cases:\n{''.join(lines)}"


def set_of(name: str, gate: str, questions: list[str], prefix: str = "c") -> str:
    return f"{HEAD.format(name=name)}{gate}{cases_of(questions, prefix)}"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose one commit has two sets and the baseline of one of them."""
    made = Project(tmp_path_factory.mktemp("template"))
    made.write("agent.py", AGENT)
    made.write(
        "sets/orders.yaml", set_of("orders", STRICT, QUESTIONS).replace("./agent", "../agent")
    )
    made.write("sets/tickets.yaml", set_of("tickets", LOOSE, OTHERS).replace("./agent", "../agent"))
    made.write("data.yml", "cases: [a, b]\n")
    made.write(
        WORKFLOW, "run: evalkit run ./sets/orders.yaml\nand: evalkit run sets/tickets.yaml\n"
    )
    made.write(".gitignore", ".evalkit/\n__pycache__/\n")
    done = made.evalkit("baseline", "sets/orders.yaml", "--trials", "2")
    assert done.code == 0, done
    shutil.rmtree(made.folder / ".evalkit")
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "base"]):
        run_git(made, *arguments)
    return made.folder


def run_git(project: Project, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments],
        cwd=project.folder,
        env=project.environ(),
        capture_output=True,
        check=True,
    )


@pytest.fixture
def change(template: Path, tmp_path: Path) -> Project:
    """A branch off that commit, in which nothing is edited yet."""
    shutil.copytree(template, tmp_path / "repository")
    made = Project(tmp_path / "repository")
    run_git(made, "checkout", "-q", "-b", "change")
    return made


def write_set(change: Project, place: str, gate: str, questions: list[str], prefix: str) -> None:
    text = set_of(Path(place).stem, gate, questions, prefix)
    change.write(place, text.replace("./agent", "../agent"))


def run(change: Project, place: str, *options: str) -> Done:
    run_git(change, "add", "--all")
    run_git(change, "commit", "-qm", "change")
    return change.evalkit("run", place, "--base", "main", "--format", "json", *options)


def loosening(done: Done) -> list[str]:
    return [edit["sentence"] for edit in done.json["gate"]["changes"] if edit["loosened"]]


def delete(change: Project, place: str) -> None:
    (change.folder / place).unlink()
    shutil.rmtree(change.folder / "sets" / "baselines", ignore_errors=True)


def test_a_set_under_another_name_with_other_ids_is_the_same_set(change: Project) -> None:
    delete(change, "sets/orders.yaml")
    shouted = [f"{question.title()}?" for question in QUESTIONS]
    text = set_of("quick", LOOSE, QUESTIONS, "q")
    for question, other in zip(QUESTIONS, shouted, strict=True):
        text = text.replace(f"input: {question},", f"input: {other!r},")
    change.write("checks/quick.yaml", text.replace("./agent", "../agent"))
    done = run(change, "checks/quick.yaml")
    assert done.code == 4, done
    edits = " ".join(loosening(done))
    assert "threshold exact_match: min 0.9" in edits
    assert "the baseline was removed" in edits


def test_a_set_in_parts_is_held_to_the_whole(change: Project) -> None:
    delete(change, "sets/orders.yaml")
    for part in range(3):
        questions = QUESTIONS[2 * part : 2 * part + 2]
        write_set(change, f"sets/part{part}.yaml", LOOSE, questions, f"p{part}")
    done = run(change, "sets/part1.yaml")
    assert done.code == 4, done
    assert any("threshold exact_match: min 0.9" in edit for edit in loosening(done))


def test_a_set_that_moves_into_another_keeps_its_thresholds(change: Project) -> None:
    delete(change, "sets/orders.yaml")
    write_set(change, "sets/tickets.yaml", LOOSE, [*OTHERS, *QUESTIONS], "c")
    done = run(change, "sets/tickets.yaml")
    assert done.code == 4, done
    prefix = "set sets/orders.yaml, now in this one: "
    assert any(edit.startswith(f"{prefix}threshold exact_match") for edit in loosening(done))


def test_an_easy_set_at_the_old_place_hides_nothing(change: Project) -> None:
    write_set(change, "sets/strict.yaml", LOOSE, QUESTIONS, "c")
    write_set(change, "sets/orders.yaml", STRICT, ["hello there"], "c")
    done = run(change, "sets/strict.yaml")
    assert done.code == 4, done
    assert any("threshold exact_match: min 0.9" in edit for edit in loosening(done))


@pytest.mark.parametrize("left", [0, 2], ids=["deleted", "emptied"])
def test_a_set_that_vanishes_is_named_by_every_other(change: Project, left: int) -> None:
    if left:
        write_set(change, "sets/orders.yaml", STRICT, QUESTIONS[:left], "c")
    else:
        delete(change, "sets/orders.yaml")
    done = run(change, "sets/tickets.yaml")
    assert done.code == 4, done
    gone = "4 of 6 cases are gone" if left else "deleted with its 6 cases"
    assert loosening(done) == [f"set sets/orders.yaml: {gone}"]
    shown = change.evalkit("run", "sets/tickets.yaml", "--base", "main")
    assert f"LOOSENS set sets/orders.yaml: {gone}" in " ".join(shown.out.split())
    accepted = run_again(change, "sets/tickets.yaml", "--accept-gate-changes")
    assert accepted.code == 0, accepted


def run_again(change: Project, place: str, *options: str) -> Done:
    return change.evalkit("run", place, "--base", "main", "--format", "json", *options)


def test_a_set_that_the_workflow_drops_is_named(change: Project) -> None:
    write_set(change, "sets/copy.yaml", LOOSE, QUESTIONS, "c")
    change.write(
        WORKFLOW, "run: |\n  evalkit run sets/copy.yaml\n  evalkit run sets/tickets.yaml\n"
    )
    done = run(change, "sets/copy.yaml")
    assert done.code == 4, done
    assert loosening(done) == [
        f"set sets/orders.yaml: {WORKFLOW} ran it, and no CI file names it now"
    ]
    [edit] = done.json["gate"]["changes"]
    assert (edit["where"]["path"], edit["where"]["line"]) == (WORKFLOW, 1)


@pytest.mark.parametrize("place", ["sets/orders.yml", "sets/old/orders.yaml", "old/orders.yaml"])
def test_a_set_that_leaves_the_pattern_of_the_workflow_is_named(
    change: Project, place: str
) -> None:
    change.write(WORKFLOW, "run: evalkit run sets/*.yaml\n")
    run_git(change, "commit", "-qam", "by a pattern")
    run_git(change, "branch", "-f", "main")
    (change.folder / place).parent.mkdir(exist_ok=True)
    run_git(change, "mv", "sets/orders.yaml", place)
    done = run(change, "sets/tickets.yaml")
    assert done.code == 4, done
    assert loosening(done) == [
        f"set sets/orders.yaml: {WORKFLOW} ran it, and no CI file names it now"
    ]


@pytest.mark.parametrize(
    "text",
    ["run: evalkit run --trials 1 sets/\n", "with:\n  sets: |\n    sets\n  args: --trials 1\n"],
    ids=["command", "action"],
)
def test_a_folder_names_its_sets_until_they_leave_it(change: Project, text: str) -> None:
    change.write(WORKFLOW, text)
    run_git(change, "commit", "-qam", "by a folder")
    run_git(change, "branch", "-f", "main")
    (change.folder / "sets/deep").mkdir()
    run_git(change, "mv", "sets/orders.yaml", "sets/deep/orders.yaml")
    assert run(change, "sets/tickets.yaml").code == 0
    (change.folder / "other").mkdir()
    run_git(change, "mv", "sets/deep/orders.yaml", "other/orders.yaml")
    dropped = [f"set sets/orders.yaml: {WORKFLOW} ran it, and no CI file names it now"]
    assert loosening(run_again(change, "sets/tickets.yaml")) == dropped
    run_git(change, "mv", "other/orders.yaml", "sets/orders.yaml")
    change.write(WORKFLOW, "run: cd sets && evalkit run tickets.yaml\n")
    assert loosening(run_again(change, "sets/tickets.yaml")) == dropped


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("package.json", '{"scripts": {"evals": "evalkit run sets/orders.yaml"}}'),
        ("Taskfile.yml", "cmds: [evalkit run sets/orders.yaml]"),
        (".forgejo/workflows/ci.yml", "run: evalkit run sets/orders.yaml"),
        ("tools/evals", "evalkit run sets/orders.yaml"),
    ],
)
def test_a_set_that_a_task_runner_drops_is_named(change: Project, name: str, text: str) -> None:
    change.write(WORKFLOW, "run: make evals\n")
    change.write(name, text)
    run_git(change, "add", "--all")
    run_git(change, "commit", "-qm", "by a task")
    run_git(change, "branch", "-f", "main")
    change.write(name, text.replace("orders", "tickets"))
    done = run(change, "sets/tickets.yaml")
    assert (done.code, loosening(done)) == (
        4,
        [f"set sets/orders.yaml: {name} ran it, and no CI file names it now"],
    ), done


@pytest.mark.parametrize("head", ["", "\ufeff"])
def test_a_set_in_flow_style_or_with_a_byte_order_mark_is_missed_too(
    change: Project, head: str
) -> None:
    entry = '{"id": "a", "input": "what is it now", "expected": "?"}'
    flow = f'{{"agent": {{"python": "../agent.py:answer"}}, "cases": [{entry}]}}'
    block = f"{head}cases: [{entry}]\nagent: {{python: ../agent.py:answer}}\n"
    change.write("sets/more.yaml", block if head else flow)
    run_git(change, "add", "--all")
    run_git(change, "commit", "-qm", "one more")
    run_git(change, "branch", "-f", "main")
    (change.folder / "sets/more.yaml").unlink()
    done = run(change, "sets/tickets.yaml")
    assert (done.code, loosening(done)) == (
        4,
        ["set sets/more.yaml: deleted with its 1 case"],
    ), done


HONEST: dict[str, Callable[[Project], str]] = {}


def honest(edit: Callable[[Project], str]) -> Callable[[Project], str]:
    """Register an edit that needs no approval; it returns the set to run."""
    HONEST[edit.__name__.replace("_", " ")] = edit
    return edit


@honest
def move_a_set(change: Project) -> str:
    run_git(change, "mv", "sets/orders.yaml", "sets/purchases.yaml")
    return "sets/purchases.yaml"


@honest
def move_another_set(change: Project) -> str:
    run_git(change, "mv", "sets/orders.yaml", "sets/purchases.yaml")
    return "sets/tickets.yaml"


@honest
def add_cases(change: Project) -> str:
    write_set(change, "sets/orders.yaml", STRICT, [*QUESTIONS, "what is new"], "c")
    return "sets/orders.yaml"


@honest
def mend_a_word_in_another_set(change: Project) -> str:
    write_set(change, "sets/orders.yaml", STRICT, ["where are my orders", *QUESTIONS[1:]], "c")
    return "sets/tickets.yaml"


@honest
def add_a_set(change: Project) -> str:
    write_set(change, "sets/new.yaml", LOOSE, ["what is new", "and what else"], "n")
    return "sets/new.yaml"


@honest
def delete_yaml_that_is_no_set(change: Project) -> str:
    (change.folder / "data.yml").unlink()
    return "sets/tickets.yaml"


FEW_SHOT = "You are helpful.\n\nUser: Where is order number 3?\nYou: WHERE IS ORDER NUMBER 3\n"


@honest
def run_all_sets_by_a_pattern(change: Project) -> str:
    change.write(WORKFLOW, "run: for set in sets/*.yaml; do evalkit run $set; done\n")
    return "sets/tickets.yaml"


@honest
def write_a_prompt(change: Project) -> str:
    change.write(
        "prompts/system.md", "You help people who ask where their order is. Answer yes or no.\n"
    )
    return "sets/orders.yaml"


@honest
def use_a_case_in_a_test(change: Project) -> str:
    change.write("tests/test_agent.py", f"EXAMPLES = {FEW_SHOT!r}\n")
    return "sets/orders.yaml"


@pytest.mark.parametrize("edit", HONEST.values(), ids=HONEST.keys())
def test_honest_edits_need_no_approval(change: Project, edit: Callable[[Project], str]) -> None:
    done = run(change, edit(change))
    assert done.code == 0, (done.json["gate"], done)


def test_other_ids_are_one_line(change: Project) -> None:
    write_set(change, "sets/orders.yaml", STRICT, QUESTIONS, "other")
    done = run(change, "sets/orders.yaml")
    assert done.code == 4, done
    [edit] = loosening(done)
    assert edit.startswith("6 cases renamed: c0 -> other0, c1 -> other1")


def test_labels_in_a_prompt_wait_for_approval_in_every_report(change: Project) -> None:
    change.write("prompts/system.md", FEW_SHOT)
    options = ("--junit", "r.xml", "--markdown", "r.md", "--html", "r.html", "--ctrf", "r.json")
    done = run(change, "sets/orders.yaml", *options)
    assert done.code == 4, done
    sentence = (
        "prompts/system.md contains what the agent is tested with: "
        "c3 (input and expected answer, line 3)"
    )
    [edit] = done.json["gate"]["changes"]
    assert (edit["kind"], edit["sentence"], edit["case_ids"]) == ("leak", sentence, ["c3"])
    assert (edit["where"]["path"], edit["where"]["line"]) == ("prompts/system.md", 3)
    for name in ("r.xml", "r.md", "r.html", "r.json"):
        assert "prompts/system.md:3" in (change.folder / name).read_text(), name
    # Its own reports, which show every label, are no leak when the same job runs it again.
    again = change.evalkit("run", "sets/orders.yaml", "--base", "main")
    assert again.code == 4
    text = " ".join(again.out.split())
    assert f"LOOSENS {sentence} (prompts/system.md:3)" in text
    assert text.count("LOOSENS") == 1
    accepted = run_again(change, "sets/orders.yaml", "--accept-gate-changes")
    assert accepted.code == 0, accepted


def test_new_code_of_the_gate_and_a_folder_called_baselines_hide_no_labels(
    change: Project,
) -> None:
    labels = FEW_SHOT.encode("unicode_escape").decode()
    change.write(
        "sets/extra.py",
        f"""
        from evalkit import Score
        EXAMPLES = "{labels}"

        def extra(case, output):
            return Score(value=1.0, passed=True)
        """,
    )
    change.write("prompts/baselines/few.md", FEW_SHOT)
    text = (change.folder / "sets/orders.yaml").read_text()
    more = "metrics: [exact_match, ./extra.py:extra]\ncases:"
    change.write("sets/orders.yaml", text.replace("cases:", more))
    done = run(change, "sets/orders.yaml")
    found = "contains what the agent is tested with: c3 (input and expected answer, line"
    assert done.code == 4, done
    assert [sentence.partition(" line ")[0] for sentence in loosening(done)] == [
        f"{name} {found}".removesuffix(" line")
        for name in ("prompts/baselines/few.md", "sets/extra.py")
    ]


def test_labels_in_the_working_tree_count_before_they_are_committed(change: Project) -> None:
    change.write("prompts/system.md", FEW_SHOT)
    assert run_again(change, "sets/orders.yaml").code == 4
    assert run_again(change, "sets/tickets.yaml").code == 0
