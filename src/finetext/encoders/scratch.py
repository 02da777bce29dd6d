"""Encoders with random weights: the point of comparison for pretrained ones.

`random:PRESET` is an encoder of the sizes of a preset, with a WordPiece tokenizer (AWD-LSTM: a
word tokenizer) that is trained on the texts at hand. `random:NAME`, for a folder, an alias or a
Hub name, has the architecture, the sizes and the tokenizer of that encoder, but none of its
weights.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

from finetext.core.errors import DataError, RecipeError
from finetext.encoders.catalogue import PREFIX, Preset, is_random, preset_of

TokenizerKind = Literal["wordpiece", "bpe", "unigram"]


SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


BYTES: Final = 256
"""What BPE begins with."""


MOST_CHARACTERS: Final = 1_000
"""Different characters that WordPiece knows at most, the frequent ones; others are `[UNK]`."""


LEAST_FREQUENCY: Final = 2
"""Occurrences that a pair of pieces must have to become a piece."""


DECIMALS: Final = 6
"""Decimals of the log probabilities of Unigram; sums in another order differ far behind them."""


_TOO_FEW: Final = "{:,} pieces are too few for the characters of these texts; ask for {}"


STEP: Final = 1e-4
"""By so much differ the log probabilities that `tokenizers` gives to characters it had dropped."""


def train_subword_tokenizer(
    texts: Sequence[str],
    kind: TokenizerKind = "wordpiece",
    size: int = 25_000,
    lower_case: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Any:
    """Train a tokenizer; the same texts give the same one in every process.

    WordPiece (Schuster and Nakajima 2012) cuts as BERT does: at spaces and signs, then words into
    pieces, of which all but the first begin with `##`. BPE (Sennrich et al. 2016) works on the
    bytes of words, as in GPT-2 and RoBERTa, so that no character is unknown. Unigram (Kudo 2018)
    takes the likeliest way to cut a word, as in ALBERT and T5.

    Args:
        texts: n texts, only those that may be learnt from.
        kind: "wordpiece" (the default), "bpe" or "unigram".
        size: most pieces, the five special ones included; 25,000 by default. Few texts give
            fewer.
        lower_case: whether upper and lower case are the same, the default; WordPiece then
            leaves accents out too, as BERT does.
        say: told if there are fewer pieces than were asked for.

    Returns:
        a fast transformers tokenizer with `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` and `[MASK]`, which
        puts texts between `[CLS]` and `[SEP]`; what it saves, `AutoTokenizer` loads.

    Raises:
        DataError: there is no text.
        RecipeError: the size is too small for the characters of the texts.
    """
    if not any(text and not text.isspace() for text in texts):
        raise DataError("there is no text to train a tokenizer on")
    makers = {"wordpiece": _wordpiece, "bpe": _bpe, "unigram": _unigram}
    tokenizer = makers[kind](texts, size, lower_case)
    found = len(tokenizer)
    if found > size:
        raise RecipeError(_TOO_FEW.format(size, f"{found:,} or more"))
    if found < size:
        say(f"the texts give {found:,} pieces, not the {size:,} that were asked for")
    return tokenizer


def _wordpiece(texts: Sequence[str], size: int, lower_case: bool) -> Any:
    """A tokenizer of the kind of BERT's."""
    from tokenizers.models import WordPiece
    from tokenizers.trainers import WordPieceTrainer
    from transformers import BertTokenizer

    blank = BertTokenizer(do_lower_case=lower_case).backend_tokenizer
    first, later = _alphabet(texts, blank)
    # The trainer numbers what continues a word in an order of chance, and breaks ties by these
    # numbers, unless they are given beforehand.
    trainer = WordPieceTrainer(
        vocab_size=size,
        min_frequency=LEAST_FREQUENCY,
        show_progress=False,
        special_tokens=[*SPECIAL, *(f"##{character}" for character in later)],
        initial_alphabet=first,
        limit_alphabet=len(first),
    )
    blank.model = WordPiece(unk_token="[UNK]")
    blank.train_from_iterator(_encodable(texts), trainer, len(texts))
    return BertTokenizer(vocab=blank.get_vocab(), do_lower_case=lower_case)


def _alphabet(texts: Sequence[str], tokenizer: Any) -> tuple[list[str], list[str]]:
    """The frequent characters as the tokenizer sees them, and those that can continue a word."""
    raw: Counter[str] = Counter()
    for text in _encodable(texts):
        raw.update(text)
    seen: Counter[str] = Counter()
    for character, count in raw.items():
        for part in tokenizer.normalizer.normalize_str(character):
            seen[part] += count
    ranked = sorted(seen, key=lambda character: (-seen[character], character))
    kept = sorted([part for part in ranked if not part.isspace()][:MOST_CHARACTERS])
    normal, cut = tokenizer.normalizer.normalize_str, tokenizer.pre_tokenizer.pre_tokenize_str
    return kept, [part for part in kept if len(cut(normal(f"a{part}"))) == 1]


def _bpe(texts: Sequence[str], size: int, lower_case: bool) -> Any:
    """A tokenizer of the kind of RoBERTa's, on bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(models.BPE())
    steps = [normalizers.NFC(), *([normalizers.Lowercase()] if lower_case else [])]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = BpeTrainer(
        vocab_size=size,
        min_frequency=LEAST_FREQUENCY,
        show_progress=False,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(_encodable(texts), trainer, len(texts))
    return _fast(tokenizer)


def _unigram(texts: Sequence[str], size: int, lower_case: bool) -> Any:
    """A tokenizer of the kind of ALBERT's."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.trainers import UnigramTrainer

    tokenizer = Tokenizer(models.Unigram())
    steps = [normalizers.NFKC(), *([normalizers.Lowercase()] if lower_case else [])]
    spaces = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence([*steps, *spaces])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = UnigramTrainer(
        vocab_size=size, show_progress=False, special_tokens=list(SPECIAL), unk_token="[UNK]"
    )
    try:
        tokenizer.train_from_iterator(_encodable(texts), trainer, len(texts))
    except Exception as error:  # the library has no other class for it
        if "not large enough" not in str(error):
            raise
        cut = tokenizer.pre_tokenizer.pre_tokenize_str
        words = (cut(tokenizer.normalizer.normalize_str(text)) for text in _encodable(texts))
        characters = {sign for found in words for word, _ in found for sign in word}
        least = f"{len(characters) + len(SPECIAL) + 1:,} or more, or for bpe"
        raise RecipeError(_TOO_FEW.format(size, least)) from None
    tokenizer.model = models.Unigram(_in_order(tokenizer), unk_id=SPECIAL.index("[UNK]"))
    return _fast(tokenizer)


def _in_order(tokenizer: Any) -> list[tuple[str, float]]:
    """The pieces of Unigram and their log probabilities, likeliest first.

    The trainer goes through words and characters in an order of chance. So between two processes
    differ the last digits of sums, and which of the characters that it had dropped, and takes in
    again as the least likely pieces, gets which of the lowest values.
    """
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    learnt = {str(p): round(float(score), DECIMALS) for p, score in pieces if p not in SPECIAL}
    characters = sorted(piece for piece in learnt if len(piece) == 1)
    highest = min(learnt.values()) + STEP * len(characters)
    rare = [character for character in characters if learnt[character] <= highest]
    learnt |= zip(rare, sorted((learnt[c] for c in rare), reverse=True), strict=True)
    ranked = sorted(learnt.items(), key=lambda piece: (-piece[1], piece[0]))
    return [*((token, 0.0) for token in SPECIAL), *ranked]


def _fast(tokenizer: Any) -> Any:
    """A trained tokenizer of the library as one of transformers, with BERT's special tokens."""
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    tokenizer.post_processor = TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", SPECIAL.index("[CLS]")), ("[SEP]", SPECIAL.index("[SEP]"))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def _encodable(texts: Sequence[str]) -> Iterator[str]:
    """The texts with lone surrogates, which no tokenizer takes, as question marks."""
    return (text.encode("utf-8", "replace").decode() for text in texts)


@contextmanager
def initialized(
    encoder: str, texts: Sequence[str], seed: int, say: Callable[[str], None] = lambda line: None
) -> Iterator[str]:
    """The place to load an encoder from, which for random weights is made for the while.

    Args:
        encoder: alias, Hub name, folder, or one of these or a preset after `random:`.
        texts: n training texts, from which the tokenizer of a preset is learnt.
        seed: seed of the weights.
        say: told what is worth knowing of the tokenizer.

    Yields:
        a folder that exists as long as the body runs, for `random:...`; else the name as it is.

    Raises:
        UnknownNameError: there is no such preset or encoder.
        ModelError: the encoder of that name cannot be loaded.
        DataError: the tokenizer cannot be trained on the texts.
    """
    if not is_random(encoder):
        yield encoder
        return
    with TemporaryDirectory(prefix="finetext-random-") as folder:
        _write(encoder, texts, seed, Path(folder), say)
        yield folder


def train_tokenizer(
    sizes: Preset,
    texts: Sequence[str],
    say: Callable[[str], None] = lambda line: None,
    kind: TokenizerKind = "wordpiece",
    lower_case: bool = True,
) -> Any:
    """A tokenizer for an encoder of these sizes, trained on n texts.

    The last two arguments are those of `train_subword_tokenizer`; AWD-LSTM has words instead.
    """
    if sizes.architecture == "awd-lstm":
        from finetext.encoders.word_tokenizer import train_word_tokenizer

        return train_word_tokenizer(texts, size=sizes.pieces)
    from finetext.encoders.scratch import train_subword_tokenizer

    return train_subword_tokenizer(texts, kind, sizes.pieces, lower_case, say)


def fresh_model(config: Any, kind: Any, seed: int) -> Any:
    """A model with random weights in fp32.

    Args:
        config: a `PretrainedConfig`.
        kind: one of transformers' auto classes, such as `AutoModel`.
        seed: seed of the weights; the state of torch's generators is left as it was.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind.from_config(config, dtype=torch.float32, trust_remote_code=False)


def _write(
    encoder: str, texts: Sequence[str], seed: int, folder: Path, say: Callable[[str], None]
) -> None:
    """Save tokenizer and random weights in a folder."""
    from transformers import AutoConfig, AutoModel

    from finetext.encoders.auto import loading
    from finetext.encoders.load import load_tokenizer, quiet

    sizes = preset_of(encoder)
    if sizes is not None:
        tokenizer = train_tokenizer(sizes, texts, say)
        config = configuration(sizes, tokenizer)
    else:
        source = encoder.removeprefix(PREFIX)
        tokenizer = load_tokenizer(source)
        with loading(source) as path, quiet():
            config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    with quiet():
        fresh_model(config, AutoModel, seed).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


_WITHOUT_TOKEN_TYPES: Final = ("distilbert", "modernbert")


def check_sizes(sizes: Preset) -> None:
    """Refuse sizes that no model can have.

    Raises:
        RecipeError: the width does not divide into heads, or there are none.
    """
    if sizes.architecture == "awd-lstm":
        return
    if sizes.heads < 1:
        raise RecipeError(
            f"{sizes.architecture} needs attention heads, and the preset {sizes.name} has none; "
            "set heads, or take another preset"
        )
    step = 2 * sizes.heads if sizes.architecture == "modernbert" else sizes.heads
    if sizes.width % step:
        raise RecipeError(
            f"a width of {sizes.width} cannot be divided into {sizes.heads} attention heads"
            + (" of even size" if step > sizes.heads else "")
        )


def configuration(sizes: Preset, tokenizer: Any) -> Any:
    """The `PretrainedConfig` of an encoder of these sizes for a tokenizer.

    Args:
        sizes: architecture and sizes; `pieces` gives way to what the tokenizer has.
        tokenizer: a transformers tokenizer; its `model_max_length` is set to the context, and it
            no longer gives token types to an architecture without them.

    Raises:
        RecipeError: the width does not divide into heads.
    """
    from transformers import AutoConfig

    check_sizes(sizes)
    tokenizer.model_max_length = sizes.context
    if sizes.architecture == "awd-lstm":
        return _awd_lstm(sizes, tokenizer)
    if sizes.architecture in _WITHOUT_TOKEN_TYPES:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    # RoBERTa counts positions from the one after the padding id.
    unused = tokenizer.pad_token_id + 1 if sizes.architecture == "roberta" else 0
    values = {
        "vocab_size": len(tokenizer),
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        _FEED_FORWARD.get(sizes.architecture, "intermediate_size"): sizes.feed_forward,
        "max_position_embeddings": sizes.context + unused,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        **_extra(sizes, tokenizer),
    }
    return AutoConfig.for_model(sizes.architecture, **values)


_FEED_FORWARD: Final = {"distilbert": "hidden_dim"}


def _extra(sizes: Preset, tokenizer: Any) -> dict[str, Any]:
    """What one architecture alone has."""
    if sizes.architecture == "electra":
        return {"embedding_size": sizes.width}
    if sizes.architecture == "modernbert":
        ends = {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
        return {**ends, "local_attention": min(128, sizes.context)}
    return {}


def _awd_lstm(sizes: Preset, tokenizer: Any) -> Any:
    from finetext.encoders.auto import register
    from finetext.encoders.awd_lstm import AwdLstmConfig

    register()
    return AwdLstmConfig(
        vocab_size=len(tokenizer),
        embedding_size=sizes.width,
        inner_size=sizes.feed_forward,
        num_hidden_layers=sizes.layers,
        unk_token_id=tokenizer.unk_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
