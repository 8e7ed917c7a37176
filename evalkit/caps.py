"""How much of what an agent or a plugin gives is taken; a reply over these is an error, never cut."""

MAX_REPLY_BYTES = 10_000_000
"""One reply, counted in UTF-8."""

MAX_REPLY_DEPTH = 100
"""Levels of JSON in a reply: Python's own JSON reader gives up at about 1,000."""

MAX_DETAIL = 2_000
"""Characters kept of a traceback or of what was said on stderr: the end, where errors stand."""
