"""Every error Sortline raises on purpose.

The first line of a class's docstring is what a person reads when no better message is given.
"""

import inspect


class SortlineError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (inspect.getdoc(type(self)) or "").partition("\n")[0])


class TransientError(SortlineError):
    """Something outside is away for a while; the same call may succeed later."""


class PermanentError(SortlineError):
    """The same call will fail again; something has to change first."""


class ConfigurationError(PermanentError):
    """A setting is missing or wrong."""


class PortTakenError(ConfigurationError):
    """Another program listens on the port."""


class ServerUnreachableError(TransientError):
    """Postgres or Redis can't be reached."""

    def __init__(self, message: str | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PostgresUnreachableError(ServerUnreachableError):
    """Postgres can't be reached."""


class RedisRefusesError(ServerUnreachableError):
    """Redis refuses a command, as its key is of a wrong type; a person has to mend it."""


class DiskFullError(ServerUnreachableError):
    """The disk under Postgres or Redis is full; it heals by itself when there is room again."""


class QueueFullError(TransientError):
    """The document queue is longer than the setting max_backlog allows."""

    def __init__(self, message: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InvalidDocumentError(PermanentError):
    """The document breaks a limit of the contract; nothing was taken.

    ``reason`` is one of ``bad_entry``, ``empty_text``, ``text_too_large``; ``index`` is the position of
    the document in its request, where it came in one.
    """

    def __init__(self, message: str, reason: str = "bad_entry", index: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.index = index


class RequestTooLargeError(PermanentError):
    """The request is larger than the web takes at once."""


class CheckpointError(PermanentError):
    """The checkpoint is incomplete, changed or of an unknown form, and was refused."""


class ImportFileError(PermanentError):
    """The file of examples or documents can't be read."""


class TrainingError(PermanentError):
    """The training can't run on these data."""


class BackupError(PermanentError):
    """The backup can't be made, or can't be used."""


class InvalidInputError(PermanentError):
    """What was given can't be taken."""


class NotFoundError(PermanentError):
    """There is no such thing."""


class ConflictError(PermanentError):
    """What was asked for contradicts the present state."""


class AlreadyRunningError(ConflictError):
    """Sortline is already up in this folder."""
