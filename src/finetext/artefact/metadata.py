"""The metadata block of a model card, as the Hugging Face Hub reads it.

See https://huggingface.co/docs/hub/model-cards and the specification in
https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from finetext.artefact.card_text import grams_of_carbon

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

    from finetext.registry import load, table

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
