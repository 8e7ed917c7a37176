"""Exact statistics on arrays of counts and values; numpy only, no random numbers but seeded ones."""
