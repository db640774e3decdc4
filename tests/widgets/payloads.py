"""Fifty texts that have run in tools that show other people's data, and a log whose every name and value is one.

Each would set ``window.ran``, ask example.com, open a dialog, or leave an element of its own in the page.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from auditlab.testing import make_log

if TYPE_CHECKING:
    import polars as pl

__all__ = ["PAYLOADS", "log_of", "plain"]

RUN = "window.ran=1"
AWAY = "https://example.com/x"

PAYLOADS = (
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}//",
    f"<!--<script>{RUN}</script>-->",
    f"--><script>{RUN}</script>",
    f"]]><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"</template></noscript></svg></math></table><script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f"<img src={AWAY}>",
    f'"><img src=x onerror="{RUN}">',
    f"'><img src=x onerror='{RUN}'>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<svg><foreignObject><img src=x onerror={RUN}></foreignObject></svg>",
    f"<math><mtext></form><form><mglyph><style></math><img src=x onerror={RUN}>",
    f"<noscript><p title='</noscript><img src=x onerror={RUN}>'>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    "<iframe src='javascript:parent.ran=1'></iframe>",
    "<object data='data:text/html,<script>opener.ran=1</script>'></object>",
    f"<embed src={AWAY}>",
    f"<details open ontoggle={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<body onload={RUN}>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<link rel=stylesheet href={AWAY}.css>",
    f"<style>@import '{AWAY}.css'; * {{ background: url({AWAY}.png) }}</style>",
    f"<meta http-equiv=refresh content='0;url={AWAY}'>",
    f"<base href={AWAY}/>",
    f"<form action={AWAY}><button autofocus>go</button></form>",
    f"<a href='javascript:{RUN}'>click</a>",
    f"javascript:{RUN}//",
    f'" onmouseover="{RUN}" autofocus onfocus="{RUN}" x="',
    f"' onclick='{RUN}' style='position:fixed;inset:0' '",
    f"`-{RUN}-`${{{RUN}}}",
    f'"}}]}};{RUN};//',
    f"'+({RUN})+'",
    f"\u2028{RUN}\u2029//",
    f"{{{{constructor.constructor('{RUN}')()}}}}",
    f"&lt;img src=x onerror={RUN}&gt;&#60;script&#62;{RUN}&#60;/script&#62;",
    f"\\u003cscript\\u003e{RUN}\\u003c/script\\u003e",
    f"[x](javascript:{RUN}) ![y]({AWAY}.png)",
    f"$\\href{{javascript:{RUN}}}{{x}}$ \\(\\require{{html}}\\class{{a}}{{b}}\\)",
    f'=HYPERLINK("{AWAY}","x")',
    "__proto__",
    "constructor",
    f"\x1b]8;;{AWAY}\x07paid\u202e\u200b<b>",
)  # fmt: skip


def plain(text: str) -> str:
    """The harmless twin of a payload: as a name and a value it stands in the same places."""
    return f"plain {PAYLOADS.index(text):02}"


@cache
def log_of(*, hostile: bool = True) -> pl.DataFrame:
    """A log of which each payload, or its harmless twin, is a type, an id, a field, a value, a user and all else.

    Each payload is an order of a type of its own and of ``orders``, with one item in ``items`` that names it; the
    orders are inserted, changed, some of them deleted, by a user who is called so.
    """
    steps: list[tuple[Any, ...]] = []
    for number, payload in enumerate(PAYLOADS):
        text = payload if hostile else plain(payload)
        columns = {"changed_by": text, "correlation_id": text, "metadata": {text: text}}
        for entity_type in ("orders", text):
            own = columns | {"entity_type": entity_type}
            steps += [
                ("INSERT", text, {text: text, "state": "new"}, own),
                ("UPDATE", text, {text: f"{text} {text}", "state": text, "nested": {text: [text]}}, own),
            ]
            if number % 5 == 0:
                steps.append(("DELETE", text, own))
        steps.append(("INSERT", f"item of {text}", {"order_id": text, text: text}, columns | {"entity_type": "items"}))
    return make_log(steps)
