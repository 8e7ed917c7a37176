"""evalkit in this process, for tests that change it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evalkit.cli.app import main
from tests.conftest import Done


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs the command line here, 80 columns wide."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as exit_info:
            main(arguments)
        out, err = capfd.readouterr()
        return Done(code=int(exit_info.value.code or 0), out=out, err=err)

    return run
