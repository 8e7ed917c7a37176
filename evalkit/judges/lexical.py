"""The judge without a model: compares an answer's words with the reference and the labelled examples.

It is deterministic, needs no network, and understands nothing: it serves demonstrations, tests and CI
without a key, and is named in every report as what it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from evalkit.digest import digest
from evalkit.judgement import CriterionVerdict, JudgeSpec, Reading
from evalkit.judges.wording import (
    Lexicon,
    clauses_of,
    find_like,
    is_number,
    sentences_of,
    share,
    weigh,
    words_of,
)
from evalkit.judging.question import Question
from evalkit.records import Problem, Surroundings
from evalkit.rubric import Criterion, Example, Level

VERSION = 2
"""Raised whenever equal answers get other levels than before."""

LEAST_LIKENESS = 0.7
"""Of an answer with an example, from which on the example's level is the answer's."""

WRONG_NUMBER = 0.5
"""The most that an answer can agree with a reference of which it lacks a number."""
WRONG_SIGN = 0.2
"""The most that it can agree when one of the two says no and the other does not."""

SAME_MATTER = 0.6
"""The part of a reference's clause that a clause of the answer repeats when it is about the same."""
ENOUGH_TO_DENY = 2.5
"""Weight of words; a bare `fabric softener` is neither affirmed nor denied by `never use it`."""

TAKEN_UP = 0.5
"""The part of a question's words that a good answer repeats; the others only ask."""

MAX_EVIDENCE = 200
MAX_NAMED = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The level of an answer, the words that show it, and what they were compared with."""

    level: Level
    evidence: str = ""
    because: str


def check(spec: JudgeSpec, surroundings: Surroundings) -> list[str]:  # noqa: ARG001 - it needs nothing
    """Refuse arguments: it takes none."""
    return ["it takes no arguments. Write `judge: lexical`."] if spec.args else []


@asynccontextmanager
async def open(  # noqa: A001 - every kind of judge has a check and an open
    spec: JudgeSpec,  # noqa: ARG001 - it needs nothing
    surroundings: Surroundings,  # noqa: ARG001 - likewise
) -> AsyncIterator[LexicalJudge]:
    """Yield the judge."""
    yield LexicalJudge()


@dataclass(frozen=True, slots=True)
class LexicalJudge:
    """Gives the level whose labelled words are most like the answer's."""

    name: str = "lexical"
    is_local: bool = True
    votes: int = 1
    down: str = ""
    refused: Problem | None = None

    @property
    def digest(self) -> str:
        """Of its rules; there is nothing else to it."""
        return digest(["lexical", VERSION])

    async def start(self) -> None:
        """There is nothing to load."""

    async def read(self, question: Question) -> Reading:
        """Judge every criterion by itself."""
        verdicts = tuple(_judge(criterion, question) for criterion in question.criteria)
        return Reading(verdicts=verdicts, judge=self.name, digest=self.digest)


def _judge(criterion: Criterion, question: Question) -> CriterionVerdict:
    finding = decide(criterion, question)
    return CriterionVerdict(
        criterion=criterion.name,
        level=finding.level.name,
        value=finding.level.value,
        evidence=finding.evidence[:MAX_EVIDENCE],
        explanation=f"by words alone: {finding.because}",
    )


def decide(criterion: Criterion, question: Question) -> Finding:
    """The level of the example that the answer is like, if any.

    Else the level that is for answers in which nothing speaks for another one, unless the examples are
    about references like this one; else by how far the answer agrees with the reference, keeps to the
    context, or takes up the question.
    """
    alike = _find_example(criterion, question)
    if alike is not None:
        return alike
    otherwise = criterion.level(criterion.otherwise)
    if otherwise is not None and not _has_example_of(question.reference, criterion):
        return Finding(level=otherwise, because="it is like no example of another level")
    if question.reference:
        return _hold_to_reference(criterion, question)
    if question.context:
        return _hold_to_context(criterion, question)
    return _hold_to_question(criterion, question)


def _find_example(criterion: Criterion, question: Question) -> Finding | None:
    """The level of the example most like the answer, if one is like it.

    An example of the level that needs no evidence is like an answer of just its words alone.
    """
    plain = words_of(question.answer)
    best: Finding | None = None
    likeness = LEAST_LIKENESS
    for example in criterion.examples:
        level = criterion.level(example.level)
        if level is None or not _is_about(example, question):
            continue
        if words_of(example.answer) == plain:
            because = f"it is the example of level {level.name}, word for word"
            return Finding(level=level, evidence=_first(question.answer), because=because)
        if level.name == criterion.otherwise:
            continue
        found, where = find_like(example.answer, question.answer)
        is_kinder = best is not None and level.value >= best.level.value
        if found > likeness or (found == likeness and not is_kinder):
            likeness = found
            because = f"{found:.0%} of the words of an example of level {level.name} are in it"
            best = Finding(level=level, evidence=where, because=because)
    return best


def _is_about(example: Example, question: Question) -> bool:
    """Whether an example holds here: for its own reference and context, or for any.

    One that holds for any does not where the reference itself says what it says.
    """
    pairs = ((example.reference, question.reference), (example.context, question.context))
    if any(own and words_of(own) != words_of(asked) for own, asked in pairs):
        return False
    if example.reference or not question.reference:
        return True
    return find_like(example.answer, question.reference)[0] < LEAST_LIKENESS


def _has_example_of(reference: str, criterion: Criterion) -> bool:
    own = {example.reference for example in criterion.examples if example.reference}
    return bool(reference) and any(find_like(each, reference)[0] >= LEAST_LIKENESS for each in own)


def _hold_to_reference(criterion: Criterion, question: Question) -> Finding:
    """How much of what the reference says beyond the question is in the answer, with no other sign."""
    wanted = words_of(question.reference)
    weights = weigh(wanted, known=words_of(question.input))
    said = Lexicon(words_of(question.answer))
    # A reference such as "No." holds nothing that weighs.
    agreement = share(weights, said) if weights else float(said.words.issuperset(wanted))
    lacking = _lacking(weights, said)
    because = f"it has {agreement:.0%} of what the reference adds to the question"
    if lacking:
        because += f"; not {_enumerate(lacking)}"
    if any(map(is_number, lacking)):
        agreement = min(agreement, WRONG_NUMBER)
    evidence = _best_sentence(weights, question.answer)
    denied = _find_denied(question)
    if denied:
        agreement, evidence = min(agreement, WRONG_SIGN), denied
        because += "; one of the two says no, the other does not"
    return Finding(level=_level_at(criterion, agreement), evidence=evidence, because=because)


def _find_denied(question: Question) -> str:
    """A clause of the answer that says what one of the reference says, with a no in only one of them."""
    for clause in clauses_of(question.reference):
        if not clause.is_negated and sum(clause.weights.values()) < ENOUGH_TO_DENY:
            continue
        about = [
            said
            for said in (*clauses_of(question.answer), *sentences_of(question.answer))
            if share(clause.weights, said.lexicon) >= SAME_MATTER
        ]
        if about and all(said.is_negated != clause.is_negated for said in about):
            return about[0].text
    return ""


def _hold_to_context(criterion: Criterion, question: Question) -> Finding:
    """How much of what the answer says is in what it had to rest on, or in the question."""
    given = Lexicon((*words_of(question.context), *words_of(question.input)))
    weights = weigh(words_of(question.answer))
    support = share(weights, given)
    missing = _lacking(weights, given)
    because = f"{support:.0%} of what it says is in the context"
    if missing:
        because += f"; not {_enumerate(missing)}"
    if any(map(is_number, missing)):
        support = min(support, WRONG_SIGN)
    answer = sentences_of(question.answer)
    worst = min(answer, key=lambda sentence: share(sentence.weights, given), default=None)
    return Finding(
        level=_level_at(criterion, support),
        evidence=worst.text if worst else "",
        because=because,
    )


def _hold_to_question(criterion: Criterion, question: Question) -> Finding:
    """How much of what was asked the answer takes up."""
    weights = weigh(words_of(question.input))
    found = share(weights, Lexicon(words_of(question.answer)))
    return Finding(
        level=_level_at(criterion, min(1.0, found / TAKEN_UP)),
        evidence=_best_sentence(weights, question.answer),
        because=f"it takes up {found:.0%} of the question's words",
    )


def _level_at(criterion: Criterion, agreement: float) -> Level:
    """The level whose value is nearest, of two the lower; 0 stands for the lowest, 1 for the highest."""
    values = [level.value for level in criterion.levels]
    aim = min(values) + agreement * (max(values) - min(values))
    return min(criterion.levels, key=lambda level: (round(abs(level.value - aim), 9), level.value))


def _best_sentence(weights: Mapping[str, float], answer: str) -> str:
    """The sentence that holds most of some words; the first when none holds any."""
    sentences = sentences_of(answer)
    best = max(sentences, key=lambda each: share(weights, each.lexicon), default=None)
    return best.text if best else ""


def _lacking(weights: Mapping[str, float], lexicon: Lexicon) -> list[str]:
    """The telling words that are not there, numbers first."""
    lacking = [word for word, weight in weights.items() if weight >= 1 and not lexicon.has(word)]
    return sorted(lacking, key=lambda word: not is_number(word))


def _enumerate(words: Sequence[str]) -> str:
    more = f" and {len(words) - MAX_NAMED} more" if len(words) > MAX_NAMED else ""
    return ", ".join(words[:MAX_NAMED]) + more


def _first(answer: str) -> str:
    return next((sentence.text for sentence in sentences_of(answer)), "")
