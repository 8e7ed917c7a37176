"""`evalkit schema`: the JSON Schemas of evalkit's files, for editors and validators."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from evalkit.core.errors import InvalidInput

SCHEMAS = Path(__file__).parents[1] / "schemas"
SUFFIX = ".schema.json"


def read_schema(name: str) -> str:
    """Return a JSON Schema by the name of what it describes, such as `evalset`.

    Raises:
        InvalidInput: there is no such schema.
    """
    names = sorted(path.name.removesuffix(SUFFIX) for path in SCHEMAS.glob(f"*{SUFFIX}"))
    if name not in names:
        near = get_close_matches(name, names, n=1)
        advice = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(names)}."
        raise InvalidInput.single(f"there is no schema {name!r}. {advice}")
    return (SCHEMAS / f"{name}{SUFFIX}").read_text()
