"""Schemas of requests and answers, the OpenAPI document, and a page that shows it offline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, Discriminator, Field, Strict, Tag
from pydantic_core import PydanticCustomError

from finetext.core.settings import ServeSettings
from finetext.core.text_columns import PAIR


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "holds a NUL character")
    return text


def _whole(value: Any) -> Any:
    """Return 3.0 as 3, since JSON has only one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_NO_NUL: Final = "^[^\\u0000]*$"
_NOT_EMPTY: Final = r"^[^\u0000]*[^\u0000\s][^\u0000]*$"
Text = Annotated[
    str,
    Strict(),
    AfterValidator(_without_nul),
    Field(
        json_schema_extra={"pattern": _NO_NUL},
        description="A text.",
    ),
]
_STRING: Final = {"type": "string", "pattern": _NO_NUL}


def _named(names: Sequence[str], required: Sequence[str]) -> dict[str, Any]:
    properties = {name: dict(_STRING) for name in names}
    return {"properties": properties, "required": [*required], "additionalProperties": False}


Named = Annotated[
    dict[str, Text],
    Field(
        description="The texts of one row by name. A model of several text columns takes the names "
        "of these, or text and text_pair for two.",
        json_schema_extra=_named(PAIR, PAIR[:1]),
    ),
]
TAGS: Final = ("(text)", "(named)", "(texts)")
"""Of the members of unions, in the places of errors."""


def _tag(value: Any) -> str:
    return TAGS[1 if isinstance(value, dict) else 2 if isinstance(value, list) else 0]


OneText = Annotated[
    Annotated[Text, Tag(TAGS[0])] | Annotated[Named, Tag(TAGS[1])],
    Discriminator(lambda value: TAGS[isinstance(value, dict)]),
]
Texts = Annotated[
    Annotated[Text, Tag(TAGS[0])]
    | Annotated[Named, Tag(TAGS[1])]
    | Annotated[
        list[OneText],
        # a million wrong texts would make a million errors
        Field(min_length=1, fail_fast=True, description="Several texts."),
        Tag(TAGS[2]),
    ],
    Discriminator(_tag),
    Field(description="A text or a list of texts.", examples=["What a film!"]),
]
Count = Annotated[int, Field(ge=1), BeforeValidator(_whole)]


class _Asked(BaseModel, extra="forbid", strict=True):
    pass


class Parameters(_Asked):
    """How to score, as in the text-classification task of Hugging Face."""

    top_k: Count | None = Field(default=None, description="Number of best labels; default: all.")
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = Field(
        default=None,
        description='"none" returns the logits; the default is that of the model: sigmoid if '
        "multi-label, else softmax.",
    )


class Classification(_Asked):
    """Texts to score, in the form of the inference API of Hugging Face."""

    inputs: Texts
    parameters: Parameters | None = None
    options: dict[str, Any] | None = Field(default=None, description="Accepted and ignored.")


class Decision(_Asked):
    """Texts to decide on."""

    inputs: Texts


class RowsOfTable(_Asked):
    """Texts of a table to decide on, empty ones included."""

    inputs: Texts


class Question(_Asked):
    """A text to explain."""

    inputs: OneText = Field(examples=["What a film!"])
    label: Text | None = Field(default=None, description="By default the predicted label.")


class TableFile(_Asked):
    """A file with a text in each row, and how to read it where that is unclear."""

    name: Text = Field(
        min_length=1, max_length=255, description="Its name; the ending tells the format."
    )
    file: Text = Field(
        description="Its content in Base64.", json_schema_extra={"contentEncoding": "base64"}
    )
    text: list[Text] | None = Field(
        default=None, min_length=1, max_length=100,
        description="Columns of the texts, as many as the model reads; by default found.",
    )  # fmt: skip
    label: Text | None = Field(default=None, description="Column of labels, which is not needed.")
    id: Text | None = Field(default=None, description="Column of unique ids.")
    header: bool | Count | None = Field(
        default=None,
        description="Whether the first row holds the names of the columns, or how many rows do.",
    )
    delimiter: Annotated[Text, Field(min_length=1, max_length=10)] | None = None
    sheet: Text | None = Field(default=None, description="Sheet of an Excel file.")
    encoding: Annotated[Text, Field(max_length=40)] | None = None


class AddedColumns(BaseModel):
    """Names of the columns that predictions add, as `finetext predict` has them."""

    id: str | None = Field(description="Null if the file has a column of ids.")
    prediction: str
    set: str
    probability: str
    out_of_scope: str | None = Field(
        default=None, description="Absent if the model does not tell which texts are of no class."
    )
    prefix: str = Field(description="What stands before the label in those of probabilities.")
    every: bool = Field(description="Whether every label has such a column.")


class Table(BaseModel):
    """A file as `finetext predict` reads it."""

    description: str = Field(description="The format and what was chosen.")
    notes: list[str] = Field(description="What was noticed.")
    names: list[str] = Field(description="Names of the columns.")
    text: list[str] = Field(description="Columns of the texts, in their order.")
    added: AddedColumns
    ids: list[str]
    texts: list[str] = Field(description="What the model reads of each row.")
    rows: list[list[str]] = Field(description="The cells of each row.")


class Reading(BaseModel):
    """One value of a setting."""

    value: str
    examples: list[str] = Field(description="Parts of the file that it is about.")


class Choice(BaseModel):
    """What is unclear in a file."""

    setting: str = Field(description="The field of the request that settles it.")
    problem: str
    readings: list[Reading]


class LabelScore(BaseModel):
    """A label and its score."""

    label: str
    score: float


class Decided(BaseModel):
    """What the model decides on a text."""

    prediction: str | list[str] | None = Field(
        description="Null if the model abstains, or the text is out of scope."
    )
    probability: float = Field(
        description="Of the label that the decision rule prefers; the highest if multi-label."
    )
    set: list[str] | None = Field(description="The prediction set, likeliest first, or null.")
    out_of_scope: bool = Field(
        default=False,
        description="Whether the text belongs to no class; absent if the model does not tell.",
    )
    probabilities: dict[str, float] = Field(description="Of every label, likeliest first.")


class ExplainedWord(BaseModel):
    """A word of the text."""

    text: str
    start: int = Field(
        description="Its first character, in code points from 0; several texts count as joined by "
        "a line break and U+001F."
    )
    end: int = Field(description="The character after its last.")
    attribution: float | None = Field(description="Its contribution to the log-odds of the label.")


class Explained(BaseModel):
    """Which words of a text mattered for a label, with a faithfulness check."""

    label: str
    probability: float
    predicted: list[str] = Field(description="The predicted labels; none where it abstains.")
    way: str = Field(description="The attribution method, such as occlusion.")
    words: list[ExplainedWord] = Field(description="The words that the model reads, in order.")
    unread: int = Field(description="Words that it does not read, if the model truncates the text.")
    score: float | None = Field(description="The log-odds that are explained.")
    base: float | None = Field(description="The score without any word; null for occlusion.")
    lost_top: float | None = Field(description="Probability lost without the strongest words.")
    lost_random: float | None = Field(description="The same for as many random words.")
    removed: int = Field(description="How many words were removed for both.")
    remark: str = Field(description='Why the default method was not used; "" if it was.')
    out_of_scope: bool = Field(description="Whether the text belongs to no class.")


class Health(BaseModel):
    """The server answers."""

    status: Literal["live", "ready"]


class Info(BaseModel):
    """What the model is, its origin, and the limits of the server."""

    name: str
    finetext_version: str
    kind: str = Field(description="Kind of classifier, such as transformer.")
    labels: list[str]
    multilabel: bool = Field(description="Whether a text can have several labels.")
    positive: str | None = Field(
        description="The class of two that its binary scores are about, or null."
    )
    text_columns: list[str] = Field(
        description="The columns that a text is joined from, in this order; none if it is one."
    )
    text_column: str | None = Field(
        description="The one column of the texts of training if it was named, or null."
    )
    decision: dict[str, Any] = Field(description="How probabilities become labels.")
    abstains: bool = Field(description="Whether it abstains when no label is probable enough.")
    coverage: float | None = Field(description="Coverage of its prediction sets, or null.")
    precision: str | None = Field(description="Number format of prediction that was asked for.")
    engine: str = Field(
        description="What computes predictions, such as torch in fp32; empty if neither it nor "
        "ONNX Runtime does."
    )
    way: str = Field(description="The attribution method; empty if no text is explained.")
    provenance: dict[str, Any] = Field(description="How it was trained.")
    run: dict[str, Any] | None = Field(
        description="Its run: name, method, metric, best and leaderboard; or null."
    )
    card: str | None = Field(description="The model card, Markdown; null if there is none.")
    limits: dict[str, float] = Field(description="Those of the server.")


class ErrorAnswer(BaseModel):
    """Why a request was not answered."""

    error: str


class TableRefusal(ErrorAnswer):
    """Why a file was not read."""

    choice: Choice | None = Field(default=None, description="What to state, if that would help.")


_MEANINGS: Final = {
    400: "The body is not valid JSON in UTF-8, or ambiguous.",
    401: "The bearer token is missing or wrong.",
    403: "The server does not answer to the host name in the header Host.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not declared as JSON, or is compressed.",
    422: "The body has the wrong shape, too many texts, or one that is empty or too long.",
    429: "Too much waits already; Retry-After says when to retry.",
    500: "An internal error; the server's log has more under the id in the message.",
    503: "The server is stopping or full, or the model does not answer.",
    504: "There was no answer in time.",
}
POSTED: Final = (400, 408, 413, 415, 422, 429, 500, 503, 504)
"""Errors of a route that takes a body."""
_RETRY: Final = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}


def refusals(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """Return the error answers of a route for the document."""
    return {
        status: {"model": ErrorAnswer, "description": _MEANINGS[status]}
        | ({"headers": _RETRY} if status in (429, 503) else {})
        for status in sorted(statuses)
    }


def document_of(
    app: FastAPI, settings: ServeSettings, columns: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the document with the limits of this server and text columns; built once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = FastAPI.openapi(app)
    known = document["components"]["schemas"]
    known.pop("HTTPValidationError", None)
    known.pop("ValidationError", None)
    for name, longest in (
        ("Classification", settings.text_characters),
        ("Decision", settings.text_characters),
        ("RowsOfTable", settings.text_characters),
        ("Question", min(settings.text_characters, settings.explained_characters)),
    ):
        for part in _parts(known[name]["properties"]["inputs"]):
            if part.get("type") == "array":
                part["maxItems"] = settings.request_texts
            elif part.get("type") == "object" and columns:
                part.update(_named(columns, columns))
            elif part.get("type") == "string":
                part["maxLength"] = longest
    for name in ("Classification", "Decision", "Question"):
        _exclude_empty(known[name]["properties"]["inputs"])
    return document


def _exclude_empty(schema: dict[str, Any]) -> None:
    """Allow no text of only white space, nor a row of several texts that all are."""
    if schema.get("type") == "string":
        schema["pattern"] = _NOT_EMPTY
    elif schema.get("type") == "object":
        schema["anyOf"] = [
            {"required": [name], "properties": {name: {"pattern": _NOT_EMPTY}}}
            for name in schema["properties"]
        ]
    for part in (*schema.get("oneOf", ()), *([schema["items"]] if "items" in schema else ())):
        _exclude_empty(part)


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        schema = [*schema.values()]
    for value in schema if isinstance(schema, list) else ():
        yield from _parts(value)


async def documents_page(request: Request) -> Response:
    """Return the document as a page, without scripts or anything from elsewhere."""
    from jinja2 import Template

    template = (Path(__file__).parent / "docs.html.j2").read_text(encoding="utf-8")
    document = request.app.openapi()
    schemas = json.dumps(document["components"]["schemas"], indent=2)
    page = Template(template, autoescape=True, trim_blocks=True)
    return HTMLResponse(page.render(document=document, schemas=schemas))
