"""The `nemochat` command, and ``python -m nemochat``."""

from nemochat.system.imports import keep_out_current_folder

# Before anything else is imported: people run nemochat among files that they did not write.
keep_out_current_folder()

from nemochat.cli import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    main()
