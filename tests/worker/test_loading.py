"""Where a worker finds the object that a reference names, as a user lays out a project."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from evalkit.core.errors import InvalidInput
from evalkit.core.run import RunEnvironment
from evalkit.worker.pool import TargetSpec, open_pool
from tests.worker.test_pool import payload

HI = 'def hi(): return "hello"\n'
CALLS_HI = "def answer(text): return hi()\n"


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))


def answer(root: Path, ref: str, base: str = ".") -> str:
    """Load an agent of a project for a set in the folder `base`, and return its answer."""

    async def run() -> str:
        environment = RunEnvironment(root=root, set_folder=root / base, environ=os.environ)
        async with open_pool(TargetSpec(kind="agent", ref=ref), environment) as pool:
            reply = await pool.call(payload("q"), 20.0)
            return str(reply.value) if reply.error is None else reply.error.message

    return asyncio.run(run())


def refusal(root: Path, ref: str, base: str = ".") -> str:
    with pytest.raises(InvalidInput) as refused:
        answer(root, ref, base)
    return str(refused.value)


LAYOUTS: dict[str, tuple[dict[str, str], str, str]] = {
    "a member of a package": (
        {"bot/__init__.py": "", "bot/helper.py": HI, "bot/agent.py": f"from .helper import hi\n{CALLS_HI}"},
        "./bot/agent.py:answer",
        ".",
    ),
    "a member of a package in a package, seen from its own folder": (
        {
            "a/__init__.py": "",
            "a/helper.py": HI,
            "a/b/__init__.py": "NAME = 'b'",
            "a/b/agent.py": f"import a.b\nfrom ..helper import hi\nfrom . import NAME\n{CALLS_HI}",
        },
        "./agent.py:answer",
        "a/b",
    ),
    "a package that imports its member": (
        {
            "bot/__init__.py": "from bot.agent import answer",
            "bot/agent.py": f"from .helper import hi\nimport builtins\nassert not hasattr(builtins, 'x')\nbuiltins.x = 1\n{CALLS_HI}",
            "bot/helper.py": HI,
        },
        "./bot/agent.py:answer",
        ".",
    ),
    "the package itself": (
        {"bot/__init__.py": f"from .helper import hi\n{CALLS_HI}", "bot/helper.py": HI},
        "./bot/__init__.py:answer",
        ".",
    ),
    "a folder without __init__": (
        {"bot/helper.py": HI, "bot/agent.py": f"from .helper import hi\n{CALLS_HI}"},
        "./bot/agent.py:answer",
        ".",
    ),
    "a folder that no import can spell": (
        {"my-bot/__init__.py": "", "my-bot/helper.py": HI, "my-bot/agent.py": f"from .helper import hi\n{CALLS_HI}"},
        "./my-bot/agent.py:answer",
        ".",
    ),
    "folders without __init__, with the set in one of them": (
        {"evals/helper.py": HI, "evals/x/agent.py": f"from ..helper import hi\n{CALLS_HI}"},
        "./x/agent.py:answer",
        "evals",
    ),
    "a package with a name of the standard library": (
        {"json/__init__.py": "", "json/helper.py": HI, "json/agent.py": f"import json\nfrom .helper import hi\njson.dumps\n{CALLS_HI}"},
        "./json/agent.py:answer",
        ".",
    ),
    "a package with a module that is called like a library": (
        {"bot/__init__.py": "", "bot/logging.py": HI, "bot/agent.py": f"import logging\nlogging.getLogger()\nfrom .logging import hi\n{CALLS_HI}"},
        "./bot/agent.py:answer",
        ".",
    ),
    "a script in a package that imports its neighbor absolutely": (
        {"bot/__init__.py": "", "bot/helper.py": HI, "bot/agent.py": f"from helper import hi\n{CALLS_HI}"},
        "./bot/agent.py:answer",
        ".",
    ),
    "a name that is no identifier": (
        {"bot/__init__.py": "", "bot/helper.py": HI, "bot/my-agent.py": f"from .helper import hi\n{CALLS_HI}"},
        "./bot/my-agent.py:answer",
        ".",
    ),
    "src, by file": (
        {"src/pkg/__init__.py": "", "src/pkg/helper.py": HI, "src/pkg/agent.py": f"from pkg.helper import hi\n{CALLS_HI}"},
        "./src/pkg/agent.py:answer",
        ".",
    ),
    "src, by module": (
        {"pyproject.toml": "", "src/pkg/__init__.py": "", "src/pkg/agent.py": f"{HI}{CALLS_HI}"},
        "pkg.agent:answer",
        ".",
    ),
    "src, beside the script": (
        {"src/pkg/__init__.py": HI, "evals/agent.py": f"from pkg import hi\n{CALLS_HI}"},
        "./agent.py:answer",
        "evals",
    ),
    "src of a distribution in a larger repository": (
        {"libs/bot/pyproject.toml": "", "libs/bot/src/pkg/agent.py": f"{HI}{CALLS_HI}"},
        "pkg.agent:answer",
        "libs/bot/evals",
    ),
    "two files of one name": (
        {"a/agent.py": HI, "b/agent.py": f"from a.agent import hi\n{CALLS_HI}"},
        "./b/agent.py:answer",
        ".",
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_is_loaded_as_the_module_that_it_is(tmp_path: Path, layout: str) -> None:
    files, ref, base = LAYOUTS[layout]
    write(tmp_path, files)
    (tmp_path / base).mkdir(parents=True, exist_ok=True)
    assert answer(tmp_path, ref, base) == "hello"


def test_an_edit_that_bytecode_would_hide_is_seen(tmp_path: Path) -> None:
    agent = f"from pkg.helper import hi\n{CALLS_HI}"
    write(tmp_path, {"src/pkg/__init__.py": "", "src/pkg/helper.py": HI, "agent.py": agent})
    helper = tmp_path / "src/pkg/helper.py"
    os.utime(helper, ns=(0, 0))
    compiled = f"{sys.executable} -B -c 'import py_compile; py_compile.compile(\"{helper}\")'"
    assert os.system(compiled) == 0
    assert answer(tmp_path, "./agent.py:answer") == "hello"
    helper.write_text(HI.replace("hello", "HELLO"))
    os.utime(helper, ns=(0, 0))
    assert answer(tmp_path, "./agent.py:answer") == "HELLO"


MISSING: dict[str, tuple[dict[str, str], str, str]] = {
    "elsewhere in the project": (
        {"tools/bot/agent.py": CALLS_HI},
        "bot.agent:answer",
        "tools/bot/agent.py exists. Write './tools/bot/agent.py:answer'.",
    ),
    "a typing error": ({"src/agents.py": ""}, "agent:answer", "Did you mean 'agents'?"),
    "a typing error in a package": (
        {"bot/__init__.py": "", "bot/agent.py": ""},
        "bot.agnt:answer",
        "has no module 'agnt'. Did you mean 'agent'?",
    ),
    "a member of a file": ({"bot.py": ""}, "bot.agent:answer", "bot.py, not a package."),
    "a near attribute": ({"agent.py": CALLS_HI}, "./agent.py:anwser", "Did you mean 'answer'?"),
    "another attribute": ({"agent.py": CALLS_HI}, "./agent.py:run", "has no 'run'. It has answer."),
    "a relative import at the top": (
        {"agent.py": f"from .helper import hi\n{CALLS_HI}", "helper.py": HI},
        "./agent.py:answer",
        "The file is in no package: import without the dot",
    ),
    "a library": ({"agent.py": "import no_such_library"}, "./agent.py:answer", sys.executable),
    "a module that is elsewhere": (
        {"agent.py": "import shop_tools", "lib/shop_tools.py": ""},
        "./agent.py:answer",
        "lib/shop_tools.py is not in the search path.",
    ),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_is_not_found_is_explained(tmp_path: Path, case: str) -> None:
    files, ref, advice = MISSING[case]
    write(tmp_path, files)
    message = refusal(tmp_path, ref)
    assert message.startswith(f"{ref!r} cannot be loaded: ")
    assert advice in message
