"""`python -m yanmo` is the `yanmo` command; torchrun needs a module to start."""

from yanmo.cli import main

if __name__ == "__main__":
    main()
