"""One text as the tokenizer of an encoder divides it, to look at."""

from __future__ import annotations

import re
import textwrap
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, overload

from finetext.core.budget import within_memory
from finetext.core.display import html_text
from finetext.core.text_columns import texts_of
from finetext.core.wording import short
from finetext.encoders.catalogue import DEFAULT_ENCODER
from finetext.encoders.load import load_tokenizer, longest_input
from finetext.training.tokens import encodable, encoded_text

MOST_SHOWN: Final = 200
"""Characters, words and tokens that are shown of a long text; the attributes have all of them."""
_WIDTH: Final = 88
_LONGEST: Final = 24
_LONGEST_TEXT: Final = 1_000
_SPACE: Final = "·"
_HTML: Final = "display:inline-block;border:1px solid;border-radius:3px;margin:1px;padding:0 3px;"
_STYLES: Final = {
    "special": "opacity:.55",
    "unknown": "border:2px dashed #d33",
    "cut": "opacity:.4",
}
Spans = Sequence[tuple[int, int]]
_Several = list[str] | tuple[str, ...]


@dataclass(frozen=True, repr=False)
class TokenizedText:
    """One text of n tokens as a tokenizer divides it, without truncation.

    Attributes:
        text: the text.
        encoder: alias, Hub name or folder of the encoder.
        characters: the characters of the text.
        words: its words; what they are says `words_by`.
        words_by: "tokenizer" if the words are those that the tokenizer divides into subword tokens
            (for an AWD-LSTM with its markers), "spaces" if the tokenizer has no words, and the text
            is divided at spaces.
        tokens: n subword tokens, special ones included.
        ids: n positions in the vocabulary.
        attention_mask: n times 1; a batch has 0 where a shorter text is padded.
        special: for each token whether it is a special one, such as [CLS].
        unknown: for each token whether it stands for something that is not in the vocabulary.
        word_of: for each token the position of its word in `words`; None if it has none.
        decoded: the text that the ids stand for.
        special_tokens: every special token of the tokenizer and its id.
        vocabulary: number of tokens in the vocabulary.
        context: tokens that the encoder reads at most; a longer text is truncated.
        input_names: the inputs that the tokenizer makes.
        id: id of the row that the text is from, if any.
        label: label of that row, if any.
    """

    text: str
    encoder: str
    characters: tuple[str, ...]
    words: tuple[str, ...]
    words_by: Literal["tokenizer", "spaces"]
    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    attention_mask: tuple[int, ...]
    special: tuple[bool, ...]
    unknown: tuple[bool, ...]
    word_of: tuple[int | None, ...]
    decoded: str
    special_tokens: Mapping[str, int]
    vocabulary: int
    context: int
    input_names: tuple[str, ...]
    id: str | None = None
    label: str | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def is_truncated(self) -> bool:
        """Whether the text has more tokens than the encoder reads."""
        return len(self) > self.context

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """The words with unknown tokens, each once; empty if words and tokens cannot be aligned."""
        places = (word for word, un in zip(self.word_of, self.unknown, strict=True) if un)
        return tuple(dict.fromkeys(self.words[place] for place in places if place is not None))

    def to_json(self) -> dict[str, Any]:
        """Return the attributes and whether the text is truncated as JSON values."""
        return asdict(self) | {"truncated": self.is_truncated}

    def lines(self) -> list[str]:
        """Return what there is to see as lines of text: facts, then a table of the tokens."""
        row = f"row {self.id}" + (f", {self.label}" if self.label else "")
        lines = [row] if self.id is not None else []
        lines += [_start(self.text), ""]
        for name, value in self._facts():
            wrapper = textwrap.TextWrapper(_WIDTH, f"{name:<16}", " " * 16)
            wrapper.break_long_words = wrapper.break_on_hyphens = False
            lines += wrapper.wrap(value) or [name]
        return [*lines, "", *self._table(), *self._rest()]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        chips = "".join(
            f'<span style="{_HTML}text-align:center;{_STYLES.get(note.split(",")[0], "")}" '
            f'title="{html_text(f"{number}: {word or note}")}">{html_text(token)}<br>'
            f"<small>{id_}</small></span>"
            for number, token, id_, _, word, note in self._rows()
        )
        rest = "".join(self._rest())
        facts = "".join(
            f'<tr><th style="text-align:left;vertical-align:top">{html_text(name)}</th>'
            f'<td style="text-align:left;white-space:normal">{html_text(value)}</td></tr>'
            for name, value in self._facts()
        )
        return f"<div><p>{chips} {rest}</p><table>{facts}</table></div>"

    def _facts(self) -> list[tuple[str, str]]:
        """Names and values of all but the table."""
        here: dict[str, list[str]] = {}
        for number, (token, special) in enumerate(zip(self.tokens, self.special, strict=True), 1):
            if special:
                here.setdefault(token, []).append(str(number))
        places = "; ".join(f"{token} at {', '.join(at[:9])}" for token, at in here.items())
        every = ", ".join(f"{token} {id_}" for token, id_ in self.special_tokens.items())
        by = "as the tokenizer divides it" if self.words_by == "tokenizer" else "divided at spaces"
        words = f"{_shown(self.words, ' | ')} ({by})" if self.words else ""
        beyond = len(self) - self.context
        fits = f"{beyond:,} too many: the end of the text is cut" if beyond > 0 else "the text fits"
        unknown = ", ".join(map(_printable, self.unknown_words[:20]))
        count = sum(self.unknown)
        return [
            (f"{len(self.characters):,} characters", _shown(self.characters, " ")),
            (f"{len(self.words):,} words", words),
            (f"{len(self):,} tokens", _shown(self.tokens, " ")),
            ("decoded", _start(self.decoded)),
            ("special tokens", f"{places or 'none'} (all: {every or 'none'})"),
            ("unknown tokens", f"{count:,}: {unknown}" if count and unknown else f"{count:,}"),
            ("vocabulary", f"{self.vocabulary:,} tokens of {self.encoder}"),
            ("context", f"{self.context:,} tokens, {fits}"),
            ("inputs", ", ".join(self.input_names)),
        ]

    def _rows(self) -> list[tuple[str, ...]]:
        """The cells of the first tokens: number, token, id, mask, word and a note."""
        rows = []
        for place in range(min(len(self), MOST_SHOWN)):
            word = self.word_of[place]
            is_cut = place >= self.context and not self.special[place]
            states = ("special", self.special), ("unknown", self.unknown)
            notes = [name for name, holds in states if holds[place]] + ["cut"] * is_cut
            token, named = _printable(self.tokens[place]), "" if word is None else self.words[word]
            cells = (place + 1, token, self.ids[place], self.attention_mask[place])
            named = short(_printable(named), _LONGEST)
            rows.append((*map(str, cells), named, ", ".join(notes)))
        return rows

    def _table(self) -> list[str]:
        rows = [("", "token", "id", "mask", "word", ""), *self._rows()]
        rows = [(number, short(token, _LONGEST), *others) for number, token, *others in rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        right = (0, 2, 3)
        return [
            "  ".join(
                cell.rjust(width) if column in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]

    def _rest(self) -> list[str]:
        more = len(self) - MOST_SHOWN
        return [f"and {more:,} more token{'' if more == 1 else 's'}"] if more > 0 else []


@overload
def tokens(text: str, encoder: str = DEFAULT_ENCODER) -> TokenizedText: ...
@overload
def tokens(
    text: list[str] | tuple[str, ...], encoder: str = DEFAULT_ENCODER
) -> list[TokenizedText]: ...
@within_memory
def tokens(
    text: str | list[str] | tuple[str, ...], encoder: str = DEFAULT_ENCODER
) -> TokenizedText | list[TokenizedText]:
    """Return a text as the tokenizer of an encoder divides it; it displays itself.

    Args:
        text: a text, or a list of texts.
        encoder: alias (`finetext models`), Hub name or folder; "minilm" by default.

    Returns:
        characters, words, subword tokens, ids and special tokens of the text, without truncation;
        a list of them for a list of texts.

    Raises:
        DataError: there is something else than strings.
        ModelError: the tokenizer cannot be loaded.
    """
    texts = [text] if isinstance(text, str) else texts_of(text)
    tokenizer, context = load_tokenizer(encoder), longest_input(encoder, None)
    found = [tokenized(one, encoder, tokenizer, context) for one in texts]
    return found[0] if isinstance(text, str) else found


def tokenized(
    text: str, encoder: str, tokenizer: Any, context: int, id: str | None = None,
    label: str | None = None,
) -> TokenizedText:  # fmt: skip
    """Return what a transformers tokenizer makes of a text."""
    encoded = encoded_text(
        tokenizer, text, truncation=False, return_special_tokens_mask=True, verbose=False,
        return_offsets_mapping=tokenizer.is_fast,
    )  # fmt: skip
    ids: list[int] = encoded["input_ids"]
    other = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    # In GPT-2 the unknown token is the end of a text, and nothing is unknown.
    unknown = None if tokenizer.unk_token_id in other else tokenizer.unk_token_id
    special = set(tokenizer.all_special_ids) - {unknown}
    mask = encoded["special_tokens_mask"]
    names = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
    words, words_by, word_of = _words(text, tokenizer, encoded)
    return TokenizedText(
        text=text,
        encoder=encoder,
        characters=tuple(text),
        words=tuple(words),
        words_by=words_by,
        tokens=tuple(tokenizer.convert_ids_to_tokens(ids)),
        ids=tuple(ids),
        attention_mask=tuple(encoded["attention_mask"]),
        special=tuple(bool(added) or id_ in special for id_, added in zip(ids, mask, strict=True)),
        unknown=tuple(id_ == unknown for id_ in ids),
        word_of=tuple(word_of),
        decoded=tokenizer.decode(ids),
        special_tokens={token: id_ for id_, token in sorted(names)},
        vocabulary=len(tokenizer),
        context=context,
        input_names=tuple(tokenizer.model_input_names),
        id=id,
        label=label,
    )


def _words(
    text: str, tokenizer: Any, encoded: Any
) -> tuple[list[str], Literal["tokenizer", "spaces"], list[int | None]]:
    """The words of a text, who divided it, and for each token the position of its word."""
    from finetext.encoders.word_rules import marked
    from finetext.encoders.word_tokenizer import WordTokenizer

    if isinstance(tokenizer, WordTokenizer):
        return marked(encodable(text)).split(), "tokenizer", encoded.word_ids()
    spaced = [(found.start(), found.end()) for found in re.finditer(r"\S+", text)]
    words = [text[start:end] for start, end in spaced]
    if encoded.encodings is None:  # a tokenizer in Python does not say where its tokens are
        return words, "spaces", [None] * len(encoded["input_ids"])
    offsets: Spans = encoded["offset_mapping"]
    if tokenizer.backend_tokenizer.pre_tokenizer is None:
        starts = [start for start, _ in spaced]
        at = [bisect_right(starts, end - 1) - 1 if start < end else -1 for start, end in offsets]
        return words, "spaces", [None if place < 0 else place for place in at]
    # Each text of a pair counts its words from 0.
    both = zip(encoded.sequence_ids(0), encoded.word_ids(), strict=True)
    numbers = [None if word is None else (sequence or 0, word) for sequence, word in both]
    words, word_of = _words_of(text, numbers, offsets)
    return words, "tokenizer", word_of


def _words_of(
    text: str, numbers: Sequence[tuple[int, int] | None], offsets: Spans
) -> tuple[list[str], list[int | None]]:
    """Words as they stand in the text, without those that are only spaces."""
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    for number, (start, end) in zip(numbers, offsets, strict=True):
        if number is not None:
            first, last = spans.get(number, (start, end))
            spans[number] = min(first, start), max(last, end)
    found = {number: text[start:end].strip() for number, (start, end) in spans.items()}
    found = {number: word for number, word in found.items() if word}
    places = {number: place for place, number in enumerate(found)}
    return list(found.values()), [None if n is None else places.get(n) for n in numbers]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _start(text: str) -> str:
    return _printable(text[:_LONGEST_TEXT]) + ("…" if len(text) > _LONGEST_TEXT else "")


def _shown(parts: Sequence[str], between: str) -> str:
    """The first of some parts; a part that is a space alone is made visible."""
    shown = (_SPACE if part == " " else _printable(part) for part in parts[:MOST_SHOWN])
    more = f"{between}… and {len(parts) - MOST_SHOWN:,} more" if len(parts) > MOST_SHOWN else ""
    return between.join(shown) + more
