"""JSON of dataclasses: the one codec for every file that a run or model folder holds.

A dataclass states its types once; pydantic reads and writes it by them. Unknown keys are ignored,
so a file may say more than the dataclass holds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Self, TypeVar

from finetext.core.arrays import finite
from finetext.core.errors import FinetextError, RunError

Value = TypeVar("Value")


def to_json(value: Any) -> Any:
    """Return a dataclass, or a sequence or mapping of them, as JSON values; None if not finite."""
    return finite(_adapter(type(value)).dump_python(value, mode="python", warnings=False))


class Jsonable:
    """A result with a JSON form."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers become None."""
        return dict(to_json(self))

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Return what `to_json` wrote; raises a RunError if it is damaged."""
        return from_json(cls, values, cls.__name__)


def from_json(
    kind: type[Value], values: Any, what: str, error: type[FinetextError] = RunError
) -> Value:
    """Return a value of a type built of dataclasses, or raise an `error` that names `what`."""
    from pydantic import ValidationError

    try:
        read: Value = _adapter(kind).validate_python(values)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise error(f"{what} cannot be read: {place}: {first['msg']}") from None
    return read


def _build_adapter(kind: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    if hasattr(kind, "__dataclass_fields__"):
        return TypeAdapter(kind)
    return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))


_adapter: Callable[[Any], Any] = cache(_build_adapter)
