"""The line that names the error, in what programs of many languages leave behind when they crash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.agents.error_line import find_error_line

NODE_FETCH = """\
node:internal/deps/undici/undici:14976
      Error.captureStackTrace(err);
            ^

TypeError: fetch failed
    at node:internal/deps/undici/undici:14976:13
    at async file:///srv/agent.mjs:2:1 {
  [cause]: Error: connect ECONNREFUSED 127.0.0.1:8000
      at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1607:16) {
    errno: -111,
    code: 'ECONNREFUSED'
  }
}

Node.js v22.1.0
"""

NODE_FIELDS = """\
/srv/agent.js:1
throw new APIError("bad key")
^

APIError: bad key
    at Object.<anonymous> (/srv/agent.js:1:104) {
  status: 401
}

Node.js v20.20.2
"""

NODE_GROUP = """\
AggregateError [ECONNREFUSED]:
    at internalConnectMultiple (node:net:1139:18) {
  code: 'ECONNREFUSED',
  [errors]: [
    Error: connect ECONNREFUSED ::1:1
        at createConnectionError (node:net:1675:14),
    Error: connect ECONNREFUSED 127.0.0.1:1
        at createConnectionError (node:net:1675:14)
  ]
}

Node.js v22.1.0
"""

JAVA = """\
Exception in thread "main" java.lang.IllegalStateException: no answer
\tat Agent.main(Agent.java:5)
Caused by: shop.StoreException: no store
\tat Agent.open(Agent.java:3)
Caused by: java.io.IOException: disk
\t... 3 more
"""

PYTHON_WARNING = """\
/srv/agent.py:3: DeprecationWarning: old
  old()
ERROR:root:retry 1
Traceback (most recent call last):
  File "/srv/agent.py", line 1, in <module>
openai.AuthenticationError: Error code: 401 - {'error': {'message': 'bad key'}}
"""

CASES = {
    "node": ("a.js:1\nx.foo()\n  ^\n\nTypeError: x.foo is not a function\n    at a.js:1:3\n\nNode.js v22.1.0\n", "TypeError: x.foo is not a function"),
    "node with a cause": (NODE_FETCH, "TypeError: fetch failed (caused by Error: connect ECONNREFUSED 127.0.0.1:8000)"),
    "node with fields": (NODE_FIELDS, "APIError: bad key"),
    "node with several errors": (NODE_GROUP, "AggregateError [ECONNREFUSED] (caused by Error: connect ECONNREFUSED ::1:1)"),
    "node out of memory": ("<--- Last few GCs --->\n\nFATAL ERROR: Reached heap limit\n----- Native stack trace -----\n", "FATAL ERROR: Reached heap limit"),
    "npm": ("TypeError: bad\n    at a.js\nnpm ERR! code ELIFECYCLE\nnpm ERR! errno 1\n", "TypeError: bad"),
    "deno": ("error: Uncaught (in promise) TypeError: x is not a function\n    at a.ts:1:1\n", "TypeError: x is not a function"),
    "bun": ("1 | x.foo()\n    ^\nTypeError: no foo\n      at /a.js:1:1\n\nBun v1.1.0 (Linux x64)\n", "TypeError: no foo"),
    "java": (JAVA, "java.lang.IllegalStateException: no answer (caused by java.io.IOException: disk)"),
    ".NET": ("Unhandled exception. System.InvalidOperationException: no key\n   at Program.Main()\n", "Unhandled exception. System.InvalidOperationException: no key"),
    "go": ("panic: index out of range [3]\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:5 +0x1d\nexit status 2\n", "panic: index out of range [3]"),
    "go log": ("2026/01/02 03:04:05 no key\nexit status 1\n", "2026/01/02 03:04:05 no key"),
    "rust": ("\nthread 'main' (12) panicked at src/main.rs:2:5:\nno key\nnote: run with `RUST_BACKTRACE=1`\n", "thread 'main' (12) panicked at src/main.rs:2:5: no key"),
    "rust before 1.73": ("thread 'main' panicked at 'no key', src/main.rs:2:5\nnote: run with `RUST_BACKTRACE=1`\n", "no key"),
    "c++": ("terminate called after throwing an instance of 'E'\n  what():  no key\nAborted (core dumped)\n", "terminate called after throwing an instance of 'E' what():  no key"),
    "ruby": ("a.rb:2:in `fetch': key not found (KeyError)\n\tfrom a.rb:2:in `<main>'\n", "key not found (KeyError)"),
    "ruby 3.4": ("a.rb:1:in 'Integer#/': divided by 0 (ZeroDivisionError)\n", "divided by 0 (ZeroDivisionError)"),
    "php": ("PHP Fatal error:  Uncaught Exception: no key in /a.php:3\nStack trace:\n#0 {main}\n  thrown in /a.php on line 3\n", "Fatal error:  Uncaught Exception: no key in /a.php:3"),
    "perl": ("no key at a.pl line 3.\n", "no key at a.pl line 3."),
    "lua": ("lua: a.lua:1: attempt to call nil\nstack traceback:\n\t[C]: in ?\n", "lua: a.lua:1: attempt to call nil"),
    "r": ("Error in f(1) : no key\nCalls: f\nExecution halted\n", "Error in f(1) : no key"),
    "bash": ("start\n./a.sh: line 3: foo: command not found\n", "./a.sh: line 3: foo: command not found"),
    "sh": ("a.sh: 3: foo: not found\nbye\n", "a.sh: 3: foo: not found"),
    "git": ("fatal: not a git repository\nmore help follows\n", "fatal: not a git repository"),
    "colored": ("\x1b[31mError: no key\x1b[0m\n    at x\n", "Error: no key"),
    "python": (PYTHON_WARNING, "openai.AuthenticationError: Error code: 401 - {'error': {'message': 'bad key'}}"),
    "python's destructor": ("ValueError: bad\nException ignored in: <function X.__del__ at 0x1>\nTraceback (most recent call last):\nRuntimeError: Event loop is closed\n", "ValueError: bad"),
    "pydantic": ("pydantic.ValidationError: 1 validation error for Order\nid\n  Field required [type=missing]\n", "pydantic.ValidationError: 1 validation error for Order: id Field required [type=missing]"),
    "rust's anyhow": ("Error: no config\n\nCaused by:\n    0: reading agent.toml\n    1: no such file\n", "Error: no config (caused by no such file)"),
    "haskell": ("agent: no key\nCallStack (from HasCallStack):\n  error, called at a.hs:1:8 in main:Main\n", "agent: no key"),
    "scala": ("[error] java.lang.RuntimeException: no key\n[error] \tat A.main(A.scala:3)\n", "java.lang.RuntimeException: no key"),
    "node with a value": ("[UnhandledPromiseRejection: The promise rejected with the reason \"no key\".] {\n  code: 'X'\n}\n", "UnhandledPromiseRejection: The promise rejected with the reason \"no key\"."),
    "a mention": ("could not reach the database\nbye\n", "could not reach the database"),
    "the last line": ("one\ntwo\n\n", "two"),
    "nothing": ("\n\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_line_that_names_the_error_is_found(case: str) -> None:
    text, line = CASES[case]
    assert find_error_line(text) == line


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("raise KeyError('x')", "KeyError: 'x'"),
        ("try: 1/0\nexcept Exception as e: raise OSError('a\\nb') from e", "OSError: a (caused by ZeroDivisionError: division by zero)"),
        ("raise ExceptionGroup('g', [ExceptionGroup('h', [ValueError('leaf')])])", "ValueError: leaf"),
        ("raise ExceptionGroup('g', [ValueError('first'), ExceptionGroup('h', [KeyError('a'), OSError('b')])])", "ValueError: first (and 2 more)"),
        ("import sys; print('loading', file=sys.stderr); sys.exit('no key is set')", "no key is set"),
        ("import argparse; p = argparse.ArgumentParser(prog='a'); p.add_argument('x'); p.parse_args([])", "a: error: the following arguments are required: x"),
        ("import missing_library", "ModuleNotFoundError: No module named 'missing_library'"),
        ("x = (", "SyntaxError: '(' was never closed"),
    ],
)  # fmt: skip
def test_python_s_own_words_are_read(tmp_path: Path, source: str, line: str) -> None:
    (tmp_path / "a.py").write_text(source)
    command = [sys.executable, "-IS", "a.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert find_error_line(done.stderr) == line


def test_long_lines_take_no_time() -> None:
    assert find_error_line("a: " * 30_000 + "\n" + " at " * 30_000)
