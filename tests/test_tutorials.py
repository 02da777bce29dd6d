"""The tasks of the tutorials on real data, shortened: few rows, short texts, small models.

`test_five_ways.py` runs the page; here its tasks reach what they promise. The numbers leave a
margin for other seeds. The data are in the folder that FINETEXT_DATA names.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

import finetext
from finetext import Finetune, Listener, Run, SplitSettings, Trainer
from finetext.runs.accesses import accesses

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("laid_out")]
SHORT = 60
"""Most words of a film review: the whole review fits into 80 tokens."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in, with a cache of its own."""
    folder = tmp_path_factory.mktemp("tutorials")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINETEXT_CACHE", str(folder / "cache"))
        yield folder


def short_reviews(path: Path, number: int) -> list[dict[str, str]]:
    """Return the first short reviews in a file of IMDb."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        short = (row for row in csv.DictReader(file) if len(row["text"].split()) <= SHORT)
        return list(itertools.islice(short, number))


def is_clearly_above(run: Run, method: str, baseline: str = "majority") -> bool:
    """Return whether the interval of the test accuracy lies above a baseline."""
    better, worse = (run.entry(name).metrics["test"]["accuracy"] for name in (method, baseline))
    return better.low > worse.value


def evaluations(run: Run, method: str) -> list[dict[str, float]]:
    """Return the figures on validation rows, of each evaluation during training."""
    lines = run.training_log(method)
    return [line["evaluation"] for line in lines if "evaluation" in line]


@pytest.fixture(scope="module")
def emotion(shared_data: Path, place: Path) -> Run:
    """Majority, TF-IDF, a probe and fine-tuned MiniLM on 300 tweets of six classes."""
    method = Finetune(epochs=3, learning_rate=6e-4, max_length=24)
    return finetext.train(
        shared_data / "emotion", ["majority", "tfidf", "probe", method],
        split=SplitSettings(train=300, validation=100, test=250),
        out=place / "emotion", listener=Listener(),
    )  # fmt: skip


def test_emotion_methods_beat_the_dummy_and_fine_tuning_the_probe(emotion: Run) -> None:
    dummy = emotion.entry("majority").metrics["test"]["accuracy"].value
    assert dummy == pytest.approx(0.347, abs=0.01)
    assert is_clearly_above(emotion, "probe")
    assert is_clearly_above(emotion, "finetune")
    assert is_clearly_above(emotion, "finetune", "probe")
    on_validation = {of.method: of.metrics["validation"]["macro_f1"] for of in emotion.leaderboard}
    assert emotion.best == max(on_validation, key=lambda name: on_validation[name].value)


def test_emotion_shares_are_those_of_the_data_in_each_split(emotion: Run) -> None:
    shares, whole = emotion.shares(), {"joy": 0.335, "sadness": 0.292, "surprise": 0.036}
    assert dict(shares.rows) == {"train": 300, "validation": 100, "test": 250}
    for split, (label, share) in itertools.product(shares, whole.items()):
        assert shares[split][label] == pytest.approx(share, abs=0.03), (split, label)


def test_emotion_confusions_and_errors_by_loss_agree_with_the_predictions(emotion: Run) -> None:
    predicted = finetext.open_predicted(emotion.folder, "finetune", "validation")
    counts = finetext.confusion(predicted.predictions)
    recall = np.diag(counts) / np.sum(counts, axis=1)
    rows = finetext.per_class(predicted.predictions)
    assert recall == pytest.approx([row.recall.value for row in rows])
    errors = finetext.find_errors(predicted, 10)
    assert errors.wrong == counts.sum() - np.trace(counts)
    assert len(errors.highest) == len(errors.lowest) == 10
    losses = [row.loss for row in errors.highest]
    assert losses == sorted(losses, reverse=True)
    assert all(row.truth != row.prediction for row in errors.highest[:3])
    assert all(row.truth == row.prediction for row in errors.lowest)


@pytest.fixture(scope="module")
def films(shared_data: Path, place: Path) -> Run:
    """MiniLM fine-tuned on 192 short film reviews."""
    rows = short_reviews(shared_data / "imdb" / "train.csv.gz", 472)
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    method = Finetune(epochs=2, learning_rate=3e-4, batch_size=16, max_length=80)
    return finetext.train(
        (texts, labels), method, split=SplitSettings(train=192, validation=80, test=200),
        out=place / "films", listener=Listener(),
    )  # fmt: skip


def test_films_fine_tuning_beats_the_dummy_with_the_best_epoch(films: Run) -> None:
    assert is_clearly_above(films, "finetune")
    seen = [of["validation macro_f1"] for of in evaluations(films, "finetune")]
    kept = films.entry("finetune").metrics["validation"]["macro_f1"].value
    assert len(seen) == 2
    assert kept == pytest.approx(max(seen))


def test_films_only_those_who_read_test_rows_are_recorded(films: Run) -> None:
    films.predictions("finetune", "validation")
    assert accesses(films.folder) == []
    first, again = films.predictions("finetune"), films.predictions("tfidf")
    assert first.ids == again.ids
    assert [line["by"] for line in accesses(films.folder)] == ["Python"]


def test_films_the_pipeline_and_the_classifier_agree(films: Run) -> None:
    texts = films.texts("finetune", "validation")
    folder = films.folder / films.entry("finetune").model
    classifier = finetext.load(folder).with_precision("fp32")
    ask: Any = transformers.pipeline("text-classification", model=str(folder), top_k=None)
    names = classifier.scheme.names
    answers = [
        {of["label"]: of["score"] for of in answer} for answer in ask(texts[:20], truncation=True)
    ]
    found = [[answer[name] for name in names] for answer in answers]
    assert np.array(found) == pytest.approx(classifier.predict_proba(texts[:20]), abs=1e-4)


def test_films_a_language_model_adapts_and_a_classifier_unfreezes_in_stages(
    shared_data: Path, place: Path
) -> None:
    """ULMFiT, small: Wikipedia, then films, then labels."""
    with gzip.open(shared_data / "wikitext2" / "valid.txt.gz", "rt", encoding="utf-8") as file:
        articles = [line for line in itertools.islice(file, 1500) if len(line.split()) > 20]
    small = finetext.Pretraining(
        preset="awd-lstm-small", width=32, feed_forward=48, pieces=2000, epochs=1
    )
    finetext.pretrain(articles, place / "articles", small, listener=Listener())
    rows = short_reviews(shared_data / "imdb" / "unlabelled.csv.gz", 500)
    reviews = [row["text"] for row in rows]
    method = finetext.Adaptation(str(place / "articles"))
    language = Trainer(method, reviews, folder=place / "language", listener=Listener())
    before: Any = language.scores()
    language.fit_stage(1, 1e-2, groups=1)
    language.fit_stage(2, 1e-2)
    after: Any = language.scores()
    assert after["perplexity"] < before["perplexity"] / 2
    encoder = language.save_encoder(place / "adapted").folder
    begin = "I liked this movie because"
    one, again, other = (finetext.generate(encoder, begin, 12, seed=seed) for seed in (0, 0, 1))
    assert one[0].startswith(begin)
    assert one == again
    assert one != other

    rows = short_reviews(shared_data / "imdb" / "train.csv.gz", 200)
    data = finetext.read(([row["text"] for row in rows], [row["label"] for row in rows]))
    classifier = Trainer(
        Finetune(str(encoder), schedule="one-cycle"), finetext.split(data),
        folder=place / "classifier", listener=Listener(),
    )  # fmt: skip
    *lower, head = classifier.layer_groups
    for groups, learning in ((1, head), (2, [*lower[-1], *head])):
        start = state(classifier)
        classifier.fit_stage(1, 2e-2, groups=groups)
        end = state(classifier)
        changed = {name for name in start if not np.array_equal(start[name], end[name])}
        assert changed
        assert changed <= set(learning)
    classifier.fit_stage(1, (1e-3 / 2.6**4, 1e-3))
    changed = {name for name, of in state(classifier).items() if not np.array_equal(of, end[name])}
    assert changed == set(itertools.chain(head, *lower))


def state(trainer: Trainer) -> dict[str, np.ndarray]:
    """Return the weights as they are now, by name."""
    model = trainer.classifier("last", calibrate=False).model  # type: ignore[attr-defined]
    return {name: of.detach().numpy() for name, of in model.named_parameters()}


@pytest.fixture(scope="module")
def sentences(shared_data: Path, place: Path) -> Run:
    """TF-IDF, and a tiny encoder pretrained on SST-2, beside the same with random weights."""
    settings = finetext.Pretraining(
        layers=2, heads=2, width=64, feed_forward=128, context=48, pieces=2000, epochs=2
    )
    source, encoder = shared_data / "sst2" / "sentences", place / "encoder"
    finetext.pretrain(source, encoder, settings, listener=Listener())
    method = Finetune(
        str(encoder), epochs=2, batch_size=32, largest_gradient=1.0, evaluate_every=50
    )
    return finetext.train(
        source, ["tfidf", method], split=SplitSettings(train=1500, validation=200, test=600),
        out=place / "sentences", listener=Listener(),
    )  # fmt: skip


def test_sentences_tfidf_beats_the_dummy(sentences: Run) -> None:
    assert is_clearly_above(sentences, "tfidf")


def test_sentences_pretraining_learns_the_language_without_test_rows(
    sentences: Run, place: Path
) -> None:
    origin = json.loads((place / "encoder" / "origin.json").read_text())
    assert origin["after"]["perplexity"] < origin["before"]["perplexity"] / 2
    assert origin["corpus"]["excluded"]["test"] >= 1821


def test_sentences_pretrained_and_random_weights_are_compared(sentences: Run) -> None:
    [gain] = sentences.paid
    pretrained, random = (sentences.entry(name) for name in (gain.method, gain.beside))
    values = [of.metrics["test"][sentences.metric].value for of in (pretrained, random)]
    assert gain.kind == "pretrained"
    assert gain.comparison.difference.value == pytest.approx(values[0] - values[1])
    assert gain.comparison.difference.low < gain.comparison.difference.value
    weights = list(sentences.folder.glob("finetune*/model/model.safetensors"))
    assert len(weights) == 2
    assert len({path.stat().st_size for path in weights}) == 1
    assert gain.seconds_before > 0


def test_sentences_are_evaluated_every_fifty_steps(sentences: Run) -> None:
    lines = sentences.training_log("finetune")
    assert [line["step"] for line in lines if "evaluation" in line] == [50, 94]
    for figures in evaluations(sentences, "finetune"):
        assert {"validation loss", "validation macro_f1"} <= set(figures)
