"""`finetext distill`: a model labels a pool of texts, and smaller ones learn from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from finetext.cli import options
from finetext.cli.options import Output, Training, argument, option

if TYPE_CHECKING:
    from finetext.core.contracts import Listener
    from finetext.runs.run import Run

Teacher = Annotated[
    Path, argument("TEACHER", "Model that gives the labels: folder, run or hub:USER/NAME.")
]


@dataclass(frozen=True)
class Distilling(Training):
    """What to train on beside the weak labels; these are rows that people labeled."""

    test: Annotated[str | None, option("DATA", "Labeled rows to score on; weak ones never do.")] = (
        None
    )
    validation: Annotated[
        str | None, option("DATA", "Labeled rows to choose by; a third of --test.")
    ] = None
    train: Annotated[str | None, option("DATA", "Labeled rows to learn from, too.")] = None


def distill(
    teacher: Teacher,
    pool: Annotated[str, argument("POOL", "Unlabeled texts: file, folder, URL, hub:NAME.")],
    *,
    chosen: Distilling,
    keep: Annotated[
        float | None, option("SHARE", "Most confident texts of each label; default 0.75.")
    ] = None,
    least: Annotated[float | None, option("NUMBER", "Least confidence; default 0.")] = None,
    methods: Annotated[
        str | None, option("NAMES", "By rows; without --test one, finetune by default.")
    ] = None,
    minutes: Annotated[float | None, option("NUMBER", "End in time, with less if need be.")] = None,
    out: options.RunOut = None,
    resume: options.Resume = False,
    output: Output,
) -> None:
    """Let TEACHER label POOL, and fit methods on that."""
    from finetext.batch.distill import Distilled, Lesson, distill_recipe, refuse_several
    from finetext.cli import arguments
    from finetext.cli.arguments import MethodOptions
    from finetext.cli.train import show_run_of
    from finetext.core.types import SPLIT_NAMES
    from finetext.report.rendering import wrapped
    from finetext.runs.pipeline import Place
    from finetext.storage.codec import to_json

    parts = {name: getattr(chosen, name) for name in SPLIT_NAMES}
    human: dict[str, str] = {name: of for name, of in parts.items() if of is not None}
    chosen_by = {"keep": keep, "least": least}
    given = {name: of for name, of in chosen_by.items() if of is not None}
    lesson = Lesson(str(teacher), pool, human, **given)
    refuse_several(len(arguments.names(methods) or ()), human)
    alone = replace(chosen, train=None, validation=None, test=None)
    asked = arguments.asked_recipe(pool, alone, MethodOptions(methods), minutes=minutes)
    done: list[Distilled] = []

    def trained(hears: Listener) -> Run | None:
        done.append(distill_recipe(asked, lesson, Place(out, resume), hears))
        return done[0].run

    show_run_of(trained, pool, output)
    if done[0].run is None:
        weak, folder = done[0].weak, done[0].folder
        lines = [*wrapped(f"{weak.words()}."), f"model: {folder}"]
        output.show({"model": str(folder), "weak_labels": to_json(weak)}, lines)
