"""The evaluations of a training as a table, and its curves as a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

import finetext
from finetext import Finetune, Listener, Trainer
from finetext.core.errors import DataError, RunError
from finetext.core.types import Dataset


@pytest.fixture
def trainer(tiny_encoder: Path, topics: Dataset) -> Trainer:
    method = Finetune(encoder=str(tiny_encoder), batch_size=6, precision="fp32")
    return Trainer(method, finetext.split(topics), listener=Listener(), device="cpu")


def test_the_history_has_a_row_for_each_evaluation(trainer: Trainer) -> None:
    assert str(trainer.history) == "nothing is evaluated yet"
    trainer.fit_stage(2, 3e-3)
    history = trainer.fit_stage(1, 1e-3, groups=1)
    steps = history[0]["step"]
    assert steps > 0
    assert [(row["stage"], row["epoch"], row["step"]) for row in history] == [
        (1, 1, steps), (1, 2, 2 * steps), (2, 3, 3 * steps),
    ]  # fmt: skip
    assert all(
        {"training loss", "validation loss", "validation macro_f1"} <= {*row} for row in history
    )
    lines = str(history).splitlines()
    assert lines[0].split()[:3] == ["stage", "epoch", "step"]
    assert len(lines) == 4
    assert history._repr_html_().count("<tr>") == 4


def test_the_curves_of_all_stages_are_a_picture(trainer: Trainer, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing to draw: train a stage first, with fit_stage"):
        trainer.plot_history()
    trainer.fit_stage(1, 3e-3, groups=1)
    steps = trainer.history[-1]["step"]
    trainer.fit_stage(1, 1e-3)
    figure = trainer.plot_history(tmp_path / "curves.svg")
    titles = ["loss", "validation macro_f1", "learning rate", "gradient norm"]
    assert [of.get_title(loc="left") for of in figure.axes] == titles
    losses, scores, *_ = figure.axes
    assert [line.get_label() for line in losses.lines[:2]] == ["training loss", "validation loss"]
    assert [*scores.lines[0].get_xdata()] == [row["step"] for row in trainer.history]
    for panel in figure.axes:
        assert [*panel.lines[-1].get_xdata()] == [steps, steps]
        assert [text.get_text() for text in panel.texts] == ["2"]
    assert "where a stage begins" in (tmp_path / "curves.svg").read_text()
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"curves.gif cannot be drawn.*end in .png or .svg"):
        trainer.plot_history(tmp_path / "curves.gif")
