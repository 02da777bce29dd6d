"""Export to ONNX: an encoder with its head as a graph for onnxruntime, without torch."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import torch
from torch import Tensor, nn

from finetext.core.contracts import Classifier
from finetext.core.errors import MissingExtraError, ModelError
from finetext.core.text_columns import PAIR, join
from finetext.core.types import Dataset, LabelScheme
from finetext.core.wording import counted
from finetext.encoders.load import problem_type
from finetext.methods.members import MADE_FROM
from finetext.methods.probe import ProbeClassifier
from finetext.models.exporters import (
    Exporter,
    Made,
    Original,
    check_exportable,
    tokenizer_of,
)
from finetext.models.member_export import made_of_members, originals_of
from finetext.models.onnx import (
    ABOUT,
    DATA,
    EXACT,
    GRAPH,
    LOGITS,
    MOST_POSITIONS,
    OnnxClassifier,
)
from finetext.models.quantization import (
    USUAL_MARGIN,
    halved,
    quantize,
    safe_margin,
    second_moments,
)
from finetext.storage.files import write_json
from finetext.training.batches import prediction_batches
from finetext.training.classification import only_first_token
from finetext.training.tokens import TOKENIZER, tokenize
from finetext.training.truncation import reading_of

_MOST_TEXTS: Final = 1_000
_TEXTS_TO_ROUND_BY: Final = 500
_EXAMPLES: Final = ("A text of some length, for the graph to be made with.", "A short one.")


@dataclass(frozen=True)
class OnnxExporter(Exporter):
    """A graph from token ids to logits, in float32 unless `quantize` is "int8" (8-bit weights).

    Of a blend or a cascade, members with an encoder are exported; see `made_of_members`.
    """

    name: ClassVar[str] = "onnx"
    quantize: Literal["int8"] | None = None

    @property
    def folder_name(self) -> str:
        """Return "onnx" or "onnx-int8"."""
        return self.name if self.quantize is None else f"{self.name}-{self.quantize}"

    @property
    def least_agreement(self) -> float:
        """See `Exporter.least_agreement`."""
        return 0.99

    def check(self, original: Original) -> None:
        """Raise a MissingExtraError or a ModelError; see `Exporter.check`."""
        for one in originals_of(original):
            try:
                self._check(one.classifier)
            except ModelError as error:
                whose = "" if one is original else f"{one.name}: "
                raise ModelError(f"{whose}{error}") from None
        for package in ("onnx", "onnxscript", "onnxruntime"):
            if find_spec(package) is None:
                raise MissingExtraError("an export to ONNX", package, "export")

    def _check(self, classifier: Classifier) -> None:
        check_exportable(classifier, "ONNX")
        if self.quantize is not None and _has_word_rules(tokenizer_of(classifier)):
            raise ModelError(
                "the LSTM layers of this model have no int8 form; leave --quantize out"
            )

    def make(self, original: Original, work: Path) -> Made:
        """Write graph, tokenizer and configuration; raises a ModelError. See `Exporter.make`."""
        if original.classifier.has_members:
            return made_of_members(original, work, self.make)
        original.say("writing the graph")
        scheme, decision = original.classifier.scheme, original.classifier.decision
        exportable = Exportable.of(original.classifier)
        exportable.describe(work, scheme)
        exportable.write_graph(work)
        about = {
            MADE_FROM: original.name,
            "original": original.classifier.kind,
            "quantised": self.quantize,
            **exportable.reading,
            "empty_as": exportable.empty_as,
            **({"word_rules": True} if _has_word_rules(exportable.tokenizer) else {}),
        }
        write_json(work / ABOUT, about)
        rows = None
        if self.quantize is not None:
            original.say("quantizing it to 8 bits")
            rows = in_int8(original, work, about)
        made = OnnxClassifier.load_weights(work, scheme, decision, "cpu")
        if not rows:  # of a cascade that sends nothing on there are 0
            return Made(made, rows)
        some = rows.texts[:_MOST_TEXTS]
        again = made.is_close(replace(made, exact=None).logits(some)).mean()
        share = f"{again:.1%} of {counted(len(some), 'row')}"
        remark = f"{share} are close calls, which float32 computes again"
        return Made(made, rows, remark, "that did not choose the margin")


def in_int8(original: Original, work: Path, about: dict[str, Any]) -> Dataset | None:
    """Replace the graph in a folder by one in 8 bits, and one for rows that this decides by little.

    Returns:
        rows to compare on; None without any, and then weights are rounded to the nearest, and what
        decides by little is a usual margin.
    """
    import onnx

    scheme, decision = original.classifier.scheme, original.classifier.decision
    graph = onnx.load(str(work / GRAPH))
    (work / DATA).unlink(missing_ok=True)  # the weights of a large graph
    _save(halved(graph), work)
    exact = OnnxClassifier.load_weights(work, scheme, decision, "cpu")
    apart, moments, margin = original.apart(), None, USUAL_MARGIN
    texts = [] if apart is None else list(apart.choose[:_MOST_TEXTS])
    if apart is not None and apart.learn:
        table = exact.tokens(apart.learn[:_TEXTS_TO_ROUND_BY])
        parts = prediction_batches(table.lengths, MOST_POSITIONS)
        moments = second_moments(graph, (table.arrays(part) for part in parts), work)
    wanted = exact.logits(texts)
    del exact
    (work / GRAPH).rename(work / EXACT)
    try:
        quantized = quantize(graph, moments)
    except ValueError as error:
        raise ModelError(f"this model has no int8 form: {error}; leave --quantize out") from None
    _save(quantized, work)
    if texts:
        near = OnnxClassifier.load_weights(work, scheme, decision, "cpu")
        margin = safe_margin(near, near.logits(texts), wanted)
    write_json(work / ABOUT, {**about, "margin": margin})
    return None if apart is None else apart.compare


def _save(graph: Any, work: Path) -> None:
    """Write a graph with its weights in one file; raises a ModelError if it is too large."""
    import onnx

    try:
        onnx.save(graph, str(work / GRAPH))
    except Exception as error:  # the error of protobuf above 2 GB has no public class
        raise ModelError(
            f"the graph cannot be written in one file ({error}); leave --quantize out"
        ) from None


@dataclass(frozen=True, eq=False)
class Exportable:
    """A copy of a transformers model on the CPU, the head that follows it if any, and tokenizer."""

    model: Any
    head: nn.Module | None
    tokenizer: Any
    max_length: int
    has_pairs: bool = False
    in_windows: bool = False

    @classmethod
    def of(cls, classifier: Classifier) -> Exportable:
        """Copy the parts of a classifier that `check_exportable` lets pass."""
        head = _ProbeHead(classifier) if isinstance(classifier, ProbeClassifier) else None
        encoder: Any = classifier.encoder if isinstance(classifier, ProbeClassifier) else classifier
        model = copy.deepcopy(encoder.model).cpu().float().eval()
        model.config.use_cache = False
        has_pairs = len(classifier.scheme.text_columns) == len(PAIR)
        in_windows = getattr(encoder, "in_windows", False)
        return cls(model, head, encoder.tokenizer, encoder.max_length, has_pairs, in_windows)

    @property
    def reading(self) -> dict[str, Any]:
        """What is read of a text; with what `LongTexts` needs, if the tokenizer cannot do that."""
        return reading_of(self.tokenizer, self.max_length, self.in_windows)

    @property
    def empty_as(self) -> str | None:
        """What replaces a text without tokens: padding. None if every text has tokens."""
        return None if self.tokenizer("")["input_ids"] else str(self.tokenizer.pad_token)

    def describe(self, folder: Path, scheme: LabelScheme) -> None:
        """Write `tokenizer.json`, which truncates and pads, and `config.json` with the labels."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer.backend_tokenizer.to_str())
        if "window" in self.reading:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(self.max_length, direction=self.tokenizer.truncation_side)
        tokenizer.enable_padding(
            direction=self.tokenizer.padding_side,
            pad_id=self.tokenizer.pad_token_id,
            pad_type_id=self.tokenizer.pad_token_type_id,
            pad_token=self.tokenizer.pad_token,
        )
        tokenizer.save(str(folder / TOKENIZER))
        if _has_word_rules(self.tokenizer):  # a marker within a word of a text is none
            values = json.loads((folder / TOKENIZER).read_text(encoding="utf-8"))
            write_json(folder / TOKENIZER, {**values, "added_tokens": []})
        config = copy.deepcopy(self.model.config)
        config.id2label = dict(enumerate(scheme.names))
        config.label2id = dict(scheme.index)
        config.problem_type = problem_type(scheme)
        values = json.loads(config.to_json_string(use_diff=True))
        values.pop("_name_or_path", None)
        write_json(folder / "config.json", values)

    def write_graph(self, folder: Path) -> None:
        """Write `model.onnx`, for any number of texts of any length; raises a ModelError.

        Pairs can have token types, which are then an input of the graph.
        """
        examples = [join([text, text]) for text in _EXAMPLES] if self.has_pairs else _EXAMPLES
        batch = tokenize(self.tokenizer, examples, self.max_length).batch([0, 1])
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
                    custom_translation_table={torch.ops.aten.lstm.input: _lstm},
                )
                assert program is not None
                strip_metadata(program.model)
                program.save(str(folder / GRAPH))
        except (torch.onnx.OnnxExporterError, RuntimeError) as error:
            raise ModelError(
                f"torch {torch.__version__} cannot export {type(self.model).__name__} to ONNX: "
                f"{str(error).splitlines()[0]}"
            ) from error


def _has_word_rules(tokenizer: Any) -> bool:
    """Return whether a tokenizer divides texts by `finetext.encoders.word_rules`."""
    return bool(getattr(tokenizer, "has_word_rules", False))


def _lstm(values: Any, states: Any, weights: Any, *options: Any) -> tuple[Any, Any, Any]:
    """Return the nodes of one LSTM layer; those of torch 2.13 are for texts of one length only."""
    from onnxscript import opset20 as typed

    opset20: Any = typed
    has_biases, layers, _, _, in_both_directions, batch_first = options
    if not has_biases or layers != 1 or in_both_directions or not batch_first:
        raise ValueError("only LSTM layers as an AWD-LSTM has them can be exported")

    def gates(of: Any) -> Any:
        """ONNX has them in the order input, output, forget, cell."""
        into, forget, cell, out = opset20.Split(of, axis=0, num_outputs=4)
        return opset20.Unsqueeze(opset20.Concat(into, out, forget, cell, axis=0), [0])

    inputs, recurrent, *biases = weights
    outputs, hidden, cell = opset20.LSTM(
        opset20.Transpose(values, perm=[1, 0, 2]), gates(inputs), gates(recurrent),
        opset20.Concat(*map(gates, biases), axis=1), None, *states,
        hidden_size=recurrent.shape[1],
    )  # fmt: skip
    return opset20.Transpose(opset20.Squeeze(outputs, [1]), perm=[1, 0, 2]), hidden, cell


def strip_metadata(model: Any) -> None:
    """Remove doc strings and metadata: torch records its stack traces with local paths in them."""
    from onnxscript.ir import traversal

    graphs = [model.graph, *model.functions.values()]
    nodes = [node for graph in graphs for node in traversal.RecursiveGraphIterator(graph)]
    inner = {id(node.graph): node.graph for node in nodes}
    values = [value for graph in (*graphs, *inner.values()) for value in graph.inputs]
    values += [*model.graph.initializers.values(), *(of for node in nodes for of in node.outputs)]
    for part in (model, *graphs, *inner.values(), *nodes, *values):
        part.metadata_props.clear()
        part.doc_string = None


class _Whole(nn.Module):
    """Token ids, attention mask and maybe token types to logits."""

    def __init__(self, model: Any, head: nn.Module | None, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.head = head
        self.names = names

    def forward(self, *tensors: Tensor) -> Tensor:
        """(texts, tokens) of each input to (texts, k)."""
        inputs = dict(zip(self.names, tensors, strict=True))
        mask = inputs["attention_mask"]
        if self.model.config.model_type == "xlnet":
            # it subtracts the mask from 1, which the exporter cannot do with integers
            inputs["attention_mask"] = mask.to(torch.float32)
        found = self.model(**inputs)
        if self.head is None:
            return found.logits  # type: ignore[no-any-return]
        return self.head(found.last_hidden_state, mask)  # type: ignore[no-any-return]


class _ProbeHead(nn.Module):
    """Mean over the tokens, standardization and logistic regression."""

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
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
