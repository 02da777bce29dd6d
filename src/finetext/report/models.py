"""Models in the terminal: the contents of a model folder, and an export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from finetext.core.registry import table
from finetext.core.types import LabelScheme, Score
from finetext.core.wording import (
    counted,
    duration,
    ends,
    learned_in_words,
    number,
    p_value,
    part_in_words,
    refitted_in_words,
    row_of,
    short,
    size,
    speed,
)
from finetext.evaluation.proportions import score_interval
from finetext.models.card_sentences import (
    cascade_sentences,
    decision_sentences,
    reading_sentences,
    weak_labels_of,
)
from finetext.models.exporters import Compared, speed_in_words
from finetext.models.info import About
from finetext.report.rendering import aligned, metric_title, score
from finetext.storage.codec import from_json

_MOST_LABELS: Final = 20
_STATES: Final = {
    "own": "not written by finetext",
    "changed": "CHANGED since it was written",
    "extra": "not part of the model",
    "pickle": "CONTAINS A PICKLE",
    "not followed": "A LINK that leads out of the folder, not followed",
}


def model_lines(about: About) -> list[str]:
    """Return what a model is and what it was trained on, one line per known fact."""
    described = about.described
    known, record = described.get("provenance", {}), described.get("record", {})
    data, base = record.get("data", {}), record.get("base", {})
    texts = described.get("text_columns") or filter(None, [described.get("text_column")])
    labels = ", ".join(short(name) for name in about.labels[:_MOST_LABELS])
    beyond = len(about.labels) - _MOST_LABELS
    more = f" and {beyond} more" if beyond > 0 else ""
    several = ", several per text" if about.multilabel else ""
    yes = described.get("affirmative")
    second = LabelScheme(about.labels, about.multilabel).positive_class
    unnamed = (
        f"{yes} (the label that says yes)" if yes else second and f"{second} (the second label)"
    )
    named, kind = base.get("model") or base.get("name"), base.get("kind")
    sentences = decision_sentences(described) if described else []
    weak = weak_labels_of(described)
    seconds = record.get("costs", {}).get("seconds_to_train")
    device = record.get("machine", {}).get("device")
    version = f"finetext {described.get('finetext_version')}, {described.get('created')}"
    facts: dict[str, Any] = {
        "model": about.folder,
        "kind": described.get("classifier") or about.looks_like or "unknown",
        "method": known.get("method"),
        "members": _members(known.get("members")),
        "cascade": _plain(cascade_sentences(described)),
        "encoder": f"{named} ({kind})" if named and kind else named or kind,
        "texts": " + ".join(map(short, texts)),
        "reading": " ".join(reading_sentences(described)),
        "labels": about.labels and f"{len(about.labels)}{several}: {labels}{more}",
        "positive": described.get("positive") or unnamed,
        "decision": _plain(sentences),
        "data": data.get("hub") or data.get("name"),
        "rows": _rows(record),
        "weak": weak and weak.words(),
        "content": known.get("content_hash"),
        "training": seconds is not None and duration(seconds) + (f" on {device}" if device else ""),
        "made by": "created" in described and version,
    }
    width = max(map(len, facts))
    return [f"{name:<{width}}  {value}" for name, value in facts.items() if value]


def _plain(sentences: Sequence[str]) -> str:
    """Return sentences of the card without the escapes of Markdown."""
    return " ".join(sentences).replace("\\", "").replace("`", "")


def _members(members: Any) -> str:
    """Return the members of a blend with their weights; "" for other models."""
    known = members.items() if isinstance(members, Mapping) else ()
    weights = {name: of.get("weight") for name, of in known if isinstance(of, Mapping)}
    return ", ".join(
        f"{short(str(name))} {weight:.2f}"
        for name, weight in weights.items()
        if isinstance(weight, int | float)
    )


def _rows(record: Mapping[str, Any]) -> str:
    """Return how many rows the model learned from, and how many were held out."""
    learned, data = record.get("learned_from"), record.get("data", {})
    if record.get("folds") and learned is not None:
        return learned_in_words(int(learned), int(record.get("chosen_on", 0)))
    rows = ", ".join(f"{part} {count:,}" for part, count in data.get("rows", {}).items())
    again = refitted_in_words(learned, data.get("rows", {}))
    return f"{rows}; {again}" if again else rows


def score_lines(about: About) -> list[str]:
    """Return the scores with their intervals; nothing if none were recorded."""
    scores = about.described.get("record", {}).get("scores", {})
    rows = next((of["n"] for of in scores.values()), None)
    part = part_in_words("test", about.described.get("record", {}).get("folds", 0))
    lines = [f"on {counted(rows, row_of(part))}, with 95% intervals:"] if rows else []
    for name, values in scores.items():
        of = from_json(Score, values, f"the {name} of {about.folder}")
        title = metric_title(name) if name in table("metrics") else name
        lines.append(f"  {title:<24}{number(of.value)}  {ends(of)}".rstrip())
    return lines


def file_lines(about: About) -> list[str]:
    """Return the files with sizes, hashes and problems."""
    width = max((len(short(file.name, 60)) for file in about.files), default=0)
    lines = [
        f"{short(file.name, 60):<{width}}  {size(file.size):>9}  {file.sha256}  "
        f"{_STATES.get(file.state, '')}".rstrip()
        for file in about.files
    ]
    lines += [f"{name}  MISSING" for name in about.checked.missing]
    total = f"{counted(len(about.files), 'file')}, {size(sum(f.size for f in about.files))}"
    if about.kind != "finetext":
        return [*lines, total]
    if not about.checked.is_known:
        return [*lines, f"{total}; written by an earlier finetext, which recorded no hashes"]
    return [*lines, f"{total}: {'unchanged' if about.checked.is_sound else about.checked.words}"]


def comparison_lines(compared: Compared) -> Iterator[str]:
    """Yield agreement, a table of the original and the export, and a sentence on speed."""
    yield f"compared on {compared.rows:,} {compared.where}"
    if compared.remark:
        yield compared.remark
    low, high = score_interval(compared.agreement, compared.rows)
    yield (
        f"same labels on {compared.agreement:.2%} [{low:.2%}, {high:.2%}]; probabilities differ by "
        f"at most {compared.largest_difference:.2g}, and by {compared.mean_difference:.2g} on "
        "average"
    )
    sizes, speeds, times = compared.bytes, compared.rows_per_second, compared.milliseconds
    scores = ((metric_title(name), of) for name, of in compared.scores.items())
    in_batches = [("rows/s", speed(speeds.original), speed(speeds.exported))]
    in_batches = in_batches if compared.is_timed_in_batches else []
    rows = [
        ("", "original", "export"),
        *((title, str(of.original), str(of.exported)) for title, of in scores),
        ("size", size(int(sizes.original)), size(int(sizes.exported))),
        *in_batches,
        ("one text", f"{times.original:.2g} ms", f"{times.exported:.2g} ms"),
    ]
    yield from ("", *(f"  {line}".rstrip() for line in aligned(rows, left=3)), "")
    for metric, of in compared.differences.items():
        difference = f"{metric_title(metric)}: {score(of.difference, '+.3f')}"
        yield f"difference of {difference}, p {p_value(of.p_value)} ({of.test})"
    yield speed_in_words(compared)
