"""An index of a folder of articles that finds the sentences most similar to a question."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from language import STOP_WORDS, split_sentences, stem, words_of

# The weights of a word of the question that is in the sentence, in the title or keywords of its
# article, and anywhere in the article. They add up.
IN_SENTENCE, IN_HEAD, IN_ARTICLE = 0.5, 0.5, 0.4

# The share that a sentence loses when it is twice as long.
LENGTH_SHARE = 0.15

# The rarity of a word in no article equals that of a word in one of 13 sentences: ln(1 + 12.5).
UNKNOWN_RARITY = 2.6

# Two words that share more than this of their letters and letter pairs count as one word with a typo.
NEAR_SPELLING = 0.7
SHORTEST_CORRECTED = 4


@dataclass(frozen=True, slots=True)
class Article:
    """One article of the knowledge base, split into sentences."""

    name: str
    title: str
    keywords: str
    topic: str
    language: str
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join((self.title, self.keywords, *self.sentences))


@dataclass(frozen=True, slots=True)
class Hit:
    """A found sentence; `score` is the share of the question that it covers, up to about 1."""

    article: Article
    position: int
    score: float

    @property
    def text(self) -> str:
        return self.article.sentences[self.position]


def read_articles(folder: Path) -> list[Article]:
    """Read all articles for customers: `key: value` lines between dashes, then the text."""
    articles = []
    for path in sorted(folder.glob("*.md")):
        _, head, body = path.read_text(encoding="utf-8").split("---\n", 2)
        fields = dict(line.split(": ", 1) for line in head.splitlines())
        if fields.get("audience", "customers") == "customers":
            article = Article(
                name=path.stem,
                title=fields["title"],
                keywords=fields["keywords"],
                topic=fields["topic"],
                language=fields["language"],
                sentences=tuple(split_sentences(" ".join(body.split()))),
            )
            articles.append(article)
    return articles


class Spelling:
    """Known words, which similar words find."""

    def __init__(self, known: Iterable[str]) -> None:
        self.features = {word: features_of(word) for word in sorted(set(known))}
        self.words_with: dict[str, list[str]] = defaultdict(list)
        for word, features in self.features.items():
            for feature in features:
                self.words_with[feature].append(word)
        self.correct = lru_cache(maxsize=10_000)(self._correct)

    def _correct(self, word: str) -> str:
        """Return the most similar known word by Dice's coefficient, or the word itself."""
        if word in self.features or len(word) < SHORTEST_CORRECTED or word.isdecimal():
            return word
        wanted = features_of(word)
        shared = Counter(each for feature in wanted for each in self.words_with.get(feature, ()))
        likeness = {
            each: 2 * count / (len(wanted) + len(self.features[each]))
            for each, count in shared.items()
        }
        best = max(likeness, key=lambda each: (likeness[each], each), default=word)
        return best if likeness.get(best, 0.0) > NEAR_SPELLING else word


def features_of(word: str) -> frozenset[str]:
    """Return the letters of a word and its letter pairs, including its boundaries."""
    marked = f"<{word}>"
    return frozenset(word) | {marked[start : start + 2] for start in range(len(marked) - 1)}


class Index:
    """The sentences of one language, found by the words that they share with a question.

    With `whole_words`, words match only as written, with their endings and typos.
    """

    def __init__(
        self,
        articles: Sequence[Article],
        language: str,
        *,
        whole_words: bool = False,
    ) -> None:
        self.language = language
        self.whole_words = whole_words
        self.sentences = [
            (article, position)
            for article in articles
            if article.language == language
            for position in range(len(article.sentences))
        ]
        self.postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for number, weights in enumerate(self._weights()):
            for term, weight in weights.items():
                self.postings[term].append((number, weight))
        known = {word for article, _ in self.sentences for word in words_of(article.text)}
        self.spelling = Spelling(known | STOP_WORDS[language])

    def terms_in(self, question: str) -> list[str]:
        """Return the terms that a question is looked up by."""
        words = words_of(question)
        if not self.whole_words:
            words = [self.spelling.correct(word) for word in words]
        return self._terms_of(words)

    def search(self, terms: Mapping[str, float], limit: int) -> list[Hit]:
        """Return the sentences with the highest share of the question's weighted terms, best first."""
        covered: dict[int, float] = defaultdict(float)
        wanted = 0.0
        for term, importance in terms.items():
            value = importance * self._rarity(term)
            wanted += value
            for number, weight in self.postings.get(term, ()):
                covered[number] += value * weight
        ranked = sorted(covered.items(), key=lambda item: (-item[1], item[0]))[:limit]
        return [Hit(*self.sentences[number], score / wanted) for number, score in ranked]

    def _terms_of(self, words: Iterable[str]) -> list[str]:
        telling = [word for word in words if word not in STOP_WORDS[self.language]]
        return telling if self.whole_words else [stem(word, self.language) for word in telling]

    def _rarity(self, term: str) -> float:
        if term not in self.postings:
            return UNKNOWN_RARITY
        return math.log(1 + len(self.sentences) / len(self.postings[term]))

    def _weights(self) -> list[dict[str, float]]:
        """Return the weight of each term in each sentence."""
        lengths = [len(article.sentences[position]) for article, position in self.sentences]
        usual = sum(lengths) / len(lengths)
        return [
            self._weights_in(article, position, 1 - LENGTH_SHARE * math.log2(length / usual))
            for (article, position), length in zip(self.sentences, lengths, strict=True)
        ]

    def _weights_in(self, article: Article, position: int, brevity: float) -> dict[str, float]:
        weights: dict[str, float] = defaultdict(float)
        fields = (
            (article.sentences[position], IN_SENTENCE * brevity),
            (f"{article.title} {article.keywords}", IN_HEAD),
            (article.text, IN_ARTICLE),
        )
        for text, weight in fields:
            for term in set(self._terms_of(words_of(text))):
                weights[term] += weight
        return weights
