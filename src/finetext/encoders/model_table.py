"""The table of encoders that have a short name: shown, filtered, as a data frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, overload

from finetext.core.display import html_text
from finetext.core.errors import UnknownNameError
from finetext.encoders.catalogue import (
    ENTRIES,
    PREFIX,
    PRESETS,
    TASKS,
    EncoderEntry,
    Preset,
    language_codes,
)
from finetext.encoders.catalogue import on_this_machine as is_here

if TYPE_CHECKING:
    from pandas import DataFrame

MULTILINGUAL: Final = "multilingual"
_OTHER_NAMES: Final = {"zero-shot-classification": "zero-shot"}
_WIDTH: Final = 80
_EACH: Final = ("text-classification", "feature-extraction")


@dataclass(frozen=True, repr=False)
class ModelTable(Sequence[EncoderEntry]):
    """Encoders that have a short name, one per row; see `finetext.models`.

    It shows itself in a terminal, a notebook and with `print`; it can be indexed, sliced, iterated
    over, and filtered again.

    Attributes:
        entries: the rows, each with `alias`, `source` (the published name), `description`,
            `parameters` in millions, `context` in tokens, `languages`, `language_codes`, `licence`,
            `tasks` and `finetunable`.
        presets: architectures for random weights (`random:NAME`) that fit the filters as well.
    """

    entries: tuple[EncoderEntry, ...]
    presets: tuple[Preset, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[EncoderEntry]:
        return iter(self.entries)

    @overload
    def __getitem__(self, place: int) -> EncoderEntry: ...

    @overload
    def __getitem__(self, place: slice) -> ModelTable: ...

    def __getitem__(self, place: int | slice) -> EncoderEntry | ModelTable:
        found = self.entries[place]
        return found if isinstance(found, EncoderEntry) else ModelTable(found)

    def filter(
        self,
        task: str | None = None,
        *,
        finetunable: bool | None = None,
        language: str | None = None,
        on_this_machine: bool | None = None,
    ) -> ModelTable:
        """Return the rows that fit all arguments that are given; see `finetext.models`."""
        rows, presets = self.entries, self.presets
        if task is not None:
            asked = _task(task)
            rows = tuple(entry for entry in rows if asked in entry.tasks)
            presets = presets if asked == "text-classification" else ()
        if language is not None:
            rows = tuple(entry for entry in rows if _speaks(entry, language))
        if finetunable is not None:
            rows = tuple(entry for entry in rows if entry.finetunable == finetunable)
            presets = presets if finetunable else ()
        if on_this_machine is not None:
            rows = tuple(entry for entry in rows if is_here(entry) == on_this_machine)
            presets = presets if on_this_machine else ()
        return ModelTable(rows, presets)

    def to_pandas(self) -> DataFrame:
        """Return the rows as a data frame, with the parameters in millions."""
        import pandas as pd

        return pd.DataFrame(self._rows(), columns=_COLUMNS)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the rows as JSON values."""
        return [asdict(entry) | {"on_this_machine": is_here(entry)} for entry in self.entries]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        rows = [
            {of: _in_words(value) for of, value in row.items()}
            | {"parameters": f"{row['parameters']:,} M", "context": f"{row['context']:,}"}
            for row in self._rows()
        ]
        lines = ["".join(f"<th>{name.replace('_', ' ')}</th>" for name in _COLUMNS)]
        lines += ["".join(f"<td>{html_text(row[of])}</td>" for of in _COLUMNS) for row in rows]
        names = ", ".join(f"{PREFIX}{preset.name}" for preset in self.presets)
        caption = f"{len(self)} encoders" + (f"; with random weights: {names}" if names else "")
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table><caption>{html_text(caption)}</caption>{body}</table>"

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "name": entry.alias,
                "published_name": entry.source,
                "description": entry.description,
                "tasks": entry.tasks,
                "finetunable": entry.finetunable,
                "parameters": entry.parameters,
                "context": entry.context,
                "languages": entry.languages,
                "license": entry.licence,
                "on_this_machine": is_here(entry),
            }
            for entry in self.entries
        ]

    def _lines(self) -> Iterator[str]:
        """Aligned facts, then description, published name and license, in 80 characters."""
        if not self.entries and not self.presets:
            yield "no encoder in the list fits; others on the Hugging Face Hub work as owner/name"
            return
        head = ("name", "parameters", "context", "languages", "finetunable", "here")
        cells = [
            (row["name"], f"{row['parameters']:,} M", f"{row['context']:,}", row["languages"],
             _in_words(row["finetunable"]), _in_words(row["on_this_machine"]))
            for row in self._rows()
        ]  # fmt: skip
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        for number, row in enumerate([head, *cells] if cells else []):
            sides = zip(row, widths, "<>><<<", strict=True)
            yield "  ".join(f"{cell:{side}{width}}" for cell, width, side in sides).rstrip()
            if number:
                entry = self.entries[number - 1]
                more = [task for task in entry.tasks if task not in _EACH]
                also = f"{_also(entry)} for {', '.join(more)}" if more else ""
                yield f"    {entry.description}"
                published = f"    {entry.source} ({entry.licence})"
                if also and len(published) + len(also) + 2 <= _WIDTH:
                    published, also = f"{published}; {also}", ""
                yield published
                if also:
                    yield f"    {also}"
        if self.presets:
            yield "with random weights, for finetune and for pretrain --preset NAME"
        for preset in self.presets:
            kind = "AWD-LSTM" if preset.architecture == "awd-lstm" else "BERT"
            yield (
                f"    {PREFIX}{preset.name:<14}  {kind}, {preset.layers} layers of width "
                f"{preset.width}, up to {preset.pieces:,} tokens"
            )


_COLUMNS: Final = (
    "name", "published_name", "description", "tasks", "finetunable", "parameters", "context",
    "languages", "license", "on_this_machine",
)  # fmt: skip


def models(
    task: str | None = None,
    *,
    finetunable: bool | None = None,
    language: str | None = None,
    on_this_machine: bool | None = None,
) -> ModelTable:
    """List the encoders that have a short name, and what is known of each without loading it.

    Any other encoder on the Hugging Face Hub works as well, by its name "owner/name".

    Args:
        task: "text-classification" (fine-tune it), "feature-extraction" (probe and features),
            "fill-mask" or "text-generation" (its language model is published with it), or
            "zero-shot" (compares texts with the names of labels, which no label is needed for).
        finetunable: only those that `Finetune` can train, or only the others.
        language: a language by its English name or its code, such as "German" or "de", or
            "multilingual".
        on_this_machine: only those that work without a network, or only the others.

    Returns:
        a table that shows itself, can be iterated over and filtered again, and has `to_pandas()`.

    Raises:
        UnknownNameError: there is no such task, or no encoder of the list knows the language.
    """
    return ModelTable(ENTRIES, PRESETS).filter(
        task, finetunable=finetunable, language=language, on_this_machine=on_this_machine
    )


def _task(name: str) -> str:
    """The task of a name, in any case and with any hyphens."""
    found = "-".join(str(name).lower().replace("_", " ").replace("-", " ").split())
    found = _OTHER_NAMES.get(found, found)
    if found not in TASKS:
        raise UnknownNameError("task", str(name), [], f"there are: {', '.join(TASKS)}")
    return found


def _speaks(entry: EncoderEntry, language: str) -> bool:
    """Whether an encoder was trained on a language."""
    asked = str(language).strip().lower()
    if asked == MULTILINGUAL:
        return len(entry.language_codes) > 1
    codes = language_codes()
    code = codes.get(asked, asked.replace("_", "-").partition("-")[0])
    if code not in codes.values():
        known = [MULTILINGUAL, *(name.title() for name in codes)]
        raise UnknownNameError("language", str(language), known)
    return code in entry.language_codes


def _also(entry: EncoderEntry) -> str:
    return "also" if set(_EACH) <= set(entry.tasks) else "only"


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
