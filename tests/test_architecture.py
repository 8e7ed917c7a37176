"""Imports run one way, and nothing heavy is loaded before the command that needs it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import evalkit

PACKAGE = Path(evalkit.__file__).parent

LAYERS = (
    ("cli", "__main__"),
    ("delivery",),
    ("console", "options"),
    ("problems",),
    ("commands",),
    ("alongside",),
    ("basing",),
    ("deciding", "frames", "progress", "reviewing"),
    ("correcting",),
    ("reports",),
    ("execution",),
    ("staging",),
    ("opponents",),
    ("desk", "intake", "pull_requests"),
    ("history", "matrix"),
    ("findings",),
    ("gating",),
    ("compare", "breakdown", "summary"),
    ("samples",),
    ("headers",),
    ("definition",),
    ("resuming", "rescoring"),
    ("runner", "plan"),
    ("world",),
    ("metrics",),
    ("judges",),
    ("judging",),
    ("confinement",),
    ("agents",),
    ("loading", "store", "baseline", "refs", "plugins", "steps", "versions"),
    ("statistics",),
    ("answerfile",),
    ("spanfile",),
    ("tracing",),
    ("worker",),
)
"""From the top down, for the modules whose order matters most; see `test_imports_run_downward`."""

HEAVY = {
    "aiohttp",
    "asyncio",
    "duckdb",
    "genai_prices",
    "jsonschema",
    "msgspec",
    "numpy",
    "openai",
    "opentelemetry",
    "pandas",
    "psutil",
    "rapidfuzz",
    "regex",
    "rich",
    "yaml",
}


def modules() -> dict[str, Path]:
    return {
        ".".join(("evalkit", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imports_of(path: Path, known: dict[str, Path]) -> set[str]:
    """The evalkit modules a module imports, whether at its top or in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module.split(".")[0] == "evalkit":
                members = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {name for name in members if name in known} or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("evalkit")}
    return {name.removesuffix(".__init__") for name in found}


def loaded_by(*arguments: str) -> set[str]:
    """The top-level packages in memory after a command has run."""
    code = (
        "import sys\nfrom evalkit.cli import main\n"
        f"try:\n    main({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(' '.join({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_imports_make_no_cycle() -> None:
    known = modules()
    graph = {
        name.removesuffix(".__init__"): imports_of(path, known) for name, path in known.items()
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name in done or name not in graph:
            return
        for other in sorted(graph[name]):
            # A package's face may be imported by what is inside it only if it does not import back.
            visit(other, (*above, name))
        done.add(name)

    for name in sorted(graph):
        visit(name, ())


def layer_of(module: str) -> int | None:
    part = module.split(".")[1] if "." in module else ""
    return next((index for index, names in enumerate(LAYERS) if part in names), None)


def test_imports_run_downward() -> None:
    known = modules()
    upward = []
    for name, path in known.items():
        if name == "evalkit.__init__":  # the package's face: it imports when asked
            continue
        own = layer_of(name)
        for other in imports_of(path, known):
            theirs = layer_of(other)
            # What is in no layer is the ground everything stands on: it imports no layer.
            if theirs is not None and (own is None or theirs < own):
                upward.append(f"{name} imports {other}")
    assert not upward


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_nothing_heavy_is_loaded_to_say_who_we_are(argument: str) -> None:
    assert not loaded_by(argument) & HEAVY


def test_a_run_loads_only_what_its_set_needs(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("def answer(text):\n    return text\n")
    evalset = tmp_path / "set.yaml"
    evalset.write_text(
        "agent: {python: ./agent.py:answer}\ncases:\n- {id: a, input: x, expected: x}\n"
    )
    loaded = loaded_by("run", str(evalset))
    assert "yaml" in loaded
    assert not loaded & {
        "aiohttp",
        "duckdb",
        "jsonschema",
        "openai",
        "pandas",
        "rapidfuzz",
        "rich",
        "scipy",
    }


def test_checking_a_set_loads_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("def answer(text):\n    return text\n")
    evalset = tmp_path / "set.yaml"
    evalset.write_text(
        "agent: {python: ./agent.py:answer}\ngate: [{metric: exact_match, max_drop: 0.02}]\n"
        "cases:\n- {id: a, input: x, expected: x}\n"
    )
    loaded = loaded_by("validate", str(evalset))
    assert "yaml" in loaded
    assert not loaded & {"numpy", "aiohttp", "openai", "pandas", "rapidfuzz", "rich", "scipy"}


def test_looking_at_stored_runs_weighs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent.py").write_text("def answer(text):\n    return text\n")
    evalset = tmp_path / "set.yaml"
    evalset.write_text(
        "agent: {python: ./agent.py:answer}\ncases:\n- {id: a, input: x, expected: x}\n"
    )
    monkeypatch.chdir(tmp_path)
    loaded_by("run", str(evalset))
    for command in (["traces"], ["history", str(evalset)], ["repair", "latest"]):
        assert not loaded_by(*command) & {"numpy", "pandas", "openai"}, command


def test_no_module_outgrows_a_reader() -> None:
    long = {
        name: count
        for name, path in modules().items()
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert not long, long
