"""Data sets of the Hugging Face Hub, through the package `datasets`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetext.data.frames import reading_from_dict
from finetext.data.raw import Reading
from finetext.encoders.catalogue import hub_answers
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
    if not any(_cached(path) for path, _ in ways) and not hub_answers():
        raise DataError(
            f"cannot read {name!r}: it is not on this machine and the Hugging Face Hub cannot be "
            "reached; check the network, or give a file you have"
        )
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


def _cached(path: str) -> bool:
    """Whether a data set that is called so, of whatever owner, was fetched before."""
    import datasets
    from huggingface_hub.constants import HF_HUB_CACHE

    ending = path.rpartition("/")[2].lower()
    places = [Path(place) for place in (datasets.config.HF_DATASETS_CACHE, HF_HUB_CACHE)]
    folders = [folder for place in places if place.is_dir() for folder in place.iterdir()]
    return any(folder.name.lower().endswith(ending) for folder in folders)


def _load(path: str, config: str | None) -> Mapping[str, Any]:
    import datasets

    loaded = datasets.load_dataset(path, config)
    if not isinstance(loaded, Mapping):
        raise DataError(f"the Hub data set {path!r} is not a set of tables")
    return loaded
