"""`finetext info`: what a model is, how good, and whether its files are as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetext import options
from finetext.console import Screen
from finetext.errors import ModelError

if TYPE_CHECKING:
    from finetext.artefact.about import About


def info(
    model: options.Model,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Say what MODEL is and how good, and check its files."""
    from finetext.artefact.about import info as look

    screen = Screen(quiet=as_json)
    about = look(model)
    if as_json:
        screen.json(about.to_json())
    else:
        _show(about, screen)
    if about.problem is not None:
        raise ModelError(about.problem)


def _show(about: About, screen: Screen) -> None:
    """What it is, then its scores, then its files."""
    from finetext.report.about_text import file_lines, model_lines, score_lines

    for line in model_lines(about):
        print(line)
    if scores := score_lines(about):
        print()
        print("\n".join(scores))
    print()
    print("\n".join(file_lines(about)))
