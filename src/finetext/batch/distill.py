"""`distill`: a model labels a pool of texts, and smaller ones learn from these weak labels.

Rows that people labeled choose between checkpoints and methods and score them, the teacher beside
the others; no weak label ever does. Texts of the pool that are copies or near-copies of these rows
are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from finetext.batch.pool_labels import labels_of, read_pool
from finetext.core.arrays import Booleans
from finetext.core.budget import within_memory
from finetext.core.console import heard
from finetext.core.contracts import Classifier, Listener, Method, hyperparameters
from finetext.core.environment import absolute
from finetext.core.errors import DataError, FinetextError, RecipeError, UnknownNameError
from finetext.core.settings import ReadSettings, SplitSettings
from finetext.core.types import Dataset, Finding, LabelScheme
from finetext.core.wording import counted
from finetext.data.near_duplicates import near_duplicates
from finetext.data.read import read as read_data
from finetext.data.read import refuse_missing
from finetext.data.split import with_validation
from finetext.data.weak_labels import WeakLabels, refuse_weak
from finetext.data.weak_rows import PoolLabels, assembled, choose_rows, kept_of
from finetext.methods.teacher import Teacher
from finetext.models.files import DESCRIPTION
from finetext.models.folder import save_model
from finetext.models.hub import model_folder
from finetext.runs import timetable
from finetext.runs.fit import fit_rows
from finetext.runs.load import load
from finetext.runs.pipeline import Place, train_recipe
from finetext.runs.recipe import BASELINES, LADDER, Recipe
from finetext.runs.resolve import Methods, check_possible, recipe_for
from finetext.runs.resume import held
from finetext.runs.run import Run
from finetext.storage.codec import to_json
from finetext.storage.locks import Held, check_folder
from finetext.storage.unfinished import recover

KEEP: Final = 0.75
"""Share of the texts of each label: more confident ones have better labels, fewer say less. As good
as all texts or better on three of four sets, half a point behind on the other (LOG.md)."""
VALIDATION: Final = 1 / 3
"""Share of human-labeled test rows that become validation rows where none are given."""

_OF_RUNS: Final = {
    "decide": "a decision rule ([decide], data.out_of_scope)", "minutes": "--minutes",
    "seeds": "seeds", "keep_checkpoints": "keep_checkpoints", "track": "track",
}  # fmt: skip
"""Settings of a recipe that need a run, and how they are called."""


@dataclass(frozen=True)
class Distilled:
    """The result of `distill`.

    Attributes:
        folder: the run folder; without human-labeled rows the model folder.
        weak: where the labels are from.
        run: the finished run; None without human-labeled rows, which alone can score.
    """

    folder: Path
    weak: WeakLabels
    run: Run | None = None

    def classifier(self, device: str = "auto") -> Classifier:
        """Load the student: the best method of the run, or the only model."""
        return load(self.folder, device, engine="torch")


@dataclass(frozen=True)
class Lesson:
    """What a teacher labels, what of it is learned, and the rows that people labeled.

    Attributes:
        teacher: model folder, run folder or "hub:owner/name".
        pool: the unlabeled texts, anything that `finetext.read` takes.
        human: train, validation or test to rows with labels, which are read likewise.
        keep: see `distill`, as for `least`.
    """

    teacher: str
    pool: Any
    human: Mapping[str, Any]
    keep: float = KEEP
    least: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise RecipeError(f"keep = {self.keep:g}: it must be a share, from above 0 to 1")
        if not 0 <= self.least <= 1:
            raise RecipeError(f"least = {self.least:g}: it must be a probability, from 0 to 1")
        if "validation" in self.human and "test" not in self.human:
            raise RecipeError(
                "validation rows choose a method, and only test rows can score it: give test rows, "
                "of which a third are validation rows by default"
            )


def distill(
    teacher: str | Path,
    pool: Any,
    *,
    test: Any = None,
    validation: Any = None,
    train: Any = None,
    methods: Methods | None = None,
    keep: float = KEEP,
    least: float = 0.0,
    read: ReadSettings | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> Distilled:
    """Let a saved model label unlabeled texts, and train methods on these weak labels.

    The methods and the teacher are scored on rows that people labeled, and compared on the same
    rows. Weak labels are marked as such in the run folder, the report and the models.

    Args:
        teacher: model folder, run folder or "hub:owner/name" of a model with one label a text,
            such as one of `finetext classify --save`, or of `zero_shot(...).save(FOLDER)`.
        pool: the unlabeled texts: anything that `finetext.read` takes. Labels are ignored.
        test: rows that people labeled, which are read likewise. Without any, one method is fitted,
            and nothing says how good it is.
        validation: others to choose checkpoints, temperatures and methods by; by default a third of
            the test rows, which then do not score.
        train: others to learn from, beside the weak labels; none by default.
        methods: as for `finetext.train`. Without test rows name one; `finetune` by default.
        keep: share of the texts of each label to learn from, the most confident ones; 0.75 by
            default, 1 for all.
        least: least confidence, 0 by default.
        read: how to read the labeled rows, and the text columns of the pool.
        out: the run folder; `runs/POOL-distilled` by default. Without test rows the model folder.
        seed: seed of every random choice, 0 by default.
        minutes: as for `finetext.train`; to label the pool takes a time of its own. It needs test
            rows, as does `resume`.
        resume: resume the run in `out` that was stopped. Labels of the pool are always kept.
        listener: receives progress; by default it is shown on a terminal or in a notebook.

    Raises:
        FinetextError: something given cannot be used, and nothing is written; or as by
            `finetext.train`.
        KeyboardInterrupt: it was stopped; the message says how to continue.
    """
    if isinstance(teacher, Classifier):
        raise RecipeError("distill takes a saved model as teacher: give teacher.save(FOLDER)")
    human = {"train": train, "validation": validation, "test": test}
    given = {name: of for name, of in human.items() if of is not None}
    lesson = Lesson(str(teacher), pool, given, keep, least)
    if methods is not None and not isinstance(methods, str | Method | Mapping):
        methods = list(methods)
    if isinstance(methods, list | Mapping):
        refuse_several(len(methods), given)
    recipe = recipe_for(pool, methods, read, None, seed, minutes)
    return distill_recipe(recipe, lesson, Place(out, resume), listener)


@within_memory
def distill_recipe(
    recipe: Recipe, lesson: Lesson, into: Place, listener: Listener | None
) -> Distilled:
    """Do as `distill`, with the methods and settings of a recipe, whose source is not read."""
    scored = "test" in lesson.human
    if scored and into.out is not None:
        check_folder(Path(into.out), into.resume, held)
    elif not scored:
        recipe = _with_one_method(recipe)
        _refuse_settings_of_runs(recipe, into.resume)
        _check_model_place(into)
    teacher = lesson.teacher
    with heard(listener) as hears:
        check_possible(recipe)
        for source in (lesson.pool, *lesson.human.values()):
            refuse_missing(source)
        scheme, kind = _teacher(teacher, recipe.device, hears)
        human = {
            name: _labeled(name, source, recipe.read, scheme)
            for name, source in lesson.human.items()
        }
        _check_out_of_scope(recipe.read, human)
        if scored and "validation" not in human:
            human |= _with_validation(human["test"], recipe.seed, hears)
        known = _trained_rows(teacher, human, hears)
        pool = read_pool(lesson.pool, recipe.read, scheme, hears)
        labels = labels_of(teacher, pool, scheme, recipe.device, hears)
        chosen = choose_rows(labels, human, lesson.keep, lesson.least)
        hears.say(chosen.words)
        weak = _described(lesson, (kind, known), labels, chosen.rows, scheme)
        dataset = assembled(labels, chosen, human, scheme, weak)
        dataset = replace(dataset, findings=(*dataset.findings, *_known_rows(known, human)))
        recipe = replace(recipe, source=None, weak=weak, content_hash=None)
        if not scored:
            return _only_model(recipe, dataset, Path(str(into.out)), hears)
        methods = {Teacher.name: Teacher(model=absolute(teacher))} | dict(recipe.methods)
        split = replace(recipe.split, cross_validate=False)
        recipe = replace(recipe, methods=methods, split=split)
        run = train_recipe(recipe, dataset, into, hears, timetable.now())
        return Distilled(run.folder, weak, run)


def _teacher(teacher: str, device: str, hears: Listener) -> tuple[LabelScheme, str]:
    """Return labels and kind of a teacher, which must give one label a text."""
    model = load(teacher, device, engine="torch", say=hears.say)
    if model.scheme.multilabel:
        raise RecipeError(
            f"{teacher} gives a text any number of labels, and distill needs a teacher that gives "
            "each text one: how confident it is of all of them together is not known"
        )
    return model.scheme, model.kind


def _check_out_of_scope(settings: ReadSettings, human: Mapping[str, Dataset]) -> None:
    """Raise a DataError if no labeled row has the label of texts that belong to no class."""
    asked = settings.out_of_scope
    if asked is not None and all(of.out_of_scope is None for of in human.values()):
        raise DataError(f"no labeled row has the label {asked!r} (--out-of-scope-label)")


def _labeled(name: str, source: Any, settings: ReadSettings, scheme: LabelScheme) -> Dataset:
    """Read rows that people labeled, in the labels of the teacher.

    Of a source with ready-made splits these are the rows of that split.
    """
    how = replace(settings, classes=scheme.names, multilabel=False, positive=None)
    how = how.with_texts_of(scheme)
    try:
        data = read_data(source, settings=how)
    except UnknownNameError:  # texts out of scope may be in the other parts alone
        data = read_data(source, settings=replace(how, out_of_scope=None))
    if "split" in data.table.column_names:
        outside = data.out_of_scope
        data = replace(_of_split(data, name), out_of_scope=outside and _of_split(outside, name))
        if not len(data):
            raise DataError(f"the {name} rows have ready-made splits, but none of them is {name}")
    if name != "train":
        refuse_weak(data, name)
    odd = [of for of in dict.fromkeys(data.labels) if of not in scheme.index]
    if odd:
        raise DataError(
            f"the {name} rows have {counted(len(odd), 'label')} that the teacher does not know: "
            f"{', '.join(map(repr, odd[:10]))}. Its labels are {', '.join(scheme.names[:50])}; "
            "rename them in one of the two"
        )
    return replace(data, scheme=scheme)


def _of_split(data: Dataset, name: str) -> Dataset:
    """Return the rows of a ready-made split, without that column."""
    rows = [row for row, of in enumerate(data.column("split")) if of == name]
    return replace(data, table=data.table.select(rows).remove_columns("split"))


def _with_validation(test: Dataset, seed: int, hears: Listener) -> dict[str, Dataset]:
    """Return test and validation rows, out of rows that people labeled."""
    settings = SplitSettings(validation=VALIDATION)
    scored, chosen = with_validation(test, settings, seed, near_duplicates(test.texts))
    if not len(chosen) or chosen is scored:
        raise DataError(
            f"{counted(len(test), 'human-labeled row')} are too few for validation and test rows: "
            "give more, or name other rows with --validation"
        )
    hears.say(
        f"of {counted(len(test), 'human-labeled row')} {len(chosen):,} are validation rows, and "
        f"{len(scored):,} are test rows"
    )
    # All rows out of scope, which choose nothing, are those of the test rows.
    return {"validation": replace(chosen, out_of_scope=None), "test": scored}


def _trained_rows(teacher: str, human: Mapping[str, Dataset], hears: Listener) -> int:
    """Return from how many test rows a teacher learned, so far as it is of a run."""
    run, method = _run_and_method(teacher)
    if "test" not in human or run is None:
        return 0
    try:
        learned = set(Run.open(run).rows(method, "train").texts)
    except FinetextError as error:
        hears.say(f"test rows were not compared with the training rows of the teacher: {error}")
        return 0
    return sum(text in learned for text in human["test"].texts)


def _known_rows(known: int, human: Mapping[str, Dataset]) -> list[Finding]:
    """Return a warning if the teacher learned from texts of test rows."""
    if not known:
        return []
    message = (
        f"{known:,} of {counted(len(human['test']), 'test row')} are training rows of the teacher, "
        "so its scores are better than on new texts. Give rows that it did not learn from."
    )
    return [Finding("warning", "trained-on", message)]


def _run_and_method(teacher: str) -> tuple[Path | None, str | None]:
    """Return the run that a model is of, and its method, None for the best; (None, None) if none.

    A model beside a run, such as one with another decision rule, is not of it.
    """
    place = model_folder(teacher).resolve()
    if Run.is_at(place):
        return place, None
    run = place.parent.parent
    return (run, place.parent.name) if Run.is_at(run) else (None, None)


def _name(teacher: str) -> str:
    """Return the name of a teacher without its place: "zero-shot", "reviews", "reviews/probe"."""
    run, method = _run_and_method(teacher)
    if run is None:
        return teacher if teacher.startswith("hub:") else Path(teacher).name
    return run.name if method is None else f"{run.name}/{method}"


def _described(
    lesson: Lesson,
    teacher: tuple[str, int],
    labels: PoolLabels,
    rows: Booleans,
    scheme: LabelScheme,
) -> WeakLabels:
    """Return where the weak labels are from; `teacher` is its kind and the test rows it knows."""
    kind, known = teacher
    is_named = isinstance(lesson.pool, str | Path)
    return WeakLabels(
        teacher=_name(absolute(lesson.teacher)), kind=kind, sha256=labels.sha256,
        pool=Path(lesson.pool).name if is_named else "pool", texts=len(labels), keep=lesson.keep,
        least=lesson.least, is_scored="test" in lesson.human, known=known,
        **kept_of(labels, rows, scheme.names),
    )  # fmt: skip


def refuse_several(methods: int, human: Mapping[str, Any]) -> None:
    """Raise a RecipeError if several methods were named, and no rows compare them."""
    if methods > 1 and "test" not in human:
        raise RecipeError(
            "without human-labeled rows nothing can compare methods: name one with --methods, or "
            "give labeled rows with --test"
        )


def _with_one_method(recipe: Recipe) -> Recipe:
    """Return a recipe of one method: without human-labeled rows nothing compares several."""
    names = [name for name in recipe.methods if name not in BASELINES] or list(BASELINES[1:])
    is_default = recipe.by_rows and set(recipe.methods) == set(LADDER)
    name = "finetune" if is_default else names[0]
    refuse_several(2 if recipe.methods[name].combines else 1 if is_default else len(names), {})
    return replace(recipe, methods={name: recipe.methods[name]})


def _refuse_settings_of_runs(recipe: Recipe, is_resumed: bool) -> None:
    """Refuse what only a run with human-labeled rows can do, as there is none to do it."""
    usual = Recipe()
    given = [name for name in _OF_RUNS if getattr(recipe, name) != getattr(usual, name)]
    if given or is_resumed:
        raise RecipeError(
            f"{_OF_RUNS[given[0]] if given else '--resume'} needs --test: without human-labeled "
            "rows there is a model alone, and no run"
        )


def _check_model_place(into: Place) -> None:
    if into.out is None:
        raise RecipeError(
            "without human-labeled rows (--test) there is no run to score, but a model alone; name "
            "its folder with --out"
        )
    recover(Path(into.out))
    check_folder(Path(into.out), False, _held_model)


def _held_model(folder: Path) -> Held:
    return ("a model", False) if (folder / DESCRIPTION).is_file() else held(folder)


def _only_model(recipe: Recipe, dataset: Dataset, out: Path, hears: Listener) -> Distilled:
    """Fit and save the method of a recipe; a tenth of the weak rows chooses its checkpoint."""
    assert recipe.weak is not None
    name = list(recipe.methods)[-1]
    method = recipe.methods[name]
    hears.say(f"fitting {name}; no human-labeled rows were given, so nothing says how good it is")
    classifier = fit_rows(dataset, name, recipe, hears)
    made_by = {
        "method": method.name, "hyperparameters": hyperparameters(method), "seed": recipe.seed,
        "content_hash": dataset.content_hash, "weak_labels": to_json(recipe.weak),
    }  # fmt: skip
    rows = {"learned_from": len(dataset), "data": {"rows": {"train": len(dataset)}}}
    return Distilled(save_model(classifier, out, made_by, rows), recipe.weak)
