"""`finetext plot`: the probabilities of one text as bars."""

from __future__ import annotations

import os
import sys

from finetext import arguments, options
from finetext.console import Screen, blaming
from finetext.errors import DataError


def plot(
    model: options.Model,
    source: options.PlottedText,
    out: options.BarsOut = None,
    most: options.MostBars = 20,
    precision: options.Precision = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show how probable each label of a text is, as bars."""
    from finetext.report.probability_bars import Bars, bar_lines, write_bars
    from finetext.report.rate_curve import check_picture

    if out is not None:
        arguments.check_place(out)
        check_picture(out)
    text = _text(source)
    screen = Screen(quiet or as_json)
    classifier = arguments.open_model(model, device, precision, screen.say)
    bars = Bars.of(classifier, text)
    if as_json:
        screen.json(bars.to_json() | {"picture": None if out is None else str(out)})
    else:
        is_plain = not (sys.stdout.encoding or "").lower().startswith("utf")
        with blaming("standard output", sys.stdout):
            for line in bar_lines(bars, most, screen.out.width, is_plain):
                screen.out.print(line, soft_wrap=True)
    if out is not None:
        write_bars(bars, out, most)
        screen.say(f"picture: {out}")


def _text(source: str) -> str:
    """The text: what is given, or all of standard input.

    Raises:
        DataError: it is the name of a file, there or not, or standard input is closed.
    """
    from finetext.data.decode import decode
    from finetext.prediction.inputs import exists, is_text, one_text

    if source == "-":
        if sys.stdin is None:
            raise DataError("standard input is closed; give the text")
        return decode(sys.stdin.buffer.read(), "standard input")[0].strip()
    if is_text(source):
        return one_text(source)
    if os.path.isfile(source):
        raise DataError(
            f"{source} is a file, and this shows one text; for what is in a file: "
            f"finetext plot MODEL - < {source}"
        )
    what = "a folder" if exists(source) else "an address"
    raise DataError(f"{source} is {what}, and this shows one text")
