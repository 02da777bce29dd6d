"""What adapting and pretraining are asked for beside hyperparameters, and how it is carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetext.durable import is_full
from finetext.environment import cache_folder
from finetext.errors import RecipeError, RunError
from finetext.methods.base import Checkpoints, FitContext
from finetext.pipeline import Listener, heard
from finetext.pretraining.corpus import Corpus, CorpusSettings, read_corpus
from finetext.pretraining.folder import check_place
from finetext.pretraining.learning import Adapted
from finetext.tracking import check_installed, check_names
from finetext.training.precision import choose_device


@dataclass(frozen=True)
class Request:
    """Where an encoder is to be made, and how training is run.

    Attributes:
        out: the encoder folder.
        seed: seed of every random choice.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        resume: whether to go on with what is in the folder.
        track: trackers that get the scalars of training.
        checkpoint_seconds: seconds between two states kept for `resume`.
    """

    out: Path
    seed: int = 0
    device: str = "auto"
    resume: bool = False
    track: tuple[str, ...] = ()
    checkpoint_seconds: float = 60.0


def carry_out(
    request: Request,
    corpus: Any,
    read: CorpusSettings | None,
    make: Callable[[Corpus, FitContext], Adapted],
    listener: Listener | None,
) -> Adapted:
    """Check what can be checked, read the corpus, and make the encoder.

    Args:
        request: what is asked for.
        corpus: a `Corpus`, or whatever `read_corpus` takes.
        read: how to read the corpus.
        make: trains on a corpus and leaves the encoder in the folder.
        listener: who hears of progress; by default the screen.

    Raises:
        FinetextError: the corpus, the folder or a setting is not fit, or training failed.
        KeyboardInterrupt: it was stopped; the message says how to go on.
    """
    if not request.checkpoint_seconds > 0:
        raise RecipeError(f"checkpoint_seconds = {request.checkpoint_seconds}: it must be above 0")
    check_place(request.out, request.resume)
    check_names(request.track)
    check_installed(request.track)
    choose_device(request.device)
    with heard(listener) as hears:
        context = FitContext(
            seed=request.seed, device=request.device, cache=cache_folder(),
            checkpoints=Checkpoints(request.out, every_seconds=request.checkpoint_seconds),
            trackers=request.track, progress=hears.progress, say=hears.say, find=hears.finding,
        )  # fmt: skip
        if not isinstance(corpus, Corpus):
            corpus = read_corpus(corpus, read, request.seed)
            hears.say(corpus.description)
            for finding in corpus.findings:
                hears.finding(finding)
        hears.say(corpus.summary())
        try:
            return make(corpus, context)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped; what was learnt is in {request.out}: the same command with --resume "
                "goes on"
            ) from None
        except Exception as error:
            if not is_full(error):
                raise
            raise RunError(
                f"the disk is full: {error}\nmake room; then the same command with --resume goes on"
            ) from error
