"""`python -m tunegate` is the same as `tunegate`."""

from tunegate.cli import main

if __name__ == "__main__":  # processes of its own import it again
    main()
