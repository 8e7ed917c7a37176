"""What the commands beside a run come to, as records: what was recorded, checked, planned, weighed."""

from __future__ import annotations
