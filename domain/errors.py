"""The one root of everything that Atelier refuses, and the refusals of the domain."""

from typing import ClassVar
from uuid import UUID


class AtelierError(Exception):
    """Root of our errors; the edges turn ``code`` into a status and an exit code.

    ``retriable`` tells whoever acts without a person at hand (consumers, the relay) that the
    same call may succeed later.
    """

    code: ClassVar[str] = "internal"
    retriable: ClassVar[bool] = False


class NotFound(AtelierError):
    """There is no such thing, or it belongs to somebody else."""

    code = "not_found"


class EmailTaken(AtelierError):
    """Another account has registered this address."""

    code = "email_taken"

    def __str__(self) -> str:
        return "this email address has an account already"


class TooManyTasks(AtelierError):
    """The user has as many unfinished tasks as allowed."""

    code = "too_many_tasks"

    def __str__(self) -> str:
        return (
            "you have as many unfinished tasks as you may have; wait for one to end, or cancel one"
        )


class NotClaimable(AtelierError):
    """The task is being rendered by somebody else, or has ended."""

    code = "not_claimable"


class StaleAttempt(AtelierError):
    """The attempt has been taken over, or its task has ended, so its result is refused."""

    code = "stale_attempt"


class TaskEnded(AtelierError):
    """The task has ended, so there is nothing left to cancel."""

    code = "task_ended"


class IdempotencyKeyReused(AtelierError):
    """The key was sent before with another body."""

    code = "idempotency_key_reused"


class VersionConflict(AtelierError):
    """Another writer has appended to the aggregate since it was loaded."""

    code = "version_conflict"
    retriable = True


class StateTooLarge(AtelierError):
    """An event's stored state is larger than the log accepts."""

    code = "state_too_large"


class AccountErased(AtelierError):
    """The account's key is gone, so nothing personal can be stored for it any more."""

    code = "account_erased"


class UnknownEvent(AtelierError):
    """The log holds an event type that this build's catalogue does not know."""

    code = "unknown_event"


class HistoryReplaced(AtelierError):
    """The log is not the one that was followed: it has lost an event, or has another in its place.

    Whoever goes on all the same mixes two pasts.
    """

    code = "history_replaced"

    def __init__(self, position: int, event_id: UUID) -> None:
        super().__init__(
            f"the log no longer holds event {event_id} at position {position}, where it was seen:"
            " Postgres was restored from an older backup, or is another one. Nothing more is done."
            " Stop all of Atelier, do what docs/restored-backup.md says, and start it again"
        )


class Unavailable(AtelierError):
    """A server that we depend on does not answer, or refuses; nothing was done.

    ``reason`` is what the server or the network says of it: for operators, not for clients.
    """

    code = "unavailable"
    retriable = True

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class OutcomeUnknown(AtelierError):
    """A change was on its way to a server that does not answer: it may have been made."""

    code = "outcome_unknown"


class Overloaded(AtelierError):
    """More is waiting than can be done in time."""

    code = "overloaded"
    retriable = True
