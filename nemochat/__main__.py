"""``python -m nemochat``."""

from nemochat.cli import main

if __name__ == "__main__":
    main()
