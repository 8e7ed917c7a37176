"""Evaluate AI agents offline: run labeled prompts, score, compare with a baseline, gate."""

# Type checkers take this name as true. Importing `typing` would slow down every start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from evalkit.core.eval_set import Case as Case
    from evalkit.core.spans import Span as Span
    from evalkit.core.trial import Output as Output
    from evalkit.core.trial import Score as Score
    from evalkit.notebook.loaded_run import load_run as load_run
    from evalkit.notebook.loaded_run import load_runs as load_runs
    from evalkit.trace.recording import span as span

__version__ = "0.2.0"

_PUBLIC_MODULES = {
    "Case": "evalkit.core.eval_set",
    "Output": "evalkit.core.trial",
    "Score": "evalkit.core.trial",
    "Span": "evalkit.core.spans",
    "load_run": "evalkit.notebook.loaded_run",
    "load_runs": "evalkit.notebook.loaded_run",
    "span": "evalkit.trace.recording",
}
"""The module of each public name, imported on first access. `evalkit --version` and worker processes
start without these modules."""

__all__ = ["Case", "Output", "Score", "Span", "__version__", "load_run", "load_runs", "span"]


if not TYPE_CHECKING:  # with __getattr__, a type checker would accept any name

    def __getattr__(name: str) -> object:
        if name not in _PUBLIC_MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - only on first access

        value = getattr(import_module(_PUBLIC_MODULES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
