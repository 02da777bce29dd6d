"""Data sets of the Hugging Face Hub, through the package `datasets`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetext.data.frames import reading_from_dict
from finetext.data.raw import Reading
from finetext.errors import DataError


def read_hub(name: str) -> Reading:
    """Read a data set of the Hub.

    Args:
        name: "owner/name", "owner/name/config", "name" or "name/config"; with one slash it is
            first taken as owner and name.

    Raises:
        DataError: there is no such data set, or it cannot be fetched.
    """
    first, _, rest = name.partition("/")
    second, _, config = rest.partition("/")
    ways = [(f"{first}/{second}" if second else first, config or None)]
    if second and not config:
        ways.append((first, second))
    reasons = []
    for path, chosen in ways:
        try:
            return reading_from_dict(_load(path, chosen), f"hub:{name}")
        except DataError:
            raise
        except ConnectionError as error:
            raise DataError(f"cannot read {name!r} from the Hub: {error}") from None
        except Exception as error:  # datasets raises errors of many packages
            reasons.append(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"[:300])
    raise DataError(f"cannot read {name!r} from the Hub: {reasons[0]}")


def _load(path: str, config: str | None) -> Mapping[str, Any]:
    import datasets

    loaded = datasets.load_dataset(path, config)
    if not isinstance(loaded, Mapping):
        raise DataError(f"the Hub data set {path!r} is not a set of tables")
    return loaded
