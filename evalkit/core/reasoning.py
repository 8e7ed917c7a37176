"""Drop the reasoning that a model writes into its answer, such as `<think>...</think>`."""

from __future__ import annotations

import re

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

    Reasoning stands between tags, of which the opening one begins a line. Before the first closing tag
    the opening one may be missing, because some chat templates write it into the prompt. Reasoning that
    never ends is all of the rest, so that an answer that was cut off is empty. Tags inside a fenced code
    block are part of the code.
    """
    before, final, after = text.rpartition(_FINAL_CHANNEL)
    if final:
        return _END_TOKEN.sub("", after)
    kept = _drop_tagged(text)
    if len(kept) == len(text):
        return text
    kept = _START_TOKEN.sub("", kept, count=1) if _START_TOKEN.match(kept) else kept
    return _END_TOKEN.sub("", kept).lstrip()


def _drop_tagged(text: str) -> str:
    kept: list[str] = []
    start = 0
    is_reasoning = has_dropped = False
    fence = ""
    for tag in _TAG.finditer(text):
        if tag["fence"]:
            # In reasoning a fence may be left open, so it hides nothing there.
            mark = tag["fence"].lstrip(" ")
            if is_reasoning:
                continue
            if not fence:
                fence = mark
            elif mark.startswith(fence) and not text[tag.end() : _line_end(text, tag.end())].strip():
                fence = ""
        elif fence:
            continue
        elif tag["open"]:
            if not is_reasoning and _begins_line(text, start, tag.start()):
                kept.append(text[start : tag.start()])
                is_reasoning = has_dropped = True
        elif is_reasoning:
            is_reasoning, start = False, tag.end()
        elif not has_dropped:
            kept, start, has_dropped = [], tag.end(), True
        elif tag.start() - start <= _MAX_GAP and not text[start : tag.start()].strip():
            start = tag.end()  # a closing tag that is doubled
    if not is_reasoning:
        kept.append(text[start:])
    return "".join(kept)


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _begins_line(text: str, start: int, at: int) -> bool:
    """Return whether only white space is before a tag in its line, or since `start`."""
    gap = text[max(start, at - _MAX_GAP) : at]
    line = gap.rpartition("\n")[2]
    return not line.strip() and ("\n" in gap or at - len(gap) == start)
