"""What of evalkit's own environment a child gets to see."""

from __future__ import annotations

import pytest

from evalkit.worker.environment import build_child_environment, find_name_problems

SECRETS = ["EVALKIT_JUDGE_KEY", "GITHUB_TOKEN", "GITHUB_OUTPUT", "OPENAI_API_KEY", "HTTPS_PROXY"]


def test_what_programs_need_is_passed_on_and_secrets_are_not() -> None:
    environ = dict.fromkeys(["PATH", "HOME", "LANG", "LC_ALL", "TZ", *SECRETS], "value")
    assert build_child_environment(environ, []).keys() == {"PATH", "HOME", "LANG", "LC_ALL", "TZ"}


def test_what_the_user_names_is_passed_on_and_extras_win() -> None:
    environ = {"MY_KEY": "mine", "PATH": "/bin"}
    seen = build_child_environment(environ, ["MY_KEY", "UNSET"], {"PATH": "/usr/bin"})
    assert seen == {"MY_KEY": "mine", "PATH": "/usr/bin"}


@pytest.mark.parametrize("name", ["EVALKIT_JUDGE_KEY", "GITHUB_OUTPUT", "GITHUB_ENV"])
def test_what_would_let_an_agent_grade_itself_is_never_passed_on(name: str) -> None:
    assert build_child_environment({name: "value"}, [name]) == {}
    [message] = find_name_problems([name], {name: "value"})
    assert message.startswith(f"environment variable {name!r} is never passed on")


def test_a_name_that_is_not_set_is_a_problem() -> None:
    [message] = find_name_problems(["MY_KEY", "PATH"], {"PATH": "/bin"})
    assert message == ("environment variable 'MY_KEY' is not set. Set it, or remove it from `env`.")
