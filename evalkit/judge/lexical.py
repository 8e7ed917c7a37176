"""Judge without a model, by comparing an answer's words with the reference and the labeled examples.

This judge is deterministic, needs no network, and does not understand what it reads. It is for
demonstrations, tests and CI without an API key. Every report names it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from evalkit.core.judgement import CriterionVerdict, JudgeSpec, JudgeVote
from evalkit.core.location import Problem
from evalkit.core.rubric import Criterion, Example, Level
from evalkit.core.run import RunEnvironment
from evalkit.core.serialization import digest
from evalkit.judge.judge import PAIR_LEVELS, JudgeRequest, OtherAnswer
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
"""The minimum similarity of answer and example for the answer to get the example's level."""

MAX_AGREEMENT_WRONG_NUMBER = 0.5
"""The highest agreement of an answer that lacks a number of the reference."""

MAX_AGREEMENT_NEGATED = 0.2
"""The highest agreement if answer or reference negates what the other affirms, or if the answer has a
number that the context lacks."""

MIN_CLAUSE_OVERLAP = 0.6
"""The minimum share of a reference's clause in a clause of the answer for both to have one subject."""

MIN_DENIAL_WEIGHT = 2.5
"""The minimum weight of a reference's clause that an answer can contradict with a negation. A lighter
clause, such as `fabric softener`, is a fragment: `never use it` does not contradict it."""

FULL_QUESTION_OVERLAP = 0.5
"""The share of a question's words in an answer that counts as full agreement; the other words only
ask."""

MAX_EVIDENCE_CHARS = 200
MAX_LISTED_WORDS = 4


class LexicalVerdict(NamedTuple):
    """The level of an answer, the reason, and the words of the answer that show it."""

    level: Level
    reason: str
    evidence: str = ""


class _Agreement(NamedTuple):
    """How far an answer agrees with a text, from 0 to 1, as LexicalVerdict."""

    share: float
    reason: str
    evidence: str


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

    def stop(self) -> None:
        """Stop nothing: it makes no calls."""

    def bound_calls(self, votes: int) -> int:  # noqa: ARG002 - a method of Judge
        """Return 0: it makes no calls."""
        return 0

    async def grade(self, request: JudgeRequest) -> JudgeVote:
        """Judge every criterion separately; compare two answers by their levels."""
        if request.other is not None:
            return self._compare(request, request.other)
        verdicts = tuple(_judge_criterion(criterion, request) for criterion in request.criteria)
        return JudgeVote(verdicts=verdicts, judge=self.name, digest=self.digest)

    def _compare(self, request: JudgeRequest, other: OtherAnswer) -> JudgeVote:
        single = replace(request, other=None)
        verdicts = []
        for criterion in request.criteria:
            first, second = (
                _judge_criterion(criterion, replace(single, answer=text))
                for text in (request.answer, other.text)
            )
            lead = (
                first.value - second.value if other.higher_is_better else second.value - first.value
            )
            place = 1 if lead == 0 else 0 if lead > 0 else 2
            verdicts.append(
                CriterionVerdict(
                    criterion=criterion.name,
                    level=PAIR_LEVELS[place].name,
                    value=PAIR_LEVELS[place].value,
                    explanation=f"A is {first.level}, B is {second.level}",
                )
            )
        return JudgeVote(verdicts=tuple(verdicts), judge=self.name, digest=self.digest)


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
    5. Otherwise: by how much of the question is in the answer.
    """
    similar = _match_example(criterion, request)
    if similar is not None:
        return similar
    otherwise = criterion.level(criterion.otherwise)
    if otherwise is not None and not _has_example_for(request.reference, criterion):
        return LexicalVerdict(otherwise, "it is similar to no example of another level")
    if request.reference:
        agreement = _compare_with_reference(request)
    elif request.context:
        agreement = _compare_with_context(request)
    else:
        agreement = _compare_with_question(request)
    level = _nearest_level(criterion, agreement.share)
    return LexicalVerdict(level, agreement.reason, agreement.evidence)


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
            # Nothing can be more similar, so the other examples do not matter.
            reason = f"it equals the example of level {level.name}, word for word"
            return LexicalVerdict(level, reason, _first_sentence(request.answer))
        if level.name == criterion.otherwise:
            continue
        found, where = find_similar(example.answer, request.answer)
        is_higher = best is not None and level.value >= best.level.value
        if found > similarity or (found == similarity and not is_higher):
            similarity = found
            reason = f"{found:.0%} of the words of an example of level {level.name} are in it"
            best = LexicalVerdict(level, reason, where)
    return best


def _is_example_applicable(example: Example, request: JudgeRequest) -> bool:
    """Return whether an example applies: it has the same reference and context, or none.

    An example without a reference does not apply if the reference itself says the same.
    """
    pairs = ((example.reference, request.reference), (example.context, request.context))
    if any(own and split_words(own) != split_words(given) for own, given in pairs):
        return False
    if example.reference or not request.reference:
        return True
    return find_similar(example.answer, request.reference)[0] < MIN_SIMILARITY


def _has_example_for(reference: str, criterion: Criterion) -> bool:
    references = {example.reference for example in criterion.examples} - {""}
    return any(find_similar(each, reference)[0] >= MIN_SIMILARITY for each in references)


def _compare_with_reference(request: JudgeRequest) -> _Agreement:
    """Return the share of the reference that is in the answer; words of the question hardly count."""
    wanted = split_words(request.reference)
    weights = weigh_words(wanted, known=split_words(request.input))
    answer = Lexicon(split_words(request.answer))
    # A reference such as "No." has no words with a weight.
    share = compute_found_share(weights, answer) if weights else float(answer.words >= set(wanted))
    missing = _find_missing_words(weights, answer)
    reason = f"it has {share:.0%} of what the reference adds to the question{_list_words(missing)}"
    if any(map(is_number, missing)):
        share = min(share, MAX_AGREEMENT_WRONG_NUMBER)
    evidence = _best_sentence(weights, request.answer)
    if denied := _find_contradiction(request):
        share, evidence = min(share, MAX_AGREEMENT_NEGATED), denied
        reason += "; one negates what the other affirms"
    return _Agreement(share, reason, evidence)


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


def _compare_with_context(request: JudgeRequest) -> _Agreement:
    """Return the share of the answer that is in the context or the question."""
    given = Lexicon((*split_words(request.context), *split_words(request.input)))
    weights = weigh_words(split_words(request.answer))
    share = compute_found_share(weights, given)
    missing = _find_missing_words(weights, given)
    reason = f"{share:.0%} of what it says is in the context{_list_words(missing)}"
    if any(map(is_number, missing)):
        share = min(share, MAX_AGREEMENT_NEGATED)
    sentences = split_sentences(request.answer)
    worst = min(sentences, key=lambda each: compute_found_share(each.weights, given), default=None)
    return _Agreement(share, reason, worst.text if worst else "")


def _compare_with_question(request: JudgeRequest) -> _Agreement:
    """Return how far the answer repeats the question."""
    weights = weigh_words(split_words(request.input))
    found = compute_found_share(weights, Lexicon(split_words(request.answer)))
    reason = f"it repeats {found:.0%} of the question's words"
    evidence = _best_sentence(weights, request.answer)
    return _Agreement(min(1.0, found / FULL_QUESTION_OVERLAP), reason, evidence)


def _nearest_level(criterion: Criterion, agreement: float) -> Level:
    """Return the level with the nearest value, or the lower one of two.

    Agreement 0 is the value of the lowest level, and 1 that of the highest.
    """
    values = [level.value for level in criterion.levels]
    # The distance is rounded, so that floating-point noise does not decide between two levels.
    goal = min(values) + agreement * (max(values) - min(values))
    return min(criterion.levels, key=lambda level: (round(abs(level.value - goal), 9), level.value))


def _best_sentence(weights: Mapping[str, float], answer: str) -> str:
    """Return the sentence with the largest share of the weighted words; the first if none has any."""
    sentences = split_sentences(answer)
    best = max(sentences, key=lambda each: compute_found_share(weights, each.lexicon), default=None)
    return best.text if best else ""


def _find_missing_words(weights: Mapping[str, float], lexicon: Lexicon) -> list[str]:
    """Return the words of full weight that are missing, numbers first."""
    missing = [word for word, weight in weights.items() if weight >= 1 and not lexicon.has(word)]
    return sorted(missing, key=lambda word: not is_number(word))


def _list_words(words: Sequence[str]) -> str:
    if not words:
        return ""
    more = f" and {len(words) - MAX_LISTED_WORDS} more" if len(words) > MAX_LISTED_WORDS else ""
    return f"; not {', '.join(words[:MAX_LISTED_WORDS])}{more}"


def _first_sentence(answer: str) -> str:
    return next((sentence.text for sentence in split_sentences(answer)), "")
