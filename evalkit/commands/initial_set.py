"""Build the first set of a repository: its agent, its cases, and how they are scored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.ci.workflow_files import read_template
from evalkit.commands.schema import SUFFIX, read_schema
from evalkit.core.errors import InvalidInput
from evalkit.core.format import format_count
from evalkit.core.location import Problem
from evalkit.core.source_files import UnreadableFile, display_path, read_file
from evalkit.evalset.question_file import QuestionTable, read_question_file

FIRST_SET = "evalsets/first.yaml"
SAMPLE_AGENT = "agent.py"
_AGENT_FILE = f"evalsets/{SAMPLE_AGENT}"
_RUBRIC_FILE = "rubrics/agrees.yaml"
_WEAK_GATE = (
    "This gate only checks that the agent answers: a wrong answer passes. Before you rely on it, write "
    "`expected` in each case of the set. Under `metrics`, delete the first line and uncomment the second, "
    "which compares it."
)
_HTTP_FORM = (
    'Each prompt is sent by POST as {"input": ..., "messages": [...]}, and the answer is the text of the '
    "reply, or `output` in it. For another form, write `body` and `output` beside `url`: "
    "evalkit help agents. In CI, start the agent before evalkit, from the checkout: "
    "the workflow has a step for it to uncomment. An agent that runs elsewhere is not the changed one."
)
_MAX_REPEATED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Questions:
    """The cases for a set: what the set is called, the name of the file that they are from, and the cases."""

    name: str
    source: str
    table: QuestionTable


@dataclass(frozen=True, kw_only=True, slots=True)
class InitialSet:
    """The files of a set by their names from its folder, and what the user has to know about them.

    `own_files` are those with the questions of the user, to delete for another attempt. If it
    `lacks_expected`, no column has the expected answers.
    """

    evalset: str
    texts: Mapping[str, str]
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    own_files: tuple[str, ...] = ()
    lacks_expected: bool = False


def build_initial_set(
    ref: str | None, questions: Questions | None, *, shared_agent: bool, shared_judge: bool
) -> InitialSet:
    """Return a set with the agent of the user, or an example; with the cases of a file, or an example.

    Args:
        ref: the agent's URL, or its entrypoint from the folder of the set.
        questions: the cases.
        shared_agent: whether the project file names an agent for sets without their own.
        shared_judge: whether it names a judge.
    """
    has_agent = ref is not None or shared_agent
    fills = {
        "agent": _describe_agent(ref or "./agent.py:answer", shared=shared_agent and ref is None),
        "judge": _describe_judge(shared=shared_judge),
    }
    evalset, template = FIRST_SET, "own.yaml" if has_agent else "first.yaml"
    cases: dict[str, str] = {}
    notes: tuple[str, ...] = (_WEAK_GATE,) if has_agent else ()
    about_agent = (_HTTP_FORM,) if is_agent_url(ref) else ()
    left_out: tuple[str, ...] = ()
    if questions is not None:
        table, name = questions.table, questions.name
        text, suffix = table.write()
        evalset, template, file = f"evalsets/{name}.yaml", "questions.yaml", f"{name}.cases{suffix}"
        cases = {f"evalsets/{file}": text}
        fills |= {"name": name, "cases": file, "source": questions.source, **_choose_metrics(table)}
        notes = tuple(_describe_table(table))
        left_out = tuple(map(str, table.left_out))
    texts = {
        **_with_schema(evalset, "evalset", _fill(read_template(template), fills)),
        **cases,
        **_with_schema(_RUBRIC_FILE, "rubric", read_template("agrees.yaml")),
    }
    if not has_agent:
        texts[_AGENT_FILE] = read_template("agent.py")
    return InitialSet(
        evalset=evalset,
        texts=texts,
        notes=(*about_agent, *notes),
        left_out=left_out,
        own_files=(evalset, *cases),
        lacks_expected=questions is not None and "expected" not in questions.table.columns,
    )


def is_agent_url(agent: str | None) -> bool:
    """Return whether an agent that the user typed is a URL."""
    return agent is not None and agent.lower().startswith(("http://", "https://"))


def read_questions(
    path: Path, mapping: Mapping[str, str], problems: list[Problem]
) -> Questions | None:
    """Read a file of questions; return None and add to `problems` if that fails."""
    shown = display_path(path)
    try:
        table = read_question_file(read_file(path), shown, mapping)
    except UnreadableFile as error:
        problems.append(Problem(message=f"--from: {shown} {error}"))
    except InvalidInput as error:
        problems += error.problems
    else:
        name = re.sub(r"[^\w-]+", "-", path.stem).strip("-") or "questions"
        return Questions(name=name, source=path.name, table=table)
    return None


def _describe_table(table: QuestionTable) -> Iterator[str]:
    """Yield where the cases came from: columns, and the number of rows."""
    fields = ", ".join(f"{column!r} is {field}" for field, column in table.columns.items())
    unused = f" Not used: {', '.join(map(repr, table.unused))}." if table.unused else ""
    yield f"Columns: {fields}.{unused} Choose others with --map FIELD=COLUMN."
    if "expected" not in table.columns:
        yield (
            "No column looks like the expected answer, so the gate only checks that every question is "
            "answered. Name the column with --map expected=COLUMN."
        )
    yield from table.repeated[:_MAX_REPEATED]
    cases, left_out = len(table.cases), len(table.left_out)
    rows = format_count(cases + left_out, "row")
    lost = f", and {left_out} left out" if left_out else ""
    yield f"{rows}: {format_count(cases, 'case')}{lost}."


def _choose_metrics(table: QuestionTable) -> dict[str, str]:
    """Return the metrics that suit the expected answers, and the one that the gate compares."""
    rubric = (
        "- rubric: ../rubrics/agrees.yaml          # a judge compares the answer with `expected`"
    )
    if "expected" not in table.columns:
        return {
            "metric": r"- {regex: '\S', name: answers}",
            "rubric": "# Once the cases have `expected`, use this metric in place of the one above:\n"
            "  # - {contains: {all: true}, name: answers}",
            "primary": "answers",
        }
    says = (
        "- {contains: {all: true}, name: says}     # the answer contains the text under `expected`"
    )
    if table.has_short_answers:
        return {"metric": says, "rubric": rubric, "primary": "says"}
    return {"metric": f"# {says}", "rubric": rubric, "primary": "agrees"}


def _describe_agent(ref: str, *, shared: bool) -> str:
    if shared:
        return "# The agent is the one in evalkit.yaml."
    quoted = ref.replace("'", "''")
    if is_agent_url(ref):
        return f"agent:\n  http:\n    url: '{quoted}'\n  timeout_s: 60"
    return f"agent:\n  python: '{quoted}'\n  timeout_s: 60"


def _describe_judge(*, shared: bool) -> str:
    if shared:
        return "# The judge is the one in evalkit.yaml."
    return (
        "# Compares words and needs no key. To use a model: {openai: {model: ...}}\njudge: lexical"
    )


def _fill(text: str, fills: Mapping[str, str]) -> str:
    for name, value in fills.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def _with_schema(file: str, schema: str, text: str) -> dict[str, str]:
    """Return a YAML file whose first line names its schema for editors, and the schema beside it."""
    name = f"{schema}{SUFFIX}"
    return {
        file: f"# yaml-language-server: $schema={name}\n{text}",
        str(Path(file).with_name(name)): read_schema(schema),
    }
