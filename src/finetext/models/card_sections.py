"""The sentences of a model card. They tell counts and codes, and quote no text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from finetext.core.wording import counted, duration, size, speed

_LONGEST: Final = 200
_SIGNS: Final = re.compile(r"([\\`*_{}\[\]#|<>&~$@^]|:(?=\S))")
"""Those that mean something within a line; what means something at its start is never there."""
_HIDDEN: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS: Final = "\u200c\u200d"
"""What emoji and some scripts are joined by, which is hidden but harmless."""


def escaped(value: Any) -> str:
    """A value as Markdown that shows it, in one line of at most 200 characters.

    Signs that Markdown or HTML would take for their own are escaped, line breaks become spaces, and
    signs that cannot be seen, such as those that turn the direction of the text, are left out.
    """
    visible = "".join(map(_visible, str(value)))
    line = " ".join(visible.split())
    if len(line) > _LONGEST:
        line = line[: _LONGEST - 1] + "…"
    return _SIGNS.sub(r"\\\1", line)


def _visible(sign: str) -> str:
    if sign.isspace():
        return " "
    return sign if sign in _JOINERS or unicodedata.category(sign) not in _HIDDEN else ""


_KINDS: Final = {
    "majority": "the most frequent label, whatever the text says: a baseline, no classifier to use",
    "tfidf": "a logistic regression on TF-IDF features of words and word pairs",
    "probe": "a logistic regression on the mean-pooled states of a frozen encoder",
    "transformer": "a transformer encoder, all of whose weights were fine-tuned",
    "onnx": "an encoder with a head as an ONNX graph, which needs no torch",
    "static": "a logistic regression on the mean of static embeddings, which need no encoder",
}
GRAMS_A_WATT_HOUR: Final = 0.436
"""CO2 of the mean of the world's power stations in 2022, 436 g per kWh (Ember, Global Electricity
Review 2023)."""
_AS_LIKELY: Final = "The likeliest label is given."
_EACH: Final = "Each label is given from a probability of 0.5."


def what_it_is(described: Mapping[str, Any]) -> str:
    """What kind of model this is, and from what."""
    several = described["multilabel"]
    labels = counted(len(described["labels"]), "label")
    task = f"any number of {labels}" if several else f"one of {labels}"
    kind = _KINDS.get(str(described["classifier"]), escaped(described["classifier"]))
    said = f"A text classifier that gives a text {task}: {kind}."
    known = described.get("provenance", {})
    if parameters := known.get("parameters"):
        said += f" It has {parameters / 1e6:.1f} million parameters."
    if length := known.get("max_length"):
        said += f" Texts are cut after {length:,} tokens."
    if base := _base(described.get("record", {}).get("base", {})):
        said += f" {base}"
    return f"{said} It was made with finetext {escaped(described['finetext_version'])}."


def _base(base: Mapping[str, Any]) -> str:
    name = escaped(base.get("model") or base.get("name") or "")
    if base.get("kind") == "pretrained":
        return "Its encoder was pretrained from random weights by the author."
    if base.get("kind") == "random":
        return "Its encoder began with random weights."
    if not name:
        return ""
    if base.get("kind") == "adapted":
        return f"Its encoder is {name}, adapted to unlabelled text by the author before."
    return f"Its encoder is {name}."


def decision_sentences(described: Mapping[str, Any]) -> list[str]:
    """How far the probabilities can be trusted, and how they become labels."""
    record, decision = described.get("record", {}), described.get("decision", {})
    scores, temperature = record.get("scores", {}), decision.get("temperature", 1.0)
    said = []
    if temperature != 1:
        said.append(
            f"The logits were divided by {temperature:.3g} (temperature scaling), as chosen on "
            "validation rows; the weights have that in them."
        )
    off = scores.get("calibration_error", {}).get("value")
    if off is not None:
        said.append(f"On test rows the probabilities are {100 * off:.1f} points off on average.")
    said += _rules(decision, bool(described["multilabel"]))
    decided = record.get("decided", {})
    if decided.get("decided") is not None and decided.get("accuracy") is not None:
        said.append(
            f"On test rows it decides {decided['decided']:.1%} and is right on "
            f"{decided['accuracy']:.1%} of these."
        )
    if decided.get("covered") is not None:
        said.append(
            f"On test rows {decided['covered']:.1%} of the sets have the truth; they have "
            f"{decided['set_size']:.2f} labels on average."
        )
    return said


def _rules(decision: Mapping[str, Any], several: bool) -> list[str]:
    """The rule of decision, part by part."""
    aim = f" ({escaped(decision['aim'])})" if decision.get("aim") else ""
    said = []
    if decision.get("costs"):
        said.append(f"The label with the least expected cost is given{aim}.")
    elif limits := decision.get("thresholds"):
        between = f"between {min(limits):.3g} and {max(limits):.3g}"
        rule = (
            f"Each label is given from a threshold of its own, {between}"
            if several
            else f"The label whose probability is highest beside its threshold ({between}) is given"
        )
        said.append(f"{rule}{aim}; the thresholds are in `finetext.json`.")
    else:
        said.append(_EACH if several else _AS_LIKELY)
    if least := decision.get("least"):
        said.append(
            f"It abstains: a text gets no label if that is less probable than {min(least):.3g}"
            + (f" to {max(least):.3g}, by label" if max(least) > min(least) else "")
            + f"{aim}."
        )
    if decision.get("set_from") is not None and decision.get("coverage") is not None:
        said.append(
            f"Prediction sets have every label from a probability of {decision['set_from']:.3g}; "
            f"they are to hold the truth for {decision['coverage']:.0%} of rows like those of "
            "validation."
        )
    return said


def use_sentence(described: Mapping[str, Any]) -> str:
    """What it is for, and what not."""
    if described["classifier"] == "majority":
        return "To be beaten: any useful classifier must score higher."
    others = (
        "it knows no other labels than these"
        if described["multilabel"]
        else "a text that belongs to none of its labels gets one of them all the same, unless it "
        "abstains"
    )
    return (
        "Sorting texts of the kind that it was trained on into its labels, beside people who check "
        "what matters. It was not tested on texts of other origin, time or language, and "
        f"{others}. Decisions about people should not rest on it alone."
    )


def checks_sentences(described: Mapping[str, Any]) -> list[str]:
    """What the checks found, by code and count."""
    record = described.get("record", {})
    said = []
    found: Mapping[str, int] = record.get("findings", {})
    if found:
        named = ", ".join(escaped(code) for code in found)
        said.append(
            f"The checks of the data and of training noticed {counted(len(found), 'thing')}: "
            f"{named}."
        )
    elif "findings" in record:
        said.append("The checks of the data and of training noticed nothing.")
    slices = record.get("slices")
    if slices and slices["looked_at"]:
        looked = counted(slices["looked_at"], "kind")
        said.append(
            f"Of {looked} of text that were looked at on {slices['part']} rows it is significantly "
            f"worse on {slices['worse']:,} (p below 0.05 after Holm's correction)."
        )
    if (suspects := record.get("suspects")) is not None:
        which = f"{counted(suspects, 'label')} of its data" if suspects else "No label of its data"
        verb = "look" if suspects > 1 else "looks"
        meaning = "; scores can be too low, or too high, by that" if suspects else ""
        said.append(f"{which} {verb} wrong to a classifier that had not seen them{meaning}.")
    if described["classifier"] == "tfidf":
        said.append("Its `vocabulary.json` holds words and word pairs of its training texts.")
    if length := described.get("provenance", {}).get("max_length"):
        said.append(f"What comes after the first {length:,} tokens of a text is not read.")
    return [*said, "It repeats what is in its training data, biases included."]


def data_sentences(described: Mapping[str, Any]) -> list[str]:
    """What it was trained on, in counts."""
    record = described.get("record", {})
    data, said = record.get("data", {}), []
    if name := data.get("hub") or data.get("name"):
        said.append(f"Source: {escaped(name)}.")
    if rows := data.get("rows"):
        parts = ", ".join(f"{count:,} for {escaped(part)}" for part, count in rows.items())
        said.append(f"Rows: {parts}.")
    if digest := described.get("provenance", {}).get("content_hash"):
        said.append(f"SHA-256 of ids, texts and labels: `{escaped(digest)}`.")
    return said or ["What it was trained on was not recorded."]


def cost_sentences(record: Mapping[str, Any]) -> list[str]:
    """What it took, as measured; energy only where watts are known."""
    costs, machine, said = record.get("costs", {}), record.get("machine", {}), []
    if (seconds := costs.get("seconds_to_train")) is not None:
        where = f" on {escaped(machine['device'])}" if machine.get("device") else ""
        processor = f" ({escaped(machine['processor'])})" if machine.get("processor") else ""
        said.append(f"Training took {duration(seconds)}{where}{processor}, as measured.")
    if before := costs.get("seconds_before"):
        said.append(f"Adapting or pretraining its encoder took {duration(before)} before.")
    if rate := costs.get("rows_per_second"):
        said.append(f"It predicted {speed(rate)} test rows a second on the same machine.")
    if count := costs.get("bytes"):
        said.append(f"It takes {size(count)} on disk.")
    energy = costs.get("energy")
    if energy:
        said.append(
            f"Energy: {energy['watt_hours']:.3g} Wh at most, if the {escaped(energy['part'])} drew "
            f"its stated limit of {energy['watts']:.0f} W throughout; memory, cooling and the rest "
            "of the machine are not in it. Which power station it came from is not known; from the "
            f"mean of the world's, {1000 * GRAMS_A_WATT_HOUR:.0f} g a kWh (Ember, 2022), it is "
            f"{grams_of_carbon(energy):.3g} g of CO2."
        )
    else:
        said.append(
            "Energy and carbon were not measured, and nothing to estimate them by is known."
        )
    return said


def grams_of_carbon(energy: Mapping[str, Any]) -> float:
    """CO2 of the most that it can have drawn, in grams, from the mean of the world's stations."""
    return float(energy["watt_hours"]) * GRAMS_A_WATT_HOUR


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
