"""`resolve`: a recipe and its data become one `ResolvedRun`, before anything slow starts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.addresses import public_address
from finetext.core.contracts import FitContext, Listener, Method, encoder_of
from finetext.core.environment import absolute, cache_folder
from finetext.core.errors import DataError, RecipeError
from finetext.core.paths import last_part, why_reserved
from finetext.core.settings import ReadSettings, SplitSettings
from finetext.core.types import Dataset, Finding, LabelScheme, Splits
from finetext.core.wording import counted
from finetext.data.column_roles import role_lines
from finetext.data.read import read as read_data
from finetext.data.split import all_train
from finetext.data.split import split as split_rows
from finetext.data.units import duplicate_lines
from finetext.data.weak_labels import refuse_weak
from finetext.diagnosis.data_checks import Material, Reader, check_material, counting_tokens
from finetext.diagnosis.explore import Lengths, length_tables
from finetext.encoders.catalogue import PREFIX, is_alias, preset_of
from finetext.evaluation.metrics import metric_for
from finetext.methods.blend import check_members
from finetext.methods.fewshot import FewShot
from finetext.methods.finetune import Finetune
from finetext.methods.probe import Probe
from finetext.methods.static import Static
from finetext.methods.zeroshot import ZeroShot
from finetext.report.shares import shares_of
from finetext.runs.ablations import (
    ablation_baselines,
    members_in,
    seen_test_rows,
    uses_adapted,
    with_ablation_baselines,
    with_encoder,
)
from finetext.runs.cross_validation import FoldPlan, wants_folds
from finetext.runs.default_methods import suited
from finetext.runs.jobs import check_jobs
from finetext.runs.recipe import ADAPTED, Recipe, ladder, read_toml
from finetext.runs.refit import is_refitted
from finetext.runs.run import Run
from finetext.training.launch import refuse_launchers
from finetext.training.precision import choose_device
from finetext.training.record import check_installed
from finetext.training.truncation import Truncation

if TYPE_CHECKING:
    from finetext.pretraining.corpus import Corpus

Methods = str | Method | Iterable[str | Method] | Mapping[str, Method]
DATA_COPY: Final = "data.parquet"
OUT_OF_SCOPE: Final = "out of scope"
"""The label in that copy of texts that belong to no class."""
LABELS_SHOWN: Final = 10


@dataclass(frozen=True, eq=False)
class ResolvedRun:
    """All that a run depends on, with the recipe as `recipe.toml` has it: paths are absolute."""

    recipe: Recipe
    dataset: Dataset
    splits: Splits
    corpus: Corpus | None
    name: str
    findings: tuple[Finding, ...]
    repeats: int | None = None
    """Most repeats of the cross-validation; None for the usual number."""

    @property
    def tested(self) -> Dataset:
        """The rows that scores are of: the test rows, all rows of a cross-validated run."""
        return self.splits.test if self.folds is None else self.dataset

    @cached_property
    def folds(self) -> FoldPlan | None:
        """The folds of a cross-validated run; None for one with a test split."""
        settings = self.recipe.split
        if not settings.cross_validate:
            return None
        plan = FoldPlan.of(self.dataset, settings, self.recipe.seed)
        return plan if self.repeats is None else replace(plan, held=plan.held[: self.repeats])


def recipe_for(
    what: Any,
    methods: Methods | None = None,
    read: ReadSettings | None = None,
    split: SplitSettings | None = None,
    seed: int | None = None,
    minutes: float | None = None,
    jobs: int | None = None,
) -> Recipe:
    """Return the recipe that is given or the default one, with other settings."""
    if isinstance(what, Run):
        what = Recipe.from_values(read_toml(what.folder / "recipe.toml"))
    if isinstance(what, Recipe):
        if what.source is None:
            raise RecipeError("the recipe names no data; give it a source, or pass the data")
        recipe = what
    else:
        recipe = replace(Recipe(), source=_source(what))
    if methods is not None:
        listed = [methods] if isinstance(methods, str | Method) else methods
        chosen = listed if isinstance(listed, Mapping) else ladder(listed, recipe.methods)
        recipe = replace(recipe, methods=chosen, by_rows=False)
    return replace(
        recipe, read=read or recipe.read, split=split or recipe.split,
        seed=recipe.seed if seed is None else seed,
        minutes=recipe.minutes if minutes is None else minutes,
        jobs=recipe.jobs if jobs is None else jobs,
    )  # fmt: skip


def check_possible(recipe: Recipe, scheme: LabelScheme | None = None) -> None:
    """Refuse a device, tracker, encoder or setting that cannot be used, before any training."""
    refuse_launchers()
    check_installed(recipe.track)
    check_jobs(recipe)
    if recipe.device not in ("auto", "cpu"):
        choose_device(recipe.device)
    formats: set[str | None] = set()
    if recipe.adapt is not None and uses_adapted(recipe):
        from finetext.pretraining.adapt import checked

        formats.add(checked(recipe.adapt.settings).precision)
    methods = with_encoder(recipe).values()
    for method in methods:
        method.check(scheme)
    for name, one in recipe.methods.items():
        if one.combines:
            check_members(name, members_in(recipe))
    if "fp16" in formats | {getattr(method, "precision", None) for method in methods}:
        choose_device(recipe.device, "fp16")
    if scheme is not None:
        recipe.decide.check(scheme)


def read_and_split(recipe: Recipe, what: Any, hears: Listener) -> tuple[Dataset, Splits]:
    """Return the data and their splits, once the recipe is known to suit both."""
    dataset = read_dataset(recipe, what, hears)
    return dataset, split_dataset(recipe, dataset, hears)[1]


def read_dataset(recipe: Recipe, what: Any, hears: Listener) -> Dataset:
    """Return the data, once the recipe is known to be possible; say what they are."""
    check_possible(recipe)
    dataset = read_data(what if recipe.source is None else recipe.source, settings=recipe.read)
    hears.say(dataset.description)
    for line in role_lines(dataset.roles):
        hears.say(line)
    if recipe.weak is None or dataset.scheme is None:
        return dataset
    # All labels of the teacher, in its order, whether or not a row has them.
    return replace(dataset, scheme=replace(dataset.scheme, names=tuple(recipe.weak.given)))


def split_dataset(recipe: Recipe, dataset: Dataset, hears: Listener) -> tuple[Recipe, Splits]:
    """Return the recipe with the methods that suit the rows, and the splits of the data."""
    splits = split_rows(dataset, recipe.split, recipe.seed)
    for name in ("validation", "test"):
        refuse_weak(splits[name], name)
    recipe, left_out = suited(recipe, splits.train)
    for line in [*duplicate_lines(splits), *left_out]:
        hears.say(line)
    check_possible(recipe, splits.scheme)
    return recipe, splits


def resolve(recipe: Recipe, what: Any, hears: Listener) -> ResolvedRun:
    """Return all that a run depends on: data, splits, corpus, methods, paths and hashes."""
    recipe = _with_absolute_paths(recipe)
    methods, findings = with_ablation_baselines(recipe)
    recipe = replace(recipe, methods=methods)
    dataset, asked = read_dataset(recipe, what, hears), recipe
    # The recipe of a run says how it was scored, unless an earlier version wrote it.
    is_old = recipe.content_hash is not None and recipe.split.cross_validate is None
    folds = not is_old and wants_folds(dataset, recipe.split, uses_adapted(recipe))
    recipe = replace(
        recipe, split=replace(recipe.split, cross_validate=folds),
        seeds=1 if folds else recipe.seeds,
    )  # fmt: skip
    if is_old:  # it took the second label
        dataset = with_affirmative(dataset, None)
    if folds:
        refuse_weak(dataset, "cross-validated")
    recipe, splits = split_dataset(recipe, dataset, hears)
    if folds and not any(method.needs_validation for method in recipe.methods.values()):
        splits = all_train(splits, dataset)
    metric_for(recipe.metric, splits.scheme)
    rows = ", ".join(f"{name} {len(part):,}" for name, part in splits.items() if len(part))
    rows = f"{len(dataset):,}" if folds else rows
    hears.say(f"{'' if folds else 'splits: '}{rows} rows, {counted(len(splits.scheme), 'label')}")
    for line in shares_of(splits).lines(LABELS_SHOWN):
        hears.say(f"  {line}")
    corpus, noticed = _corpus(recipe, splits)
    findings += noticed
    decide = recipe.decide.with_hash(splits.scheme)
    if decide.costs is not None:
        hashes = recipe.decide.content_hash, decide.content_hash
        costs, effect = f"costs in {decide.costs} have", ", so labels are decided differently"
        findings += _changed("costs-changed", costs, hashes, effect)
    scored = dataset if folds else splits.test
    findings += seen_test_rows(recipe, scored) + data_changed(recipe, dataset)
    if recipe.weak is not None:
        findings.append(Finding("note", "weak-labels", f"{recipe.weak.words()}."))
    # As text: a number or boolean may be of a type that a recipe file lacks.
    read = replace(recipe.read, positive=splits.scheme.positive)
    resolved = replace(recipe, decide=decide, read=read, content_hash=dataset.content_hash)
    if recipe.adapt is not None and corpus is not None:
        adapt = replace(recipe.adapt, content_hash=corpus.content_hash)
        resolved = replace(resolved, adapt=adapt)
    if recipe.source is None:
        group = "group" if "group" in dataset.table.column_names else None
        outside = None if dataset.out_of_scope is None else OUT_OF_SCOPE
        every = [*splits.scheme.names, *filter(None, [outside])]
        names, several = {name: name for name in every}, splits.scheme.multilabel
        text = copied_texts(splits.scheme) or "text"
        read = ReadSettings(text=text, label="label", group=group, id="id")
        read = replace(read, label_names=names, multilabel=several, out_of_scope=outside)
        read = replace(read, positive=splits.scheme.positive)
        resolved = replace(resolved, source=DATA_COPY, read=read)
    run = ResolvedRun(resolved, dataset, splits, corpus, run_name(recipe), tuple(findings))
    return run if run.folds is None else _cross_validated(run, asked, hears)


def with_affirmative(dataset: Dataset, label: str | None) -> Dataset:
    """Return data with that label as the positive class of two where none is named."""
    scheme = dataset.scheme
    return replace(dataset, scheme=scheme and replace(scheme, affirmative=label))


def _cross_validated(run: ResolvedRun, asked: Recipe, hears: Listener) -> ResolvedRun:
    """Say how the run is scored; return it with the findings of that."""
    assert run.folds is not None
    hears.say(run.folds.words(automatic=asked.split.cross_validate is None))
    fitted = {name: of for name, of in run.recipe.methods.items() if not of.combines}
    hears.say(run.folds.fits(fitted))
    train, validation = run.splits.train, run.splits.validation
    again = [n for n, of in fitted.items() if is_refitted(of, run.recipe, train, validation)]
    hears.say(run.folds.final(fitted, len(validation), again))
    findings = [*run.findings, *run.folds.findings]
    if asked.seeds > 1:
        hears.say(f"seeds = {asked.seeds} adds nothing: each repeat has a seed of its own")
    if uses_adapted(run.recipe):
        message = (
            "The encoder is adapted once, to texts that the folds hold out: it has seen them "
            "without their labels, so scores can be too high."
        )
        findings.append(Finding("warning", "test-in-corpus", message))
    return replace(run, findings=tuple(findings))


def copied_texts(scheme: LabelScheme) -> tuple[str, ...]:
    """Return the text columns of `DATA_COPY`, none if it is called text."""
    one = scheme.text_column
    is_taken = one is None or one in ("id", "text", "label", "group", "split")
    return scheme.text_columns if is_taken else (str(one),)


def check_data(
    recipe: Recipe, splits: Splits, hears: Listener, noticed: Sequence[Finding] = ()
) -> tuple[list[Finding], Sequence[Lengths]]:
    """Check the data; return all findings, those noticed before first, and the lengths of texts."""
    with counting_tokens(Material.of(splits), model_inputs(recipe), hears.progress) as material:
        findings = [*noticed, *check_material(material)]
        lengths = length_tables(material)
    for finding in findings:
        hears.finding(finding)
    if errors := [finding.message for finding in findings if finding.severity == "error"]:
        raise DataError("\n".join(errors))
    return findings, lengths


def data_changed(recipe: Recipe, dataset: Dataset) -> list[Finding]:
    """Return a warning if the data are not those that the recipe was last run on."""
    hashes = recipe.content_hash, dataset.content_hash
    return _changed("data-changed", "data have", hashes, ", so the results will differ")


def _changed(code: str, what: str, hashes: tuple[str | None, ...], effect: str) -> list[Finding]:
    if hashes[0] in (None, hashes[1]):
        return []
    message = f"the {what} changed since this recipe was last run{effect}"
    return [Finding("warning", code, message)]


def model_inputs(recipe: Recipe) -> list[Reader]:
    """Return the encoders that read texts, and how each method truncates a text."""
    left_out = set(ablation_baselines(recipe).values())
    return [
        Reader(encoder, _max_length(method), _truncation(method))
        for name, method in with_encoder(recipe).items()
        if name not in left_out
        and not isinstance(method, Static)  # reads whole texts, without the encoder
        and (encoder := encoder_of(method))
    ]


def _truncation(method: Method) -> Truncation | None:
    """Return how a method truncates texts; None if it reads them whole."""
    if isinstance(method, ZeroShot) or (isinstance(method, Probe) and method.reads_whole_texts):
        return None
    if isinstance(method, FewShot) and method.max_length is None:
        return None
    if isinstance(method, Finetune):
        return method.kept_of_long
    truncation: Truncation | None = getattr(method, "truncation", None)
    return truncation or "head"


def _max_length(method: Method) -> int | None:
    """Return the tokens that a method truncates texts to; None for the context of its encoder."""
    named = "longest" if isinstance(method, Finetune) else "max_length"
    length: int | None = getattr(method, named, None)
    return length


def context_for(recipe: Recipe, hears: Listener) -> FitContext:
    """Return the context to fit methods in."""
    return FitContext(
        seed=recipe.seed, device=recipe.device, metric=recipe.metric, cache=cache_folder(),
        progress=hears.progress, say=hears.say, find=hears.finding,
    )  # fmt: skip


def run_name(recipe: Recipe) -> str:
    """Return a name for the run folder, after the source."""
    if recipe.source is None:
        return "run" if recipe.weak is None else f"{_slug(recipe.weak.pool)}-distilled"
    first = recipe.source if isinstance(recipe.source, str) else next(iter(recipe.source.values()))
    return _slug(last_part(public_address(first).removeprefix("hub:")))


def _slug(name: str) -> str:
    slug = re.sub(r"[^\w-]+", "-", name.split(".")[0]).strip("-") or "run"
    return f"{slug}-run" if why_reserved(slug) else slug


def _corpus(recipe: Recipe, splits: Splits) -> tuple[Corpus | None, list[Finding]]:
    """Return the corpus to adapt to, without the texts of test rows; None if no method needs it."""
    if (adapt := recipe.adapt) is None:
        return None, []
    if not uses_adapted(recipe):
        message = f'[adapt] is unused: no method has encoder = "{ADAPTED}"'
        return None, [Finding("warning", "adapt-unused", message)]
    from finetext.pretraining.corpus import CorpusSettings, read_corpus

    settings = CorpusSettings(ReadSettings(labelled=False), test=tuple(splits.test.texts))
    corpus = read_corpus(adapt.corpus or splits.train.texts, settings, recipe.seed)
    findings = [Finding("note", "corpus", f"Adapting: {corpus.summary()}."), *corpus.findings]
    hashes = adapt.content_hash, corpus.content_hash
    findings += _changed("corpus-changed", "corpus has", hashes, ": results will differ")
    return corpus, findings


def _source(what: Any) -> Any:
    """Return the path, address, sample or splits of a source; None for data passed in Python."""
    if isinstance(what, str | Path):
        return absolute(str(what))
    if isinstance(what, Mapping) and all(isinstance(of, str | Path) for of in what.values()):
        return {str(split): absolute(str(path)) for split, path in what.items()}
    return None


def _with_absolute_paths(recipe: Recipe) -> Recipe:
    read, adapt, decide = recipe.read, recipe.adapt, recipe.decide
    if isinstance(read.label_names, str | Path):
        read = replace(read, label_names=absolute(str(read.label_names)))
    if adapt is not None:
        corpus = adapt.corpus
        paths = absolute(corpus) if isinstance(corpus, str) else tuple(map(absolute, corpus or ()))
        settings = replace(adapt.settings, encoder=_absolute_encoder(adapt.encoder))
        adapt = replace(adapt, corpus=paths or None, settings=settings)
    if decide.costs is not None:
        decide = replace(decide, costs=Path(absolute(str(decide.costs))))
    methods = {
        name: replace(method, encoder=_absolute_encoder(encoder))  # type: ignore[type-var]
        if (encoder := encoder_of(method)) not in (None, ADAPTED)
        else method
        for name, method in recipe.methods.items()
    }
    source = _source(recipe.source)
    return replace(recipe, source=source, read=read, adapt=adapt, decide=decide, methods=methods)


def _absolute_encoder(encoder: str) -> str:
    """Return the absolute path of an encoder in a folder, also after `random:`."""
    name = encoder.removeprefix(PREFIX)
    is_published = is_alias(name) or preset_of(encoder)
    return encoder if is_published else encoder.removesuffix(name) + absolute(name)
