"""Make any text safe to show: on a terminal, in a CI log, in XML, and in Markdown.

Text from an agent, a file, or a plugin is data. Shown unchanged, it could move the cursor, reverse the
reading order, hide itself, end a table, or give a CI system a command. Every text that is shown to
people goes through this module: harmless characters stay, and the others become visible escapes.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator

from evalkit.core.literals import Json

# Unicode 16: general categories Cc, Cs, Zl, Zp, the invisible ones of Cf, every code point with the
# property Default_Ignorable_Code_Point except the variation selectors of emoji, and the
# noncharacters of the basic plane, which XML forbids.
_UNSAFE_CHARACTERS = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_UNSAFE = re.compile(f"[{_UNSAFE_CHARACTERS}]")
_UNSAFE_BUT_NEWLINE = re.compile(f"(?!\n)[{_UNSAFE_CHARACTERS}]")
_NAMED_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}

# GitHub's runner reads `::name` after leading blanks, and `##[name]` anywhere in a line, as commands.
# Its culture-sensitive comparison skips variation selectors and our own color codes
# (actions/runner, ActionCommand.cs). Azure Pipelines and TeamCity read `##vso[` and `##teamcity[`.
_VARIATION_SELECTORS = "[\ufe00-\ufe0f]*"
_BEFORE_COMMAND = "(?:[^\\S\n]|[\ufe00-\ufe0f]|\x1b\\[[0-9;]*m)*"
_COLON_COMMAND = re.compile(f"^({_BEFORE_COMMAND}):(?={_VARIATION_SELECTORS}:)", re.MULTILINE)
_HASH_COMMAND = re.compile(
    f"#(?={_VARIATION_SELECTORS}#{_VARIATION_SELECTORS}[A-Za-z]*{_VARIATION_SELECTORS}\\[)"
)

_EMOJI_STYLE = "\ufe0f"
_ELLIPSIS = "…"
_CUT_BEFORE = "[...] "
_BACKTICKS = re.compile("`+")
# An underscore inside a word is not emphasis (CommonMark 6.2).
_MARKDOWN_SPECIAL = re.compile(r"[\\`*\[\]<&|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_MARKDOWN_OPENING = re.compile(r"^(\d{1,9}(?=[.)])|(?=[-+=:>]))")
# GitHub and GitLab turn these into a mention, an issue, a link, or an emoji anywhere in a text.
_MARKDOWN_REFERENCE = re.compile(r"[@#]|://|www\.|\bGH-\d|:\w+:", re.IGNORECASE)


def escape_character(match: re.Match[str]) -> str:
    r"""Return the visible escape of a matched character, such as `\n` or `\x1b`."""
    char = match[0]
    code = ord(char)
    if char in _NAMED_ESCAPES:
        return _NAMED_ESCAPES[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape_unsafe(text: str, *, newlines: bool = False) -> str:
    r"""Escape every character that is invisible, reorders text, or controls a terminal.

    The result is one line; with `newlines` it is a block that keeps line ends and has spaces for tabs.
    Printable characters stay, so that escaping twice changes nothing.

    >>> escape_unsafe("a\x1b[31m\nb")
    'a\\x1b[31m\\nb'
    """
    if newlines:
        return _UNSAFE_BUT_NEWLINE.sub(escape_character, text.replace("\r\n", "\n").expandtabs(4))
    return _UNSAFE.sub(escape_character, text)


def escape_ci_commands(text: str) -> str:
    """Break everything that a CI system would read as a command in its log.

    Apply it to whole rendered lines, because wrapping can put any word first.
    """
    return _HASH_COMMAND.sub(r"\\x23", _COLON_COMMAND.sub(r"\1\\x3a", text))


def escape_non_ascii(text: str) -> str:
    """Escape the characters that an ASCII terminal cannot show."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _char_cells(char: str) -> int:
    if char == _EMOJI_STYLE:
        return 1  # it turns the symbol before it from one cell into an emoji of two
    if unicodedata.category(char) in ("Mn", "Me") or "\u1160" <= char <= "\u11ff":
        return 0  # marks, and vowels and finals of Hangul, combine with the character before them
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cell_width(text: str) -> int:
    """Return the number of terminal cells of escaped text on one line."""
    return len(text) if text.isascii() else sum(map(_char_cells, text))


def _fit_cells(text: str, width: int) -> str:
    """Return the longest beginning of escaped text that fits into `width` cells."""
    if text.isascii():
        return text[:width]
    used = 0
    for index, char in enumerate(text):
        used += _char_cells(char)
        if used > width:
            return text[:index]
    return text


def one_line(text: str, width: int, *, ellipsis: str = _ELLIPSIS) -> str:
    """Escape a text and cut it to one line of at most `width` cells; an ellipsis marks the cut."""
    # Combining marks have no width, so the length needs a bound of its own: 8 characters per cell.
    limit = 8 * width
    cleaned = escape_unsafe(text[:limit])
    if len(text) <= limit and cell_width(cleaned) <= width:
        return cleaned
    left = width - cell_width(ellipsis)
    return _fit_cells(cleaned, left).rstrip() + ellipsis if left > 0 else ellipsis[: max(width, 0)]


def _split_word(word: str, width: int) -> Iterator[str]:
    while word:
        piece = _fit_cells(word, width) or word[0]
        yield piece
        word = word[len(piece) :]


def wrap(text: str, width: int) -> list[str]:
    """Escape a text and wrap it at spaces into lines of at most `width` cells; long words are split."""
    lines: list[str] = []
    for word in escape_unsafe(text).split(" "):
        for piece in _split_word(word, width):
            joined = f"{lines[-1]} {piece}" if lines else piece
            if lines and cell_width(joined) <= width:
                lines[-1] = joined
            else:
                lines.append(piece)
    return lines or [""]


def head(text: str, limit: int) -> str:
    """Return the beginning of a text as escaped lines; a note replaces what exceeds `limit` characters."""
    cleaned = escape_unsafe(text[:limit], newlines=True)
    if len(text) <= limit and len(cleaned) <= limit:
        return cleaned
    note = f"\n[... {len(text):,} characters in all]"
    return cleaned[: max(limit - len(note), 0)] + note


def tail(text: str, limit: int) -> str:
    """Return the end of a text as escaped lines of at most `limit` characters; errors are at the end."""
    cleaned = escape_unsafe(text[max(len(text) - limit, 0) :], newlines=True)
    if len(text) <= limit and len(cleaned) <= limit:
        return cleaned
    kept = max(limit - len(_CUT_BEFORE), 0)
    return _CUT_BEFORE + cleaned[len(cleaned) - kept :]


def format_json(document: Json) -> str:
    """Format a document as indented, sorted, strict ASCII JSON without commands for a CI system.

    Raises:
        ValueError: It contains NaN or an infinity.
    """
    block = json.dumps(document, sort_keys=True, indent=2, allow_nan=False)
    # Both can occur only in strings, where JSON allows an escape for any character.
    return _HASH_COMMAND.sub(r"\\u0023", block).replace("\x7f", r"\u007f") + "\n"


def escape_xml(text: str) -> str:
    """Escape the characters that XML 1.0 does not allow; the XML writer escapes markup."""
    return escape_unsafe(text, newlines=True)


def _longest_run(text: str) -> int:
    return max((len(run) for run in _BACKTICKS.findall(text)), default=0)


def markdown_code(text: str, *, cell: bool = False) -> str:
    r"""Format one line of data as a code span, so that nothing in it is markup, a link, or a mention.

    With `cell`, vertical bars are escaped, because some renderers end the table cell even at `\|`.
    """
    cleaned = escape_unsafe(text)
    if cell:
        cleaned = cleaned.replace("|", r"\x7c")
    if not cleaned.strip(" "):
        return "(empty)"
    fence = "`" * (_longest_run(cleaned) + 1)
    padding = " " if cleaned[0] in "` " or cleaned[-1] in "` " else ""
    return f"{fence}{padding}{cleaned}{padding}{fence}"


def markdown_text(text: str) -> str:
    """Format a sentence with data as one Markdown line; words that would become links become code."""
    words = []
    for word in escape_unsafe(text).split():
        if _MARKDOWN_REFERENCE.search(word):
            words.append(markdown_code(word))
        else:
            words.append(_MARKDOWN_SPECIAL.sub(r"\\\g<0>", word))
    return _MARKDOWN_OPENING.sub(r"\1\\", " ".join(words))


def has_visible_text(text: str) -> bool:
    r"""Return whether a text has more than spaces and invisible characters.

    >>> has_visible_text(" a"), has_visible_text(" \u200b\n")
    (True, False)
    """
    return any(each.isprintable() and not each.isspace() for each in text)


def markdown_fence(text: str, *, language: str = "text") -> str:
    """Format lines of data as a fenced block that no backticks in the data can close."""
    cleaned = escape_unsafe(text, newlines=True)
    fence = "`" * max(3, _longest_run(cleaned) + 1)
    return f"{fence}{language}\n{cleaned}\n{fence}"


_FORMULA = re.compile(r"[ ']*[=+\-@\t\r\n＝＋－＠]")
"""The beginning of a cell that a spreadsheet takes for a formula, escaped or not (OWASP)."""


def escape_csv_formula(cell: str) -> str:
    """Escape a CSV cell that a spreadsheet would take for a formula, by an apostrophe before it.

    >>> escape_csv_formula("=1+1"), escape_csv_formula("plain")
    ("'=1+1", 'plain')
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unescape_csv_formula(cell: str) -> str:
    """Return the text that `escape_csv_formula` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell
