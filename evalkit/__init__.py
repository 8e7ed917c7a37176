"""Offline evaluation of AI agents: run labelled prompts, score, compare with a baseline, gate."""

# As type checkers know it, without the time that importing `typing` takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from evalkit.core.eval_set import Case as Case
    from evalkit.core.spans import Span as Span
    from evalkit.core.trial import Output as Output
    from evalkit.core.trial import Score as Score
    from evalkit.store.frames import load_run as load_run
    from evalkit.store.frames import load_runs as load_runs
    from evalkit.trace.recording import span as span

__version__ = "0.2.0"

_HOMES = {
    "Case": "evalkit.core.eval_set",
    "Output": "evalkit.core.trial",
    "Score": "evalkit.core.trial",
    "Span": "evalkit.core.spans",
    "load_run": "evalkit.store.frames",
    "load_runs": "evalkit.store.frames",
    "span": "evalkit.trace.recording",
}
"""Where each public name lives. It is loaded when first asked for, so that `evalkit --version` and
every worker start without it."""

__all__ = ["Case", "Output", "Score", "Span", "__version__", "load_run", "load_runs", "span"]


if not TYPE_CHECKING:  # a type checker would take any attribute for a public name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - see _HOMES

        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
