"""How much of what an agent or a plugin gives is taken; a reply over these is an error, never cut."""

MAX_REPLY_BYTES = 10_000_000
"""One reply, counted in UTF-8."""

MAX_REPLY_DEPTH = 100
"""Levels of JSON in a reply: Python's own JSON reader gives up at about 1,000."""

MAX_DETAIL_CHARS = 2_000
"""Characters kept of a traceback or of what was said on stderr: the end, where errors stand."""

MAX_SPANS = 1_000
"""Steps kept of one trial. An agent that takes more is in a loop, and the first ones show it."""

MAX_ATTRIBUTE_CHARS = 16_000
"""Of one attribute of a step; what a model was sent may be longer, its beginning is kept."""

MAX_ATTRIBUTES = 128
"""Of one step; OpenTelemetry's own limit."""

MAX_TRACE_CHARS = 4_000_000
"""Of all texts in the steps of one trial."""

MAX_EXPORT_BYTES = 16_000_000
"""One message with steps in it, as sent and once unpacked; senders send 512 at a time."""
