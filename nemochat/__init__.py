"""nemochat: talk in the terminal with a vision-language model that runs on your own machine."""

__version__ = "0.1.0"
