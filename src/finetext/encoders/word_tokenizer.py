"""The word tokenizer of an AWD-LSTM: words and punctuation, with markers for what is rare.

The markers are those of ULMFiT (Howard and Ruder 2018): a vocabulary that has `movie` needs no
`Movie`, `MOVIE` or `!!!!!!`. Each stands before what it says something about:

    xxbos           a text begins
    xxmaj movie     Movie: a capital letter, then others
    xxup movie      MOVIE: two capitals or more and nothing else
    xxrep 5 !       !!!!!: a sign, other than a digit, three times or more
    xxwrep 3 very   very very very: a word three times or more
    xxunk, xxpad    a word that is not in the vocabulary; no word
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, islice
from operator import eq
from typing import Any, Final

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

_MOST_REPETITIONS: Final = 30
_MARKERS: Final = frozenset({"xxmaj", "xxup", "xxrep", "xxwrep"})
_CLOSING: Final = frozenset(".,!?;:)]}%…")
_OPENING: Final = frozenset("([{$£€#")
_JOINING: Final = frozenset("-/_")
_ENDINGS: Final = frozenset({"n't", "'s", "'re", "'ve", "'ll", "'d", "'m"})


def readable(tokens: Sequence[str]) -> str:
    """The text of tokens, from left to right: more tokens never change what came before.

    Capitals and repetitions are restored, punctuation is put to the word it belongs to. A marker
    with nothing after it says nothing.

    Args:
        tokens: words and markers; see `finetext.encoders.word_tokenizer`.
    """
    text, glued = "", True
    inside: set[str] = set()
    for item in _items(iter(tokens)):
        opens, closes = item[0] in _OPENING, item[0] in _CLOSING or item.lower() in _ENDINGS
        if item in {'"', "'"}:
            opens, closes = item not in inside, item in inside
            inside ^= {item}
        joins = item in _JOINING
        text += item if glued or closes or joins else f" {item}"
        glued = opens or joins
    return text


def _items(tokens: Iterator[str]) -> Iterator[str]:
    """The words as they are written, each with what the markers before it say."""
    while (item := _item(tokens)) is not None:
        if item:
            yield item


def _item(tokens: Iterator[str]) -> str | None:
    """The next word; None at the end."""
    token = next(tokens, None)
    if token not in _MARKERS:
        return token
    count = _number(next(tokens, None)) if token in {"xxrep", "xxwrep"} else 1
    word = _item(tokens)
    if word is None:
        return None
    if token == "xxup":
        return word.upper()
    if token == "xxmaj":
        return word[:1].upper() + word[1:]
    return (" " if token == "xxwrep" else "").join([word] * count)


def _number(token: str | None) -> int:
    """How often something is repeated; three times if that is not known."""
    is_number = token is not None and token.isascii() and token.isdigit()
    return min(int(token or 3), _MOST_REPETITIONS) if is_number else 3


UNKNOWN: Final = "xxunk"
PADDING: Final = "xxpad"
BEGINNING: Final = "xxbos"
CAPITALISED: Final = "xxmaj"
CAPITALS: Final = "xxup"
REPEATED: Final = "xxrep"
REPEATED_WORD: Final = "xxwrep"
SPECIAL: Final = (UNKNOWN, PADDING, BEGINNING)
MARKERS: Final = (*SPECIAL, CAPITALISED, CAPITALS, REPEATED, REPEATED_WORD)
LONGEST_TEXT: Final = 1440
"""Words to which texts are cut by default, twenty times those that gradients flow back over."""
_FEWEST: Final = 3
_WORDS_REMEMBERED: Final = 2**17
_ENDING: Final = r"n't|'(?:s|re|ve|ll|d|m)"
_RAW: Final = re.compile(rf"(?i:{_ENDING})\b|\w+(?:'\w+|(?<=\d)[.,]\d+)*|[^\w\s]+")
_CONTRACTION: Final = re.compile(rf"(?<=\w)(?i:{_ENDING})$")
_RUN: Final = re.compile(rf"(\D)\1{{{_FEWEST - 1},}}")
_BREAK: Final = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TORN_ENTITY: Final = re.compile(r"(?:(?<=\s)|^)(#39|quot|amp|nbsp|lt|gt);")
_TORN_SIGN: Final = re.compile(r" @([-,.])@ ")
_QUOTES: Final = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")


class WordTokenizer(PreTrainedTokenizerFast):
    """Splits texts by the rules of `marked`, then looks words up.

    The vocabulary lies in `tokenizer.json`. To its users it is not a fast tokenizer: what that
    file says alone leaves the rules out.
    """

    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012 (the form transformers asks)

    @classmethod
    def of_words(cls, words: Sequence[str], max_length: int = LONGEST_TEXT) -> WordTokenizer:
        """A tokenizer of a vocabulary.

        Args:
            words: the words by number, all different; `SPECIAL` among them.
            max_length: words to which texts are cut.
        """
        numbers = {word: number for number, word in enumerate(words)}
        backend = Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        backend.post_processor = processors.TemplateProcessing(
            single=f"{BEGINNING} $A",
            pair=f"{BEGINNING} $A {BEGINNING} $B",
            special_tokens=[(BEGINNING, numbers[BEGINNING])],
        )
        return cls(
            tokenizer_object=backend, unk_token=UNKNOWN, pad_token=PADDING, bos_token=BEGINNING,
            model_max_length=max_length, padding_side="right", split_special_tokens=True,
        )  # fmt: skip

    @property
    def is_fast(self) -> bool:
        """Whether the backend gives the tokens by itself, which it does not."""
        return False

    def _encode_plus(  # type: ignore[override]
        self, text: Any, text_pair: Any = None, **options: Any
    ) -> Any:
        """Apply the rules, then look up."""
        if options.get("is_split_into_words"):
            raise ValueError("the word tokenizer splits texts itself; give it whole ones")
        pair = None if text_pair is None else _marked(text_pair)
        return super()._encode_plus(_marked(text), pair, **options)

    def _decode(self, token_ids: Any, skip_special_tokens: bool = False, *_: Any, **__: Any) -> str:
        """The text as people write it."""
        ids = [token_ids] if isinstance(token_ids, int) else list(token_ids)
        tokens = self.convert_ids_to_tokens(ids)
        skipped = SPECIAL if skip_special_tokens else ()
        return readable([token for token in tokens if token not in skipped])

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text as people write it."""
        return readable(tokens)


def train_word_tokenizer(
    texts: Iterable[str], size: int = 60_000, minimum_frequency: int = 3
) -> WordTokenizer:
    """A tokenizer of the most frequent words.

    Args:
        texts: the texts, looked at once.
        size: most words of the vocabulary, markers included.
        minimum_frequency: how often a word must occur.

    Returns:
        a tokenizer that numbers the markers first, then the words, the most frequent ones first
        and equally frequent ones in the order of the alphabet.
    """
    counts = Counter(word for text in texts for word in marked(text).split(" ") if word)
    for marker in MARKERS:
        counts.pop(marker, None)
    frequent = [(-count, word) for word, count in counts.items() if count >= minimum_frequency]
    words = [word for _, word in sorted(frequent)[: max(0, size - len(MARKERS))]]
    return WordTokenizer.of_words([*MARKERS, *words])


def marked(text: str) -> str:
    """A text as words and markers with one space between them.

    HTML breaks are spaces, entities are the signs they stand for (also those that lost their
    ampersand), the signs that WikiText tears apart are whole again, and typographic quotation
    marks are plain ones. Punctuation is split off, and so are the English endings n't, 's, 're,
    've, 'll, 'd and 'm. A marker that is written in the text is an unknown word.
    """
    raw = _RAW.findall(_clean(text))
    if any(map(eq, raw, islice(raw, 1, None))):
        return " ".join(_without_repetition(raw))
    return " ".join(map(_marked_word, raw))


def _marked(texts: Any) -> Any:
    """`marked` for a text, or a list of texts or of pairs of them."""
    if isinstance(texts, str):
        return marked(texts)
    return type(texts)(map(_marked, texts))


def _clean(text: str) -> str:
    if "&" in text:
        text = html.unescape(text)
    if ";" in text:
        text = _TORN_ENTITY.sub(lambda found: html.unescape(f"&{found[0]}"), text)
    if "<" in text:
        text = _BREAK.sub(" ", text).replace("<unk>", f" {UNKNOWN} ")
    if " @" in text:
        text = _TORN_SIGN.sub(r"\1", text)
    return text if text.isascii() else text.translate(_QUOTES)


def _without_repetition(raw: Sequence[str]) -> Iterator[str]:
    """The words with markers; one that stands there three times or more is written once."""
    for word, group in groupby(raw):
        count = sum(1 for _ in group)
        text = _marked_word(word)
        is_one = " " not in text.removeprefix(f"{CAPITALISED} ").removeprefix(f"{CAPITALS} ")
        if count >= _FEWEST and is_one:
            yield f"{REPEATED_WORD} {count} {text}"
        else:
            yield from [text] * count


@lru_cache(_WORDS_REMEMBERED)
def _marked_word(raw: str) -> str:
    """What `_RAW` found, in small letters and with markers."""
    if raw in MARKERS:
        return UNKNOWN
    if not (raw[-1].isalnum() or raw[-1] == "_"):
        return " ".join(_signs(raw))
    ending = _CONTRACTION.search(raw)
    pieces = [raw] if ending is None else [raw[: ending.start()], ending[0]]
    return " ".join(token for piece in pieces for token in _letters(piece))


def _signs(raw: str) -> Iterator[str]:
    """Each sign of a run of punctuation by itself."""
    for sign, group in groupby(raw):
        count = sum(1 for _ in group)
        yield from [f"{REPEATED} {count} {sign}"] if count >= _FEWEST else [sign] * count


def _letters(word: str) -> Iterator[str]:
    """A word in small letters; letters that are repeated stand by themselves."""
    done = 0
    for run in _RUN.finditer(word):
        yield from _small(word[done : run.start()])
        if run[1].isupper():
            yield CAPITALS
        yield f"{REPEATED} {len(run[0])} {run[1].lower()}"
        done = run.end()
    yield from _small(word[done:])


def _small(word: str) -> Iterator[str]:
    if len(word) > 1 and word.isupper():
        yield CAPITALS
    elif word[:1].isupper():
        yield CAPITALISED
    if word:
        yield word.lower()
