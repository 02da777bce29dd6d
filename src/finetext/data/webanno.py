"""Labels of sentences in the TSV 3 format of WebAnno and INCEpTION.

A file has a block of token lines for each sentence, with one column for each feature of each
layer. A label of the whole sentence is an annotation that covers every token of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final

from finetext.core.budget import take_cells
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.annotation_answers import asked
from finetext.data.rows import Batch

_MARK: Final = "#FORMAT=WebAnno TSV"
_LAYER: Final = re.compile(r"#T_(SP|CH|RL)=(.*)")
_NUMBER: Final = re.compile(r"\[\d+\]$")
_EMPTY: Final = {"", "_", "*"}


@dataclass
class _Sentence:
    line: int
    text: str = ""
    tokens: list[list[str]] = field(default_factory=list)


def is_webanno(text: str) -> bool:
    """Whether a text is in the TSV format of WebAnno."""
    return text.startswith(_MARK)


def parse_webanno(text: str, name: str, settings: ReadSettings) -> Batch:
    """Return sentences, with a column of labels for each feature that covers whole sentences.

    Raises:
        DataError: it is an older version of the format, no feature covers whole sentences, or
            several do and the settings name none.
    """
    take_cells(text.count("\t"), 1, name)
    first, *lines = text.split("\n")
    if not first.startswith(f"{_MARK} 3"):
        raise DataError(f"{name}, line 1: {first.strip()[1:]!r}: export it as WebAnno TSV 3")
    features: list[str] = []
    sentences: list[_Sentence] = []
    for number, raw in enumerate(lines, start=2):
        line = raw.rstrip("\r")
        token = re.match(r"\d+-\d+\t", line)
        if found := _LAYER.fullmatch(line):
            layer, *own = found[2].split("|")
            features += [one or layer.rpartition(".")[2] for one in own]
        elif line.startswith("#Text="):
            part = _unescaped(line.removeprefix("#Text="))
            if sentences and not sentences[-1].tokens:
                sentences[-1].text += f"\n{part}"
            else:
                sentences.append(_Sentence(number, part))
        elif token and sentences:
            sentences[-1].tokens.append(line.split("\t")[3:])
    if not sentences:
        raise DataError(f"{name} has no sentences")
    take_cells(len(sentences), len(features), name)
    columns: dict[str, list[Any]] = {}
    partial = []
    for at, feature in enumerate(features):
        values = [_whole(sentence, at) for sentence in sentences]
        if any(own is None for own in values):
            partial.append(feature)
        elif any(values):
            columns[feature] = values
    if not columns:
        there = f"; {', '.join(partial)} are on parts of sentences" if partial else ""
        raise DataError(
            f"{name}: a WebAnno TSV file without labels of whole sentences{there}; annotate whole "
            "sentences, or export document labels as a table of text and label"
        )
    texts = [sentence.text for sentence in sentences]
    labels = {n: [{"choices": own} if own else None for own in of] for n, of in columns.items()}
    lines_of = [sentence.line for sentence in sentences]
    batch = Batch(name, {"text": texts, **labels}, "WebAnno TSV 3", lines_of, text="text")
    return replace(batch, label=asked(list(labels), settings, batch, "the WebAnno file"))


def _whole(sentence: _Sentence, at: int) -> list[str] | None:
    """The labels of a sentence in a feature; None if some are on a part of its tokens only."""
    cells = [token[at] if at < len(token) else "_" for token in sentence.tokens]
    per_token = [[one for one in cell.split("|") if one not in _EMPTY] for cell in cells]
    if len({tuple(own) for own in per_token}) > 1:
        return None
    first = per_token[0] if per_token else []
    is_span = len(per_token) == 1 or all(_NUMBER.search(one) for one in first)
    return [_unescaped(_NUMBER.sub("", one)) for one in first] if is_span else None


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\\\[\]|_\->;\t*])", r"\1", text).replace("\\t", "\t")
