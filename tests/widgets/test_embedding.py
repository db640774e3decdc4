"""What goes into a page: checked, packed, escaped; and what comes out of it is the same."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from auditlab.widgets import palette, script
from auditlab.widgets.document import document
from auditlab.widgets.embedding import checked, packed
from auditlab.widgets.tables import cell, table

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028<!--'\"&\u202e"


def unpacked(text: str) -> Any:  # noqa: ANN401
    """As ``unpacked`` of model.js does it."""
    return opened(base64.b64decode(text))


def opened(closed: bytes) -> Any:  # noqa: ANN401
    """As ``opened`` of model.js does it."""
    raw = zlib.decompress(closed)
    (length,) = struct.unpack_from("<I", raw)
    told = json.loads(raw[4 : 4 + length])
    for path, at, size in told["bytes"]:
        *way, name = path
        place = told["value"]
        for step in way:
            place = place[step]
        place[name] = raw[4 + length + at : 4 + length + at + size]
    return told["value"]


def test_what_is_packed_comes_out_the_same():
    given = {
        "a": [1, 2.5, None, True, HOSTILE, {"$bytes": [0, 1]}],
        "b": b"\x00\x01\x02",
        "c": [{"d": b"12345678"}, b""],
    }
    assert unpacked(packed(given)) == given


@pytest.mark.parametrize(
    "given",
    [
        {"a": ["x", None, True, {"b": []}]}, {"a": ["x", b"1"]}, {"a": ("x", 2**53, 1.5)}, {1: "x"}, [], "x", 2**53,
        {"a": {"b": [["x"], [b""]]}},
    ],
)  # fmt: skip
def test_what_holds_texts_alone_is_packed_as_all_else_is(given):
    said = checked(given)
    assert unpacked(packed(given)) == said


@pytest.mark.parametrize("value", [2**53 + 1, float("nan"), datetime.now(UTC)])
def test_what_a_browser_would_round_is_refused_beside_texts_too(value):
    with pytest.raises(TypeError, match=re.escape("data.a[1].b is")):
        packed({"a": ["x", {"b": value}]})


def test_no_character_of_the_packed_text_means_anything_in_html():
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed({HOSTILE: HOSTILE}))


def test_bytes_stand_on_boundaries_of_eight():
    raw = zlib.decompress(base64.b64decode(packed([b"123", b"12345678", b"1"])))
    (length,) = struct.unpack_from("<I", raw)
    assert (4 + length) % 8 == 0
    assert [place[1] % 8 for place in json.loads(raw[4 : 4 + length])["bytes"]] == [0, 0, 0]


@pytest.mark.parametrize("value", [2**53 + 1, float("nan"), float("inf"), datetime.now(UTC), {1, 2}, object()])
def test_what_a_browser_would_round_or_lose_is_refused(value):
    with pytest.raises(TypeError, match=re.escape("data.rows[1] is")):
        checked({"rows": [1, value]})


def test_a_value_is_never_markup_in_a_table():
    frame = pl.DataFrame({HOSTILE: [HOSTILE, None, ""]})
    made = table(frame, HOSTILE)
    assert "<img" not in made
    assert "</script>" not in made
    assert "\u2028" not in made
    assert "\u202e" not in made
    assert made.count("<tr>") == 4
    assert cell(None) == '<span class="al-null">null</span>'
    assert cell("null") == "null"


def test_a_table_that_is_cut_says_so_and_times_name_their_zone():
    frame = pl.DataFrame({"at": [datetime(2024, 6, 1, 12, tzinfo=UTC)] * 3})
    made = table(frame, "Changes", limit=2, zone="Europe/Berlin")
    assert made.count("2024-06-01 14:00:00+02:00") == 2
    assert "The first 2 of 3 rows" in made
    assert "(times are Europe/Berlin)" in made


class Shown:
    """A view that shows nothing but a text."""

    scripts = ()
    styles = ()
    title = HOSTILE

    def embedded(self) -> dict[str, Any]:
        return {"data": {"text": HOSTILE}, "state": {}, "title": self.title, "error": ""}

    def static_html(self) -> str:
        return f"<p>{cell(HOSTILE)}</p>"


def test_a_document_asks_for_nothing_and_runs_its_own_script_alone():
    made = document(HOSTILE, [Shown(), "<p>more</p>"])
    assert made.count("<script") == made.count("</script>") == 2
    assert "<img" not in made
    assert re.findall(r"(?:src|href|url)\s*[=(]", re.sub("(?s)<script.*?</script>|&lt;.*", "", made)) == []
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', made)
    assert policy
    assert "default-src &#x27;none&#x27;" in policy[1]
    assert "unsafe" not in policy[1]
    assert len(set(re.findall("sha256-[^&]+", policy[1]))) == 2  # the script, and the style of the pages


def test_the_scripts_load_nothing_and_make_no_markup():
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|</script|<!--"
    loads = r"\bimport\b|fetch\(|XMLHttpRequest|WebSocket|https?://(?!www\.w3\.org/2000/svg)"
    for file in (Path(script.__file__).parent / "static").glob("*.js"):
        assert not re.search(f"{markup}|{loads}", file.read_text(encoding="utf-8")), file.name


def test_the_page_has_the_palette_of_the_pictures():
    text = "\n".join(script.parts(()))
    for name, mark in palette.OPERATIONS.items():
        said = f'{{ name: "{name}", letter: "{mark.letter}", colour: "{mark.colour}", shape: "{mark.shape}" }}'
        assert said in text
    for kind, sign in palette.KINDS.items():
        assert f'{kind}: "{sign}"' in text
