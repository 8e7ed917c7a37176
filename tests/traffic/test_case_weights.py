"""Which case a request resembles, and how requests are counted."""

from __future__ import annotations

import pytest

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import Case, Turn
from evalkit.traffic.case_weights import WeighedRequest, weigh_cases
from evalkit.traffic.nearest_case import MIN_SIMILARITY, build_case_index

CASES = (
    Case(id="return", input="How long do I have to return an order?", cluster="returns"),
    Case(id="return-typo", input="how long do i hav to retrun a order", cluster="returns"),
    Case(
        id="warranty",
        input=(
            Turn(role="user", content="Hello!"),
            Turn(role="assistant", content="How can I help?"),
            Turn(role="user", content="How long is the warranty on tents?"),
        ),
    ),
)


def ask(number: int, text: str, weight: float = 1.0, user: str = "") -> WeighedRequest:
    draw = user or f"u{number}"
    return WeighedRequest(
        str(number), text, draw, weight, bool(draw), f"2026-11-{1 + number % 28:02d}"
    )


def test_a_request_belongs_to_the_cluster_of_its_nearest_case() -> None:
    requests = [
        ask(1, "how long do I have to return orders?", weight=4),
        ask(2, "Warranty on a tent: how long is it?"),
        ask(3, "Can I pay by invoice with a purchase number?", weight=3),
    ]
    found = weigh_cases(CASES, requests, 3, ("prod",))
    assert dict(found.mix.shares) == pytest.approx(
        {"return": 0.25, "return-typo": 0.25, "warranty": 0.125}
    )
    assert found.mix.unmatched == pytest.approx(0.375)
    assert found.clusters[0].case_ids == ("return", "return-typo")
    assert [each.input for each in found.unmatched] == [requests[2].input]
    # Kish: 8² / (16 + 1 + 9).
    assert found.mix.draws == pytest.approx(64 / 26)
    assert (found.mix.since, found.mix.until) == ("2026-11-02", "2026-11-04")


def test_requests_of_one_user_are_one_draw() -> None:
    alike = [ask(number, "How long is the warranty on tents?", user="one") for number in range(50)]
    found = weigh_cases(CASES, alike, 50, ("prod",))
    assert found.mix.draws == pytest.approx(1)
    assert found.top_share == pytest.approx(1)
    assert any("30 are needed" in warning for warning in found.warnings)


@pytest.mark.parametrize("text", ["", "?", "x", "日本語の質問", "a" * 50_000, "\x1b[31m\u202e"])
def test_any_text_has_a_similarity_from_0_to_1(text: str) -> None:
    index = build_case_index(["How long is the warranty?", "日本語の質問", ""])
    similarity = index.compare(text)
    assert ((similarity >= 0) & (similarity <= 1 + 1e-9)).all()
    if text == "日本語の質問":
        assert index.find_nearest(text).case == 1
    elif len(text) != 50_000:
        assert similarity.max() < MIN_SIMILARITY


def test_without_requests_there_are_no_weights() -> None:
    with pytest.raises(InvalidInput, match="no request with an input"):
        weigh_cases(CASES, [], 0, ("prod",))
