"""Arrow tables with the columns of their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, final

from finetext.batch.tables import REJECTED, Shown, layout_of, predict_table
from finetext.core.contracts import Classifier
from finetext.core.types import Finding
from finetext.data.piece_tables import texts_in
from finetext.data.rows import Rows, Texts, as_texts, missing_text
from finetext.data.write import Table, arrow_table

NO_TEXT: Final = "the text is missing"


@final
class TablePredictor:
    """Adds the columns of predictions to Arrow tables of the same columns.

    Attributes:
        schema: the Arrow schema of the result: the columns of the input, then those of predictions.
        findings: what was noticed of the columns.
        rejected: rows so far without a text, which have no prediction.
    """

    def __init__(
        self, classifier: Classifier, columns: Any, texts: Sequence[str], shown: Shown
    ) -> None:
        """Lay out the columns; those of the input are an Arrow schema, and `texts` some of them."""
        import pyarrow

        self._classifier, self._texts = classifier, texts
        kinds = dict(zip(columns.names, columns.types, strict=True))
        shape = Texts(iter(()), columns=kinds)
        self._layout = layout_of(classifier, shape, shown, in_parts=True)
        self.findings: tuple[Finding, ...] = self._layout.findings
        self.rejected = 0
        self.schema = pyarrow.schema([*columns.remove_metadata(), *self._predicted([""]).schema])

    def predicted(self, table: Any, source: str = "the table") -> Any:
        """Return a table with its predictions; all of its rows are one batch.

        Rows without a text have none, and the column `rejected` says so. Raises a DataError if a
        text is nested.
        """
        import pyarrow

        found = self._predicted(texts_in(table, self._texts, source))
        return pyarrow.table([*table.columns, *found.columns], schema=self.schema)

    def _predicted(self, values: Sequence[Any]) -> Any:
        """Return the columns of predictions alone; a missing text is no less part of a batch."""
        layout, kept = self._layout, set(self._layout.kept)
        missing = [missing_text(value) for value in values]
        rows = Rows([""] * len(values), as_texts(values)[0])
        every = predict_table(self._classifier, rows, layout)
        table: Table = {name: of for name, of in every.items() if name not in kept}
        if any(missing):
            for name, of in table.items():
                table[name] = [None if no else v for no, v in zip(missing, of, strict=True)]
        table[layout.names[REJECTED]] = [NO_TEXT if no else None for no in missing]
        self.rejected += sum(missing)
        return arrow_table(table, layout.kinds)
