"""The engine that computes predictions: torch, or ONNX Runtime from the files of the same model.

A `GraphClassifier` predicts in place of a fine-tuned encoder or a probe, without torch. Loading a
model folder builds its graph (`bert_graph`) in a fraction of a second. Everything else, such as
saving, is left to the original classifier in torch, which is loaded when it is first needed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from finetext.core import registry
from finetext.core.arrays import Floats, probabilities_of
from finetext.core.contracts import Classifier
from finetext.core.decision import Decision
from finetext.core.errors import MissingExtraError, UnknownNameError
from finetext.core.settings import Precision
from finetext.core.types import LabelScheme
from finetext.encoders.vocabulary import RECORD, digest_of
from finetext.methods.linear import LinearHead
from finetext.methods.members import LoadKind, load_kind
from finetext.models.bert_graph import BertGraph, NoGraphError, ProbeHead, mapped_weights
from finetext.models.onnx import LongTexts, OnnxClassifier, session_in_memory
from finetext.storage.received import is_received_file, keep_private, read_received_text
from finetext.training.tokens import TOKENIZER, open_tokenizer
from finetext.training.truncation import reading_of

Engine = Literal["torch", "latency", "throughput"]
RUNTIME: Final = "ONNX Runtime in fp32"
_TOKENIZER_CONFIG: Final = "tokenizer_config.json"
_WEIGHTS: Final = "model.safetensors"
_FOLDERS: Final = {"transformer": ".", "probe": "encoder"}
"""The classifiers that may have a graph, and where their encoder is."""
_REFUSED: Final = ("adapter_config.json", "modules.json", f"{_WEIGHTS}.index.json")
"""Files that name other weights or code; loading in torch reads or refuses them."""
_BERT_TOKENIZERS: Final = ("BertTokenizer", "BertTokenizerFast")
_PLAIN_TOKENIZERS: Final = ("PreTrainedTokenizerFast", "TokenizersBackend")
_NORMALIZERS: Final = {
    "do_lower_case": ("lowercase", True), "strip_accents": ("strip_accents", None),
    "tokenize_chinese_chars": ("handle_chinese_chars", True),
}  # fmt: skip
_TYPES: Final = "token_type_ids"
_UNUSABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
_PACKAGES: Final = ("onnx", "onnxruntime")


@dataclass(frozen=True, eq=False)
class GraphClassifier(Classifier):
    """A classifier whose predictions ONNX Runtime computes, in place of the `original`.

    Attributes:
        graph: the session and its tokenizer.
        name: the kind of the original.
        folder: the private folder that the original can be loaded from.
        precision: the number format that was asked for.
    """

    scheme: LabelScheme
    decision: Decision
    graph: OnnxClassifier
    name: str
    folder: Path
    precision: Precision = "auto"

    @property
    def kind(self) -> str:  # type: ignore[override]
        """That of the original."""
        return self.name

    @property
    def max_length(self) -> int | None:
        """The tokens that are read of a text; None if it is read whole."""
        return self.graph.about.get("max_length")

    @cached_property
    def original(self) -> Classifier:
        """See `Classifier.original`; it is in torch, and loaded when it is first needed."""
        of = registry.load("classifiers", self.name)
        loaded: Classifier = of.load_weights(self.folder, self.scheme, self.decision, "cpu")
        return loaded.with_precision(self.precision)

    def logits(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.logits`."""
        return self.graph.logits(texts)

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`."""
        return probabilities_of(self.logits(texts), self.scheme.multilabel)

    @property
    def number_format(self) -> Precision:
        """See `Classifier.number_format`; a saved copy will have it."""
        return self.precision

    def with_precision(self, precision: Precision) -> Classifier:  # type: ignore[override]
        """Return the same classifier for fp32 or "auto", else the original in that format."""
        if precision in ("auto", "fp32"):
            return replace(self, precision=precision)
        return self.original.with_precision(precision)

    def with_temperature(self, temperature: float) -> Classifier:  # type: ignore[override]
        """Return the original with another temperature."""
        return self.original.with_temperature(temperature)

    def save_weights(self, folder: Path) -> None:
        """See `Classifier.save_weights`."""
        self.original.save_weights(folder)

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Raise a TypeError: a `FastLoader` makes it from the files of the original."""
        raise TypeError(f"{cls.__name__} has no files of its own")

    def provenance(self) -> dict[str, Any]:
        """Return what the original states."""
        return self.original.provenance()

    def __reduce__(self) -> tuple[Callable[[Classifier], Classifier], tuple[Classifier]]:
        """Return how to copy or unpickle it: as the original, as a session cannot be copied."""
        return _itself, (self.original,)


def _itself(classifier: Classifier) -> Classifier:
    return classifier


def engine_of(classifier: Any) -> str:
    """Return what computes the predictions, such as "torch in fp32"; "" if that is NumPy alone.

    Of a blend or a cascade it names the engines of all members.
    """
    if isinstance(classifier, GraphClassifier):
        return RUNTIME
    if isinstance(classifier, OnnxClassifier):
        return "ONNX Runtime"
    if classifier.has_members:
        members = getattr(classifier, "parts", ()) or classifier.stages
        return " and ".join(sorted({engine_of(of.classifier) for of in members} - {""}))
    model = getattr(getattr(classifier, "encoder", classifier), "model", None)
    if classifier.number_format is None or model is None:
        return ""
    from finetext.training.precision import choose_precision

    return f"torch in {choose_precision(classifier.number_format, model.device)}"


@dataclass(frozen=True)
class FastLoader:
    """Loads a classifier with its graph where that can be built, and any other one in torch.

    Attributes:
        explain: told why a transformer or a probe has no graph.
        why_torch: returns why no graph is to be built for such a model in a precision, "" if one
            is.
        precision: that of a whole model, which its members get in place of their own; None (the
            default) if it has none.
    """

    explain: Callable[[str], None]
    why_torch: Callable[[Precision | None], str]
    precision: Precision | None = None

    def __call__(
        self,
        kind: str,
        folder: Path,
        scheme: LabelScheme,
        decision: Decision,
        device: str,
        precision: Precision | None = None,
    ) -> Classifier:
        """Return the classifier of a kind in a folder; see `finetext.methods.members.load_kind`."""
        precision = self.precision or precision
        if kind in _FOLDERS:
            if not (reason := self.why_torch(precision) or _missing()):
                try:
                    made = graph_classifier(kind, folder, scheme, decision)
                    return replace(made, precision=precision or "auto")
                except _UNUSABLE as error:
                    reason = str(error).replace(f"{folder}{os.sep}", "")
            self.explain(reason)
        of = registry.load("classifiers", kind)
        loaders = (replace(self, precision=precision),) if of.has_members else ()
        loaded: Classifier = of.load_weights(folder, scheme, decision, device, *loaders)
        return loaded if precision is None else loaded.with_precision(precision)


def loader_for(
    engine: Engine,
    device: str,
    has_precision: bool = False,
    explain: Callable[[str], None] = lambda reason: None,
) -> LoadKind:
    """Return what loads a classifier with an engine.

    Args:
        engine: see `finetext.load`.
        device: where it predicts.
        has_precision: whether the user asked for a precision.
        explain: called with the reason if torch predicts what ONNX Runtime could.

    Raises:
        UnknownNameError: there is no such engine.
    """
    if engine not in get_args(Engine):
        raise UnknownNameError("engine", engine, get_args(Engine))
    if engine == "torch":
        return load_kind
    return FastLoader(explain, partial(_why_torch, engine, device, has_precision))


def _why_torch(engine: Engine, device: str, is_asked: bool, precision: Precision | None) -> str:
    """Return why torch predicts what ONNX Runtime could; "" if ONNX Runtime does.

    The precision is that which is asked for, else that of the model; None is "auto".
    """
    from finetext.training.precision import cpu_format

    if (kind := _device_type(device)) != "cpu":
        return f"the device is {kind}"
    if precision in ("bf16", "fp16"):
        return f"the precision{'' if is_asked else ' of the model'} is {precision}"
    if engine == "throughput" and precision != "fp32" and cpu_format() != "fp32":
        return f"this CPU predicts batches faster in {cpu_format()}"
    return ""


def _device_type(name: str) -> str:
    """Return "cpu", "cuda" or "mps"; torch is imported only where there may be a GPU."""
    from finetext.training.precision import choose_device

    signs = ("nvidia[0-9]*", "kfd", "dxg")  # the devices of CUDA, of ROCm, and of both in WSL
    has_signs = sys.platform != "linux" or any(any(Path("/dev").glob(of)) for of in signs)
    is_cpu = name == "cpu" or (name == "auto" and not has_signs)
    return "cpu" if is_cpu else str(choose_device(name).type)


def _missing() -> str:
    """Return which package is missing, and how to install it; "" if none is."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    return str(MissingExtraError("it", missing[0], "export")) if missing else ""


def graph_classifier(
    kind: str, folder: Path, scheme: LabelScheme, decision: Decision
) -> GraphClassifier:
    """Return a classifier that `save_weights` wrote, with a graph in place of its torch model.

    Raises:
        NoGraphError: no graph can be built for the model.
        OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError: a file is missing
            or damaged.
    """
    place = folder / _FOLDERS[kind]
    if unknown := [name for name in _REFUSED if is_received_file(place, name)]:
        raise NoGraphError(f"{unknown[0]} is not known here")
    config = json.loads(read_received_text(place, "config.json"))
    tokenizer = SavedTokenizer.read(place, config)
    if kind == "probe":
        about, head = json.loads(read_received_text(folder, "probe.json")), _head(folder, scheme)
        length, in_windows = about["max_length"], bool(about.get("in_windows", False))
        if about.get("pooling", "mean") != "mean":
            raise NoGraphError(f"pooling is {about['pooling']!r}")
    else:
        head, length, in_windows = None, tokenizer.config["model_max_length"], False
    if type(length) is not int or not 1 <= length <= config["max_position_embeddings"]:
        raise NoGraphError(f"max_length is {length!r}")
    weights, read = mapped_weights(place / _WEIGHTS), reading_of(tokenizer, length, in_windows)
    LongTexts.of(read)
    made = BertGraph.of(config, weights, len(scheme), head, tokenizer.has_types)
    session = session_in_memory(made.content, made.weights)
    keep_private(folder, session)
    parts = session, tokenizer.cut_to(read), tokenizer.padding, read
    graph = OnnxClassifier(scheme, decision, folder, *parts)
    return GraphClassifier(scheme, decision, graph, kind, folder)


def _head(folder: Path, scheme: LabelScheme) -> ProbeHead:
    head, extra = LinearHead.load(folder / "head.safetensors", scheme)
    return ProbeHead(extra["mean"], extra["scale"], head.weights, head.bias)


@dataclass(frozen=True, eq=False)
class SavedTokenizer:
    """A tokenizer that transformers saved, read without transformers."""

    config: Mapping[str, Any]
    whole: Any

    @classmethod
    def read(cls, folder: Path, model: Mapping[str, Any]) -> SavedTokenizer:
        """Read the tokenizer of a model from its folder and its `config.json`.

        transformers may change what `tokenizer.json` says, and here it is used as it is.

        Raises:
            NoGraphError: transformers would change it, or its tokens are not those of the model.
        """
        config = json.loads(read_received_text(folder, _TOKENIZER_CONFIG))
        whole = open_tokenizer(folder / TOKENIZER)
        whole.no_truncation()
        whole.no_padding()
        name = config.get("tokenizer_class")
        if name in _BERT_TOKENIZERS:
            for key, (attribute, usual) in _NORMALIZERS.items():
                if getattr(whole.normalizer, attribute) != config.get(key, usual):
                    raise NoGraphError(f"{key} is not that of {TOKENIZER}")
        elif name not in _PLAIN_TOKENIZERS:
            raise NoGraphError(f"the tokenizer is a {name}")
        if config.get("split_special_tokens") or config.get("auto_map"):
            raise NoGraphError("the tokenizer splits special tokens, or names code")
        tokens = whole.get_vocab(with_added_tokens=True)
        record = model.get(RECORD) or {}
        if len(tokens) > model["vocab_size"] or max(tokens.values()) >= model["vocab_size"]:
            raise NoGraphError("the tokenizer has tokens without an embedding")
        if record.get("sha256") != digest_of(tokens, int(record.get("tokens", 0))):
            raise NoGraphError("the tokens are not those of the training")
        return cls(config, whole)

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        """Return the `input_ids` of a text, as a tokenizer of transformers does."""
        return {"input_ids": self.whole.encode(text, add_special_tokens=add_special_tokens).ids}

    @property
    def init_kwargs(self) -> Mapping[str, Any]:
        """What was saved."""
        return self.config

    @property
    def truncation_side(self) -> str:
        """Where a text is cut."""
        return str(self.config.get("truncation_side", "right"))

    @property
    def has_types(self) -> bool:
        """Whether the second text of a pair has a token type of its own."""
        is_bert = self.config["tokenizer_class"] in _BERT_TOKENIZERS
        names = self.config.get("model_input_names")
        return is_bert if names is None else _TYPES in names

    @property
    def padding(self) -> tuple[int, int, str]:
        """Id and type of the padding token, and its side, which for a BERT is always the right."""
        token = self.config["pad_token"]
        token = token["content"] if isinstance(token, Mapping) else token
        number = self.whole.token_to_id(token)
        if number is None or self.config.get("pad_token_type_id", 0):
            raise NoGraphError(f"the padding token is {token!r}")
        return number, 0, "right"

    def cut_to(self, read: Mapping[str, Any]) -> Any:
        """Return the tokenizer, set to truncate as `reading_of` says."""
        if "max_length" in read:
            self.whole.enable_truncation(read["max_length"], direction=self.truncation_side)
        return self.whole
