"""How a classifier that consists of others stores them: each in `members/NAME` of its folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from finetext.core import registry
from finetext.core.contracts import Classifier
from finetext.core.decision import AS_LIKELY, Decision
from finetext.core.settings import Precision
from finetext.core.types import LabelScheme
from finetext.storage.received import read_received_text
from finetext.training.precision import precision_of_model

MEMBERS: Final = "members"
"""The folder of the members in a model folder, and their list in its description."""
MADE_FROM: Final = "made_from"
"""What the provenance of an export has, and that of a fitted method has not."""
MOST_MEMBERS: Final = 50
"""Members of a model that is loaded."""
_NAME: Final = re.compile(r"\w[\w.-]*")


LoadKind = Callable[[str, Path, LabelScheme, Decision, str, Precision | None], Classifier]
"""Loads a classifier by its kind and the arguments of its `load_weights`, in a number format."""


def load_kind(
    kind: str,
    folder: Path,
    scheme: LabelScheme,
    decision: Decision,
    device: str,
    precision: Precision | None = None,
) -> Classifier:
    """Return the classifier of a kind in a folder; see `Classifier.load_weights`.

    `precision` is that of its predictions; None (the default) leaves that of its members.
    """
    of = registry.load("classifiers", kind)
    loaded: Classifier = of.load_weights(folder, scheme, decision, device)
    return loaded if precision is None else loaded.with_precision(precision)


def save_members(
    folder: Path,
    file: str,
    members: Mapping[str, tuple[Classifier, Mapping[str, Any]]],
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write each member into `members/NAME`, and a description of all into a JSON file.

    Args:
        folder: the model folder, which is empty.
        file: name of the JSON file.
        members: name to the classifier, and what the description says of it beside its type.
        more: further values of the description.
    """
    described = [
        {"name": name, **own, "classifier": of.kind, "precision": of.number_format}
        for name, (of, own) in members.items()
    ]
    text = json.dumps({MEMBERS: described, **(more or {})})
    (folder / file).write_text(text, encoding="utf-8")
    for name, (of, _) in members.items():
        place = folder / MEMBERS / name
        place.mkdir(parents=True)
        of.save_weights(place)


def read_description(folder: Path, file: str) -> dict[str, Any]:
    """Return what `save_members` wrote into the file.

    Raises a ValueError if it describes no members that can be loaded one by one, or if the name
    that an export was made from is none.
    """
    content = json.loads(read_received_text(folder, file))
    described = content[MEMBERS]
    if not isinstance(described, list) or not 1 <= len(described) <= MOST_MEMBERS:
        raise ValueError(f"{file} has no list of 1 to {MOST_MEMBERS} members")
    names = [of["name"] for of in described if isinstance(of, Mapping)]
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise ValueError(f"{file}: a member has no name that a folder can have")
    if not len(described) == len(names) == len(set(names)):
        raise ValueError(f"{file}: two members have the same name")
    if not isinstance(content.get(MADE_FROM), str | None):
        raise ValueError(f"{file}: {MADE_FROM} is {content[MADE_FROM]!r}, no name")
    return dict(content)


def load_member(
    folder: Path,
    described: Mapping[str, Any],
    scheme: LabelScheme,
    device: str,
    load: LoadKind = load_kind,
) -> Classifier:
    """Return a member of the model in a folder, as the description of the model says."""
    place = folder / MEMBERS / described["name"]
    saved = described.get("precision")
    precision = None if saved is None else precision_of_model(saved, device)
    return load(described["classifier"], place, scheme, AS_LIKELY, device, precision)
