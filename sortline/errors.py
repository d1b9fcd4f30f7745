"""Every error Sortline raises on purpose.

The first line of a class's docstring is what a person reads when no better message is given.
"""

import inspect


class SortlineError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (inspect.getdoc(type(self)) or "").partition("\n")[0])


class TransientError(SortlineError):
    """Something outside Sortline can't be reached for now; the same call may succeed later."""


class PermanentError(SortlineError):
    """The same call will fail again until something changes."""


class ConfigurationError(PermanentError):
    """A setting is missing or wrong."""


class PortTakenError(ConfigurationError):
    """Another program uses the port."""


class ServerUnreachableError(TransientError):
    """Postgres or Redis can't be reached."""

    def __init__(self, message: str | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PostgresUnreachableError(ServerUnreachableError):
    """Postgres can't be reached."""


class RedisRefusesError(ServerUnreachableError):
    """Redis refuses a command, for instance because its key has the wrong type; a person has to fix it.

    ``why``: Redis' message.
    """

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


class DiskFullError(ServerUnreachableError):
    """The disk under Postgres or Redis is full; this resolves itself once there is space again."""


class QueueFullError(TransientError):
    """The document queue is longer than the setting max_backlog allows."""

    def __init__(self, message: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InvalidDocumentError(PermanentError):
    """The document breaks a limit; nothing was accepted.

    ``reason`` is one of ``bad_entry``, ``empty_text``, ``text_too_large``; ``index`` is the document's
    position in its request, if it came in one.
    """

    def __init__(self, message: str, reason: str = "bad_entry", index: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.index = index


class RequestTooLargeError(PermanentError):
    """The request is larger than the web accepts."""


class CheckpointError(PermanentError):
    """The checkpoint was refused: it is incomplete, was changed, or has an unknown format."""


class ImportFileError(PermanentError):
    """The file of examples or documents can't be read."""


class TrainingError(PermanentError):
    """The training can't run on this data."""


class BackupError(PermanentError):
    """The backup can't be made or used."""


class InvalidInputError(PermanentError):
    """The input can't be accepted."""


class NotFoundError(PermanentError):
    """There is no such thing."""


class ConflictError(PermanentError):
    """The request contradicts the current state."""


class AlreadyRunningError(ConflictError):
    """Sortline is already running in this folder."""
