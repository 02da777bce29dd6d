"""A classifier as one torch module from token ids to logits, and that as an ONNX graph."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from finetext.core.contracts import Classifier
from finetext.core.errors import ModelError
from finetext.core.types import LabelScheme
from finetext.encoders.load import problem_type
from finetext.methods.finetune import TransformerClassifier
from finetext.methods.probe import ProbeClassifier
from finetext.models.onnx import GRAPH, LOGITS, TOKENIZER
from finetext.training.classification import only_first_token
from finetext.training.tokens import tokenize

_EXAMPLES: Final = ("A text of some length, for the graph to be made with.", "A short one.")
_TALKATIVE: Final = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
_XLNET: Final = "xlnet"


@dataclass(frozen=True, eq=False)
class Exportable:
    """What an export needs of a classifier.

    Attributes:
        model: a transformers model on the processor, nobody else's.
        head: what comes after it; None where the model gives logits itself.
        tokenizer: the tokenizer of transformers.
        max_length: tokens to cut texts to.
    """

    model: Any
    head: nn.Module | None
    tokenizer: Any
    max_length: int

    @classmethod
    def of(cls, classifier: Classifier) -> Exportable:
        """Copy what is needed.

        Raises:
            ModelError: it is no classifier of an encoder, or its tokenizer cannot go along.
        """
        parts: tuple[Any, nn.Module | None, Any, int]
        if isinstance(classifier, TransformerClassifier):
            parts = classifier.model, None, classifier.tokenizer, classifier.max_length
        elif isinstance(classifier, ProbeClassifier):
            encoder = classifier.encoder
            parts = encoder.model, _Probe(classifier), encoder.tokenizer, encoder.max_length
        else:
            raise ModelError(f"a classifier of the kind {classifier.kind} has no encoder")
        model = copy.deepcopy(parts[0]).cpu().float().eval()
        model.config.use_cache = False
        return cls(model, *parts[1:])

    @property
    def empty_as(self) -> str | None:
        """What is read in the place of a text without tokens: padding. None if each has some."""
        return None if self.tokenizer("")["input_ids"] else str(self.tokenizer.pad_token)

    def describe(self, folder: Path, scheme: LabelScheme) -> None:
        """Write `tokenizer.json`, which cuts and pads, and `config.json`, which names labels."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer.backend_tokenizer.to_str())
        tokenizer.enable_truncation(self.max_length, direction=self.tokenizer.truncation_side)
        tokenizer.enable_padding(
            direction=self.tokenizer.padding_side,
            pad_id=self.tokenizer.pad_token_id,
            pad_type_id=self.tokenizer.pad_token_type_id,
            pad_token=self.tokenizer.pad_token,
        )
        tokenizer.save(str(folder / TOKENIZER))
        config = copy.deepcopy(self.model.config)
        config.id2label = dict(enumerate(scheme.names))
        config.label2id = dict(scheme.index)
        config.problem_type = problem_type(scheme)
        values = json.loads(config.to_json_string(use_diff=True))
        values.pop("_name_or_path", None)
        text = json.dumps(values, indent=2, ensure_ascii=False)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")

    def write_graph(self, folder: Path) -> None:
        """Write `model.onnx`, for any number of texts of any length.

        Raises:
            ModelError: torch cannot export this architecture.
        """
        batch = tokenize(self.tokenizer, _EXAMPLES, self.max_length).batch([0, 1])
        axes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
        whole = _Whole(self.model, self.head, tuple(batch)).eval()
        try:
            with _quietly(), torch.no_grad(), only_first_token(self.model):
                program = torch.onnx.export(
                    whole,
                    tuple(batch.values()),
                    input_names=list(batch),
                    output_names=[LOGITS],
                    dynamic_shapes=(tuple(axes for _ in batch),),
                    dynamo=True,
                    verbose=False,
                )
                assert program is not None
                program.save(str(folder / GRAPH))
        except (torch.onnx.OnnxExporterError, RuntimeError) as error:
            raise ModelError(
                f"torch {torch.__version__} cannot bring {type(self.model).__name__} into ONNX: "
                f"{str(error).splitlines()[0]}"
            ) from error


class _Whole(nn.Module):
    """Token ids, mask and, where the tokenizer gives them, token types to logits."""

    def __init__(self, model: Any, head: nn.Module | None, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.head = head
        self.names = names

    def forward(self, *tensors: Tensor) -> Tensor:
        """(texts, tokens) of each input to (texts, k)."""
        inputs = dict(zip(self.names, tensors, strict=True))
        mask = inputs["attention_mask"]
        if self.model.config.model_type == _XLNET:
            # It subtracts the mask from 1, which the exporter cannot do with whole numbers.
            inputs["attention_mask"] = mask.to(torch.float32)
        found = self.model(**inputs)
        if self.head is None:
            return found.logits  # type: ignore[no-any-return]
        return self.head(found.last_hidden_state, mask)  # type: ignore[no-any-return]


class _Probe(nn.Module):
    """Mean over the tokens, standardisation and logistic regression."""

    mean: Tensor
    scale: Tensor

    def __init__(self, classifier: ProbeClassifier) -> None:
        super().__init__()
        head = classifier.head
        self.register_buffer("mean", torch.tensor(classifier.mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(classifier.scale, dtype=torch.float32))
        self.linear = nn.Linear(head.weights.shape[1], head.weights.shape[0])
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor(head.weights))
            self.linear.bias.copy_(torch.tensor(head.bias))

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(texts, tokens, width) and (texts, tokens) to (texts, k)."""
        weights = mask.to(torch.float32).unsqueeze(-1)
        mean = (states * weights).sum(1) / weights.sum(1)
        return self.linear((mean - self.mean) / self.scale)  # type: ignore[no-any-return]


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the exporter from telling what it does."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
