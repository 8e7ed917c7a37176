"""A judge whose calls cost: when it judges anchors, and how calibration handles changing verdicts."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evalkit.commands.calibrate import CalibrationRequest, calibrate
from evalkit.core.calibration import Calibration
from evalkit.core.context import Context
from evalkit.core.errors import Undecidable
from evalkit.core.judgement import JudgeTrust, JudgeVote
from evalkit.core.labels import HumanLabel
from evalkit.core.rubric import Control, Criterion, Rubric
from evalkit.judge import registry as judges
from evalkit.judge.anchors import LabeledAnswer, group_labels
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.panel import Panel
from evalkit.report.calibration import CalibrationResult
from evalkit.store.cache import Cache
from tests.support.scripted_judge import Saying, ScriptedJudge, ScriptedKind

RUBRIC = Rubric(
    name="right",
    path="",
    digest="r1",
    criteria=(Criterion(name="right", question="Is it right?"),),
    controls=(
        Control(name="good", passes=True, answer="good"),
        Control(name="bad", passes=False, answer="bad"),
    ),
)
SAID = (("right one", "yes"), ("right two", "yes"), ("wrong one", "no"), ("", "no"))


def anchors() -> tuple[LabeledAnswer, ...]:
    labels = [
        HumanLabel(rubric="right", criterion="right", level=level, answer=answer, rater=rater)
        for answer, level in SAID
        for rater in ("ann", "bob")
    ]
    torn = HumanLabel(rubric="right", criterion="right", level="yes", answer="torn", rater="ann")
    other = HumanLabel(rubric="right", criterion="right", level="no", answer="torn", rater="bob")
    return group_labels(RUBRIC, [*labels, torn, other])


def honest(question: JudgeRequest, times: int) -> str:
    return "yes" if question.answer.startswith(("right", "good")) else "no"


def sit(folder: Path, judge: ScriptedJudge, *answers: str) -> JudgeTrust:
    """Run a panel on these answers, with anchors."""

    async def run() -> JudgeTrust:
        panel = Panel([judge], Cache(folder, JudgeVote), str)
        panel.register_rubric("right", RUBRIC, anchors())
        await panel.warm_up()
        for answer in answers:
            await panel.collect_votes(
                "right", JudgeRequest(criteria=RUBRIC.judged_criteria, answer=answer)
            )
        return await panel.finish()

    return asyncio.run(run())


def test_anchors_are_judged_afresh_with_what_is_new_and_not_at_all_without(tmp_path: Path) -> None:
    judge = ScriptedJudge(honest)
    trust = sit(tmp_path, judge, "right three")
    (result,) = trust.anchors
    # No judge is asked about the empty answer; on the torn one the raters have no majority.
    assert list(result.agreed.values()) == [True, True, True]
    assert (result.metric, result.judge, result.rubric_digest) == ("right", "scripted", "r1")
    asked = {question.answer for question in judge.asked}
    assert {"right one", "right two", "wrong one"} <= asked
    assert "" not in asked

    again = ScriptedJudge(honest)
    kept = sit(tmp_path, again, "right three")
    assert not again.asked, "every verdict is kept"
    assert kept.anchors == trust.anchors

    changed = ScriptedJudge(lambda question, _: "no" if "bad" in question.answer else "yes")
    now = sit(tmp_path, changed, "right four")
    assert {"right one", "right two", "wrong one"} <= {each.answer for each in changed.asked}
    assert sorted(now.anchors[0].agreed.values()) == [False, True, True]


def test_anchors_without_a_verdict_are_counted(tmp_path: Path) -> None:
    def moody(question: JudgeRequest, times: int) -> str:
        return "" if question.answer == "right two" else honest(question, times)

    (result,) = sit(tmp_path, ScriptedJudge(moody), "right three").anchors
    assert len(result.agreed) == 2
    assert result.unjudged == 1


LABELLED = "answer,level\n" + "".join(f"right {n},yes\nwrong {n},no\n" for n in range(10))


@contextlib.contextmanager
def stood_in(judge: ScriptedJudge, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(judges, "_find_kind", lambda _spec: ScriptedKind(judge))
        yield


def calibrated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, saying: Saying, repeats: int = 0
) -> tuple[CalibrationResult, ScriptedJudge]:
    (folder / "right.yaml").write_text(
        "pass_at: 1\ncriteria:\n- {name: right, question: Is it right?}\n"
    )
    (folder / "labels.csv").write_text(LABELLED)
    judge = ScriptedJudge(saying)
    world = Context(
        cwd=folder,
        environ=dict(os.environ),
        now=lambda: datetime.now(UTC),
        token=lambda: "t",
        open_progress=lambda _total: contextlib.nullcontext(),  # type: ignore[arg-type,return-value]
        say=print,
    )
    order = CalibrationRequest(
        rubric=folder / "right.yaml",
        labels=folder / "labels.csv",
        judge="lexical",
        repeats=repeats,
    )
    with stood_in(judge, monkeypatch):
        return calibrate(order, world), judge


def of(found: CalibrationResult) -> Calibration:
    return found.calibration


def test_every_calibration_asks_afresh_and_so_do_its_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, judge = calibrated(tmp_path, monkeypatch, honest)
    assert (found.calls, len(judge.asked)) == (20, 20)
    assert of(found).models == ("model-1",)
    found, judge = calibrated(tmp_path, monkeypatch, lambda _question, _times: "yes")
    assert (found.calls, len(judge.asked), found.cached_verdicts) == (20, 20, 0)
    agreement = of(found).criteria[0].agreement
    assert agreement
    assert agreement.accuracy.value == 0.5, "a judge that passes everything now is not yesterday's"

    def fickle(question: JudgeRequest, times: int) -> str:
        turned = times == 2 and question.answer == "right 1"
        return "no" if turned else honest(question, times)

    found, judge = calibrated(tmp_path, monkeypatch, fickle, repeats=2)
    assert len(judge.asked) == 60
    # For one answer in twenty, two of the three pairs of judgments differ.
    assert of(found).criteria[0].flip_rate == pytest.approx(2 / 3 / 20)


def test_a_few_missing_verdicts_are_told_and_many_are_no_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moody(question: JudgeRequest, times: int) -> str:
        return "" if question.answer == "right 1" else honest(question, times)

    found, _ = calibrated(tmp_path, monkeypatch, moody)
    assert found.missing == {"prose": 1}
    assert of(found).criteria[0].unjudged == 1
    stored = tmp_path / "right.calibration.json"
    stored.unlink()
    for entry in (tmp_path / ".evalkit").rglob("*.json"):
        entry.unlink()

    def sullen(question: JudgeRequest, times: int) -> str:
        return "" if question.answer.startswith("right") or "1" in question.answer else "no"

    with pytest.raises(Undecidable, match="9 of 20 labeled answers got a verdict, too few"):
        calibrated(tmp_path, monkeypatch, sullen)
    assert not stored.exists()

    # What was paid for is not paid for again, and said.
    found, judge = calibrated(tmp_path, monkeypatch, honest)
    assert (len(judge.asked), found.cached_verdicts) == (11, 9)
    found, judge = calibrated(tmp_path, monkeypatch, honest)
    assert (len(judge.asked), found.cached_verdicts) == (20, 0)
