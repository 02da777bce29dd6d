"""What holds for every method in the registry, those of other packages included, and a cascade."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llm_server import LlmServer, serving

from finetext.core import registry
from finetext.core.arrays import probabilities_of
from finetext.core.contracts import Classifier, FitContext, Member, Method, predict
from finetext.core.decision import AS_LIKELY, Decision
from finetext.core.errors import RecipeError
from finetext.core.types import Dataset
from finetext.evaluation.calibration import tempered
from finetext.evaluation.cascading import HeldOut
from finetext.methods.cascade import CascadeClassifier, Stage
from finetext.methods.teacher import Teacher
from finetext.runs.recipe import Recipe

ENDPOINT = LlmServer()
CASCADE = "cascade"
ODD_NAMES = {"sport": 'it\'s "sport", or\nnot', "money": "0", "food": "true 🍲 é\u202e"}
ODD_TEXTS = {
    "empty": "",
    "blank": " \n\t ",
    "long": "bread and salt " * 7_000,
    "one long word": "x" * 50_000,
    "emoji": "😀👩‍👩‍👧",
    "control": "\x00\x07 bread \x1b",
    "right to left": "שלום עולם مرحبا",
    "other script": "面包和盐 ขนมปัง",
    "lone surrogate": "bread \ud83c and salt",
    "special tokens": "[PAD] [CLS] [MASK] </s>",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A method that was fitted, and how to do it again."""

    classifier: Classifier
    train: Dataset
    fit: Callable[[int], Classifier]


def made(name: str, encoder: Path) -> Method:
    """The method with settings that keep it small, and an endpoint on loopback."""
    kind = registry.load("methods", name)
    small = {"encoder": str(encoder), "epochs": 2, "inverse_regularisation": 1.0}
    small |= {"url": ENDPOINT.url, "model": "toy", "similarity": str(encoder)}
    fields = {field.name for field in dataclasses.fields(kind)}
    method: Method = kind(**{key: value for key, value in small.items() if key in fields})
    return method


def members(encoder: Path, train: Dataset, context: FitContext) -> dict[str, Member]:
    """Two methods for one that combines others."""
    fitted = {of: made(of, encoder).fit(train, train, context) for of in ("tfidf", "probe")}
    return {of: Member(one, predict(one, train)) for of, one in fitted.items()}


def cascaded(encoder: Path, train: Dataset, context: FitContext) -> Classifier:
    """A cascade of two methods, of which the first decides about half of the texts."""
    (cheap, one), (expensive, other) = members(encoder, train, context).items()
    limits = HeldOut.of(one.predictions, other.predictions).thresholds()
    assert train.scheme is not None
    stages = Stage(cheap, one.classifier), Stage(expensive, other.classifier)
    return CascadeClassifier(train.scheme, AS_LIKELY, *stages, limits[len(limits) // 2])


@pytest.fixture(scope="module", autouse=True)
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A language model that goes by the length of a text, and a cache for its answers."""
    with serving() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINETEXT_CACHE", str(tmp_path_factory.mktemp("cache")))
        ENDPOINT.url = server.url
        yield


@pytest.fixture(scope="module", params=[*registry.names("methods"), CASCADE])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["one label", "several labels"])
def case(
    request: pytest.FixtureRequest,
    name: str,
    tiny_encoder: Path,
    topics: Dataset,
    mixed_topics: Dataset,
    make_dataset: Callable[..., Dataset],
    tmp_path_factory: pytest.TempPathFactory,
) -> Case:
    if request.param == "one label":
        odd: list[Any] = [ODD_NAMES[label] for label in topics.labels]
        train = make_dataset(topics.texts, odd)
    else:
        odd = [[ODD_NAMES[label] for label in row] for row in mixed_topics.labels]
        train = make_dataset(mixed_topics.texts, odd)

    def fit(seed: int) -> Classifier:
        context = FitContext(seed=seed, device="cpu")
        if name == CASCADE:
            return cascaded(tiny_encoder, train, context)
        method = made(name, tiny_encoder)
        if isinstance(method, Teacher):
            saved = tmp_path_factory.mktemp("teacher") / "model"
            made("tfidf", tiny_encoder).fit(train, train, context).save(saved)
            method = Teacher(str(saved))
        if method.combines:
            context = dataclasses.replace(context, members=members(tiny_encoder, train, context))
        return method.fit(train, train.select(range(9)), context)

    return Case(fit(3), train, fit)


@pytest.fixture(scope="module")
def folder(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The saved classifier."""
    return case.classifier.save(tmp_path_factory.mktemp("saved") / "model")


def test_same_seed_gives_the_same_probabilities(case: Case) -> None:
    import torch

    random.seed()
    np.random.seed()
    torch.seed()
    texts = case.train.texts
    again = case.fit(3).predict_proba(texts)
    np.testing.assert_array_equal(again, case.classifier.predict_proba(texts))


def test_probabilities_have_one_row_a_text_and_one_column_a_label(case: Case) -> None:
    texts = [*case.train.texts, "something else"]
    probabilities = case.classifier.predict_proba(texts)
    assert probabilities.shape == (len(texts), 3)
    assert probabilities.dtype == np.float64
    assert case.classifier.scheme == case.train.scheme
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    if not case.classifier.scheme.multilabel:
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-9)


def test_no_texts_give_no_rows(case: Case) -> None:
    assert case.classifier.predict_proba([]).shape == (0, 3)
    assert case.classifier.logits([]).shape == (0, 3)
    assert case.classifier.predict([]) == []


def test_logits_give_the_probabilities(case: Case) -> None:
    several = case.classifier.scheme.multilabel
    logits = case.classifier.logits(case.train.texts)
    np.testing.assert_allclose(
        probabilities_of(logits, several), case.classifier.predict_proba(case.train.texts)
    )


def test_labels_follow_the_decision(case: Case) -> None:
    names, texts = case.classifier.scheme.names, case.train.texts
    probabilities = case.classifier.predict_proba(texts)
    if case.classifier.scheme.multilabel:
        rule, wanted = Decision(thresholds=(1e-9, 2.0, 2.0)), [[names[0]] for _ in texts]
    else:
        least = float(np.median(probabilities.max(axis=1))) + 1e-9
        rule = Decision(least=(least,) * 3)
        wanted = [names[i] if row[i] >= least else None for row in probabilities
                  for i in [int(row.argmax())]]  # fmt: skip
        assert None in wanted
    assert case.classifier.with_decision(rule).predict(texts) == wanted


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_odd_texts_survive(case: Case, text: str) -> None:
    alone = case.classifier.predict_proba([text])
    assert np.isfinite(alone).all()
    assert ((alone >= 0) & (alone <= 1)).all()
    among_others = case.classifier.predict_proba(["fresh bread", text, "the match"])
    np.testing.assert_allclose(among_others[1], alone[0], atol=1e-5)


def test_order_of_rows_is_kept(case: Case) -> None:
    texts = [*case.train.texts, "", "bread " * 60]
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = case.classifier.predict_proba([texts[i] for i in order])
    np.testing.assert_allclose(shuffled, case.classifier.predict_proba(texts)[order], atol=1e-5)


def test_saved_and_loaded_is_equal(case: Case, folder: Path) -> None:
    loaded = Classifier.load(folder, device="cpu")
    texts = [*case.train.texts, *ODD_TEXTS.values()]
    np.testing.assert_allclose(
        loaded.predict_proba(texts), case.classifier.predict_proba(texts), atol=1e-6
    )
    assert type(loaded) is type(case.classifier)
    assert loaded.scheme == case.train.scheme
    assert loaded.decision == Decision()


def test_saved_loaded_and_saved_again_is_equal(case: Case, folder: Path, tmp_path: Path) -> None:
    again = Classifier.load(Classifier.load(folder, "cpu").save(tmp_path / "again"), "cpu")
    np.testing.assert_allclose(
        again.predict_proba(case.train.texts),
        case.classifier.predict_proba(case.train.texts),
        atol=1e-6,
    )


def test_the_decision_is_kept(case: Case, tmp_path: Path) -> None:
    decision = Decision(1.5, thresholds=(0.1, 0.25, 0.9), set_from=0.2, coverage=0.9, aim="f1")
    loaded = Classifier.load(case.classifier.with_decision(decision).save(tmp_path / "m"), "cpu")
    assert loaded.decision == decision


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_the_temperature_divides_the_logits(case: Case, tmp_path: Path, temperature: float) -> None:
    texts = [*case.train.texts, *ODD_TEXTS.values()]
    several = case.classifier.scheme.multilabel
    before = case.classifier.predict_proba(texts)
    cooled = case.classifier.with_temperature(temperature)
    wanted = tempered(before, several, temperature)
    np.testing.assert_allclose(cooled.predict_proba(texts), wanted, atol=1e-6)
    loaded = Classifier.load(cooled.save(tmp_path / "m"), "cpu")
    np.testing.assert_allclose(loaded.predict_proba(texts), wanted, atol=1e-6)
    np.testing.assert_array_equal(case.classifier.predict_proba(texts), before)


def test_the_folder_holds_no_pickle(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert path.suffix not in (".pkl", ".pickle", ".bin", ".pt", ".pth", ".joblib", ".npy")
        assert not (content.startswith(b"\x80") and content.endswith(b".")), path
        assert not content.startswith(b"PK\x03\x04"), path


def test_calling_it_with_a_text_gives_every_label_likeliest_first(case: Case) -> None:
    said = case.classifier("fresh bread")
    assert set(said) == set(ODD_NAMES.values())
    assert list(said.values()) == sorted(said.values(), reverse=True)
    row = case.classifier.predict_proba(["fresh bread"])[0]
    assert said == pytest.approx(dict(zip(case.classifier.scheme.names, row, strict=True)))


def test_predictions_keep_ids_and_targets(case: Case) -> None:
    predictions = predict(case.classifier, case.train)
    assert list(predictions.ids) == case.train.ids
    np.testing.assert_array_equal(predictions.targets, case.train.targets)
    assert predictions.decisions.shape == case.train.targets.shape


@pytest.mark.parametrize("name", registry.names("methods"))
def test_hyperparameters_are_validated(name: str) -> None:
    def refused(settings: dict[str, object], message: str) -> None:
        with pytest.raises(RecipeError, match=message):
            Recipe.from_values({"methods": {name: settings}})

    refused({"no_such_setting": 1}, "has no setting 'no_such_setting'")
    for field in dataclasses.fields(registry.load("methods", name)):
        refused({field.name: object()}, rf"\[methods.{name}\]: {field.name} = ")


@pytest.mark.parametrize("name", registry.names("methods"))
def test_its_defaults_can_be_put_into_a_recipe(name: str) -> None:
    recipe = Recipe.from_values({"methods": {name: {}}})
    assert recipe.methods[name] == registry.load("methods", name)()
    assert registry.load("methods", name).name == name
