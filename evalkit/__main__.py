"""`python -m evalkit` is `evalkit`."""

from evalkit.cli import main

main()
