"""What a run does before its rungs if its recipe has a section `[adapt]`: it makes an encoder.

Rungs name that encoder "adapted". It lies in the folder of this name in the run folder. Until it
is there, the encoder it starts from stands in for it: tokenizer and context are the same.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finetext.core.contracts import FitContext, Method, encoder_of
from finetext.core.environment import absolute
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding, Splits
from finetext.core.wording import duration
from finetext.encoders.catalogue import PREFIX, is_alias, preset_of
from finetext.runs.baselines import origin_of, past_of, twin_in
from finetext.runs.recipe import ADAPTED, Adapting, Recipe
from finetext.storage.codec import finding_from_json, finding_to_json
from finetext.storage.files import write_json

if TYPE_CHECKING:
    from finetext.pretraining.corpus import Corpus


_NOTICED: Final = "noticed.json"
_UNUSED: Final = Finding(
    "warning",
    "adapt-unused",
    f'[adapt] does nothing, since no rung takes its encoder: set encoder = "{ADAPTED}" for one',
)
_OTHER_CORPUS: Final = Finding(
    "warning",
    "corpus-changed",
    "the corpus is not the one this recipe was run on before, so the results will differ",
)


def with_encoder(recipe: Recipe, adapted: str | None = None) -> dict[str, Method]:
    """The rungs with an encoder that can be loaded wherever they name "adapted".

    Args:
        recipe: what is to be run.
        adapted: the folder of the adapted encoder; by default the encoder it is to start from.
    """
    place = adapted or (recipe.adapt.encoder if recipe.adapt is not None else ADAPTED)
    return {
        name: replace(method, encoder=place) if encoder_of(method) == ADAPTED else method  # type: ignore[type-var]
        for name, method in recipe.methods.items()
    }


def adapted_in(folder: Path) -> str:
    """The place of the adapted encoder of a run."""
    return str(folder.absolute() / ADAPTED)


def model_inputs(recipe: Recipe) -> list[tuple[str, int | None]]:
    """The encoders by whose tokenizers texts are measured, and where rungs cut them.

    A twin has the tokenizer of the rung it stands beside, so it is left out.
    """
    methods = with_encoder(recipe)
    pasts = {name: past_of(method, recipe) for name, method in recipe.methods.items()}
    twins = {
        twin_in(recipe.methods, recipe.methods[name], past)
        for name, past in pasts.items()
        if past is not None
    }
    named = [
        (encoder, getattr(method, "max_length", None))
        for name, method in methods.items()
        if name not in twins and (encoder := encoder_of(method)) is not None
    ]
    return [(encoder, most) for encoder, most in named if encoder]


def absolute_encoder(encoder: str) -> str:
    """The whole path of an encoder in a folder, also after `random:`; any other as it is."""
    prefix = PREFIX if encoder.startswith(PREFIX) else ""
    name = encoder.removeprefix(prefix)
    return encoder if is_alias(name) or preset_of(encoder) else prefix + absolute(name)


def with_absolute_corpus(adapting: Adapting) -> Adapting:
    """The section with paths that hold wherever it is run again."""
    corpus = adapting.corpus
    paths = tuple(map(absolute, [corpus] if isinstance(corpus, str) else corpus or ()))
    encoder = absolute_encoder(adapting.encoder)
    return replace(
        adapting,
        corpus=paths[0] if isinstance(corpus, str) else paths or None,
        settings=replace(adapting.settings, encoder=encoder),
    )


def with_corpus(recipe: Recipe, splits: Splits) -> tuple[Recipe, Corpus | None, list[Finding]]:
    """Read the corpus to adapt to, without the texts of test rows.

    Returns:
        the recipe with the hash of the corpus, the corpus, and what is to be known of it; no
        corpus if no rung takes an adapted encoder.
    """
    if not takes_adapted(recipe):
        return recipe, None, [] if recipe.adapt is None else [_UNUSED]
    from finetext.pretraining.corpus import CorpusSettings, read_corpus

    adapting = recipe.adapt
    assert adapting is not None
    settings = CorpusSettings(ReadSettings(labelled=False), test=tuple(splits.test.texts))
    corpus = read_corpus(adapting.corpus or splits.train.texts, settings, recipe.seed)
    findings = [Finding("note", "corpus", f"Adapting: {corpus.summary()}."), *corpus.findings]
    if adapting.content_hash not in (None, corpus.content_hash):
        findings.append(_OTHER_CORPUS)
    adapting = replace(adapting, content_hash=corpus.content_hash)
    return replace(recipe, adapt=adapting), corpus, findings


def check_adapting(recipe: Recipe) -> None:
    """Refuse what cannot be adapted, before anything is trained.

    Raises:
        FinetextError: there is no such encoder, or a hyperparameter does not suit it.
    """
    if takes_adapted(recipe):
        from finetext.pretraining.adapt import checked

        assert recipe.adapt is not None
        checked(recipe.adapt.settings)


def adapt_first(folder: Path, recipe: Recipe, corpus: Corpus, context: FitContext) -> None:
    """Make the adapted encoder of a run, or go on with that; nothing if it is made already.

    Args:
        folder: the run folder.
        recipe: of the run.
        corpus: what to adapt to.
        context: that of the run.

    Raises:
        FinetextError: the training failed, or the folder cannot be written.
    """
    from finetext.pretraining.adapt import adapt_to

    assert recipe.adapt is not None
    place = folder / ADAPTED

    def find(finding: Finding) -> None:
        context.find(finding)
        known = dict.fromkeys([*_noticed(folder), finding])
        write_json(place / _NOTICED, list(map(finding_to_json, known)))

    adapt_to(corpus, place, recipe.adapt.settings, replace(context, find=find), resume=True)


def found_adapting(folder: Path, recipe: Recipe) -> list[Finding]:
    """What is to be known of the adaptation of a run, once it is done; nothing without one."""
    origin = origin_of(adapted_in(folder)) if takes_adapted(recipe) else None
    if origin is None:
        return []
    before, after = (of.get("perplexity", float("nan")) for of in (origin.before, origin.after))
    message = (
        f"The encoder {origin.base} was adapted in {duration(origin.seconds)}: perplexity on "
        f"held-out text {before:,.1f} before, {after:,.1f} after."
    )
    return [*_noticed(folder), Finding("note", "adapted", message)]


def _noticed(folder: Path) -> list[Finding]:
    """What training noticed while it adapted."""
    path = folder / ADAPTED / _NOTICED
    with suppress(OSError, ValueError, KeyError, TypeError):
        return list(map(finding_from_json, json.loads(path.read_text("utf-8"))))
    return []


def is_adapting(folder: Path, recipe: Recipe) -> bool:
    """Whether an encoder is to be adapted and is not done."""
    from finetext.pretraining.folder import is_finished

    return takes_adapted(recipe) and not is_finished(folder / ADAPTED)


def takes_adapted(recipe: Recipe) -> bool:
    """Whether a rung takes the encoder that the recipe says how to adapt."""
    return ADAPTED in map(encoder_of, recipe.methods.values())
