"""Which engine predicts a loaded model, by its precision and that which is asked for."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from finetext.core.decision import AS_LIKELY
from finetext.core.errors import UnknownNameError
from finetext.methods.blend import BlendClassifier
from finetext.methods.cascade import CascadeClassifier, Stage
from finetext.models.engines import RUNTIME, Engine, engine_of, loader_for
from finetext.runs.load import load

pytest.importorskip("onnxruntime")

FASTER = "this CPU predicts batches faster in bf16"
TORCH = "torch in bf16"
BOTH = f"{RUNTIME} and {TORCH}"
Saved = Callable[[str], Path]


@pytest.fixture(autouse=True)
def fast_at_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU with instructions for bf16."""
    monkeypatch.setattr("finetext.training.precision._processor_has_bf16", lambda: True)


@pytest.fixture
def saved(tuned: Path, tmp_path: Path) -> Saved:
    """A function that saves a fine-tuned model in a precision."""
    return lambda precision: load(tuned, "cpu", precision=precision).save(tmp_path / precision)


@pytest.mark.parametrize(
    ("of_model", "asked", "engine", "reason", "number_format"),
    [
        ("fp32", None, "throughput", "", "fp32"),
        ("fp32", None, "latency", "", "fp32"),
        ("fp16", None, "throughput", "", "fp32"),
        ("auto", None, "throughput", FASTER, "auto"),
        ("auto", None, "latency", "", "auto"),
        ("fp32", "auto", "throughput", FASTER, "auto"),
        ("fp32", "auto", "latency", "", "auto"),
        ("auto", "fp32", "throughput", "", "fp32"),
        ("bf16", "fp32", "throughput", "", "fp32"),
        ("bf16", None, "latency", "the precision of the model is bf16", "bf16"),
        ("fp32", "bf16", "latency", "the precision is bf16", "bf16"),
    ],
)
def test_the_precision_of_the_model_counts_as_that_which_is_asked_for(
    of_model: str, asked: str | None, engine: Engine, reason: str, number_format: str, saved: Saved
) -> None:
    said: list[str] = []
    found = load(saved(of_model), "cpu", precision=asked, engine=engine, say=said.append)
    reasons = [f"torch predicts instead of ONNX Runtime: {reason}"] if reason else []
    assert said == [*reasons, f"engine: {TORCH if reason else RUNTIME}"]
    assert found.number_format == number_format
    assert engine_of(found) == (TORCH if reason else RUNTIME)


@pytest.mark.parametrize(
    ("formats", "asked", "engine"),
    [
        (("fp32", "fp32"), None, RUNTIME), (("auto", "auto"), None, TORCH),
        (("fp32", "auto"), None, BOTH), (("fp32", "bf16"), None, BOTH),
        (("auto", "bf16"), "fp32", RUNTIME), (("fp32", "bf16"), "auto", TORCH),
    ],
)  # fmt: skip
def test_each_member_has_its_precision(
    formats: tuple[str, str], asked: str | None, engine: str, saved: Saved, tmp_path: Path
) -> None:
    first, second = (load(saved(of), "cpu") for of in formats)
    stages = Stage("one", first), Stage("other", second)
    blend = BlendClassifier.of(
        first.scheme, {"one": 1.0, "other": 1.0}, {"one": first, "other": second}
    )
    cascade = CascadeClassifier(first.scheme, AS_LIKELY, *stages, 0.5)
    for number, whole in enumerate((blend, cascade)):
        folder = whole.save(tmp_path / str(number))
        found = load(folder, "cpu", precision=asked, engine="throughput")
        assert engine_of(found) == engine
        assert found.number_format == (asked or whole.number_format)


def test_torch_gives_members_their_precision(saved: Saved, tmp_path: Path) -> None:
    members = {of: load(saved(of), "cpu") for of in ("fp32", "bf16")}
    scheme = members["fp32"].scheme
    folder = BlendClassifier.of(scheme, dict.fromkeys(members, 1.0), members).save(tmp_path / "all")
    assert engine_of(load(folder, "cpu", engine="torch")) == f"{TORCH} and torch in fp32"
    assert engine_of(load(folder, "cpu", precision="fp32", engine="torch")) == "torch in fp32"


def test_the_fastest_engine_for_batches_is_the_default(saved: Saved) -> None:
    said: list[str] = []
    found = load(saved("fp32"), "cpu", say=said.append)
    assert said == [f"engine: {engine_of(found)}"] == [f"engine: {RUNTIME}"]


def test_a_server_takes_the_fastest_engine_for_single_texts(
    saved: Saved, command: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fastapi")
    from finetext.serving import server

    served: list[str] = []
    monkeypatch.setattr(server, "answer", lambda _, model, *rest: served.append(engine_of(model)))
    model = saved("auto")
    server.serve(model, port=0)
    command("serve", model, "--port", "0", status=0)
    command("serve", model, "--port", "0", "--precision", "bf16", status=0)
    assert served == [RUNTIME, RUNTIME, TORCH]


def test_a_copy_and_a_pickle_are_the_original_in_torch(saved: Saved) -> None:
    found = load(saved("fp32"), "cpu")
    assert engine_of(found) == RUNTIME
    for again in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert engine_of(again) == "torch in fp32"
        assert again("a film") == pytest.approx(found("a film"), abs=1e-5)


def test_an_unknown_engine_is_refused(saved: Saved) -> None:
    for call in (partial(load, saved("fp32"), "cpu"), partial(loader_for, device="cpu")):
        with pytest.raises(UnknownNameError, match="no engine named 'throughputs'"):
            call(engine="throughputs")  # type: ignore[arg-type]
