"""Run a step of the action: `step.py start`, `install`, `run`, or `end`.

It needs only Python, so it works where evalkit could not be installed.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # With -P, Python does not look in the folder of the script. At the end of the list, that folder replaces
    # no module of Python or evalkit; the name of its package is its own. The checkout gets no further files.
    sys.dont_write_bytecode = True
    sys.path.append(str(Path(__file__).resolve().parent))
    sys.exit(importlib.import_module("evalkit_action.steps").main(sys.argv[1], os.environ))
