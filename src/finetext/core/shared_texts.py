"""What several fits compute of the same texts, computed once in each process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, eq=False)
class SharedTexts:
    """The texts of several fits, and what methods keep of them from one fit to the next.

    Only what no label and no choice of rows changes may be kept, such as the states of a frozen
    encoder. Sent to another process, it has what was kept there of the same texts.
    """

    texts: tuple[str, ...]
    kept: dict[Any, Any] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Any, ...]:
        return _shared_here, (self.texts,)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what was kept under a key, or make and keep it."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]


@lru_cache(maxsize=1)
def _shared_here(texts: tuple[str, ...]) -> SharedTexts:
    return SharedTexts(texts)
