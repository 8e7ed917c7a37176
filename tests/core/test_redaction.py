"""Secrets are found in every form, and nothing else is taken for one."""

from __future__ import annotations

import random
import string
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evalkit.core.redaction import Redactor
from evalkit.core.secret_values import find_secrets
from evalkit.core.trial import AgentError, Output, Score
from tests.support.secret_samples import FORMS, SECRETS

VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=12, max_size=60)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_each_secret_is_replaced_by_the_name(form: str) -> None:
    redactor = Redactor(SECRETS, set(SECRETS))
    for name, value in SECRETS.items():
        spelled = FORMS[form](value)
        clean = redactor.redact_text(f"It is {spelled}!")
        assert f"***{name}***" in clean
        assert spelled not in clean


@example(value="0000000000\\\xad", form="repr")
@example(value='000"000\\000\xa1', form="json")
@example(value="0000\xa1%800000", form="form")
@given(value=VALUES, form=st.sampled_from(sorted(FORMS)))
def test_no_value_has_a_form_that_is_missed(value: str, form: str) -> None:
    value = value.strip()
    if not find_secrets({"MY_KEY": value}):
        return
    spelled = FORMS[form](value)
    clean = Redactor({"MY_KEY": value}).redact_text(f"<{spelled}>")
    assert "***MY_KEY***" in clean
    assert value not in clean


def test_a_value_may_be_escaped_in_part() -> None:
    redactor = Redactor({"MY_KEY": "ab/cd-efgh"})
    for spelled in (
        "ab%2Fcd-%65fgh",
        "ab\\/cd-ef\\u0067h",
        "ab&#47;cd&#x2d;efgh",
        "ab%252fcd-efgh",
    ):
        assert redactor.redact_text(f"x {spelled} y") == "x ***MY_KEY*** y"


@pytest.mark.parametrize("form", ["raw", "json", "percent of each byte", "unicode escapes", "hex"])
def test_what_a_cut_leaves_of_a_secret_is_replaced(form: str) -> None:
    secret = SECRETS["SHOP_API_KEY"]
    redactor = Redactor({"SHOP_API_KEY": secret})
    spelled = FORMS[form](secret)
    part = spelled[: len(spelled) * 2 // 3]
    for text in (
        f"{'x ' * 200}{part}",
        f"{'x ' * 200}{part}\n[... 9,000 characters in all]",
        f"[...] {spelled[len(spelled) // 3 :]} {'x ' * 200}",
    ):
        clean = redactor.redact_text(text)
        assert "***SHOP_API_KEY***" in clean
        assert spelled[len(spelled) // 3 : len(spelled) * 2 // 3] not in clean


def test_what_is_no_secret_stays() -> None:
    environ = {
        "A_KEY": "production",
        "B_TOKEN": "short",
        "C_SECRET": "True",
        "PWD": "/home/anna-4711x",
    }
    named = {"MODEL": "gpt-4o-mini", "PLACE": "eu-central-1", "SHOP": "Contoso Outdoor 24 GmbH"}
    assert find_secrets({**environ, **named}, set(named)) == {}
    redactor = Redactor({"MY_KEY": "x9-secret-x9"})
    output = Output(text="x9-secre is not it", data={"n": 12345678}, metadata={"a": [True, None]})
    assert redactor.redact_output(output) == output


def test_everything_of_an_output_and_a_score_is_redacted() -> None:
    redactor = Redactor({"MY_KEY": "12345678", "YOUR_KEY": "k3y-k3y-k3y"})
    output = Output(
        text="a",
        data={"k3y-k3y-k3y": [12345678, {"x": "12345678"}]},
        session="k3y-k3y-k3y",
        error=AgentError(kind="x", message="no k3y-k3y-k3y", detail="12345678"),
    )
    clean = redactor.redact_output(output)
    assert clean.data == {"***YOUR_KEY***": ["***MY_KEY***", {"x": "***MY_KEY***"}]}
    assert clean.session == "***YOUR_KEY***"
    assert clean.error is not None
    assert (clean.error.message, clean.error.detail) == ("no ***YOUR_KEY***", "***MY_KEY***")
    assert clean.flags == ("redacted",)
    [score] = redactor.redact_scores((Score(metric="m", explanation="k3y-k3y-k3y"),))
    assert score.explanation == "***YOUR_KEY***"


def test_the_time_is_linear_in_the_text() -> None:
    redactor = Redactor(SECRETS, set(SECRETS))
    letters = random.Random(1).choices(string.ascii_letters + " %\\&\n'\"", k=400_000)
    times = []
    for size in (100_000, 400_000):
        text = "".join(letters[:size]) + FORMS["json"](SECRETS["APP_SECRET"])
        started = time.process_time()
        assert redactor.redact_text(text).endswith("***APP_SECRET***")
        times.append(time.process_time() - started)
    assert times[1] < 20 * times[0]  # four times the text
