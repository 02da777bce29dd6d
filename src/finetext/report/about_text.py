"""What `finetext info` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from finetext.artefact.card_text import decision_sentences
from finetext.data.words import counted
from finetext.evaluation.leaderboard import score_from_json
from finetext.registry import load, table
from finetext.report.figures import duration, ends, number, short, size

if TYPE_CHECKING:
    from finetext.artefact.about import About

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
        score = score_from_json(values)
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
