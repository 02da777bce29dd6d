"""Encoders from scratch: a tokenizer trained on texts, and random weights.

`random:PRESET` is an encoder of the sizes of a preset, with a WordPiece tokenizer (AWD-LSTM: a
word tokenizer) trained on the texts at hand. `random:NAME`, for a folder, an alias or a Hub name,
has the architecture, the sizes and the tokenizer of that encoder, but none of its weights.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

from finetext.core.errors import DataError, RecipeError
from finetext.encoders.catalogue import PREFIX, Preset, is_random, preset_of
from finetext.training.tokens import encodable

TokenizerKind = Literal["wordpiece", "bpe", "unigram"]
SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BYTES: Final = 256
"""Tokens that BPE starts with."""
MOST_CHARACTERS: Final = 1_000
"""Characters in the vocabulary of WordPiece, the most frequent ones; others are `[UNK]`."""
LEAST_FREQUENCY: Final = 2
"""Occurrences that a pair of tokens must have to become a token."""
DECIMALS: Final = 6
"""Decimals of Unigram's log probabilities; the order of sums changes only later ones."""
STEP: Final = 1e-4
"""Difference of the log probabilities that `tokenizers` gives to characters it had dropped."""
_TOO_FEW: Final = "{:,} tokens are too few for the characters of these texts; ask for {}"


def train_subword_tokenizer(
    texts: Sequence[str],
    kind: TokenizerKind = "wordpiece",
    size: int = 25_000,
    lower_case: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Any:
    """Train a subword tokenizer; the same texts give the same one in every process.

    WordPiece (Schuster and Nakajima 2012) splits at spaces and punctuation like BERT, then words
    into tokens of which all but the first begin with `##`. BPE (Sennrich et al. 2016) works on the
    bytes of words, as in GPT-2 and RoBERTa, so that no character is unknown. Unigram (Kudo 2018)
    splits a word in the most probable way, as in ALBERT and T5.

    The size includes the five special tokens; `say` is called if the texts give fewer. With
    `lower_case`, WordPiece strips accents, too.

    Raises:
        DataError: there is no text.
        RecipeError: the size is too small for the characters of the texts.
    """
    if not any(text and not text.isspace() for text in texts):
        raise DataError("there is no text to train a tokenizer on")
    train = {"wordpiece": _wordpiece, "bpe": _bpe, "unigram": _unigram}[kind]
    tokenizer = train([encodable(text) for text in texts], size, lower_case)
    found = len(tokenizer)
    if found > size:
        raise RecipeError(_TOO_FEW.format(size, f"{found:,} or more"))
    if found < size:
        say(f"the texts give {found:,} tokens, not the {size:,} that were requested")
    return tokenizer


def _wordpiece(texts: Sequence[str], size: int, lower_case: bool) -> Any:
    from tokenizers.models import WordPiece
    from tokenizers.trainers import WordPieceTrainer
    from transformers import BertTokenizer

    blank = BertTokenizer(do_lower_case=lower_case).backend_tokenizer
    first, later = _alphabet(texts, blank)
    # Unless given beforehand, the trainer numbers the `##` tokens in random order, and breaks ties
    # by these numbers.
    trainer = WordPieceTrainer(
        vocab_size=size,
        min_frequency=LEAST_FREQUENCY,
        show_progress=False,
        special_tokens=[*SPECIAL, *(f"##{character}" for character in later)],
        initial_alphabet=first,
        limit_alphabet=len(first),
    )
    blank.model = WordPiece(unk_token="[UNK]")
    blank.train_from_iterator(texts, trainer)
    return BertTokenizer(vocab=blank.get_vocab(), do_lower_case=lower_case)


def _alphabet(texts: Sequence[str], tokenizer: Any) -> tuple[list[str], list[str]]:
    """The frequent characters after normalization, and those that can continue a word."""
    normal, split = tokenizer.normalizer.normalize_str, tokenizer.pre_tokenizer.pre_tokenize_str
    raw: Counter[str] = Counter()
    for text in texts:
        raw.update(text)
    seen: Counter[str] = Counter()
    for character, count in raw.items():
        for part in normal(character):
            seen[part] += count
    ranked = sorted(seen, key=lambda character: (-seen[character], character))
    kept = sorted([part for part in ranked if not part.isspace()][:MOST_CHARACTERS])
    return kept, [part for part in kept if len(split(normal(f"a{part}"))) == 1]


def _bpe(texts: Sequence[str], size: int, lower_case: bool) -> Any:
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
    tokenizer.train_from_iterator(texts, trainer)
    return _with_special_tokens(tokenizer)


def _unigram(texts: Sequence[str], size: int, lower_case: bool) -> Any:
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
        tokenizer.train_from_iterator(texts, trainer)
    except Exception as error:  # the library raises no more specific class
        if "not large enough" not in str(error):
            raise
        normal, split = tokenizer.normalizer.normalize_str, tokenizer.pre_tokenizer.pre_tokenize_str
        found = {c for text in texts for word, _ in split(normal(text)) for c in word}
        least = f"{len(found) + len(SPECIAL) + 1:,} or more, or for bpe"
        raise RecipeError(_TOO_FEW.format(size, least)) from None
    # The trainer visits words and characters in random order, so between processes the last digits
    # of sums differ, and the order of the characters with the lowest probabilities, added last.
    tokens = json.loads(tokenizer.to_str())["model"]["vocab"]
    learned = {str(t): round(float(score), DECIMALS) for t, score in tokens if t not in SPECIAL}
    characters = sorted(token for token in learned if len(token) == 1)
    highest = min(learned.values()) + STEP * len(characters)
    rare = [character for character in characters if learned[character] <= highest]
    learned |= zip(rare, sorted((learned[c] for c in rare), reverse=True), strict=True)
    ranked = sorted(learned.items(), key=lambda token: (-token[1], token[0]))
    vocabulary = [*((token, 0.0) for token in SPECIAL), *ranked]
    tokenizer.model = models.Unigram(vocabulary, unk_id=SPECIAL.index("[UNK]"))
    return _with_special_tokens(tokenizer)


def _with_special_tokens(tokenizer: Any) -> Any:
    """A trained tokenizer as one of transformers; `[CLS]` and `[SEP]` surround each text."""
    from tokenizers.processors import TemplateProcessing

    tokenizer.post_processor = TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", SPECIAL.index("[CLS]")), ("[SEP]", SPECIAL.index("[SEP]"))],
    )
    return fast_tokenizer(tokenizer)


def fast_tokenizer(tokenizer: Any) -> Any:
    """Return a tokenizer that has BERT's special tokens as one of transformers."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{token[1:-1].lower()}_token": token for token in SPECIAL},
    )


def train_tokenizer(
    sizes: Preset,
    texts: Sequence[str],
    say: Callable[[str], None] = lambda line: None,
    kind: TokenizerKind = "wordpiece",
    lower_case: bool = True,
) -> Any:
    """Return a tokenizer for an encoder of these sizes, trained on n texts."""
    if sizes.architecture == "awd-lstm":
        from finetext.encoders.word_tokenizer import train_word_tokenizer

        return train_word_tokenizer(texts, size=sizes.pieces)
    return train_subword_tokenizer(texts, kind, sizes.pieces, lower_case, say)


@contextmanager
def initialized(
    encoder: str, texts: Sequence[str], seed: int, say: Callable[[str], None] = lambda line: None
) -> Iterator[str]:
    """Yield where to load an encoder from; for `random:...` a folder that exists in the body."""
    from transformers import AutoConfig, AutoModel

    from finetext.encoders.auto import loading
    from finetext.encoders.load import load_tokenizer, quiet

    if not is_random(encoder):
        yield encoder
        return
    with TemporaryDirectory(prefix="finetext-random-") as folder:
        if (sizes := preset_of(encoder)) is not None:
            tokenizer = train_tokenizer(sizes, texts, say)
            config = configuration(sizes, tokenizer)
        else:
            source = encoder.removeprefix(PREFIX)
            tokenizer = load_tokenizer(source)
            with loading(source) as path, quiet():
                config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        with quiet():
            random_model(config, AutoModel, seed).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        yield folder


def random_model(config: Any, auto_class: Any, seed: int) -> Any:
    """Return a model with random weights in fp32; torch's generators keep their states."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return auto_class.from_config(config, dtype=torch.float32, trust_remote_code=False)


def check_sizes(sizes: Preset) -> None:
    """Raise a RecipeError if the width does not divide into heads, or there are none."""
    if sizes.architecture == "awd-lstm":
        return
    if sizes.heads < 1:
        raise RecipeError(
            f"{sizes.architecture} needs attention heads, and the preset {sizes.name} has none; "
            "set heads, or use another preset"
        )
    step = 2 * sizes.heads if sizes.architecture == "modernbert" else sizes.heads
    if sizes.width % step:
        raise RecipeError(
            f"a width of {sizes.width} cannot be divided into {sizes.heads} attention heads"
            + (" of even size" if step > sizes.heads else "")
        )


def configuration(sizes: Preset, tokenizer: Any) -> Any:
    """Return the `PretrainedConfig` of an encoder of these sizes for a tokenizer."""
    from transformers import AutoConfig

    check_sizes(sizes)
    tokenizer.model_max_length = sizes.context
    if sizes.architecture == "awd-lstm":
        from finetext.encoders.auto import register
        from finetext.encoders.awd_lstm import AwdLstmConfig

        register()
        return AwdLstmConfig(
            vocab_size=len(tokenizer), embedding_size=sizes.width, inner_size=sizes.feed_forward,
            num_hidden_layers=sizes.layers, unk_token_id=tokenizer.unk_token_id,
            pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
        )  # fmt: skip
    cls, sep, pad = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
    extra: dict[str, Any] = {"intermediate_size": sizes.feed_forward}
    unused_positions = 0
    match sizes.architecture:
        case "distilbert":
            extra = {"hidden_dim": sizes.feed_forward}
        case "electra":
            extra["embedding_size"] = sizes.width
        case "modernbert":
            extra |= {"cls_token_id": cls, "sep_token_id": sep}
            extra["local_attention"] = min(128, sizes.context)
        case "roberta":  # counts positions from the one after the padding id
            unused_positions = pad + 1
    if sizes.architecture in ("distilbert", "modernbert"):
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return AutoConfig.for_model(
        sizes.architecture,
        vocab_size=len(tokenizer),
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=sizes.context + unused_positions,
        pad_token_id=pad,
        bos_token_id=cls,
        eos_token_id=sep,
        **extra,
    )
