"""A secret to the texts that spell it: as it is, escaped, or encoded.

To find one in a text costs a search for a few fixed strings. Only where one of them occurs, a regular
expression finds the whole spelling.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

_HEX = "[0-9a-fA-F]"
_ESCAPES = re.compile(
    rf"(?P<percent>(?:%(?:25)*{_HEX}{{2}})+)"
    rf"|(?P<bytes>(?:\\+x{_HEX}{{2}})+)"
    rf"|(?P<octal>(?:\\+[0-3][0-7]{{2}})+)"
    rf"|\\+(?:u(?P<unit>{_HEX}{{4}})|u\{{0*(?P<braced>{_HEX}{{1,6}})\}}|U00(?P<long>{_HEX}{{6}}))"
    rf"|&(?:amp;)*#(?:0*(?P<decimal>\d{{1,7}})|[xX]0*(?P<entity>{_HEX}{{1,6}}));"
    r"|(?P<dropped>[\r\n]\s*|\\+[rn]|\\+(?![A-Za-z0-9]))"
)
_PERCENT_BYTE = re.compile(rf"%(?:25)*({_HEX}{{2}})")
_HEX_BYTE = re.compile(rf"x({_HEX}{{2}})")
_OCTAL_BYTE = re.compile(r"[0-3][0-7]{2}")
_MARKS = ("%", "\\", "&#", "&amp;", "\n", "\r")
_ENTITIES = {'"': "quot", "'": "apos", "&": "amp", "<": "lt", ">": "gt"}
_CONTROLS = {"\n": "n", "\r": "r", "\t": "t"}
_QUOTED_QUOTE = (r"'\\{1,4}''", r"""'"'"'""", "''")
_BREAK = r"(?:\s|\\{1,8}[rnt]|%(?:25)*0[aAdD])*+"
_BASE64 = r"[A-Za-z0-9+/_-]?"
_PADDING = r"(?:=|%(?:25)*3[dD]|\\{1,8}u003[dD]){0,2}"
_CUT_END = re.compile(
    r"((?:%[0-9a-fA-F]{0,4}|\\{1,8}(?:[uU][0-9a-fA-F]{0,7}|x[0-9a-fA-F]?|[0-3][0-7]?)?|&#?\w{0,7}|[0-9a-fA-F])?)"
    r"\s*(?:\Z|\.\.\.|\[\.\.\.|\u2026)"
)
_CUT_START = re.compile(
    r"(?:\A|(?<=\.\.\.)|(?<=\.\.\.\] )|(?<=\.\.\.\n)|(?<=\u2026))([0-9A-Za-z#{]{0,8}[;}]?(?=[\\%&])|)"
)
_FIXED_RUN = re.compile(r"""[^\s\\'"&<>%+\x80-\U0010ffff]+""")
_ALNUM_RUN = re.compile(r"[A-Za-z0-9]+")

MAX_SPELLING_CHARS = 2_048
"""A spelling of a piece of a secret is no longer: each of its characters has at most about 25."""

MIN_CUT_UNITS = 6
"""The fewest characters (in hex, bytes) of a secret that a cut leaves and that are redacted."""

WINDOW_CHARS = 8_192
"""Texts are searched in windows of this size, so that an expression runs only near a secret."""


def fold(text: str) -> str:
    r"""Return a text, followed by itself with escaped characters as they are and without breaks of lines.

    >>> fold(r"a%62\u0063&#100;").partition("\0")[2]
    'abcd'
    """
    if not any(mark in text for mark in _MARKS):
        return text
    return f"{text}\0{_ESCAPES.sub(_unescape, text)}"


def _unescape(match: re.Match[str]) -> str:
    kind, written = match.lastgroup, match[0]
    match kind:
        case "dropped":
            return ""
        case "percent":
            data = bytes.fromhex("".join(_PERCENT_BYTE.findall(written)))
        case "bytes":
            data = bytes.fromhex("".join(_HEX_BYTE.findall(written)))
        case "octal":
            data = bytes(int(each, 8) for each in _OCTAL_BYTE.findall(written))
        case "decimal":
            return _to_character(int(match["decimal"]))
        case _:
            return _to_character(int(str(match[str(kind)]), 16))
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _to_character(code: int) -> str:
    return chr(code) if code <= 0x10FFFF else ""


def _find_core(text: str, run: re.Pattern[str]) -> str:
    """Return the longest run of characters that are the same in every folded spelling."""
    return max(run.findall(text), key=len, default="")


class SecretForms:
    """The spellings of one secret.

    Every folded text that spells it has one of its `needles`. Every folded text that a cut left with its
    beginning or its end has one of its `cut_needles`.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._data = secret.encode("utf-8", "surrogatepass")
        self._encoded = tuple(_encode_base64(self._data, offset) for offset in range(3))
        digits = self._data.hex()
        # What looks like an escape in the secret itself may be folded away, whatever it is.
        certain = _ESCAPES.sub(lambda match: " " * len(match[0]), secret)
        texts = (certain, *self._encoded, digits, digits.upper())
        runs = (_FIXED_RUN, *[_ALNUM_RUN] * 5)
        self.needles = tuple(dict.fromkeys(map(_find_core, texts, runs)))
        ends = [
            _find_core(end, run)
            for text, run in zip(texts, runs, strict=True)
            for end in (text[:MIN_CUT_UNITS], text[-MIN_CUT_UNITS:])
        ]
        self.cut_needles = tuple(dict.fromkeys(ends))

    def find(self, text: str, windows: Iterable[Window]) -> Iterator[tuple[int, int]]:
        """Yield start and end of every spelling in a text that was cut into windows."""
        for window in windows:
            if any(needle in window.folded for needle in self.needles):
                found = self._pattern.finditer(text, window.start, window.end)
                yield from (match.span() for match in found)

    def find_cut(self, text: str, windows: Iterable[Window]) -> Iterator[tuple[int, int]]:
        """Yield start and end of what a cut of the text has left of a spelling."""
        for window in windows:
            if any(needle in window.folded for needle in self.cut_needles):
                for units in self._unit_lists:
                    yield from _find_beginnings(text, window, units)
                    yield from _find_endings(text, window, units)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """The regular expression of all spellings; compiling it takes milliseconds, so only when needed."""
        spelled = ["".join(_list_escaped(self._secret)), _BREAK.join(_list_hex(self._data))]
        for offset, text in enumerate(self._encoded):
            body = _BREAK.join(_list_base64(text))
            # A character beside it may depend on the secret and on what is around it.
            before = _BASE64 if offset else ""
            after = f"{_BREAK}{_BASE64}" if (offset + len(self._data)) % 3 else ""
            spelled.append(f"{before}{body}{after}{_PADDING}")
        return re.compile("|".join(spelled))

    @cached_property
    def _unit_lists(self) -> list[list[str]]:
        """The patterns of the characters of a secret, one list for each way to spell it."""
        encoded = [_list_hex(self._data), *map(_list_base64, self._encoded)]
        return [
            _list_escaped(self._secret),
            *([f"{unit}{_BREAK}" for unit in units] for units in encoded),
        ]


class Window(NamedTuple):
    """A part of a text, folded."""

    start: int
    end: int
    folded: str


def cut_windows(text: str) -> list[Window]:
    """Return the windows of a text, which overlap so that every spelling is within one."""
    spans = (
        (start, min(len(text), start + WINDOW_CHARS + MAX_SPELLING_CHARS))
        for start in range(0, len(text), WINDOW_CHARS)
    )
    return [Window(start, end, fold(text[start:end])) for start, end in spans]


def _find_beginnings(text: str, window: Window, units: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the beginnings of a spelling that a cut of the text ends."""
    first, at = _compile("".join(units[:MIN_CUT_UNITS])), window.start
    while match := first.search(text, at, window.end):
        at = match.end()
        for unit in units[MIN_CUT_UNITS:]:
            following = _compile(unit).match(text, at)
            if following is None:
                break
            at = following.end()
        if cut := _CUT_END.match(text, at):
            yield match.start(), cut.end(1)


def _find_endings(text: str, window: Window, units: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the ends of a spelling that a cut of the text begins."""
    for cut in _CUT_START.finditer(text, window.start, window.end):
        for place in {cut.start(1), cut.end(1)}:
            for skipped in range(1, len(units) - MIN_CUT_UNITS + 1):
                at, rest = place, units[skipped:]
                for unit in rest:
                    following = _compile(unit).match(text, at)
                    if following is None:
                        break
                    at = following.end()
                else:
                    yield cut.start(1), at


@lru_cache(maxsize=2048)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _encode_base64(data: bytes, offset: int) -> str:
    """Return the base64 characters that depend on the data alone.

    The data begin `offset` bytes after a multiple of three.

    Source: RFC 4648, section 4: three bytes are four characters of six bits.
    """
    text = base64.b64encode(b"\0" * offset + data + b"\0\0").decode()
    return text[-(-8 * offset // 6) : 8 * (offset + len(data)) // 6]


def _list_base64(text: str) -> list[str]:
    letters = {
        "+": r"(?:[+-]|%(?:25)*2[bB]|\\{1,8}u002[bB])",
        "/": r"(?:\\{0,8}/|_|%(?:25)*2[fF]|\\{1,8}u002[fF])",
    }
    return [letters.get(letter, letter) for letter in text]


def _list_hex(data: bytes) -> list[str]:
    return [_any_case(byte) for byte in data]


def _list_escaped(secret: str) -> list[str]:
    """Return the patterns of the characters of a secret, each of which may be escaped by itself.

    Backslashes are one pattern, because escapes double them. It takes all that there are, also those of an
    escape of the next character, which therefore needs none.
    """
    units = []
    for run, letter in re.findall(r"(\\*)([^\\]|\Z)", secret):
        spelled = _spell_character(letter) if letter else ""
        if run:
            escaped = (
                r"(?:%(?:25)*5[cC]|\\{1,8}(?:u005[cC]|x5[cC])"
                rf"|&(?:amp;)*#(?:0*92|[xX]0*5[cC]);){{{len(run)}}}"
            )
            units.append(rf"(?:{escaped}|\\{{{len(run)},{16 * len(run)}}}+)")
            spelled = spelled.replace(r"\\{1,8}", r"\\{0,8}")
        units += [spelled] if spelled else []
    return units


@lru_cache(maxsize=512)
def _spell_character(letter: str) -> str:
    code, data = ord(letter), letter.encode("utf-8", "surrogatepass")
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    forms = [
        rf"\\{{0,8}}{re.escape(letter)}",
        "".join(rf"%(?:25)*{_any_case(byte)}" for byte in data),
        "".join(rf"\\{{1,8}}x{_any_case(byte)}" for byte in data),
        "".join(rf"\\{{1,8}}{byte:03o}" for byte in data),
        "".join(rf"\\{{1,8}}u{_any_hex(units[at : at + 4])}" for at in range(0, len(units), 4)),
        rf"\\{{1,8}}u\{{0*{_any_hex(f'{code:x}')}\}}",
        rf"\\{{1,8}}U{_any_hex(f'{code:08x}')}",
        rf"&(?:amp;)*#(?:0*{code}|[xX]0*{_any_hex(f'{code:x}')});",
    ]
    if 0x80 <= code < 0x100:
        forms.append(rf"\\{{1,8}}x{_any_case(code)}")
    if letter in _ENTITIES:
        forms.append(rf"&(?:amp;)*{_ENTITIES[letter]};")
    if letter in _CONTROLS:
        forms.append(rf"\\{{1,8}}{_CONTROLS[letter]}")
    if letter == "'":
        forms[:0] = _QUOTED_QUOTE
    if letter == " ":
        forms.append(r"\+")
    return f"(?:{'|'.join(forms)})"


def _any_case(byte: int) -> str:
    return _any_hex(f"{byte:02x}")


def _any_hex(digits: str) -> str:
    return "".join(_any_digit(digits))


def _any_digit(digits: str) -> Iterator[str]:
    for digit in digits:
        yield f"[{digit}{digit.upper()}]" if digit.isalpha() else digit
