"""The command `finetext`, which is also `python -m finetext`."""

from __future__ import annotations

import sys
from typing import Final

STOPPED: Final = 130
"""The status after Ctrl-C, as shells expect."""


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly, even while it is still being imported."""
    try:
        from finetext.core.terminal import escape_output

        escape_output()  # until the end, as Python itself prints tracebacks
        from finetext.cli.app import main as run

        run()
    except KeyboardInterrupt:
        print("finetext: stopped", file=sys.stderr)
        raise SystemExit(STOPPED) from None


if __name__ == "__main__":
    main()
