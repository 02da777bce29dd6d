"""Encoders with random weights: the point of comparison for pretrained ones.

`random:PRESET` is an encoder of the sizes of a preset, with a WordPiece tokenizer (AWD-LSTM: a
word tokenizer) that is trained on the texts at hand. `random:NAME`, for a folder, an alias or a
Hub name, has the architecture, the sizes and the tokenizer of that encoder, but none of its
weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from finetext.encoders.presets import PREFIX, Preset, configuration, is_random, preset_of

if TYPE_CHECKING:
    from finetext.encoders.tokenizer import TokenizerKind


@contextmanager
def initialised(
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
    from finetext.encoders.tokenizer import train_subword_tokenizer

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

    from finetext.encoders.catalogue import loading
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
