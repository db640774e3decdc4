"""Which field of an image is the entity's key: what the key was before a change, told from the images alone."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from auditlab.documents import raw_fields
from auditlab.errors import BadOption
from auditlab.keys import entity_uuid
from auditlab.values import recorded_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Image", "KeyFields", "OldKey", "key_sample", "shows_key"]

USUAL = "id"
"""The column that a log's trigger takes for the key where nothing else says which it is."""

SAMPLE = 50

Image = dict[str, str]
"""A document's fields with their raw JSON text."""


class OldKey(NamedTuple):
    """The entity id that a row had before a change; ``told`` is false where the images leave it open."""

    entity_id: str
    told: bool


class KeyFields:
    """The fields that hold the key of one entity type.

    A field may be the key where every after image that has the field holds the entity's id in it. Of several such
    fields the primary key's columns count, where the catalog named them, else a field ``id``, else all of them.

    Args:
        entity_type: Its name.
        sample: Some of its after images, as :func:`key_sample` gives them.
        own: Gives the type's changes, in one frame or in several: id, entity_id and after_snapshot.
        primary: The columns of its primary key, where the source's catalog told them.
    """

    def __init__(
        self,
        entity_type: str,
        sample: pl.DataFrame,
        own: Callable[[], Iterable[pl.DataFrame]],
        primary: tuple[str, ...] = (),
    ) -> None:
        self.entity_type = entity_type
        self.primary = primary
        self._sample = sample
        self._own = own
        self._holds: dict[str, bool] = {}

    def usual(self) -> str | None:
        """The field whose unchanged value alone shows that the key did not change; None where there is no such one."""
        if len(self.primary) == 1:
            return self.primary[0]
        sample = self._sample.select("entity_id", "after_snapshot")
        held: set[str] | None = None
        for entity_id, text in sample.iter_rows():
            fields = holding(_fields(text), entity_id)
            held = fields if held is None else held & fields
        if not held or (len(held) > 1 and USUAL not in held):
            return None
        return USUAL if USUAL in held else held.pop()

    def before(self, entity_id: str, before: str, after: str, metadata: str | None) -> OldKey | None:
        """The entity id that the row had before a change to ``entity_id``; None where it had the same.

        Args:
            entity_id: The id under which the change is logged.
            before: The before image.
            after: The after image.
            metadata: The change's metadata; a key that our capture wrote down there tells the columns.
        """
        if self._is_unnamed(entity_id, after, metadata):
            return None
        was, now = _fields(before), _fields(after)
        named = holding(now, entity_id) & was.keys()
        if not named:
            return self._derived(entity_id, was, now, metadata)
        own = named & set(self.primary)
        if not own:
            own = {name for name in ({USUAL} if USUAL in named else named) if self._supported(name)}
        if not own or any(recorded_text(was[name]) == entity_id for name in own):
            return None
        texts = [recorded_text(was[name]) for name in sorted(own)]
        known = [text for text in texts if text is not None]
        if not known:
            return None
        sure = len(set(texts)) == 1 and (bool(own & {*self.primary, USUAL}) or self._several(known[0]))
        return OldKey(known[0], sure)

    def _derived(self, entity_id: str, was: Image, now: Image, metadata: str | None) -> OldKey | None:
        """The old one of an id that is made of a key of other types, or of several columns."""
        for columns in (_named_key(metadata), self.primary):
            if not columns or not (now.keys() & was.keys()) >= set(columns):
                continue
            try:
                new, old = (
                    str(entity_uuid(self.entity_type, {name: _value(image[name]) for name in columns}))
                    for image in (now, was)
                )
            except BadOption:
                continue
            if new == entity_id:
                return OldKey(old, told=True) if old != entity_id else None
        return None

    def nameless(self, entity_id: str, before: str, after: str, metadata: str | None) -> bool:
        """Whether a change may be one of a key of which nothing tells the fields: its after image has the id in none.

        One of the fields that it changed must tell entities apart, as far as the sample goes, as a key does.
        """
        if not self._telling:
            return False
        was, now = _fields(before), _fields(after)
        if not self._is_unnamed(entity_id, after, metadata) and (
            holding(now, entity_id) or _named_key(metadata) or self.primary
        ):
            return False
        return any(name in now and was.get(name, now[name]) != now[name] for name in self._telling)

    def _is_unnamed(self, entity_id: str, after: str, metadata: str | None) -> bool:
        """Whether no field of an image can hold the entity's id and nothing else names the key, as its text shows."""
        named = self.primary or (metadata and '"key"' in metadata)
        return not named and entity_id not in after and "\\" not in after

    @cached_property
    def _telling(self) -> list[str]:
        """The fields that tell entities apart, as far as the sample goes."""
        names = {name for text in self._sample["after_snapshot"].drop_nulls() for name in _fields(text)}
        return sorted(filter(self._tells_apart, names))

    def _tells_apart(self, name: str) -> bool:
        """Whether each entity of the sample has a value of its own in a field, and always the same."""
        sample = self._sample.select("entity_id", "after_snapshot").drop_nulls().iter_rows()
        pairs = {(entity_id, _fields(text).get(name)) for entity_id, text in sample}
        entities, values = ({pair[side] for pair in pairs} for side in (0, 1))
        return len(pairs) == len(entities) == len(values) and not values & {None, "null"}

    def left_elsewhere(self, found: Sequence[tuple[str, str]]) -> list[str | None]:
        """For changes of which nothing names the key, the entity that their rows may have been before.

        A row shows its key, if only in a field that the entity's id was made of. So an image that one other entity
        alone was ever left in is likely to be that entity's row, under another key; it may be a row like it, too.

        Args:
            found: The entity id and the before image of each, none of which begins where its entity was left.
        """
        texts = pl.Series([before for _, before in found], dtype=pl.String).unique().implode()
        left: dict[str, set[str]] = {}
        for own in self._own() if found else ():
            there = own.filter(pl.col("after_snapshot").is_in(texts)).select("after_snapshot", "entity_id").unique()
            for text, entity_id in there.drop_nulls().iter_rows():
                left.setdefault(text, set()).add(entity_id)
        names = (left.get(before, set()) for _, before in found)
        return [next(iter(ids)) if len(ids - {new}) == len(ids) == 1 else None
                for (new, _), ids in zip(found, names, strict=True)]  # fmt: skip

    def _supported(self, name: str) -> bool:
        """Whether no after image that has the field holds anything but the entity's id in it."""
        if name not in self._holds:
            self._holds[name] = all(_holds(own, name) for own in self._own())
        return self._holds[name]

    def _several(self, old: str) -> bool:
        """Whether the log has more than one entity to tell the key from, or has the old one itself."""
        first: str | None = None
        for own in self._own():
            ids = own["entity_id"].drop_nulls()
            if len(ids):
                first = ids[0] if first is None else first
                if (ids != first).any() or first == old:
                    return True
        return False


def key_sample(own: pl.DataFrame) -> pl.DataFrame:
    """Some after images of a type's changes (id, entity_id and after_snapshot).

    They are those whose ids have the least hashes: the sample of samples is the sample of the whole.
    """
    images = own.lazy().filter(pl.col("after_snapshot").is_not_null())
    return images.select("id", "entity_id", "after_snapshot").bottom_k(SAMPLE, by=pl.col("id").hash()).collect()


def _holds(own: pl.DataFrame, name: str) -> bool:
    """Whether no after image that has the field holds anything but the entity's id in it."""
    images = own.filter(pl.col("after_snapshot").is_not_null())
    rest = images.filter(~shows_key("after_snapshot", name))
    others = rest.select("entity_id", "after_snapshot").iter_rows()
    texts = ((entity_id, _fields(text).get(name)) for entity_id, text in others)
    return all(raw is None or recorded_text(raw) == entity_id for entity_id, raw in texts)


def shows_key(image: str, name: str) -> pl.Expr:
    """Whether the text of an image has the entity's id as the value of its only field of that name, as texts go.

    False proves nothing: an escape in the text is enough. True does but for a field within a field.
    """
    field = json.dumps(name, ensure_ascii=False)
    texts = [
        pl.format(pattern, pl.lit(field), pl.col("entity_id"))
        for pattern in ('{}: "{}"', '{}:"{}"', "{}: {},", "{}:{},", "{}: {}}}", "{}:{}}}")
    ]
    there = pl.any_horizontal(pl.col(image).str.contains(text, literal=True) for text in texts)
    return (there & (pl.col(image).str.count_matches(field, literal=True) == 1)).fill_null(value=False)


def holding(image: Image, entity_id: str) -> set[str]:
    """The fields whose value is the entity's id."""
    return {name for name, raw in image.items() if recorded_text(raw) == entity_id}


def _fields(text: str) -> Image:
    """An image's fields; none where it is no document, which the question itself then refuses by name."""
    try:
        return raw_fields(text)
    except ValueError:
        return {}


def _named_key(metadata: str | None) -> Iterable[str]:
    try:
        told = json.loads(metadata) if metadata and '"key"' in metadata else None
    except (ValueError, RecursionError):
        return ()
    key: Mapping[str, object] | None = told.get("key") if isinstance(told, dict) else None
    return tuple(key) if isinstance(key, dict) else ()


def _value(raw: str) -> object:
    """A key's value from its raw JSON text, exactly."""
    if raw[0] == '"':
        return recorded_text(raw)
    return {"true": True, "false": False, "null": None}.get(raw) if raw[0] in "tfn" else _number(raw)


def _number(raw: str) -> object:
    try:
        return Decimal(raw)
    except ArithmeticError:
        return None
