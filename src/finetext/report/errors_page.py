"""The highest and lowest losses and the confusions as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

from finetext.diagnosis.losses import Errors
from finetext.errors import RunError
from finetext.report.page import render_page


def write_errors_page(found: Errors, name: str, path: str | Path) -> Path:
    """Write the page, whole or not at all.

    Args:
        found: what `finetext.diagnosis.losses.find_errors` gave.
        name: what the predictions are called.
        path: the file to write; one that is there is replaced.

    Returns:
        the path.

    Raises:
        RunError: the file cannot be written.
    """
    from finetext.artefact.folder import write_text

    path = Path(path)
    page = render_page("errors_page.html.j2", {"errors": found, "name": name})
    try:
        write_text(path, page)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; choose another place") from None
    return path
