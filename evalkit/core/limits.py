"""Limits on the output of agents and plugins. A reply over its limit is an error, not shortened."""

MAX_REPLY_BYTES = 10_000_000
"""Size of one reply in UTF-8."""

MAX_REPLY_DEPTH = 100
"""Nesting depth of JSON in a reply. Python's JSON parser fails at about 1,000."""

MAX_DETAIL_CHARS = 2_000
"""Characters kept of a traceback or of stderr: the end, which has the error."""

MAX_SPANS = 1_000
"""Steps kept of one trial. An agent with more is in a loop, and the first steps show it."""

MAX_ATTRIBUTE_CHARS = 16_000
"""Characters of one attribute of a step. A model's prompt may be longer; its beginning is kept."""

MAX_ATTRIBUTES = 128
"""Attributes of one step. This is OpenTelemetry's default limit."""

MAX_TRACE_CHARS = 4_000_000
"""Characters of all texts in the steps of one trial."""

MAX_EXPORT_BYTES = 16_000_000
"""Size of one trace export, both as sent and decompressed. Exporters send 512 spans at a time."""
