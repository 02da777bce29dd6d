"""`read` on the real data sets and on what Python users have in memory."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from finetext.core import registry
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset
from finetext.data.read import read

UNLABELLED = ReadSettings(labelled=False)


def names(data: Dataset) -> tuple[str, ...]:
    assert data.scheme is not None
    return data.scheme.names


def codes(data: Dataset) -> list[str]:
    return [finding.code for finding in data.findings]


def splits(data: Dataset) -> dict[str, int]:
    return dict(Counter(data.column("split")))


def test_sms_reads_quotes_as_they_are(shared_data: Path) -> None:
    data = read(shared_data / "sms_spam" / "SMSSpamCollection")
    assert Counter(data.labels) == {"ham": 4827, "spam": 747}
    assert "tab-separated" in data.description
    assert "5,574 rows" in data.description


def test_rotten_tomatoes_keeps_line_breaks(shared_data: Path) -> None:
    folder = shared_data / "rotten_tomatoes_movies"
    data = read(folder / "rotten_tomatoes_movies.csv", group="movie")
    assert Counter(data.labels) == {"fresh": 7403, "rotten": 5405}
    assert sum("\n" in text or "\r" in text for text in data.texts) == 141
    assert len(set(data.groups or [])) == 508


def test_goemotions_is_multilabel_with_names(shared_data: Path) -> None:
    data = read(shared_data / "goemotions")
    assert splits(data) == {"train": 43410, "validation": 5426, "test": 5427}
    assert data.scheme is not None
    assert data.scheme.multilabel
    lines = (shared_data / "goemotions" / "labels.txt").read_text().split()
    assert list(names(data)) == lines
    assert "labels.txt" in data.description
    assert Counter(map(len, data.labels)) == {1: 45446, 2: 8124, 3: 655, 4: 37, 5: 1}
    assert sum(text.startswith('"') for text in data.texts) == 1383
    train = (shared_data / "goemotions" / "train.tsv").read_bytes().decode().split("\n")
    assert data.texts[:43410] == [line.split("\t")[0] for line in train if line]


def test_emotion_folder_is_not_confused_by_its_variants(shared_data: Path) -> None:
    data = read(shared_data / "emotion")
    assert splits(data) == {"train": 16000, "validation": 2000, "test": 2000}
    assert names(data) == ("anger", "fear", "joy", "love", "sadness", "surprise")
    assert "files-left-out" in codes(data)


@pytest.mark.parametrize("name", ["val_blank_first_line.txt", "val_with_header.txt"])
def test_emotion_variants_hold_the_same_rows(shared_data: Path, name: str) -> None:
    plain = read(shared_data / "emotion" / "val.txt")
    variant = read(shared_data / "emotion" / "variants" / name)
    assert len(variant) == 2000
    assert variant.texts == plain.texts
    assert variant.labels == plain.labels
    assert ("blank-lines" in codes(variant)) == ("blank" in name)


def test_bbc_archive_reports_its_latin_1_file(shared_data: Path) -> None:
    data = read(shared_data / "bbc_news" / "bbc_news.tar.gz")
    assert Counter(data.labels) == {
        "sports": 511,
        "business": 510,
        "politics": 417,
        "tech": 401,
        "entertainment": 386,
    }
    assert codes(data) == ["not-utf8"]
    assert "sports/199.txt" in data.findings[0].message
    assert "£" in data.texts[data.ids.index("sports/199.txt")]


def test_banking77(shared_data: Path) -> None:
    data = read(shared_data / "banking77")
    assert splits(data) == {"train": 10003, "test": 3080}
    assert len(names(data)) == 77
    assert list(names(data)) == sorted(names(data))


def test_imdb(shared_data: Path) -> None:
    train = read(shared_data / "imdb" / "train.csv.gz", group="movie")
    assert Counter(train.labels) == {"pos": 12500, "neg": 12500}
    assert train.table.column_names == ["id", "text", "label", "group"]
    with pytest.raises(DataError, match="movie"):
        read(shared_data / "imdb" / "train.csv.gz", text="movie")


def test_sst2(shared_data: Path) -> None:
    glue = read(shared_data / "sst2" / "glue")
    assert splits(glue) == {"train": 67349, "validation": 872}
    assert "split-without-labels" in codes(glue)
    sentences = read(shared_data / "sst2" / "sentences")
    assert splits(sentences) == {"train": 6920, "validation": 872, "test": 1821}
    assert names(sentences) == ("0", "1")
    hidden = read(shared_data / "sst2" / "glue" / "test.tsv", settings=UNLABELLED)
    assert len(hidden) == 1821
    assert hidden.scheme is None
    assert hidden.ids[:2] == ["0", "1"]


def test_running_text_without_labels(shared_data: Path) -> None:
    path = shared_data / "wikitext2" / "valid.txt.gz"
    data = read(path, settings=UNLABELLED)
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    assert len(lines) == 3760 + 1
    assert data.texts == [line for line in lines if line.strip()]


ROWS = [
    {"text": "a fine film", "label": "pos"},
    {"text": "a dull film", "label": "neg"},
    {"text": "not bad at all", "label": "pos"},
]


def in_memory() -> dict[str, object]:
    import datasets
    import pandas as pd
    import polars as pl

    columns = {key: [row[key] for row in ROWS] for key in ROWS[0]}
    return {
        "list of mappings": ROWS,
        "mapping of lists": columns,
        "pair": (columns["text"], columns["label"]),
        "list of pairs": list(zip(*columns.values(), strict=True)),
        "pandas": pd.DataFrame(columns),
        "pandas category": pd.DataFrame(columns).astype({"label": "category"}),
        "polars": pl.DataFrame(columns),
        "datasets": datasets.Dataset.from_dict(columns),
    }


@pytest.mark.parametrize("kind", in_memory())
def test_reads_what_is_in_memory(kind: str) -> None:
    data = read(in_memory()[kind])
    assert data.texts == [row["text"] for row in ROWS]
    assert data.labels == [row["label"] for row in ROWS]
    assert data.ids == ["1", "2", "3"]
    assert names(data) == ("neg", "pos")


def test_a_dataset_passes_through() -> None:
    data = read(ROWS)
    assert read(data) is data


def test_texts_alone_need_labelled_false() -> None:
    texts = ["one text", "another text"]
    assert read(texts, settings=UNLABELLED).texts == texts
    with pytest.raises(DataError, match="labels"):
        read(texts)


def test_class_labels_keep_their_order_and_minus_one_is_missing() -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "Fine", "a"])}
    )
    rows = {"text": ["one text", "two texts", "three texts", "four"], "label": [2, 0, -1, 1]}
    source = datasets.Dataset.from_dict(rows, features=features)
    with pytest.raises(DataError, match="row 3"):
        read(source)
    data = read(source, settings=ReadSettings(drop_unlabelled=True))
    assert names(data) == ("neg", "Fine", "a")
    assert data.labels == ["a", "neg", "Fine"]
    assert data.ids == ["1", "2", "4"]


def test_dataset_dict_gives_ready_made_splits() -> None:
    import datasets

    part = datasets.Dataset.from_list(ROWS)
    source = datasets.DatasetDict({"test": part, "train": part, "unsupervised": part})
    data = read(source)
    assert data.column("split") == ["train"] * 3 + ["test"] * 3
    assert data.ids[3] == "test/1"
    assert "other-splits" in codes(data)


def test_pandas_numbers_and_gaps() -> None:
    import pandas as pd

    frame = pd.DataFrame({"text": ["one a", "two b", "three c"], "label": [1.0, None, 0.0]})
    with pytest.raises(DataError, match="1 of 3 rows"):
        read(frame)
    data = read(frame, settings=ReadSettings(drop_unlabelled=True))
    assert data.labels == ["1", "0"]


def test_splits_from_a_mapping(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("text,label\none text,x\ntwo texts,y\n")
    data = read({"dev": tmp_path / "b.csv", "train": str(tmp_path / "a.csv")})
    assert data.column("split") == ["train", "train", "validation", "validation"]
    with pytest.raises(DataError, match="same split"):
        read({"dev": tmp_path / "b.csv", "validation": tmp_path / "a.csv"})


def test_registered_sample(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "toy.csv"
    path.write_text("text,label\none text,x\ntwo texts,y\n")
    monkeypatch.setattr(registry, "names", lambda table: ("toy-sample",))
    monkeypatch.setattr(registry, "load", lambda table, name: lambda: path)
    assert len(read("toy-sample")) == 2
    with pytest.raises(DataError, match="toy-sample"):
        read("toy-sampel")


def test_hub_names(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def load(path: str, config: str | None = None) -> datasets.DatasetDict:
        asked.append((path, config))
        if path == "glue" and config == "sst2":
            return datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)})
        raise FileNotFoundError(f"Dataset '{path}' doesn't exist on the Hub")

    monkeypatch.setattr("finetext.data.records.hub_answers", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load)
    assert len(read("hub:glue/sst2")) == 3
    assert asked == [("glue/sst2", None), ("glue", "sst2")]
    with pytest.raises(DataError, match=r"owner/name/config.*doesn't exist"):
        read("hub:owner/name/config")
    assert asked[-1] == ("owner/name", "config")


def test_hub_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr("finetext.data.records.hub_answers", lambda: True)

    def load(path: str, config: str | None = None) -> None:
        raise ConnectionError(f"Couldn't reach {path!r}")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(DataError, match="Couldn't reach 'owner/name'"):
        read("hub:owner/name")


def test_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "toy data.csv"
    path.write_text("text,label\none text,x\ntwo texts,y\n")
    monkeypatch.setattr("finetext.data.sources.urlopen", lambda url, timeout: path.open("rb"))
    assert len(read("https://example.org/toy%20data.csv?x=1")) == 2


def test_unreachable_url() -> None:
    with pytest.raises(DataError, match=r"cannot fetch http://127.0.0.1:9/x.csv"):
        read("http://127.0.0.1:9/x.csv")


def test_import_is_light() -> None:
    heavy = ["torch", "transformers", "sklearn", "datasets", "pandas", "pyarrow", "openpyxl"]
    code = f"import sys, finetext.data.read; print([m for m in {heavy!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
