"""The model card: what `finetext.json` says, for people and for the Hugging Face Hub.

The card says nothing that the file does not, so it can be written anew whenever that changes. Its
last line has a hash of the rest: a card that was changed by hand is told by it, and left alone.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from finetext.core.registry import load, table
from finetext.models.card_sections import (
    checks_sentences,
    comparison_sentence,
    cost_sentences,
    data_sentences,
    decision_sentences,
    escaped,
    grams_of_carbon,
    needs,
    snippet,
    use_sentence,
    what_it_is,
)

TASK: Final = "text-classification"
_ON_THE_HUB: Final = {
    "accuracy": "accuracy",
    "balanced_accuracy": "accuracy",
    "subset_accuracy": "accuracy",
    "macro_f1": "f1",
    "weighted_f1": "f1",
    "micro_f1": "f1",
    "binary_f1": "f1",
    "samples_f1": "f1",
    "brier_score": "brier_score",
}
"""What the Hub calls the metrics that it knows; others keep our names."""
_LANGUAGES: Final = {"English": "en"}
_OURS: Final = ("ConcatPooled", "AwdLstm")
"""What the architectures begin with that transformers loads only with finetext."""


def metadata(described: Mapping[str, Any], title: str) -> str:
    """The block as YAML, without the lines of dashes around it.

    Args:
        described: what `finetext.json` says.
        title: what the model is called.
    """
    from huggingface_hub import ModelCardData

    record = described.get("record", {})
    base = record.get("base", {})
    results = _results(described)
    data = ModelCardData(
        language=_LANGUAGES.get(str(base.get("languages"))),
        license=str(base["licence"]).lower() if base.get("licence") else None,
        library_name="transformers" if is_for_transformers(described) else "finetext",
        pipeline_tag=TASK,
        tags=["finetext", TASK, str(described["classifier"])],
        base_model=base.get("model"),
        datasets=[record["data"]["hub"]] if record.get("data", {}).get("hub") else None,
        metrics=sorted({result.metric_type for result in results}) or None,
        eval_results=results or None,
        model_name=_plain(title) if results else None,
        **_carbon(record),
    )
    return str(data.to_yaml())


def is_for_transformers(described: Mapping[str, Any]) -> bool:
    """Whether transformers alone can load the model."""
    architecture = str(described.get("provenance", {}).get("architecture", ""))
    return described["classifier"] == "transformer" and not architecture.startswith(_OURS)


def _carbon(record: Mapping[str, Any]) -> dict[str, Any]:
    """The block of https://huggingface.co/docs/hub/model-cards-co2, where energy is known."""
    energy = record.get("costs", {}).get("energy")
    if not energy:
        return {}
    machine = record.get("machine", {})
    block = {
        "emissions": float(f"{grams_of_carbon(energy):.3g}"),
        "source": "upper bound: time x stated power limit, mean of the world's power stations",
        "hardware_used": machine.get("processor") if energy["part"] == "processor" else None,
    }
    return {"co2_eq_emissions": {name: of for name, of in block.items() if of is not None}}


def _results(described: Mapping[str, Any]) -> list[Any]:
    """The scores on test rows, each with its interval in its name."""
    from huggingface_hub import EvalResult

    from finetext.core.registry import load, table

    record = described.get("record", {})
    data, scores = record.get("data", {}), record.get("scores", {})
    name = _plain(data.get("hub") or data.get("name") or "data of the author")
    found = []
    for metric, score in scores.items():
        value, low, high = (score.get(key) for key in ("value", "low", "high"))
        if value is None or not math.isfinite(value):
            continue
        title = load("metrics", metric).title if metric in table("metrics") else metric
        known = low is not None and high is not None
        interval = f", 95% interval {low:.3f} to {high:.3f}" if known else ""
        found.append(
            EvalResult(
                task_type=TASK,
                task_name="Text classification",
                dataset_type=data.get("hub") or _slug(name),
                dataset_name=name,
                dataset_split="test",
                metric_type=_ON_THE_HUB.get(metric, metric),
                metric_name=_capitalised(title) + interval,
                metric_value=round(value, 4),
            )
        )
    return found


def _plain(text: Any) -> str:
    """A name in one line."""
    return " ".join(str(text).split())[:200] or "model"


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name.rpartition(".")[0] or name).strip("-") or "data"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


MOST_LABELS: Final = 100
_MARK: Final = re.compile(r"<!-- finetext ([0-9a-f]{64}) -->\n?\Z")
_PATH: Final = re.compile(r"[/~]|[A-Za-z]:[\\/]|\\\\")
_HERE: Final = "."
_UNSUITED: Final = "transformers alone cannot load it: this kind of model is one of finetext's own."


def model_card(described: Mapping[str, Any], name: str = "") -> str:
    """The text of `README.md`.

    Args:
        described: what `finetext.json` says; what it lacks, the card does not say.
        name: of the model on the Hub, "owner/name"; by default the card speaks of the folder.

    Returns:
        Markdown after a block of metadata in YAML.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("card.md.j2").render(_context(described, name))
    text = re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n\n"
    return f"{text}<!-- finetext {_hash(text)} -->\n"


def is_ours(card: str) -> bool:
    """Whether a card is as finetext wrote it, rather than written or changed by hand."""
    mark = _MARK.search(card.replace("\r\n", "\n"))
    return mark is not None and mark[1] == _hash(card.replace("\r\n", "\n")[: mark.start()])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _context(described: Mapping[str, Any], name: str) -> dict[str, Any]:
    """All that the template names."""
    record, labels = described.get("record", {}), described["labels"]
    title = name.rpartition("/")[2] or str(record.get("title") or "A text classifier")
    counts = record.get("data", {}).get("labels", {})
    shown = [
        (escaped(label), f"{counts.get(label, 0):,}" if counts else column)
        for column, label in enumerate(labels[:MOST_LABELS])
    ]
    decision = described.get("decision", {})
    return {
        "metadata": metadata(described, name or title).strip(),
        "title": escaped(title),
        "what": what_it_is(described),
        "shown_labels": shown,
        "counts": bool(counts),
        "more_labels": max(0, len(labels) - MOST_LABELS),
        **_scores(record),
        "decisions": decision_sentences(described),
        "use": use_sentence(described),
        "limits": checks_sentences(described),
        "finetext_place": f"hub:{name}" if name else _HERE,
        "transformers_place": name or _HERE,
        "with_transformers": is_for_transformers(described),
        "without_decision": (
            ", but knows nothing of the rule of decision above" if _is_special(decision) else ""
        ),
        "without_transformers": _UNSUITED,
        "snippet": snippet(described),
        "needs": needs(described),
        "exported": comparison_sentence(described),
        "data": data_sentences(described),
        "settings": _settings(described),
        "costs": cost_sentences(record),
    }


def _scores(record: Mapping[str, Any]) -> dict[str, Any]:
    """The table of scores, this model first, then the baselines of its run."""
    scores, others = record.get("scores", {}), record.get("baselines", {})
    if not scores:
        return {"scores": [], "columns": [], "measured": "", "beside": ""}
    rows = next(iter(scores.values())).get("n", 0)
    return {
        "measured": (
            f"On {rows:,} test rows that it was not trained on and that chose nothing of it, each "
            "with its 95% interval."
        ),
        "columns": ["this model", *map(escaped, others)],
        "scores": [
            [_title(metric), _score(score), *(_score(of.get(metric)) for of in others.values())]
            for metric, score in scores.items()
        ],
        "beside": _beside(others),
    }


def _beside(others: Mapping[str, Any]) -> str:
    words = {
        "majority": "`majority` says the most frequent label of every text",
        "tfidf": "`tfidf` is a logistic regression on words and word pairs",
    }
    told = [words[name] for name in others if name in words]
    return "; ".join(told) + "." if told else ""


def _title(metric: str) -> str:
    title = load("metrics", metric).title if metric in table("metrics") else metric
    return escaped(title)


def _score(score: Mapping[str, Any] | None) -> str:
    """A score with its interval, or a dash for what is not defined."""
    if score is None or score.get("value") is None or not math.isfinite(score["value"]):
        return "-"
    if score.get("low") is None or score.get("high") is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"


def _is_special(decision: Mapping[str, Any]) -> bool:
    return any(decision.get(name) for name in ("thresholds", "costs", "least", "set_from"))


def _settings(described: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Method, hyperparameters, seed and versions; paths of the machine are left out."""
    known = described.get("provenance", {})
    settings = {"method": known.get("method"), "seed": known.get("seed")}
    settings |= known.get("hyperparameters", {})
    settings |= {"finetext": described.get("finetext_version")}
    settings |= described.get("record", {}).get("machine", {}).get("packages", {})
    return [
        (escaped(name), escaped(without_path(of)))
        for name, of in settings.items()
        if of not in (None, "")
    ]


def without_path(value: Any) -> Any:
    """A path without the folders above it; any other value as it is."""
    if isinstance(value, str) and _PATH.match(value):
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value
