"""The model card: what `finetext.json` says, for people and for the Hugging Face Hub.

Its last line has a hash of the rest, which shows whether people changed it: such a card is kept.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core import terminal, wording
from finetext.core.registry import load, table
from finetext.core.text_columns import PAIR, as_one, join
from finetext.models.card_sentences import (
    LONGEST,
    cascade_sentences,
    decision_sentences,
    escaped,
    reading_sentences,
    weak_labels_of,
)

if TYPE_CHECKING:
    from jinja2 import Environment

TASK: Final = "text-classification"
MOST_LABELS: Final = 100
GRAMS_PER_WATT_HOUR: Final = 0.436
"""CO2 of the world's average power station in 2022, 436 g per kWh (Ember, Global Electricity
Review 2023)."""
_KINDS: Final = {
    "majority": "the most frequent label, whatever the text says; a baseline, not for use",
    "zeroshot": "the similarity of a text to the names and descriptions of the labels, in a "
    "sentence encoder; it learned from texts without labels",
    "entailment": "a model for natural language inference that judges whether a text entails a "
    "hypothesis about each label; nothing was trained",
    "gliclass": "a GLiClass model that reads a text and all labels at once; nothing was trained",
    "llm": "a large language model behind an endpoint, which is asked about each text; nothing was "
    "trained",
    "tfidf": "a logistic regression on TF-IDF features of words and word pairs",
    "probe": "a linear head on the mean-pooled states of an encoder",
    "transformer": "a transformer encoder, all of whose weights were fine-tuned",
    "blend": "a weighted sum of the logits of several classifiers, its members",
    "cascade": "a cheap classifier that sends the texts that it is less sure of on to another",
    "onnx": "an encoder with a head as an ONNX graph, which needs no torch",
    "static": "a logistic regression on tokens and the mean of their static embeddings, which need "
    "no encoder",
}
_UNTRAINED: Final = frozenset({"zeroshot", "entailment", "gliclass", "llm"})
"""Kinds that learn from no labeled text, unless they are sent some as examples."""
_ON_THE_HUB: Final = {
    **dict.fromkeys(("accuracy", "balanced_accuracy", "subset_accuracy"), "accuracy"),
    "binary_precision": "precision",
    "binary_recall": "recall",
    **dict.fromkeys(("macro_f1", "weighted_f1", "micro_f1", "binary_f1", "samples_f1"), "f1"),
}
"""What the Hub calls the metrics that it knows; others keep our names."""
_OWN_ARCHITECTURES: Final = ("ConcatPooled", "AwdLstm", "Transformer")
"""Prefixes of architectures that transformers loads only with finetext."""
_MARK: Final = re.compile(r"<!-- finetext ([0-9a-f]{64}) -->\n?\Z")
_PATH: Final = re.compile(r"(?P<prefix>random:)?([/\\~]|\.{1,2}[/\\]|[A-Za-z]:[/\\]|file:)")


def model_card(described: Mapping[str, Any], name: str = "") -> str:
    """Return the text of `README.md` for the content of `finetext.json` and a name on the Hub."""
    record, made = described.get("record", {}), described.get("provenance", {})
    costs, decision = record.get("costs", {}), described.get("decision", {})
    energy = costs.get("energy")
    title = name.rpartition("/")[2] or str(record.get("title") or "A text classifier")
    known: dict[str, Any] = {"base": {}, "data": {}, "scores": {}, "baselines": {}}
    known |= {"machine": {}, "verdict": []}
    known |= record
    context = {
        **{key: of for key, of in known.items() if of is not None},
        **{key: described[key] for key in ("classifier", "labels", "multilabel")},
        "finetext_version": described["finetext_version"],
        "metadata": metadata(described, name or title).strip(),
        "title": title,
        "name": name,
        "made": made,
        "weak": (weak := weak_labels_of(described)) and weak.renamed(escaped),
        "kind": _KINDS.get(str(described["classifier"]), escaped(described["classifier"])),
        "kinds": _KINDS,
        "untrained": described["classifier"] in _UNTRAINED and not made.get("example_rows"),
        "positive": _positive(described),
        "text_columns": described.get("text_columns", ()),
        "reading": reading_sentences(described),
        "routing": cascade_sentences(described),
        "example": _example(described, True),
        "bare_example": _example(described, False),
        "most_labels": MOST_LABELS,
        "compared": record.get("export"),
        "decisions": decision_sentences(described),
        "recognizes_others": described.get("decision", {}).get("in_scope_up_to") is not None,
        "has_rule": any(decision.get(of) for of in ("thresholds", "costs", "least", "set_from")),
        "for_transformers": _is_for_transformers(described),
        "settings": _settings(described),
        "costs": costs,
        "carbon": energy and grams_of_carbon(energy),
    }
    text = _environment().get_template("card.md.j2").render(context)
    text = re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n\n"
    return f"{text}<!-- finetext {_hash(text)} -->\n"


def _example(described: Mapping[str, Any], is_ours: bool) -> str:
    """Return an example of a text as Python code, for finetext or for other libraries."""
    columns = list(described.get("text_columns", ()))
    texts = ["A text to be labeled", *(["Another text"] * (len(columns) - 1))]
    if is_ours and columns:
        return json.dumps(dict(zip(columns, texts, strict=True)), ensure_ascii=False)
    if len(columns) == len(PAIR) and described["classifier"] in ("transformer", "onnx"):
        is_pipeline = described["classifier"] == "transformer"
        return json.dumps(dict(zip(PAIR, texts, strict=True))) if is_pipeline else str(tuple(texts))
    return json.dumps(as_one(join(texts)))


def _positive(described: Mapping[str, Any]) -> str | None:
    """Return the positive class if there are scores of it, or it was named."""
    labels, named = described["labels"], described.get("positive")
    scores = described.get("record", {}).get("scores", {})
    is_scored = any(load("metrics", n).of_positive_class for n in scores if n in table("metrics"))
    is_binary = len(labels) == 2 and not described["multilabel"]
    unnamed = described.get("affirmative", labels[1]) if is_binary and is_scored else None
    return unnamed if named is None else str(named)


@cache
def _environment() -> Environment:
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=ChainableUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "md": escaped,
        "form": format,
        "interval": _interval,
        "metric_title": _metric_title,
        **{
            name: getattr(wording, name)
            for name in (
                "counted",
                "duration",
                "learned_in_words",
                "pipeline_in_words",
                "refitted_in_words",
                "speed",
                "size",
            )
        },
    }
    return environment


def is_ours(card: str) -> bool:
    """Return whether a card is as finetext wrote it, not written or changed by hand."""
    text = card.replace("\r\n", "\n")
    mark = _MARK.search(text)
    return mark is not None and mark[1] == _hash(text[: mark.start()])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def metadata(described: Mapping[str, Any], title: str) -> str:
    """Return the metadata of the Hub as YAML, for the content of `finetext.json` and a title."""
    from huggingface_hub import ModelCardData

    record = described.get("record", {})
    base, hub = record.get("base", {}), record.get("data", {}).get("hub")
    results = _results(record)
    carbon: dict[str, Any] = {}  # see https://huggingface.co/docs/hub/model-cards-co2
    if energy := record.get("costs", {}).get("energy"):
        source = "upper bound: time x stated power limit, world average of power stations"
        block = {"emissions": float(f"{grams_of_carbon(energy):.3g}"), "source": source}
        processor = record.get("machine", {}).get("processor")
        if processor is not None and energy["part"] == "processor":
            block["hardware_used"] = processor
        carbon["co2_eq_emissions"] = block
    data = ModelCardData(
        language="en" if base.get("languages") == "English" else None,
        license=str(base["licence"]).lower() if base.get("licence") else None,
        library_name="transformers" if _is_for_transformers(described) else "finetext",
        pipeline_tag=TASK,
        tags=["finetext", TASK, str(described["classifier"])],
        base_model=base.get("model"),
        datasets=[hub] if hub else None,
        metrics=sorted({result.metric_type for result in results}) or None,
        eval_results=results or None,
        model_name=_one_line(title) if results else None,
        **carbon,
    )
    return str(data.to_yaml())


def _is_for_transformers(described: Mapping[str, Any]) -> bool:
    architecture = str(described.get("provenance", {}).get("architecture", ""))
    is_own = architecture.startswith(_OWN_ARCHITECTURES)
    return described["classifier"] == "transformer" and not is_own


def grams_of_carbon(energy: Mapping[str, Any]) -> float:
    """Return the grams of CO2 for the most energy that training can have used."""
    return float(energy["watt_hours"]) * GRAMS_PER_WATT_HOUR


def _results(record: Mapping[str, Any]) -> list[Any]:
    """Return the scores, each with its interval in its name."""
    from huggingface_hub import EvalResult

    data = record.get("data", {})
    name = _one_line(data.get("hub") or data.get("name") or "data of the author")
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name.rpartition(".")[0] or name).strip("-") or "data"
    found = []
    for metric, score in record.get("scores", {}).items():
        value, low, high = (score.get(key) for key in ("value", "low", "high"))
        if value is None or not math.isfinite(value):
            continue
        interval = "" if None in (low, high) else f", 95% interval {low:.3f} to {high:.3f}"
        found.append(
            EvalResult(
                task_type=TASK,
                task_name="Text classification",
                dataset_type=data.get("hub") or slug,
                dataset_name=name,
                dataset_split="cross-validation" if record.get("folds") else "test",
                metric_type=_ON_THE_HUB.get(metric, metric),
                metric_name=wording.capitalize_first(_metric_title(metric)) + interval,
                metric_value=round(value, 4),
            )
        )
    return found


def _one_line(text: Any) -> str:
    return " ".join(terminal.escaped(str(text)).split())[:LONGEST] or "model"


def _metric_title(metric: str) -> str:
    return load("metrics", metric).title if metric in table("metrics") else metric


def _interval(score: Mapping[str, Any] | None) -> str:
    value, low, high = ((score or {}).get(of) for of in ("value", "low", "high"))
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.3f}" + ("" if None in (low, high) else f" ({low:.3f} to {high:.3f})")


def _settings(described: Mapping[str, Any]) -> list[tuple[str, Any]]:
    known = described.get("provenance", {})
    settings = {
        "method": known.get("method"),
        "seed": known.get("seed"),
        **known.get("hyperparameters", {}),
        "finetext": described.get("finetext_version"),
        **described.get("record", {}).get("machine", {}).get("packages", {}),
    }
    return [(name, without_path(of)) for name, of in settings.items() if of not in (None, "")]


def without_path(value: Any) -> Any:
    """Return a value with its local paths cut to their last parts."""
    if isinstance(value, Mapping):
        return {name: without_path(of) for name, of in value.items()}
    if isinstance(value, list | tuple):
        return [without_path(of) for of in value]
    if isinstance(value, str) and (local := _PATH.match(value)):
        return (local["prefix"] or "") + re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value
