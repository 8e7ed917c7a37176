"""The rules of the code base: layers, sizes, names, words, one place for each kind of thing."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import evalkit
from tests.support.paths import ROOT

PACKAGE = Path(evalkit.__file__).parent

LAYERS = (
    "cli",
    "notebook",
    "commands",
    "traffic",
    "view",
    "bisect",
    "hosts",
    "ci",
    "runner",
    "metrics",
    "judge",
    "agents",
    "worker",
    "report",
    "gate",
    "compare",
    "store",
    "trace",
    "evalset",
    "stats",
    "detectors",
    "core",
)
"""Every package, from the top down: a package imports only what is below it."""

DATA_FOLDERS = {"schemas", "guide"}
"""Folders of the package that hold files, not code."""

COMMANDS = {path.stem for path in (PACKAGE / "cli").glob("*.py")}

MAX_CHAIN = 14
MAX_MODULE_LINES = 320
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 8
MAX_README_LINES = 350

HEAVY = {
    "aiohttp",
    "asyncio",
    "duckdb",
    "genai_prices",
    "jinja2",
    "jsonschema",
    "msgspec",
    "numpy",
    "openai",
    "opentelemetry",
    "pandas",
    "phonenumbers",
    "psutil",
    "py3langid",
    "rapidfuzz",
    "re2",
    "regex",
    "rich",
    "stdnum",
    "yaml",
}

SHARED_NAMES = {"check", "open", "main"}
"""Public names that several packages may define: what every kind of agent and judge offers."""

GERUNDS = {"sampling", "scoring", "recording"}
"""Module names that end in -ing and are nouns of the field."""

RETIRED_CLASSES = {
    "Assumed",
    "Basis",
    "Choices",
    "Desk",
    "Fuse",
    "GateSource",
    "Order",
    "Patience",
    "Place",
    "Purse",
    "Room",
    "Sight",
    "Tolerance",
    "Watch",
    "Wish",
    "World",
}

RETIRED_MODULES = {
    "alarms",
    "alongside",
    "basing",
    "breakdown",
    "deciding",
    "desk",
    "facts",
    "holding",
    "opening",
    "samples",
    "seen",
    "spelling",
    "told",
    "world",
}

RETIRED_IDENTIFIERS = {
    "alongside",
    "basing",
    "basis",
    "desk",
    "foresee",
    "opponent",
    "opponents",
    "opposite",
    "parting",
    "purse",
    "rival",
    "sights",
    "sitting",
    "standing",
    "theirs",
    "told",
    "wish",
}
"""Words that no identifier contains."""

RETIRED_PROSE = re.compile(
    r"\b(?:alongside|basing|blind spots?|by lot|comes? to|foresees?|goe?s? on with|held to|"
    r"mend(?:s|ed|ing)?|opponents?|rivals?|stands?|tells?|there is but|told|untold|wavers?|"
    r"whoever)\b",
    re.IGNORECASE,
)
"""Words and phrases that no docstring, comment, message or page contains."""


@cache
def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name; a package's own is its `__init__`."""
    return {
        ".".join(("evalkit", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if "templates" not in path.parts or "action" in path.parts
    }


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports_of(path: Path) -> frozenset[str]:
    """The evalkit modules a module imports, at its top, in a function or for types."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module.split(".")[0] == "evalkit":
                members = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {name for name in members if name in modules()} or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("evalkit")}
    return frozenset(found)


@cache
def longest_chain(module: str) -> tuple[str, ...]:
    """The longest way down from a module by imports; the package's own face imports on demand."""
    below = (name for name in imports_of(modules()[module]) if name != "evalkit")
    return max(((module, *longest_chain(name)) for name in below), key=len, default=(module,))


def definitions() -> Iterator[tuple[str, str]]:
    """Every public class and function at the top of a module: its package and its name."""
    for module, path in modules().items():
        for node in tree_of(path).body:
            if (
                isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and not node.name.startswith("_")
                and "." in module
            ):
                yield module.split(".")[1], node.name


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for module, path in modules().items():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield module, node


def pages() -> list[Path]:
    """Everything that people read: the code, its data files, the README and the guide."""
    kinds = ("*.py", "*.md", "*.j2", "*.html", "*.json", "*.yaml", "*.yml", "*.js")
    return [
        *(path for kind in kinds for path in sorted(PACKAGE.rglob(kind))),
        ROOT / "README.md",
        *sorted((ROOT / ".github").glob("*.md")),
    ]


def loaded_by(*arguments: str) -> set[str]:
    """The top-level packages in memory after a command has run."""
    code = (
        "import sys\nfrom evalkit.cli.app import main\n"
        f"try:\n    main({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(' '.join({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_the_root_holds_packages_only() -> None:
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "py.typed"}


def test_the_packages_are_the_layers() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == {*LAYERS, *DATA_FOLDERS}


def test_imports_run_downward() -> None:
    upward = [
        f"{module} imports {other}"
        for module, path in modules().items()
        if module.count(".") and module != "evalkit.__main__"
        for other in imports_of(path)
        if other.count(".") and (own := module.split(".")[1]) != (below := other.split(".")[1])
        if own in LAYERS and LAYERS.index(below) < LAYERS.index(own)
    ]
    assert not upward


def test_imports_make_no_cycle() -> None:
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above, module))
        if module not in done:
            for other in sorted(imports_of(modules()[module])):
                if other != "evalkit":
                    visit(other, (*above, module))
            done.add(module)

    for module in modules():
        visit(module, ())


def test_no_chain_of_imports_is_long() -> None:
    longest = max(map(longest_chain, modules()), key=len)
    assert len(longest) <= MAX_CHAIN, " > ".join(longest)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_package_has_a_face(layer: str) -> None:
    """The face names the modules that other packages use, and holds no code.

    A module of `commands` that is named like its command needs no entry.
    """
    face = tree_of(PACKAGE / layer / "__init__.py")
    doc = ast.get_docstring(face)
    assert doc
    assert len(face.body) == 2, "a docstring and __all__"
    assign = face.body[1]
    assert isinstance(assign, ast.Assign)
    assert ast.unparse(assign.targets[0]) == "__all__"
    listed = set(ast.literal_eval(assign.value))
    used = {
        other.split(".")[2]
        for module, path in modules().items()
        if module.split(".")[1:2] != [layer]
        for other in imports_of(path)
        if other.split(".")[1:2] == [layer] and other.count(".") >= 2
    }
    missing = used - listed - (COMMANDS if layer == "commands" else set())
    assert not missing, f"used elsewhere, not listed in {layer}/__init__.py: {sorted(missing)}"
    assert all(f"evalkit.{layer}.{name}" in modules() for name in listed)


def test_no_module_outgrows_a_reader() -> None:
    long = {
        module: count
        for module, path in modules().items()
        if (count := len(path.read_text().splitlines())) > MAX_MODULE_LINES
    }
    assert not long


def test_no_function_outgrows_a_reader() -> None:
    long = {
        f"{module}.{node.name}": count
        for module, node in functions()
        if (count := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert not long


def test_no_function_takes_many_parameters() -> None:
    many = {
        f"{module}.{node.name}": count
        for module, node in functions()
        if not module.startswith("evalkit.cli.")
        if (count := len((*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)))
        > MAX_PARAMETERS
    }
    assert not many


def test_modules_are_named_by_nouns() -> None:
    names = {module: module.rpartition(".")[2] for module in modules()}
    gerunds = [each for each, name in names.items() if name.endswith("ing") and name not in GERUNDS]
    assert not gerunds
    assert not [each for each, name in names.items() if name in RETIRED_MODULES]
    assert not [each for each, name in names.items() if re.search(r"util|helper|manager", name)]


def test_no_public_name_means_two_things() -> None:
    packages = defaultdict(set)
    for package, name in definitions():
        packages[name].add(package)
    double = {
        name: sorted(found)
        for name, found in packages.items()
        if len(found) > 1 and name not in SHARED_NAMES
        if not (name in COMMANDS and found == {"cli", "commands"})
    }
    assert not double


def test_docstrings_begin_with_an_imperative_verb() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "D401", "--quiet", str(PACKAGE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


def test_no_identifier_has_a_retired_word() -> None:
    found = set()
    for module, path in modules().items():
        for node in ast.walk(tree_of(path)):
            name = getattr(node, "name", None) or getattr(node, "attr", None)
            name = name or getattr(node, "id", None) or getattr(node, "arg", None)
            if isinstance(name, str) and set(name.lower().split("_")) & RETIRED_IDENTIFIERS:
                found.add(f"{module}: {name}")
            if isinstance(node, ast.ClassDef) and node.name in RETIRED_CLASSES:
                found.add(f"{module}: class {node.name}")
    assert not found


def test_no_sentence_has_a_retired_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in pages()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if RETIRED_PROSE.search(line)
    ]
    assert not found, "\n".join(found)


CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text()


def test_contributing_names_what_exists() -> None:
    paths = set(
        re.findall(r"`((?:evalkit|tests|evalsets|rubrics|\.github)/[\w./-]*)`", CONTRIBUTING)
    )
    assert len(paths) > 30
    assert not [path for path in paths if not (ROOT / path).exists()]
    text = " ".join(CONTRIBUTING.split())
    symbols = re.findall(
        r"`(\w+)`(?: and `(\w+)`| or `(\w+)`)? (?:in|from) `(evalkit/[\w/]+\.py)`", text
    )
    assert len(symbols) > 5
    for *names, path in symbols:
        for name in filter(None, names):
            defined = re.search(
                rf"^(?:class |(?:async )?def )?{name}\b", (ROOT / path).read_text(), re.MULTILINE
            )
            assert defined, f"{name} in {path}"


@pytest.mark.parametrize("kind", ["a metric", "an agent kind", "a report format", "a command"])
def test_contributing_adds_a_thing_in_three_files(kind: str) -> None:
    section = CONTRIBUTING.partition(f"\n## Adding {kind}\n")[2].partition("\n## ")[0]
    steps = re.findall(r"^\d\. ", section, re.MULTILINE)
    assert 1 <= len(steps) <= 3


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README_LINES


def test_every_schema_names_itself() -> None:
    for path in sorted((PACKAGE / "schemas").glob("*.json")):
        name = path.name.removesuffix(".schema.json")
        assert json.loads(path.read_text())["$id"] == f"urn:evalkit:schema:{name}"


@pytest.mark.parametrize("words", ["--version", "--help", "traffic --help", "traffic import -h"])
def test_nothing_heavy_is_loaded_to_say_who_we_are(words: str) -> None:
    assert not loaded_by(*words.split()) & HEAVY


def write_set(folder: Path, gate: str = "") -> Path:
    (folder / "agent.py").write_text("def answer(text):\n    return text\n")
    evalset = folder / "set.yaml"
    evalset.write_text(
        "agent: {python: ./agent.py:answer}\n" + gate + "cases:\n- {id: a, input: x, expected: x}\n"
    )
    return evalset


def test_a_run_loads_only_what_its_set_needs(tmp_path: Path) -> None:
    loaded = loaded_by("run", str(write_set(tmp_path)))
    assert "yaml" in loaded
    lazy = {"aiohttp", "duckdb", "jinja2", "jsonschema", "openai", "pandas", "rapidfuzz", "rich"}
    assert not loaded & (lazy | {"scipy"})


def test_checking_a_set_loads_no_numbers(tmp_path: Path) -> None:
    evalset = write_set(tmp_path, "gate: [{metric: exact_match, max_drop: 0.02}]\n")
    loaded = loaded_by("validate", str(evalset))
    assert "yaml" in loaded
    assert not loaded & {"numpy", "aiohttp", "openai", "pandas", "rapidfuzz", "rich", "scipy"}


def test_planning_a_run_that_weighs_nothing_loads_no_numbers(tmp_path: Path) -> None:
    assert "numpy" not in loaded_by("run", str(write_set(tmp_path)), "--dry-run")


def test_looking_at_stored_runs_weighs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evalset = write_set(tmp_path)
    monkeypatch.chdir(tmp_path)
    loaded_by("run", str(evalset))
    for command in (
        ["traces"],
        ["history", str(evalset)],
        ["runs"],
        ["repair", "latest"],
        ["show", "latest", "a"],
        ["show", "latest", "--flaky"],
        ["show", "latest", "--suspect-labels"],
    ):
        assert not loaded_by(*command) & {"numpy", "pandas", "openai"}, command


def test_an_export_of_pages_needs_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evalset = write_set(tmp_path)
    monkeypatch.chdir(tmp_path)
    loaded_by("run", str(evalset))
    loaded = loaded_by("view", "--export", str(tmp_path / "out"))
    assert "jinja2" in loaded
    assert not loaded & {"aiohttp", "duckdb", "openai", "pandas", "rich"}
