"""The digest of rows: over the recorded text, whatever the batches, and no two logs alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from archived_log import a_batch, forge

import auditlab as al
from auditlab.archive.digest import digest_of_rows
from auditlab.archive.files import digest
from auditlab.archive.manifest import read_chain
from auditlab.archive.verify import verify
from auditlab.load.source import ARROW_CHANGES
from auditlab.report.provenance import digests

if TYPE_CHECKING:
    from pathlib import Path


def row(**values: object) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"id": 1, "entity_type": "s.t"} | values], schema=ARROW_CHANGES)


def test_the_batches_do_not_matter_and_the_order_does():
    whole = a_batch(1, 60)
    for size in (1, 7, 59):
        assert digest_of_rows(whole[at : at + size] for at in range(0, 60, size)) == digest_of_rows([whole])
    assert digest_of_rows([whole[30:], whole[:30]]) != digest_of_rows([whole])


def test_no_two_logs_that_differ_anywhere_have_one_digest():
    """Null, the empty text, a text moved over a column's or a row's edge, a number in another column."""
    logs = [
        [row()],
        [row(changed_by="")],
        [row(changed_by="ab", metadata="c")],
        [row(changed_by="a", metadata="bc")],
        [row(changed_by="abc")],
        [row(metadata="abc")],
        [row(changed_by="ab"), row(changed_by="c")],
        [row(changed_by="a"), row(changed_by="bc")],
        [row(), row(changed_by="abc")],
        [row(changed_by="abc"), row()],
        [row(transaction_id=0)],
        [row(transaction_id=-1)],
        [row(after_snapshot="1.10")],
        [row(after_snapshot="1.1")],
        [],
    ]
    assert len({digest_of_rows(log) for log in logs}) == len(logs)


def test_what_lies_behind_a_null_is_not_hashed():
    clean = row(changed_by=None)
    dirty = pa.StringArray.from_buffers(
        1, pa.array([0, 3], pa.int32()).buffers()[1], pa.py_buffer(b"abc"), pa.py_buffer(b"\x00")
    )
    place = clean.schema.get_field_index("changed_by")
    assert digest_of_rows([clean.set_column(place, "changed_by", dirty)]) == digest_of_rows([clean])


def test_a_known_digest_stays_the_same_for_ever():
    """What an archive of years ago recorded must still be what is computed."""
    assert digest_of_rows([a_batch(1, 20)]) == "5355713be79ac801968f83fd1ee21fdca4dd18bb92e9b60f11a3eebd87af6981"


def test_the_manifest_has_the_digest_of_what_was_handed_over(archive: Path, batches: list[pa.RecordBatch]):
    (manifest, _), *_ = read_chain(archive)
    digests = {part.entity_types[0]: part.digest for part in manifest.segments[0].parts}
    assert digests == {
        "shop.orders": digest_of_rows([batches[0], batches[2]]),
        "shop.order_items": digest_of_rows([batches[1]]),
    }


def test_verify_finds_a_file_that_gives_back_other_rows_than_were_recorded(archive: Path):
    """The file's hash put right, as by a writer that encodes wrongly: the rows do not fit."""
    forge(archive, lambda body: body["segments"][0]["parts"][0].update(digest="ab" * 32))
    (fault,) = verify(archive)
    assert "gives back other rows than were recorded" in str(fault)


def test_a_source_that_is_a_link_has_the_digest_of_what_it_links_to(archive: Path, tmp_path: Path):
    al.scan_archive(archive).changes().collect().write_parquet(tmp_path / "log.parquet")
    (tmp_path / "link.parquet").symlink_to(tmp_path / "log.parquet")
    assert digests(al.read_parquet(archive.parent / "link.parquet"), tmp_path / "link.parquet")[-1][1].startswith(
        digest(tmp_path / "log.parquet")[0]
    )
