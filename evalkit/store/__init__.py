"""Read and write runs, baselines, spans and caches on disk."""
