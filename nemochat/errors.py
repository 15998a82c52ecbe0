"""Every error that a person may see.

NemochatError
├── UsageError         a request that cannot be meant (exit code 2)
├── SettingsError      settings or environment hold a bad value
├── ImageError         a picture cannot be read
├── ModelFileError     a model or projector file is missing, broken or of the wrong kind
├── DownloadError      a model cannot be had from where it was to come from
├── TemplateError      a model's chat template is broken, hostile, or cannot say a conversation
├── WindowError        a single message does not fit the context window
├── ConversationError  a conversation file or request has the wrong shape
├── EvaluationError    a benchmark's questions or a run cannot be used
└── EngineError        the engine died, hung, refused or could not load
    ├── EngineMissingError it is not installed
    ├── EngineDiedError    its process ended (signal, out of memory, start-up failure) or stopped answering
    └── ServerError        a server could not be reached, refused, broke off, or sent what it should not

Each has a one-sentence `message` and, where there is something to do, a one-sentence `hint`.
They are rendered in one place per interface: a line and an exit code on the command line, a notice in the TUI.
"""

from __future__ import annotations


class NemochatError(Exception):
    """A failure with a clear sentence for the user and, where there is one, a `hint` saying what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def in_full(self) -> str:
        """The hint behind the message."""
        return f"{self.message} {self.hint}".strip()


class UsageError(NemochatError):
    """The request cannot be meant: wrong options or nothing to do."""

    exit_code = 2


class SettingsError(NemochatError):
    """The settings file or an environment variable holds a bad value."""


class ImageError(NemochatError):
    """A picture cannot be read."""


class ModelFileError(NemochatError):
    """A model or projector file is missing, broken or of the wrong kind."""


class DownloadError(NemochatError):
    """A model cannot be had: no such place, a refusal, a lost network, a full disk, or what came is not what was promised."""


class TemplateError(NemochatError):
    """A model's chat template is broken, hostile, or cannot say a conversation."""


class WindowError(NemochatError):
    """What must be in the prompt does not fit the context window."""


class ConversationError(NemochatError):
    """A conversation file or a request line has the wrong shape."""


class EvaluationError(NemochatError):
    """A benchmark's questions, or what a run has left, cannot be used."""


class EngineError(NemochatError):
    """The engine could not do what was asked. for_memory: there was too little of it, as far as is known."""

    def __init__(self, message: str, hint: str = "", *, for_memory: bool = False) -> None:
        super().__init__(message, hint)
        self.for_memory = for_memory


class EngineMissingError(EngineError):
    """llama-cpp-python is not installed: no model of this machine can run, those of servers can."""


class EngineDiedError(EngineError):
    """The engine's process ended or stopped answering."""


class ServerError(EngineError):
    """A server could not be reached, refused, broke off, or sent what it should not.

    status: the HTTP status it answered with, None where it gave no answer. is_length: it refused because the prompt is too long for it.
    """

    def __init__(self, message: str, hint: str = "", *, status: int | None = None, is_length: bool = False) -> None:
        super().__init__(message, hint)
        self.status = status
        self.is_length = is_length
