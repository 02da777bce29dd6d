"""What the recorded fixtures and their tests share: archives, commands, observations, comparison.

An observation is a function from a folder of unpacked fixtures to facts in the types of JSON.
`generate.py` records what the observations return at commit 747c6c8; the tests make the same
observations again. Only the public names of `finetext` and its command line are used, so that
everything else can change.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple

FOLDER: Final = Path(__file__).parent / "747c6c8"
PLACE: Final = "/tmp/finetext-fixtures"
"""Where the fixtures were recorded; files that must name their place now are rewritten."""
PACKAGES: Final = (
    "torch", "transformers", "tokenizers", "numpy", "scipy", "scikit-learn", "onnxruntime",
)  # fmt: skip
RESUMABLE: Final = ("torch", "transformers")
"""A checkpoint of training belongs to one version of these."""
CHANGED_AT: Final = 1_700_000_000_000_000_000
"""Time of change of `large.csv` in nanoseconds; an unfinished prediction remembers it."""
TEXTS: Final = [
    "the team won the match", "the bank raised its rates", "soup with bread and salt",
    "a late goal on the market", 'the coach said "bread"', "shares", "zebra", "", " soup\t",
    "line\nafter line", "0", "the cook " * 40, "パン 🥖", "NULL",
]  # fmt: skip
REWRITTEN: Final = ("recipe.toml", "data.json", "begun.json", ".part.json")
WORDING: Final = ("message", "verdict", "test", "way", "remark", "outlook", "aim")
"""Keys of values that are words for people."""
RETIRED: Final = (
    "cheapest", "comparison", "corrected", "smallest", "mcnemar", "calibration_error",
)  # fmt: skip
"""Keys of what is computed in another way now; see `still_expected`."""
CHANGED: Final = re.compile("(macro_f1|balanced_accuracy|compare/scores|gain)/.*([12]|low|high)$")
_SCORE_FIGURES: Final = 4
"""Figures of a line of the leaderboard: validation, and test with its interval."""
MODELS: Final = {
    "majority": ("run", "run/majority"),
    "tfidf": ("run", "run/tfidf"),
    "probe": ("run", "run/probe"),
    "finetune": ("run", "run/finetune"),
    "best of the run": ("run", "run"),
    "onnx": ("exports", "onnx"),
    "static": ("exports", "static"),
    "decided": ("exports", "decided"),
    "awd-lstm": ("awd-lstm", "awd-lstm"),
    "several": ("several", "several/tfidf"),
    "several, fine-tuned": ("several", "several/finetune"),
}
"""Name to archive and model folder."""


class Told(NamedTuple):
    """What a command did: exit status, standard output and standard error."""

    status: int
    out: str
    err: str


def command(*words: object) -> Told:
    """Run a command of the command line in this process."""
    from finetext.__main__ import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    before, status = sys.argv, 0
    sys.argv = ["finetext", *map(str, words)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.argv = before
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return Told(status, *texts)


def json_of(*words: object) -> Any:
    """Return what a command prints with `--json`."""
    told = command(*words, "--json")
    assert told.status == 0, told.err
    return json.loads(told.out)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Make a folder the current one."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def unpacked(name: str, place: Path) -> Path:
    """Unpack an archive of fixtures, and let its unfinished work name its place now."""
    shutil.unpack_archive(FOLDER / f"{name}.zip", place)
    for path in place.rglob("*"):
        if path.name.endswith(REWRITTEN):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(PLACE, str(place.resolve())), encoding="utf-8")
        if path.name == "large.csv":
            os.utime(path, ns=(CHANGED_AT, CHANGED_AT))
    return place


def machine() -> dict[str, str]:
    """Return the processor and the versions of which the last digits depend."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    return {
        "processor": (names or [platform.machine()])[0],
        "instructions": " ".join(sorted(re.findall(r"\b(?:avx|amx|fma)\w*", flags))),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        **{name: installed(name) for name in PACKAGES},
    }


def installed(package: str) -> str:
    """Return the version of a package, "" if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def recorded(name: str) -> Any:
    """Return what a JSON file of the fixtures holds."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def is_same_machine() -> bool:
    """Whether the fixtures were recorded on such a machine."""
    return bool(recorded("machine") == machine())


def can_resume() -> bool:
    """Whether a recorded checkpoint of training may be resumed with the versions here."""
    return all(recorded("machine")[name] == installed(name) for name in RESUMABLE)


def still_expected(values: Any) -> Any:
    """Return what was recorded, without what later versions compute in another way.

    Differences have other intervals and p-values, and the calibration error has no interval.
    """
    if isinstance(values, list):
        return [still_expected(of) for of in values]
    if not isinstance(values, Mapping):
        return values
    kept = {name: still_expected(of) for name, of in values.items() if name not in RETIRED}
    if isinstance(kept.get("comparisons"), list):
        kept["comparisons"] = [of[:1] for of in kept["comparisons"]]
    if "figures" in kept:
        kept["figures"] = {name: of[:_SCORE_FIGURES] for name, of in kept["figures"].items()}
    return kept


def differences(found: Any, expected: Any, within: float, where: str = "") -> list[str]:
    """Return where two values in the types of JSON differ; `found` may have further keys."""
    if CHANGED.search(where) or (where == "/findings" and "near-duplicates" in found):
        return []
    if isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            return [f"{where}: {found!r} is no mapping"]
        missing = [f"{where}/{key}: missing" for key in expected if key not in found]
        pairs = [(key, found[key], of) for key, of in expected.items() if key in found]
        return missing + [d for k, a, b in pairs for d in differences(a, b, within, f"{where}/{k}")]
    if isinstance(expected, list):
        if not isinstance(found, list | tuple) or len(found) != len(expected):
            return [f"{where}: {found!r} is not {expected!r}"]
        pairs_of = enumerate(zip(found, expected, strict=True))
        return [d for k, (a, b) in pairs_of for d in differences(a, b, within, f"{where}/{k}")]
    if isinstance(expected, float) and isinstance(found, int | float):
        is_close = math.isclose(found, expected, rel_tol=within, abs_tol=within)
        return [] if is_close else [f"{where}: {found!r} is not {expected!r}"]
    return [] if found == expected else [f"{where}: {found!r} is not {expected!r}"]


# Observations


def predicted(model: Path) -> dict[str, Any]:
    """What a model says of the texts, in Python."""
    import finetext

    classifier = finetext.load(model, device="cpu")
    return {
        "names": list(classifier.scheme.names),
        "probabilities": classifier.predict_proba(TEXTS).tolist(),
        "labels": [
            label if label is None else _plain(label) for label in classifier.predict(TEXTS)
        ],
        "one": classifier(TEXTS[0]),
    }


def _plain(label: Any) -> Any:
    return label if isinstance(label, str) else sorted(label)


def described(model: Path) -> dict[str, Any]:
    """What `finetext info` says of a model."""
    told = json_of("info", model)
    files = {file["name"]: file["sha256"] for file in told["files"]}
    names = ("kind", "problem", "labels", "multilabel", "missing", "changed", "extra", "pickles")
    description = told["description"] or {}
    return {name: told[name] for name in names} | {
        "files": files,
        "classifier": description.get("classifier"),
        "decision": facts(description.get("decision")),
    }


def shown(run: Path) -> dict[str, Any]:
    """What `finetext show` says of a run."""
    told = json_of("show", run)
    told.pop("run")
    return {"json": facts(told), "figures": figures(command("show", run).out, methods_of(told))}


def methods_of(told: Mapping[str, Any]) -> list[str]:
    """Return the methods of a leaderboard."""
    return [entry["method"] for entry in told["leaderboard"]]


def figures(text: str, methods: list[str]) -> dict[str, list[str]]:
    """Return the figures with three decimals in the first line of each method that has any."""
    found = {}
    for method in methods:
        lines = [line for line in text.splitlines() if method in line.split()]
        inside = (re.findall(r"\d\.\d{3}", line)[:_SCORE_FIGURES] for line in lines)
        found[method] = next(filter(None, inside), [])
    return found


def opened(run: Path) -> dict[str, Any]:
    """What a run says in Python: predictions, scores, comparisons."""
    import finetext

    of = finetext.Run.open(run)
    methods = [entry.method for entry in of.leaderboard]
    said = {name: of.predictions(name, "test") for name in methods}
    first, *others = methods
    compared = [finetext.compare(said[first], said[name], "macro_f1") for name in others]
    return {
        "best": of.best,
        "recommended": of.recommended,
        "unfinished": list(of.unfinished),
        "ids": list(of.predictions(split="validation").ids),
        "texts": of.texts(of.best, "test"),
        "probabilities": {name: of.probabilities.tolist() for name, of in said.items()},
        "targets": {name: of.targets.tolist() for name, of in said.items()},
        "decisions": {name: of.decisions.tolist() for name, of in said.items()},
        "scores": {
            name: {metric: [s.value, s.low, s.high] for metric, s in finetext.evaluate(of).items()}
            for name, of in said.items()
        },
        "comparisons": [[of.difference.value] for of in compared],
    }


def judged(run: Path) -> dict[str, Any]:
    """What the commands say that look into a run."""
    compared, errors = json_of("compare", run), json_of("errors", run)
    compared["openings"] = list(compared["openings"].values())
    slices, words = json_of("slices", run), json_of("explain", run, "--way", "auto", TEXTS[0])
    return facts({"compare": compared, "errors": errors, "slices": slices, "explain": words})


def trained(run: Path) -> dict[str, Any]:
    """What training left: all that a resumed run must have in common with one never stopped."""
    import finetext

    of = finetext.Run.open(run)
    found: dict[str, Any] = {"best": of.best, "unfinished": list(of.unfinished)}
    for entry in json_of("show", run)["leaderboard"]:
        name = entry["method"]
        found[name] = {
            "metrics": entry["metrics"],
            "weights": weights(run / entry["model"]),
            "probabilities": of.predictions(name, "test").probabilities.tolist(),
        }
    return found


def without_weights(values: Any) -> Any:
    """Return values without hashes of weights, of which every bit depends on the machine."""
    return without(values, "weights")


def without(values: Any, *names: str) -> Any:
    """Return values without the keys of these names, at any depth."""
    if not isinstance(values, Mapping):
        return values
    return {name: without(of, *names) for name, of in values.items() if name not in names}


def weights(folder: Path) -> str | None:
    """Return the SHA-256 of the weights in a folder; None if it has none."""
    path = folder / "model.safetensors"
    return file_hash(path) if path.is_file() else None


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def grown(encoder: Path) -> dict[str, Any]:
    """What adapting or pretraining left."""
    origin = json.loads((encoder / "origin.json").read_text(encoding="utf-8"))
    return {
        "weights": weights(encoder),
        "vocabulary": file_hash(encoder / "tokenizer.json"),
        **{name: origin[name] for name in ("kind", "before", "after", "seed", "chosen")},
    }


def curve(folder: Path) -> Any:
    """What a learning curve found, without what depends on the clock."""
    values = json.loads((folder / "curve.json").read_text(encoding="utf-8"))
    return facts(values, ("seconds", "cheapest", "folder"))


def facts(values: Any, left_out: Sequence[str] = ()) -> Any:
    """Return values without wording, which may change, and without the keys to leave out."""
    if isinstance(values, Mapping):
        return {
            name: facts(of, left_out)
            for name, of in values.items()
            if name not in left_out and not (name in WORDING and isinstance(of, str))
        }
    return [facts(of, left_out) for of in values] if isinstance(values, list) else values


def read_and_split(data: Path) -> dict[str, Any]:
    """What reading, checking and splitting a file give."""
    import finetext

    dataset = finetext.read(data)
    # The version that recorded this kept copies of a text in several splits, and had no setting.
    known = finetext.SplitSettings.__dataclass_fields__
    keeps = {"keep_duplicates": True} if "keep_duplicates" in known else {}
    parts = finetext.split(dataset, finetext.SplitSettings(**keeps), seed=3)
    return {
        "content_hash": dataset.content_hash,
        "labels": list(dataset.scheme.names) if dataset.scheme else None,
        "ids": {name: list(part.ids) for name, part in parts.items()},
        "findings": sorted(finding.code for finding in finetext.check(dataset)),
    }


OBSERVED: Final[Mapping[str, tuple[str, Callable[[Path], Any]]]] = {
    **{
        f"{name}: {of.__name__}": (archive, lambda place, of=of, folder=folder: of(place / folder))
        for name, (archive, folder) in MODELS.items()
        for of in (predicted, described)
        if of is predicted or name != "best of the run"
    },
    "run: shown": ("run", lambda place: shown(place / "run")),
    "run: opened": ("run", lambda place: opened(place / "run")),
    "run: judged": ("run", lambda place: judged(place / "run")),
    "several: shown": ("several", lambda place: shown(place / "several")),
    "several: opened": ("several", lambda place: opened(place / "several")),
    "data": ("run", lambda place: read_and_split(place / "topics.csv")),
    "evaluate": (
        "run",
        lambda place: json_of("evaluate", place / "run", place / "new.csv", "--label", "label"),
    ),
    "predict": ("run", lambda place: json_of("predict", place / "run", place / "new.csv")),
    "predict, decided": (
        "exports",
        lambda place: json_of("predict", place / "decided", place / "new.csv"),
    ),
}
"""Name to the archive and the observation of finished work."""
