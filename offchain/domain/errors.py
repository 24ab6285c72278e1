"""The failures of the world, as a tree. A refusal is a value (`reasons.RejectReason`), a bug is an assertion.

HooatsError
├── InvalidInput            what a caller sent cannot be understood; names what, where and what would be right
├── ConfigurationError      a flag, file, key or address is missing or wrong; the process does not start
├── StorageError
│   ├── JournalCorrupt      damage before the journal's tail: refuse to start
│   ├── JournalLocked       another process owns the data folder
│   └── DiskFailure         a write or fsync failed: the process stops
├── SequencerUnavailable    no answer from the sequencer; the outcome of a submission is unknown
└── ChainError
    ├── ChainUnreachable    no endpoint answers
    ├── WrongChain          the endpoint serves another chain id
    ├── MissingContract     no code, or other code, at a registered address
    ├── TransactionFailed   mined, and reverted
    ├── BlockTooLarge       no endpoint can send the logs of one block: halt
    └── ReorgBeyondInbox    a final log is no longer there: halt
"""


class HooatsError(Exception):
    """Base of every failure that a caller may catch. `remedy` says what would be right, in one sentence."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class InvalidInput(HooatsError):
    """Input that cannot be understood: `field` names the place, `nearest` a value that would do, if there is one."""

    def __init__(self, message: str, *, field: str = "", remedy: str = "", nearest: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.field = field
        self.nearest = nearest


class ConfigurationError(HooatsError):
    pass


class StorageError(HooatsError):
    pass


class JournalCorrupt(StorageError):
    pass


class JournalLocked(StorageError):
    pass


class DiskFailure(StorageError):
    pass


class SequencerUnavailable(HooatsError):
    pass


class ChainError(HooatsError):
    pass


class ChainUnreachable(ChainError):
    pass


class WrongChain(ChainError):
    pass


class MissingContract(ChainError):
    pass


class TransactionFailed(ChainError):
    pass


class BlockTooLarge(ChainError):
    pass


class ReorgBeyondInbox(ChainError):
    pass
