"""The word tokenizer of an AWD-LSTM: the rules of `word_rules`, and a vocabulary of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from finetext.encoders.word_rules import (
    BEGINNING,
    MARKERS,
    PADDING,
    SPECIAL,
    UNKNOWN,
    marked,
    readable,
)

LONGEST_TEXT: Final = 1440
"""Words to which texts are truncated by default, twenty times those that gradients flow over."""


class WordTokenizer(PreTrainedTokenizerFast):
    """Splits texts by the rules of `marked`, then looks words up; `tokenizer.json` has no rules."""

    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012 (required by transformers)
    has_word_rules: ClassVar[bool] = True

    @classmethod
    def of_words(cls, words: Sequence[str], max_length: int = LONGEST_TEXT) -> WordTokenizer:
        """Return a tokenizer for a vocabulary."""
        ids = {word: number for number, word in enumerate(words)}
        backend = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        backend.post_processor = processors.TemplateProcessing(
            single=f"{BEGINNING} $A",
            pair=f"{BEGINNING} $A {BEGINNING} $B",
            special_tokens=[(BEGINNING, ids[BEGINNING])],
        )
        return cls(
            tokenizer_object=backend, unk_token=UNKNOWN, pad_token=PADDING, bos_token=BEGINNING,
            model_max_length=max_length, padding_side="right", split_special_tokens=True,
        )  # fmt: skip

    @property
    def is_fast(self) -> bool:
        """False: the backend alone does not apply the rules."""
        return False

    def _encode_plus(  # type: ignore[override]
        self, text: Any, text_pair: Any = None, **options: Any
    ) -> Any:
        if options.get("is_split_into_words"):
            raise ValueError("the word tokenizer splits texts itself; pass whole texts")
        pair = None if text_pair is None else _marked(text_pair)
        return super()._encode_plus(_marked(text), pair, **options)

    def _decode(self, token_ids: Any, skip_special_tokens: bool = False, *_: Any, **__: Any) -> str:
        ids = [token_ids] if isinstance(token_ids, int) else list(token_ids)
        tokens = self.convert_ids_to_tokens(ids)
        skipped = SPECIAL if skip_special_tokens else ()
        return readable([token for token in tokens if token not in skipped])

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Return the text as people write it."""
        return readable(tokens)


def train_word_tokenizer(
    texts: Iterable[str], size: int = 60_000, minimum_frequency: int = 3
) -> WordTokenizer:
    """Return a tokenizer of the most frequent words."""
    counts = Counter(word for text in texts for word in marked(text).split(" ") if word)
    for marker in MARKERS:
        counts.pop(marker, None)
    frequent = [(-count, word) for word, count in counts.items() if count >= minimum_frequency]
    words = [word for _, word in sorted(frequent)[: max(0, size - len(MARKERS))]]
    return WordTokenizer.of_words([*MARKERS, *words])


def _marked(texts: Any) -> Any:
    """`marked` for a text, or a list of texts or of pairs of them."""
    return marked(texts) if isinstance(texts, str) else type(texts)(map(_marked, texts))
