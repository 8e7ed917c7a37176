"""What a judge is asked: one answer, what it answers, and the criteria that are to be decided."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.digest import digest
from evalkit.rubric import Criterion, Example


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One answer to be judged by some criteria; `vote` counts from 0 when it is judged several times."""

    criteria: tuple[Criterion, ...]
    answer: str
    input: str = ""
    reference: str = ""
    context: str = ""
    description: str = ""
    vote: int = 0

    @property
    def is_swapped(self) -> bool:
        """Whether the answer is shown before the reference: every other vote, as order may sway."""
        return bool(self.reference) and self.vote % 2 == 1

    @property
    def digest(self) -> str:
        """Covers all that a judge is shown and nothing else: neither weights nor values nor pass mark."""
        criteria = [
            [
                criterion.name,
                criterion.question,
                [[level.name, level.description] for level in criterion.levels],
                criterion.otherwise,
                [
                    [getattr(example, name) for name in Example.__dataclass_fields__]
                    for example in criterion.examples
                ],
            ]
            for criterion in self.criteria
        ]
        texts = [self.answer, self.input, self.reference, self.context, self.description]
        return digest([criteria, texts, self.vote])
