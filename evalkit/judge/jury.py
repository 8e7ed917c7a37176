"""A jury: several judges that all judge every answer, each with controls and a cache of its own.

Each juror is the only judge of a panel of its own, so that everything that holds for a judge holds for
each juror: controls, anchors, cached votes, and limits. The jury combines what they say.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from evalkit.core.judgement import (
    AnchorResult,
    Judgement,
    JudgeSpec,
    JudgeTrust,
    JudgeVote,
    JuryRule,
    PairResult,
)
from evalkit.core.location import Problem
from evalkit.core.rubric import Rubric
from evalkit.core.serialization import digest
from evalkit.judge.anchors import LabeledAnswer
from evalkit.judge.control_bound import ControlBound
from evalkit.judge.judge import Judge, JudgeRequest
from evalkit.judge.judge_panel import JudgePanel
from evalkit.judge.jury_verdict import combine_jurors, needed_jurors, unite_votes
from evalkit.judge.panel import Panel
from evalkit.store.cache import Cache


def open_panel(
    specs: Sequence[JudgeSpec],
    judges: Sequence[Judge],
    cache: Cache[JudgeVote],
    redact: Callable[[str], str],
    *,
    controls: bool = True,
) -> JudgePanel:
    """Return the judges of a set as a jury if they are one, else as a judge with fallbacks."""
    rule = specs[0].jury if specs else None
    if rule is None:
        return Panel(judges, cache, redact, controls=controls)
    return Jury([Panel([judge], cache, redact, controls=controls) for judge in judges], rule)


def name_jurors(judges: Iterable[Judge]) -> tuple[str, ...]:
    """Return the name of each judge, numbered from the second of one name on."""
    seen: Counter[str] = Counter()
    names = []
    for judge in judges:
        seen[judge.name] += 1
        names.append(judge.name if seen[judge.name] == 1 else f"{judge.name} ({seen[judge.name]})")
    return tuple(names)


@dataclass(frozen=True, slots=True)
class _JuryIdentity:
    """The name and the digest of a jury, which another order of the jurors does not change."""

    name: str
    digest: str


class Jury:
    """Judges that all vote on every answer; `rule` combines their verdicts."""

    def __init__(self, panels: Sequence[Panel], rule: JuryRule) -> None:
        self._panels = tuple(panels)
        self._rule: JuryRule = rule
        self._names = name_jurors(self.judges)
        self._identity = _JuryIdentity(
            name=f"jury of {len(self._names)} by {rule}: {'; '.join(self._names)}",
            digest=digest(["jury", rule, sorted(judge.digest for judge in self.judges)]),
        )

    @property
    def judges(self) -> tuple[Judge, ...]:
        """The jurors."""
        return tuple(panel.judges[0] for panel in self._panels)

    @property
    def has_judge(self) -> bool:
        """Whether there is a juror."""
        return bool(self._panels)

    @property
    def active_judge(self) -> _JuryIdentity:
        """The jury as one judge. It stays the same when a juror goes down."""
        return self._identity

    @property
    def _down(self) -> list[Panel]:
        return [panel for panel in self._panels if panel.down_reason]

    @property
    def down_reason(self) -> str:
        """Why the jury reaches no verdict any more: too many jurors are down; else empty."""
        down = self._down
        if len(self._panels) - len(down) >= needed_jurors(self._rule, len(self._panels)):
            return ""
        return "; ".join(f"{panel.judges[0].name}: {panel.down_reason}" for panel in down)

    @property
    def problem_to_fix(self) -> Problem | None:
        """The first problem that the user must fix before the jury reaches verdicts again."""
        if not self.down_reason:
            return None
        return next((panel.problem_to_fix for panel in self._down if panel.problem_to_fix), None)

    def register_rubric(
        self, metric: str, rubric: Rubric, anchors: Sequence[LabeledAnswer] = ()
    ) -> None:
        """Have every juror judge the controls and anchors of a rubric."""
        for panel in self._panels:
            panel.register_rubric(metric, rubric, anchors)

    def bound_controls(self, answers: Mapping[str, int]) -> ControlBound:
        """Return how often each juror is asked controls and anchors; `answers` are new votes by metric."""
        return self._panels[0].bound_controls(answers)

    async def warm_up(self) -> None:
        """Load everything that the jurors need to answer, without asking them."""
        await asyncio.gather(*(panel.warm_up() for panel in self._panels))

    async def collect_votes(self, metric: str, request: JudgeRequest) -> tuple[JudgeVote, ...]:
        """Return the verdict of the jury as one vote, with what each juror said."""
        votes = await asyncio.gather(
            *(panel.collect_votes(metric, request) for panel in self._panels)
        )
        jurors = [
            unite_votes(name, request, cast) for name, cast in zip(self._names, votes, strict=True)
        ]
        identity = self._identity
        return (combine_jurors(self._rule, request, jurors, identity.name, identity.digest),)

    async def settle_checks(self, stored: Iterable[Judgement]) -> None:
        """Do nothing: no judge takes over from a juror."""

    async def finish(self, stored: Iterable[Judgement] = ()) -> JudgeTrust:
        """Ask every juror the last controls, and return the evidence about all of them.

        The verdicts of each juror count, so one that fails a control makes the jury untrusted.
        """
        # Judgments that needed no judge (by checks, or of empty answers) have no digest.
        judgements = [each for each in stored if each.digest]
        by_juror: defaultdict[str, list[Judgement]] = defaultdict(list)
        for judgement in judgements:
            for said in judgement.jurors:
                if said.state == "scored":
                    by_juror[said.digest].append(_as_judgement(said, judgement.pair))
        trusts = await asyncio.gather(
            *(panel.finish(by_juror[panel.judges[0].digest]) for panel in self._panels)
        )
        costs = [trust.cost_usd for trust in trusts if trust.cost_usd is not None]
        has_judged = any(trust.judges for trust in trusts)
        return JudgeTrust(
            judges=(self._identity.name,) if has_judged else (),
            models=tuple(sorted({model for trust in trusts for model in trust.models})),
            changes=tuple(change for trust in trusts for change in trust.changes),
            controls=tuple(result for trust in trusts for result in trust.controls),
            anchors=_combine_anchors(trusts, self._identity.name),
            verdicts=len(judgements),
            cached_verdicts=sum(each.is_cached for each in judgements),
            calls=sum(trust.calls for trust in trusts),
            input_tokens=sum(trust.input_tokens for trust in trusts),
            output_tokens=sum(trust.output_tokens for trust in trusts),
            cached_tokens=sum(trust.cached_tokens for trust in trusts),
            cost_usd=sum(costs) if costs else None,
            warnings=tuple(
                dict.fromkeys(
                    (
                        *(warning for trust in trusts for warning in trust.warnings),
                        *(_describe_lost_juror(panel) for panel in self._down),
                    )
                )
            ),
        )

    def stop(self) -> None:
        """Have no juror start another call; requests in flight may finish."""
        for panel in self._panels:
            panel.stop()

    def cancel(self) -> None:
        """Stop every request in progress."""
        for panel in self._panels:
            panel.cancel()


def _as_judgement(said: JudgeVote, pair: PairResult | None) -> Judgement:
    return Judgement(
        judge=said.judge,
        digest=said.digest,
        model=said.model,
        fingerprint=said.fingerprint,
        is_cached=said.is_cached,
        pair=pair,
    )


def _describe_lost_juror(panel: Panel) -> str:
    return (
        f"JURY: {panel.judges[0].name} is down ({panel.down_reason}). A verdict still needs the same "
        "number of jurors, so answers on which the others differ have no verdict."
    )


def _combine_anchors(trusts: Sequence[JudgeTrust], name: str) -> tuple[AnchorResult, ...]:
    """Return on which anchors more than half of all jurors agree with people, by rubric."""
    by_rubric: defaultdict[tuple[str, str], list[AnchorResult]] = defaultdict(list)
    for trust in trusts:
        for result in trust.anchors:
            by_rubric[result.metric, result.rubric_digest].append(result)
    combined = []
    for (metric, rubric_digest), results in by_rubric.items():
        ids = sorted({anchor for result in results for anchor in result.agreed})
        agreed = {
            anchor: 2 * sum(result.agreed.get(anchor, False) for result in results) > len(trusts)
            for anchor in ids
        }
        combined.append(
            AnchorResult(
                metric=metric,
                agreed=agreed,
                unjudged=min(result.unjudged for result in results),
                rubric_digest=rubric_digest,
                judge=name,
            )
        )
    return tuple(combined)
