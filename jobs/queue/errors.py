"""What can go wrong between us and the store. Each message is a sentence for the person who waits.

QueueError
├── JobUnknown        no such job, or it ended more than seven days ago
├── CommandUnknown    no such command, or it was settled more than seven days ago
├── Conflict          the job changed since it was read: read it again, then decide again
├── StoreUnreachable  Redis did not answer
├── StoreFull         Redis has no memory left for this
├── Newer             a newer version wrote it: its own worker will know
├── JournalFull       a job's conversations outgrew what is kept of them
├── TryLater          a handler cannot go on now and it is nobody's fault: no attempt is counted
└── LeaseLost         the job is another worker's now (arq puts it back instead of failing it)
"""

from arq.worker import RetryJob


class QueueError(Exception):
    """Base of all; `str(error)` may be shown to people and holds no secret."""


class JobUnknown(QueueError):
    """No such job, or it ended more than seven days ago."""


class CommandUnknown(QueueError):
    """No such command, or it was settled more than seven days ago."""


class Conflict(QueueError):
    """The job changed since it was read: read it again, then decide again."""


class StoreUnreachable(QueueError):
    """Redis did not answer."""


class StoreFull(QueueError):
    """Redis has no memory left for this."""


class Newer(QueueError):
    """A newer version of this service wrote the record, which this one cannot read."""


class JournalFull(QueueError):
    """A job's conversations outgrew what is kept of them, so it could not be resumed any more."""


class TryLater(QueueError):
    """A handler cannot go on now and it is nobody's fault, such as GitHub being away.

    The entry waits `seconds`, in no worker's slot, and the attempt is not counted: whoever raises
    this looks at the clock and does not do so for ever.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class LeaseLost(RetryJob, QueueError):
    """The job is another worker's now; whatever this worker was about to do must not happen."""
