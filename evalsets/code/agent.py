"""A coding agent without a model: it searches known functions for one that matches the examples."""

from __future__ import annotations

import ast
import inspect
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import library

WORD = re.compile(r"[a-z]+")
STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "for",
        "from",
        "function",
        "has",
        "how",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "not",
        "of",
        "on",
        "one",
        "or",
        "that",
        "the",
        "this",
        "to",
        "two",
        "when",
        "which",
        "with",
        "write",
        "whether",
        "tell",
        "all",
        "other",
        "of",
        "number",
        "numbers",
        "text",
        "list",
    ]
)
CONSIDERED = 6
"""The number of most similar functions that are tried."""

JITTER = 0.1
"""The random part of a score, which varies like a model's choices."""

LARGEST_TRIED = 10_000
"""The largest number passed from one function to another. With larger ones, some never end."""

SIGNATURE = re.compile(r"`(\w+)\(([^)]*)\)`")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A known function: its name, the words that describe it, and its source without the docstring."""

    name: str
    words: frozenset[str]
    parameters: int
    source: str
    function: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Task:
    """A requested function: its name and parameters, the words that describe it, and examples."""

    name: str
    parameters: tuple[str, ...]
    words: frozenset[str]
    examples: tuple[tuple[tuple[Any, ...], Any], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A function that may solve the task, and the code to answer with."""

    call: Callable[..., Any]
    code: Callable[[Task], str]


def words_in(text: str) -> frozenset[str]:
    """Return the significant words of a text, without their endings."""
    found = WORD.findall(text.lower().replace("_", " "))
    return frozenset(re.sub(r"(ies|es|s|ed|ing)$", "", w)[:7] for w in found if w not in STOP_WORDS)


def read_library() -> tuple[Snippet, ...]:
    """Return every function of the library."""
    snippets = []
    for name, function in vars(library).items():
        if not inspect.isfunction(function):
            continue
        [tree] = ast.parse(inspect.getsource(function)).body
        if isinstance(tree, ast.FunctionDef):
            about = words_in(f"{name} {ast.get_docstring(tree)}")
            tree.body = tree.body[1:]
            parameters = len(tree.args.args)
            snippets.append(Snippet(name, about, parameters, ast.unparse(tree), function))
    return tuple(snippets)


SNIPPETS = read_library()


def read_task(text: str) -> Task:
    """Parse the task in a prompt; its examples are lines of the form `name(...) == value`."""
    signature = SIGNATURE.search(text)
    name, parameters = (signature[1], signature[2]) if signature else ("solution", "x")
    examples = tuple(_read_examples(text))
    prose = " ".join(line for line in text.splitlines() if "==" not in line)
    return Task(
        name, tuple(part.strip() for part in parameters.split(",")), words_in(prose), examples
    )


def _read_examples(text: str) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for line in text.splitlines():
        if "==" not in line:
            continue
        try:
            compared = ast.parse(line.strip(), mode="eval").body
            if isinstance(compared, ast.Compare) and isinstance(compared.left, ast.Call):
                arguments = tuple(map(ast.literal_eval, compared.left.args))
                yield arguments, ast.literal_eval(compared.comparators[0])
        except (SyntaxError, ValueError):
            continue


class CodingAgent:
    """Searches its library for one or two functions that match the examples of a task.

    If `tries_examples` is false, it takes the function most similar to the task without a try.
    """

    def __init__(self, *, tries_examples: bool = True) -> None:
        self.tries_examples = tries_examples

    def answer(self, asked: str, context: Mapping[str, Any]) -> dict[str, Any]:
        """Answer with a file; `context["seed"]` is the seed of the random draws."""
        task = read_task(asked)
        seed = context.get("seed")
        ranked = rank(task, random.Random(0 if seed is None else f"{seed} {task.name}"))
        calls = [{"name": "search_library"}]
        chosen = None
        if self.tries_examples:
            chosen = find_agreeing(task, ranked)
            calls.append({"name": "run_examples"})
        elif ranked:
            chosen = alone(ranked[0])
        code = chosen.code(task) if chosen else give_up(task)
        return {"data": {"files": {"solution.py": code}}, "tool_calls": calls}


def rank(task: Task, rng: random.Random) -> list[Snippet]:
    """Rank the functions by their similarity to the task, with a little randomness."""
    scored = []
    for snippet in SNIPPETS:
        shared = len(task.words & snippet.words)
        if shared:
            score = shared / (len(task.words) * len(snippet.words)) ** 0.5
            scored.append((score + rng.gauss(0.0, JITTER), snippet))
    ordered = sorted(scored, key=lambda item: -item[0])
    return [snippet for _, snippet in ordered[:CONSIDERED]]


def find_agreeing(task: Task, ranked: Sequence[Snippet]) -> Candidate | None:
    """Return the first candidate that matches every example."""
    for candidate in candidates(task, ranked):
        if task.examples and all(agrees(candidate, *example) for example in task.examples):
            return candidate
    return None


def agrees(candidate: Candidate, arguments: tuple[Any, ...], wanted: Any) -> bool:
    """Return whether a candidate matches an example."""
    try:
        got = candidate.call(*(_copy(each) for each in arguments))
    except Exception:
        return False
    return bool(got == wanted) and type(got) is type(wanted)


def _copy(value: Any) -> Any:
    return [_copy(each) for each in value] if isinstance(value, list) else value


def candidates(task: Task, ranked: Sequence[Snippet]) -> Iterator[Candidate]:
    """Yield single functions first, then one function applied to the result of another."""
    fitting = [snippet for snippet in ranked if snippet.parameters == len(task.parameters)]
    yield from map(alone, fitting)
    for inner in fitting:
        for outer in SNIPPETS:
            if (
                outer.parameters == 1
                and outer is not inner
                and (outer in ranked or outer.name == "size")
            ):
                yield together(outer, inner)


def alone(snippet: Snippet) -> Candidate:
    """Return a function unchanged, under the requested name."""

    def code(task: Task) -> str:
        return re.sub(rf"\b{snippet.name}\(", f"{task.name}(", snippet.source) + "\n"

    return Candidate(snippet.function, code)


def together(outer: Snippet, inner: Snippet) -> Candidate:
    """Return one function applied to the result of another."""

    def call(*arguments: Any) -> Any:
        given = inner.function(*arguments)
        if isinstance(given, float) or (isinstance(given, int) and abs(given) > LARGEST_TRIED):
            raise OverflowError(given)
        return outer.function(given)

    def code(task: Task) -> str:
        given = ", ".join(task.parameters)
        last = f"def {task.name}({given}):\n    return {outer.name}({inner.name}({given}))\n"
        return f"{inner.source}\n\n{outer.source}\n\n{last}"

    return Candidate(call, code)


def give_up(task: Task) -> str:
    """Return a file that says what is missing."""
    given = ", ".join(task.parameters)
    return f"def {task.name}({given}):\n    raise NotImplementedError\n"


answer = CodingAgent().answer
