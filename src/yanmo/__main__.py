"""`python -m yanmo` is the `yanmo` command; the allocator re-exec and torchrun need a module to start."""

from yanmo.cli import main

if __name__ == "__main__":
    main()
