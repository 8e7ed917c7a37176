"""Several sets in one command: every set is found, all are checked first, and they have one result."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

import evalkit
from evalkit.core.errors import WORST_FIRST, InvalidInput, choose_worst_code
from tests.acceptance.test_github_action import ACTION
from tests.conftest import Done, Project

SCHEMA = json.loads((Path(evalkit.__file__).parent / "schemas" / "report.schema.json").read_text())

AGENT = """
    import pathlib

    def answer(text):
        with open(pathlib.Path(__file__).with_name("calls.txt"), "a") as log:
            log.write(text + "\\n")
        return {"output": text.upper() if "wrong" not in text else "?", "cost_usd": 0.01}
"""


ALL_PASS = "gate: [{must_pass: all}]\n"
NO_DROP = "gate: [{metric: exact_match, max_drop: 0.1}]\n"


def write_set(
    project: Project, place: str, *inputs: str, gate: str = ALL_PASS, more: str = "", tag: str = ""
) -> Path:
    """Write a set named like its file; without a gate, every case has to pass."""
    depth = "../" * place.count("/")
    tags = f", tags: [{tag}]" if tag else ""
    cases = "".join(
        f"- {{id: c{number}, input: {text}, expected: {text.upper()}{tags}}}\n"
        for number, text in enumerate(inputs)
    )
    name = Path(place).stem
    head = f"evalset: {name}\nagent: {{python: {depth or './'}agent.py:answer}}\n"
    return project.write(place, f"{head}{gate}{more}cases:\n{cases}")


@pytest.fixture
def sets(project: Project) -> Project:
    """A project with three sets in a folder, of which the second fails, and files that are no sets."""
    project.write("agent.py", AGENT)
    (project.folder / "echo.yaml").unlink()
    write_set(project, "sets/one.yaml", "a", "b", tag="fast")
    write_set(project, "sets/two.yaml", "wrong", "d")
    write_set(project, "sets/deep/three.yml", "e")
    return project


def calls(project: Project) -> Counter[str]:
    log = project.folder / "calls.txt"
    return Counter(log.read_text().split() if log.exists() else ())


def read_batch(done: Done) -> dict[str, Any]:
    document: dict[str, Any] = done.json
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


def results(done: Done) -> list[tuple[str, str, int]]:
    return [(each["label"], each["state"], each["exit_code"]) for each in read_batch(done)["runs"]]


DECIDED = [("one", "decided", 0), ("two", "decided", 1), ("three", "decided", 0)]


def test_a_folder_runs_every_set_in_it_with_one_result_in_every_format(sets: Project) -> None:
    sets.write("sets/tone.yaml", "rubric: tone\npass_at: 0.5\ncriteria: []\n")
    sets.write("evalkit.yaml", "concurrency: 2\n")
    sets.write("sets/more.yaml", "cases:\n- {id: extra, input: f, expected: F}\n")
    with (sets.folder / "sets/one.yaml").open("a") as stream:
        stream.write("- more.yaml\n")
    sets.write("sets/notes.yaml", "title: no set\n")
    sets.write("sets/.hidden/four.yaml", "cases: [\n")
    files = ["--junit=j.xml", "--csv=c.csv", "--ctrf=t.json", "--markdown=m.md", "--html=all.html"]
    done = sets.evalkit("run", ".", *files)
    assert done.code == 1, done
    assert "FAIL  2 passed, 1 failed" in done.out.splitlines()[0]
    assert re.fullmatch(
        r"FAIL  2 passed, 1 failed  6 cases  [\d.]+ s  exit 1", done.out.splitlines()[-1]
    )
    assert re.search(r"^  PASS  one    must pass  3 of 3  1/1$", done.out, re.MULTILINE)
    assert re.search(r"^  FAIL  two    must pass  1 of 2  0/1$", done.out, re.MULTILINE)
    assert "skipped sets/notes.yaml (no key of an eval set)" in done.out
    for other in ("tone.yaml (a rubric)", "more.yaml (cases of a set)", "notes.yaml", "project"):
        assert other in done.err
    assert "two (2 of 3)" in done.err
    assert calls(sets) == {"a": 1, "b": 1, "f": 1, "wrong": 1, "d": 1, "e": 1}

    tests = ET.parse(sets.folder / "j.xml").getroot()
    assert [suite.get("name") for suite in tests] == [
        "one", "one gates", "two", "two gates", "three", "three gates",
    ]  # fmt: skip
    names = [(case.get("classname"), case.get("name")) for case in tests.iter("testcase")]
    assert len(set(names)) == len(names) == int(str(tests.get("tests")))
    assert tests.get("failures") == "3"  # the case, its threshold, and the verdict
    with (sets.folder / "c.csv").open() as table:
        assert Counter(row["set"] for row in csv.DictReader(table)) == {
            "one": 3, "two": 2, "three": 1,
        }  # fmt: skip
    ctrf = json.loads((sets.folder / "t.json").read_text())["results"]
    assert (ctrf["summary"]["failed"], ctrf["extra"]["exit_code"]) == (3, 1)
    summary = (sets.folder / "m.md").read_text()
    assert summary.startswith("## FAIL: 2 passed, 1 failed\n")
    assert summary.index("### FAIL: `two`") < summary.index("### PASS: `one`")
    index = (sets.folder / "all.html").read_text()
    # Its own report and page say why it failed.
    assert (done.out.count("1 of 2 cases failed"), "cases failed" in index) == (1, False)
    pages = re.findall(r'href="([^"#]+)"', index)
    assert pages == ["all-1-one.html", "all-2-two.html", "all-3-three.html"]
    assert all((sets.folder / page).stat().st_size for page in pages)
    assert "evalkit show latest -v" in done.out


def test_latest_names_all_sets_of_the_last_command(sets: Project) -> None:
    assert sets.evalkit("run", "sets/one.yaml").code == 0
    assert sets.evalkit("run", "sets").code == 1
    comment = sets.evalkit("comment", "latest").out
    assert "## FAIL: 2 passed, 1 failed" in comment
    assert "| Result | Set |" in comment
    for words in (["latest"], ["sets"], ["two", "sets/one.yaml", "three", "one"]):
        done = sets.evalkit("gate", *words, "--format", "json")
        assert (done.code, sorted(results(done))) == (1, sorted(DECIDED)), done
        assert [each["path"] for each in done.json["runs"]][-1] == "sets/deep/three.yml"
    assert sets.evalkit("show", "latest").out.splitlines()[-1].startswith("FAIL  2 passed, 1 fail")
    assert "2 passed, 1 failed" in sets.evalkit("report", "latest", "--markdown", "m.md").out
    assert "wrong" in sets.evalkit("show", "two", "c0").out
    two = sets.evalkit("show", "latest", "c1")
    assert (two.code, "the last command ran 3 sets. Name one run: " in two.err) == (2, True), two
    with pytest.raises(InvalidInput, match="ran 3 sets"):
        evalkit.load_run("latest", sets.folder)
    loaded = evalkit.load_runs(["latest", "latest"], sets.folder)
    assert [run.evalset for run in loaded.runs] == ["one", "two", "three"]
    promoted = sets.evalkit("baseline", "sets/one.yaml", "--from", "latest")
    assert promoted.code == 0, promoted
    assert '"batch"' not in (sets.folder / "sets/baselines/one.jsonl").read_text()

    wrong = sets.evalkit("comment", "one", "thre", "nowhere")
    assert (wrong.code, wrong.out) == (2, ""), wrong
    assert "no run 'thre'; did you mean 'three'?" in wrong.err
    assert "no run 'nowhere'" in wrong.err
    assert sets.evalkit("run", "sets/one.yaml").code == 0
    assert "## PASS: `one`" in sets.evalkit("comment", "latest", "latest").out
    # Without the record, only part of what the command ran would be found.
    assert sets.evalkit("run", "sets", "--tag", "fast").code == 0
    [record, *_] = sorted((sets.folder / ".evalkit/runs").glob("*/batch.json"))[::-1]
    record.unlink()
    lost = sets.evalkit("comment", "latest")
    assert (lost.code, "batch.json is missing" in lost.err) == (3, True), lost


def test_a_run_that_is_refused_or_killed_does_not_leave_an_older_result_as_the_latest(
    sets: Project,
) -> None:
    path = sets.folder / "sets/one.yaml"
    valid = path.read_text()
    typo = sets.evalkit("run", "sets/on.yaml")
    assert (typo.code, (sets.folder / ".evalkit").exists()) == (2, False), typo
    assert sets.evalkit("run", "sets/one.yaml").code == 0
    [first] = (sets.folder / ".evalkit/runs").iterdir()
    assert "## PASS: `one`" in sets.evalkit("comment", "latest").out

    path.write_text(valid + "metrcs: [exact_match]\n")
    for words in (["run"], ["baseline"], ["run", "--tag", "fast"]):
        assert sets.evalkit(*words, "sets/one.yaml").code == 2
        for named in (["latest"], ["--set", "sets/one.yaml"]):
            comment = sets.evalkit("comment", *named)
            assert "## NOT DECIDED: there is no result" in comment.out, comment
            assert "unknown key 'metrcs'" in comment.out
    assert sets.evalkit("comment", "sets/one.yaml").code == 2
    gate = sets.evalkit("gate", "latest")
    assert (gate.code, "unknown key 'metrcs'" in gate.out) == (2, True), gate
    shown = sets.evalkit("show", "latest", "c0")
    assert (shown.code, "'latest': sets/one.yaml has no result: " in shown.err) == (2, True), shown
    assert first.exists()

    # The run alone says what became of the command, so that nothing is stored beside it.
    path.write_text(valid)
    assert sets.evalkit("run", "sets/one.yaml", "--run-id", "second").code == 0
    assert sets.evalkit("run", "sets/one.yaml", "--baseline", "latest").code == 0
    assert "## PASS: `one`" in sets.evalkit("comment", "latest").out
    records = set((sets.folder / ".evalkit/runs").glob("*/batch.json"))
    assert len(records) == 3
    for given in ("nowhere/one.yaml", "sets/*.json"):
        assert sets.evalkit("run", given).code == 2
        assert "there is no result" in sets.evalkit("comment", "latest").out
        assert sets.evalkit("run", "sets/one.yaml").code == 0
    assert sets.evalkit("run", "sets/one.yaml", "--lf").code == 5
    assert "no case failed in run" in sets.evalkit("comment", "latest").out

    sets.write("agent.py", "import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(60)\n")
    assert sets.evalkit("run", "sets/deep/three.yml", "--dry-run", "--tag", "x").code == 5
    words = sets.command("run", "sets/one.yaml")
    with subprocess.Popen(
        words, cwd=sets.folder, env=sets.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        for _ in range(300):
            if (sets.folder / "begun").exists():
                break
            time.sleep(0.1)
        process.kill()
    assert "the command ended before it ran." in sets.evalkit("comment", "latest").out


def test_latest_names_all_baselines_that_one_command_records(sets: Project) -> None:
    assert sets.evalkit("run", "sets/one.yaml").code == 0
    assert sets.evalkit("baseline", "sets", "--trials", "2").code == 0
    done = sets.evalkit("gate", "latest", "--format", "json")
    assert results(done) == DECIDED
    [stored] = [*(sets.folder / "sets/baselines").glob("one.jsonl")]
    assert '"batch"' not in stored.read_text()
    write_set(sets, "sets/one.yaml", "x", more="metrcs: [exact_match]\n")
    assert sets.evalkit("baseline", "sets").code == 2
    done = sets.evalkit("gate", "latest", "--format", "json")
    assert [(label, state) for label, state, _ in results(done)] == [
        ("sets/one.yaml", "stopped"), ("sets/two.yaml", "not_run"),
        ("sets/deep/three.yml", "not_run"),
    ]  # fmt: skip


def test_files_patterns_and_folders_name_a_set_once_and_json_has_every_report(
    sets: Project,
) -> None:
    alone = sets.evalkit("run", "sets/one.yaml", "--format", "json").json
    done = sets.evalkit("run", "sets/*.yaml", "sets/one.yaml", "sets", "--format", "json")
    assert done.code == 1, done
    document = read_batch(done)
    assert results(done) == DECIDED
    assert (document["schema"], document["outcome"]) == ("evalkit.batch/v1", "fail")
    one = document["runs"][0]["report"]
    assert one.keys() == alone.keys()
    assert one["cases"][0]["trials"][0]["output"]["text"] == "A"
    # A file that is named runs, or is an error: nothing is passed over.
    sets.write("tone.yaml", "rubric: tone\npass_at: 0.5\ncriteria: []\n")
    sets.write("cases.yaml", "cases:\n- {id: extra, input: f, expected: F}\n")
    write_set(sets, "user.yaml", "a", more="trials: 1\n")
    with (sets.folder / "user.yaml").open("a") as stream:
        stream.write("- cases.yaml\n")
    many = sets.evalkit("run", "user.yaml", "tone.yaml", "cases.yaml", "evalkit.yaml", "none.yaml")
    assert many.code == 2, many
    many = sets.evalkit("run", "user.yaml", "tone.yaml", "cases.yaml")
    assert many.code == 2, many
    assert "tone.yaml (a rubric) is no eval set. Name sets only." in many.err
    assert "cases.yaml (cases of a set) is no eval set" in many.err
    # A key of a rubric makes no rubric of a set, and no set has its cases from one with a gate.
    path = write_set(sets, "keyed.yaml", "a", more="needs: []\n")
    assert "keyed.yaml:4: " in sets.evalkit("run", "sets/one.yaml", "keyed.yaml").err
    path.unlink()
    none = sets.evalkit("run", "tone.yaml", "tone.yaml")
    assert (none.code, none.err.count("tone.yaml (a rubric) is no eval set")) == (2, 1), none
    # A folder with one set has the same form, so that a second set does not change it.
    assert results(sets.evalkit("run", "sets/deep", "--format", "json")) == [
        ("three", "decided", 0)
    ]
    short = sets.evalkit("run", "sets/one.yaml", "sets/deep/three.yml", "-q")
    assert (short.code, len(short.out.splitlines())) == (0, 6), short.out
    assert not short.err


def test_the_problems_of_all_sets_are_listed_before_any_agent_is_called(sets: Project) -> None:
    write_set(sets, "sets/bad.yaml", "x", more="metrcs: [exact_match]\n")
    sets.write("sets/broken.yaml", "cases: [\n")
    path = write_set(sets, "other.yaml", "x")
    path.write_text(path.read_text().replace("agent.py:answer", "agent.py:missing"))
    done = sets.evalkit("run", "sets", "other.yaml")
    assert done.code == 2, done
    assert "sets/broken.yaml:2: not valid YAML" in done.err
    assert "sets/bad.yaml:4: unknown key 'metrcs'" in done.err.replace("eval set: ", "")
    assert re.search(r"other.yaml:2: .*missing", done.err)
    assert not calls(sets)
    assert not done.out
    assert "none of the 6 sets was run" in done.err
    comment = sets.evalkit("comment", "latest").out
    assert "## NOT DECIDED: there is no result" in comment
    assert "unknown key 'metrcs'" in comment
    for given, wanted in (("nowhere", "does not exist"), ("rubrics/*.yaml", "no file matches")):
        done = sets.evalkit("run", "sets/one.yaml", given)
        assert (done.code, wanted in done.err) == (2, True), done
    (sets.folder / "empty").mkdir()
    assert "empty contains no YAML file" in sets.evalkit("run", "empty").err
    assert "did you mean 'sets/deep'?" in sets.evalkit("run", "deep").err
    bare = sets.evalkit("run")
    assert (bare.code, "All of them: evalkit run ." in bare.err) == (2, True), bare
    assert "Eval sets here: other.yaml, sets/bad.yaml" in bare.err


def test_a_set_in_which_nothing_is_selected_neither_fails_nor_passes_the_others(
    sets: Project,
) -> None:
    done = sets.evalkit("run", "sets", "--tag", "fast", "--format", "json")
    assert done.code == 0, done
    assert results(done) == [
        ("one", "decided", 0), ("two", "nothing_selected", 5), ("three", "nothing_selected", 5),
    ]  # fmt: skip
    shown = sets.evalkit("run", "sets", "--tag", "fast").out
    assert "  NO CASES  two" in shown
    assert "PASS  1 passed, 2 without a selected case" in shown.splitlines()[-1]
    none = sets.evalkit("run", "sets", "--tag", "slow")
    assert none.code == 5, none
    assert "UNDECIDED  3 without a selected case" in none.out.splitlines()[-1]
    # A set that has no cases at all is a mistake, whatever the others do.
    sets.write("sets/void.yaml", "agent: {python: ../agent.py:answer}\ncases: []\n")
    void = sets.evalkit("run", "sets/one.yaml", "sets/void.yaml")
    assert void.code == 5, void
    assert "the eval set has no cases" in void.out


def test_a_case_has_to_be_in_one_of_the_sets_and_failed_cases_are_those_of_each(
    sets: Project,
) -> None:
    done = sets.evalkit("run", "sets", "--case", "c1", "--format", "json")
    assert [state for _, state, _ in results(done)] == ["decided", "decided", "nothing_selected"]
    done = sets.evalkit("run", "sets", "--case", "c11", "--case", "c0")
    assert done.code == 2
    assert done.err.count("no case of any set has the id 'c11'. Did you mean 'c1'?") == 1
    assert sets.evalkit("run", "sets").code == 1
    failed = sets.evalkit("run", "sets", "--lf", "--format", "json")
    assert [(label, state) for label, state, _ in results(failed)] == [
        ("one", "nothing_selected"), ("two", "decided"), ("three", "nothing_selected"),
    ]  # fmt: skip


def test_options_that_are_for_one_set_are_refused_together(sets: Project) -> None:
    one_set = ["--resume", "--baseline", "latest", "--pdb"]
    done = sets.evalkit("run", "sets", *one_set)
    assert done.code == 2, done
    assert [line.split()[1] for line in done.err.splitlines()] == [
        "--resume", "--baseline", "--pdb",
    ]  # fmt: skip
    assert "--run-id names the run of one set" in sets.evalkit("run", "sets", "--run-id", "x").err
    assert "--from names" in sets.evalkit("baseline", "sets", "--from", "latest").err
    assert not calls(sets)


def test_sets_of_one_name_are_told_apart_by_their_paths(sets: Project) -> None:
    write_set(sets, "more/one.yaml", "x")
    done = sets.evalkit("run", "sets/one.yaml", "more", "--junit", "j.xml", "--format", "json")
    assert [label for label, _, _ in results(done)] == ["sets/one.yaml", "more/one.yaml"]
    tests = ET.parse(sets.folder / "j.xml").getroot()
    names = [(case.get("classname"), case.get("name")) for case in tests.iter("testcase")]
    assert len(set(names)) == len(names) == 7


@pytest.mark.slow
def test_an_interrupt_in_the_second_set_says_what_is_done_and_how_to_continue(
    sets: Project,
) -> None:
    sets.write(
        "slow.py",
        """
        import pathlib, time

        def answer(text):
            if text == "later":
                pathlib.Path(__file__).with_name("started").touch()
                time.sleep(60)
            return text.upper()
        """,
    )
    path = write_set(sets, "sets/two.yaml", "first", "later")
    path.write_text(path.read_text().replace("agent.py", "slow.py") + "\n")
    words = sets.command("run", "sets/", "--trials", "1", "--concurrency", "1", "--csv", "c.csv")
    with subprocess.Popen(
        words, cwd=sets.folder, env=sets.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        for _ in range(300):
            if (sets.folder / "started").exists():
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 130, out
    last = out.splitlines()[-1]
    assert last.startswith("UNDECIDED  1 passed, 1 undecided, 1 not run"), out
    assert "NOT RUN" in out
    assert re.search(r"^  UNDECIDED  two$", out, re.MULTILINE)
    [resume] = re.findall(r"resume two:\n +(evalkit .*)", out)
    assert re.fullmatch(r"evalkit run sets/two.yaml --resume --run-id \S+", resume)
    [rest] = re.findall(r"run the rest:\n +(evalkit .*)", out)
    assert rest == "evalkit run sets/deep/three.yml --trials 1 --concurrency 1 --csv c.csv"
    assert re.search(r"then decide all:\n +evalkit gate sets\n", out)
    assert (sets.folder / "c.csv").exists()
    found = sets.evalkit("gate", "latest", "--format", "json")
    assert (found.code, [each[1] for each in results(found)]) == (
        3, ["decided", "decided", "not_run"],
    ), found  # fmt: skip
    # Nothing can be written by a process that is killed.
    (sets.folder / "started").unlink()
    with subprocess.Popen(words, cwd=sets.folder, env=sets.environ()) as process:
        for _ in range(300):
            if (sets.folder / "started").exists():
                break
            time.sleep(0.1)
        process.kill()
    killed = sets.evalkit("comment", "latest").out
    assert "## UNDECIDED: 1 passed, 1 undecided, 1 not run" in killed
    (sets.folder / "slow.py").write_text((sets.folder / "slow.py").read_text().replace("60", "0"))
    for place in ("two.yaml", "deep/three.yml"):
        assert sets.evalkit("run", f"sets/{place}", "--trials", "1").code == 0
    assert sets.evalkit("gate", "sets").code == 0


def test_a_set_that_cannot_run_does_not_keep_the_others_from_running(sets: Project) -> None:
    (sets.folder / "sets/baselines/two.jsonl").mkdir(parents=True)
    done = sets.evalkit("run", "sets", "--format", "json")
    assert done.code == 3, done
    assert [state for _, state, _ in results(done)] == ["decided", "stopped", "decided"]
    assert "two.jsonl is a folder" in read_batch(done)["runs"][1]["reason"]
    again = sets.evalkit("gate", "latest", "--format", "json")
    assert [each[1:] for each in results(again)] == [each[1:] for each in results(done)]


def test_baselines_that_are_missing_are_recorded_by_one_command(sets: Project) -> None:
    for place in ("one.yaml", "two.yaml"):
        write_set(sets, f"sets/{place}", "a", gate=NO_DROP)
    out = sets.evalkit("run", "sets").out
    assert out.count("evalkit baseline sets\n") == 1, out


def test_exitfirst_starts_no_further_set(sets: Project) -> None:
    done = sets.evalkit("run", "sets", "-x", "--format", "json")
    assert results(done)[2] == ("three", "not_run", 3)
    assert done.code in (1, 3), done
    assert calls(sets)["e"] == 0


def test_a_cost_limit_counts_over_all_sets(sets: Project) -> None:
    write_set(sets, "sets/two.yaml", "d", "g", "h")
    limit = ["--max-cost-usd", "0.04", "--trials", "1", "--format", "json"]
    done = sets.evalkit("run", "sets", *limit)
    assert done.code == 3, done
    assert calls(sets).total() == 4
    document = read_batch(done)
    assert [each["state"] for each in document["runs"]] == ["decided", "decided", "stopped"]
    assert "max_cost_usd of all sets together is 0.04 USD" in document["runs"][2]["reason"]


@pytest.mark.slow
def test_a_budget_is_divided_among_the_sets(sets: Project) -> None:
    for place, inputs in (("one.yaml", "ab"), ("two.yaml", "dgh"), ("deep/three.yml", "e")):
        write_set(sets, f"sets/{place}", *inputs, gate=NO_DROP)
    done = sets.evalkit("baseline", "sets", "--trials", "2", "--format", "json")
    assert done.code == 0, done
    jsonschema.Draft202012Validator(SCHEMA).validate(done.json)
    assert [each["recorded"]["evalset"] for each in done.json["baselines"]] == [
        "one", "two", "three",
    ]  # fmt: skip
    (sets.folder / "calls.txt").unlink()
    done = sets.evalkit("run", "sets", "--budget-trials", "5")
    assert done.code == 2, done
    assert "--budget-trials 5 is for 3 sets together" in done.err
    assert "Give at least 6" in done.err
    done = sets.evalkit("run", "sets", "--budget-usd", "0.12", "--format", "json")
    assert done.code == 0, done
    budgets = [each["report"]["run"]["budget"] for each in read_batch(done)["runs"]]
    assert [budget["max_trials"] for budget in budgets] == [4, 6, 2]
    assert calls(sets).total() <= 12
    preview = sets.evalkit("run", "sets", "--dry-run", "--format", "json")
    jsonschema.Draft202012Validator(SCHEMA).validate(preview.json)
    assert preview.json["cost_usd"] == pytest.approx(0.06)
    shown = sets.evalkit("run", "sets", "--dry-run").out
    assert shown.splitlines()[-1].startswith("3 sets: 6 cases, at most ")


def test_an_agent_cannot_edit_the_set_that_runs_next(sets: Project) -> None:
    sets.write(
        "agent.py",
        """
        import pathlib

        def answer(text):
            if text == "a":
                path = pathlib.Path(__file__).parent / "sets" / "two.yaml"
                path.write_text(path.read_text().replace("must_pass: all", "metric: exact_match, min: 0.1"))
            return text.upper() if text != "wrong" else "?"
        """,
    )
    done = sets.evalkit("run", "sets", "--format", "json")
    assert done.code == 3, done
    assert results(done)[1] == ("two", "stopped", 3)
    reason = read_batch(done)["runs"][1]["reason"]
    assert "changed while the sets before it ran" in reason
    assert f"STOPPED  two\n{reason}\n" in done.err


@pytest.mark.slow
def test_a_set_that_a_change_deletes_is_named_by_a_folder_and_one_that_it_adds_runs(
    sets: Project, git: Callable[..., str]
) -> None:
    write_set(sets, "sets/two.yaml", "d")
    sets.write(".gitignore", ".evalkit/\n__pycache__/\ncalls.txt\n")
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "base")
    git("checkout", "-qb", "change")
    write_set(sets, "sets/four.yaml", "f")
    done = sets.evalkit("run", "sets", "--base", "main", "--format", "json")
    assert done.code == 0, done
    assert ("four", "decided", 0) in results(done)
    # The tags are those of the base, so that a change does not get out of a selection.
    write_set(sets, "sets/one.yaml", "a", "b")
    tagged = sets.evalkit("run", "sets", "--base", "main", "--tag", "fast", "--format", "json")
    assert [label for label, state, _ in results(tagged) if state != "nothing_selected"] == ["one"]
    git("checkout", "-q", "sets/one.yaml")
    git("rm", "-q", "sets/two.yaml")
    done = sets.evalkit("run", "sets", "--base", "main", "--format", "json")
    assert done.code == 4, done
    one = next(each["report"] for each in read_batch(done)["runs"] if each["label"] == "one")
    [edit] = [edit["sentence"] for edit in one["gate"]["changes"] if edit["loosened"]]
    assert edit == "set sets/two.yaml: deleted with its 1 case"


def test_a_folder_with_one_set_reads_like_that_set_until_there_is_a_second(sets: Project) -> None:
    (sets.folder / "sets/one.yaml").unlink()
    (sets.folder / "sets/deep/three.yml").unlink()
    sets.write("sets/notes.yaml", "title: no set\n")
    files = ["--markdown", "m.md", "--html", "all.html", "--format", "github"]
    done = sets.evalkit("run", "sets", *files)
    assert done.code == 1, done
    assert done.out.startswith("FAIL  two: ")
    assert "skipped sets/notes.yaml" in done.out
    assert "::error file=sets/two.yaml" in done.out
    assert (sets.folder / "m.md").read_text().startswith("## FAIL: `two`")
    assert not [*sets.folder.glob("all-*.html")]
    env = {"GITHUB_WORKFLOW": "ci", "GITHUB_JOB": "evals"}
    alone = sets.evalkit("comment", "--set", "sets", env=env)
    assert "\n## FAIL: `two`, `must pass` 1 of 2\n" in alone.out, alone
    # A second set, which has no run yet, gets no result from that of the first.
    write_set(sets, "sets/one.yaml", "a")
    both = sets.evalkit("comment", "--set", "sets", env=env)
    assert both.out.splitlines()[0] == alone.out.splitlines()[0]
    assert "## FAIL: 1 failed, 1 stopped" in both.out
    assert "**STOPPED:** `sets/one.yaml`\n\n```text\nit has no run of this commit." in both.out
    for named in (["--set", "sets/one.yaml"], ["--set", "nowhere"], ["--missing", "one: killed."]):
        none = sets.evalkit("comment", *named, env=env).out
        assert none.splitlines()[:2] == [
            alone.out.splitlines()[0],
            "## NOT DECIDED: there is no result",
        ]
    assert sets.evalkit("comment").code == 2


def rename(old: str, new: str) -> Callable[[Project], None]:
    def move(project: Project) -> None:
        target = project.folder / new
        target.parent.mkdir(parents=True, exist_ok=True)
        (project.folder / old).rename(target)

    return move


def absorb(project: Project) -> None:
    """Make the set the cases of another one."""
    write_set(project, "evals/decoy.yaml", gate="gate: [{metric: exact_match, min: 0.01}]\n")
    path = project.folder / "evals/decoy.yaml"
    path.write_text(path.read_text().replace("cases:\n", "cases: plain.yaml\n"))


def link_first(project: Project) -> None:
    (project.folder / "evals/0.yaml").symlink_to("b.yaml")


def empty(project: Project) -> None:
    project.write("evals/b.yaml", "title: no set\n")


def untag(project: Project) -> None:
    """Move the tagged cases to the set that has no case with the tag."""
    (project.folder / "evals/b.yaml").unlink()
    write_set(project, "evals/plain.yaml", "three words here", "wrong and more")


def name_like_a_pattern(project: Project) -> None:
    rename("evals/a.yaml", "attic/a.yaml")(project)
    rename("evals/b.yaml", "attic/b.yaml")(project)
    (project.folder / "evals/*.yaml").write_text(
        "agent: {python: ../agent.py:answer}\ncases:\n- {id: x, input: d, expected: D}\n"
    )


HIDDEN = [
    (rename("evals/b.yaml", "evals/.b.yaml"), ["evals"]),
    (rename("evals/b.yaml", "evals/sub/evalkit.yaml"), ["evals"]),
    (rename("evals/b.yaml", "attic/evals/b.yaml"), ["evals/**/*.yaml"]),
    (rename("evals/b.yaml", "attic/evals/c.yaml"), ["evals/a.yaml", "evals/[b-z]*.yaml"]),
    (absorb, ["evals"]),
    (link_first, ["evals"]),
    (empty, ["evals"]),
    (untag, ["evals", "--tag", "fast"]),
    (name_like_a_pattern, ["evals/*.yaml"]),
]
"""Changes by which a set is found no more, and the arguments of the command."""


@pytest.mark.slow
def test_a_set_that_the_arguments_lead_to_at_the_base_runs_or_is_named(
    project: Project, git: Callable[..., str]
) -> None:
    (project.folder / "echo.yaml").unlink()
    project.write("agent.py", AGENT)
    project.write("evalkit.yaml", 'agent: {python: "agent:answer"}\n')
    write_set(project, "evals/a.yaml", "a", "nice decoy", tag="fast")
    write_set(project, "evals/b.yaml", "three words here", "wrong and more", tag="fast")
    project.write("evals/plain.yaml", "cases:\n- {id: p, input: some plain case, expected: x}\n")
    project.write(".gitignore", ".evalkit/\n__pycache__/\ncalls.txt\n")
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "base")
    git("checkout", "-qb", "change")
    for hide, words in HIDDEN:
        hide(project)
        done = project.evalkit("run", *words, "--base", "main", "--trials", "1", "--format", "json")
        what = (hide, words, done)
        assert done.code in (1, 4), what
        stopped = [each for each in read_batch(done)["runs"] if each["state"] == "stopped"]
        gone = "evals/plain.yaml" if hide is absorb else "evals/b.yaml"
        assert gone in [each["path"] for each in stopped], what
        assert all(each["exit_code"] == 4 for each in stopped), what
        assert "this command runs this set; now it does not" in stopped[-1]["reason"], what
        git("reset", "-q", "--hard")
        git("clean", "-qfd")
    rename("evals/b.yaml", "evals/.b.yaml")(project)
    folder = ["run", str(project.folder / "evals"), "--base", "main", "--tag", "fast"]
    shard = project.evalkit(*folder, "--shard", "1/2")
    assert (shard.code, "  STOPPED   evals/b.yaml" in shard.out) == (4, True), shard
    approved = project.evalkit(*folder, "--accept-gate-changes")
    assert approved.code == 0, approved
    assert "evals/b.yaml is not run any more, which was approved" in approved.out
    # A set without a selected case at the base is not missed, and one with another name runs as it was.
    assert project.evalkit("run", "evals", "--base", "main", "--case", "c0", "-q").code == 4
    rename("evals/.b.yaml", "evals/renamed.yaml")(project)
    done = project.evalkit("run", "evals", "--base", "main", "--format", "json")
    assert {each["state"] for each in read_batch(done)["runs"]} == {"decided"}, done


def test_stored_runs_are_gated_reported_and_commented_on_together(sets: Project) -> None:
    assert sets.evalkit("run", "sets").code == 1
    ids = [run.name for run in sets.runs()]
    done = sets.evalkit("gate", *ids, "--format", "json")
    assert (done.code, results(done)) == (1, DECIDED)
    annotated = sets.evalkit("gate", *ids, "--format", "github").out
    assert "::error file=sets/two.yaml" in annotated
    assert sets.evalkit("gate", ids[0], "nothing").code == 2
    comment = sets.evalkit("comment", *ids).out
    assert comment.count("<!-- evalkit:") == 1
    heading, *rows = [line for line in comment.splitlines() if line.startswith(("## ", "| "))][:6]
    assert heading == "## FAIL: 2 passed, 1 failed"
    assert [row.split(" | ")[1] for row in rows[2:5]] == ["`one`", "`two`", "`three`"]
    assert "### FAIL: `two`" in comment
    # The comment is that of the job, so a further set does not leave an old one on show.
    env = {"GITHUB_WORKFLOW": "ci", "GITHUB_JOB": "evals"}
    first, second = (
        sets.evalkit("comment", *some, env=env).out.splitlines()[0] for some in (ids, ids[:2])
    )
    assert first == second != comment.splitlines()[0]
    missing = sets.evalkit("comment", ids[0], "--missing", '"a: b:c": no such agent.').out
    assert "## UNDECIDED: 1 passed, 1 stopped" in missing
    assert "`a: b:c`" in missing
    assert "no such agent" in missing
    written = sets.evalkit("report", *ids, "--junit", "j.xml", "--html", "all.html")
    assert (written.code, (sets.folder / "all-2-two.html").exists()) == (0, True), written


def test_validate_takes_folders_of_sets_and_rubrics(sets: Project) -> None:
    sets.write(
        "sets/tone.yaml",
        """
        rubric: tone
        pass_at: 0.5
        criteria:
          - name: polite
            question: Is it polite?
            levels:
              - {name: polite, value: 1, description: It is.}
              - {name: rude, value: 0, description: It is not.}
        """,
    )
    sets.write("sets/notes.yaml", "title: no set\n")
    done = sets.evalkit("validate", "sets", "--format", "json")
    assert [each["name"] for each in done.json["evalsets"]] == ["one", "two", "three"], done
    assert [each["name"] for each in done.json["rubrics"]] == ["tone"]
    assert "not checked: sets/notes.yaml (no key of an eval set)" in done.err


def test_the_action_orders_exit_codes_as_evalkit_does() -> None:
    [line] = re.findall(
        r"^WORST_FIRST = (.*)$", (ACTION / "evalkit_action/verdict.py").read_text(), re.MULTILINE
    )
    assert line == str(WORST_FIRST)
    assert choose_worst_code([0, 5, 3]) == 3
    assert choose_worst_code([1, 4, 0]) == 1
    assert choose_worst_code([130, 129]) == 129
    assert choose_worst_code([]) == 5
