"""How fast does finetext predict, against `transformers.pipeline` and others, and does it agree?

    FINETEXT_DATA=../shared/data python benchmarks/predict_vs_pipeline.py --data emotion films

Contenders that classify, all with the same saved model (MiniLM, trained on 64 rows, so that its
probabilities are not all alike):
  pipeline-1, pipeline-32  pipeline("text-classification", top_k=None), batches of 1 and 32
  torch-sorted             a plain loop: texts sorted by length, at most 1,024 padded tokens
                           a batch, the model as transformers loads it
  torch-sorted-bf16        the same with the weights in bf16, where the hardware is fast at it
  finetext                 predict_proba of the loaded classifier, in bf16 where the hardware is
                           fast at it
  onnx-fp32, onnx-int8     ONNX Runtime on the exported model, weights as they are and dynamically
                           quantized, batches as in torch-sorted; left out, and said so, where
                           onnx, onnxruntime and onnxscript are not installed
Contenders that compute the states of the frozen method:
  encode                   SentenceTransformer.encode, batches of 32
  encode-bf16              the same with the weights in bf16, where the hardware is fast at it
  states                   FrozenEncoder.states of finetext

Timed: tokenization and everything up to the probabilities or states of all texts as one array.
Not timed: imports, loading the model, reading the data, and a first prediction of 32 texts. One
text: median over calls with one short text. Each turn is a process of its own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, Final

import common
import numpy as np
from common import Answer, Job

import finetext
from finetext.core.contracts import FitContext
from finetext.core.wording import counted

CLASSIFIERS: Final = (
    "pipeline-1", "pipeline-32", "torch-sorted", "torch-sorted-bf16", "finetext", "onnx-fp32",
    "onnx-int8",
)  # fmt: skip
ENCODERS: Final = ("encode", "encode-bf16", "states")
ONNX_NEEDS: Final = ("onnx", "onnxruntime", "onnxscript")
SHORT: Final = "i feel strangely happy about this film"
POSITIONS_A_BATCH: Final = 1_024
ROWS_TO_LEARN: Final = 64

Predict = Callable[[Sequence[str]], Any]


def main() -> None:
    """Measure all contenders by turns and print two tables for each data set."""
    if common.served(work):
        return
    options = arguments()
    missing = [name for name in ONNX_NEEDS if find_spec(name) is None]
    if missing:
        common.say(f"skipped onnx-fp32 and onnx-int8: not installed: {', '.join(missing)}")
        options.contenders = [name for name in options.contenders if "onnx" not in name]
    if find_spec("sentence_transformers") is None:
        common.say("skipped encode: not installed: sentence-transformers")
        options.contenders = [name for name in options.contenders if "encode" not in name]
    if not takes_bf16(options.device):
        common.say("skipped those in bf16: the hardware is not fast at it")
        options.contenders = [name for name in options.contenders if "bf16" not in name]
    with tempfile.TemporaryDirectory() as scratch:
        for data in options.data:
            compare(options, data, Path(scratch) / data)


def takes_bf16(device: str) -> bool:
    """Whether finetext predicts in bf16 on this hardware."""
    from finetext.training.precision import choose_device, choose_precision

    return choose_precision("auto", choose_device(device)) == "bf16"


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    every = [*CLASSIFIERS, *ENCODERS]
    parser = common.parser(__doc__)
    parser.add_argument(
        "--data", nargs="+", default=["emotion", "films"], choices=list(common.SOURCES)
    )
    parser.add_argument("--contenders", nargs="+", default=every, choices=every)
    parser.add_argument("--rows", type=int, default=1_000, help="texts to predict (1000)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender (3)")
    parser.add_argument("--calls", type=int, default=200, help="with one short text (200)")
    parser.add_argument("--seeds", type=int, default=1, help="models, one after another (1)")
    return parser.parse_args()


def compare(options: argparse.Namespace, data: str, folder: Path) -> None:
    """All turns on one data set, and its tables."""
    folder.mkdir()
    turns: list[dict[str, Answer]] = []
    for number in range(options.seeds * options.rounds):
        job = {
            "data": data, "rows": options.rows, "calls": options.calls, "folder": str(folder),
            "device": options.device, "threads": options.threads, "seed": number // options.rounds,
            "onnx": any("onnx" in name for name in options.contenders),
        }  # fmt: skip
        if number % options.rounds == 0:
            common.alone(__file__, job | {"task": "prepare"}, options.threads)
        turn = {}
        for name in options.contenders:
            turn[name] = common.alone(__file__, job | {"task": name}, options.threads)
            turn[name]["output"] = np.load(folder / f"{name}.npy")
            common.say(f"{data}, turn {number + 1}, {name}: {turn[name]['rate']:.1f} rows/s")
        turns.append(turn)
    what = (
        f"{data}: {counted(options.rows, 'text')}, MiniLM, {counted(len(turns), 'turn')}; "
        "rows/s and ratios within a turn as median [least, greatest]. Tokenization included, "
        f"loading the model not; one text: median of {options.calls} calls. "
        f"{common.threads_in_words(options.threads)} "
        f"finetext predicts in {'bf16' if takes_bf16(options.device) else 'fp32'}."
    )
    names = [name for name in options.contenders if name in CLASSIFIERS]
    frozen = [name for name in options.contenders if name in ENCODERS]
    tables = [results(turns, names, "pipeline-32"), results(turns, frozen, "encode")]
    tables = [lines for lines in tables if lines]
    common.finish(options, f"Prediction against pipeline: {data}, MiniLM", what, tables)


def results(turns: list[dict[str, Answer]], names: list[str], reference: str) -> list[str]:
    """The table of contenders that give the same kind of output."""
    if not names:
        return []
    reference = reference if reference in names else names[0]
    titles = ["contender", "rows/s", f"times {reference}", "one text, ms"]
    titles += [f"largest difference to {reference}", "peak MiB"]
    rows = []
    for name in names:
        answers = [turn[name] for turn in turns]
        ratios = [turn[name]["rate"] / turn[reference]["rate"] for turn in turns]
        apart = max(
            float(np.abs(turn[name]["output"] - turn[reference]["output"]).max()) for turn in turns
        )
        rows.append(
            [
                name,
                common.spread([answer["rate"] for answer in answers]),
                common.spread(ratios, 2),
                common.spread([answer["one_text_ms"] for answer in answers], 2),
                "-" if name == reference else f"{apart:.1e}",
                f"{median(answer['peak_mib'] for answer in answers):.0f}",
            ]
        )
    return common.table(titles, rows)


def work(job: Job) -> Answer:
    """Make the model that all load, or time one contender with it."""
    if job["task"] == "prepare":
        return prepare(job)
    texts = list(common.rows_of(job["data"], ROWS_TO_LEARN, 0, job["rows"]).held_out.texts)
    predict, predict_one = contender(job)
    predict(texts[:32])
    with common.measured() as found:
        output = predict(texts)
    if job["task"] in ENCODERS:
        output = output / np.linalg.norm(output, axis=1, keepdims=True)
    np.save(Path(job["folder"]) / f"{job['task']}.npy", output)
    times = []
    for _ in range(job["calls"]):
        started = time.perf_counter()
        predict_one(SHORT)
        times.append(time.perf_counter() - started)
    return found | {"rate": len(texts) / found["seconds"], "one_text_ms": 1000 * median(times)}


def prepare(job: Job) -> Answer:
    """Train MiniLM on a few rows, save it, and export it where that is asked for."""
    rows = common.rows_of(job["data"], ROWS_TO_LEARN, 16, 16)
    method = finetext.Finetune(epochs=1, batch_size=8, precision="fp32")
    classifier = method.fit(rows.train, rows.validation, FitContext(seed=job["seed"], device="cpu"))
    folder = Path(job["folder"])
    classifier.save(folder / "model")
    if job["onnx"]:
        export(folder)
    return {}


def export(folder: Path) -> None:
    """Write the model as ONNX, in fp32 and with weights quantized to eight bits."""
    import onnx
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(
        folder / "model", attn_implementation="eager"
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    example = tokenizer([SHORT, "and another one"], padding=True, return_tensors="pt")
    names = list(example)
    free = {0: torch.export.Dim("rows"), 1: torch.export.Dim("positions", max=512)}
    torch.onnx.export(
        model, kwargs=dict(example), f=folder / "fp32.onnx", input_names=names,
        output_names=["logits"], dynamic_shapes=dict.fromkeys(names, free), dynamo=True,
        external_data=False, verbose=False,
    )  # fmt: skip
    exported = onnx.load(folder / "fp32.onnx")
    del exported.graph.value_info[:]  # shapes from before its weights were transposed
    quantize_dynamic(exported, folder / "int8.onnx", weight_type=QuantType.QInt8)


def contender(job: Job) -> tuple[Predict, Callable[[str], Any]]:
    """What predicts many texts, and what one would call with a single text."""
    name, model = job["task"], str(Path(job["folder"]) / "model")
    if name.startswith("pipeline"):
        return pipeline_of(model, int(name.removeprefix("pipeline-")), job["device"])
    if name == "finetext":
        classifier = finetext.load(model, device=job["device"])
        return classifier.predict_proba, classifier
    makers = {
        "torch-sorted": torch_sorted, "torch-sorted-bf16": torch_sorted,
        "onnx-fp32": onnx_runtime, "onnx-int8": onnx_runtime,
        "encode": encode, "encode-bf16": encode, "states": states,
    }  # fmt: skip
    predict = makers[name](model, job)
    return predict, lambda text: predict([text])


def pipeline_of(model: str, size: int, device: str) -> tuple[Predict, Callable[[str], Any]]:
    """The pipeline of transformers, its answers in the columns of the model."""
    from transformers import pipeline

    place = "cuda" if common.on_gpu(device) else "cpu"
    pipe = pipeline("text-classification", model=model, top_k=None, device=place)
    columns = pipe.model.config.label2id

    def predict(texts: Sequence[str]) -> Any:
        probabilities = np.zeros((len(texts), len(columns)))
        for row, answers in enumerate(pipe(list(texts), truncation=True, batch_size=size)):
            for answer in answers:
                probabilities[row, columns[answer["label"]]] = answer["score"]
        return probabilities

    return predict, lambda text: pipe(text, truncation=True)


def torch_sorted(folder: str, job: Job) -> Predict:
    """A plain loop over batches of texts of like length."""
    import torch
    from transformers import AutoModelForSequenceClassification

    place = "cuda" if common.on_gpu(job["device"]) else "cpu"
    model = AutoModelForSequenceClassification.from_pretrained(folder).to(place).eval()
    if job["task"].endswith("bf16"):
        model = model.bfloat16()

    def logits(batch: dict[str, Any]) -> Any:
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(of).to(place) for name, of in batch.items()}
            return model(**tensors).logits.float().cpu()

    return sorted_batches(folder, logits)


def onnx_runtime(folder: str, job: Job) -> Predict:
    """ONNX Runtime on the processor, over batches of texts of like length."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = job["threads"]
    path = Path(job["folder"]) / f"{job['task'].removeprefix('onnx-')}.onnx"
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return sorted_batches(
        folder, lambda batch: session.run(None, {name: batch[name] for name in names})[0]
    )


def sorted_batches(folder: str, logits: Callable[[dict[str, Any]], Any]) -> Predict:
    """Probabilities by a function from padded int64 arrays to logits."""
    from scipy.special import softmax
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)

    def predict(texts: Sequence[str]) -> Any:
        tokens = tokenizer(list(texts), truncation=True)
        lengths = np.array([len(ids) for ids in tokens["input_ids"]])
        order, start, parts = np.argsort(-lengths, kind="stable"), 0, []
        while start < len(order):
            rows = order[start : start + max(1, POSITIONS_A_BATCH // lengths[order[start]])]
            chosen = {name: [column[row] for row in rows] for name, column in tokens.items()}
            parts.append(np.asarray(logits(dict(tokenizer.pad(chosen, return_tensors="np")))))
            start += len(rows)
        probabilities = softmax(np.concatenate(parts), axis=1)
        return probabilities[np.argsort(order)]

    return predict


def encode(folder: str, job: Job) -> Predict:
    """The encoder MiniLM through sentence-transformers, which scales states to length 1."""
    from sentence_transformers import SentenceTransformer

    place = "cuda" if common.on_gpu(job["device"]) else "cpu"
    encoder = SentenceTransformer(common.model_folder("minilm", Path()), device=place)
    encoder.max_seq_length = 512
    if job["task"].endswith("bf16"):
        encoder = encoder.bfloat16()
    return lambda texts: encoder.encode(list(texts), batch_size=32, normalize_embeddings=False)


def states(folder: str, job: Job) -> Predict:
    """The encoder MiniLM as the frozen method of finetext runs it."""
    from finetext.encoders.load import load_encoder, load_tokenizer
    from finetext.encoders.states import FrozenEncoder
    from finetext.training.precision import choose_device

    device, tokenizer = choose_device(job["device"]), load_tokenizer("minilm")
    model = load_encoder("minilm", tokenizer).to(device)
    return FrozenEncoder(model, tokenizer, 512, device).states


if __name__ == "__main__":
    main()
