"""A support agent without a model: it answers from the articles in `knowledge/` or declines."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from language import detect_language, split_sentences, words_of
from phrases import ASKED_AND_TOLD, NEXT_QUESTION, ORDERS, POINTS_BACK, REPLIES
from search import Article, Hit, Index, read_articles

# A turn with at most this many significant words is read together with the previous one.
FEW_WORDS = 2
WEIGHT_OF_CONTEXT = 0.4

# The number of found sentences that are ranked.
CONSIDERED = 40

# The bonus of a sentence with a time when the question asks for one, likewise with an amount.
BONUS = 0.15

# The random part of a sentence's score, which varies like a model's choices, and the possible numbers
# of sentences in an answer.
JITTER = 0.04
SENTENCES = (3, 3, 4)


@dataclass(frozen=True, slots=True)
class Part:
    """One question of the customer, with the text around it."""

    text: str
    context: str


@dataclass(slots=True)
class Reply:
    """An answer under construction."""

    texts: list[str] = field(default_factory=list)
    used: list[Article] = field(default_factory=list)
    searches: list[dict[str, Any]] = field(default_factory=list)

    def as_mapping(self, asked: str) -> dict[str, Any]:
        """Return the answer as a mapping with more than its text."""
        text = " ".join(dict.fromkeys(self.texts))
        read = " ".join(article.text for article in self.used)
        return {
            "output": text,
            "data": {
                "topic": self.used[0].topic if self.used else "none",
                "articles": list(dict.fromkeys(article.name for article in self.used)),
                "answered": bool(self.used),
            },
            "usage": {
                "input_tokens": len(asked.split()) + len(read.split()),
                "output_tokens": len(text.split()),
            },
            "tool_calls": self.searches,
        }


def split_questions(text: str, before: str) -> list[Part]:
    """Split a message into questions, each with the previous one and all statements."""
    sentences = split_sentences(text)
    asking = [sentence for sentence in sentences if sentence.endswith("?")]
    if not asking:
        return [Part(text, before)]
    said = " ".join(sentence for sentence in sentences if sentence not in asking)
    questions = [question for sentence in asking for question in NEXT_QUESTION.split(sentence)]
    earlier = (before, *questions)
    return [Part(text, f"{last} {said}") for text, last in zip(questions, earlier, strict=False)]


def leans_back(text: str, index: Index) -> bool:
    """Return whether a turn is too short to understand alone, or refers to the previous one."""
    few = len(index.terms_in(text)) <= FEW_WORDS
    return few or not POINTS_BACK.isdisjoint(words_of(text))


class SupportAgent:
    """Finds the article that answers a question and returns its best sentences.

    `cut_off` is the share of a question that a sentence and its article must cover. With
    `whole_words`, words are looked up exactly as written.
    """

    def __init__(
        self, articles: Sequence[Article], *, cut_off: float = 0.5, whole_words: bool = False
    ) -> None:
        self.cut_off = cut_off
        self.indexes = {
            language: Index(articles, language, whole_words=whole_words) for language in REPLIES
        }

    def answer(
        self, question: str | Sequence[Mapping[str, str]], context: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Answer a question or the last turn of a conversation; `context["seed"]` is the seed."""
        turns = [{"role": "user", "content": question}] if isinstance(question, str) else question
        said = [turn["content"] for turn in turns if turn["role"] == "user"]
        text, before = said[-1], said[-2] if len(said) > 1 else ""
        seed = context.get("seed")
        rng = random.Random() if seed is None else random.Random(f"{seed} {text!a}")
        reply = self._reply(text, before, rng)
        return reply.as_mapping(asked=" ".join(turn["content"] for turn in turns))

    def _reply(self, text: str, before: str, rng: random.Random) -> Reply:
        language = detect_language(text)
        index, replies = self.indexes[language], REPLIES[language]
        allowed = " ".join(each for each in split_sentences(text) if not ORDERS.search(each))
        if text.strip() and not allowed:
            return Reply(texts=[replies["refused"]])
        reply = Reply()
        for part in split_questions(allowed, before if leans_back(allowed, index) else ""):
            if terms := weigh_terms(part, index):
                hits = index.search(terms, CONSIDERED)
                reply.searches.append(describe_search(part.text, language, hits))
                chosen = self._choose(part, hits, rng)
                reply.used.extend(hit.article for hit in chosen[:1])
                reply.texts.extend([hit.text for hit in chosen] or [replies["unknown"]])
        return reply if reply.searches else Reply(texts=[replies["greeting"]])

    def _choose(self, part: Part, hits: Sequence[Hit], rng: random.Random) -> list[Hit]:
        """Return some of the best sentences of the best article in order; none if all score too low."""
        ranked = rank(part, hits, rng)
        if not ranked or ranked[0][0] < self.cut_off:
            return []
        best = ranked[0][1].article
        chosen = [hit for _, hit in ranked if hit.article is best][: rng.choice(SENTENCES)]
        return sorted(chosen, key=lambda hit: hit.position)


def weigh_terms(part: Part, index: Index) -> dict[str, float]:
    """Return the terms of the question, and with less weight those of the text around it."""
    around, asked = index.terms_in(part.context), index.terms_in(part.text)
    return dict.fromkeys(around, WEIGHT_OF_CONTEXT) | dict.fromkeys(asked, 1.0)


def rank(part: Part, hits: Sequence[Hit], rng: random.Random) -> list[tuple[float, Hit]]:
    """Rank the found sentences, with a bonus for the requested kind of value and some randomness."""
    telling = what_tells(part.text) or what_tells(part.context)
    ranked = []
    for hit in hits:
        bonus = BONUS if any(pattern.search(hit.text) for pattern in telling) else 0.0
        ranked.append((hit.score + bonus + rng.gauss(0.0, JITTER), hit))
    return sorted(ranked, key=lambda item: -item[0])


def what_tells(question: str) -> list[re.Pattern[str]]:
    """Return the patterns of sentences with the kind of value that the question asks for."""
    return [tells for asks, tells in ASKED_AND_TOLD if asks.search(question)]


def describe_search(query: str, language: str, hits: Sequence[Hit]) -> dict[str, Any]:
    """Return the search as a tool call with the three best articles."""
    best: dict[str, float] = {}
    for hit in hits:
        best.setdefault(hit.article.name, hit.score)
    return {
        "name": "search_articles",
        "arguments": {"query": query, "language": language},
        "result": [
            {"article": name, "score": round(score, 3)} for name, score in list(best.items())[:3]
        ],
    }


ARTICLES = read_articles(Path(__file__).parent / "knowledge")

answer = SupportAgent(ARTICLES).answer
