"""Which requests the server of the pages answers: to loopback, by GET, from its own pages, with the secret."""

from __future__ import annotations

import pytest

from evalkit.view.access import Access

OWN = {"Host": "127.0.0.1:4242"}


@pytest.mark.parametrize(
    "host", ["127.0.0.1:4242", "[::1]:4242", "localhost:4242", "LOCALHOST:4242"]
)
def test_loopback_is_answered(host: str) -> None:
    assert Access(port=4242).refuse("GET", {"Host": host}) is None
    own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert Access(port=4242).refuse("HEAD", own) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:4242",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1.evil.example:4242",
    ],
)
def test_another_host_is_not(host: str) -> None:
    refusal = Access(port=4242).refuse("GET", {"Host": host})
    assert refusal is not None
    assert refusal.status == 421


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "FOO"]
)
def test_a_method_that_could_change_something_is_refused(method: str) -> None:
    refusal = Access(port=4242).refuse(method, OWN)
    assert refusal is not None
    assert refusal.status == 405


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:4243"},
        {"Origin": "https://127.0.0.1:4242"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_request_that_another_site_made_is_refused(header: dict[str, str]) -> None:
    refusal = Access(port=4242).refuse("GET", OWN | header)
    assert refusal is not None
    assert refusal.status == 403
    # A site that has the token was given it; the origin of a script still counts.
    led = Access(port=4242).refuse("GET", OWN | header, has_token=True)
    assert (led is None) == ("Sec-Fetch-Site" in header)


def test_secrets_are_compared_whole_and_a_single_use_token_works_once() -> None:
    access = Access(port=1)
    for wrong in ("", access.token[:-1], access.token + "x", access.session, "ü", "\udcff"):
        assert not access.accept_token(wrong)
        assert not access.accept_session("x" + wrong)
    assert access.accept_token(access.token)
    assert access.accept_token(access.token), "the printed address can be opened again"
    once = access.issue_single_use()
    assert access.accept_token(once)
    assert not access.accept_token(once)
    assert access.accept_session(access.session)
    assert access.token not in repr(access)
    assert len({access.token, access.session, Access(port=1).token}) == 3
