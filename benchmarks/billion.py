"""What does it take to classify a billion texts? Measured rows a second, and a plan on paper.

    FINETEXT_DATA=../shared/data python benchmarks/billion.py --threads 1
    python benchmarks/billion.py --methods tfidf --known tfidf=21000 --cores 8 --price 0.30

Measured for each of `--methods` whose rate `--known` does not give: rows a second of one core in
`finetext predict MODEL FILE.parquet --out FILE.parquet`, reading, tokenizing and writing included,
start and loading not, as the difference of two runs on files of different sizes, in seconds of the
processor. The texts are emotion tweets joined to 50 tokens of MiniLM each.

Calculated from them:
  core-hours = texts / rows a second / 3600 / efficiency
  hours      = core-hours / (instances x cores)
  cost       = hours x instances x price, which is the same for any number of instances
`--efficiency` is the share of a core's rate that is left when all cores of an instance work (they
share memory and its clock); 0.7 by default, a guess to be replaced by a trial on your instance.
Storage and transfer are not in the cost. Measure a shard of your texts before you order machines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import common
import pyarrow as pa
import pyarrow.parquet as pq
from common import Job

import finetext

TOKENS: Final = 50
ROWS: Final = {
    "tfidf": (20_000, 120_000), "static": (5_000, 40_000), "probe": (200, 1_700),
    "finetune": (200, 1_700), "finetune, ONNX": (200, 1_700), "finetune, ONNX int8": (200, 1_700),
}  # fmt: skip
"""Methods and the rows of the two files."""
EXPORTED: Final = {"finetune, ONNX": [], "finetune, ONNX int8": ["--quantize", "int8"]}
"""Further words of `finetext export`."""


def main() -> None:
    """Measure what is not known, and print the plan."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--methods", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument(
        "--known", nargs="+", default=[], type=known, metavar="METHOD=ROWS_A_SECOND"
    )
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (3)")
    parser.add_argument("--texts", type=float, default=1e9, help="how many (1e9)")
    parser.add_argument("--instances", type=int, default=50, help="machines (50)")
    parser.add_argument("--cores", type=int, default=16, help="of each (16)")
    parser.add_argument("--price", type=float, default=0.64, help="of an instance-hour (0.64)")
    parser.add_argument("--efficiency", type=float, default=0.7, help="see above (0.7)")
    options = parser.parse_args()
    rates = {name: [rate] for name, rate in options.known}
    options.methods = [name for name in options.methods if name not in rates]
    if options.methods:
        rates |= measured(options)
    titles = ["method", "rows/s of a core", "core-hours", "hours", "cost, in currency of --price"]
    rows = [[name, common.spread(of, 0), *plan(options, sorted(of)[len(of) // 2])]
            for name, of in rates.items()]  # fmt: skip
    what = (
        f"{options.texts:,.0f} texts of {TOKENS} tokens on {options.instances} instances of "
        f"{options.cores} cores at {options.price:.2f} an hour, efficiency {options.efficiency}. "
        "Rows/s by seconds of the processor, as median [least, greatest]."
    )
    common.finish(options, "A billion texts", what, [common.table(titles, rows)])


def known(words: str) -> tuple[str, float]:
    """Return the method and the rate of `METHOD=ROWS_A_SECOND`."""
    name, _, rate = words.partition("=")
    return name, float(rate)


def plan(options: argparse.Namespace, rate: float) -> list[str]:
    """Return core-hours, hours and cost at a rate of rows a second."""
    core_hours = options.texts / rate / 3600 / options.efficiency
    hours = core_hours / (options.instances * options.cores)
    return [
        f"{core_hours:,.0f}",
        f"{hours:,.1f}",
        f"{hours * options.instances * options.price:,.0f}",
    ]


def measured(options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the rates of each method."""
    with tempfile.TemporaryDirectory() as scratch:
        job: Job = {"folder": scratch, "methods": options.methods}
        common.alone(__file__, job, options.threads)
        folder, rates = Path(scratch), dict[str, list[float]]()
        for name in options.methods:
            model = folder / name
            for _ in range(options.rounds):
                seconds = [cpu_seconds(model, folder / f"{rows}.parquet") for rows in ROWS[name]]
                rate = (ROWS[name][1] - ROWS[name][0]) / (seconds[1] - seconds[0])
                rates.setdefault(name, []).append(rate)
                common.say(f"{name}: {rate:,.0f} rows/s")
    return rates


def work(job: Job) -> dict[str, Any]:
    """Write the models and the files of texts."""
    folder, data = Path(job["folder"]), finetext.read(common.data_folder() / "emotion")
    texts = joined(data.texts)
    for rows in {of for name in job["methods"] for of in ROWS[name]}:
        several = [texts[row % len(texts)] for row in range(rows)]
        table = pa.table({"id": pa.array(range(rows)), "text": several})
        pq.write_table(table, folder / f"{rows}.parquet")
    few = data.select(range(600))
    labels = [few.scheme.names[of] for of in few.targets]
    for method in dict.fromkeys(name.partition(",")[0] for name in job["methods"]):
        classifier = finetext.fit(few.texts, labels, method, device="cpu")
        classifier.save(folder / method)
    rows = [{"text": text, "label": label} for text, label in zip(few.texts, labels, strict=True)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in set(EXPORTED) & set(job["methods"]):
        out = ["--out", folder / name, "--data", folder / "rows.jsonl"]
        command("export", folder / "finetune", *out, *EXPORTED[name])
    return {}


def joined(texts: Any) -> list[str]:
    """Return texts of about `TOKENS` tokens, each of several that follow one another."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(common.model_folder("minilm", Path()))
    lengths = [len(of) - 2 for of in tokenizer(list(texts))["input_ids"]]
    found, parts, tokens = list[str](), list[str](), 0
    for text, length in zip(texts, lengths, strict=True):
        parts, tokens = [*parts, text], tokens + length
        if tokens >= TOKENS:
            words = " ".join(parts).split()
            found.append(" ".join(words[: round(len(words) * TOKENS / tokens)]))
            parts, tokens = [], 0
    return found


def cpu_seconds(model: Path, source: Path) -> float:
    """Return the seconds that the processor works to predict a file."""
    before = os.times()
    command("predict", model, source, "--out", source.with_suffix(".out.parquet"), "--force")
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def command(*words: object) -> None:
    """Run a command of finetext; end with what it says if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "finetext", *map(str, words)], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)


if __name__ == "__main__":
    main()
