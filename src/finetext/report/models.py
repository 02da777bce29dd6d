"""What `finetext info` prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from finetext.core.registry import load, table
from finetext.core.types import Score
from finetext.core.wording import (
    counted,
    duration,
    ends,
    number,
    p_value,
    short,
    signed,
    size,
    speed,
)
from finetext.encoders.catalogue import ENTRIES, PRESETS, Preset, on_this_machine
from finetext.models.card import decision_sentences
from finetext.models.exporters import Compared, speed_in_words
from finetext.storage.codec import from_json

if TYPE_CHECKING:
    from rich.console import Console

    from finetext.models.info import About


def models_json() -> list[dict[str, Any]]:
    """Every entry of the catalogue, and whether it can be used without a network."""
    return [
        dataclasses.asdict(entry) | {"on_this_machine": on_this_machine(entry)} for entry in ENTRIES
    ]


def show_models(console: Console) -> None:
    """Print the catalogue, some lines an encoder, and the presets."""
    for entry in ENTRIES:
        here = "on this machine" if on_this_machine(entry) else "fetched from the Hub when used"
        tuned = "finetunable" if entry.finetunable else "probe only"
        console.print(f"{entry.alias}  {entry.source}", style="bold", markup=False)
        console.print(
            f"    {entry.description}\n"
            f"    {entry.parameters:,} M parameters, context {entry.context:,}, "
            f"{entry.languages}, {entry.licence}\n"
            f"    {', '.join(entry.tasks)}; {tuned}; {here}",
            markup=False,
        )
    for sizes in PRESETS:
        console.print(f"random:{sizes.name}", style="bold", markup=False)
        console.print(f"    {_sizes(sizes)}", markup=False)


def _sizes(sizes: Preset) -> str:
    """What a preset grows into."""
    kind = "AWD-LSTM" if sizes.architecture == "awd-lstm" else "BERT"
    return (
        f"{kind} with random weights: {sizes.layers} layers, {sizes.width} wide, context "
        f"{sizes.context:,}, up to {sizes.pieces:,} pieces; for finetune, and pretrain --preset "
        f"{sizes.name}"
    )


_MOST_LABELS: Final = 20
_STATES: Final = {
    "ok": "",
    "unknown": "",
    "own": "written by hand",
    "changed": "CHANGED since it was written",
    "extra": "does not belong to the model",
    "pickle": "HOLDS A PICKLE",
}


def model_lines(about: About) -> list[str]:
    """What it is and what it was trained on, a line for each thing that is known."""
    known, record = about.described.get("provenance", {}), about.described.get("record", {})
    data, base = record.get("data", {}), record.get("base", {})
    labels = ", ".join(short(name) for name in about.labels[:_MOST_LABELS])
    more = f" and {len(about.labels) - _MOST_LABELS} more" if len(about.labels) > 20 else ""
    facts: dict[str, Any] = {
        "model": about.folder,
        "kind": about.described.get("classifier") or about.looks_like or "nothing that is known",
        "method": known.get("method"),
        "encoder": _encoder(base),
        "labels": f"{len(about.labels)}{', several a text' * about.multilabel}: {labels}{more}"
        if about.labels
        else None,
        "decision": " ".join(_plain(s) for s in decision_sentences(about.described))
        if about.described
        else None,
        "data": data.get("hub") or data.get("name"),
        "rows": ", ".join(f"{part} {count:,}" for part, count in data.get("rows", {}).items()),
        "content": known.get("content_hash"),
        "training": _training(record),
        "made by": f"finetext {about.described['finetext_version']}, {about.described['created']}"
        if "created" in about.described
        else None,
    }
    width = max(map(len, facts))
    return [f"{name:<{width}}  {value}" for name, value in facts.items() if value]


def score_lines(about: About) -> list[str]:
    """Scores on test rows with their intervals; nothing if none were recorded."""
    scores = about.described.get("record", {}).get("scores", {})
    rows = next((of["n"] for of in scores.values()), None)
    lines = [f"on {rows:,} test rows, with 95% intervals:"] if rows else []
    for name, values in scores.items():
        score = from_json(Score, values, f"the {name} of {about.folder}")
        title = load("metrics", name).title if name in table("metrics") else name
        lines.append(f"  {title:<24}{number(score.value)}  {ends(score)}".rstrip())
    return lines


def file_lines(about: About) -> list[str]:
    """The files with sizes and hashes, and what is wrong with them."""
    names = [short(file.name, 60) for file in about.files]
    width = max(map(len, names), default=0)
    lines = [
        f"{name:<{width}}  {size(file.size):>9}  {file.sha256}  {_STATES[file.state]}".rstrip()
        for name, file in zip(names, about.files, strict=True)
    ]
    lines += [f"{name}  MISSING" for name in about.checked.missing]
    total = f"{counted(len(about.files), 'file')}, {size(sum(f.size for f in about.files))}"
    if about.kind != "finetext":
        return [*lines, total]
    if not about.checked.is_known:
        return [*lines, f"{total}; what their hashes should be is not known: an earlier finetext "
                "wrote it"]  # fmt: skip
    state = "as they were written" if about.checked.is_sound else about.checked.words
    return [*lines, f"{total}: {state}"]


def _encoder(base: dict[str, Any]) -> str | None:
    name = base.get("model") or base.get("name")
    kind = base.get("kind")
    return f"{name} ({kind})" if name and kind else name or kind


def _training(record: dict[str, Any]) -> str | None:
    seconds = record.get("costs", {}).get("seconds_to_train")
    if seconds is None:
        return None
    device = record.get("machine", {}).get("device", "")
    return f"{duration(seconds)} on {device}".removesuffix(" on ")


def _plain(sentence: str) -> str:
    """A sentence of the card without the escapes of Markdown."""
    return sentence.replace("\\", "").replace("`", "")


_NAMES = ("", "original", "export")


def comparison_lines(compared: Compared) -> Iterator[str]:
    """Agreement, then a table of both, then a sentence on speed."""
    yield f"compared on {compared.rows:,} {compared.where}"
    if compared.remark:
        yield compared.remark
    yield (
        f"same labels on {compared.agreement:.2%}; probabilities differ by "
        f"{compared.largest_difference:.2g} at most, {compared.mean_difference:.2g} on average"
    )
    rows = [_NAMES, *_figures(compared)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    yield ""
    for row in rows:
        name, *figures = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {name}  {'  '.join(figures)}".rstrip()
    yield ""
    for metric, of in compared.differences.items():
        yield (
            f"difference of {load('metrics', metric).title}: {signed(of.difference.value)} "
            f"[{signed(of.difference.low)}, {signed(of.difference.high)}], p "
            f"{p_value(of.p_value)} ({of.test})"
        )
    yield speed_in_words(compared)


def _figures(compared: Compared) -> Iterator[tuple[str, str, str]]:
    for metric, of in compared.scores.items():
        yield load("metrics", metric).title, str(of.original), str(of.exported)
    yield "size", size(int(compared.bytes.original)), size(int(compared.bytes.exported))
    speeds, times = compared.rows_per_second, compared.milliseconds
    yield "rows a second", speed(speeds.original), speed(speeds.exported)
    yield "one text", f"{times.original:.2g} ms", f"{times.exported:.2g} ms"
