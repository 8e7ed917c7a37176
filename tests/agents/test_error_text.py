"""What an error reply says, in one safe line."""

from __future__ import annotations

import json

import pytest

from evalkit.agents.error_text import say_error
from evalkit.agents.network_errors import status_error
from evalkit.core.literals import Json


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "no model m1"}}, "no model m1"),
        ({"error": "no model"}, "no model"),
        ({"message": "no model"}, "no model"),
        ({"detail": "Not authenticated"}, "Not authenticated"),
        (
            {"detail": [{"loc": ["body", "question"], "msg": "Field required", "type": "missing"}]},
            "body.question: Field required",
        ),
        (
            {"detail": [{"loc": ["body", "a"], "msg": "x"}, {"loc": ["body", "b", 0], "msg": "y"}]},
            "body.a: x; body.b.0: y",
        ),
        ({"type": "about:blank", "title": "Bad Request", "detail": "no question"}, "no question"),
        ({"type": "about:blank", "title": "Bad Request", "status": 400}, "Bad Request"),
        ({"errors": [{"field": "q", "message": "is empty"}]}, "q: is empty"),
        ({"errors": ["q is empty", "r too"]}, "q is empty; r too"),
        ({"code": 17}, '{"code": 17}'),
        ({}, ""),
    ],
)
def test_the_message_of_json_is_found(body: Json, said: str) -> None:
    assert said in say_error(json.dumps(body))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("\n  upstream  timed out \nat line 3", "upstream timed out"),
        ("<html><head><title>502 Bad\n Gateway</title></head></html>", "502 Bad Gateway"),
        ("<!-- x --><html><h1 class='a'>Not <b>found</b></h1></html>", "Not found"),
        ("<html><p>nothing</p></html>", ""),
        (
            "<?xml version='1.0'?>\n<Error><Code>Denied</Code><Message>no &amp; no</Message></Error>",
            "no & no",
        ),
        (
            "<s:Fault><faultcode>x</faultcode><faultstring xml:lang='en'>bad</faultstring></s:Fault>",
            "bad",
        ),
        ('event: error\ndata: {"error": {"message": "no tokens"}}\n\n', "no tokens"),
        ("data: it broke\n\n", "it broke"),
        ("", ""),
        ("\x1b[31mred\u202e", "\\x1b[31mred\\u202e"),
        ('{"detail": "cut', '{"detail": "cut'),
        ("\ufeff" + '{"detail": "marked"}', "marked"),
    ],
)
def test_a_page_or_a_text_says_its_title_or_first_line(body: str, said: str) -> None:
    assert say_error(body) == said


def test_what_a_body_says_is_short_and_part_of_the_error() -> None:
    assert len(say_error("x" * 5000)) <= 300
    assert status_error(400, {}, "h", '{"detail": "no"}').message == "h answered HTTP 400: no"
    assert status_error(500, {}, "h", "").message == "h answered HTTP 500."
