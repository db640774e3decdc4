"""What a verification found: each fault, what was looked at, and what that does not prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from auditlab.archive.head import Head

__all__ = ["Fault", "Verification"]

WITHOUT_HEAD = (
    "Not proven: that nothing was dropped from its end, and that nobody wrote all of it anew. "
    "For that keep a head elsewhere (auditlab head) and give it (--head)."
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an archive.

    Args:
        path: The file.
        problem: What is wrong with it, in words.
        rows: How many changes are lost with it; 0 where that is not known.
    """

    path: Path
    problem: str
    rows: int = 0

    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True, slots=True, repr=False)
class Verification:
    """What was proven of an archive.

    Args:
        folder: The archive.
        faults: All that is wrong; empty where what was looked at is whole.
        head: The head of its chain; None where that is broken.
        files: How many data files were read.
        of_files: How many the archive has.
        rows: How many changes were read; what stands in checkpoints is no part of the log and not counted.
        bytes: The size of the files that were read.
        signed_by: The keys that its manifests name.
        keys: How many keys the signatures were held against; 0 where none were given.
        heads: How many heads the chain was held against.
        share: The share of the files that was asked for; None for all.
        untried: How many checkpoints were not worked out again from the rows, in storage or of a sample: only their
            files were held against the manifests.
    """

    folder: Path | str
    faults: tuple[Fault, ...]
    head: Head | None = None
    files: int = 0
    of_files: int = 0
    rows: int = 0
    bytes: int = 0
    signed_by: tuple[str, ...] = ()
    keys: int = 0
    heads: int = 0
    share: float | None = None
    untried: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong with what was looked at."""
        return not self.faults

    def __str__(self) -> str:
        lines = [str(fault) for fault in self.faults]
        number = self.of_files if self.share else self.files
        files = f"{number:,} data file{'s' * (number != 1)}"
        read = f"{self.files:,} of {files}" if self.share else files
        looked = f"{read}, {self.rows:,} row{'s' * (self.rows != 1)}, {self.bytes / 1e6:,.1f} MB"
        if self.faults:
            lines.append(f"{self.folder}: {len(self.faults)} fault{'s' * (len(self.faults) != 1)}, in {looked}")
        else:
            lines.append(f"{self.folder}: whole, every file is what the manifest says ({looked})")
        if self.share:
            lines.append(f"A sample of {self.share:.0%}: nothing is said about the files that were not read.")
        if self.untried:
            lines.append(
                f"Not worked out again from the rows: {self.untried} checkpoint{'s' * (self.untried != 1)}. For that "
                "verify a copy in a folder, all of it."
            )
        if self.signed_by and not self.keys:
            lines.append(f"Signed by {', '.join(self.signed_by)}, which was held against no key: give one (--key).")
        if self.head is not None:
            lines.append(f"Head: {self.head}")
        if not self.faults and not self.heads:
            lines.append(WITHOUT_HEAD)
        return "\n".join(lines)

    __repr__ = __str__

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "folder": str(self.folder),
            "whole": self.whole,
            "faults": [
                {"path": str(fault.path), "problem": fault.problem, "rows": fault.rows} for fault in self.faults
            ],
            "head": None if self.head is None else str(self.head),
            "files": self.files,
            "of_files": self.of_files,
            "rows": self.rows,
            "bytes": self.bytes,
            "sample": self.share,
            "checkpoints_not_worked_out_again": self.untried,
            "signed_by": list(self.signed_by),
            "held_against_keys": self.keys,
            "held_against_heads": self.heads,
        }
