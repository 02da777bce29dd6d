"""Fixtures on models in folders and on the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_hub import TOKEN, Hub, serving

from finetext.methods.base import FitContext
from finetext.methods.tfidf import Tfidf, TfidfClassifier
from finetext.types import Dataset


@pytest.fixture(scope="session")
def tfidf(topics: Dataset) -> TfidfClassifier:
    """A small classifier. Not to be changed."""
    return Tfidf(inverse_regularisation=1.0).fit(topics, topics, FitContext())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on loopback, which the real client talks to, with an empty cache and Jane's token."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    with serving() as found:
        template = f"{found.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        close_session()
        yield found
        close_session()
