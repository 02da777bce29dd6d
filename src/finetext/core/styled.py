"""Consoles and texts of `rich` that show data as they are: no markup, emoji codes or controls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any, Self, cast

import rich.console
import rich.text
from rich.segment import Segment

from finetext.core.terminal import escaped

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType
    from rich.style import Style


class Console(rich.console.Console):
    """A console that escapes texts, and takes no part of them for markup."""

    def __init__(self, **how: Any) -> None:
        """See `rich.console.Console`."""
        super().__init__(**{"markup": False, "emoji": False, "highlight": False} | how)

    @property
    def file(self) -> IO[str]:
        """The stream itself, below all that wraps it; see `EscapingStream`."""
        found: Any = super().file
        while (inner := getattr(found, "rich_proxied_file", None)) is not None:
            found = inner
        return cast("IO[str]", found)

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render_str(self, text: str, **how: Any) -> rich.text.Text:
        """Return a string as text; before, `rich` would drop some control characters."""
        return super().render_str(escaped(text), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield what is shown, escaped but for the codes of `rich` itself."""
        for segment in super().render(renderable, options):
            is_safe = segment.control or (text := escaped(segment.text)) == segment.text
            yield segment if is_safe else Segment(text, segment.style)


class Text(rich.text.Text):
    """A text with style whose content is escaped."""

    def __init__(self, text: str = "", style: str | Style = "", **how: Any) -> None:
        """See `rich.text.Text`."""
        super().__init__(escaped(text), style, **how)

    def append(self, text: rich.text.Text | str, style: str | Style | None = None) -> Self:
        """Append a text, escaped."""
        super().append(escaped(text) if isinstance(text, str) else text, style)
        return self

    @classmethod
    def assemble(cls, *parts: Any, **how: Any) -> Self:
        """See `rich.text.Text.assemble`."""
        return cast("Self", super().assemble(*parts, **how))
