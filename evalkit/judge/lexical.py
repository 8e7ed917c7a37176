"""The judge without a model: compares an answer's words with the reference and the labelled examples.

It is deterministic, needs no network, and understands nothing: it serves demonstrations, tests and CI
without a key, and is named in every report as what it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from evalkit.core.judgement import CriterionVerdict, JudgeSpec, JudgeVote
from evalkit.core.location import Problem
from evalkit.core.rubric import Criterion, Example, Level
from evalkit.core.run import RunEnvironment
from evalkit.core.serialization import digest
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.lexical_text import (
    Lexicon,
    compute_found_share,
    find_similar,
    is_number,
    split_clauses,
    split_sentences,
    split_words,
    weigh_words,
)

RULES_VERSION = 2
"""Raised whenever equal answers get other levels than before."""

MIN_SIMILARITY = 0.7
"""Of an answer with an example, from which on the example's level is the answer's."""

MAX_AGREEMENT_WRONG_NUMBER = 0.5
"""The most that an answer can agree with a reference of which it lacks a number."""
MAX_AGREEMENT_NEGATED = 0.2
"""The most that it can agree when one of the two says no and the other does not."""

MIN_CLAUSE_OVERLAP = 0.6
"""The part of a reference's clause that a clause of the answer repeats when it is about the same."""
MIN_DENIAL_WEIGHT = 2.5
"""Weight of words; a bare `fabric softener` is neither affirmed nor denied by `never use it`."""

FULL_QUESTION_OVERLAP = 0.5
"""The part of a question's words that a good answer repeats; the others only ask."""

MAX_EVIDENCE_LENGTH = 200
MAX_LISTED_WORDS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class LexicalVerdict:
    """The level of an answer, the words that show it, and what they were compared with."""

    level: Level
    evidence: str = ""
    reason: str


def check(spec: JudgeSpec, surroundings: RunEnvironment) -> list[str]:  # noqa: ARG001 - it needs nothing
    """Refuse arguments: it takes none."""
    return ["it takes no arguments. Write `judge: lexical`."] if spec.args else []


@asynccontextmanager
async def open(  # noqa: A001 - every kind of judge has a check and an open
    spec: JudgeSpec,  # noqa: ARG001 - it needs nothing
    surroundings: RunEnvironment,  # noqa: ARG001 - likewise
) -> AsyncIterator[LexicalJudge]:
    """Yield the judge."""
    yield LexicalJudge()


@dataclass(frozen=True, slots=True)
class LexicalJudge:
    """Gives the level whose labelled words are most like the answer's."""

    name: str = "lexical"
    is_local: bool = True
    votes: int = 1
    down_reason: str = ""
    problem_to_fix: Problem | None = None

    @property
    def digest(self) -> str:
        """Of its rules; there is nothing else to it."""
        return digest(["lexical", RULES_VERSION])

    async def start(self) -> None:
        """There is nothing to load."""

    async def grade(self, question: JudgeRequest) -> JudgeVote:
        """Judge every criterion by itself."""
        verdicts = tuple(_judge_criterion(criterion, question) for criterion in question.criteria)
        return JudgeVote(verdicts=verdicts, judge=self.name, digest=self.digest)


def _judge_criterion(criterion: Criterion, question: JudgeRequest) -> CriterionVerdict:
    finding = choose_level(criterion, question)
    return CriterionVerdict(
        criterion=criterion.name,
        level=finding.level.name,
        value=finding.level.value,
        evidence=finding.evidence[:MAX_EVIDENCE_LENGTH],
        explanation=f"by words alone: {finding.reason}",
    )


def choose_level(criterion: Criterion, question: JudgeRequest) -> LexicalVerdict:
    """The level of the example that the answer is like, if any.

    Else the level that is for answers in which nothing speaks for another one, unless the examples are
    about references like this one; else by how far the answer agrees with the reference, keeps to the
    context, or takes up the question.
    """
    alike = _match_example(criterion, question)
    if alike is not None:
        return alike
    otherwise = criterion.level(criterion.otherwise)
    if otherwise is not None and not _has_example_for(question.reference, criterion):
        return LexicalVerdict(level=otherwise, reason="it is like no example of another level")
    if question.reference:
        return _compare_with_reference(criterion, question)
    if question.context:
        return _compare_with_context(criterion, question)
    return _compare_with_question(criterion, question)


def _match_example(criterion: Criterion, question: JudgeRequest) -> LexicalVerdict | None:
    """The level of the example most like the answer, if one is like it.

    An example of the level that needs no evidence is like an answer of just its words alone.
    """
    plain = split_words(question.answer)
    best: LexicalVerdict | None = None
    likeness = MIN_SIMILARITY
    for example in criterion.examples:
        level = criterion.level(example.level)
        if level is None or not _is_example_applicable(example, question):
            continue
        if split_words(example.answer) == plain:
            because = f"it is the example of level {level.name}, word for word"
            return LexicalVerdict(
                level=level, evidence=_first_sentence(question.answer), reason=because
            )
        if level.name == criterion.otherwise:
            continue
        found, where = find_similar(example.answer, question.answer)
        is_kinder = best is not None and level.value >= best.level.value
        if found > likeness or (found == likeness and not is_kinder):
            likeness = found
            because = f"{found:.0%} of the words of an example of level {level.name} are in it"
            best = LexicalVerdict(level=level, evidence=where, reason=because)
    return best


def _is_example_applicable(example: Example, question: JudgeRequest) -> bool:
    """Whether an example holds here: for its own reference and context, or for any.

    One that holds for any does not where the reference itself says what it says.
    """
    pairs = ((example.reference, question.reference), (example.context, question.context))
    if any(own and split_words(own) != split_words(asked) for own, asked in pairs):
        return False
    if example.reference or not question.reference:
        return True
    return find_similar(example.answer, question.reference)[0] < MIN_SIMILARITY


def _has_example_for(reference: str, criterion: Criterion) -> bool:
    own = {example.reference for example in criterion.examples if example.reference}
    return bool(reference) and any(
        find_similar(each, reference)[0] >= MIN_SIMILARITY for each in own
    )


def _compare_with_reference(criterion: Criterion, question: JudgeRequest) -> LexicalVerdict:
    """How much of what the reference says beyond the question is in the answer, with no other sign."""
    wanted = split_words(question.reference)
    weights = weigh_words(wanted, known=split_words(question.input))
    said = Lexicon(split_words(question.answer))
    # A reference such as "No." holds nothing that weighs.
    agreement = (
        compute_found_share(weights, said) if weights else float(said.words.issuperset(wanted))
    )
    lacking = _find_missing_words(weights, said)
    because = f"it has {agreement:.0%} of what the reference adds to the question"
    if lacking:
        because += f"; not {_join_words(lacking)}"
    if any(map(is_number, lacking)):
        agreement = min(agreement, MAX_AGREEMENT_WRONG_NUMBER)
    evidence = _best_sentence(weights, question.answer)
    denied = _find_contradiction(question)
    if denied:
        agreement, evidence = min(agreement, MAX_AGREEMENT_NEGATED), denied
        because += "; one of the two says no, the other does not"
    return LexicalVerdict(
        level=_nearest_level(criterion, agreement), evidence=evidence, reason=because
    )


def _find_contradiction(question: JudgeRequest) -> str:
    """A clause of the answer that says what one of the reference says, with a no in only one of them."""
    for clause in split_clauses(question.reference):
        if not clause.is_negated and sum(clause.weights.values()) < MIN_DENIAL_WEIGHT:
            continue
        about = [
            said
            for said in (*split_clauses(question.answer), *split_sentences(question.answer))
            if compute_found_share(clause.weights, said.lexicon) >= MIN_CLAUSE_OVERLAP
        ]
        if about and all(said.is_negated != clause.is_negated for said in about):
            return about[0].text
    return ""


def _compare_with_context(criterion: Criterion, question: JudgeRequest) -> LexicalVerdict:
    """How much of what the answer says is in what it had to rest on, or in the question."""
    given = Lexicon((*split_words(question.context), *split_words(question.input)))
    weights = weigh_words(split_words(question.answer))
    support = compute_found_share(weights, given)
    missing = _find_missing_words(weights, given)
    because = f"{support:.0%} of what it says is in the context"
    if missing:
        because += f"; not {_join_words(missing)}"
    if any(map(is_number, missing)):
        support = min(support, MAX_AGREEMENT_NEGATED)
    answer = split_sentences(question.answer)
    worst = min(
        answer, key=lambda sentence: compute_found_share(sentence.weights, given), default=None
    )
    return LexicalVerdict(
        level=_nearest_level(criterion, support),
        evidence=worst.text if worst else "",
        reason=because,
    )


def _compare_with_question(criterion: Criterion, question: JudgeRequest) -> LexicalVerdict:
    """How much of what was asked the answer takes up."""
    weights = weigh_words(split_words(question.input))
    found = compute_found_share(weights, Lexicon(split_words(question.answer)))
    return LexicalVerdict(
        level=_nearest_level(criterion, min(1.0, found / FULL_QUESTION_OVERLAP)),
        evidence=_best_sentence(weights, question.answer),
        reason=f"it takes up {found:.0%} of the question's words",
    )


def _nearest_level(criterion: Criterion, agreement: float) -> Level:
    """The level whose value is nearest, of two the lower; 0 stands for the lowest, 1 for the highest."""
    values = [level.value for level in criterion.levels]
    aim = min(values) + agreement * (max(values) - min(values))
    return min(criterion.levels, key=lambda level: (round(abs(level.value - aim), 9), level.value))


def _best_sentence(weights: Mapping[str, float], answer: str) -> str:
    """The sentence that holds most of some words; the first when none holds any."""
    sentences = split_sentences(answer)
    best = max(sentences, key=lambda each: compute_found_share(weights, each.lexicon), default=None)
    return best.text if best else ""


def _find_missing_words(weights: Mapping[str, float], lexicon: Lexicon) -> list[str]:
    """The telling words that are not there, numbers first."""
    lacking = [word for word, weight in weights.items() if weight >= 1 and not lexicon.has(word)]
    return sorted(lacking, key=lambda word: not is_number(word))


def _join_words(words: Sequence[str]) -> str:
    more = f" and {len(words) - MAX_LISTED_WORDS} more" if len(words) > MAX_LISTED_WORDS else ""
    return ", ".join(words[:MAX_LISTED_WORDS]) + more


def _first_sentence(answer: str) -> str:
    return next((sentence.text for sentence in split_sentences(answer)), "")
