"""Edits of a gate and which of them loosen it: laws, and one example of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.ci.gate_changes import GateDefinition, find_gate_changes
from evalkit.ci.gate_files import SearchFolders, digest_files
from evalkit.ci.rule_changes import find_rule_changes, is_as_strict
from evalkit.core.eval_set import AgentSpec, Case, EvalSet, MetricSpec, Rule
from evalkit.core.judgement import JudgeSpec
from evalkit.core.location import Location
from evalkit.core.serialization import digest
from evalkit.runner.scheduler import interleave

SHARES = st.sampled_from([0.0, 0.02, 0.1, 0.5, 0.9, 1.0])


def limited(limit: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Rule]:
    return st.builds(
        lambda value, metric, tag, margin, primary, alpha: Rule(
            metric=metric, tag=tag, margin=margin, primary=primary, alpha=alpha, **{limit: value}
        ),
        values,
        st.sampled_from(["a", "b"]),
        st.sampled_from([None, "t"]),
        st.sampled_from([0.05, 0.1]),
        st.booleans(),
        st.sampled_from([0.05, 0.01]),
    )


RULES = st.one_of(
    *(limited(name, SHARES) for name in ("min", "max", "max_drop", "max_rise")),
    st.builds(lambda n: Rule(max_regressed=n), st.integers(0, 3)),
    st.builds(lambda n: Rule(broken_cases=n), st.integers(0, 3)),
    st.builds(lambda t: Rule(must_pass=tuple(sorted(t))), st.sets(st.sampled_from("tuv"))),
)
GATES = st.lists(RULES, max_size=4)
CASES = st.lists(
    st.builds(
        lambda name, expected, tags: Case(
            id=name, input="?", expected=expected, tags=tags, digest=digest(expected)
        ),
        st.sampled_from("pqrs"),
        st.sampled_from(["x", "y"]),
        st.sampled_from([(), ("t",), ("u",)]),
    ),
    max_size=4,
    unique_by=lambda case: case.id,
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "max_errors": st.integers(0, 3),
        "on_inconclusive": st.sampled_from(["pass", "fail"]),
        "trials": st.sampled_from([1, 3, "auto"]),
        "seed": st.integers(0, 2),
        "concurrency": st.integers(1, 3),
    },
)
DEFINITIONS = st.builds(
    lambda gate, cases, settings, baseline: GateDefinition(
        evalset=EvalSet(
            name="s", path="s.yaml", gate=tuple(gate), cases=tuple(cases), settings=settings
        ),
        baseline=baseline,
    ),
    GATES,
    CASES,
    SETTINGS,
    st.sampled_from(["", "d1", "d2"]),
)


def loosens(before: GateDefinition, now: GateDefinition) -> bool:
    return any(change.loosened for change in find_gate_changes(before, now))


@given(DEFINITIONS)
def test_a_gate_that_is_not_edited_has_no_edits(one: GateDefinition) -> None:
    assert find_gate_changes(one, one) == ()


@given(DEFINITIONS, DEFINITIONS)
def test_two_gates_neither_of_which_loosens_the_other_differ_in_nothing_that_decides(
    one: GateDefinition, other: GateDefinition
) -> None:
    if not loosens(one, other) and not loosens(other, one):
        for side in (find_gate_changes(one, other), find_gate_changes(other, one)):
            assert {change.kind for change in side} <= {"case"}
            assert all("no threshold uses" in change.sentence for change in side)


@given(RULES, RULES, RULES)
def test_tightening_twice_is_tightening(one: Rule, two: Rule, three: Rule) -> None:
    if is_as_strict(one, two) and is_as_strict(two, three):
        assert is_as_strict(one, three)


@given(RULES, RULES)
def test_of_two_different_thresholds_only_one_can_be_the_stricter(one: Rule, two: Rule) -> None:
    assert is_as_strict(one, one)
    if is_as_strict(one, two) and is_as_strict(two, one):
        assert one == two


@given(GATES, st.randoms(use_true_random=False))
def test_the_order_of_thresholds_and_their_locations_do_not_matter(
    gate: list[Rule], random: Any
) -> None:
    moved = [replace(rule, where=Location(path="x", line=9)) for rule in gate]
    random.shuffle(moved)
    assert list(find_rule_changes(gate, moved)) == []


@given(GATES, RULES)
def test_a_threshold_less_is_a_looser_gate(gate: list[Rule], rule: Rule) -> None:
    changes = list(find_rule_changes([*gate, rule], gate))
    assert any(change.loosened for change in changes)


CASE = Case(id="a", input="x", expected="X", digest="1", tags=("t",))
BASE = GateDefinition(
    evalset=EvalSet(
        name="s",
        path="s.yaml",
        agent=AgentSpec(kind="python", args={"": "agent:answer"}),
        metrics=(MetricSpec(ref="exact_match", name="exact_match"),),
        gate=(Rule(metric="exact_match", min=0.5, tag="t"),),
        cases=(CASE, Case(id="b", input="y", expected="Y", digest="2")),
        judges=(JudgeSpec(kind="lexical", path="s.yaml", line=3),),
    ),
    files={"./polite.py:polite": "1"},
    baseline="1",
)

EDITS: Mapping[str, tuple[dict[str, Any], str, bool]] = {
    "the seed may be chosen for its luck": ({"settings": {"seed": 7}}, "seed: 0 -> 7", True),
    "fewer trials see less": ({"settings": {"trials": 1}}, "trials: auto -> 1", True),
    "strict about the inconclusive": (
        {"settings": {"on_inconclusive": "fail"}},
        "on_inconclusive: pass -> fail",
        False,
    ),
    "a setting that nobody knows yet": ({"settings": {"limit": 3}}, "limit: None -> 3", True),
    "another judge": (
        {"judges": (JudgeSpec(kind="openai"),)},
        "judges: edited, or a file that it names",
        True,
    ),
    "without thresholds": ({"gate": ()}, "threshold exact_match [t]: removed, was min 0.5", True),
    "a metric more": (
        {
            "metrics": (
                MetricSpec(ref="exact_match", name="exact_match"),
                MetricSpec(ref="contains", name="contains"),
            )
        },
        "metric contains: added",
        False,
    ),
    "a metric with other arguments": (
        {"metrics": (MetricSpec(ref="exact_match", name="exact_match", args={"trim": True}),)},
        "metric exact_match: its arguments were edited",
        True,
    ),
    "another metric under the same name": (
        {"metrics": (MetricSpec(ref="contains", name="exact_match"),)},
        "metric exact_match: exact_match -> contains",
        True,
    ),
}


@pytest.mark.parametrize(("edit", "sentence", "loosened"), EDITS.values(), ids=EDITS.keys())
def test_an_edit_is_reported_for_what_it_is(
    edit: dict[str, Any], sentence: str, loosened: bool
) -> None:
    now = replace(BASE, evalset=replace(BASE.evalset, **edit))
    changes = {change.sentence: change.loosened for change in find_gate_changes(BASE, now)}
    assert changes[sentence] is loosened


def test_the_location_of_a_judge_and_how_an_agent_runs_are_no_edits() -> None:
    evalset = replace(
        BASE.evalset,
        judges=(JudgeSpec(kind="lexical", path="evalkit.yaml", line=1),),
        agent=AgentSpec(kind="http", args={"url": "http://localhost"}),
        settings={"concurrency": 2, "retry_deadline_s": 3.0},
        description="other words",
    )
    assert find_gate_changes(BASE, replace(BASE, evalset=evalset)) == ()


@pytest.mark.parametrize(
    ("prices", "loosened"),
    [
        ({"input": 3.0, "output": 15.0}, []),
        ({"input": 4.0, "output": 15.0, "cached": 1.0}, []),
        ({"output": 15.0}, []),  # a cost is then not reported
        (
            {"input": 0.5, "output": 15.0},
            ["prices: input 3 -> 0.5 USD per million tokens, by which the same tokens cost less"],
        ),
    ],
)
def test_a_lower_price_loosens_the_thresholds_of_costs(
    prices: dict[str, float], loosened: list[str]
) -> None:
    before, now = (
        GateDefinition(
            evalset=EvalSet(
                name="s", path="s", agent=AgentSpec(kind="python", args={}, prices=each)
            )
        )
        for each in ({"input": 3.0, "output": 15.0}, prices)
    )
    found = find_gate_changes(before, now)
    assert [change.sentence for change in found if change.loosened] == loosened


def test_a_tag_that_no_threshold_is_about_may_be_changed() -> None:
    for tags, loosened in ((("t", "new"), False), (("new",), True)):
        cases = (replace(CASE, tags=tags), BASE.evalset.cases[1])
        now = replace(BASE, evalset=replace(BASE.evalset, cases=cases))
        assert [change.loosened for change in find_gate_changes(BASE, now)] == [loosened]


def test_the_tests_that_an_answer_has_to_pass_and_a_rubric_s_calibrations_are_the_gate_s(
    tmp_path: Path,
) -> None:
    files = (
        "hidden/a/test_it.py",
        "hidden/new/test_it.py",
        "tasks/base.py",
        "check.sh",
        "scale.yaml",
        "scale.calibration.json",
    )
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    command = ["sh", "{set}/check.sh"]
    tests = {"command": command, "folder": "tasks", "hidden": "hidden/{id}"}
    evalset = EvalSet(
        name="s",
        path="s.yaml",
        cases=(CASE,),
        metrics=(
            MetricSpec(ref="tests_passed", name="tests_passed", args=tests),
            MetricSpec(ref="rubric", name="scale", args={"": "scale.yaml"}),
        ),
    )
    with_new = replace(evalset, cases=(CASE, replace(CASE, id="new")))
    folders = SearchFolders(base=tmp_path, root=tmp_path)
    before = GateDefinition(evalset=evalset, files=digest_files(evalset, folders))

    def edits() -> list[tuple[str, bool]]:
        now = GateDefinition(evalset=with_new, files=digest_files(with_new, folders))
        return [(each.kind, each.loosened) for each in find_gate_changes(before, now)]

    assert edits() == [("case", False)]
    for name in files:
        text = (tmp_path / name).read_text()
        (tmp_path / name).unlink()
        loosened = [] if name == "hidden/new/test_it.py" else [("file", True)]
        assert edits() == [("case", False), *loosened], name
        (tmp_path / name).write_text(text)


def test_the_files_of_a_set_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    files = {
        "polite.py": "from lib.words import RUDE\nLIST = 'list.txt'\n",
        "lib/__init__.py": "",
        "lib/words.py": "from . import more\nRUDE = []\n",
        "lib/more.py": "import json\n",
        "list.txt": "rude\n",
        "agent.py": "import polite\n",
        "scale.yaml": "examples: examples.jsonl\n",
        "examples.jsonl": "{}\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    evalset = EvalSet(
        name="s",
        path="s.yaml",
        metrics=(
            MetricSpec(ref="./polite.py:polite", name="polite"),
            MetricSpec(ref="rubric", name="scale", args={"": "scale.yaml"}),
        ),
        agent=AgentSpec(kind="python", args={"": "./agent.py:answer"}),
    )
    folders = SearchFolders(base=tmp_path, root=tmp_path)
    before = digest_files(evalset, folders)
    assert set(before) == {"./polite.py:polite", "scale.yaml"}
    for name in files:
        path = tmp_path / name
        text = path.read_text()
        path.write_text(text + "\n#\n")
        moved = {
            word for word, now in digest_files(evalset, folders).items() if now != before[word]
        }
        wanted = (
            {"scale.yaml"} if name in ("scale.yaml", "examples.jsonl") else {"./polite.py:polite"}
        )
        assert moved == (set() if name == "agent.py" else wanted), name
        path.write_text(text)
    assert digest_files(evalset, folders) == before


def test_two_sides_take_turns_and_neither_is_always_first() -> None:
    base: Any = ["a1", "a2", "a3"]
    candidate: Any = ["b1", "b2", "b3", "b4"]
    turns: list[Any] = list(interleave(base, candidate))
    assert turns == ["a1", "b1", "b2", "a2", "a3", "b3", "b4"]
