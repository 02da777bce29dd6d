"""The OpenAPI document with limits and errors, and a page that shows it without network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from finetext.core.settings import ServeSettings
from finetext.serving.schemas import ErrorAnswer

_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}pre{overflow:auto;border:1px solid;padding:.5rem}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; frame-ancestors 'none'"
)
_MEANINGS: Final = {
    400: "The body is not valid JSON in UTF-8, or ambiguous.",
    401: "The bearer token is missing or wrong.",
    403: "The server does not answer to the host name in the header Host.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not declared as JSON, or is compressed.",
    422: "The body has the wrong shape, too many texts, or one that is too long.",
    429: "The queue is full; Retry-After says when to retry.",
    500: "An internal error; the server's log has more under the id in the message.",
    503: "The server is stopping or full.",
    504: "There was no answer in time.",
}
POSTED: Final = (400, 408, 413, 415, 422, 429, 500, 503, 504)
"""Errors of a route that takes a body."""
_RETRIED: Final = (429, 503)
_RETRY: Final = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}


def refusals(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """Return the error answers of a route for the document."""
    return {
        status: {"model": ErrorAnswer, "description": _MEANINGS[status]}
        | ({"headers": _RETRY} if status in _RETRIED else {})
        for status in sorted(statuses)
    }


def document_of(app: FastAPI, settings: ServeSettings) -> dict[str, Any]:
    """Return the document with the limits of this server; built once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = FastAPI.openapi(app)
    known = document["components"]["schemas"]
    known.pop("HTTPValidationError", None)
    known.pop("ValidationError", None)
    for name, longest in (
        ("Classification", settings.text_characters),
        ("Decision", settings.text_characters),
        ("Question", min(settings.text_characters, settings.explained_characters)),
    ):
        for part in _parts(known[name]["properties"]["inputs"]):
            if part.get("type") == "array":
                part["maxItems"] = settings.request_texts
            elif part.get("type") == "string":
                part["maxLength"] = longest
    return document


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema and all schemas inside it."""
    if isinstance(schema, dict):
        yield schema
    for value in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(value, dict | list):
            yield from _parts(value)


async def documents_page(request: Request) -> Response:
    """Return the document as a page, without scripts or anything from elsewhere."""
    document = request.app.openapi()
    sections = [
        _section(path, method.upper(), operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    schemas = html.escape(json.dumps(document["components"]["schemas"], indent=2))
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>finetext: how to ask</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>How to ask this server</h1><p>{html.escape(document['info']['description'])} "
        f'The same for programs: <a href="openapi.json">openapi.json</a>.</p>{"".join(sections)}'
        f"<h2>Shapes</h2><pre>{schemas}</pre></html>"
    )
    return HTMLResponse(body, headers={"content-security-policy": _POLICY})


def _section(path: str, method: str, operation: Mapping[str, Any]) -> str:
    answers = "".join(
        f"<li>{status}: {html.escape(answer['description'])}</li>"
        for status, answer in operation["responses"].items()
    )
    shape = ""
    if "requestBody" in operation:
        [kind] = operation["requestBody"]["content"].values()
        shape = f"<p>Body: {kind['schema']['$ref'].rpartition('/')[2]}</p>"
    return (
        f"<h2>{method} {html.escape(path)}</h2><p>{html.escape(operation['summary'])}. "
        f"{html.escape(operation.get('description', ''))}</p>{shape}<ul>{answers}</ul>"
    )
