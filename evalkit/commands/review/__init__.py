"""Reviewing: a person looks at some of the answers that a judge scored, and gives levels to them."""
