"""Where an ONNX graph keeps its weights, read without the package onnx.

onnxruntime reads weights outside the graph from whatever file the graph names. The format is that
of protocol buffers: fields with a number, of which those below lead to tensors.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_Bytes = memoryview
_TENSOR: Final = "tensor"
_ENTRY: Final = "entry"
_FIELDS: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse",
    },
    "sparse": {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {13: _ENTRY},
}  # fmt: skip
"""Message to the number of a field to the message in it, of onnx.proto."""
_KEY: Final = 1
_VALUE: Final = 2
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_DAMAGED: Final = "it is damaged, or no ONNX graph"


def external_files(graph: Path) -> set[str]:
    """Return the names of the files in which a graph keeps weights; raises a ValueError."""
    with graph.open("rb") as file:
        if not file.read(1):
            raise ValueError(f"{graph.name} is empty")
        with (
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            memoryview(content) as view,
        ):
            return set(_locations(view))


def _locations(content: _Bytes) -> Iterator[str]:
    waiting = [("model", 0, len(content))]
    while waiting:
        message, start, end = waiting.pop()
        if message == _ENTRY:
            parts = {n: bytes(content[a:b]) for n, a, b in _fields(content, start, end)}
            if parts.get(_KEY) == b"location":
                yield parts.get(_VALUE, b"").decode("utf-8", "replace")
            continue
        inner = _FIELDS[message]
        found = _fields(content, start, end)
        waiting.extend((inner[number], a, b) for number, a, b in found if number in inner)


def _fields(content: _Bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field with bytes in a message."""
    while start < end:
        tag, start = _varint(content, start, end)
        kind = tag & 7
        if kind == _VARINT:
            _, start = _varint(content, start, end)
        elif kind in (_EIGHT, _FOUR):
            start += 8 if kind == _EIGHT else 4
        elif kind == _LENGTH:
            size, start = _varint(content, start, end)
            if size > end - start:
                raise ValueError(_DAMAGED)
            yield tag >> 3, start, start + size
            start += size
        else:  # groups, which ONNX does not have
            raise ValueError(_DAMAGED)
    if start != end:
        raise ValueError(_DAMAGED)


def _varint(content: _Bytes, start: int, end: int) -> tuple[int, int]:
    value = 0
    for number, place in enumerate(range(start, min(end, start + 10))):
        value |= (content[place] & 0x7F) << 7 * number
        if content[place] < 0x80:
            return value, place + 1
    raise ValueError(_DAMAGED)
