"""Made-up runs to report on."""

from __future__ import annotations

import pytest
from made_up_run import HOSTILE, made_up

from finetext.core.types import LabelScheme
from finetext.report.report import ReportData


@pytest.fixture(scope="session")
def single() -> ReportData:
    return made_up(LabelScheme((HOSTILE, "joy", "_love")))


@pytest.fixture(scope="session")
def several() -> ReportData:
    names = tuple(f"label {j}" for j in range(23))
    return made_up(LabelScheme((*names, HOSTILE), multilabel=True))
