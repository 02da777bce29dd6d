"""What `test_ranks.py` does in each of several processes; the first one prints what it found."""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn
from toys import Curve, Settings

from finetext.core.contracts import FitContext
from finetext.training import ranks
from finetext.training.joining import join
from finetext.training.loop import train_model
from finetext.training.plan import Stage
from finetext.training.ranks import ranks_here

Weights = dict[str, torch.Tensor]


def loss_of(model: Any, batch: dict[str, Any], most_rows: int = 99, fails: str = "") -> Any:
    """The loss of a curve in another process, which may have too little memory for it, or fail."""
    if fails:
        raise ValueError(fails)
    if len(batch["input_ids"]) > most_rows:
        raise MemoryError
    return Curve._errors(model, batch["input_ids"]).mean()


def trained(
    task: Curve, dropout: float = 0.0, said: list[str] | None = None, **settings: Any
) -> Weights:
    """The weights of a model that learned a curve in two stages; what is said is noted."""
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))
    model[2].register_buffer("seen", torch.tensor(7))
    stages = [Stage(1, 0.2, groups=1), Stage(2, 0.2)]
    context = FitContext(device="cpu", say=([] if said is None else said).append)
    train_model(model, task, Settings(batch_size=8, **settings), stages, context)
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def apart(one: Weights, two: Weights) -> float:
    """The largest difference between weights."""
    return max(float((one[name] - two[name]).abs().max()) for name in one)


def interrupt(count: int) -> None:
    if count == 9:
        signal.raise_signal(signal.SIGINT)


def fail(count: int) -> None:
    if count == 5:
        raise ValueError("in the first process")


def main() -> dict[str, Any]:
    together = partial(Curve, divided_loss=loss_of)
    these = ranks_here()
    found: dict[str, Any] = {"processes": 0 if these is None else these.here.size}
    said: list[str] = []
    alone = trained(Curve(), said=said)
    found["said alone"] = said
    task = together()
    found["threads"] = [of["num_threads"] for of in threadpool_info()]
    found["together"] = apart(alone, trained(task))
    found["kept"] = these is not None and these._sent is not None
    found["rows of each"] = sorted(set(task.seen))
    found["in bf16"] = apart(*(trained(of, precision="bf16") for of in (Curve(), together())))
    dropped = [trained(of, 0.5) for of in (together(), together(), Curve())]
    found["again with dropout"], found["alone with dropout"] = (
        apart(dropped[0], of) for of in dropped[1:]
    )
    for where, call in (("interrupted", interrupt), ("failed", fail)):
        try:
            trained(together(on_loss=call))
        except (KeyboardInterrupt, ValueError) as error:
            found[where] = type(error).__name__
    said = []
    little = Curve(divided_loss=partial(loss_of, most_rows=1))
    found["with little memory"] = apart(alone, trained(little, said=said))
    found["said of memory"] = said
    try:
        trained(Curve(divided_loss=partial(loss_of, fails="no such rows")))
    except Exception as error:
        found["lost"] = [type(error).__name__, str(error), type(error.__cause__).__name__]
    return found


def stop(*given: Any) -> Any:
    """Stop this process without a word to the others, as one that hangs."""
    os.kill(os.getpid(), signal.SIGSTOP)


def with_one_that_stops() -> dict[str, Any]:
    try:
        trained(Curve(divided_loss=stop))
    except Exception as error:
        return {"lost": type(error).__name__}
    return {}


def gloo_threads() -> list[str]:
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


if __name__ == "__main__":
    threadpool_limits(1)  # as libraries do that are loaded while a launcher says so
    if stops := sys.argv[1:] == ["stops"]:
        ranks.A_STEP = timedelta(seconds=3)  # type: ignore[misc]
    join()  # from here on in the first process only
    found = with_one_that_stops() if stops else main()
    here = ranks_here()
    assert here is not None
    found["threads before the end"] = gloo_threads()
    here.leave()
    print(json.dumps(found | {"threads in the end": gloo_threads()}), flush=True)
