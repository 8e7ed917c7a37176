"""`evalkit help`: the pages of the guide, by topic."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path

from evalkit.core.errors import InvalidInput

GUIDE = Path(__file__).parents[1] / "guide"

_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_PAGE_LINK = re.compile(r"(see )?\[([^\]]+)\]\(([\w-]+)\.md(?:#[\w-]*)?\)", re.IGNORECASE)
_FILE_LINK = re.compile(r"\[([^\]]+)\]\((?!\w+:)[^)]*\)")


def list_topics() -> dict[str, str]:
    """Return the first sentence of every page, by topic."""
    return {
        path.stem: _first_sentence(path.read_text())
        for path in sorted(GUIDE.glob("*.md"), key=lambda page: page.stem)
    }


def read_topic(topic: str) -> str:
    """Return a page as Markdown without comments; each link to a page names its topic.

    Raises:
        InvalidInput: there is no such topic.
    """
    path = GUIDE / f"{topic}.md"
    topics = [page.stem for page in GUIDE.glob("*.md")]
    if topic not in topics:
        raise InvalidInput.single(f"there is no topic {topic!r}. {_suggest_topic(topic, topics)}")
    text = _COMMENT.sub("", path.read_text())
    text = _PAGE_LINK.sub(_name_topic, text)
    return _FILE_LINK.sub(r"\1", text)


def _suggest_topic(word: str, topics: list[str]) -> str:
    """Return which topic the user may mean: one with a similar name, or those that mention the word."""
    if near := get_close_matches(word, topics, n=1):
        return f"Did you mean {near[0]!r}?"
    # The page about sets has the words of other tools, so it is the first one.
    mention = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
    found = [
        f"`evalkit help {topic}`"
        for topic in sorted(topics, key=lambda topic: (topic != "evalset", topic))
        if topic != "cli" and mention.search((GUIDE / f"{topic}.md").read_text())
    ]
    if word and found:
        return f"It is mentioned in {', '.join(found[:3])}."
    return "`evalkit help` lists the topics."


def _name_topic(link: re.Match[str]) -> str:
    see, shown, topic = link.groups(default="")
    command = f"`evalkit help {topic}`"
    return f"{see}{command}" if see and shown == topic else f"{see}{shown} ({command})"


def _first_sentence(page: str) -> str:
    paragraph = _COMMENT.sub("", page).split("\n\n")[1]
    sentence = re.split(r"(?<=[.:])\s", " ".join(paragraph.split()), maxsplit=1)[0]
    return _FILE_LINK.sub(r"\1", sentence).replace("`", "").rstrip(":")
