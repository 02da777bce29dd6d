"""Generate text with a causal language model."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.budget import within_memory
from finetext.core.errors import ModelError, RecipeError
from finetext.pretraining.folder import LAST
from finetext.storage.received import received_folder

if TYPE_CHECKING:
    from torch import Tensor


ADAPTED: Final = "adapted"
"""The folder of the adapted encoder in a run folder."""
LONGEST: Final = 10_000
TOKENS_A_WORD: Final = 4
"""Tokens drawn at most per word, beside a few for punctuation."""


@within_memory
def generate(
    model: str | Path,
    text: str,
    words: int = 30,
    temperature: float = 0.75,
    n: int = 1,
    seed: int = 0,
    device: str = "auto",
) -> list[str]:
    """Continue a text with a language model; the text itself is the beginning of each result.

    Args:
        model: the folder of a model that reads from left to right, such as that of `adapt`,
            `pretrain` or `convert`; a run folder, for the encoder that the run adapted; or an alias
            or Hub name, such as "gpt2".
        text: how the texts begin; it may be empty.
        words: words to add, at most; the model can end a text before.
        temperature: what the logits are divided by: higher is more random, 0 always takes the
            likeliest token.
        n: number of texts.
        seed: of the random draws; the random state of the process is neither used nor changed.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Returns:
        `n` texts.

    Raises:
        ModelError: it cannot be loaded, predicts masked tokens, or has no language-model head.
        RecipeError: a number is out of range, or the text is longer than the model can read.
        UnknownNameError: there is no model of that name.
    """
    import torch

    from finetext.training.precision import choose_device

    for name, number in (("words", words), ("n", n)):
        if not 1 <= number <= LONGEST:
            raise RecipeError(f"{name} = {number}: it must be from 1 to {LONGEST:,}")
    if not (math.isfinite(temperature) and temperature >= 0):
        raise RecipeError(f"temperature = {temperature}: it must be 0 or more, and finite")
    place = choose_device(device)
    network, tokenizer = _language_model(_adapted_in(model))
    network = network.to(place).eval()
    firsts = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    prompted = tokenizer(text, truncation=False, verbose=False)["input_ids"]
    start = prompted or [next(int(number) for number in firsts if number is not None)]
    writer = _Writer(tokenizer, start, words)
    ids = torch.tensor([start] * n, device=place)
    cuda = [place] if place.type == "cuda" else []
    with torch.inference_mode(), torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        draw = _drawn_with_state if network.config.model_type == "awd_lstm" else _drawn
        rows = draw(network, tokenizer, ids, temperature, writer)
    added = [writer.added(row) for row in rows]
    follows_space = not text or text[-1].isspace()
    return [text + (more.lstrip() if follows_space else more) for more in added]


def _adapted_in(model: str | Path) -> str:
    """The encoder that a run adapted, if it is the folder of such a run; else the same."""
    is_run = not (Path(model) / LAST).exists() and (Path(model) / ADAPTED / LAST).is_file()
    try:
        return str(received_folder(Path(model), ADAPTED) if is_run else model)
    except OSError as error:
        raise ModelError(f"{model}: {error}") from None


class _Writer:
    """Finds the words that were added to a prompt, from tokens."""

    def __init__(self, tokenizer: Any, start: list[int], words: int) -> None:
        self._tokenizer, self._words, self._prompt = tokenizer, words, ""
        self._prompt = self._added(start)
        self.most_tokens = TOKENS_A_WORD * words + 8
        self._next_look = len(start) + words

    def is_due(self, length: int) -> bool:
        """Return whether rows of this many tokens are due for a check."""
        return length > self._next_look

    def have_enough(self, rows: list[list[int]]) -> list[bool]:
        """Return which rows have their last word complete, that is, have begun another."""
        missing = [self._words + 1 - len(self._added(row).split()) for row in rows]
        self._next_look = max(map(len, rows)) + max(1, *missing) - 1
        return [count <= 0 for count in missing]

    def added(self, row: list[int]) -> str:
        """Return the words that were added, with the space before them."""
        return "".join(re.findall(r"\s*\S+", self._added(row))[: self._words])

    def _added(self, row: list[int]) -> str:
        text = self._tokenizer.decode(
            row, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text).removeprefix(self._prompt)


def _language_model(folder: str) -> tuple[Any, Any]:
    """Return the model and its tokenizer; raises a ModelError if it is not causal."""
    from finetext.encoders.language_models import load_for_language_model, objective_of
    from finetext.encoders.load import load_tokenizer

    if objective_of(folder) == "masked":
        raise ModelError(
            f"{folder} predicts words that are masked, so it cannot write from left to right; take "
            "an AWD-LSTM or a model such as gpt2"
        )
    tokenizer = load_tokenizer(folder)
    model, head_is_fresh = load_for_language_model(folder, tokenizer)
    if head_is_fresh:
        raise ModelError(
            f"{folder} has no language-model head, as after training a classifier; take the folder "
            "that adapt, pretrain or convert made"
        )
    return model, tokenizer


def _drawn_with_state(
    model: Any, tokenizer: Any, ids: Tensor, temperature: float, writer: _Writer
) -> list[list[int]]:
    """Draw rows of tokens from a recurrent model."""
    import torch

    never = ids.new_tensor(sorted({*tokenizer.all_special_ids}))
    rows: list[list[int]] = ids.tolist()
    found = model(ids)
    for _ in range(writer.most_tokens):
        logits = found.logits[:, -1].float().index_fill(1, never, -torch.inf)
        if temperature:
            drawn = torch.multinomial((logits / temperature).softmax(-1), 1)
        else:
            drawn = logits.argmax(-1, keepdim=True)
        for row, token in zip(rows, drawn.flatten().tolist(), strict=True):
            row.append(token)
        if writer.is_due(len(rows[0])) and all(writer.have_enough(rows)):
            break
        found = model(drawn, state=found.state)
    return rows


def _drawn(
    model: Any, tokenizer: Any, ids: Tensor, temperature: float, writer: _Writer
) -> list[list[int]]:
    """Draw rows of tokens with `generate` of transformers."""
    import torch
    from transformers import GenerationConfig

    from finetext.encoders.auto import context_from

    length, context = ids.shape[1], context_from(model.config, tokenizer.model_max_length)
    if length >= context:
        raise RecipeError(
            f"the prompt has {length:,} tokens, and the model sees {context:,}; give a shorter one"
        )
    end = model.generation_config.eos_token_id
    ends = set(end if isinstance(end, list) else [end]) - {None}
    endings = (ends | {tokenizer.pad_token_id}) - {None}
    sampling = {"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
    settings = GenerationConfig(
        do_sample=bool(temperature),
        max_new_tokens=min(writer.most_tokens, context - length),
        eos_token_id=sorted(ends) or None,
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=sorted({*tokenizer.all_special_ids} - ends) or None,
        use_cache=True,
        **sampling,
    )

    def enough(rows: Tensor, scores: Any, **_: Any) -> Tensor:
        over = torch.isin(rows[:, -1], rows.new_tensor(sorted(endings)))
        if writer.is_due(rows.shape[1]) and not over.all():
            over[~over] = torch.tensor(writer.have_enough(rows[~over].tolist()), device=over.device)
        return over

    written = model.generate(
        ids, attention_mask=torch.ones_like(ids), generation_config=settings,
        stopping_criteria=[enough],
    )  # fmt: skip
    return written.tolist()  # type: ignore[no-any-return]
