"""Every error that auditlab raises on purpose.

Each is also the built-in that fits it, so ``except LookupError`` works too::

    AuditlabError
    ├── SchemaMismatch (ValueError)         columns missing or mistyped, all of them named
    ├── UnknownEntityType (LookupError)     names what there is
    ├── UnknownEntity (LookupError)
    ├── UnknownField (LookupError)
    ├── UnknownChange (LookupError)         no such change id or transaction in the log
    ├── BadTime (ValueError)                a time that cannot be read or represented
    ├── MalformedChange (ValueError)        rows that are no changes, by kind
    │   ├── SnapshotTooDeep
    │   └── SnapshotTooLarge
    ├── ReadingError (ValueError)           documents that declared renames do not fit
    │   └── UpcastError                     documents that the upcasters cannot bring to the current version
    ├── NoData (LookupError)                outside the log's coverage
    ├── IncompleteLog (ValueError)          the log does not hold what the question needs
    ├── LogTooLarge (MemoryError)           a load or a question that would not fit in memory
    ├── SpillFailed (OSError)               the temporary folder refuses what does not fit in memory
    ├── BadOption (ValueError)              options that do not go together
    ├── BadMark (ValueError)                no mark, or no transaction snapshot of a primary
    │   └── MarkMismatch                    a mark of another system or timeline than the log's
    ├── UnknownMark (LookupError)           no mark of that name beside the log
    ├── DatabaseError (RuntimeError)        what PostgreSQL answered, in its words
    │   ├── ConnectionFailed (ConnectionError)   could not connect, or the server went away
    │   ├── ServerTooOld (ValueError)       a PostgreSQL before the oldest that auditlab works with
    │   ├── AccessDenied (PermissionError)
    │   ├── NoSuchTable (LookupError)
    │   ├── CannotAudit (ValueError)        a table that cannot be captured, and why
    │   ├── NotInstalled (LookupError)      no change log in this database
    │   ├── IncompleteRead (PermissionError) row security or grants would shorten the result
    │   ├── UnsafeOrder (ValueError)        the log's order cannot be trusted
    │   ├── UntrackableChanges (ValueError) changes that no reader by transaction would see
    │   ├── WatermarkHeld (TimeoutError)    an open transaction holds a reader back for too long
    │   ├── NotDurable (TimeoutError)       what was read is not on the server's disk yet
    │   ├── SystemMismatch (ValueError)     the log is another database's
    │   ├── DropRefused (ValueError)        a partition that is not proven to be in an archive
    │   └── OnStandby (ValueError)          a standby does not know which transactions are at work
    ├── ArchiveError (ValueError)
    │   ├── NotAnArchive (LookupError)
    │   ├── ArchiveExists (FileExistsError)
    │   ├── CursorMismatch                  the archive goes on from another database, timeline or table
    │   ├── StorageFailed (ConnectionError) object storage refuses, or cannot be reached
    │   ├── BadKey                          a key file that cannot be used, or must not be written over
    │   └── ArchiveCorrupt                  nothing of the damaged file is returned
    └── MissingExtra (ImportError)          the exact ``pip install`` that brings the part

and warnings, for answers that are not the whole truth::

    IncompletePopulation (UserWarning)      rows may be that the log never saw
    IncompleteInterval (UserWarning)        the log begins later than the time that was asked for
    IncompleteStates (UserWarning)          states lack fields, or deletes, that the log never told
    WithheldFields (UserWarning)            fields were masked or left out when the log was written
    PerhapsCutShort (UserWarning)           a file that was read may lack its end
    PerhapsInclusive (UserWarning)          versions end one unit before the next begins: perhaps their last moment
    UnreadColumns (UserWarning)             columns of a source are not read, and one that most logs have is missing
    UnknownValue (UserWarning)              a selector is for a value that no change has
    UnlinkedKeys (UserWarning)              keys were changed, and how the log does not tell
    EntitiesInDoubt (UserWarning)           an answer leaves something open of some entities
    ├── UncertainTime                       what was committed by then is not known of every change
    └── UndeterminedState                   images are missing, or rows were set apart, and nothing tells a state
"""

from __future__ import annotations

from typing import Self

__all__ = [
    "AccessDenied",
    "ArchiveCorrupt",
    "ArchiveError",
    "ArchiveExists",
    "AuditlabError",
    "BadKey",
    "BadMark",
    "BadOption",
    "BadTime",
    "CannotAudit",
    "ConnectionFailed",
    "CursorMismatch",
    "DatabaseError",
    "DropRefused",
    "EntitiesInDoubt",
    "IncompleteInterval",
    "IncompleteLog",
    "IncompletePopulation",
    "IncompleteRead",
    "IncompleteStates",
    "LogTooLarge",
    "MalformedChange",
    "MarkMismatch",
    "MissingExtra",
    "NoData",
    "NoSuchTable",
    "NotAnArchive",
    "NotDurable",
    "NotInstalled",
    "OnStandby",
    "PerhapsCutShort",
    "PerhapsInclusive",
    "ReadingError",
    "SchemaMismatch",
    "ServerTooOld",
    "SnapshotTooDeep",
    "SnapshotTooLarge",
    "SpillFailed",
    "StorageFailed",
    "SystemMismatch",
    "UncertainTime",
    "UndeterminedState",
    "UnknownChange",
    "UnknownEntity",
    "UnknownEntityType",
    "UnknownField",
    "UnknownMark",
    "UnknownValue",
    "UnlinkedKeys",
    "UnreadColumns",
    "UnsafeOrder",
    "UntrackableChanges",
    "UpcastError",
    "WatermarkHeld",
    "WithheldFields",
]


class AuditlabError(Exception):
    """The base of every error that auditlab raises on purpose."""


class SchemaMismatch(AuditlabError, ValueError):
    """Columns of a log are missing or have another type; the message names all of them."""


class UnknownEntityType(AuditlabError, LookupError):
    """The log has no such entity type; the message names those it has."""


class UnknownEntity(AuditlabError, LookupError):
    """The log has no change of such an entity."""


class UnknownField(AuditlabError, LookupError):
    """The entity type never had such a field; the message names those it had."""


class UnknownChange(AuditlabError, LookupError):
    """The log has no such change id or transaction."""

    @classmethod
    def transaction(cls, transaction: int | None, known: tuple[object, object] | None) -> Self:
        """The error that a log with transactions from one to another (or with none) does not have this one."""
        span = f"It has {known[0]!r} to {known[1]!r}." if known else "It has no transaction ids at all."
        return cls(f"no transaction {transaction} in this log. {span}")


class BadTime(AuditlabError, ValueError):
    """A time that cannot be read, is ambiguous, or cannot be represented."""


class MalformedChange(AuditlabError, ValueError):
    """Rows of the log that are no changes; the message counts them by kind and names the first ids."""


class SnapshotTooDeep(MalformedChange):
    """A snapshot is nested deeper than the limit."""


class SnapshotTooLarge(MalformedChange):
    """A snapshot is larger, or has more fields, than the limit."""


class ReadingError(AuditlabError, ValueError):
    """Documents do not fit the renames with which the log is read; the message counts them and names the changes."""


class UpcastError(ReadingError):
    """Documents cannot be brought to the current version; the message says which, of which changes, and why."""


class NoData(AuditlabError, LookupError):
    """The question is about a time outside the log's coverage."""


class IncompleteLog(AuditlabError, ValueError):
    """The log, as loaded or selected, does not hold what an exact answer needs."""


class LogTooLarge(AuditlabError, MemoryError):
    """A load or a question would take more memory than it may; the message says how much and what to do instead."""


class SpillFailed(AuditlabError, OSError):
    """The temporary folder, in which a log larger than memory is dealt out, cannot be used, or is full."""


class BadOption(AuditlabError, ValueError):
    """Options that do not go together, or a value that an option does not take."""


class BadMark(AuditlabError, ValueError):
    """No mark, or no text of a transaction snapshot."""


class MarkMismatch(BadMark):
    """A mark of another system or timeline than the log's: transaction ids mean something else there."""


class UnknownMark(AuditlabError, LookupError):
    """There is no mark of that name beside the log, or there are several; the message names those there are."""


class DatabaseError(AuditlabError, RuntimeError):
    """PostgreSQL refused a statement; the message keeps its words and its SQLSTATE."""


class ConnectionFailed(DatabaseError, ConnectionError):
    """No connection could be made, or the server went away."""


class ServerTooOld(DatabaseError, ValueError):
    """The server is a PostgreSQL before the oldest that auditlab works with; the message names both."""


class AccessDenied(DatabaseError, PermissionError):
    """The role may not do this; the message names the role and what it lacks."""


class NoSuchTable(DatabaseError, LookupError):
    """The database has no such table; the message names what is near."""


class CannotAudit(DatabaseError, ValueError):
    """The table cannot be captured; the message says why."""


class NotInstalled(DatabaseError, LookupError):
    """The database holds no change log; the message says how to install one."""


class IncompleteRead(DatabaseError, PermissionError):
    """Row security or missing grants would shorten the result."""


class UnsafeOrder(DatabaseError, ValueError):
    """The order of the log's rows cannot be trusted."""


class OnStandby(DatabaseError, ValueError):
    """A standby cannot tell which transactions are at work: marks are taken on the primary."""


class UntrackableChanges(DatabaseError, ValueError):
    """Changes have no transaction id, or one that cannot be: a reader by transaction would never see them."""


class WatermarkHeld(DatabaseError, TimeoutError):
    """An open transaction holds a reader back for longer than was allowed; the message says which."""


class NotDurable(DatabaseError, TimeoutError):
    """What was read is not on the server's disk yet: a crash there could still undo it."""


class SystemMismatch(DatabaseError, ValueError):
    """The log was written in another database than the one that it is held against."""


class DropRefused(DatabaseError, ValueError):
    """A partition of the log is not dropped: rows of it are in no archive, or its lock is not to be had."""


class ArchiveError(AuditlabError, ValueError):
    """Something about an archive folder."""


class NotAnArchive(ArchiveError, LookupError):
    """The folder holds no archive."""


class ArchiveExists(ArchiveError, FileExistsError):
    """The folder already holds something that must not be overwritten."""


class ArchiveCorrupt(ArchiveError):
    """A file differs from what the manifest says; none of its rows are returned."""


class StorageFailed(ArchiveError, ConnectionError):
    """Object storage refuses, or cannot be reached; the message keeps its words, and no secret."""


class BadKey(ArchiveError):
    """A key file holds no key that can be used, or is there already; the message shows nothing of a key."""


class CursorMismatch(ArchiveError):
    """An archive's cursor is a place in another database, timeline or table than the one that is read."""


class MissingExtra(AuditlabError, ImportError):
    """An optional part is not installed; the message is the exact command that installs it."""


class IncompletePopulation(UserWarning):
    """The log may lack changes of a type: rows were there when it began, or some rows do not tell whose they are."""


class IncompleteInterval(UserWarning):
    """The log has changes only of the later part of the time that was asked for; what was before was left out."""


class IncompleteStates(UserWarning):
    """States lack what a log does not tell.

    Of a log of what changes did, that is fields that no change of an entity that was there before named; of one of
    states alone, that an entity was deleted.
    """


class WithheldFields(UserWarning):
    """Fields were masked or left out when the log was written: their values and changes are in no answer."""


class PerhapsCutShort(UserWarning):
    """A file may lack its end: its last line is not ended, as whoever writes a whole file ends it."""


class PerhapsInclusive(UserWarning):
    """Each version of a row ends one unit of time before the next begins, as if its end were its last moment."""


class UnreadColumns(UserWarning):
    """A source has columns that are not read, and none for who made the changes or in which transaction."""


class UnknownValue(UserWarning):
    """A selector asks for a value that no change has: an empty answer may be due to a slip in it."""


class UnlinkedKeys(UserWarning):
    """Primary keys were changed, and the log does not tell for certain which row had which key from then on."""


class EntitiesInDoubt(UserWarning):
    """How many entities an answer leaves something open of.

    Args:
        before: The words before the counts.
        counts: How many entities, by type; told by the names of the types, whichever came first.
        after: The words behind them.
    """

    def __init__(self, before: str, counts: dict[str, int], after: str) -> None:
        self.before, self.counts, self.after = before, dict(sorted(counts.items())), after
        listed = ", ".join(f"{count:,} of {name}" for name, count in self.counts.items())
        super().__init__(f"{before}: {listed}. {after}")

    def and_also(self, other: EntitiesInDoubt) -> EntitiesInDoubt:
        """The same of other entities, too."""
        both = {name: self.counts.get(name, 0) + other.counts.get(name, 0) for name in {*self.counts, *other.counts}}
        return type(self)(self.before, both, self.after)


class UncertainTime(EntitiesInDoubt):
    """At that time transactions may have been at work whose changes the answer has, or lacks, without a flag."""


class UndeterminedState(EntitiesInDoubt):
    """Images are missing that nothing else in the log tells, or rows that would tell a state were set apart."""
