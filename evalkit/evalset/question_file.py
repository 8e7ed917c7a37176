"""Turn a CSV, TSV, JSON, or JSONL file with any column names into cases."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.unicode_form import to_ascii_letters
from evalkit.evalset.case_files import read_csv_cases
from evalkit.evalset.fields import find_label_problem
from evalkit.evalset.nodes import suggest_similar, to_plain_value
from evalkit.evalset.question_rows import QuestionRow, is_empty, read_question_rows

FIELDS = ("input", "expected", "id", "tags", "cluster")
"""What a column can become, beside `metadata.NAME`."""

GUESSES: Mapping[str, tuple[str, ...]] = {
    "input": (
        *("input", "question", "prompt", "query", "usermessage", "userquery", "userinput"),
        *("message", "messages", "instruction", "utterance", "request", "text", "user", "q"),
        *("frage", "kundenfrage", "pregunta", "domanda", "vraag", "pergunta"),
    ),
    "expected": (
        *("expected", "expectedanswer", "expectedoutput", "expectedresponse", "answer", "answers"),
        *("reference", "referenceanswer", "groundtruth", "gold", "goldanswer", "goldenanswer"),
        *("idealanswer", "ideal", "target", "correctanswer", "label", "solution", "a"),
        *(
            "antwort",
            "sollantwort",
            "réponse",
            "reponse",
            "respuesta",
            "risposta",
            "antwoord",
            "resposta",
        ),
    ),
    "id": ("id", "caseid", "questionid", "key", "uid", "uuid", "number", "nr", "no"),
    "tags": ("tags", "tag", "category", "categories", "topic"),
    "cluster": ("cluster",),
}
"""The column names that mean a field, most telling first, in small letters and without separators."""

WORDS: Mapping[str, frozenset[str]] = {
    "input": frozenset({"question", "prompt", "query", "message", "input", "request"}),
    "expected": frozenset(
        {"expected", "answer", "reference", "truth", "gold", "ideal", "correct", "say"}
    ),
}
"""The words by which a longer name means a field, if no other column has one: `Customer message`."""

_OTHER_WORDS = {
    *("id", "no", "number", "date", "time"),
    *("type", "language", "author", "source", "model"),
}
"""Words of columns about a question or an answer."""

SHORT_ANSWER_CHARS = 40
"""Up to this median length, an agent's answer probably contains the expected one word by word."""

_MAX_SLUG = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionTable:
    """The cases of a file: where each field came from, and every row that made no case.

    `repeated` says which rows ask the same question.
    """

    columns: Mapping[str, str]
    unused: tuple[str, ...]
    cases: tuple[Mapping[str, Json], ...]
    left_out: tuple[Problem, ...]
    repeated: tuple[str, ...] = ()

    @property
    def has_short_answers(self) -> bool:
        """Whether most expected answers are a few words."""
        lengths = [len(str(case["expected"])) for case in self.cases if "expected" in case]
        return bool(lengths) and median(lengths) <= SHORT_ANSWER_CHARS

    def write(self) -> tuple[str, str]:
        """Return the cases as the text of a file, and its extension.

        The file is CSV if reading it gives the same values, and JSONL otherwise.
        """
        text = _to_csv(self.cases)
        problems: list[Problem] = []
        read = [to_plain_value(node) for node in read_csv_cases(text.encode(), "", problems)]
        if not problems and read == [_nest(case) for case in self.cases]:
            return text, ".csv"
        lines = [json.dumps(_nest(case), ensure_ascii=False) for case in self.cases]
        return "\n".join(lines) + "\n", ".jsonl"


def read_question_file(data: bytes, path: str, mapping: Mapping[str, str]) -> QuestionTable:
    """Read a file, with the column of each field as `mapping` says, or as its name suggests.

    Raises:
        InvalidInput: the file cannot be read, a column is missing, or no row makes a case.
    """
    found = read_question_rows(data, path)
    columns = _choose_columns(list(found.columns), mapping, path)
    if "id" not in mapping and not _are_ids(columns.get("id", ""), found.rows):
        columns.pop("id", None)
    cases, left_out = _build_cases(found.rows, columns)
    left_out = sorted([*found.unreadable, *left_out], key=_line_of)
    if not cases:
        none = Problem(message="no row makes a case.", where=Location(path=path))
        raise InvalidInput([*left_out, none])
    return QuestionTable(
        columns=columns,
        unused=tuple(column for column in found.columns if column not in columns.values()),
        cases=tuple(cases),
        left_out=tuple(left_out),
        repeated=_find_repeated(found.rows, columns["input"]),
    )


def _line_of(problem: Problem) -> int:
    return problem.where.line if problem.where else 0


def parse_mapping(given: Sequence[str]) -> dict[str, str]:
    """Return the column of each field in texts such as `input=question,expected=answer`.

    Raises:
        InvalidInput: an item has another form, or names an unknown field.
    """
    items: list[str] = []
    for text in given:
        for part in text.split(","):
            if "=" in part or not items:
                items.append(part)
            else:
                items[-1] += f",{part}"  # a comma in the name of a column
    found, problems = {}, []
    for item in items:
        field, equals, column = (part.strip() for part in item.partition("="))
        if not (equals and column):
            problems.append(f"--map {item!r}: write FIELD=COLUMN, as in input=question.")
        elif field not in FIELDS and not re.fullmatch(r"metadata\.[\w-]+", field):
            advice = (
                suggest_similar(field, FIELDS) or f". Fields: {', '.join(FIELDS)}, metadata.NAME."
            )
            problems.append(f"--map {item!r}: unknown field {field!r}{advice}")
        elif field in found:
            problems.append(f"--map names two columns for {field}. Keep one.")
        found[field] = column
    if problems:
        raise InvalidInput([Problem(message=message) for message in problems])
    return found


def _choose_columns(
    columns: Sequence[str], mapping: Mapping[str, str], path: str
) -> dict[str, str]:
    where = Location(path=path, line=1)
    listed = f"Columns: {', '.join(columns)}."
    problems = [
        f"--map {field}={column}: there is no column {column!r}{suggest_similar(column, columns) or '.'} {listed}"
        for field, column in mapping.items()
        if column not in columns
    ]
    chosen = _guess_columns(columns, mapping)
    if "input" not in chosen:
        problems.append(
            f"no column looks like the question. {listed} Name it with --map input=COLUMN. The first line "
            "must have the names of the columns."
        )
    if problems:
        raise InvalidInput([Problem(message=message, where=where) for message in problems])
    return chosen


def _guess_columns(columns: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the mapping with the columns added whose name means a field, as a whole or by one word."""
    plain = {re.sub(r"[\W_]", "", column).casefold(): column for column in reversed(columns)}
    chosen = dict(mapping)
    for field, names in GUESSES.items():
        free = [plain[name] for name in names if plain.get(name) not in (None, *chosen.values())]
        if field not in chosen and free:
            chosen[field] = free[0]
    for field, words in WORDS.items():
        near = [
            column
            for column in columns
            if column not in chosen.values()
            if (found := set(re.findall(r"[a-z]+", column.casefold()))) & words
            if not found & _OTHER_WORDS
        ]
        if field not in chosen and len(near) == 1:
            chosen[field] = near[0]
    return chosen


def _are_ids(column: str, rows: Sequence[QuestionRow]) -> bool:
    """Return whether the values of a column can all be ids of cases."""
    values = [str(row.values.get(column) or "").strip() for row in rows if not row.is_blank]
    unique = len({value.casefold() for value in values}) == len(values)
    return unique and not any(find_label_problem(value) for value in values)


def _build_cases(
    rows: Sequence[QuestionRow], columns: Mapping[str, str]
) -> tuple[list[Mapping[str, Json]], list[Problem]]:
    """Return the case of each row that makes one, and why the others make none."""
    cases: list[Mapping[str, Json]] = []
    left_out: list[Problem] = []
    lines: dict[str, int] = {}
    for row in rows:
        values = {
            field: row.values[column]
            for field, column in columns.items()
            if not is_empty(row.values.get(column))
        }
        needed = [field for field in ("input", "expected", "id") if field in columns]
        missing = [repr(columns[field]) for field in needed if field not in values]
        case_id = str(values.pop("id", "")).strip() or _make_id(values.get("input"), lines)
        message = ""
        if row.is_blank:
            message = "the row is empty."
        elif missing:
            message = f"{' and '.join(missing)} {'are' if missing[1:] else 'is'} empty."
        elif first := lines.get(case_id.casefold()):
            message = f"the id {case_id!r} is that of line {first}."
        elif problem := find_label_problem(case_id):
            message = f"the id {problem}"
        if message:
            left_out.append(Problem(message=message, where=row.where))
        else:
            lines[case_id.casefold()] = row.where.line
            cases.append({"id": case_id, **{k: _clean(k, value) for k, value in values.items()}})
    return cases, left_out


def _clean(field: str, value: Json) -> Json:
    """Return a value as a case takes it: tags as a list of texts, and a cluster as text."""
    if field == "tags":
        parts = value if isinstance(value, list) else re.split("[;,]", str(value))
        return [text for part in parts if (text := str(part).strip())]
    return str(value) if field == "cluster" else value


def _make_id(given: Json, taken: Mapping[str, int]) -> str:
    """Return an id from the first words of a question, so that it stays the same when rows move.

    The question of a conversation is its last turn.
    """
    last = given[-1] if isinstance(given, list) and given else given
    question = str(last.get("content", "") if isinstance(last, dict) else last)
    slug = "-".join(re.findall(r"[a-z0-9]+", to_ascii_letters(question.casefold())))
    if len(slug) > _MAX_SLUG:
        slug = slug[: _MAX_SLUG + 1].rpartition("-")[0] or slug[:_MAX_SLUG]
    digest = hashlib.sha256(question.encode("utf-8", "replace")).hexdigest()[:8]
    base = slug or f"case-{digest}"
    numbered = (
        f"{base}-{digest}" if count == 1 else f"{base}-{digest}-{count}"
        for count in itertools.count(1)
    )
    return next(each for each in itertools.chain([base], numbered) if each not in taken)


def _find_repeated(rows: Sequence[QuestionRow], column: str) -> tuple[str, ...]:
    """Return which rows ask the same question, as texts for the user."""
    lines: dict[str, list[int]] = {}
    for row in rows:
        if not is_empty(row.values.get(column)):
            question = " ".join(str(row.values[column]).casefold().split())
            lines.setdefault(question, []).append(row.where.line)
    return tuple(
        f"{len(found)} rows ask the same: lines {', '.join(map(str, found))}."
        for found in lines.values()
        if len(found) > 1
    )


def _nest(case: Mapping[str, Json]) -> dict[str, Json]:
    """Return a case with `metadata.NAME` as NAME in the mapping `metadata`."""
    nested: dict[str, Json] = {}
    metadata: dict[str, Json] = {}
    for field, value in case.items():
        prefix, _, name = field.partition(".")
        (metadata if name else nested)[name or prefix] = value
    return {**nested, **({"metadata": metadata} if metadata else {})}


def _to_csv(cases: Sequence[Mapping[str, Json]]) -> str:
    """Return the cases as CSV: a list of tags in one cell, and any other list as JSON."""
    fields = list(dict.fromkeys(field for case in cases for field in case))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fields, lineterminator="\n")
    writer.writeheader()
    for case in cases:
        writer.writerow({field: _to_cell(field, value) for field, value in case.items()})
    return stream.getvalue()


def _to_cell(field: str, value: Json) -> str:
    if field == "tags" and isinstance(value, list):
        return ";".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
