"""Whether a file defines a function is known without importing the file, or left open."""

from __future__ import annotations

import pytest

from evalkit.worker.defined_names import describe_missing_name

BOT = """
import os, json as j
from bots import reply as answer
if os.name == "posix":
    async def ask(text): ...
try:
    from fast import run
except ImportError:
    run = None
class Bot:
    def call(self, text): hidden = 1
bot: Bot = Bot()
with open("x") as stream:
    (first, *rest) = stream
def _private(): ...
raise SystemExit("importing this file would end evalkit")
"""


def test_every_way_to_bind_a_name_counts() -> None:
    for name in ("os", "j", "answer", "ask", "run", "Bot", "Bot.call", "bot.call", "rest"):
        assert describe_missing_name(BOT.encode(), "bot.py", name) == "", name
    for name in ("json", "reply", "call", "hidden", "text"):
        assert f"bot.py has no {name!r}." in describe_missing_name(BOT.encode(), "bot.py", name)
    message = describe_missing_name(BOT.encode(), "bot.py", "anser")
    assert message == "bot.py has no 'anser'. Did you mean 'answer'? It defines ask, Bot."


@pytest.mark.parametrize(
    "source",
    [
        "from bots import *",
        "def __getattr__(name): ...",
        "globals().update(answer=print)",
        "exec('def answer(): ...')",
    ],
)
def test_a_file_that_may_define_more_is_left_to_the_import(source: str) -> None:
    assert describe_missing_name(source.encode(), "bot.py", "answer") == ""


def test_a_file_that_is_no_python_is_refused() -> None:
    message = describe_missing_name(b"x = 1\ndef answer(:\n", "bot.py", "answer")
    assert message.startswith("bot.py is not valid Python: line 2: ")
    assert "not valid Python" in describe_missing_name(b"\0", "bot.py", "answer")
