"""`python -m tunegate` is the same as `tunegate`."""

from tunegate.cli import main

main()
