"""The errors that reach a person: each says what, where and what to do, and carries its exit status."""


class KerneldError(Exception):
    """An error with one clear line for the user and an exit status of its own."""

    exit_code = 1


class NothingFound(KerneldError):
    """The question was understood, and the answer is empty."""

    exit_code = 1


class UsageError(KerneldError):
    """A flag or an argument that can't be understood."""

    exit_code = 2


class StoreError(KerneldError):
    """The database can't be read or written (EX_IOERR)."""

    exit_code = 74


class AlreadyRunning(KerneldError):
    """Another daemon holds this database (EX_TEMPFAIL)."""

    exit_code = 75


class ConfigError(KerneldError):
    """The configuration, or a database of a newer schema, is not for this kerneld (EX_CONFIG)."""

    exit_code = 78


class SourceUnavailable(KerneldError):
    """A source of evidence can't be read here.

    reason: what failed, in words. remedy: the command that mends it, or "" where nothing does.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class UnsafeFile(KerneldError):
    """A file named by a user that kerneld won't open: a link, a device, another owner's, too large."""
