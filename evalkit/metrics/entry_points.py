"""Resolve the name of a plugin to a reference that a worker can load."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from evalkit.core.run import RunEnvironment
from evalkit.core.source_files import UnreadableFile, read_file, resolve_inside
from evalkit.metrics.foreign_names import explain_metric

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class PluginNotFound(Exception):
    """A name in the eval set refers to no plugin; the message says why and what to do."""


def locate_plugin(
    ref: str, environment: RunEnvironment, *, group: str, built_in: Iterable[str]
) -> str:
    """Return the reference `./file.py:attribute` or `module:attribute` of a plugin.

    A name with a colon is already a reference; a file is relative to the eval set's folder. Any
    other name must be offered by an installed distribution in the entry-point group. `built_in` has
    evalkit's own names, which the message may suggest. No module is imported.

    Raises:
        PluginNotFound: the reference is malformed, its file is missing or outside of the project
            root, or no distribution, or more than one, offers the name.
    """
    if ":" not in ref:
        return _locate_installed(ref, group, built_in)
    location, _, attribute = ref.rpartition(":")
    if not _is_dotted_name(attribute):
        raise PluginNotFound(
            f"{attribute!r} is not a name. Write file and name as in './metrics.py:polite'."
        )
    if location.endswith(".py"):
        try:
            read_file(resolve_inside(location, environment.set_folder, environment.root))
        except UnreadableFile as error:
            raise PluginNotFound(f"{location} {error}") from None
    elif not _is_dotted_name(location):
        raise PluginNotFound(
            f"{location!r} is not a module. Write 'package.module', or './file.py' for a file."
        )
    return ref


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the most similar known name, or with all known names."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"There are: {', '.join(known)}." if known else "There are none."


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _locate_installed(name: str, group: str, built_in: Iterable[str]) -> str:
    # Imported here because it takes 60 ms, which sets without plugins need not pay.
    from importlib.metadata import entry_points  # noqa: PLC0415

    installed = list(entry_points(group=group))
    offers = {(_find_distribution(entry), entry.value) for entry in installed if entry.name == name}
    if not offers:
        known = [*built_in, *sorted({entry.name for entry in installed})]
        advice = explain_metric(name) or suggest_name(name, known)
        raise PluginNotFound(f"there is none of this name. {advice}")
    if len(offers) > 1:
        claims = " and ".join(f"{distribution} ({value})" for distribution, value in sorted(offers))
        raise PluginNotFound(f"{claims} both offer it. Uninstall one, or write the reference.")
    [(distribution, value)] = offers
    # An entry point may end with extras: `module:attribute [extra]`.
    module, _, attribute = value.partition("[")[0].strip().partition(":")
    if not attribute:
        raise PluginNotFound(f"{distribution} offers the module {module!r}, not an object in it.")
    return f"{module.strip()}:{attribute.strip()}"


def _find_distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unnamed distribution"
