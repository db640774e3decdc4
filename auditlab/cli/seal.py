"""The commands for an archive that is there: verify, head, seal, compact, checkpoint."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import auditlab as al
from auditlab.archive.seal import PublicKey, new_key
from auditlab.cli.options import AnyArchive, Archive, Memory, Sign, place
from auditlab.cli.output import say, warn
from auditlab.errors import BadOption

__all__ = ["add_to"]

PANEL = "Keep"
DAMAGED = 1
"""Exit code: the archive was verified and is not what its manifest says."""

_PERCENT = 100


class Action(StrEnum):
    """What ``auditlab seal`` does."""

    KEYGEN = "keygen"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this group."""
    for command in (verify, head, seal, compact, checkpoint):
        app.command(rich_help_panel=PANEL)(command)


def verify(
    folder: AnyArchive,
    *,
    heads: Annotated[
        list[str] | None,
        typer.Option(
            "--head",
            metavar="NUMBER:SHA256",
            help="A head that was kept elsewhere (auditlab head): the archive must have grown from it. "
            "May be given again.",
        ),
    ] = None,
    keys: Annotated[
        list[Path] | None,
        typer.Option(
            "--key",
            parser=place,
            metavar="FILE",
            help="A public key: every manifest must be signed by it. Given again, by one of them.",
        ),
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option("--sample", metavar="SHARE", help="Read only this share of the files, such as 10%, at random."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON, for machines.")] = False,
) -> None:
    """Prove that an archive is what was written, to the last byte and row; every fault is named.

    Each data file is held against its SHA-256, the rows that it gives back against the digest of what was recorded,
    each manifest against the one before it, and checkpoints are worked out again from the rows. With --head the archive
    must have grown from what it was then, with --key each manifest must be signed. Exits with 1 if anything is wrong.

    This makes tampering evident; it cannot prevent it. Without --head nobody can tell that the newest part was
    dropped as a whole, or that someone with access to the folder (and the key) wrote all of it anew. And nothing here
    tells whether the log was true when it was archived.

    [bold]Examples[/bold]

      auditlab verify archive/ || mail -s 'the archive is damaged' ops@example.org

      auditlab verify archive/ --head "$(tail -1 /mnt/elsewhere/heads)" --key seal.key.pub

      auditlab verify s3://bucket/audit --sample 5% --json       credentials come from the environment, as for aws
    """
    found = al.prove(folder, heads=heads or (), keys=keys or (), sample=None if sample is None else share(sample))
    if as_json:
        say(json.dumps(found.as_dict()))
    elif found.whole:
        say(str(found))
    else:
        warn(str(found))
    if not found.whole:
        raise typer.Exit(DAMAGED)


def share(text: str) -> float:
    """The share that a text such as ``10%`` or ``0.1`` tells.

    Raises:
        BadOption: it is none.
    """
    number, percent = (text[:-1], _PERCENT) if text.endswith("%") else (text, 1)
    try:
        return float(number) / percent
    except ValueError as exc:
        raise BadOption(f"--sample takes a share such as 10% or 0.1, not {text!r}.") from exc


def head(
    folder: AnyArchive,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The head as JSON, for machines.")] = False,
) -> None:
    """Print the head of an archive: the number and the SHA-256 of its newest manifest.

    Keep it where whoever can write the archive cannot write: another machine, a mailbox, a ledger, paper. With it
    auditlab verify --head proves that what the archive was then is still in it; without it a dropped tail cannot be
    noticed. A head of any age stays good, also after auditlab compact.

    [bold]Examples[/bold]

      auditlab head archive/ >> /mnt/elsewhere/heads

      auditlab verify archive/ --head "$(tail -1 /mnt/elsewhere/heads)"
    """
    found = al.head(folder)
    say(json.dumps({"head": str(found), "number": found.number, "sha256": found.sha256}) if as_json else str(found))


def seal(
    action: Annotated[
        Action, typer.Argument(metavar="keygen", help="keygen: make a pair of keys.", show_default=False)
    ],
    file: Annotated[
        Path,
        typer.Argument(
            parser=place,
            metavar="FILE",
            help="Where the private key goes; the public one goes into FILE.pub.",
            show_default=False,
        ),
    ],
) -> None:
    r"""Make a pair of ed25519 keys that sign archives: auditlab archive --sign FILE, auditlab verify --key FILE.pub.

    The private key is for its owner alone (mode 0600) and stays where the archiving runs; give the public one to
    those who verify. A signature shows that the holder of the key wrote a manifest. It does not show that a manifest
    is the newest: keep a head (auditlab head). Needs pip install 'auditlab\[seal]'.

    [bold]Examples[/bold]

      auditlab seal keygen /etc/auditlab/seal.key

      auditlab archive DSN archive/ --sign /etc/auditlab/seal.key && auditlab verify archive/ --key seal.key.pub
    """
    if action is Action.KEYGEN:
        private, public = new_key(file)
        say(f"private key: {private}\npublic key:  {public}, {PublicKey.read(public)}")


def compact(
    folder: Archive,
    *,
    sign: Sign = None,
    keep: Annotated[bool, typer.Option("--keep", help="Never remove the files that were replaced.")] = False,
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            metavar="SECONDS",
            min=0,
            help="How long replaced files stay for those who may be reading them; a later run removes them. "
            "0 removes them now.",
        ),
    ] = 3600.0,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON, for machines.")] = False,
) -> None:
    """Merge the small files of an archive into larger ones; its rows, its proofs and the heads that were kept stay.

    Many small pulls leave many small files, which make every question slower. A new manifest lists larger files and
    names the segments that they take the place of; verify goes on to prove the rows by the digests of the first
    manifests. A kill at any step leaves the archive as it was, or compacted, and others may archive at the same time.

    [bold]Examples[/bold]

      auditlab compact archive/

      0 3 * * 0  auditlab compact /var/lib/audit/archive --sign /etc/auditlab/seal.key --json
    """
    found = al.compact(folder, sign=sign, keep=keep, grace=grace)
    say(json.dumps(found.as_dict()) if as_json else str(found))


def checkpoint(
    folder: Archive,
    *,
    due: Annotated[
        bool,
        typer.Option("--due", help="Only of types of which more rows came since the last than that one has: for cron."),
    ] = False,
    sign: Sign = None,
    memory: Memory = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON, for machines.")] = False,
) -> None:
    """Write a checkpoint: what an archive's log leaves here, so that questions need not read what lies before it.

    For each entity type the last change of each live row, and what the whole log tells beside. as-of then reads the
    nearest checkpoint and what came since, and questions about one entity read its rows alone. Answers stay the same:
    a checkpoint is no part of the log, and verify works it out again. Writing one reads the last one and what came
    since, or the whole log of a type where that does not tell all. A kill at any step leaves the archive as it was, or
    with the checkpoint, and others may archive at the same time. auditlab archive writes those that are due by itself.

    [bold]Examples[/bold]

      auditlab checkpoint archive/

      0 4 * * 0  auditlab checkpoint /var/lib/audit/archive --due --json
    """
    found = al.checkpoint(folder, due=due, sign=sign, memory=memory)
    say(json.dumps(found.as_dict()) if as_json else str(found))
