"""`evalkit review` as a person uses it: in a real terminal, stopped and gone on with, and in a spreadsheet."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import select
import shutil
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evalkit.core.labels import HumanLabel
from evalkit.core.rubric import Rubric
from evalkit.evalset.labels import load_labels
from evalkit.evalset.rubrics import load_rubric
from tests.conftest import Project

RUBRIC = """
    rubric: helpful
    needs: [reference]
    pass_at: 0.75
    criteria:
      - name: agrees
        question: Does it say what the reference says?
        levels:
          - {name: fully, value: 1, description: All of it is there.}
          - {name: partly, value: 0.5}
          - {name: not at all, value: 0}
      - name: short
        question: Is it short?
"""
SET = """
    evalset: shoes
    agent: {python: ./agent.py:answer}
    judge: lexical
    metrics: [{rubric: ../rubrics/helpful.yaml}]
    gate: [{metric: helpful, min: 0.01}]
    cases:
      - {id: one, input: How long?, expected: 30 days}
      - {id: two, input: Formula?, expected: 30 days}
      - {id: three, input: Nothing?, expected: 30 days}
"""
AGENT = r"""
    def answer(text):
        return {
            "How long?": "30 days",
            "Formula?": "=1+1\n\n  and \x1b[31mmore",
            "Nothing?": "",
        }[text]
"""
LABELS = "sets/labels/shoes.yaml"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one judged run of three answers, made once."""
    project = Project(tmp_path_factory.mktemp("made"))
    project.write("rubrics/helpful.yaml", RUBRIC)
    project.write("sets/shoes.yaml", SET)
    project.write("sets/agent.py", AGENT)
    assert project.evalkit("run", "sets/shoes.yaml").code in (0, 1)
    return project.folder


@pytest.fixture
def judged(made: Path, tmp_path: Path) -> Project:
    """A copy of the project with the judged run."""
    return Project(shutil.copytree(made, tmp_path / "project"))


def rubric_of(project: Project) -> Rubric:
    rubric, problems = load_rubric(project.folder / "rubrics/helpful.yaml")
    assert rubric, problems
    return rubric


def labels_of(project: Project, name: str = LABELS) -> tuple[HumanLabel, ...]:
    labels, problems = load_labels(project.folder / name, [rubric_of(project)])
    assert not problems
    return labels


class Desk:
    """A terminal somebody sits at, and evalkit running in it."""

    def __init__(self, process: subprocess.Popen[bytes], keys: int, inside: int) -> None:
        self.process = process
        self.keys = keys
        self.inside = inside
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def look(self) -> bool:
        """See what has been shown meanwhile, if anything was."""
        if not select.select([self.keys], [], [], 0.1)[0]:
            return False
        # A read may end inside a character.
        self.seen += self._decoder.decode(os.read(self.keys, 65536))
        return True

    def wait_for(self, text: str) -> None:
        """Until the text is on the screen, since this was last asked."""
        deadline = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} never came; there was {self.seen!r}"
            self.look()
        self.seen = self.seen.split(text, 1)[1]

    def press(self, keys: str, until: str) -> None:
        os.write(self.keys, keys.encode())
        self.wait_for(until)

    def leave(self) -> int:
        """Until it ends; what it did to the terminal must be undone."""
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self.look()
        while self.look():
            pass
        return self.process.returncode


@contextmanager
def sit_down(
    project: Project, *arguments: str, env: dict[str, str] | None = None
) -> Iterator[Desk]:
    keys, inside = os.openpty()
    termios.tcsetwinsize(inside, (24, 80))
    before = termios.tcgetattr(inside)
    process = subprocess.Popen(
        project.command("review", *arguments),
        cwd=project.folder,
        env=project.environ(
            {"TERM": "xterm", "USER": "ada", "HOME": "/nonexistent", **(env or {})}
        ),
        stdin=inside,
        stdout=inside,
        stderr=inside,
    )
    try:
        yield Desk(process, keys, inside)
        assert termios.tcgetattr(inside) == before, "the terminal was not given back as it was"
    finally:
        process.kill()
        process.wait()
        os.close(keys)
        os.close(inside)


def test_a_session_is_stopped_and_continued(judged: Project) -> None:
    with sit_down(judged, "latest") as desk:
        desk.wait_for("1 of 3")
        desk.wait_for("Does it say")
        desk.press("2", until="Is it short?")
        # It is on disk before anything else is pressed.
        assert [(each.criterion, each.level) for each in labels_of(judged)] == [
            ("agrees", "partly")
        ]
        termios.tcsetwinsize(desk.inside, (24, 40))
        desk.process.send_signal(signal.SIGWINCH)
        desk.wait_for("Is it short?")
        desk.press("\x03", until="5 levels")
        assert desk.leave() == 130
        assert "evalkit review" in desk.seen
    first = labels_of(judged)
    assert [(each.rater, each.level) for each in first] == [("ada", "partly")]

    with sit_down(judged, "latest") as desk:
        desk.wait_for("1 of 3")
        desk.wait_for("Is it short?")
        assert "Does it say" not in desk.seen
        desk.press("1", until="Enter next")
        desk.press("v", until="Judge lexical")
        desk.press("n", until="Enter save")
        desk.press("well said é\r", until="well said é)")
        desk.press("\r", until="2 of 3")
        desk.press("3", until="Is it short?")
        desk.press("2", until="Enter next")
        desk.press("u", until="Is it short?")
        assert len(labels_of(judged)) == 3
        desk.press("2", until="Enter next")
        desk.press("\r", until="3 of 3")
        desk.press("1", until="Is it short?")
        desk.press("1", until="Enter next")
        desk.press("\r", until="End of the review")
        desk.press("\r", until="6 labels")
        assert desk.leave() == 0
        assert "evalkit calibrate rubrics/helpful.yaml sets/labels/shoes.yaml" in desk.seen
        assert "the run has 3" in " ".join(desk.seen.split())
    labels = labels_of(judged)
    assert len(labels) == 6
    assert set(first) <= set(labels)
    assert {each.case for each in labels} == {"one", "two", "three"}
    assert [each.note for each in labels if each.note] == ["well said é"]
    run_id = judged.runs()[0].name
    assert {each.drawn for each in labels} == {(run_id,)}

    with sit_down(judged, "latest") as desk:
        desk.wait_for("0 new levels")
        assert desk.leave() == 0
        assert "\x1b[?1049h" not in desk.seen


def test_a_kill_gives_the_terminal_back_and_keeps_what_was_answered(judged: Project) -> None:
    with sit_down(judged, "latest", env={"NO_COLOR": "1"}) as desk:
        desk.press("", until="Does it say")
        desk.press("1", until="Is it short?")
        assert not re.search(r"\x1b\[[0-9;]*m", desk.seen), "colour in spite of NO_COLOR"
        desk.process.send_signal(signal.SIGTERM)
        assert desk.leave() == 143
        assert "\x1b[?1049l" in desk.seen
    assert len(labels_of(judged)) == 1


def test_a_labels_file_that_is_broken_meanwhile_is_left_alone(judged: Project) -> None:
    with sit_down(judged, "latest") as desk:
        desk.wait_for("Does it say")
        desk.press("1", until="Is it short?")
        judged.write(LABELS, "labels: [oops\n")
        desk.press("1", until="shoes.yaml:")
        assert desk.leave() == 2
    assert (judged.folder / LABELS).read_text() == "labels: [oops\n"


def fill_in(path: Path, levels: dict[tuple[str, str], str]) -> None:
    """As a spreadsheet does it: every cell is written anew, with other line ends."""
    rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
    for row in rows:
        row["level"] = levels.get((row["case"], row["criterion"]), "")
        row["answer"] = row["answer"].replace("\n", "\r\n")
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(out.getvalue(), newline="")


def test_a_worksheet_goes_out_and_comes_back(judged: Project) -> None:
    sheet = judged.folder / "sheet.csv"
    done = judged.evalkit("review", "latest", "--rater", "Bo", "--csv-out", "sheet.csv")
    assert done.code == 0, done
    assert "6 levels to fill in" in done.out
    assert "evalkit review" in done.out
    assert "--csv-in sheet.csv" in done.out
    rows = list(csv.DictReader(io.StringIO(sheet.read_bytes().decode(), newline="")))
    assert {row["levels"] for row in rows if row["criterion"] == "agrees"} == {
        "fully (All of it is there.); partly; not at all"
    }
    assert "'=1+1\n\n  and \x1b[31mmore" in {row["answer"] for row in rows}
    assert not (judged.folder / LABELS).exists()

    empty = judged.evalkit("review", "latest", "--rater", "Bo", "--csv-in", "sheet.csv")
    assert empty.code == 2
    assert empty.err == "sheet.csv: the file contains no label. Fill in the column `level`.\n"
    fill_in(sheet, {("one", "agrees"): "fully", ("one", "short"): "yes", ("two", "short"): "no"})
    done = judged.evalkit("review", "latest", "--rater", "Bo", "--csv-in", "sheet.csv")
    assert done.code == 0, done
    assert "3 new levels by Bo" in done.out
    labels = labels_of(judged)
    assert {(each.case, each.criterion, each.level) for each in labels} == {
        ("one", "agrees", "fully"),
        ("one", "short", "yes"),
        ("two", "short", "no"),
    }
    assert {each.answer for each in labels if each.case == "two"} == {"=1+1\n\n  and \x1b[31mmore"}
    assert {each.drawn for each in labels} == {(judged.runs()[0].name,)}

    done = judged.evalkit("review", "latest", "--rater", "Bo", "--csv-out", "rest.csv")
    assert "3 levels to fill in" in done.out
    rest = {
        ("two", "agrees"): "partly",
        ("three", "agrees"): "not at all",
        ("three", "short"): "no",
    }
    fill_in(judged.folder / "rest.csv", rest)
    # One that is filled in whole is a labels file as it is.
    assert len(labels_of(judged, "rest.csv")) == 3
    again = judged.evalkit("review", "latest", "--rater", "Bo", "--csv-in", "sheet.csv")
    assert "0 new levels" in again.out
    assert labels_of(judged) == labels


def test_all_problems_of_a_worksheet_are_told_and_nothing_of_it_is_taken(judged: Project) -> None:
    sheet = judged.folder / "sheet.csv"
    judged.evalkit("review", "latest", "--rater", "Bo", "--csv-out", "sheet.csv")
    fill_in(
        sheet,
        {("one", "agrees"): "Fuly", ("one", "short"): "yes", ("three", "short"): "perhaps"},
    )
    sheet.write_text(sheet.read_bytes().decode().replace("How long?", "How?"), newline="")
    done = judged.evalkit("review", "latest", "--rater", "Bo", "--csv-in", "sheet.csv")
    assert done.code == 2
    lines = done.err.splitlines()
    assert len(lines) == 3, done.err
    assert all(re.match(r"sheet\.csv:\d+: ", line) for line in lines)
    assert any("'fully'" in line for line in lines)
    assert any("no such answer to case 'one'" in line for line in lines)
    assert not (judged.folder / LABELS).exists()


def test_an_unchanged_answer_of_another_run_keeps_its_label_and_is_marked_as_drawn(
    judged: Project,
) -> None:
    judged.evalkit("review", "latest", "--rater", "Bo", "--csv-out", "sheet.csv")
    fill_in(judged.folder / "sheet.csv", {("one", "agrees"): "fully", ("two", "agrees"): "partly"})
    judged.evalkit("review", "latest", "--rater", "Bo", "--csv-in", "sheet.csv")
    judged.write("sets/agent.py", AGENT.replace("=1+1", "=2+2"))
    judged.evalkit("run", "sets/shoes.yaml")
    done = judged.evalkit("review", "latest", "--rater", "Bo", "--csv-out", "sheet.csv")
    assert "5 levels to fill in" in done.out
    fill_in(judged.folder / "sheet.csv", {("two", "agrees"): "not at all"})
    judged.evalkit("review", "latest", "--rater", "Bo", "--csv-in", "sheet.csv")
    first, second = (path.name for path in judged.runs())
    assert {(each.case, each.level, each.drawn) for each in labels_of(judged)} == {
        ("one", "fully", (first, second)),
        ("two", "partly", (first,)),
        ("two", "not at all", (second,)),
    }


def test_without_a_terminal_it_says_what_to_do(judged: Project) -> None:
    done = judged.evalkit("review", "latest")
    assert done.code == 2
    assert "--csv-out FILE" in done.err
    assert "--csv-in FILE" in done.err


def test_a_rubric_that_was_changed_is_not_reviewed_under(judged: Project) -> None:
    judged.write("rubrics/helpful.yaml", RUBRIC.replace("Is it short?", "Is it brief?"))
    done = judged.evalkit("review", "latest", "--csv-out", "sheet.csv")
    assert done.code == 2
    assert "rubrics/helpful.yaml is no longer what run" in done.err


def test_one_of_several_rubrics_is_chosen(judged: Project) -> None:
    judged.write("rubrics/other.yaml", RUBRIC.replace("rubric: helpful", "rubric: other"))
    both = "[{rubric: ../rubrics/helpful.yaml}, {rubric: ../rubrics/other.yaml}]"
    judged.write("sets/shoes.yaml", SET.replace("[{rubric: ../rubrics/helpful.yaml}]", both))
    judged.evalkit("run", "sets/shoes.yaml")
    done = judged.evalkit("review", "latest", "--csv-out", "sheet.csv")
    assert done.code == 2
    assert "--metric: helpful, other" in done.err
    done = judged.evalkit("review", "latest", "--metric", "othr", "--csv-out", "sheet.csv")
    assert done.code == 2
    assert "'other'" in done.err
    done = judged.evalkit(
        "review", "latest", "--metric", "other", "--rater", "A", "--csv-out", "sheet.csv"
    )
    assert done.code == 0, done
    assert "--metric other --rater A" in done.out


def test_a_run_without_a_judge_has_nothing_to_review(project: Project) -> None:
    project.evalkit("run", "echo.yaml")
    done = project.evalkit("review", "latest", "--csv-out", "sheet.csv")
    assert done.code == 2
    assert "no metric that a judge scored" in done.err
