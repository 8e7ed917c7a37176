"""Eval-set files, turned into records and problems with their places."""
