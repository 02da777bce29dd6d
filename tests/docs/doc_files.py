"""The small files, weights and runs that the pages of the manual speak of."""

from __future__ import annotations

import json
import pickle
import shutil
import string
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet
from doc_blocks import ROOT
from haiku_layout import random_arrays, write_tokenizer

import finetext

WORDS = ("fine", "moving", "warm"), ("dull", "empty", "cold")


def write_files(reviews: Path, run: Path) -> None:
    """Write them into the current folder; `run` is copied as the run on the reviews."""
    text = reviews.read_text()
    rows = [line.split(",") for line in text.splitlines()[1:]]
    for name in ("reviews.csv", "train.csv", "dev.csv", "test.csv"):
        Path(name).write_text(text)
    _write_tables(rows)
    _write_texts()
    _write_weights([row[0] for row in rows])
    copy = shutil.copytree(run, Path("runs") / "reviews")
    predicted = finetext.Run.open(copy).predictions("majority")
    cells = zip(predicted.ids, predicted.targets, predicted.probabilities, strict=True)
    names = predicted.scheme.names
    lines = [f"{row},{names[truth]},{','.join(map(str, of))}" for row, truth, of in cells]
    head = f"id,truth,{','.join(names)}"
    Path("other-predictions.csv").write_text("\n".join([head, *lines]) + "\n")


def _write_tables(rows: list[list[str]]) -> None:
    def table(name: str, head: str, lines: list[str]) -> None:
        Path(f"{name}.csv").write_text("\n".join([head, *lines]) + "\n")

    table("films", "nr,text,label,movie", [f"n{n},{','.join(row)}" for n, row in enumerate(rows)])
    flags = [("1,0", "joy"), ("0,1", "anger"), ("1,1", "joy;anger")] * 20
    both = zip(rows, flags, strict=True)
    table(
        "tagged", "text,joy,anger,tags", [f"{row[0]},{flag},{tags}" for row, (flag, tags) in both]
    )
    for name, head in (("pairs", "premise,hypothesis"), ("news", "title,body"), ("other", "a,b")):
        table(name, f"{head},label", [f"{row[0]},{row[0]} {row[1]},{row[1]}" for row in rows])
    codes = [f"{text},{label if n < 40 else -99}" for n, (text, label, _) in enumerate(rows)]
    table("survey", "text,label", codes)
    pair = [(n, row, coder) for n, row in enumerate(rows) for coder in "AB"]
    coded = [f"{t},{'neg' if n < 6 and c == 'B' else label},{c}" for n, (t, label, _), c in pair]
    table("coded", "text,label,coder", coded)
    sent = [f"{row[0]},{'spam' if row[1] == 'bad' else 'ham'}" for row in rows]
    for name in ("mails", "new-mails"):
        table(name, "text,label", sent)
    odd = [f"how does the engine number {n} turn,oos" for n in range(12)]
    table("requests", "text,label", [*(",".join(row[:2]) for row in rows), *odd])
    dialects = [f"{','.join(row)},{'north' if n % 2 else 'south'}" for n, row in enumerate(rows)]
    table("new", "text,label,movie,dialect", dialects)


def _write_texts() -> None:
    plots = [f"{word} actors, and a plot for children of {n}"
             for n in range(20) for word in ("great", "awful")]  # fmt: skip
    Path("unlabeled.csv").write_text("\n".join(["text", *(f'"{plot}"' for plot in plots)]) + "\n")
    for name in ("unlabeled.txt", "corpus.txt"):
        Path(name).write_text("\n".join(plots) + "\n")
    shutil.copytree(ROOT / "recipes", "recipes")
    Path("lines.txt").write_text("a fine film\na dull film\n")
    Path("data").mkdir()
    pyarrow.parquet.write_table(pyarrow.csv.read_csv("new.csv"), "data/new.parquet")
    for split, count in (("train", 12), ("valid", 6), ("test", 6)):
        for label, words in zip(("good", "bad"), WORDS, strict=True):
            folder = Path("films", split, label)
            folder.mkdir(parents=True)
            for n in range(count):
                text = f"{split} {n}: a {words[n % 3]} story with a {words[n % 2]} end"
                (folder / f"{n}.txt").write_text(text)


def _write_weights(texts: list[str]) -> None:
    np.savez("weights.npz", **random_arrays())
    write_tokenizer(Path("tokenizer.json"), texts)
    words = ["xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj"]
    words += ["a", "film", "is", "fine", "dull", "xxfake", "xxfake"]
    weights = awd_lstm(len(words))
    import torch

    torch.save(weights, "wt103.pth")
    Path("itos.pkl").write_bytes(pickle.dumps(words))
    finetext.convert("wt103.pth", "itos.pkl", "wt103")
    Path("models").mkdir()
    of_encoder = {n.removeprefix("0."): of for n, of in weights.items() if n.startswith("0.")}
    torch.save(of_encoder, "models/finetuned.pth")
    Path("vocab.json").write_text(json.dumps(words))


def awd_lstm(words: int, width: int = 4, inner: int = 6, layers: int = 3) -> dict[str, Any]:
    """Return random weights of a language model, in the names of fastai."""
    import torch

    torch.manual_seed(0)
    embedding = torch.randn(words, width)
    weights = {"0.encoder.weight": embedding, "0.encoder_dp.emb.weight": embedding}
    for number in range(layers):
        size = inner if number < layers - 1 else width
        lstm = torch.nn.LSTM(inner if number else width, size)
        for name, weight in lstm.named_parameters():
            weights[f"0.rnns.{number}.module.{name}"] = weight.detach()
        weights[f"0.rnns.{number}.weight_hh_l0_raw"] = lstm.weight_hh_l0.detach()
    return weights | {"1.decoder.weight": embedding, "1.decoder.bias": torch.zeros(words)}


def write_encoder(folder: Path, texts: list[str]) -> Path:
    """Write a sentence encoder with random weights, 32 wide, that reads 512 tokens."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    known += [f"##{letter}" for letter in letters]
    known += sorted({word for text in texts for word in text.lower().split()})
    tokenizer = BertTokenizerFast(vocab={word: n for n, word in enumerate(dict.fromkeys(known))})
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=512,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train_run(reviews: Path, folder: Path) -> Path:
    """Train a majority class, TF-IDF and the encoder that is called minilm on the reviews."""
    methods = {
        "tfidf": finetext.Tfidf(inverse_regularisation=1.0),
        "finetune": finetext.Finetune(epochs=1),
    }
    recipe = finetext.Recipe(source=str(reviews), methods=methods, refit=False)
    finetext.train(recipe, out=folder)
    return folder
