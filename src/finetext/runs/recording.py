"""What a run found out of each rung, written into its model folder: how good, on what, how dear.

A model folder that leaves its run then still says so, in `finetext.json` and on its card. It tells
counts, scores and names of files, but neither texts nor the folders of the machine.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.arrays import finite
from finetext.core.contracts import encoder_of
from finetext.core.environment import stated_watts
from finetext.core.errors import FinetextError
from finetext.encoders.catalogue import is_random, resolve
from finetext.models.folder import write_record
from finetext.report.probabilities import decided_json
from finetext.runs.baselines import origin_of, seconds_before
from finetext.runs.diagnosing import kept
from finetext.runs.fit_methods import Rung
from finetext.runs.recipe import ADAPTED, Recipe
from finetext.storage.codec import to_json

if TYPE_CHECKING:
    from finetext.core.types import Finding
    from finetext.report.data import Diagnoses


_BASELINES: Final = ("majority", "tfidf")
_HANDED_OVER: Final = "data.parquet"
"""The source of a run on data that were handed over in Python."""
_DEEPEST: Final = 20
"""Encoders that one was made from, at most: a ring of records must not hang."""


def record_rungs(
    folder: Path, recipe: Recipe, rungs: Mapping[str, Rung], noticed: Sequence[Finding]
) -> None:
    """Write what is known of each rung into its model folder, and on its card.

    Args:
        folder: the run folder.
        recipe: as it was run.
        rungs: those that are finished.
        noticed: what training noticed.

    Raises:
        ModelError: a model folder is damaged.
        RunError: a file of the run is damaged.
        OSError: a file cannot be read or written.
    """
    described = json.loads((folder / "data.json").read_text("utf-8"))
    environment = json.loads((folder / "environment.json").read_text("utf-8"))
    before = seconds_before(recipe, folder / ADAPTED)
    diagnoses = kept(folder)
    shared = {"data": _data(recipe.source, described), "findings": _findings(described, noticed)}
    for name, rung in rungs.items():
        encoder = encoder_of(recipe.methods[name])
        machine = _machine(environment, encoder is not None)
        others = {of: rungs[of] for of in _BASELINES if of in rungs and of != name}
        record = {
            "title": f"{folder.resolve().name}: {name}",
            "metric": recipe.metric,
            "scores": _scores(rung),
            "validation_scores": _scores(rung, "validation"),
            "baselines": {of: _scores(other) for of, other in others.items()},
            "decided": decided_json(rung.predictions["test"]),
            "base": {} if encoder is None else base_of(encoder, recipe),
            **shared,
            **_looked_at(name, diagnoses),
            "machine": machine,
            "costs": _costs(rung, before[name], machine),
        }
        write_record(folder / rung.entry.model, finite(record))


def base_of(encoder: str, recipe: Recipe) -> dict[str, Any]:
    """The published encoder that one comes from, with its licence and languages where known.

    Returns:
        "model" (name on the Hub) or "name" (of a folder), "licence", "languages", and "kind":
        "adapted", "pretrained" or "random" if the weights are not as they were published.
    """
    base: dict[str, Any] = {}
    if encoder == ADAPTED and recipe.adapt is not None:
        base["kind"], encoder = "adapted", recipe.adapt.encoder
    try:
        for _ in range(_DEEPEST):
            if (origin := origin_of(encoder)) is None:
                break
            base.setdefault("kind", origin.kind)
            if origin.kind == "pretrained":
                return {"kind": "pretrained"}
            encoder = origin.base
        if is_random(encoder):
            return {"kind": "random"}
        source = resolve(encoder)
    except FinetextError:
        return base
    if source.entry is not None:
        known = source.entry
        about = {"licence": known.licence, "languages": known.languages}
        return base | {"model": known.source} | about
    if Path(encoder).expanduser().is_dir():
        return base | {"name": Path(encoder).expanduser().resolve().name}
    return base | {"model": encoder}


def _scores(rung: Rung, part: str = "test") -> dict[str, Any]:
    return {name: to_json(score) for name, score in rung.entry.metrics[part].items()}


def _data(source: Any, described: Mapping[str, Any]) -> dict[str, Any]:
    """What the data were, by name and number."""
    first = next(iter(source.values())) if isinstance(source, Mapping) else source
    known = {"rows": described["rows"], "labels": described["labels_by_split"]["train"]}
    if not isinstance(first, str) or first == _HANDED_OVER:
        return known
    if first.startswith("hub:"):
        return known | {"hub": "/".join(first.removeprefix("hub:").split("/")[:2])}
    return known | {"name": re.split(r"[\\/]", first.partition("?")[0].rstrip("\\/"))[-1]}


def _findings(described: Mapping[str, Any], noticed: Sequence[Finding]) -> dict[str, int]:
    """How often each kind of warning came up; their messages can quote texts, so they stay here."""
    known = [(of["code"], of["severity"]) for of in described["findings"]]
    known += [(finding.code, finding.severity) for finding in noticed]
    return dict(Counter(code for code, severity in known if severity != "note"))


def _looked_at(name: str, found: Diagnoses) -> dict[str, Any]:
    """How many slices are worse, and labels doubted; nothing of what was not looked at."""
    record: dict[str, Any] = {}
    if found.slices is not None and found.slices.method == name:
        worse = sum(each.worse for each in found.slices.slices)
        looked = {"looked_at": found.slices.looked_at, "part": found.slices.part}
        record["slices"] = looked | {"worse": worse}
    if found.suspects is not None:
        record["suspects"] = len(found.suspects.suspects)
    return record


def _machine(environment: Mapping[str, Any], has_encoder: bool) -> dict[str, Any]:
    """What it was trained on; only a rung with an encoder is on anything but the processor."""
    names = ("processor", "cores", "threads", "python")
    known = {name: environment[name] for name in names if environment.get(name)}
    device = environment.get("device") if has_encoder else "cpu"
    packages = {n: of for n, of in environment.get("packages", {}).items() if of}
    return known | {"device": device or "cpu", "packages": packages}


def _costs(rung: Rung, before: float, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds as measured, and energy where the device states what it draws at most."""
    entry = rung.entry
    seconds = entry.seconds_to_train
    costs: dict[str, Any] = {
        "seconds_to_train": seconds,
        "seconds_before": before,
        "rows_per_second": entry.rows_per_second,
        "bytes": entry.bytes,
    }
    if (watts := stated_watts(str(machine["device"]))) is not None:
        hours = (seconds + before) / 3600
        part = "processor" if machine["device"] == "cpu" else "graphics card"
        costs["energy"] = {"watts": watts, "watt_hours": watts * hours, "part": part}
    return costs
