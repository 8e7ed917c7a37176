"""Find the line that names the error in what a crashed program wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_LINE_CHARS = 500
"""How much of a line is read."""

_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_GROUP_MARGIN = re.compile(r"^(?:\s*[|+][\s|+-]*|\[error\] )")
"""What Python prints before the lines of an exception in a group, and sbt before those of an error."""

_NAMED = r"(?:[\w.$:]*(?:Error|Exception|Rejection|Panic|Failure|Fault|Interrupt|Exit)\b)"

_CAUSE = re.compile(r"^\s*(?:Caused by|\[cause\]): (?P<text>.*)")
_MEMBER = re.compile(rf"^\s+(?P<text>{_NAMED}: .*)")
"""One of the errors in Node's `AggregateError`."""

_NEXT_MEMBER = re.compile(r"^(?!1 )\d+ -{8,}$")
"""What is left of the line before the second and later exceptions in a group of Python."""

_NUMBERED_CAUSE = re.compile(r"^\s+\d+: (?P<text>.*)")
"""One of the causes that Rust's `anyhow` lists below `Caused by:`, the innermost last."""

_IGNORED = re.compile(r"^(?:Exception ignored |Error in sys\.excepthook|Task exception was never)")
"""What Python prints before an error that does not end the program, such as one of a destructor."""

_VALIDATION = re.compile(r"\d+ validation errors? for [^:]+$")

_CAUSE_ABOVE = "The above exception was the direct cause"

_ERRORS = tuple(
    re.compile(pattern)
    for pattern in (
        # Java, Kotlin, .NET, PHP, Deno, Elixir, Julia.
        r'^Exception in thread "[^"]*" (?P<text>\S.*)',
        r"^(?P<text>Unhandled [Ee]xception\b.*)",
        r"^\[(?P<text>Unhandled\w*: .*)\](?: \{)?$",
        r"^(?:PHP )?(?P<text>(?:Fatal|Parse) error: .*)",
        r"^(?:error: )?Uncaught (?:\(in promise\) )?(?P<text>\S.*)",
        r"^\*\* (?P<text>\([\w.]+\) .*)",
        # Go, Rust, C, C++, and the runtime of Node.
        r"^(?P<text>panic: .*)",
        r"^(?P<text>fatal error: .*)",
        r"^(?P<text>FATAL ERROR: .*)",
        r"^thread '.*?'(?: \(\d+\))? panicked at '(?P<text>.*)', \S+$",
        r"^(?P<text>thread '.*?'(?: \(\d+\))? panicked at .*)",
        r"^(?P<text>terminate called .*)",
        r"^(?P<text>.*: Assertion `.*' failed\..*)",
        r"^(?P<text>.*\b(?:Segmentation fault|stack smashing detected|AddressSanitizer: .*))",
        # Ruby: `agent.rb:3:in 'ask': no key (KeyError)`; Perl: `no key at agent.pl line 3.`
        r"^(?:\S+:\d+:in [`'].*?': )(?P<text>.+ \([\w:]+\))$",
        r"^(?P<text>\S.* at \S+ line \d+\.)$",
        # Python, Node, and others: `TypeError: x.foo is not a function`.
        rf"^(?:\d\S* |\w+ )?(?P<text>{_NAMED}(?: \[\w+\])?(?:: .*|:?$))",
        # Shells: `./agent.sh: line 3: foo: command not found`, `sh: 1: foo: not found`.
        r"^(?P<text>(?:lua\S*: )?\S+: ?(?:line )?\d+: .+)",
        r"^(?P<text>\S+: .*(?:command not found|No such file or directory|[Pp]ermission denied).*)",
        # Programs: `fatal: not a git repository`, `agent: error: no key`, `curl: (7) Failed ...`.
        r"^(?P<text>(?:[\w./-]+: )?(?i:error|fatal|critical)(?:\[\w+\])?: .*)",
        r"^(?P<text>curl: \(\d+\) .*)",
    )
)
"""Lines that name an error. The group `text` is the part to show."""

_MENTION = re.compile(
    r"(?i)\b(?:error|fatal|fail(?:ed|ure)?|cannot|could not|denied|not found|unable)\b"
)

_NOISE = re.compile(
    r"^(?:\s|[\]})^~-]|Node\.js v\d|Bun v\d|note: |goroutine \d|exit status \d|Traceback \(|"
    r"(?:npm|pnpm|yarn) (?:ERR!|error)|error Command failed|npm error|stack backtrace:|"
    r"Require stack:|CallStack |Caused by:$|For more information|stack traceback:|Execution halted|During handling|The above exception|Aborted|make: \*\*\*)"
)
"""Lines that never say what is wrong: frames, quoted code, and what launchers and runtimes add."""


def find_error_line(text: str) -> str:
    r"""Return the line of a program's output that names its error, with the innermost cause.

    Without a line in a known form it is the last one that mentions an error, or else the last one that
    says anything; empty if there is none.

    >>> find_error_line("file.js:3\n\nTypeError: x.foo is not a function\n    at file.js:3:1\n\nNode.js v22.1.0\n")
    'TypeError: x.foo is not a function'
    """
    lines = [
        _GROUP_MARGIN.sub("", _ESCAPE_SEQUENCE.sub("", line[:MAX_LINE_CHARS])).rstrip()
        for line in text.splitlines()
    ]
    later = [index for index, line in enumerate(lines) if _NEXT_MEMBER.match(line)]
    found = _find_named_error(lines[: later[0]] if later else lines)
    if found and later:
        return f"{found} (and {len(later):,} more)"
    if not found:
        plain = [line for line in lines if line and not _NOISE.match(line)]
        mentions = [line for line in plain if _MENTION.search(line)]
        found = (mentions or plain or [""])[-1].strip()
    return found


def _find_named_error(lines: Sequence[str]) -> str:
    """Return the last error in a known form, with its innermost cause."""
    found, cause, cause_above = "", "", ""
    is_ignored = lists_causes = False
    for index, line in enumerate(lines):
        is_ignored = is_ignored or (bool(found) and _IGNORED.match(line) is not None)
        if line.startswith(_CAUSE_ABOVE):  # Python prints the innermost cause first
            cause_above = cause_above or found
        elif lists_causes and (numbered := _NUMBERED_CAUSE.match(line)):
            cause = numbered["text"]
        elif caused := _CAUSE.match(line):
            cause = _strip_end(caused["text"])
        elif found.startswith("AggregateError") and (member := _MEMBER.match(line)):
            cause = cause or _strip_end(member["text"]).rstrip(",")
        elif not _NOISE.match(line):
            matches = (pattern.match(line) for pattern in _ERRORS)
            match = next((match for match in matches if match), None)
            if match and is_ignored:
                is_ignored = False
            elif match:
                found, cause = _complete(_strip_end(match["text"]), lines[index + 1 :]), cause_above
                cause_above = ""
        lists_causes = lists_causes or line == "Caused by:"
    return (
        f"{found} (caused by {cause})" if found and cause and cause not in found else found or cause
    )


def _complete(text: str, following: Sequence[str]) -> str:
    """Add the next lines to the first line of an error that continues there, such as a Rust panic."""
    after = following[0] if following else ""
    if _VALIDATION.search(text):  # pydantic: the field, then what is wrong with it
        return " ".join([f"{text}:", *(line.strip() for line in following[:2])]).rstrip(":")
    continues = text.endswith(":") and after and not _NOISE.match(after)
    if continues or (text.startswith("terminate called") and after):
        return f"{text} {after.strip()}"
    return text.rstrip(":")


def _strip_end(text: str) -> str:
    # Node prints the fields of an error behind its text.
    return text.removesuffix("{").rstrip()
