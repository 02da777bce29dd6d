"""Predictions of Arrow tables, batch by batch, for the actors of Ray Data.

Nothing here imports Ray: in a worker it is imported already, and elsewhere there is none to ask.
"""

from __future__ import annotations

import math
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from finetext.batch.arrow_tables import TablePredictor
from finetext.batch.tables import Shown
from finetext.core.display import listed
from finetext.core.errors import DataError, ModelError
from finetext.core.threads import use_threads
from finetext.core.types import LabelScheme
from finetext.core.wording import counted

if TYPE_CHECKING:
    import pyarrow

TEXT_COLUMN: Final = "text"
_SHOWN: Final = 20


@final
class Predictor:
    """Predicts the batches of a Ray data set, for `map_batches`, which makes one for each actor.

        data.map_batches(
            finetext.ray.Predictor,
            fn_constructor_kwargs={"model": "/shared/runs/reviews"},
            compute=ray.data.ActorPoolStrategy(min_size=2, max_size=4),
            num_cpus=1, batch_size=2_000, batch_format="pyarrow",
        )

    The model is loaded once, and computes in as many threads as Ray gave the actor CPUs. A batch
    returns with all its columns and those that `finetext predict` adds in a folder of parts.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        text: str | Sequence[str] | None = None,
        top: int | None = None,
        every: bool | None = None,
        precision: str | None = None,
        device: str | None = None,
    ) -> None:
        """Load the model.

        Args:
            model: a model folder, a run folder for its best model, or "hub:owner/name". Each node
                that has an actor must find it under this name.
            text: the column of the texts, or those of a model of several. By default those that
                the model states, and "text" for one that states none.
            top: add this many of the likeliest labels with their probabilities.
            every: add the probability of every label; by default of up to 20 labels without `top`.
            precision: "fp32", "bf16", "fp16" or "auto"; that of the model by default.
            device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".

        Raises:
            FinetextError: the model cannot be loaded here, or something given cannot be used.
        """
        from finetext.runs.load import load_for

        self._shown = Shown(top, every)
        use_given_cpus()
        try:
            self._classifier = load_for("throughput", model, device, precision)
        except ModelError as error:
            raise ModelError(f"{error}{on_this_node()}") from None
        self._texts = _text_columns(self._classifier.scheme, text)
        self._tables: TablePredictor | None = None
        self._columns: pyarrow.Schema = None

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """Return a batch with its predictions; rows without a text have none (`rejected`).

        Raises a DataError if it is no Arrow table, lacks a text column, or a text is nested.
        """
        import pyarrow

        if not isinstance(batch, pyarrow.Table):
            kind = type(batch).__name__
            raise DataError(f'a batch is a {kind}, not an Arrow table: add batch_format="pyarrow"')
        if missing := [name for name in self._texts if name not in batch.column_names]:
            known = listed(list(map(repr, batch.column_names)), _SHOWN)
            raise DataError(
                f"the data have no text column {missing[0]!r}; there are: {known}. Name it: "
                'fn_constructor_kwargs={"text": "COLUMN", ...}'
            )
        if self._tables is None or batch.schema != self._columns:
            self._columns = batch.schema
            self._tables = TablePredictor(self._classifier, batch.schema, self._texts, self._shown)
        return self._tables.predicted(batch, "a batch")


def _text_columns(scheme: LabelScheme, given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the text columns: what the rows hold decides nothing, as each batch has others."""
    known = scheme.text_columns or (scheme.text_column or TEXT_COLUMN,)
    if given is None:
        return known
    names = tuple(map(str.strip, given.split(","))) if isinstance(given, str) else tuple(given)
    if len(names) != len(known):
        reads = f"the model reads {counted(len(known), 'text')} ({', '.join(known)})"
        raise DataError(f"text names {counted(len(names), 'column')}, but {reads}")
    return names


def use_given_cpus() -> None:
    """Compute in as many threads as Ray gave this worker CPUs; elsewhere leave them as they are."""
    if (cpus := given_cpus()) is not None:
        use_threads(cpus)


def given_cpus() -> int | None:
    """Return the CPUs that Ray gave this worker, one at least; None where no worker of Ray runs."""
    ray: Any = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    if context.worker.mode != ray.WORKER_MODE:
        return None
    cpus: float = context.get_assigned_resources().get("CPU", 1)
    return max(1, math.floor(cpus))


def on_this_node() -> str:
    """Return the node of a worker of Ray, for a model that is not there; elsewhere nothing."""
    if given_cpus() is None:
        return ""
    return (
        f" (on the node {socket.gethostname()}). Every node that has an actor must find the model "
        "under this name: put it on a file system that all share, or on the Hub"
    )
