"""Write a run folder: what is known before training, and what each model folder says of its run."""

from __future__ import annotations

import json
import os
import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from finetext.core.addresses import recorded
from finetext.core.arrays import finite
from finetext.core.contracts import encoder_of
from finetext.core.environment import processor_name, stated_watts
from finetext.core.errors import FinetextError, RunError
from finetext.core.paths import expanded
from finetext.core.text_columns import texts_in
from finetext.core.types import Dataset, Finding, Splits
from finetext.core.wording import refitted_in_words
from finetext.data.rows import LABEL_STATUS
from finetext.diagnosis.explore import Lengths
from finetext.encoders.catalogue import is_random, resolve
from finetext.evaluation.agreement import agreement_in
from finetext.evaluation.base_rates import BaseRates
from finetext.evaluation.consistency import consistency
from finetext.models.files import KEPT_ROWS
from finetext.models.folder import write_record
from finetext.report.next_step import Judged
from finetext.report.probabilities import decided_json
from finetext.report.shares import shares_of
from finetext.report.verdict import verdict_on
from finetext.runs.ablations import origin_of, seconds_before
from finetext.runs.fit_methods import FittedMethod
from finetext.runs.predictions import write_table
from finetext.runs.recipe import ADAPTED, BASELINES, Recipe
from finetext.runs.reporting import read_diagnoses
from finetext.runs.resolve import DATA_COPY, OUT_OF_SCOPE, ResolvedRun, copied_texts
from finetext.runs.run import Run
from finetext.storage.codec import to_json
from finetext.storage.files import sync_names, write_json, write_text
from finetext.storage.received import is_received_file, read_received_text

PACKAGES: Final = (
    "finetext", "torch", "transformers", "tokenizers", "accelerate", "datasets", "scikit-learn",
    "numpy", "scipy",
)  # fmt: skip
_DEEPEST: Final = 20  # encoders to follow back: a ring of records must not hang


def start_run(
    folder: Path, run: ResolvedRun, findings: Sequence[Finding], lengths: Sequence[Lengths]
) -> None:
    """Fill the run folder with all that is known before training, the recipe last."""
    recipe, splits, scheme = run.recipe, run.splits, run.splits.scheme
    agreement = agreement_in(run.dataset)
    described = {
        "source": recorded(recipe.source),
        "description": splits.train.description,
        "content_hash": run.dataset.content_hash,
        **scheme.to_json(),
        "rows": {name: len(part) for name, part in splits.items() if len(part)},
        "labels_by_split": shares_of(splits).to_json()["counts"],
        "findings": to_json(list(findings)),
        "columns": to_json(list(run.dataset.roles)),
        "lengths": to_json(list(lengths)),
        "agreement": agreement and agreement.to_json(),
    }
    try:
        if recipe.source == DATA_COPY:
            write_table(folder / DATA_COPY, data_copy(run.dataset))
        write_table(folder / "splits.parquet", split_columns(splits))
        write_json(folder / "environment.json", describe_environment(recipe))
        write_json(folder / "data.json", described)
        write_text(folder / "recipe.toml", recipe.to_toml())
        sync_names(folder.parent)
    except OSError as error:
        raise RunError(f"the run folder {folder} cannot be written: {error}") from None


def data_copy(dataset: Dataset) -> dict[str, list[Any]]:
    """Return the columns of data passed in Python, with the texts as they were before joining."""
    columns = {name: dataset.column(name) for name in dataset.table.column_names}
    if (outside := dataset.out_of_scope) is not None:
        for name, values in columns.items():
            values += [OUT_OF_SCOPE] * len(outside) if name == "label" else outside.column(name)
    names = copied_texts(dataset.scheme) if dataset.scheme else ()
    if not names:
        return columns
    rows = [texts_in(text) if text else [""] * len(names) for text in columns.pop("text")]
    return columns | dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def split_columns(splits: Splits) -> dict[str, list[str]]:
    """Return the columns of `splits.parquet`: `id` and `split` of each row, status of its label.

    The status is there if any row has a weak label.
    """
    columns: dict[str, list[str]] = {
        "id": [row for _, part in splits.items() for row in part.ids],
        "split": [name for name, part in splits.items() for _ in range(len(part))],
    }
    if LABEL_STATUS in splits.train.table.column_names:
        columns[LABEL_STATUS] = [
            of for _, part in splits.items() for of in part.column(LABEL_STATUS)
        ]
    return columns


def describe_environment(recipe: Recipe) -> dict[str, Any]:
    """Return versions, processor, number of cores, device, processes and threads, and seed.

    Several processes have so many threads each while they train together.
    """
    arithmetic: dict[str, Any] = {"device": "cpu"}
    if any(hasattr(method, "encoder") for method in recipe.methods.values()):
        import torch

        from finetext.training.precision import choose_device
        from finetext.training.ranks import ranks_here

        device, ranks = str(choose_device(recipe.device)), ranks_here()
        processes, threads = 1, torch.get_num_threads()
        if ranks is not None:
            processes, threads = ranks.here.size, ranks.threads
        arithmetic = {"device": device, "processes": processes, "threads": threads}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        **arithmetic,
        "seed": recipe.seed,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def record_models(run: Run, recipe: Recipe, fitted: Mapping[str, FittedMethod]) -> None:
    """Write scores, verdict, data and costs of each method into its model folder and card."""
    folder = run.folder
    described = json.loads(read_received_text(folder, "data.json"))
    environment = json.loads(read_received_text(folder, "environment.json"))
    before, diagnoses = seconds_before(recipe, folder / ADAPTED), read_diagnoses(folder)
    # Messages can quote texts, so only the number of each code is recorded.
    known = [(of["code"], of["severity"]) for of in described["findings"]]
    known += [(finding.code, finding.severity) for finding in run.findings]
    tested = {name: one.predictions["test"] for name, one in fitted.items()}
    codes = dict(Counter(code for code, severity in known if severity != "note"))
    # A model folder can leave its run, so neither texts nor folders of the machine are recorded.
    for name, one in fitted.items():
        encoder = encoder_of(recipe.methods[name])
        beside = [*BASELINES, *(of for of in fitted if not recipe.methods[of].learns)]
        others = {of: fitted[of] for of in beside if of in fitted and of != name}
        record: dict[str, Any] = {
            "title": f"{folder.resolve().name}: {name}",
            "metric": recipe.metric,
            "scores": to_json(dict(one.entry.metrics["test"])),
            "validation_scores": to_json(dict(one.entry.metrics.get("validation", {}))),
            "learned_from": one.entry.learned_from,
            "chosen_on": one.entry.chosen_on,
            "baselines": {of: to_json(dict(o.entry.metrics["test"])) for of, o in others.items()},
            "verdict": verdict_on(
                run.leaderboard, tested, Judged(name, run.best, folder), run.choice, one.folds
            ).words(),
            **({} if one.entry.reading is None else {"reading": to_json(one.entry.reading)}),
            "decided": decided_json(tested[name]),
            **({} if one.entry.scope is None else {"scope": to_json(one.entry.scope)}),
            "calibration": consistency(tested[name]).to_json(),
            "base": {} if encoder is None else base_of(encoder, recipe),
            "data": _data(recorded(recipe.source), described, one),
            **({} if one.folds is None else {"folds": len(one.folds.repeats[0])}),
            "findings": codes,
        }
        held_out = one.predictions["test" if one.folds is not None else "validation"]
        if len(held_out) > 1:
            record["base_rates"] = BaseRates.of(held_out).to_json()
        if (slices := diagnoses.slices) is not None and slices.method == name:
            worse = sum(each.worse for each in slices.slices)
            looked = {"looked_at": slices.looked_at, "part": slices.part}
            record["slices"] = looked | {"worse": worse}
        if diagnoses.suspects is not None:
            record["suspects"] = len(diagnoses.suspects.suspects)
        names = ("processor", "cores", "threads", "python")
        machine = {of: environment[of] for of in names if environment.get(of)}
        combines = recipe.methods[name].combines and any(map(encoder_of, recipe.methods.values()))
        device = environment.get("device") if encoder or combines else None  # others: CPU alone
        packages = {of: number for of, number in environment.get("packages", {}).items() if number}
        machine |= {"device": device or "cpu", "packages": packages}
        record |= {"machine": machine, "costs": _costs(one, before[name], machine)}
        if is_received_file(folder / one.entry.model, KEPT_ROWS):
            record["keeps_rows"] = True
        write_record(folder / one.entry.model, finite(record))


def base_of(encoder: str, recipe: Recipe) -> dict[str, Any]:
    """Return the published encoder that an encoder comes from, as the model card shows it."""
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
    if (known := source.entry) is not None:
        about = {"licence": known.licence, "languages": known.languages}
        return base | {"model": known.source} | about
    place = expanded(encoder)
    return base | ({"name": place.resolve().name} if place.is_dir() else {"model": source.name})


def _data(source: Any, described: Mapping[str, Any], fitted: FittedMethod) -> dict[str, Any]:
    first = next(iter(source.values())) if isinstance(source, Mapping) else source
    labels = Counter(described["labels_by_split"]["train"])
    is_final = fitted.folds is not None and not fitted.entry.chosen_on
    if is_final or refitted_in_words(fitted.entry.learned_from, described["rows"]):
        labels.update(described["labels_by_split"].get("validation", {}))
    known = {"rows": described["rows"], "labels": dict(labels)}
    if not isinstance(first, str) or first == DATA_COPY:
        return known
    if first.startswith("hub:"):
        return known | {"hub": "/".join(first.removeprefix("hub:").split("/")[:2])}
    return known | {"name": re.split(r"[\\/]", first.partition("?")[0].rstrip("\\/"))[-1]}


def _costs(fitted: FittedMethod, before: float, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the seconds, and the energy where the device states its power limit."""
    entry = fitted.entry
    costs: dict[str, Any] = {
        "seconds_to_train": entry.seconds_to_train,
        "seconds_before": before,
        "rows_per_second": entry.rows_per_second,
        "bytes": entry.bytes,
    }
    if (watts := stated_watts(str(machine["device"]))) is not None:
        hours = (entry.seconds_to_train + before) / 3600
        part = "processor" if machine["device"] == "cpu" else "graphics card"
        costs["energy"] = {"watts": watts, "watt_hours": watts * hours, "part": part}
    return costs
