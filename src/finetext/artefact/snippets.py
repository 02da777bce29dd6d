"""Programs that predict with an export and without finetext, for its model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from finetext.artefact.markdown import escaped

_SOFTMAX: Final = """\
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)"""
_SIGMOID: Final = "    return 1 / (1 + np.exp(-logits))"
_END: Final = """\


texts = ["A text to be labelled"]
for text, row in zip(texts, predict_proba(texts)):
    print(text, {label: round(float(share), 4) for label, share in zip(labels, row)})
"""
_ONNX: Final = """\
import json
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
tokenizer = Tokenizer.from_file("tokenizer.json")  # cuts texts, and pads to the longest
labels = json.load(open("finetext.json", encoding="utf-8"))["labels"]


def predict_proba(texts):
    rows = tokenizer.encode_batch({texts})
    given = {{
        "input_ids": [row.ids for row in rows],
        "attention_mask": [row.attention_mask for row in rows],
        "token_type_ids": [row.type_ids for row in rows],
    }}
    names = [of.name for of in session.get_inputs()]
    inputs = {{name: np.array(given[name], dtype=np.int64) for name in names}}
    logits = session.run(["logits"], inputs)[0].astype(np.float64){cooled}
"""
_STATIC: Final = """\
import json
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

vectors = load_file("model.safetensors")["embeddings"]
head = load_file("head.safetensors")
tokenizer = Tokenizer.from_file("tokenizer.json")
unknown = json.load(open("static.json", encoding="utf-8"))["unknown"]
labels = json.load(open("finetext.json", encoding="utf-8"))["labels"]


def predict_proba(texts):
    states = np.zeros((len(texts), vectors.shape[1]))
    for state, row in zip(states, tokenizer.encode_batch(texts, add_special_tokens=False)):
        ids = [number for number in row.ids if number != unknown]
        state += vectors[ids].astype(np.float64).sum(axis=0)
        state /= max(np.linalg.norm(state), 1e-12)
    logits = (states - head["mean"]) / head["scale"] @ head["weights"].T + head["bias"]
"""


def snippet(described: Mapping[str, Any]) -> str:
    """A program in Python that prints probabilities, run in the folder; "" if it is no export.

    Args:
        described: what `finetext.json` says.
    """
    about = described.get("provenance", {})
    end = (_SIGMOID if described["multilabel"] else _SOFTMAX) + "\n" + _END
    if described["classifier"] == "static":
        return _STATIC + end
    if described["classifier"] != "onnx":
        return ""
    empty, temperature = about.get("empty_as"), about.get("temperature", 1.0)
    return (
        _ONNX.format(
            texts=f"[text or {empty!r} for text in texts]" if empty else "texts",
            cooled="" if temperature == 1 else f" / {temperature!r}",
        )
        + end
    )


def needs(described: Mapping[str, Any]) -> str:
    """The packages that the program takes."""
    own = "onnxruntime" if described["classifier"] == "onnx" else "safetensors"
    return f"{own}, tokenizers and NumPy"


def comparison_sentence(described: Mapping[str, Any]) -> str:
    """How far an export agrees with its original; "" if that is not known."""
    found = described.get("record", {}).get("export")
    if not isinstance(found, Mapping):
        return ""
    made_from = escaped(described.get("provenance", {}).get("made_from", "another model"))
    return (
        f"It was made from {made_from}, and gives the same labels on "
        f"{found['agreement']:.2%} of {found['rows']:,} rows ({escaped(found['where'])}); no "
        f"probability differs by more than {found['largest_difference']:.2g}; `export.json` "
        "tells more."
    )
