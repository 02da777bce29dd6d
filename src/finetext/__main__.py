"""The command `finetext`, which is also `python -m finetext`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

STOPPED: Final = 130
"""The status after Ctrl-C, as shells expect."""


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly, even while it is still being imported."""
    try:
        from finetext.core.terminal import escape_output

        escape_output()  # until the end, as Python itself prints tracebacks
        run = _command_line()
        run()
    except KeyboardInterrupt:
        print("finetext: stopped", file=sys.stderr)
        raise SystemExit(STOPPED) from None


def _command_line() -> Callable[[], None]:
    """Import the command line; a package that it lacks is told in one line."""
    try:
        from finetext.cli.app import main as run
    except ImportError as error:
        print(
            f"finetext: this installation is broken: {error}; install finetext again",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    return run


if __name__ == "__main__":
    main()
