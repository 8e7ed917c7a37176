"""Traffic is stored without secrets and personal data, and its tokens still join."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.errors import InvalidInput
from evalkit.detectors.tokens import TOKEN
from evalkit.traffic.message_text import find_answer_text, find_user_text
from evalkit.traffic.redaction import MAX_DEPTH, TrafficRedactor
from evalkit.traffic.redaction_key import KEY_VARIABLE, load_redaction_key
from tests.detectors.test_samples import read_sample, split_marks
from tests.detectors.test_scanner import texts

KEY = b"a key of the tests, long enough"
law = settings(deadline=None, max_examples=200)


def test_what_the_samples_mark_is_gone_and_counted() -> None:
    redactor = TrafficRedactor(KEY)
    kept = 0
    total = 0
    for row in read_sample("values")[1]:
        text, values = split_marks(row["text"])
        redacted = redactor.redact_text(text)
        total += len(values)
        kept += sum(text[start:end] in redacted for start, end, _ in values)
        if not values:
            assert redacted == text
    assert kept == 11, f"{kept} of {total} remain"
    assert sum(redactor.counts.values()) == total - kept


def test_a_token_is_stable_under_one_key_and_another_under_a_second() -> None:
    one, other = TrafficRedactor(KEY), TrafficRedactor(b"another key of the tests")
    text = one.redact_text("Ask Bob@Example.org, bob@example.org, or +1 415 555 2671.")
    tokens = [match[0] for match in TOKEN.finditer(text)]
    assert text == f"Ask {tokens[0]}, {tokens[0]}, or {tokens[2]}."
    assert [token.split(":")[0] for token in tokens] == ["<email", "<email", "<phone"]
    assert TrafficRedactor(KEY).redact_text("bob@example.org") == tokens[0]
    assert other.redact_text("bob@example.org") != tokens[0]
    assert one.describe()["key_id"] != other.describe()["key_id"]
    assert one.counts == {"email": 2, "phone": 1}


def test_users_and_sessions_become_pseudonyms_in_columns_and_attributes() -> None:
    redactor = TrafficRedactor(KEY)
    user, session = redactor.pseudonym("user", "u-17"), redactor.pseudonym("session", "u-17")
    assert TOKEN.fullmatch(user)
    assert user != session
    assert redactor.pseudonym("user", user) == user
    assert not redactor.pseudonym("user", "")
    span = {"user.id": "u-17", "langfuse.session.id": "u-17", "user": {"id": "u-17"}}
    assert redactor.redact_json(span) == {
        "user.id": user,
        "langfuse.session.id": session,
        "user": {"id": user},
    }


def test_fields_are_redacted_by_name_at_any_depth() -> None:
    redactor = TrafficRedactor(KEY)
    arguments = {
        "customer": {"firstName": "Ann", "address": {"street": "Elm 5", "city": "Ulm"}},
        "phone": 4155552671,
        "card": {"number_masked": "x", "value": 4111111111111111},
        "headers": {"authorization": ["Bearer x"], "x-forwarded-for": "10.0.0.1"},
        "max_tokens": 9,
        "start_ns": 1732924800123456789,
        "server.address": "db",
        "ok": True,
        "none": None,
    }
    redacted = redactor.redact_json(arguments)
    assert redacted["customer"]["address"]["city"] == "Ulm"
    assert redacted["phone"] == redactor.redact_text("+1 415 555 2671")
    for kept in ("max_tokens", "start_ns", "server.address", "ok", "none"):
        assert redacted[kept] == arguments[kept]
    text = json.dumps(redacted)
    assert not [each for each in ("Ann", "Elm 5", "4111", "Bearer x", "10.0.0.1") if each in text]
    as_text = redactor.redact_text(json.dumps({"first_name": "Ann", "topic": "shoes"}))
    assert json.loads(as_text) == {
        "first_name": redacted["customer"]["firstName"],
        "topic": "shoes",
    }


def test_personal_data_can_be_kept_but_secrets_cannot() -> None:
    redactor = TrafficRedactor(KEY, keep_pii=True, environ={"MY_API_KEY": "zzTop-9981-qqLL"})
    text = redactor.redact_text("bob@example.org, password: hunter2!, zzTop-9981-qqLL")
    assert text.startswith("bob@example.org, password: <secret:")
    assert "zzTop" not in text
    assert len(TOKEN.findall(text)) == 2
    assert redactor.pseudonym("user", "u-17") == "u-17"
    assert redactor.redact_json({"first_name": "Ann", "password": "x"})["first_name"] == "Ann"
    assert redactor.describe()["keep_pii"] is True
    assert set(redactor.counts) == {"secret"}


def test_emphasis_hides_nothing() -> None:
    redactor = TrafficRedactor(KEY)
    key = "AKIA" + "QWERTYUIOP234567"
    text = redactor.redact_text(f"***4111111111111111***, ***{key}***, ***bob***")
    assert TOKEN.sub("X", text) == "***X***, ***X***, ***bob***"


@law
@given(texts)
def test_redacting_again_changes_nothing(text: str) -> None:
    redactor = TrafficRedactor(KEY, environ={"MY_API_KEY": "1234567890"})
    once = redactor.redact_text(text)
    counted = redactor.counts.copy()
    assert redactor.redact_text(once) == once
    assert redactor.counts == counted


values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["phone", "user.id", "first_name", "password", "note", "bob@example.org"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@law
@given(values)
def test_redacting_a_value_again_changes_nothing(value: object) -> None:
    redactor = TrafficRedactor(KEY)
    once = redactor.redact_json(value)
    assert redactor.redact_json(once) == once


def test_a_text_made_of_values_that_appear_one_by_one_ends() -> None:
    redactor = TrafficRedactor(KEY)
    text = "password: password1 " * 400
    once = redactor.redact_text(text)
    assert "password1" not in once
    assert redactor.redact_text(once) == once
    assert MAX_DEPTH < 400


def test_the_key_is_a_private_file_of_the_user(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    key, source = load_redaction_key(environ)
    path = tmp_path / ".config" / "evalkit" / "redaction.key"
    assert source == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_redaction_key(environ) == (key, source)
    assert list(path.parent.iterdir()) == [path]
    moved = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert load_redaction_key(moved)[0] != key
    given = {KEY_VARIABLE: "0123456789abcdef"}
    assert load_redaction_key(given) == (b"0123456789abcdef", KEY_VARIABLE)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({KEY_VARIABLE: "short"}, "5 characters; at least 16 are needed"),
        ({}, "neither HOME nor XDG_CONFIG_HOME is set"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load_redaction_key(environ)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    _, source = load_redaction_key(environ)
    Path(source).chmod(0o644)
    with pytest.raises(InvalidInput, match=r"others can read the redaction key\. Run `chmod 600"):
        load_redaction_key(environ)
    Path(source).chmod(0o600)
    Path(source).write_text("")
    with pytest.raises(InvalidInput, match="0 bytes; at least 16"):
        load_redaction_key(environ)


def test_fields_of_json_in_json_in_a_text_are_redacted_by_name() -> None:
    inner = json.dumps({"note": json.dumps({"first_name": "Ann", "pin": "4711", "topic": "shoes"})})
    for text in (inner, json.dumps({"a": inner})):
        redacted = TrafficRedactor(KEY).redact_text(text)
        assert "Ann" not in redacted
        assert "4711" not in redacted
        assert "shoes" in redacted


def test_a_value_whose_name_says_that_it_is_secret_is_no_input() -> None:
    assert find_user_text({"topic": "shoes"}) == "shoes"
    assert find_user_text({"password": "hunter2xx9Z"}) is None
    assert find_user_text({"input": {"password": "hunter2xx9Z"}}) is None
    assert find_answer_text('{"pin": "4711"}') is None
