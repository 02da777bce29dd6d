"""Export to ONNX: of encoders with a head, for onnxruntime without torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from finetext.core.errors import MissingExtraError, ModelError
from finetext.models.exporters import Exporter, Made, Original, check_has_encoder, tokenizer_of
from finetext.models.onnx import ABOUT, GRAPH, OnnxClassifier

_NEEDED: Final = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class OnnxExporter(Exporter):
    """A graph from token ids to logits, with its tokenizer.

    Attributes:
        quantize: "int8" for weights and products of 8 bits; None (the default) for float32.
    """

    name: ClassVar[str] = "onnx"
    quantize: Literal["int8"] | None = None

    @property
    def folder_name(self) -> str:
        """See `Exporter.folder_name`: that of the 8-bit graph is `onnx-int8`."""
        return self.name if self.quantize is None else f"{self.name}-{self.quantize}"

    @property
    def least_agreement(self) -> float:
        """See `Exporter.least_agreement`."""
        return 0.99 if self.quantize is None else 0.97

    def check(self, original: Original) -> None:
        """Refuse what has no graph, or a tokenizer that tokenizers alone cannot be.

        Raises:
            MissingExtraError: a package of the extra `export` is missing.
            ModelError: the model cannot be exported.
        """
        check_has_encoder(original.classifier, "ONNX")
        for package in _NEEDED:
            if find_spec(package) is None:
                raise MissingExtraError("an export to ONNX", package, "export")
        tokenizer = tokenizer_of(original.classifier)
        if not tokenizer.is_fast:
            raise ModelError(
                f"this model cannot be exported to ONNX: its tokenizer ({type(tokenizer).__name__})"
                " splits texts by rules written in Python, which a folder for onnxruntime and "
                "tokenizers alone cannot hold; export a model of another encoder"
            )

    def make(self, original: Original, work: Path) -> Made:
        """Write graph, tokenizer and configuration; see `Exporter.make`.

        Raises:
            ModelError: torch cannot export the architecture.
        """
        from finetext.models.onnx_graph import Exportable

        original.say("making the graph")
        exportable = Exportable.of(original.classifier)
        exportable.describe(work, original.classifier.scheme)
        exportable.write_graph(work)
        if self.quantize is not None:
            original.say("bringing it to 8 bits")
            whole = (work / GRAPH).rename(work / f"float32.{GRAPH}")
            quantise(whole, work / GRAPH)
            whole.unlink()
            of_float32 = work / f"{GRAPH}.data"  # where a large graph has its weights
            of_float32.unlink(missing_ok=True)
        about: dict[str, Any] = {
            "made_from": original.name,
            "original": original.classifier.kind,
            "quantised": self.quantize,
            "max_length": exportable.max_length,
            "empty_as": exportable.empty_as,
        }
        (work / ABOUT).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        return Made(
            OnnxClassifier.load_weights(
                work, original.classifier.scheme, original.classifier.decision, "cpu"
            )
        )


def quantise(graph: Path, quantised: Path) -> None:
    """Write a graph whose weights are 8-bit, and whose products of matrices are of whole numbers.

    Activations are brought to 8 bits as they come (dynamic quantisation), weights once, each
    channel on its own scale, tables of embeddings as a whole.

    Processors of the x86 kind without VNNI add two products of 8-bit numbers in 16 bits, which
    overflow where the weights use all 8 (onnxruntime, "Quantize ONNX models"). So weights take 7 of
    them, wherever the export is made: the folder may go to another machine, and its answers must
    not depend on the processor.

    Args:
        graph: in float32.
        quantised: where to write the other.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(str(graph))
    # Shapes that were noted on the way are wrong once matrices have been turned.
    del model.graph.value_info[:]
    with _quietly():
        quantize_dynamic(
            model,
            str(quantised),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep onnxruntime from advising, on the root logger, what was done by torch already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
