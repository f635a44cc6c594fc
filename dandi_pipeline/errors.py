"""Every failure the project reports, grouped by what its operator does next.

PipelineError
├── TransientError            leave it: the next attempt tries again
│   ├── PlatformUnreachable   no answer at all (exit code 3)
│   ├── PlatformFailing       answers, but not usefully, after every retry
│   ├── TornRead              the platform changed under the reading each time
│   ├── PartitionMoved        another sync committed the same partition first
│   ├── MirrorBusy            the database is held by others for too long
│   ├── AlertNotSent          the webhook or the mail server did not take a message
│   └── MirrorLost            the connection to the database broke
├── ConfigurationError        fix a setting, a credential or the command (exit code 2)
│   ├── CredentialRejected    the platform refused the key itself
│   ├── AccessRefused         401 or 403 for one resource: it exists, hidden from us
│   ├── WrongAddress          what answers there is not the API that was expected
│   ├── QuotaExhausted        the account may send nothing more until its quota is renewed
│   ├── PartitionUnknown      a named partition does not exist
│   ├── DatabaseUnavailable   the mirror cannot be opened
│   ├── QueryRefused          a question that is not answered: the message says why
│   ├── QueryStopped          a question that took more time or memory than it may
│   └── MassDeletionRefused   a guard: read what would go, then allow it or not
└── ContractError             the platform answered something it never promised: read the message
    ├── ResourceMissing       404, in the API's own JSON, where something was promised
    ├── UnexpectedPayload     JSON of the wrong shape
    └── UnforeseenError       an exception that no code expected: report it
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

_log = logging.getLogger(__name__)

_LONGEST_REASON = 300


class PipelineError(Exception):
    """A failure with a message that says what, where and what to do; `group` names who acts."""

    group: ClassVar[str] = "pipeline"
    exit_code: ClassVar[int] = 1


class TransientError(PipelineError):
    """Expected to pass by itself; what failed stays stale and the next sync tries again."""

    group = "transient"


class PlatformUnreachable(TransientError):
    """No connection could be made, or none gave an answer in time."""

    exit_code = 3


class PlatformFailing(TransientError):
    """The platform kept answering with server errors, rate limits or broken bodies."""


class TornRead(TransientError):
    """The platform changed while it was read, at every attempt."""


class PartitionMoved(TransientError):
    """Another sync committed the partition after this one had read the mirror's state of it."""


class MirrorBusy(TransientError):
    """The database stayed locked by others for longer than the writer waits."""


class MirrorLost(TransientError):
    """The connection to the database broke; what was not committed is as if it had never been read."""


class AlertNotSent(TransientError):
    """A message for people was not taken by the webhook or the mail server; it is sent again."""


class ConfigurationError(PipelineError):
    """A setting, a credential or the command itself must be changed."""

    group = "configuration"
    exit_code = 2


class CredentialRejected(ConfigurationError):
    """The platform refused the credential itself, whatever was asked with it."""


class AccessRefused(ConfigurationError):
    """The resource exists but is hidden from this credential (or from nobody's)."""


class WrongAddress(ConfigurationError):
    """What answers at the address is not the platform's API: a web page, or another server's words."""


class QuotaExhausted(ConfigurationError):
    """The account has no requests left until its quota is renewed or raised; trying again only counts more."""


USAGE = "usage"
"""The group of what a person mistyped: it tells of no trouble with a source."""


class PartitionUnknown(ConfigurationError):
    """A partition that was asked for by name does not exist on the platform, or can be none."""

    group = USAGE


class DatabaseUnavailable(ConfigurationError):
    """The mirror's database cannot be opened, read or migrated."""


class QueryRefused(ConfigurationError):
    """A statement is wrong, or asks for what the door does not give."""


class QueryStopped(ConfigurationError):
    """A statement took more time, memory or disk than it may; nothing of it goes on."""


GUARD = "guard"
"""The group of what a guard held back: nothing was written, and a person decides."""


class MassDeletionRefused(ConfigurationError):
    """More would be deleted at once than the guard allows without being told."""

    group = GUARD


class ContractError(PipelineError):
    """The platform broke its own contract; nothing of the affected partition was written."""

    group = "contract"


class ResourceMissing(ContractError):
    """The platform says, in its own words, that a resource does not exist."""


class UnexpectedPayload(ContractError):
    """The platform's JSON lacks what it always has, or has it with another type."""


class UnforeseenError(ContractError):
    """An exception of another type than these, met while a partition was worked on or the partitions were listed."""


@contextmanager
def foreseen(where: str) -> Iterator[None]:
    """Let nothing but a `PipelineError` out of the block: any other exception is told as an `UnforeseenError`.

    This is the one place that catches whatever there is, and it does so for two reasons. What a partition holds comes
    from strangers, and goes through parsers, drivers and platforms that others write: no list of exceptions is ever
    complete, and one bad record must not end the sync of all the others. And nothing is hidden: the error has the
    exception's type, is recorded, reported and counted like any other, and the log has the traceback. What people do
    (KeyboardInterrupt, SystemExit, Dagster's interruption) is no `Exception` and passes.
    """
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        _log.debug("%s: %s", where, type(error).__name__, exc_info=True)
        said = " ".join(str(error).split())[:_LONGEST_REASON]
        reason = f"{type(error).__name__}{f': {said}' if said else ''}"
        raise UnforeseenError(
            f"{where}: {reason}; nothing was written for it: please report it, with the traceback of the debug log"
        ) from error
