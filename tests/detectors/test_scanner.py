"""What the scanner finds, what it leaves alone, and that hostile texts do not slow it down."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.detectors.findings import Finding, merge_findings
from evalkit.detectors.links import find_danger, find_links
from evalkit.detectors.scanner import Scanner
from evalkit.detectors.secret_rules import load_secret_rules

law = settings(deadline=None, max_examples=150)

GITHUB = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"
PIECES = (
    *("bob@example.org", "+1 415 555 2671", "(212) 555-0187", "4111 1111 1111 1111"),
    *("DE89 3704 0044 0532 0130 00", "536-22-1234", "RSSMRA85T10A562S", "password: hunter2!"),
    *("AKIA" + "QWERTYUIOP234567", "Bearer abcDEF123456ghiJKL789", "https://a:b1c2@example.org"),
    *("<email:0123456789ab>", "***API_KEY***", "api_key=8f14e45fceea167a5a36dedd4bea2543"),
    *(
        '{"first_name": "Ann", "note": "',
        '"}',
        "caf\u00e9",
        "\U0001f600",
        "\ud800",
        "\0",
        "\n",
        " ",
        ",",
    ),
    *("@", "://", "1234567890", "-", "::", "BSN 111222333", "![a](https://x.example/?q=1)", "`"),
)
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=14).map("".join)


def found_in(text: str, **options: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(each.kind, text[each.start : each.end]) for each in Scanner(**options).find(text)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("key sk-proj-abcdefGHIJKLmnopqr0123456789AB.", "abcdefGHIJKLmnopqr0123456789AB"),
        ("(pk-lf-1a2b3c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d)", "1a2b3c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d"),
        ("use gsk_" + "A1b2C3d4E5f6G7h8I9j0K1l2", "A1b2C3d4E5f6G7h8I9j0K1l2"),
        ("sk-learn-based-approach-to-modelling-2020s", None),
        ("a task-0123456789abcdef0123456789 of ours", None),
    ],
)
def test_keys_of_model_providers_are_known_by_their_beginning(text: str, value: str | None) -> None:
    assert found_in(text) == ([("secret", value)] if value else [])


@law
@given(texts)
def test_findings_are_parts_of_the_text_in_order(text: str) -> None:
    found = Scanner().find(text)
    assert all(0 <= each.start < each.end <= len(text) for each in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


@law
@given(texts)
def test_every_link_is_a_part_of_the_text(text: str) -> None:
    for link in find_links(text):
        assert link.address in text
        assert isinstance(find_danger(link), str)


def test_a_value_is_the_same_however_it_is_written() -> None:
    text = "+1 415 555 2671 (415) 555-2671; Bob@Example.org bob@example.org; 4111-1111-1111-1111 or 4111111111111111"
    values = [each.value for each in Scanner().find(text)]
    assert values == ["+14155552671"] * 2 + ["bob@example.org"] * 2 + ["4111111111111111"] * 2


def test_offsets_are_right_after_characters_of_any_width() -> None:
    text = f"\U0001f600 caf\u00e9 \u4f60\u597d bob@example.org, token {GITHUB}\u3002"
    assert found_in(text) == [("email", "bob@example.org"), ("secret", GITHUB)]


def test_a_secret_extends_to_the_end_of_its_token_and_no_further() -> None:
    key = "AKIA" + "QWERTYUIOP234567"
    assert found_in(f"{key}, {key}. ({key})") == [("secret", key)] * 3
    assert found_in(f'{{"key": "{key}", "user": "bob"}}') == [("secret", key)]


def test_regions_decide_about_numbers_without_a_country_code() -> None:
    text = "Telefon 030 901820"
    assert not found_in(text)
    assert found_in(text, regions=("DE",)) == [("phone", "030 901820")]


def test_only_the_kinds_asked_for_are_found() -> None:
    text = "bob@example.org, 4111 1111 1111 1111, password: hunter2!"
    assert found_in(text, kinds=("card",)) == [("card", "4111 1111 1111 1111")]
    assert found_in(text, kinds=("secret",)) == [("secret", "hunter2!")]


def test_of_findings_that_overlap_a_secret_gives_the_kind() -> None:
    text = "abcdefgh"
    found = [Finding(0, 4, "email", "abcd", "a"), Finding(2, 6, "secret", "cdef", "b")]
    assert merge_findings(found, text) == [Finding(0, 6, "secret", "abcdef", "b")]


def test_every_rule_of_gitleaks_with_a_pattern_is_compiled() -> None:
    rules = load_secret_rules()
    assert {index for each in rules.rules_of.values() for index in each} == set(range(221))


HOSTILE = (
    *(
        "a",
        "1",
        "@",
        "a@",
        "1 ",
        "1-",
        "(",
        "+",
        "a.",
        "-----BEGIN RSA PRIVATE KEY-----",
        "![",
        "[",
    ),
    *(
        "password: ",
        "key=",
        "://",
        "AKIA" + "QWERTYUIOP234567",
        "DE89",
        "https://a",
        "<img src=",
        "A1 ",
    ),
    *(
        "4111 ",
        "555-2671 ",
        "eyJ",
        "\u00e9@",
        "cookie: a=",
        '"a":"',
        "1" * 18 + " ",
        "url(",
        "bearer ",
    ),
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear_in_hostile_texts(piece: str) -> None:
    """Four times the text takes nowhere near sixteen times as long, as quadratic time would."""

    def measure(size: int) -> float:
        text = piece * (size // len(piece))
        best = float("inf")
        for _ in range(3):
            start = time.thread_time()
            Scanner().find(text)
            find_links(text)
            best = min(best, time.thread_time() - start)
        return best

    measure(2_000)
    assert measure(80_000) < 10 * measure(20_000) + 0.02
