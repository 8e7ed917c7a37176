"""The keys of every mapping in rubrics; see `keys`."""

from __future__ import annotations

from typing import get_args

from evalkit.core.rubric import RubricInput
from evalkit.evalset.keys import CRITERIA
from evalkit.evalset.value_types import (
    Flag,
    Integer,
    Keys,
    Label,
    Labels,
    Number,
    Section,
    SectionList,
    Share,
    Text,
)

MAX_CRITERIA = 20
"""Criteria of one rubric. One call asks about all of them, and a model answers a longer list carelessly."""

MAX_LEVELS = 10
MAX_EXAMPLES = 50
MAX_CONTROLS = 50
"""Controls of each kind. Each is one call of the judge in every run."""

MAX_WEIGHT = 1000.0
"""Weights are proportions. A larger number is a typo."""

RUBRIC_KEYS: Keys = {
    "rubric": Label("The rubric's name. Default: the name of this file."),
    "description": Text("What the rubric covers. The judge reads it."),
    "needs": Labels(
        "What a case must provide. The judge sees it in addition to the input and the answer.",
        words=get_args(RubricInput),
    ),
    "higher_is_better": Flag("`false` for what should be rare, such as toxicity."),
    "pass_at": Share("The lowest score that passes, or the highest if higher_is_better is false."),
    CRITERIA: Section("What the judge decides.", of=CRITERIA),
    "controls": Section("Known good and bad answers that check the judge.", of="controls"),
    "anchors": Text("A file of labeled answers that the judge judges again in every run."),
    "require_calibration": Section(
        "How well the judge must agree with people before this rubric may fail a build.",
        of="calibration",
    ),
}
CALIBRATION_KEYS: Keys = {
    "kappa": Share("The lowest acceptable kappa between judge and people."),
    "labels": Integer("The fewest labeled answers that the kappa may be based on.", at_least=1),
}
CONTROLS_KEYS: Keys = {
    "good": SectionList("Answers that pass.", of="control", at_least=1, at_most=MAX_CONTROLS),
    "bad": SectionList("Answers that fail.", of="control", at_least=1, at_most=MAX_CONTROLS),
}
_ANSWERED_KEYS: Keys = {
    "input": Text("The question."),
    "reference": Text("The reference answer."),
    "context": Text("The material that the answer must be based on."),
}
CONTROL_KEYS: Keys = {
    "name": Label("The control's name in reports."),
    "answer": Text("The answer."),
    **_ANSWERED_KEYS,
}
CRITERION_KEYS: Keys = {
    "name": Label("The criterion's name. Default: criterion_1, criterion_2, ..."),
    "question": Section("One question about something visible in the answer.", of="question"),
    "levels": SectionList(
        "The levels that the judge chooses from. Default: yes (1) and no (0).",
        of="level",
        at_least=2,
        at_most=MAX_LEVELS,
    ),
    "otherwise": Label("The level when nothing in the answer supports another one."),
    "weight": Number(
        "The criterion's weight in the score.",
        at_least=0,
        at_most=MAX_WEIGHT,
        advice="Weights are proportions.",
    ),
    "examples": SectionList("Labeled answers for the judge.", of="example", at_most=MAX_EXAMPLES),
    "check": Section("A built-in metric that decides instead of a judge.", of="check"),
}
JUDGE_ONLY_KEYS = ("question", "levels", "otherwise", "examples")
"""The keys of a criterion that have no meaning with a check."""

LEVEL_KEYS: Keys = {
    "name": Label("The exact text that the judge replies."),
    "value": Share("The score of this level, in 0..1."),
    "description": Text("How to distinguish this level from its neighbors."),
}
EXAMPLE_KEYS: Keys = {
    "answer": Text("The answer."),
    "level": Label("The level that a person gave it."),
    **_ANSWERED_KEYS,
    "explanation": Text("Why it has this level. The judge reads it."),
}
