"""The views of a log: what is shown of it in a notebook, and in files that need neither kernel nor network.

Each module that :meth:`auditlab.viewing.Viewing._open` opens has a function of its own name, which takes the log and
gives a :class:`auditlab.widgets.view.WidgetView`. Their pages stand in ``static/``; nothing of them is loaded from
anywhere else.
"""

from __future__ import annotations

__all__: list[str] = []
