"""How many sessions a sample draws of each stratum, which questions resemble a case, and what a set says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.eval_set import Case, Turn
from evalkit.evalset.loader import load_evalset
from evalkit.traffic.known_cases import KnownCases
from evalkit.traffic.message_text import list_messages
from evalkit.traffic.sample_cases import SampledCase
from evalkit.traffic.sample_estimate import estimate_means
from evalkit.traffic.sample_table import StoredRequest
from evalkit.traffic.sampled_sets import format_cases
from evalkit.traffic.sampling import allot_units
from tests.support.run_samples import make_run

STRATA = st.dictionaries(
    st.sampled_from(["failed", "slow", "novel", "random"]),
    st.integers(1, 500).flatmap(
        lambda units: st.tuples(st.just(units), st.integers(units, 8 * units))
    ),
    min_size=1,
)


@given(strata=STRATA, size=st.integers(1, 400))
def test_each_stratum_has_two_sessions_and_none_more_than_there_are(
    strata: dict[str, tuple[int, int]], size: int
) -> None:
    drawn = allot_units(strata, size)
    for name, (units, _) in strata.items():
        assert min(2, units) <= drawn[name] <= units
    # A larger sample contains the smaller one.
    larger = allot_units(strata, size + 20)
    assert all(larger[name] >= drawn[name] for name in strata)


def test_single_requests_are_drawn_in_the_number_asked_for() -> None:
    strata = {"failed": (4, 4), "slow": (1000, 1000), "random": (9000, 9000)}
    assert allot_units(strata, 50) == {"failed": 4, "slow": 23, "random": 23}
    assert sum(allot_units({"random": (30, 30)}, 50).values()) == 30


def test_copies_of_a_case_are_near_and_questions_about_something_else_are_novel() -> None:
    known = KnownCases(
        [
            Case(id="return", input="How long do I have to return shoes?"),
            Case(
                id="talk",
                input=(
                    Turn(role="user", content="Do you repair tents?"),
                    Turn(role="assistant", content="Yes."),
                    Turn(role="user", content="What does it cost?"),
                ),
            ),
        ]
    )
    near = known.find_near("how long do i have to RETURN shoes")
    assert near is not None
    assert (near.case, near.similarity) == ("return", 1.0)
    assert known.find_near("Do you repair tents? What does it cost?") is not None
    assert known.find_near("Can I cancel my subscription?") is None
    asked = ["How long do I have to return my shoes?", "Quiero un reembolso, gracias"]
    assert known.find_novel(asked) == asked[1:]
    assert KnownCases().find_novel(asked) == asked


def test_messages_of_any_library_are_turns() -> None:
    messages = [
        {"role": "system", "content": "You help."},
        {"type": "human", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello", "tool_calls": []},
        {"role": "tool", "content": "{}"},
        {"role": "user", "parts": [{"content": "Bye"}]},
    ]
    assert list_messages(messages) == [("user", "Hi"), ("assistant", "Hello"), ("user", "Bye")]
    assert list_messages("a question") == []


def test_a_request_counts_for_those_that_its_source_did_not_keep() -> None:
    run = make_run({"good": {"a": [1.0], "b": [0.0], "c": [0.0]}})
    cases = tuple(replace(case, provenance={"request": case.id}) for case in run.header.cases)
    run = replace(run, header=replace(run.header, cases=cases))
    kept = {"a": 0.1, "b": None, "c": 1.0}
    stored = [
        StoredRequest(name, name, "random", 0.5, "judge", "case", kept[name], "")
        for name in ("a", "b", "c")
    ]
    [found] = estimate_means(run, stored)
    assert found.sample_mean == pytest.approx(1 / 3)
    assert found.estimate.value == pytest.approx(10 / 12)


@pytest.fixture(scope="module")
def set_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sets")


@given(
    texts=st.lists(
        st.text(min_size=1).filter(lambda text: text.strip() != ""), min_size=3, max_size=3
    )
)
def test_a_set_says_what_was_asked_and_answered_whatever_it_contains(
    set_folder: Path, texts: list[str]
) -> None:
    asked, said, answer = (text.encode("utf-8", "replace").decode() for text in texts)
    provenance = {"traffic": "prod", "sample": "abc", "request": answer, "pi": 0.25}
    talk = (
        Turn(role="user", content=asked),
        Turn(role="assistant", content=said),
        Turn(role="user", content=asked),
    )
    inputs: tuple[str | tuple[Turn, ...], ...] = (asked, talk)
    cases = [
        SampledCase(id=f"case-{number}", input=each, answer=answer, tags=("traffic",), cluster="<user:1>", provenance=provenance)
        for number, each in enumerate(inputs)
    ]  # fmt: skip
    text = format_cases(
        cases, name="new", agent={"python": "a:b"}, judge="lexical", rubrics=["r.yaml"]
    )
    path = set_folder / "new.yaml"
    path.write_bytes(text.encode())
    evalset, problems = load_evalset(path, root=set_folder)
    assert problems == []
    assert [case.input for case in evalset.cases] == list(inputs)
    assert [case.draft for case in evalset.cases] == [answer, answer]
    assert evalset.cases[0].provenance == provenance
