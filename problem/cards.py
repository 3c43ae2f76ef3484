"""How results look in a notebook: their card, as text of fixed width."""

from __future__ import annotations

from html import escape


class Card:
    """A result that prints as a card."""

    def _repr_html_(self) -> str:
        """The card for Jupyter; its first line stands out."""
        first, _, rest = str(self).partition("\n")
        body = f"<b>{escape(first)}</b>" + (f"\n{escape(rest)}" if rest else "")
        return f'<pre style="line-height: 1.35; overflow-x: auto; white-space: pre">{body}</pre>'
