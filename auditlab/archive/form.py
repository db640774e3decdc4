"""The form of a data file: which columns it has, and how the recorded rows stand in them.

So that an archive can be read without auditlab: ``manifests/`` has numbered JSON files that list the files in ``data/``
with their SHA-256. Each of those is a Parquet file of one entity type, one row a change, and of these columns:

``id``, ``entity_type``, ``operation``, ``changed_at``, ``transaction_id``, ``committed_at``, ``partition`` and
``metadata``
    As recorded; times in UTC.
``entity_id`` or ``entity_uuid``
    One of the two has the entity's id: as 16 bytes where it is a uuid in lower case with hyphens, else as text. So it
    is with ``changed_by`` or ``changed_by_uuid``, and with ``correlation_id`` or ``correlation_uuid``.
``after.NAME``, ``before.NAME``
    The fields of the row's images, typed: numbers are exact, times are in UTC, uuids are 16 bytes.
``after_layout``, ``before_layout``
    Which fields an image has, in which order: a number in the list ``layouts`` of the file's metadata. Where it is null
    there is no image, or it is kept as text.
``differs``
    A JSON array of the names of the fields in which the two images differ. **Of the before image only those stand in**
    ``before.NAME``; its other fields are as in ``after.NAME``. Where it is null (there is no after image, or one of the
    two is kept as text), all fields of the before image stand there.
``after_snapshot``, ``before_snapshot``
    The image as JSON text, where it is kept so: where the columns would not give it back to the byte.
``changed_fields``, ``changed_fields_told``
    The change's third document as text; where ``changed_fields_told`` is true, it is the object of those fields of the
    after image that ``differs`` names.

The metadata of the Parquet file has, under the key ``auditlab``, a JSON object::

    {"fields": [{"name": "total", "kind": "decimal(18,2)", "column": "total"}, ...],
     "layouts": [{"colon": ": ", "comma": ", ", "fields": [0, 3, 1]}, ...]}

An image's text is ``{``, then for each field of its layout the name as a JSON string, the layout's colon and the value,
with the layout's comma between fields, then ``}``. A null in the column is ``null``; a field that the layout does not
list was not there. ``column`` is what stands after ``after.`` and ``before.``: the field's name, or ``#`` and a number
where that could not be told from another column's. The kinds:

=================  ====================  ===============================================================
kind               column                value as JSON text
=================  ====================  ===============================================================
boolean            boolean               ``true`` or ``false``
integer            int64                 its digits
decimal(p,s)       decimal               its digits, with all s places
uuid               16 bytes              in lower case, with hyphens, in quotes
time               timestamp in UTC      ``"2024-06-01T12:00:00.5+00:00"``: fractions without idle zeros
text               string                in quotes (it has no character that would be escaped)
json               string                as it stands: any JSON
entity text        (none)                the entity's id, in quotes
entity number      (none)                the entity's id as it stands
=================  ====================  ===============================================================
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditlab.archive.kinds import ENTITY, arrow_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["DOCUMENTS", "FORM", "IDS", "Field", "Form", "Layout", "columns_of", "form_of", "schema_of"]

FORM = b"auditlab"
"""The key of a data file's metadata under which its form stands."""

IDS = {"entity_id": "entity_uuid", "changed_by": "changed_by_uuid", "correlation_id": "correlation_uuid"}
"""Columns of ids, with those that have them where they are uuids."""

DOCUMENTS = ("before_snapshot", "after_snapshot", "changed_fields")
"""The documents of a change that may stand in columns of their own."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_TEXT, _UUID, _TIME = pa.string(), pa.binary(16), pa.timestamp("us", "UTC")
_BASE = {
    "id": pa.int64(),
    "entity_type": _TEXT,
    "entity_id": _TEXT,
    "entity_uuid": _UUID,
    "operation": _TEXT,
    "changed_by": _TEXT,
    "changed_by_uuid": _UUID,
    "changed_at": _TIME,
    "transaction_id": pa.int64(),
    "correlation_id": _TEXT,
    "correlation_uuid": _UUID,
    "committed_at": _TIME,
    "partition": _TEXT,
    "metadata": _TEXT,
    "before_snapshot": _TEXT,
    "after_snapshot": _TEXT,
    "changed_fields": _TEXT,
    "changed_fields_told": pa.bool_(),
    "before_layout": pa.int64(),
    "after_layout": pa.int64(),
    "differs": _TEXT,
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an entity type's images: its name, the kind of its columns, and what they are called."""

    name: str
    kind: str
    column: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Which fields a document has, in their order, and what stands between name and value, and between fields."""

    fields: tuple[int, ...]
    colon: str = ": "
    comma: str = ", "


@dataclass(frozen=True, slots=True)
class Form:
    """A file's fields, which never change, and the layouts of its documents, of which there may come more.

    Args:
        fields: The fields that have columns.
        layouts: The layouts by number.
    """

    fields: tuple[Field, ...]
    layouts: list[Layout] = field(default_factory=list)

    def render(self) -> bytes:
        """The form as JSON, for the file's metadata."""
        body = {
            "fields": [{"name": one.name, "kind": one.kind, "column": one.column} for one in self.fields],
            "layouts": [{"colon": one.colon, "comma": one.comma, "fields": list(one.fields)} for one in self.layouts],
        }
        return json.dumps(body, ensure_ascii=True).encode()

    def columns(self, side: str) -> list[tuple[int, str]]:
        """The fields that have a column of their own, with its name: ``side`` is ``after`` or ``before``."""
        return [(place, f"{side}.{one.column}") for place, one in enumerate(self.fields) if one.kind not in ENTITY]


def form_of(metadata: Mapping[bytes, bytes] | None) -> Form | None:
    """The form in a Parquet file's metadata; None for a file of the earlier formats, which has the recorded columns.

    Raises:
        ValueError: what stands there is no form.
    """
    text = (metadata or {}).get(FORM)
    if text is None:
        return None
    try:
        body: Any = json.loads(text)
        fields = tuple(Field(str(one["name"]), str(one["kind"]), str(one["column"])) for one in body["fields"])
        layouts = [
            Layout(tuple(map(int, one["fields"])), str(one["colon"]), str(one["comma"])) for one in body["layouts"]
        ]
        for one in fields:
            if one.kind not in ENTITY:
                arrow_type(one.kind)
        if any(not 0 <= place < len(fields) for layout in layouts for place in layout.fields):
            raise ValueError("a layout has a field that is not there")  # noqa: TRY301 - one exit for all faults
    except (KeyError, TypeError, ValueError) as exc:
        raise ValueError(f"the metadata {FORM.decode()!r} is no form of a data file: {exc!r}") from exc
    return Form(fields, layouts)


def columns_of(names: Iterable[str]) -> list[str]:
    """What the columns of fields of these names are called: other columns must not be taken for them, by any engine."""
    taken: set[str] = set()
    found = []
    for place, name in enumerate(names):
        plain = _PLAIN.fullmatch(name) is not None and name.lower() not in taken
        taken.add(name.lower())
        found.append(name if plain else f"#{place}")
    return found


def schema_of(form: Form) -> pa.Schema:
    """The columns of a file of that form."""
    typed = [
        (name, arrow_type(form.fields[place].kind))
        for side in ("after", "before")
        for place, name in form.columns(side)
    ]
    return pa.schema([*_BASE.items(), *typed])
