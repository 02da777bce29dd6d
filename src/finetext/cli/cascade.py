"""`finetext cascade`: two methods of a run as one model, at a certified loss of accuracy."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from finetext.cli import options
from finetext.cli.options import Output, flag, option

if TYPE_CHECKING:
    from finetext.runs.cascade_folder import Cascade


def cascade(
    run: options.RunFolder,
    out: Annotated[Path, option("FOLDER", "Folder of the model, new or a model's.")],
    max_loss: Annotated[
        float | None, option("POINTS", "Accuracy to lose at most; 0.5 by default.")
    ] = None,
    method: Annotated[
        str | None, option("NAME", "The expensive method; the best by default.")
    ] = None,
    cheap: Annotated[
        str | None, option("NAME", "The cheap method; the one that saves the most.")
    ] = None,
    force: Annotated[bool, flag("--force", "Replace a model folder.")] = False,
    *,
    output: Output,
) -> None:
    """Let a cheap method of RUN decide what it is sure of."""
    from finetext.cli.arguments import count_access
    from finetext.report.rendering import wrapped
    from finetext.runs.cascading import MAX_LOSS, make_cascade

    screen = output.screen()
    with screen.watching():
        made = make_cascade(
            run, out, max_loss=MAX_LOSS if max_loss is None else max_loss, method=method,
            cheap=cheap, force=force, listener=screen.listener,
        )  # fmt: skip
    if made.tested is not None:
        count_access(run, "test", "finetext cascade", screen)
    lines = [line for said in _lines(made) for line in wrapped(said)]
    use = f"to use it: finetext predict {shlex.quote(str(out))} TEXT"
    output.show(made.to_json(), [*lines, f"model: {out}", use])


def _lines(made: Cascade) -> Iterator[str]:
    """Yield what is certified, what was measured, and how fast the cascade is expected to be."""
    from finetext.models.card_sentences import points

    of = made.certificate
    units = f" in {of.units:,} groups, which count the same each," if of.grouped else ""
    what = "a cascade of the models that predicted the held-out rows" if made.remark else "it"
    yield (
        f"With {of.confidence:.0%} confidence {what} loses at most {100 * of.most_loss:g} points "
        f"of accuracy against {made.expensive} alone."
    )
    yield (
        f"On the {made.rows}{units} that certified it, it lost {points(of.loss)} and sent "
        f"{of.sent.value:.1%} of the texts on: those of which {made.cheap} has a confidence below "
        f"{of.threshold:.3g}."
    )
    if made.tested is not None and made.tested_sent is not None:
        yield (
            f"On {made.tested.n:,} test rows it lost {points(made.tested)} and sent "
            f"{made.tested_sent.value:.1%} on."
        )
    yield (
        f"It should be about {made.times:.1f} times as fast as {made.expensive}, by the speed that "
        "the run measured of both."
    )
    if made.certificate.sent.value == 0:
        yield f"Nothing is sent on: {made.cheap} alone loses no more, and its own model is smaller."
    if made.remark:
        yield f"Note: {made.remark}."
