"""The model card: what `finetext.json` says, for people and for the Hugging Face Hub.

Its last line has a hash of the rest, which shows whether people changed it: such a card is kept.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core import terminal, wording
from finetext.core.decision import Decision
from finetext.core.errors import ModelError
from finetext.core.registry import load, table
from finetext.core.text_columns import PAIR, as_one, join
from finetext.data.weak_labels import WeakLabels
from finetext.evaluation.leaderboard import TextsRead
from finetext.evaluation.out_of_scope import ScopeScores
from finetext.storage.codec import from_json
from finetext.training.truncation import HEAD_SHARE, HEAD_TAIL

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
    "llm": "a large language model behind an endpoint, which is asked about each text; nothing was "
    "trained",
    "tfidf": "a logistic regression on TF-IDF features of words and word pairs",
    "probe": "a logistic regression on the mean-pooled states of an encoder",
    "transformer": "a transformer encoder, all of whose weights were fine-tuned",
    "blend": "a weighted sum of the logits of several classifiers, its members",
    "onnx": "an encoder with a head as an ONNX graph, which needs no torch",
    "static": "a logistic regression on tokens and the mean of their static embeddings, which need "
    "no encoder",
}
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
_LONGEST: Final = 200
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]#|<>&~$@^]|:(?=\S))")
"""Characters with a meaning inside a line; those at its start never occur there."""
_HIDDEN: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS: Final = "\u200c\u200d"
"""Hidden but harmless: emoji and some scripts need them."""


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
        "positive": _positive(described),
        "text_columns": described.get("text_columns", ()),
        "reading": reading_sentences(described),
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


def weak_labels_of(described: Mapping[str, Any]) -> WeakLabels | None:
    """Return where the weak labels that a model learned from are from; None if it had none."""
    weak = described.get("provenance", {}).get("weak_labels")
    return None if weak is None else from_json(WeakLabels, weak, "weak_labels", ModelError)


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
    return " ".join(terminal.escaped(str(text)).split())[:_LONGEST] or "model"


def _metric_title(metric: str) -> str:
    return load("metrics", metric).title if metric in table("metrics") else metric


def _interval(score: Mapping[str, Any] | None) -> str:
    value, low, high = ((score or {}).get(of) for of in ("value", "low", "high"))
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.3f}" + ("" if None in (low, high) else f" ({low:.3f} to {high:.3f})")


def escaped(value: Any) -> str:
    """Return a value as Markdown that shows it, in one line of at most 200 characters."""
    text = " ".join(str(value).split())
    visible = (c for c in text if c in _JOINERS or unicodedata.category(c) not in _HIDDEN)
    line = " ".join("".join(visible).split())
    if len(line) > _LONGEST:
        line = line[: _LONGEST - 1] + "…"
    return _MARKDOWN.sub(r"\\\1", line)


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


def reading_sentences(described: Mapping[str, Any]) -> list[str]:
    """Return sentences on what the model reads of a text; none for one without an encoder."""
    made, read = described.get("provenance", {}), described.get("record", {}).get("reading")
    said = []
    if (window := made.get("window")) is not None:
        said.append(f"Texts are read whole, in windows of up to {window:,} tokens.")
    elif (length := made.get("max_length")) is not None:
        longer = f"Of a text with more than {length:,} tokens it reads"
        both = f"{HEAD_SHARE:.0%} from the head, the rest from the tail"
        said.append(
            {
                "tail": f"{longer} the last {length:,}.",
                HEAD_TAIL: f"{longer} as many: {both}.",
            }.get(made.get("truncation"), f"Texts are truncated after {length:,} tokens.")
        )
        if read is not None:
            noun = "text" if described.get("record", {}).get("folds") else "test text"
            said.append(f"It {from_json(TextsRead, read, 'reading').words(noun)}.")
    return said


def decision_sentences(described: Mapping[str, Any]) -> list[str]:
    """Return sentences on how calibrated the probabilities are and how they become labels."""
    record, decision = described.get("record", {}), described.get("decision", {})
    temperature, decided = decision.get("temperature", 1.0), record.get("decided", {})
    folds, said = int(record.get("folds", 0)), list[str]()
    scored = wording.rows_of(wording.part_in_words("test", folds))
    chosen_on = "out-of-fold predictions" if folds else "validation rows"
    if (weak := weak_labels_of(described)) is not None and not weak.is_scored:
        chosen_on = "rows with weak labels"
    if temperature != 1:
        said.append(
            f"Temperature scaling: the logits were divided by {temperature:.3g}, chosen on "
            f"{chosen_on}. The weights include it."
        )
    error = record.get("scores", {}).get("calibration_error", {}).get("value")
    if words := record.get("calibration", {}).get("words"):
        said.append(f"The probabilities on {scored} are {escaped(words)}.")
    elif error is not None:
        said.append(
            f"The calibration error on {scored} is {100 * error:.1f} percentage points; on few "
            "rows part of that is chance."
        )
    said += _rule(decision, bool(described["multilabel"]))
    if decided.get("decided") is not None and decided.get("accuracy") is not None:
        said.append(
            f"On {scored} it decides {_shown(decided, 'decided')} and is right on "
            f"{_shown(decided, 'accuracy')} of these."
            + (" Each row was decided by a rule that was chosen without it." if folds else "")
        )
    if (scope := record.get("scope")) is not None:
        words = from_json(ScopeScores, scope, "scope").words
        said.append(f"Texts that belong to no class: on {scored}, {words}.")
    if decided.get("covered") is not None:
        said.append(
            f"On {scored} {_shown(decided, 'covered')} of the prediction sets contain the true "
            f"label; they have {decided['set_size']:.2f} labels on average."
        )
    return said


def _shown(decided: Mapping[str, Any], name: str) -> str:
    """Return a share with its interval; older records have none."""
    low, high = decided.get(f"{name}_interval", (None, None))
    interval = "" if low is None else f" ({low:.1%} to {high:.1%})"
    return f"{decided[name]:.1%}{interval}"


def _rule(decision: Mapping[str, Any], multilabel: bool) -> list[str]:
    aim = f" ({escaped(decision['aim'])})" if decision.get("aim") else ""
    if decision.get("costs"):
        said = [f"The label with the least expected cost is predicted{aim}."]
    elif limits := decision.get("thresholds"):
        rule = "The label with the highest ratio of probability to threshold ({}) is predicted"
        if multilabel:
            rule = "Each label is predicted from its own threshold, {}"
        rule = rule.format(f"between {min(limits):.3g} and {max(limits):.3g}")
        said = [f"{rule}{aim}; the thresholds are in `finetext.json`."]
    elif multilabel:
        said = ["Each label is predicted from a probability of 0.5."]
    else:
        said = ["The most probable label is predicted."]
    if least := decision.get("least"):
        ends = f" to {max(least):.3g}, by label" if max(least) > min(least) else ""
        limit = f"{min(least):.3g}{ends}{aim}"
        said.append(f"It abstains: a text gets no label if that is less probable than {limit}.")
    if (most := decision.get("in_scope_up_to")) is not None:
        said.append(
            f"A text with an uncertainty above {most:.3g}, the sum of sqrt(p (1 - p)) over its "
            "labels, belongs to no class and gets no label."
        )
    if decision.get("set_from") is not None and decision.get("coverage") is not None:
        limit, rows = decision["set_from"], "rows"
        if isinstance(limit, list | tuple):
            limit, rows = (
                f"its own, between {min(limit):.3g} and {max(limit):.3g}",
                "each label's rows",
            )
        else:
            limit = f"{limit:.3g}"
        said.append(
            f"Prediction sets hold every label from a probability of {limit}; they are meant to "
            f"contain the true label for {decision['coverage']:.0%} of {rows} like those of "
            "validation."
        )
    if assurance := Decision.from_json(decision).assurance:
        said.append(f"The target is {assurance}.")
    return said
