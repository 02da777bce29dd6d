"""`finetext serve`: a model behind an address."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any, Final

from typer import Option

from finetext.cli import arguments, options
from finetext.core.console import Screen
from finetext.core.errors import RecipeError

_EXAMPLE: Final = '{"inputs": "What a film!"}'
Host = Annotated[
    str, Option(metavar="ADDRESS", help="Where to listen; 127.0.0.1: this machine alone.")
]
Port = Annotated[int, Option(metavar="NUMBER", min=0, max=65535, help="0 takes a free one.")]
TokenFile = Annotated[
    Path | None,
    Option(metavar="FILE", help="Its line must come with each request; or $FINETEXT_TOKEN."),
]
MaxBatch = Annotated[
    int | None, Option(metavar="TEXTS", help="Most texts for the model at once; 64.")
]
MaxWait = Annotated[
    float | None, Option(metavar="MILLISECONDS", help="A text waits so long for others; 5.")
]
MaxQueue = Annotated[int | None, Option(metavar="TEXTS", help="Most texts that wait; 1024.")]
MaxTexts = Annotated[int | None, Option(metavar="TEXTS", help="Most texts of a request; 256.")]
MaxCharacters = Annotated[
    int | None, Option(metavar="NUMBER", help="Most characters of a text; 50000.")
]
RequestTimeout = Annotated[
    float | None, Option("--timeout", metavar="SECONDS", help="Longest time to an answer; 30.")
]
ServeSetting = Annotated[
    list[str] | None,
    Option("--set", metavar="KEY=VALUE", help="Any other limit: serve.stop_seconds=60"),
]


def serve(
    model: options.Model,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token_file: TokenFile = None,
    max_batch: MaxBatch = None,
    max_wait: MaxWait = None,
    max_queue: MaxQueue = None,
    max_texts: MaxTexts = None,
    max_characters: MaxCharacters = None,
    timeout: RequestTimeout = None,
    settings: ServeSetting = None,
    precision: options.Precision = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Answer over HTTP what MODEL says of texts, until Ctrl-C."""
    from finetext.core.settings import ServeSettings, made
    from finetext.runs.run import load
    from finetext.serving import server
    from finetext.serving.model import about

    server.check_installed()
    given = {
        "batch_texts": max_batch,
        "batch_milliseconds": max_wait,
        "queue_texts": max_queue,
        "request_texts": max_texts,
        "text_characters": max_characters,
        "request_seconds": timeout,
    }
    limits = made("serve", ServeSettings, {**_set(given), **_assigned(settings)})
    token = server.find_token(token_file)
    screen = Screen(quiet or as_json)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    with server.bound(host, port) as listening:
        classifier = load(model, device, precision=precision, say=screen.say)
        if token is None and server.is_open_to_others(listening):
            logging.warning(
                "whoever reaches %s can use this model: there is no token; see --token-file", host
            )

        def ready(address: str) -> None:
            if as_json:
                screen.json({"address": address, "has_token": token is not None})
            else:
                print(f"{model} is at {address}")
                screen.say(_how_to_ask(address, token is not None))
            sys.stdout.flush()

        server.answer(listening, classifier, about(model), token, limits, ready)
    screen.say("stopped; what was asked before is answered, or refused as it took too long")


def _set(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _assigned(settings: list[str] | None) -> dict[str, Any]:
    """The assignments `serve.NAME=VALUE`.

    Raises:
        RecipeError: one is of another section.
    """
    sections = arguments.assigned(settings)
    if others := sections.keys() - {"serve"}:
        raise RecipeError(f"--set {min(others)}: only serve.NAME=VALUE can be set here")
    return sections.get("serve", {})


def _how_to_ask(address: str, has_token: bool) -> str:
    header = " -H 'Content-Type: application/json'"
    if has_token:
        header += ' -H "Authorization: Bearer $FINETEXT_TOKEN"'
    return (
        f"in a browser: {address}/\n"
        f"to ask: curl {address}/predict{header} -d '{_EXAMPLE}'\n"
        "Ctrl-C stops it"
    )
