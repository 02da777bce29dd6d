"""Do groups stay on one side, and are there enough of them to measure on?"""

from __future__ import annotations

from typing import Final

import numpy as np

from finetext.data.checks.leakage import Shared, shared_rows
from finetext.data.checks.material import Material
from finetext.data.words import counted
from finetext.types import Finding

FEWEST_GROUPS: Final = 20


def group_leakage(material: Material) -> list[Finding]:
    """Groups with rows in two parts."""
    if material.groups is None:
        return []
    _, numbers = np.unique(np.asarray(material.groups, dtype=str), return_inverse=True)
    shared = Shared.of(shared_rows(material, numbers.astype(np.int64)), "group")
    if shared is None:
        return []
    message = (
        f"Groups with rows in two parts: {shared.pairs}, such as "
        f"{material.groups[shared.rows[0]]!r}. Split by group, or scores do not tell how the "
        "model does on groups it has never seen."
    )
    return [Finding("warning", "group-leakage", message, material.name(shared.rows))]


def few_groups(material: Material) -> list[Finding]:
    """Too few groups in test for trustworthy intervals, which are drawn by group."""
    if material.groups is None:
        return []
    groups = {
        group for part, rows in material.parts if part == "test" for group in rows.groups or ()
    }
    if not 0 < len(groups) < FEWEST_GROUPS:
        return []
    rough = "have no interval" if len(groups) == 1 else "have a rough interval, mostly too narrow"
    message = (
        f"test has {counted(len(groups), 'group')}, fewer than {FEWEST_GROUPS}. Rows of one group "
        f"are alike and count as one, so scores on test {rough}; give test more groups."
    )
    return [Finding("warning", "few-groups", message)]
