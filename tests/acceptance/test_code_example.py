"""The shipped coding tasks: right solutions pass their hidden tests, the agent does what it claims."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalkit.agents.reply import to_output
from evalkit.core.eval_set import EvalSet
from evalkit.evalset.loader import load_evalset
from tests.acceptance.test_shipped_sets import shipped
from tests.conftest import Project
from tests.support import code_solutions
from tests.support.paths import ROOT

__all__ = ["shipped"]

FOLDER = ROOT / "evalsets" / "code"


@pytest.fixture(scope="module")
def example() -> Iterator[SimpleNamespace]:
    modules = ("agent", "agent_v2", "library", "harness", "lint")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in modules})
        for name in modules:
            del sys.modules[name]


@pytest.fixture(scope="module")
def tasks() -> EvalSet:
    evalset, problems = load_evalset(ROOT / "evalsets" / "code.yaml", root=ROOT)
    assert problems == []
    return evalset


def hidden(case: Any) -> Any:
    return json.loads(case.expected["tests"]["cases.json"])


def passes(harness: Any, task: Any, function: Any) -> bool:
    return not any(harness.try_case(function, *each) for each in task["cases"])


# The labels


def test_a_right_solution_passes_every_hidden_test_and_every_example(
    example: SimpleNamespace, tasks: EvalSet
) -> None:
    for case in tasks.cases:
        task = hidden(case)
        function = getattr(code_solutions, task["function"])
        assert case.id == task["function"].replace("_", "-")
        for each in task["cases"]:
            assert not example.harness.try_case(function, *each), (case.id, each)
        shown = example.agent.read_task(case.input).examples
        assert shown, case.id
        for arguments, wanted in shown:
            got = function(*arguments)
            assert (got, type(got)) == (wanted, type(wanted)), case.id


def test_every_task_shows_its_signature_and_hides_tests_it_does_not_show(
    example: SimpleNamespace, tasks: EvalSet
) -> None:
    for case in tasks.cases:
        task, read = hidden(case), example.agent.read_task(case.input)
        tree = ast.parse(Path(code_solutions.__file__).read_text())
        [function] = [
            n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == read.name
        ]
        assert read.name == task["function"]
        assert list(read.parameters) == [argument.arg for argument in function.args.args], case.id
        shown = [[list(arguments), wanted] for arguments, wanted in read.examples]
        assert len(task["cases"]) >= 2, case.id
        assert not any(each in shown for each in task["cases"]), case.id


def test_no_hidden_test_is_passed_by_doing_nothing(
    example: SimpleNamespace, tasks: EvalSet
) -> None:
    idle = [lambda *_: None, lambda *a: a[0], lambda *_: False, lambda *_: True, lambda *_: []]
    assert len(tasks.cases) >= 60
    fooled = [
        case.id
        for case in tasks.cases
        if any(passes(example.harness, hidden(case), function) for function in idle)
    ]
    assert not fooled


# The harness


def test_the_harness_counts_and_tells_the_first_failure(tmp_path: Path) -> None:
    (tmp_path / "solution.py").write_text("def half(x):\n    return x / 2 if x else 1 / x\n")
    cases = [[[4], 2], [[3], 2], [[0], {"raises": "ZeroDivisionError"}], [[2], True]]
    (tmp_path / "cases.json").write_text(json.dumps({"function": "half", "cases": cases}))
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(FOLDER / "harness.py"), "solution.py", "cases.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == "[3] -> 1.5, not 2\n2 passed, 2 failed\n"


def test_the_linter_finds_what_it_says(example: SimpleNamespace) -> None:
    code = (
        "def f(x=[]):\n    y = 1\n    try:\n        return x == None\n    except:\n        pass\n"
    )
    found = {said for _, said in example.lint.findings(ast.parse(code))}
    assert found == {
        "bare except",
        "default that changes",
        "y is never used",
        "compare with None by `is`",
    }
    assert not list(example.lint.findings(ast.parse("def f(x=None):\n    return x is None\n")))


# The agent


def test_it_knows_only_what_is_in_its_library(example: SimpleNamespace, tasks: EvalSet) -> None:
    known = {snippet.source: snippet.name for snippet in example.agent.SNIPPETS}
    assert len(known) > 40
    for case in tasks.cases:
        name = example.agent.read_task(case.input).name
        code = example.agent.answer(case.input, {"seed": 1})["data"]["files"]["solution.py"]
        functions = [ast.unparse(node) for node in ast.parse(code).body]
        assert "NotImplementedError" in code or any(
            function.replace(f"{name}(", f"{known_name}(") == source
            for function in functions
            for source, known_name in known.items()
        ), case.id


def test_one_seed_gives_one_answer_and_evalkit_takes_it(
    example: SimpleNamespace, tasks: EvalSet
) -> None:
    for case in tasks.cases:
        reply = example.agent.answer(case.input, {"seed": 5})
        assert reply == example.agent.answer(case.input, {"seed": 5})
        assert to_output(reply, latency_s=0.0).error is None


def test_it_agrees_with_the_examples_it_is_shown_or_gives_up(
    example: SimpleNamespace, tasks: EvalSet
) -> None:
    for case in tasks.cases:
        task = example.agent.read_task(case.input)
        space: dict[str, Any] = {}
        exec(example.agent.answer(case.input, {"seed": 2})["data"]["files"]["solution.py"], space)
        for arguments, wanted in task.examples:
            try:
                assert space[task.name](*arguments) == wanted, case.id
            except NotImplementedError:
                continue


def test_the_second_version_solves_less_and_the_first_is_not_perfect(
    example: SimpleNamespace, tasks: EvalSet
) -> None:
    def share(answer: Any, tag: str = "") -> float:
        solved = []
        for case in tasks.cases:
            for seed in range(3 if not tag or tag in case.tags else 0):
                space: dict[str, Any] = {}
                exec(answer(case.input, {"seed": seed})["data"]["files"]["solution.py"], space)
                task = hidden(case)
                solved.append(passes(example.harness, task, space.get(task["function"])))
        return sum(solved) / len(solved)

    first = share(example.agent.answer)
    assert 0.6 < first < 0.8
    assert share(example.agent_v2.answer) < first - 0.08
    assert share(example.agent.answer, "nothing") == 0
    assert share(example.agent.answer, "composed") > 0.7
    assert share(example.agent_v2.answer, "composed") == 0


@pytest.mark.parametrize("text", ["", "`", "`f(`", "f(1) == ", "x == y\n" * 100, "\ud800"])
def test_odd_prompts_get_a_file(example: SimpleNamespace, text: str) -> None:
    assert example.agent.answer(text, {})["data"]["files"]["solution.py"]


# The set through the command line


def test_the_shipped_agent_passes_and_the_worse_version_fails_by_name(shipped: Project) -> None:
    done = shipped.evalkit(
        "run", "evalsets/code.yaml", "--trials", "1", "--format", "json", timeout_s=110
    )
    assert done.code == 0, done.err
    rates = {m["metric"]: m["rate"] for m in done.json["metrics"] if m["tag"] is None}
    assert 0.6 < rates["tests"] < 0.85
    assert rates["compiles"] == 1
    second = ("--agent", "./code/agent_v2.py:answer", "--format", "json")
    done = shipped.evalkit("run", "evalsets/code.yaml", "--trials", "1", *second, timeout_s=110)
    assert done.code == 1, done.err
    failed = {check["name"] for check in done.json["checks"] if check["outcome"] == "fail"}
    assert {"tests rate", "examples_run"} <= failed
    regressed = {case["id"] for case in done.json["cases"] if case["status"] == "regressed"}
    assert {"count-primes", "fibonacci-is-prime"} <= regressed


def test_code_that_does_not_compile_is_seen(shipped: Project) -> None:
    agent = shipped.folder / "evalsets/code/agent.py"
    agent.write_text(agent.read_text().replace('f"{task.name}("', 'f"{task.name}(("'))
    done = shipped.evalkit(
        "run", "evalsets/code.yaml", "--trials", "1", "--tag", "dates", "--tag", "lists",
        "--format", "json", timeout_s=110,
    )  # fmt: skip
    assert done.code == 1, done.err
    checks = {check["name"]: check["outcome"] for check in done.json["checks"]}
    assert checks["compiles"] == "fail"
