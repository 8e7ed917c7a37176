"""Drop the reasoning that a model writes into its answer, such as `<think>...</think>`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NAMES = "think(?:ing)?|thoughts?|reasoning|reflection|scratchpad|seed:think|antthinking"
_TAG = re.compile(
    rf"""
    (?P<open> <(?:{_NAMES})(?:\s[^<>]{{0,200}})?> | \[think\] | ◁think▷
            | <\|(?:start_thinking|begin_of_thought|begin_of_thinking)\|> )
    | (?P<close> </(?:{_NAMES})> | \[/think\] | ◁/think▷
            | <\|(?:end_thinking|end_of_thought|end_of_thinking)\|> )
    | (?P<fence> ^[ ]{{0,3}}(?:`{{3,}}|~{{3,}}) )
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
# The last message of the format Harmony is the answer.
_FINAL_CHANNEL = "<|channel|>final<|message|>"
_END_TOKEN = re.compile(r"<\|(?:return|end|end_response|end_of_solution)\|>\s*\Z", re.IGNORECASE)
_MAX_GAP = 200
"""White space between tags that is looked at."""

_START_TOKEN = re.compile(r"\s*<\|(?:start_response|begin_of_solution)\|>", re.IGNORECASE)


def drop_reasoning(text: str) -> str:
    """Return a text without the reasoning in it; a text without any is unchanged.

    Reasoning is what is between tags, of which the opening one begins a line. Before the first closing tag
    the opening one may be missing, because some chat templates write it into the prompt. Reasoning that
    never ends is all of the rest, so that an answer that was cut off is empty. Tags inside a fenced code
    block are part of the code.
    """
    _, final, after = text.rpartition(_FINAL_CHANNEL)
    if final:
        return _END_TOKEN.sub("", after)
    kept = _drop_tagged(text)
    if len(kept) == len(text):
        return text
    kept = _START_TOKEN.sub("", kept, count=1) if _START_TOKEN.match(kept) else kept
    return _END_TOKEN.sub("", kept).lstrip()


def _drop_tagged(text: str) -> str:
    scan = _Scan(text)
    for tag in _TAG.finditer(text):
        if tag["fence"]:
            scan.see_fence(tag["fence"].lstrip(" "), tag.end())
        elif scan.fence:
            continue
        elif tag["open"]:
            scan.see_opening(tag.start())
        else:
            scan.see_closing(tag.start(), tag.end())
    if not scan.is_reasoning:
        scan.kept.append(text[scan.start :])
    return "".join(scan.kept)


@dataclass(slots=True)
class _Scan:
    """What is known of a text up to a tag: the parts to keep, and where the next one starts."""

    text: str
    kept: list[str] = field(default_factory=list)
    start: int = 0
    fence: str = ""
    is_reasoning: bool = False
    has_dropped: bool = False
    mentioned: int = 0

    def see_fence(self, mark: str, end: int) -> None:
        # In reasoning a fence may be left open, so it hides nothing there.
        if self.is_reasoning:
            return
        line_end = self.text.find("\n", end)
        rest = self.text[end : line_end if line_end >= 0 else len(self.text)]
        if not self.fence:
            self.fence = mark
        elif mark.startswith(self.fence) and not rest.strip():
            self.fence = ""

    def see_opening(self, at: int) -> None:
        if self.is_reasoning:
            return
        if _begins_line(self.text, self.start, at):
            self.kept.append(self.text[self.start : at])
            self.is_reasoning = self.has_dropped = True
        else:  # the text mentions the tag
            self.mentioned += 1

    def see_closing(self, at: int, end: int) -> None:
        if self.is_reasoning:
            self.is_reasoning, self.start = False, end
        elif self.mentioned:
            self.mentioned -= 1
        elif not self.has_dropped:
            self.kept, self.start, self.has_dropped = [], end, True
        elif at - self.start <= _MAX_GAP and not self.text[self.start : at].strip():
            self.start = end  # a closing tag that is doubled


def _begins_line(text: str, start: int, at: int) -> bool:
    """Return whether only white space is before a tag in its line, or since `start`."""
    gap = text[max(start, at - _MAX_GAP) : at]
    line = gap.rpartition("\n")[2]
    return not line.strip() and ("\n" in gap or at - len(gap) == start)
