"""Where a process joins the others that a launcher started, before anything heavy is imported."""

from __future__ import annotations

import atexit

from finetext.training.launch import Launched


def join() -> None:
    """Train together with the other processes that torchrun or `accelerate launch` started.

    The first one returns, and leads from now on whatever it trains. The others compute gradients
    for it until it ends, and end then: in them this never returns. A process that was started
    alone, or has joined already, returns at once.
    """
    here = Launched.here()
    if here is None:
        return
    from finetext.training.ranks import start

    atexit.register(start(here).leave)
