"""What a model folder keeps of held-out rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import finetext
from finetext.core.decision import Decision
from finetext.core.errors import ModelError
from finetext.core.types import LabelScheme, Predictions
from finetext.models import files, reference
from finetext.models.folder import read_description
from finetext.models.reference import FILE, Reference, States, carry
from finetext.models.upload import staged

THREE = LabelScheme(("a", "b", "c"))


def predictions(rows: int = 8, scheme: LabelScheme = THREE) -> Predictions:
    random = np.random.default_rng(0)
    likely = random.dirichlet(np.ones(len(scheme)), size=rows)
    targets = likely.argmax(axis=1)
    if scheme.multilabel:
        targets = (likely > 0.4).astype(np.int64)
    ids, groups = (
        tuple(f"row {n}" for n in range(rows)),
        tuple(f"author {n % 3}" for n in range(rows)),
    )
    return Predictions(ids, targets, likely, scheme, groups=groups)


@pytest.fixture(scope="module")
def classifier(topics: finetext.Dataset) -> finetext.Classifier:
    method = finetext.Tfidf(longest_ngram=1, inverse_regularisation=1.0, by_ratios=False)
    return finetext.fit(topics.texts, topics.labels, method)


@pytest.fixture
def folder(classifier: finetext.Classifier, tmp_path: Path) -> Path:
    return classifier.save(tmp_path / "model")


@pytest.mark.parametrize("multilabel", [False, True])
def test_what_is_written_is_read(folder: Path, multilabel: bool) -> None:
    scheme = replace(THREE, multilabel=multilabel)
    of = predictions(scheme=scheme)
    texts = [f"secret text {n}" for n in range(8)]
    kept = Reference.of(of, texts, "test")
    kept = replace(kept, states=States.of(np.random.default_rng(1).normal(size=(5, 4))))
    kept.save(folder)
    found = Reference.read(folder, scheme, Decision())
    assert found is not None
    assert found.part == "test"
    assert np.array_equal(found.predictions.targets, kept.predictions.targets)
    assert found.predictions.probabilities == pytest.approx(
        kept.predictions.probabilities, abs=1e-3
    )
    assert found.predictions.groups == kept.predictions.groups
    assert np.array_equal(found.hashes, kept.hashes)
    assert (found.places.tolist(), found.rows) == (kept.places.tolist(), 8)
    assert found.states is not None
    assert kept.states is not None
    assert np.array_equal(found.states.codes, kept.states.codes)


def test_the_file_holds_no_text_id_or_group_and_can_be_deleted_and_stays_here(folder: Path) -> None:
    Reference.of(predictions(), [f"secret text {n}" for n in range(8)], "test").save(folder)
    content = (folder / FILE).read_bytes()
    assert not [word for word in (b"secret", b"row 1", b"author") if word in content]
    checked = files.checked(folder, read_description(folder))
    assert checked.is_sound
    assert not checked.extra
    with staged(folder, "jane/topics") as (stage, left_out):
        assert left_out == (FILE,)
        assert not (stage / FILE).exists()
    (folder / FILE).unlink()
    assert finetext.load(folder)("a late goal")


def test_a_text_is_kept_once_and_of_many_some(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(Reference.of(predictions(), ["same"] * 4 + list("bcde"), "test")) == 5
    monkeypatch.setattr(reference, "MOST_ROWS", 3)
    of = predictions()
    kept = Reference.of(of, list("abcdefgh"), "test")
    assert len(kept) == 3
    assert len(kept.hashes) == 3
    assert Reference.of(of, list("abcdefgh"), "test").predictions.targets.tolist() == (
        kept.predictions.targets.tolist()
    )


def test_states_far_away_are_as_far_as_can_be_told() -> None:
    states = States.of(np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]]))
    assert states.codes[:, 1].tolist() == [0, 0, 0]
    assert states.rounded(np.array([[1e9, 5.0]])).tolist() == [[127, 0]]


def test_a_model_without_one_has_none(folder: Path) -> None:
    assert Reference.read(folder, THREE, Decision()) is None
    carry(folder, folder, THREE)
    assert not (folder / FILE).exists()


def test_a_damaged_file_and_one_of_other_labels_are_refused(folder: Path) -> None:
    Reference.of(predictions(), list("abcdefgh"), "test").save(folder)
    with pytest.raises(
        ModelError, match=r"of other labels; name rows to compare with: --reference"
    ):
        Reference.read(folder, LabelScheme(("x", "y", "z")), Decision())
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(content[:-40])
    with pytest.raises(ModelError, match="is damaged"):
        Reference.read(folder, THREE, Decision())


def test_probabilities_that_are_none_are_refused(folder: Path) -> None:
    of = predictions()
    of.probabilities[0, 0] = np.nan
    Reference.of(of, list("abcdefgh"), "test").save(folder)
    with pytest.raises(ModelError, match="its probabilities or labels are none"):
        Reference.read(folder, THREE, Decision())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"states": np.zeros(5, np.int8)}, "its states have another shape"),
        ({"states": np.zeros((9, 4), np.int8)}, "its states have another shape"),
        ({"states": np.zeros((5, 4), np.float32)}, "its states are of another type"),
        ({"mean": np.zeros(3, np.float32)}, "its states have another shape"),
        ({"mean": np.full(4, np.nan, np.float32)}, "no finite mean and scale"),
        ({"scale": np.zeros(4, np.float32)}, "no finite mean and scale"),
        ({"groups": np.zeros(3, np.int32)}, "groups has the shape"),
        ({"groups": np.zeros(8, np.float32)}, "no whole numbers"),
        ({"places": np.arange(1, 9, dtype=np.int32)}, "its places are none"),
    ],
)
def test_damaged_arrays_are_refused(
    folder: Path, changed: dict[str, np.ndarray], said: str
) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    kept = Reference.of(predictions(), list("abcdefgh"), "test")
    replace(kept, states=States.of(np.random.default_rng(1).normal(size=(5, 4)))).save(folder)
    with safe_open(folder / FILE, "numpy") as opened:
        about = opened.metadata()
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    save_file(arrays | changed, folder / FILE, about)
    with pytest.raises(ModelError, match=f"is damaged: .*{said}"):
        Reference.read(folder, THREE, Decision())


def test_rows_of_an_unknown_part_are_refused(folder: Path) -> None:
    Reference.of(predictions(), list("abcdefgh"), "\x1b[31mtest").save(folder)
    with pytest.raises(ModelError, match="of no part that is known"):
        Reference.read(folder, THREE, Decision())


def test_rows_are_drawn_before_copies_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "MOST_ROWS", 40)
    kept = Reference.of(predictions(200), ["same"] * 180 + list("abcdefghijklmnopqrst"), "test")
    assert kept.rows == 40
    assert len(kept) < 12
    assert kept.places[0] == 0
    assert (np.diff(kept.places) > 0).all()


def test_words_are_counted_in_one_text_of_each_group() -> None:
    kept = Reference.of(predictions(9), [f"alike {n}" for n in range(9)], "test")
    assert kept.documents.max() == 3


def test_another_model_with_the_same_probabilities_keeps_it_without_states(
    folder: Path, tmp_path: Path
) -> None:
    kept = Reference.of(predictions(), list("abcdefgh"), "test")
    replace(kept, states=States.of(np.eye(3))).save(folder)
    other = finetext.load(folder).save(tmp_path / "other")
    carry(folder, other, THREE, with_states=False)
    found = Reference.read(other, THREE, Decision())
    assert found is not None
    assert found.states is None
    assert len(found) == 8
