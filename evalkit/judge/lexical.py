"""Judge without a model, by comparing an answer's words with the reference and the labeled examples.

This judge is deterministic, needs no network, and does not understand what it reads. It is for
demonstrations, tests and CI without an API key. Every report names it.
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
"""The version of the rules. Raise it whenever equal answers get other levels than before."""

MIN_SIMILARITY = 0.7
"""The similarity of answer and example from which the answer gets the example's level."""

MAX_AGREEMENT_WRONG_NUMBER = 0.5
"""The highest agreement of an answer that lacks a number of the reference."""

MAX_AGREEMENT_NEGATED = 0.2
"""The highest agreement if answer or reference negates what the other affirms."""

MIN_CLAUSE_OVERLAP = 0.6
"""The share of a reference's clause that a clause of the answer repeats if both have one subject."""

MIN_DENIAL_WEIGHT = 2.5
"""The weight of words in a clause that can be denied; `never use it` does not deny `fabric softener`."""

FULL_QUESTION_OVERLAP = 0.5
"""The share of a question's words that a good answer repeats; the others are only question words."""

MAX_EVIDENCE_CHARS = 200
MAX_LISTED_WORDS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class LexicalVerdict:
    """The level of an answer, the words that show it, and the reason."""

    level: Level
    evidence: str = ""
    reason: str


def check(spec: JudgeSpec, environment: RunEnvironment) -> list[str]:  # noqa: ARG001 - every kind takes it
    """Return a problem if there are arguments, because this judge takes none."""
    return ["it takes no arguments. Write `judge: lexical`."] if spec.args else []


@asynccontextmanager
async def open(  # noqa: A001 - every kind has a check and an open
    spec: JudgeSpec,  # noqa: ARG001 - every kind takes it
    environment: RunEnvironment,  # noqa: ARG001 - every kind takes it
) -> AsyncIterator[LexicalJudge]:
    """Yield the judge."""
    yield LexicalJudge()


@dataclass(frozen=True, slots=True)
class LexicalJudge:
    """Gives the level whose words are most similar to the answer's."""

    name: str = "lexical"
    is_local: bool = True
    votes: int = 1
    down_reason: str = ""
    problem_to_fix: Problem | None = None

    @property
    def digest(self) -> str:
        """A key of its rules, which alone decide its verdicts."""
        return digest(["lexical", RULES_VERSION])

    async def start(self) -> None:
        """Load nothing."""

    async def grade(self, request: JudgeRequest) -> JudgeVote:
        """Judge every criterion separately."""
        verdicts = tuple(_judge_criterion(criterion, request) for criterion in request.criteria)
        return JudgeVote(verdicts=verdicts, judge=self.name, digest=self.digest)


def _judge_criterion(criterion: Criterion, request: JudgeRequest) -> CriterionVerdict:
    finding = choose_level(criterion, request)
    return CriterionVerdict(
        criterion=criterion.name,
        level=finding.level.name,
        value=finding.level.value,
        evidence=finding.evidence[:MAX_EVIDENCE_CHARS],
        explanation=f"by words alone: {finding.reason}",
    )


def choose_level(criterion: Criterion, request: JudgeRequest) -> LexicalVerdict:
    """Return the level of an answer.

    The first rule that applies decides:

    1. The answer is similar to an example: the example's level.
    2. The criterion has an `otherwise` level and no example for a similar reference: that level.
    3. There is a reference: by how much of it is in the answer.
    4. There is a context: by how much of the answer is in it.
    5. By how much of the question is in the answer.
    """
    similar = _match_example(criterion, request)
    if similar is not None:
        return similar
    otherwise = criterion.level(criterion.otherwise)
    if otherwise is not None and not _has_example_for(request.reference, criterion):
        return LexicalVerdict(
            level=otherwise, reason="it is similar to no example of another level"
        )
    if request.reference:
        return _compare_with_reference(criterion, request)
    if request.context:
        return _compare_with_context(criterion, request)
    return _compare_with_question(criterion, request)


def _match_example(criterion: Criterion, request: JudgeRequest) -> LexicalVerdict | None:
    """Return the level of the example that is most similar to the answer, or None.

    An example of the `otherwise` level counts only if the answer consists of the same words.
    """
    plain = split_words(request.answer)
    best: LexicalVerdict | None = None
    similarity = MIN_SIMILARITY
    for example in criterion.examples:
        level = criterion.level(example.level)
        if level is None or not _is_example_applicable(example, request):
            continue
        if split_words(example.answer) == plain:
            because = f"it equals the example of level {level.name}, word for word"
            return LexicalVerdict(
                level=level, evidence=_first_sentence(request.answer), reason=because
            )
        if level.name == criterion.otherwise:
            continue
        found, where = find_similar(example.answer, request.answer)
        is_higher = best is not None and level.value >= best.level.value
        if found > similarity or (found == similarity and not is_higher):
            similarity = found
            because = f"{found:.0%} of the words of an example of level {level.name} are in it"
            best = LexicalVerdict(level=level, evidence=where, reason=because)
    return best


def _is_example_applicable(example: Example, request: JudgeRequest) -> bool:
    """Return whether an example applies: it has the same reference and context, or none.

    An example without a reference does not apply if the reference itself says the same.
    """
    pairs = ((example.reference, request.reference), (example.context, request.context))
    if any(own and split_words(own) != split_words(asked) for own, asked in pairs):
        return False
    if example.reference or not request.reference:
        return True
    return find_similar(example.answer, request.reference)[0] < MIN_SIMILARITY


def _has_example_for(reference: str, criterion: Criterion) -> bool:
    own = {example.reference for example in criterion.examples if example.reference}
    return bool(reference) and any(
        find_similar(each, reference)[0] >= MIN_SIMILARITY for each in own
    )


def _compare_with_reference(criterion: Criterion, request: JudgeRequest) -> LexicalVerdict:
    """Judge by the share of the reference, without the question's words, that is in the answer."""
    wanted = split_words(request.reference)
    weights = weigh_words(wanted, known=split_words(request.input))
    said = Lexicon(split_words(request.answer))
    # A reference such as "No." has no words with a weight.
    agreement = (
        compute_found_share(weights, said) if weights else float(said.words.issuperset(wanted))
    )
    lacking = _find_missing_words(weights, said)
    because = f"it has {agreement:.0%} of what the reference adds to the question"
    if lacking:
        because += f"; not {_join_words(lacking)}"
    if any(map(is_number, lacking)):
        agreement = min(agreement, MAX_AGREEMENT_WRONG_NUMBER)
    evidence = _best_sentence(weights, request.answer)
    denied = _find_contradiction(request)
    if denied:
        agreement, evidence = min(agreement, MAX_AGREEMENT_NEGATED), denied
        because += "; one negates what the other affirms"
    return LexicalVerdict(
        level=_nearest_level(criterion, agreement), evidence=evidence, reason=because
    )


def _find_contradiction(request: JudgeRequest) -> str:
    """Return a clause of the answer that negates one of the reference, or the reverse; else empty."""
    for clause in split_clauses(request.reference):
        if not clause.is_negated and sum(clause.weights.values()) < MIN_DENIAL_WEIGHT:
            continue
        about = [
            said
            for said in (*split_clauses(request.answer), *split_sentences(request.answer))
            if compute_found_share(clause.weights, said.lexicon) >= MIN_CLAUSE_OVERLAP
        ]
        if about and all(said.is_negated != clause.is_negated for said in about):
            return about[0].text
    return ""


def _compare_with_context(criterion: Criterion, request: JudgeRequest) -> LexicalVerdict:
    """Judge by the share of the answer that is in the context or the request."""
    given = Lexicon((*split_words(request.context), *split_words(request.input)))
    weights = weigh_words(split_words(request.answer))
    support = compute_found_share(weights, given)
    missing = _find_missing_words(weights, given)
    because = f"{support:.0%} of what it says is in the context"
    if missing:
        because += f"; not {_join_words(missing)}"
    if any(map(is_number, missing)):
        support = min(support, MAX_AGREEMENT_NEGATED)
    answer = split_sentences(request.answer)
    worst = min(
        answer, key=lambda sentence: compute_found_share(sentence.weights, given), default=None
    )
    return LexicalVerdict(
        level=_nearest_level(criterion, support),
        evidence=worst.text if worst else "",
        reason=because,
    )


def _compare_with_question(criterion: Criterion, request: JudgeRequest) -> LexicalVerdict:
    """Judge by the share of the question that is in the answer."""
    weights = weigh_words(split_words(request.input))
    found = compute_found_share(weights, Lexicon(split_words(request.answer)))
    return LexicalVerdict(
        level=_nearest_level(criterion, min(1.0, found / FULL_QUESTION_OVERLAP)),
        evidence=_best_sentence(weights, request.answer),
        reason=f"it repeats {found:.0%} of the question's words",
    )


def _nearest_level(criterion: Criterion, agreement: float) -> Level:
    """Return the level with the nearest value, of two the lower; 0 is the lowest level, 1 the highest."""
    values = [level.value for level in criterion.levels]
    aim = min(values) + agreement * (max(values) - min(values))
    return min(criterion.levels, key=lambda level: (round(abs(level.value - aim), 9), level.value))


def _best_sentence(weights: Mapping[str, float], answer: str) -> str:
    """Return the sentence with the largest share of some words; the first if none has any."""
    sentences = split_sentences(answer)
    best = max(sentences, key=lambda each: compute_found_share(weights, each.lexicon), default=None)
    return best.text if best else ""


def _find_missing_words(weights: Mapping[str, float], lexicon: Lexicon) -> list[str]:
    """Return the words of full weight that are missing, numbers first."""
    lacking = [word for word, weight in weights.items() if weight >= 1 and not lexicon.has(word)]
    return sorted(lacking, key=lambda word: not is_number(word))


def _join_words(words: Sequence[str]) -> str:
    more = f" and {len(words) - MAX_LISTED_WORDS} more" if len(words) > MAX_LISTED_WORDS else ""
    return ", ".join(words[:MAX_LISTED_WORDS]) + more


def _first_sentence(answer: str) -> str:
    return next((sentence.text for sentence in split_sentences(answer)), "")
