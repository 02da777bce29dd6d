"""The OpenAPI document is right: whatever is made from it is answered as it says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from serving_toys import Toy

schemathesis = pytest.importorskip("schemathesis")


@pytest.fixture(scope="module")
def described() -> Any:
    from finetext.core.settings import ServeSettings
    from finetext.serving.app import make_app
    from finetext.serving.model import ServedModel

    limits = ServeSettings(request_texts=8, text_characters=200, explained_characters=40)
    return schemathesis.openapi.from_asgi("/openapi.json", make_app(ServedModel(Toy()), limits))


POSTED = ("/", "/predict", "/decide", "/explain", "/table", "/table/decide")
READ = ("/info", "/ready", "/health", "/metrics")


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [("POST", path, mode) for path in POSTED for mode in ("positive", "negative")]
    + [("GET", path, "positive") for path in READ],
)
def test_answers_match_the_openapi_document(
    described: Any, method: str, path: str, mode: str
) -> None:
    generation = schemathesis.GenerationMode(mode)
    cases = described[path][method].as_strategy(generation_mode=generation)

    @settings(
        max_examples=1 if path == "/table" else 12, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=cases)
    def check(case: Any) -> None:
        if mode == "positive" and path == "/explain" and case.body.get("label") is not None:
            case.body["label"] = "yes"  # the document does not tell the labels of the model
        if mode == "positive" and path == "/table":  # nor what is in a file
            case.body = {"name": "a.csv", "file": "dGV4dApnb29kCg==", "header": True}
        answer = case.call_and_validate(timeout=60)  # a process is started for a file
        assert (answer.status_code == 200) is (mode == "positive")

    check()


def test_the_openapi_document_has_limits_and_errors(described: Any) -> None:
    document = described.raw_schema
    shapes = document["components"]["schemas"]
    text, named, texts = shapes["Classification"]["properties"]["inputs"]["oneOf"]
    assert (text["maxLength"], texts["maxItems"], texts["minItems"]) == (200, 8, 1)
    assert named["properties"]["text_pair"]["maxLength"] == 200
    assert shapes["Question"]["properties"]["inputs"]["oneOf"][0]["maxLength"] == 40
    assert shapes["Parameters"]["properties"]["top_k"]["anyOf"][0] == {
        "type": "integer", "minimum": 1,
    }  # fmt: skip
    assert "HTTPValidationError" not in shapes
    statuses = {"200", "400", "408", "413", "415", "422", "429", "500", "503", "504"}
    for path in POSTED:
        answers = document["paths"][path]["post"]["responses"]
        assert set(answers) == statuses
        for status in statuses - {"200"}:
            [kind] = answers[status]["content"].values()
            shape = "TableRefusal" if (path, status) == ("/table", "422") else "ErrorAnswer"
            assert kind["schema"]["$ref"].endswith(f"/{shape}")
