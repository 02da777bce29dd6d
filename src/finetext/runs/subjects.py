"""What a `Trainer` trains: the model, task and data of a classifier or of a language model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Protocol

from finetext.core.contracts import FitContext
from finetext.core.errors import ModelError, RecipeError
from finetext.core.settings import made
from finetext.core.types import Splits
from finetext.encoders.load import copy_dropouts, scale_dropout
from finetext.evaluation.metrics import metric_for
from finetext.methods.finetune import Finetune
from finetext.methods.transformer import TransformerClassifier
from finetext.pretraining import adapt, pretrain
from finetext.pretraining.adapt import Adaptation
from finetext.pretraining.corpus import Corpus, read_corpus
from finetext.pretraining.folder import Workplace, workplace
from finetext.pretraining.learning import (
    Adapted,
    Job,
    LanguageModel,
    Learned,
    asked_of,
    figures_of,
    job_of,
    write_encoder,
)
from finetext.pretraining.pretrain import Pretraining
from finetext.runs.fit import RangeTest
from finetext.runs.recipe import Recipe
from finetext.runs.resolve import check_possible
from finetext.training.checkpoint import fingerprint, random_states
from finetext.training.launch import refuse_launchers
from finetext.training.plan import ADDED_LATER, Hyperparameters, ScheduleName, Stage, rows_per_step
from finetext.training.precision import choose_device
from finetext.training.rate_finder import RateCurve, find_learning_rate
from finetext.training.task import Task
from finetext.training.tokens import ReducedVocabulary

if TYPE_CHECKING:
    from finetext.training.classification import ClassificationTask
    from finetext.training.state import Training

Weights = Literal["best", "last"]
Trainable = Finetune | Adaptation | Pretraining


class Subject(Protocol):
    """What is trained, in place, from the random states after making it."""

    @property
    def model(self) -> Any:
        """The model in fp32, on its device."""

    @property
    def task(self) -> Task:
        """The task of the training loop."""

    @property
    def settings(self) -> Hyperparameters:
        """The method, checked."""

    @property
    def random(self) -> Mapping[str, Any]:
        """The states of the random generators before the first step."""

    @property
    def usual_rate(self) -> Any:
        """The learning rate of a stage that names none."""

    @property
    def data(self) -> str:
        """Hash of the rows."""

    def with_batch_size(self, size: int) -> Subject:
        """Return it with the number that was found for "auto", where it was found."""


def copy_of(model: Any, training: Training | None, weights: Weights) -> Any:
    """Return a copy in fp32 of a model in training, with all of its weights unfrozen."""
    if weights not in ("best", "last"):
        raise RecipeError(f'weights = {weights!r}: use "best" or "last"')
    model = copy.deepcopy(model)
    if training is not None:
        is_best = weights == "best" and bool(training.best.weights)
        values = training.best.weights if is_best else training.optimizer.weights
        if not all(bool(of.isfinite().all()) for of in values.values()):
            raise ModelError(
                f"the {weights} weights are not finite numbers: training diverged; go back with "
                "load(NAME), or begin with another Trainer and a lower learning rate"
            )
        for name, parameter in model.named_parameters():
            parameter.data = values[name].detach().clone()
    for parameter in model.parameters():
        parameter.grad = None
        parameter.requires_grad_(True)
    return model


def stage_asked(
    subject: Subject,
    epochs: int | Stage,
    learning_rate: Any,
    groups: int | None,
    schedule: ScheduleName | None,
    warmup_share: float | None,
) -> Stage:
    """Return the checked stage of `Trainer.fit_stage`; raises a RecipeError."""
    others = {"groups": groups, "schedule": schedule, "warmup_share": warmup_share}
    if isinstance(epochs, Stage):
        others = {"learning_rate": learning_rate, **others}
        if given := [name for name, of in others.items() if of is not None]:
            raise RecipeError(
                f"fit_stage: a Stage does not go with {', '.join(given)}, which it has itself: "
                f"write Stage({epochs.epochs}, ...) with all settings, or give epochs as a number"
            )
        return made("fit_stage", Stage, asdict(epochs))
    rate = subject.usual_rate if learning_rate is None else learning_rate
    rate = tuple(rate) if isinstance(rate, list) else rate
    return made("fit_stage", Stage, {"epochs": epochs, "learning_rate": rate, **others})


def tested(
    subject: Subject, model: Any, context: FitContext, test: RangeTest, groups: int | None
) -> RateCurve:
    """Return the curve of `Trainer.find_lr` of a copy of the model, which it changes."""
    import torch

    torch.manual_seed(context.seed)
    return find_learning_rate(
        model, copy.copy(subject.task), subject.settings, context, lowest=test.lowest,
        highest=test.highest, steps=test.steps, groups=groups,
    )  # fmt: skip


def identity_of(subject: Subject, method: Trainable, context: FitContext) -> dict[str, Any]:
    """Return what trainings must have in common to be continued; before the first step.

    A batch size of "auto" is no number here: another machine finds another.
    """
    settings = asdict(subject.settings)  # type: ignore[call-overload]
    settings |= {"batch_size": method.batch_size or settings["batch_size"]}
    later = {name for name, usual in ADDED_LATER.items() if settings.get(name) in usual}
    return {
        **{name: str(of) for name, of in settings.items() if name not in {"precision", *later}},
        "seed": context.seed, "metric": context.metric, "encoder": fingerprint(subject.model),
    }  # fmt: skip


def begin(method: Trainable, data: Any, context: FitContext) -> Subject:
    """Load the model of a method and prepare its data; see `finetext.Trainer` for the errors."""
    refuse_launchers()
    if isinstance(method, Finetune):
        for name, usual in (("stages", None), ("unfreeze", "none")):
            if getattr(method, name) != usual:
                raise RecipeError(
                    f"a Trainer has the stages that fit_stage is given, so {name} of Finetune "
                    f"would be ignored: leave {name} out, or train in one go with finetext.fit"
                )
        return Classification.begin(method, data, context)
    if isinstance(method, Adaptation | Pretraining):
        return Language.begin(method, data, context)
    raise RecipeError(
        f"a Trainer takes a Finetune, an Adaptation or a Pretraining, not "
        f"{getattr(method, 'name', method)!r}: only these train step by step; for other methods "
        "use finetext.fit or finetext.train"
    )


@dataclass(frozen=True, eq=False)
class Classification:
    """The fine-tuning of a classifier; `config` has the dropout of the finished model."""

    settings: Finetune
    splits: Splits
    task: ClassificationTask
    classifier: TransformerClassifier
    vocabulary: ReducedVocabulary
    config: Any
    random: Mapping[str, Any]

    @classmethod
    def begin(cls, method: Finetune, splits: Any, context: FitContext) -> Classification:
        """Return the encoder with its new head."""
        from finetext.training.batch_size import with_batch_size

        if not isinstance(splits, Splits):
            raise RecipeError(
                f"a Trainer of {method.name} takes the splits of labeled data, not "
                f"{type(splits).__name__}; make them: finetext.split(finetext.read(DATA))"
            )
        recipe = Recipe(
            methods={"finetune": method}, seed=context.seed, device=context.device,
            metric=context.metric,
        )  # fmt: skip
        check_possible(recipe, splits.scheme)
        metric_for(context.metric, splits.scheme)
        checked = recipe.methods["finetune"]
        assert isinstance(checked, Finetune)
        train = checked.resampled(splits.train, context.seed)
        with checked.begun(train, context) as classifier:
            model = classifier.model
            task = checked.task(classifier, train, splits.validation, context)
            vocabulary = ReducedVocabulary(model, task.tables)
            random = random_states(model.device)
        whole = copy.deepcopy(model.config)
        scale_dropout(model.config, checked.dropout_multiplier)
        task = task.with_tables(vocabulary.tables)
        # As with stages by hand, all layers have the rate of a stage unless the method says else.
        falls, head = checked.discriminative or 1.0, checked.head_rate or 1.0
        checked = replace(checked, discriminative=falls, head_rate=head)
        checked = checked.sized(len(train), float(task.lengths.mean()))
        begun = cls(checked, splits, task, classifier, vocabulary, whole, random)
        sized = with_batch_size(checked, model, task, context)
        return begun if sized is checked else begun.with_batch_size(rows_per_step(sized))

    @property
    def model(self) -> Any:
        """See `Subject.model`; its embedding is reduced to the tokens that occur."""
        return self.classifier.model

    @property
    def usual_rate(self) -> Any:
        """See `Subject.usual_rate`."""
        tokens = float(self.task.lengths.mean())
        rows = len(self.task.targets)
        return self.settings.stages_for(rows, tokens, self.model.config)[-1].learning_rate

    @property
    def data(self) -> str:
        """See `Subject.data`; test rows are not read."""
        return f"{self.splits.train.content_hash} {self.splits.validation.content_hash}"

    def with_batch_size(self, size: int) -> Classification:
        """See `Subject.with_batch_size`."""
        if size == self.settings.batch_size:
            return self
        trained_with = {**self.classifier.trained_with, "batch_size": size}
        classifier = replace(self.classifier, trained_with=trained_with)
        return replace(
            self, settings=replace(self.settings, batch_size=size), classifier=classifier
        )

    def finished(self, model: Any, trained_with: Mapping[str, Any]) -> TransformerClassifier:
        """Return the classifier of a copy of the model after training."""
        self.vocabulary.restore(model)
        copy_dropouts(self.config, model.config)
        facts = {**self.classifier.trained_with, **trained_with}
        return replace(self.classifier, model=model.eval(), trained_with=facts)


@dataclass(frozen=True, eq=False)
class Language:
    """The training of a language model on a corpus; `asked` may have "auto" as batch size."""

    asked: Adaptation | Pretraining
    corpus: Corpus
    job: Job
    language: LanguageModel
    seed: int
    random: Mapping[str, Any]

    @classmethod
    def begin(cls, method: Adaptation | Pretraining, source: Any, context: FitContext) -> Language:
        """Return the language model to start from."""
        import torch

        device = choose_device(context.device, method.precision)
        settings = (
            adapt.checked(method) if isinstance(method, Adaptation) else pretrain.checked(method)
        )
        corpus = source if isinstance(source, Corpus) else read_corpus(source, None, context.seed)
        context.say(corpus.summary())
        for finding in corpus.findings:
            context.find(finding)
        devices = range(torch.cuda.device_count())
        with TemporaryDirectory() as folder, torch.random.fork_rng(devices=devices):
            torch.manual_seed(context.seed)
            place = Workplace(Path(folder), Path(folder))
            if isinstance(settings, Adaptation):
                language = adapt.starting_model(settings, corpus, place, context)
            else:
                language = pretrain.starting_model(settings, corpus, place, context)
            language.model.to(device)
            job = job_of(language, corpus, settings, context)
            random = random_states(device)
        return cls(settings, corpus, job, language, context.seed, random)

    @property
    def settings(self) -> Hyperparameters:
        """See `Subject.settings`."""
        return self.job.settings

    @property
    def task(self) -> Task:
        """See `Subject.task`."""
        return self.job.task

    @property
    def model(self) -> Any:
        """See `Subject.model`."""
        return self.language.model

    @property
    def usual_rate(self) -> Any:
        """See `Subject.usual_rate`."""
        return self.language.learning_rate

    @property
    def data(self) -> str:
        """See `Subject.data`."""
        return self.corpus.content_hash

    def with_batch_size(self, size: int) -> Language:
        """See `Subject.with_batch_size`."""
        if size == self.settings.batch_size:
            return self
        return replace(self, job=self.job.with_batch_size(size))

    def figures(self, model: Any) -> dict[str, float]:
        """Return loss, accuracy and perplexity on held-out text."""
        return figures_of(self.task, model)

    def write(
        self, model: Any, folder: Path, before: Mapping[str, float], seconds: float
    ) -> Adapted:
        """Write a copy of the model after training as an encoder folder."""
        after, job = self.figures(model), self.job
        learned = Learned(before, after, job.tokens, seconds, job.batch_size_found)
        language = replace(self.language, model=model)
        with workplace(folder, False, asked_of(self.asked, self.corpus, self.seed)) as place:
            return write_encoder(place, language, self.corpus, self.asked, learned)
