"""Judging: an answer under a rubric turned into a score, by judges that are held to account."""
