"""Ask a running `finetext serve` about texts, with the standard library alone.

finetext serve runs/reviews --port 8000
python examples/client.py http://127.0.0.1:8000 "A fine and moving film." "Dull."
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any


def scores(address: str, texts: Sequence[str], token: str | None = None) -> list[dict[str, float]]:
    """Return label to probability for each text, likeliest first.

    Raises:
        RuntimeError: the server refused the request; the message is the server's.
        OSError: there is no server at the address.
    """
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps({"inputs": list(texts), "parameters": {"top_k": None}}).encode()
    request = urllib.request.Request(f"{address}/predict", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            rows: list[list[dict[str, Any]]] = json.load(answer)
    except urllib.error.HTTPError as refused:
        said = refused.read().decode("utf-8", "replace")
        raise RuntimeError(f"status {refused.code}: {said}") from None
    return [{one["label"]: one["score"] for one in row} for row in rows]


def main(address: str, *texts: str) -> None:
    """Print the likeliest label of each text; the token is in the environment, if there is one."""
    token = os.environ.get("FINETEXT_TOKEN")
    for text, row in zip(texts, scores(address, texts, token), strict=True):
        label = max(row, key=row.__getitem__)
        print(f"{row[label]:.3f}\t{label}\t{text}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
