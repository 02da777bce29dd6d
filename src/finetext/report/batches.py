"""Rows of a data set as people read them, and as a classifier or a language model gets them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable

from finetext.core.arrays import Integers
from finetext.core.display import html_text
from finetext.core.errors import DataError, RecipeError
from finetext.core.styled import Text
from finetext.core.types import Dataset
from finetext.core.wording import counted, short
from finetext.diagnosis.explore import MOST_ROWS_SAMPLED, ExampleBatch, example_batch
from finetext.report.exploration import show_batch as print_batch
from finetext.report.rendering import printed

OBJECTIVES: Final = ("masked", "causal")
MASKED_SHARE: Final = 0.15
_LINES_A_TEXT: Final = 3
_LINES_A_ROW: Final = 4
_MOST_IN_HTML: Final = 200
_DIM: Final = "opacity:.45"


@dataclass(frozen=True, repr=False)
class ShownRows:
    """Random rows with their labels, out of `total`; it displays itself.

    Attributes:
        labels: a label of each row, or a list of labels; None for unlabeled text.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    labels: tuple[Any, ...] | None
    total: int

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as JSON values."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """Print each row with its label and the beginning of its text."""
        named = ["row", *(["label"] if self.labels is not None else []), "text"]
        labels = [] if self.labels is None else [[short(_joined(of), 24) for of in self.labels]]
        before = [[short(of, 16) for of in self.ids], *labels]
        taken = sum(
            max(map(cell_len, [name, *of])) + 2 for name, of in zip(named, before, strict=False)
        )
        room = max(console.width - taken, 24)
        table = RichTable(*named, box=None, padding=(0, 2, 0, 0), pad_edge=False)
        for *cells, text in zip(*before, self.texts, strict=True):
            table.add_row(*map(Text, (*cells, short(text, _LINES_A_TEXT * room - room // 4))))
        console.print(Text(self._caption(), style="bold"))
        console.print(table)

    def _caption(self) -> str:
        return f"{len(self.ids):,} of {counted(self.total, 'row')}, drawn at random"

    def __repr__(self) -> str:
        return printed(self.show)

    def _repr_html_(self) -> str:
        labels = self.labels or ("",) * len(self.ids)
        columns = zip(self.ids, map(_joined, labels), self.texts, strict=True)
        rows = [map(html_text, row) for row in columns]
        return _table(self._caption(), ("row", "label", "text"), rows)


@dataclass(frozen=True, repr=False)
class ShownBatch:
    """A training batch of a classifier, which displays itself; `batch` holds its content."""

    batch: ExampleBatch
    encoder: str

    def to_json(self) -> dict[str, Any]:
        """Return row ids, labels, targets, token ids, tokens and attention mask."""
        return asdict(self.batch)

    def show(self, console: Console) -> None:
        """Print for each row its label, its length and its tokens with the padding."""
        print_batch(self.batch, console)

    def __repr__(self) -> str:
        return printed(self.show)

    def _repr_html_(self) -> str:
        of, size = self.batch, len(self.batch.input_ids[0])
        labels = of.labels or ("",) * len(of.row_ids)
        columns, rows = (of.row_ids, labels, of.pieces, of.attention_mask), []
        for row, label, tokens, mask in zip(*columns, strict=True):
            dimmed = (
                html_text(token) if there else f'<span style="{_DIM}">{html_text(token)}</span>'
                for token, there in list(zip(tokens, mask, strict=True))[:_MOST_IN_HTML]
            )
            more = " …" if len(tokens) > _MOST_IN_HTML else ""
            rows.append((html_text(row), html_text(label), " ".join(dimmed) + more))
        caption = (
            f"{len(rows)} rows x {size} tokens of {self.encoder}, {of.padding_share:.0%} padding"
        )
        return _table(caption, ("row", "label", "tokens"), rows)


@dataclass(frozen=True, repr=False)
class ShownTargets:
    """A training batch of a language model, which displays itself.

    Attributes:
        input_ids: the token ids of each row that the model sees; `tokens` are the same in letters.
        targets: the token to predict at each position, None where none is.
    """

    encoder: str
    objective: str
    input_ids: tuple[list[int], ...]
    tokens: tuple[list[str], ...]
    targets: tuple[list[str | None], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as JSON values."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """Print the tokens of each row, and below each the one to predict."""
        console.print(Text(self._caption(), style="bold"))
        pairs = zip(self.tokens, self.targets, strict=True)
        for number, (tokens, targets) in enumerate(pairs, start=1):
            asked = sum(target is not None for target in targets)
            console.print(f"row {number}: {counted(len(tokens), 'token')}, {asked:,} to predict")
            for above, below in _aligned_lines(tokens, targets, console.width - 2):
                console.print(Text(f"  {above}"), soft_wrap=True)
                console.print(Text(f"  {below}".rstrip() or " ", style="dim"), soft_wrap=True)

    def _caption(self) -> str:
        what = "masked tokens" if self.objective == "masked" else "the next token"
        return f"a batch of {counted(len(self.tokens), 'row')} for {self.encoder}: below, {what}"

    def __repr__(self) -> str:
        return printed(self.show)

    def _repr_html_(self) -> str:
        rows, batch = [], zip(self.tokens, self.targets, strict=True)
        for number, (tokens, targets) in enumerate(batch, start=1):
            pairs = list(zip(tokens, targets, strict=True))[:_MOST_IN_HTML]
            shown = " ".join(
                html_text(token)
                if target is None
                else f"<ruby>{html_text(token)}<rt>{html_text(target)}</rt></ruby>"
                for token, target in pairs
            )
            rows.append((str(number), shown + (" …" if len(tokens) > len(pairs) else "")))
        caption = self._caption().replace("below,", "above,")
        return _table(caption, ("row", "tokens"), rows)


def show_batch(
    dataset: Dataset,
    n: int = 8,
    encoder: str | None = None,
    *,
    objective: str | None = None,
    max_length: int | None = None,
    seed: int = 0,
) -> ShownRows | ShownBatch | ShownTargets:
    """Return random rows of a data set for display; see `Dataset.show_batch`."""
    if not len(dataset) or n < 1:
        raise DataError(f"cannot make a batch of {n} rows out of {len(dataset):,}")
    if objective is not None and objective not in OBJECTIVES:
        raise RecipeError(f"objective = {objective!r}: it must be {' or '.join(OBJECTIVES)}")
    if encoder is None:
        if objective is not None or max_length is not None:
            raise RecipeError("objective and max_length need an encoder, whose tokens are shown")
        rows = np.random.default_rng(seed).permutation(len(dataset))[:n]
        chosen = dataset.select(rows)
        labels = None if dataset.scheme is None else tuple(chosen.labels)
        return ShownRows(tuple(chosen.ids), tuple(chosen.texts), labels, len(dataset))
    from finetext.encoders.load import load_tokenizer, longest_input

    tokenizer, context = load_tokenizer(encoder), longest_input(encoder, max_length)
    if objective is None:
        return ShownBatch(example_batch(dataset, tokenizer, context, n, seed), encoder)
    order = np.random.default_rng(seed).permutation(len(dataset))[:MOST_ROWS_SAMPLED]
    wanted = _Wanted(encoder, objective, context, max_length, n, seed)
    ids, answers = _asked(dataset.select(order).texts, tokenizer, wanted)
    names = tokenizer.convert_ids_to_tokens
    targets = tuple(
        [None if answer < 0 else str(names(answer)) for answer in row] for row in answers
    )
    return ShownTargets(encoder, objective, tuple(ids), tuple(map(names, ids)), targets)


class _Wanted(NamedTuple):
    """What a batch of a language model is made for."""

    encoder: str
    objective: str
    context: int
    max_length: int | None
    n: int
    seed: int


Asked = tuple[list[list[int]], list[list[int]]]
"""Token ids of each row, and the right token of each position, -1 where none is asked for."""


def _asked(texts: Sequence[str], tokenizer: Any, wanted: _Wanted) -> Asked:
    """Return a batch as `finetext.pretraining` trains on it: packed chunks, or streams."""
    from transformers import AutoConfig

    from finetext.encoders.auto import loading
    from finetext.encoders.language_models import STREAMED

    with loading(wanted.encoder) as path:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    if wanted.objective == "causal" and config.model_type == STREAMED:
        return _streamed(texts, tokenizer, wanted, wanted.max_length or config.bptt)
    return _packed(texts, tokenizer, wanted)


def _packed(texts: Sequence[str], tokenizer: Any, wanted: _Wanted) -> Asked:
    import torch

    from finetext.pretraining.objectives import CausalTask, MaskedTask
    from finetext.pretraining.packing import pack

    packed = pack(tokenizer, texts, wanted.context)
    if not len(packed):
        raise DataError(f"the tokenizer of {wanted.encoder} finds no word in the texts")
    task: CausalTask | MaskedTask = CausalTask(packed, packed)
    if wanted.objective == "masked":
        task = MaskedTask.of(tokenizer, packed, packed, MASKED_SHARE)
    rows = task.batches(wanted.n, wanted.seed, epoch=0)[0]
    generator = torch.Generator().manual_seed(wanted.seed)
    seen, asked, answers = task.questions(packed, packed.layout(rows)[0], generator)
    ends = np.cumsum(packed.lengths[rows])[:-1]
    return _lists(seen, ends), _lists(np.where(asked, answers, -1), ends)


def _streamed(texts: Sequence[str], tokenizer: Any, wanted: _Wanted, window: int) -> Asked:
    from finetext.encoders.load import quiet
    from finetext.pretraining.objectives import StreamTask
    from finetext.training.tokens import encodable

    with quiet():
        encoded = tokenizer(list(map(encodable, texts)))
        documents = [np.asarray(ids, dtype=np.int32) for ids in encoded["input_ids"]]
    task = StreamTask(
        documents, documents, streams=wanted.n, epochs=1, bptt=window, seed=wanted.seed
    )
    batch = task.batch(task.batches(wanted.n, wanted.seed, epoch=0)[0])
    return batch["input_ids"].tolist(), batch["answers"].tolist()


def _lists(values: Integers, ends: Integers) -> list[list[int]]:
    return [part.tolist() for part in np.split(values, ends)]


def _aligned_lines(
    tokens: Sequence[str], targets: Sequence[str | None], width: int
) -> list[tuple[str, str]]:
    """Return pairs of lines, each token above its target, a few lines at most."""
    lines, above, below = list[tuple[str, str]](), "", ""
    for token, target in zip(tokens, targets, strict=True):
        size = max(cell_len(token), cell_len(target or ""))
        if above and cell_len(above) + size > width - 2:
            if len(lines) == _LINES_A_ROW - 1:
                return [*lines, (f"{above}…", below)]
            lines.append((above, below))
            above = below = ""
        above += token + " " * (size - cell_len(token) + 1)
        below += (target or "") + " " * (size - cell_len(target or "") + 1)
    return [*lines, (above, below)]


def _joined(label: Any) -> str:
    return label if isinstance(label, str) else " + ".join(label) or "none"


def _table(caption: str, header: Sequence[str], rows: Sequence[Iterable[str]]) -> str:
    """Return a table for a notebook; the cells are HTML."""
    head = "".join(f"<th>{name}</th>" for name in header)
    left = 'style="text-align:left"'
    body = "".join(f"<tr>{''.join(f'<td {left}>{of}</td>' for of in row)}</tr>" for row in rows)
    return f"<table><caption>{html_text(caption)}</caption><tr>{head}</tr>{body}</table>"
