"""A classifier as an ONNX graph: it predicts with onnxruntime, tokenizers and NumPy alone.

`tokenizer.json` truncates and pads as the original did; `onnx.json` says what it was made from, and
how it reads long texts if `tokenizer.json` cannot do that: head and tail, or windows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers, probabilities_of
from finetext.core.budget import native
from finetext.core.contracts import Classifier, batches_of
from finetext.core.decision import Decision
from finetext.core.errors import MissingExtraError, ModelError
from finetext.core.threads import chosen_threads
from finetext.core.types import LabelScheme
from finetext.encoders.word_rules import marked
from finetext.models.onnx_locations import external_files
from finetext.storage.received import (
    copy_received,
    is_received_file,
    keep_private,
    read_received_text,
)
from finetext.training.batches import prediction_batches
from finetext.training.tokens import (
    PAIR_AS_ONE,
    TEXTS_AT_A_TIME,
    TOKENIZER,
    Row,
    TokenTable,
    Windows,
    arrays_of,
    encodable,
    given_texts,
    open_tokenizer,
    windows_of,
)
from finetext.training.truncation import cut

GRAPH: Final = "model.onnx"
ABOUT: Final = "onnx.json"
DATA: Final = f"{GRAPH}.data"
EXACT: Final = f"exact.{GRAPH}"
"""The graph of an int8 export for rows that it decides by little."""
FILES: Final = (GRAPH, DATA, EXACT, TOKENIZER, "config.json", "export.json")
"""Files to copy; not every folder has all of them."""
LOGITS: Final = "logits"
MOST_POSITIONS: Final = 1_024
"""Padded tokens of a batch, which fit the caches of a CPU."""
_CUDA: Final = "CUDAExecutionProvider"


@dataclass(frozen=True)
class LongTexts:
    """How texts longer than `most` tokens are read, without transformers.

    Either as their first and last tokens, `kept` of them, or in windows that all have the `special`
    tokens at their ends.
    """

    most: int
    kept: tuple[int, int] | None = None
    special: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> LongTexts | None:
        """Return what `onnx.json` says, None if the tokenizer truncates; raises a ValueError."""
        if not {"kept", "window"} & set(about):
            return None
        ends = about["kept"] if "kept" in about else about["special"]
        first, last = (int(number) for number in ends)
        most = first + last if "kept" in about else int(about["window"])
        if min(first, last) < 0 or most < 1 or ("window" in about and first + last >= most):
            raise ValueError(f"{ABOUT} says {ends} tokens at the ends of {most}")
        return cls(most, (first, last)) if "kept" in about else cls(most, None, (first, last))

    def read(self, whole: Any, truncating: Any, texts: Sequence[str]) -> Iterator[list[Row]]:
        """Yield the windows of each text, encoded by a tokenizer that truncates none."""
        given = given_texts(whole, texts)
        for text, row in zip(given, whole.encode_batch(given), strict=True):
            if len(row.ids) <= self.most:
                yield [_row(row)]
            elif self.kept is None:
                row = row if isinstance(text, str) else whole.encode(PAIR_AS_ONE.join(text))
                yield windows_of(_row(row), self.special, self.most - sum(self.special))
            elif isinstance(text, str):
                yield [tuple(cut(of, self.kept) for of in _row(row))]
            else:
                yield [_row(truncating.encode(*text))]


def _row(encoding: Any) -> Row:
    return encoding.ids, encoding.type_ids


@dataclass(frozen=True, eq=False)
class OnnxClassifier(Classifier):
    """A classifier that runs an ONNX graph; `padding` is id, token type and side.

    Rows for which the graph of `session`, in 8 bits, decides by little are computed again with
    `exact`, if there is one.
    """

    kind: ClassVar[str] = "onnx"
    scheme: LabelScheme
    decision: Decision
    folder: Path
    session: Any
    tokenizer: Any
    padding: tuple[int, int, str]
    about: Mapping[str, Any]
    temperature: float = 1.0
    exact: Any = None

    def logits(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.logits`."""
        with native(TOKENIZER):
            read = self._tokenize(texts)
        logits = self._run(self.session, read.table, np.arange(len(read.table)))
        # Those of a mean of states are the mean of those of the states.
        found = read.averaged(logits)
        if self.exact is not None and (close := self.is_close(found)).any():
            windows = np.diff(read.firsts, append=len(read.table))
            rows = np.flatnonzero(np.repeat(close, windows))
            logits[rows] = self._run(self.exact, read.table, rows)
            found = read.averaged(logits)
        return np.asarray(found / self.temperature)

    def tokens(self, texts: Sequence[str]) -> TokenTable:
        """Return the tokens of texts, or of their windows."""
        return self._tokenize(texts).table

    def _run(self, session: Any, table: TokenTable, rows: Integers) -> Floats:
        """Return the (rows, k) logits of some rows of a table."""
        names, found = (
            [of.name for of in session.get_inputs()],
            np.zeros((len(rows), len(self.scheme))),
        )
        for part in prediction_batches(table.lengths[rows], MOST_POSITIONS):
            arrays = table.arrays(rows[part])
            with native(GRAPH):
                found[part] = session.run([LOGITS], {name: arrays[name] for name in names})[0]
        return found

    def is_close(self, logits: Floats, margin: float | None = None) -> Booleans:
        """Return (n,) which rows would be decided otherwise if a logit were off by a margin.

        That is the logit of the given label, upwards or downwards, and of each label if there are
        several or the rule weighs others, too. The margin is that of `onnx.json` by default. What
        is no number is close.
        """
        margin = float(self.about["margin"]) if margin is None else margin
        usual, close = self._decided(logits), ~np.isfinite(logits).all(axis=1)
        for columns in self._moved(logits):
            for change in (margin, -margin):
                moved = logits.copy()
                moved[columns] += change
                close |= (self._decided(moved) != usual).any(axis=1)
        return np.asarray(close)

    def _decided(self, logits: Floats) -> Integers:
        """Return (n, ...) labels, -1 where it abstains, and prediction sets."""
        several = self.scheme.multilabel
        probabilities = probabilities_of(logits / self.temperature, several)
        labels = self.decision.labels(probabilities, several).reshape(len(logits), -1)
        if not several:
            labels[self.decision.abstains(probabilities)] = -1
        sets = self.decision.sets(probabilities)
        return labels if sets is None else np.concatenate([labels, sets.astype(np.int64)], axis=1)

    def _moved(self, logits: Floats) -> Iterator[Any]:
        """Yield the indices of the logits that are moved together."""
        several = self.scheme.multilabel
        if self.decision.costs is not None or (self.decision.set_from is not None and not several):
            yield from ((slice(None), column) for column in range(logits.shape[1]))
        elif several:
            yield slice(None)
        else:
            likely = probabilities_of(logits / self.temperature, several)
            yield np.arange(len(logits)), self.decision.labels(likely, several)

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`."""
        return probabilities_of(self.logits(texts), self.scheme.multilabel)

    def _tokenize(self, texts: Sequence[str]) -> Windows:
        """Do as `finetext.training.tokens`, without transformers."""
        if self.about.get("word_rules"):
            texts = [marked(encodable(text)) for text in texts]
        firsts, count = list[int](), 0

        def rows() -> Iterator[Row]:
            nonlocal count
            for part in batches_of(len(texts), TEXTS_AT_A_TIME):
                for windows in self._windows(texts[part]):
                    firsts.append(count)
                    count += len(windows)
                    yield from windows

        arrays = arrays_of(rows(), self.padding[0])
        kinds = arrays.get("kinds", np.zeros_like(arrays["ids"]))
        table = TokenTable(arrays["ids"], kinds, arrays["starts"], self.padding)
        return Windows(table, np.array(firsts, dtype=np.int64))

    def _windows(self, texts: Sequence[str]) -> Iterator[list[Row]]:
        """Yield the windows of each text, one if it is truncated."""
        if self._long is not None:
            yield from self._long.read(self._whole, self.tokenizer, texts)
        else:
            given = given_texts(self.tokenizer, texts)
            yield from ([_row(row)] for row in self.tokenizer.encode_batch(given))

    @cached_property
    def _long(self) -> LongTexts | None:
        return LongTexts.of(self.about)

    @cached_property
    def _whole(self) -> Any:
        """The tokenizer without truncation."""
        from tokenizers import Tokenizer

        whole = Tokenizer.from_str(self.tokenizer.to_str())
        whole.no_truncation()
        return whole

    def with_temperature(self, temperature: float) -> Self:
        """See `Classifier.with_temperature`; `onnx.json` keeps the factor."""
        return replace(self, temperature=self.temperature * temperature)

    def save_weights(self, folder: Path) -> None:
        """Copy the files."""
        for name in FILES:
            if is_received_file(self.folder, name):
                copy_received(self.folder, name, folder / name)
        about = {**self.about, "temperature": self.temperature}
        (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read what `save_weights` or an export wrote; raises a ValueError if it is damaged."""
        about = json.loads(read_received_text(folder, ABOUT))
        temperature = float(about.pop("temperature", 1.0))
        session = open_session(folder / GRAPH, device)
        keep_private(folder, session)  # `save_weights` copies the files that were loaded
        tokenizer = open_tokenizer(folder / TOKENIZER)
        if (pad := tokenizer.padding) is None:
            raise ValueError(f"{TOKENIZER} does not say how to pad")
        tokenizer.no_padding()
        padding = pad["pad_id"], pad["pad_type_id"], pad["direction"]
        LongTexts.of(about)
        exact = None
        if "margin" in about:
            margin = about["margin"]
            if type(margin) not in (int, float) or not 0 < margin < math.inf:
                raise ValueError(f"the margin in {ABOUT} is {margin!r}, not a number above 0")
            exact = open_session(folder / EXACT, device)
        for name, of in ((GRAPH, session), (EXACT, exact)):
            if of is not None:
                _check_outputs(name, of, scheme)
        return cls(scheme, decision, folder, session, tokenizer, padding, about, temperature, exact)

    def provenance(self) -> dict[str, Any]:
        """Return what it was made from, the input length and a temperature other than 1."""
        added = {} if self.temperature == 1 else {"temperature": self.temperature}
        return {**self.about, **added}


def _check_outputs(name: str, session: Any, scheme: LabelScheme) -> None:
    outputs = {of.name: of.shape for of in session.get_outputs()}
    if LOGITS not in outputs or outputs[LOGITS][-1] != len(scheme):
        raise ValueError(f"{name} returns {outputs}, not logits of {len(scheme)} labels")


def open_session(graph: Path, device: str) -> Any:
    """Return a session on "cpu", "cuda" or "auto", with OMP_NUM_THREADS threads if that is set."""
    onnxruntime = _onnxruntime()
    has_cuda = _CUDA in onnxruntime.get_available_providers()
    wanted = device.partition(":")[0]
    if wanted not in ("auto", "cpu") and not (wanted == "cuda" and has_cuda):
        raise ModelError(f"onnxruntime here does not predict on {device!r}; use auto or cpu")
    providers = [_CUDA] * (wanted != "cpu" and has_cuda) + ["CPUExecutionProvider"]
    if other := sorted(external_files(graph) - {DATA}):
        raise ValueError(
            f"{graph.name} reads weights from the file {other[0]!r}; only {DATA} beside it is read"
        )
    try:
        return onnxruntime.InferenceSession(str(graph), _options(), providers=providers)
    except Exception as error:  # its errors have no common class
        raise ValueError(f"{graph.name}: {error}") from None


def session_in_memory(graph: bytes, weights: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    """Return a session on the CPU for a graph, whose weights are given by name and not copied.

    The graph is not optimized: its operators are fused already. Raises a ValueError.
    """
    onnxruntime = _onnxruntime()
    options = _options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    try:
        options.add_external_initializers(list(weights), values)
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class
        raise ValueError(f"onnxruntime: {error}") from None
    session.weights = values  # it refers to them
    return session


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise MissingExtraError("a model in ONNX format", "onnxruntime", "export") from None
    return onnxruntime


def _options() -> Any:
    options = _onnxruntime().SessionOptions()
    options.intra_op_num_threads = chosen_threads() or 0
    # Its threads would go on spinning for a while, also between the requests of a server.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    return options
