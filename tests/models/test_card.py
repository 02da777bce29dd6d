"""The model card says what is known, in a form that the Hub reads, and quotes no text."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

import finetext
from finetext.core.contracts import FitContext
from finetext.core.types import Dataset
from finetext.methods.tfidf import Tfidf, TfidfClassifier
from finetext.models.card import is_ours, model_card, without_path
from finetext.models.card_sentences import escaped
from finetext.models.folder import read_description, save_model
from finetext.runs.folder import base_of
from finetext.runs.recipe import Recipe

ODD = ['it\'s: "sport"\n---\n# x', "a|b`c`", "*<b>* [x](y) $1$ :tada: @jane", "🍲 é\u202e", "- 0"]


def described(**values: Any) -> dict[str, Any]:
    known = {"finetext_version": "0.1.0", "classifier": "tfidf", "labels": ["a", "b"]}
    return {**known, "multilabel": False, "decision": {}, "provenance": {}, **values}


def block(card: str) -> dict[str, Any]:
    """The metadata as the Hub's own reader gives them."""
    found: dict[str, Any] = ModelCard(card).data.to_dict()
    return found


@pytest.fixture(scope="module")
def fine_tuned(
    topics: Dataset, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run folder of a fine-tuned model. Not to be changed."""
    place = tmp_path_factory.mktemp("cards") / "topics"
    method = finetext.Finetune(encoder=str(tiny_encoder), epochs=1)
    return finetext.train(topics, {"mine": method}, out=place, listener=finetext.Listener()).folder


@pytest.mark.parametrize("kind", ["zeroshot", "entailment", "gliclass", "llm"])
def test_a_model_of_names_alone_has_no_training_data(kind: str) -> None:
    card = model_card(described(classifier=kind, provenance={"unlabeled_texts": 60}))
    assert "that it was trained on" not in card
    assert "its training data" not in card
    assert "It was not tested on any texts." in card
    assert "- It learned from no labeled text; its labels moved toward 60 texts without" in card
    taught = model_card(described(classifier="llm", provenance={"example_rows": 8}))
    assert "its training data" in taught


def test_a_run_writes_a_card_for_each_method(finished: Path) -> None:
    run = finetext.Run.open(finished)
    for entry in run.leaderboard:
        card = (finished / entry.model / "README.md").read_text()
        assert is_ours(card)
        found = ModelCard(card).data
        assert found.library_name == "finetext"
        assert found.pipeline_tag == "text-classification"
        results = {each.metric_name.split(",")[0]: each for each in found.eval_results}
        score = entry.metrics["test"]["macro_f1"]
        assert results["Macro F1"].metric_value == round(score.value, 4)
        assert results["Macro F1"].metric_type == "f1"
        assert f"95% interval {score.low:.3f} to" in results["Macro F1"].metric_name
        assert {each.dataset_name for each in found.eval_results} == {"reviews.csv"}
        assert {each.dataset_split for each in found.eval_results} == {"test"}
        row = re.search(r"^\| macro F1 \|(.*)\|$", card, re.M)
        assert row
        assert row[1].startswith(f" {score.value:.3f} ({score.low:.3f} to {score.high:.3f})")
    best = (finished / "tfidf" / "model" / "README.md").read_text()
    temperature = run.classifier().decision.temperature
    assert f"divided by {temperature:.3g}" in best
    assert "| metric | this model | majority |" in best
    assert f"`{json.loads((finished / 'data.json').read_text())['content_hash']}`" in best
    assert "not known to be calibrated: too few rows to tell (9 rows, at least 75" in best
    assert "Rows: 42 for train, 9 for validation, 9 for test" in best
    assert re.search(r"Training took [\d.]+ ", best)


def test_the_card_quotes_no_text_and_no_path(finished: Path, reviews: Path) -> None:
    texts = [line.split(",")[0] for line in reviews.read_text().splitlines()[1:]]
    for model in finished.glob("*/model"):
        for name in ("README.md", "finetext.json"):
            said = (model / name).read_text()
            assert not [text for text in texts if text in said]
            assert str(reviews.parent) not in said
            assert str(finished.parent) not in said


def test_unknown_facts_are_left_out(tfidf: TfidfClassifier, tmp_path: Path) -> None:
    card = (tfidf.save(tmp_path / "m") / "README.md").read_text()
    assert is_ours(card)
    assert set(block(card)) == {"library_name", "pipeline_tag", "tags"}
    for line in ("No scores were recorded", "trained on was not recorded"):
        assert line in card
    assert "Energy and carbon were not measured" in card


def test_unusual_names_are_shown_unchanged(topics: Dataset, tmp_path: Path) -> None:
    labels = dict(zip(topics.scheme.names, ODD, strict=False))  # type: ignore[union-attr]
    texts = [row["text"] for row in topics]
    frame = {"text": texts, "label": [labels[row["label"]] for row in topics]}
    place = tmp_path / "a: 'b'\n#c.csv"
    source = finetext.read(
        [dict(zip(frame, row, strict=True)) for row in zip(*frame.values(), strict=True)]
    )
    model = Tfidf(inverse_regularisation=1.0).fit(source, source, FitContext())
    record = {
        "title": "---\nlicense: none\n---",
        "data": {"name": place.name, "labels": dict.fromkeys(labels.values(), 9)},
        "scores": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10}},
        "findings": {"odd|code": 1},
    }
    folder = save_model(model, tmp_path / "m", {"method": "a|b\n"}, record)
    card = (folder / "README.md").read_text()
    found = block(card)
    assert "license" not in found
    assert found["model-index"][0]["results"][0]["dataset"]["name"] == "a: 'b' #c.csv"
    body = card.split("---\n", 2)[2]
    assert "\n---\n" not in body
    for line in body.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 4), line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<script>", r"\<script\>"),
        ("a\n\n---\nb", "a --- b"),
        ("x\u202ey\x00\u200b", "xy"),
        ("👩\u200d👧 é", "👩\u200d👧 é"),
        (":tada: a: b", r"\:tada: a: b"),
        ("\ud83c", ""),
        ("x" * 300, "x" * 199 + "…"),
        (7, "7"),
    ],
)
def test_markdown_is_escaped(text: Any, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/jane/encoders/mine/", "mine"),
        (r"C:\Users\jane\mine", "mine"),
        (r"\\server\share\mine", "mine"),
        ("~/mine", "mine"),
        ("./encoders/mine", "mine"),
        ("minilm", "minilm"),
        ("BAAI/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5"),
        (3, 3),
    ],
)
def test_paths_are_cut_to_their_last_part(value: Any, shown: Any) -> None:
    assert without_path(value) == shown


def test_the_license_is_that_of_the_base_model() -> None:
    recipe = Recipe.from_values({"methods": {"majority": {}}})
    base = base_of("minilm", recipe)
    card = model_card(described(classifier="transformer", record={"base": base}), "jane/x")
    found = block(card)
    assert found["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert (found["license"], found["language"]) == ("apache-2.0", "en")
    assert found["library_name"] == "transformers"
    assert "license" not in block(model_card(described(record={"base": {"model": "me/own"}})))
    assert base_of("owner/never-heard-of", recipe) == {"model": "owner/never-heard-of"}
    assert base_of("random:tiny", recipe) == {"kind": "random"}
    several = block(model_card(described(record={"base": base_of("e5-multilingual", recipe)})))
    assert "language" not in several


def test_a_data_set_of_the_hub_is_linked() -> None:
    score = {"value": 0.5, "low": None, "high": None, "n": 10}
    record = {"data": {"hub": "stanfordnlp/imdb"}, "scores": {"accuracy": score}}
    found = block(model_card(described(record=record)))
    assert found["datasets"] == ["stanfordnlp/imdb"]
    assert found["model-index"][0]["results"][0]["dataset"]["type"] == "stanfordnlp/imdb"
    undefined = {"accuracy": score | {"value": None}}
    assert "model-index" not in block(model_card(described(record={"scores": undefined})))


@pytest.mark.parametrize(
    ("decision", "several", "said"),
    [
        ({}, False, "The most probable label is predicted"),
        ({}, True, "from a probability of 0.5"),
        ({"thresholds": [0.2, 0.4], "aim": "aim f1"}, True, "between 0.2 and 0.4 (aim f1)"),
        ({"thresholds": [0.2, 0.4]}, False, "to threshold (between 0.2 and 0.4)"),
        ({"costs": [[0, 1], [9, 0]]}, False, "the least expected cost"),
        ({"least": [0.7, 0.7]}, False, "less probable than 0.7."),
        ({"set_from": 0.1, "coverage": 0.9}, False, "contain the true label for 90%"),
        ({"set_from": [0.1, 0.2], "coverage": 0.9}, False, "between 0.1 and 0.2; they are meant"),
        ({"least": [0.7, 0.7], "assured": [False]}, False, "is aimed at, not assured"),
    ],
)
def test_the_decision_rule_is_described(decision: dict[str, Any], several: bool, said: str) -> None:
    card = model_card(described(decision=decision, multilabel=several))
    assert said in card


def test_energy_is_shown_only_if_watts_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetext.core import environment

    monkeypatch.setattr(environment, "POWER_LIMITS", tmp_path)
    assert environment.stated_watts("cpu") is None
    for name, watts in (("intel-rapl:0", 100), ("intel-rapl:1", 80), ("intel-rapl:0:0", 30)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "constraint_0_power_limit_uw").write_text(f"{watts}000000\n")
    assert environment.stated_watts("cpu") == 180
    assert environment.stated_watts("mps") is None
    energy = {"watts": 180.0, "watt_hours": 9.0, "part": "processor"}
    machine = {"device": "cpu", "processor": "a processor"}
    card = model_card(described(record={"costs": {"energy": energy}, "machine": machine}))
    assert "9 Wh at most, if the processor drew its stated limit of 180 W" in card
    assert "436 g per kWh (Ember, 2022)\n  that is 3.92 g of CO2;" in card
    carbon = block(card)["co2_eq_emissions"]
    assert (carbon["emissions"], carbon["hardware_used"]) == (3.92, "a processor")
    assert "co2_eq_emissions" not in block(model_card(described()))
    (tmp_path / "intel-rapl:1" / "constraint_0_power_limit_uw").write_text("none")
    assert environment.stated_watts("cpu") is None


def snippets(card: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", card, re.S | re.M)


def test_the_snippets_of_the_card_run(
    fine_tuned: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(fine_tuned / "mine" / "model", tmp_path / "m")
    card = (folder / "README.md").read_text()
    monkeypatch.chdir(folder)
    ours, theirs = snippets(card)
    capsys.readouterr()
    exec(compile(ours, "ours", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    exec(compile(theirs, "theirs", "exec"), {})
    with_transformers = capsys.readouterr().out
    label, probability = next(iter(eval(said[0]).items()))
    assert eval(said[1]) == [label]
    first = re.search(r"'label': '(\w+)', 'score': ([\d.]+)", with_transformers)
    assert first
    assert first[1] == label
    assert float(first[2]) == pytest.approx(probability, abs=1e-5)
    found = block(card)
    assert found["library_name"] == "transformers"
    assert "base_model" not in found


def test_a_local_encoder_is_named_without_its_path(fine_tuned: Path, tiny_encoder: Path) -> None:
    card = (fine_tuned / "mine" / "model" / "README.md").read_text()
    assert tiny_encoder.name in card
    assert str(tiny_encoder.parent) not in card
    record = read_description(fine_tuned / "mine" / "model")["record"]
    assert record["base"] == {"name": tiny_encoder.name}
    assert "name" not in record["data"]
    for path in (fine_tuned / "mine" / "model").glob("*.json"):
        if path.name != "finetext.json":
            assert str(tiny_encoder) not in path.read_text()


def test_a_new_decision_rule_has_no_scores(command: Callable[..., Any], finished: Path) -> None:
    assert command("decide", finished, "--aim", "f1", "--out", "new").status == 0
    card = Path("new/README.md").read_text()
    assert "No scores were recorded" in card
    assert "Rows: 42 for train" in card
