"""An ONNX graph with 8-bit whole numbers in the place of its large matrices."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
