"""`Trainer`: the one training loop, opened between its stages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import torch

from finetext.core.console import heard
from finetext.core.contracts import Classifier, FitContext, Listener
from finetext.core.environment import cache_folder
from finetext.core.errors import ModelError, RunError, UnknownNameError
from finetext.core.settings import made
from finetext.core.types import Predictions, Score
from finetext.evaluation.calibration import calibrated
from finetext.evaluation.intervals import evaluate
from finetext.pretraining.learning import Adapted
from finetext.report.history import History, plot_history
from finetext.runs.fit import RangeTest
from finetext.runs.subjects import (
    Classification,
    Language,
    Subject,
    Trainable,
    Weights,
    begin,
    copy_of,
    identity_of,
    stage_asked,
    tested,
)
from finetext.training.checkpoint import (
    CheckpointFile,
    Snapshot,
    named_file,
    random_states,
    set_random_states,
)
from finetext.training.loop import run_plan
from finetext.training.optimizer import layer_groups
from finetext.training.plan import ScheduleName, Stage, make_plan
from finetext.training.rate_finder import RateCurve
from finetext.training.record import check_installed, check_names, make_accelerator, tracked
from finetext.training.state import Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER: Final = "runs/trainer"


@final
class Trainer:
    """Train stage by stage, with a look at validation rows between the stages.

        splits = finetext.split(finetext.read("reviews.csv"))
        trainer = finetext.Trainer(finetext.Finetune(discriminative=2.6), splits)
        trainer.find_lr().suggestion
        trainer.fit_stage(1, 2e-2, groups=1)               # the head alone
        trainer.save("head")
        trainer.fit_stage(1, (1e-2 / 2.6**4, 1e-2), groups=2)
        trainer.fit_stage(2, 1e-3)                         # everything
        classifier = trainer.classifier()

    All stages together are the training of `Finetune(stages=[...])` in one go, to the last bit;
    but see `fit_stage` for `patience` and `evaluate_every`. A language model is trained the same
    way, from an `Adaptation` or a `Pretraining` and a corpus, and written with `save_encoder`.
    """

    def __init__(
        self,
        method: Trainable,
        data: Any,
        *,
        seed: int = 0,
        device: str = "auto",
        metric: str = "macro_f1",
        folder: str | Path = FOLDER,
        track: tuple[str, ...] = (),
        listener: Listener | None = None,
    ) -> None:
        """Load the encoder; nothing is trained or written yet.

        Args:
            method: `Finetune` without stages for a classifier, `Adaptation` or `Pretraining` for a
                language model. Epochs and learning rates are those of the stages.
            data: the splits of `finetext.split`, of which test rows are never read; for a language
                model anything that `finetext.adapt` takes.
            seed: seed of every random choice, 0 by default.
            device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
            metric: the metric that chooses the best weights on validation rows, "macro_f1" by
                default; a language model goes by its loss.
            folder: where `save` writes, "runs/trainer" by default.
            track: trackers that receive the scalars of training, such as "tensorboard"; they write
                in the folder, as does `log.jsonl` then.
            listener: receives progress; by default it is shown on a terminal or in a notebook.

        Raises:
            RecipeError: the method is not trained in steps, or a setting is invalid.
            DataError: the data cannot be used.
            ModelError: the encoder cannot be loaded.
        """
        check_names(track)
        check_installed(track)
        self.folder, self._trackers = Path(folder), tuple(track)
        self._listener, self._hears = listener, Listener()
        self._context = FitContext(
            seed, device, metric, cache_folder(),
            progress=lambda event: self._hears.progress(event),
            say=lambda line: self._hears.say(line),
            find=lambda finding: self._hears.finding(finding),
        )  # fmt: skip
        with heard(listener) as self._hears:
            self._subject: Subject = begin(method, data, self._context)
        self._random = self._subject.random
        self._stages: tuple[Stage, ...] = ()
        self._training: Training | None = None
        self._before: dict[str, float] = {}
        self._seconds = 0.0
        self._identity = identity_of(self._subject, method, self._context)

    def fit_stage(
        self,
        epochs: int | Stage,
        learning_rate: float | tuple[float, ...] | None = None,
        groups: int | None = None,
        *,
        schedule: ScheduleName | None = None,
        warmup_share: float | None = None,
    ) -> History:
        """Train a further stage, and evaluate on validation rows after each epoch.

        Unlike in one go, `patience` counts in every stage, each is evaluated at its end whatever
        `evaluate_every` is, and a restart after divergence repeats and slows one stage at most.

        Args:
            epochs: passes over the training rows; or a whole `Stage`, and nothing else.
            learning_rate: see `Stage`; None (the default) is that of the method for this encoder.
            groups: how many of the top layer groups learn; None (the default) trains all.
            schedule: see `Stage`.
            warmup_share: see `Stage`.

        Returns:
            all evaluations so far.

        Raises:
            RecipeError: a number is out of range, or the rates do not go with the layer groups.
            RunError: the stage before was interrupted; see `resume`.
            ModelError: training diverged; the trainer is as before the stage.
        """
        stage = stage_asked(self._subject, epochs, learning_rate, groups, schedule, warmup_share)
        stage.check(len(self.layer_groups))
        if self._is_unfinished:
            raise RunError(
                f"stage {len(self._stages)} was interrupted {self._place}: finish it with "
                "resume(), or go back with load(NAME)"
            )
        stages = (*self._stages, stage)
        with self._at_work():
            if isinstance(self._subject, Language) and self._training is None:
                self._before = self._subject.figures(self._subject.model)
            self._training = self._with_plan(stages)
            self._training.begin_stage(self._facts(self._training))
            self._stages = stages
            self._run()
        return self.history

    def resume(self) -> History:
        """Finish the stage that was interrupted, by Ctrl-C or before `save`; return as there."""
        if self._is_unfinished:
            with self._at_work():
                self._run()
        return self.history

    def find_lr(self, test: RangeTest | None = None, groups: int | None = None) -> RateCurve:
        """Return the loss over learning rates, from the weights as they are, which it keeps.

        Args:
            test: range and steps, those of `RangeTest` by default.
            groups: how many of the top layer groups learn; None (the default) trains all.

        Raises:
            RecipeError: the range is invalid.
            ModelError: the loss was not a number from the start.
        """
        test = test or RangeTest()
        test.check()
        with self._at_work(keep_random=False):
            return tested(self._subject, self._copy("last"), self._context, test, groups)

    def classifier(self, weights: Weights = "best", calibrate: bool = True) -> Classifier:
        """Return a copy of the classifier; training can continue afterward.

        Args:
            weights: "best" (the default) by the metric on validation rows so far, or "last".
            calibrate: whether probabilities are calibrated on validation rows, as `fit` does; True
                by default.

        Raises:
            RunError: a language model is no classifier.
        """
        if not isinstance(self._subject, Classification):
            raise RunError(
                "a language model is no classifier; write it with save_encoder(FOLDER), and "
                "fine-tune that: Finetune(encoder=FOLDER)"
            )
        choice = {} if self._training is None else asdict(self._training.choice)
        found: Classifier = self._subject.finished(self._copy(weights), choice)
        return calibrated(found, self._subject.splits.validation)[0] if calibrate else found

    def predictions(self, weights: Weights = "best") -> Predictions:
        """Return what `classifier` predicts for validation rows; raises as it does."""
        classifier = self.classifier(weights, calibrate=False)
        assert isinstance(self._subject, Classification)
        return calibrated(classifier, self._subject.splits.validation)[1]

    def scores(self, weights: Weights = "best") -> Mapping[str, Score] | Mapping[str, float]:
        """Return the metrics of `classifier` on validation rows, with 95% intervals.

        Of a language model they are loss, accuracy and perplexity on held-out text, without.
        """
        if isinstance(self._subject, Language):
            return self._subject.figures(self._copy(weights))
        return evaluate(self.predictions(weights), self._context.seed)

    def save_encoder(self, folder: str | Path, weights: Weights = "best") -> Adapted:
        """Write a language model with its vocabulary as an encoder folder for `Finetune`.

        Raises:
            RunError: this is a classifier, nothing is trained, or the folder cannot be used.
        """
        if not isinstance(self._subject, Language):
            raise RunError("this trains a classifier; write it with classifier().save(FOLDER)")
        self._refuse_untrained("save_encoder")
        return self._subject.write(self._copy(weights), Path(folder), self._before, self._seconds)

    def save(self, name: str) -> Path:
        """Write everything needed to continue from here, in another process too; return where.

        It replaces what was saved under the name, completely or not at all.

        Raises:
            RunError: nothing is trained yet, or it cannot be written.
        """
        training = self._refuse_untrained("save")
        place, snapshot = self._file(name), training.snapshot()
        facts = {**snapshot.facts, **self._facts(training)}
        with self._at_work():
            try:
                place.write(replace(snapshot, facts=facts), training.record.step)
            except OSError as error:
                raise RunError(f"{self.folder / name} cannot be written: {error}") from None
        return self.folder / name

    def load(self, name: str) -> Trainer:
        """Go to what `save` wrote under a name, and return the trainer.

        Raises:
            UnknownNameError: nothing was saved under that name.
            ModelError: it is damaged, or of another method, seed, encoder or data.
        """
        snapshot = self._file(name).read("make the Trainer with that, or load another")
        if snapshot is None:
            raise UnknownNameError("saved training", name, self.saved)
        with self._at_work():
            self._go_to(snapshot)
        return self

    @property
    def saved(self) -> list[str]:
        """The names under which there is something to load."""
        return sorted(path.parent.name for path in self.folder.glob("*/latest.safetensors"))

    @property
    def layer_groups(self) -> list[list[str]]:
        """The names of the weights of each layer group, bottom first; a list of one is the head."""
        return layer_groups(self._subject.model)

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of the training log, as in the `log.jsonl` of a run."""
        return [] if self._training is None else list(self._training.record.lines)

    @property
    def history(self) -> History:
        """All evaluations so far, with the training loss before each."""
        if self._training is None:
            return History()
        return History.of(self._training.record.lines, self._training.plan)

    def plot_history(self, out: str | Path | None = None) -> Figure:
        """Draw loss, metrics on validation rows, learning rate and gradient norm over steps.

        Where a stage begins is marked. With `out`, a .png or .svg file, write it as well.

        Raises:
            RunError: nothing is trained yet.
            DataError: the file cannot be written.
        """
        training = self._refuse_untrained("draw")
        return plot_history(training.record.lines, training.plan, out)

    def __repr__(self) -> str:
        if self._training is None:
            return "<Trainer untrained>"
        return f"<Trainer {self._training.plan.name} {self._place}>"

    @property
    def _is_unfinished(self) -> bool:
        """Whether the last stage has steps left."""
        training = self._training
        return training is not None and training.record.step < training.record.steps

    @property
    def _place(self) -> str:
        assert self._training is not None
        return f"at step {self._training.record.step:,} of {self._training.record.steps:,}"

    @contextmanager
    def _at_work(self, keep_random: bool = True) -> Iterator[None]:
        """Show progress, and use the random generators of this training in the body."""
        device = self._subject.model.device
        devices = range(torch.cuda.device_count())
        with heard(self._listener) as self._hears, torch.random.fork_rng(devices=devices):
            set_random_states(self._random, device)
            try:
                yield
            finally:
                if keep_random:
                    self._random = random_states(device)
                self._hears = Listener()

    def _with_plan(self, stages: Sequence[Stage], snapshot: Snapshot | None = None) -> Training:
        """Return the training with a longer plan, or a new one, maybe at a snapshot."""
        subject, context = self._subject, self._context
        plan = make_plan(subject.task, stages, subject.settings, context.seed)
        if self._training is not None:
            self._training.extend(plan)
            return self._training
        context = tracked(context, self.folder, self._trackers)
        accelerator = make_accelerator(context)
        return Training.begin(subject.model, subject.task, plan, accelerator, context, snapshot)

    def _facts(self, training: Training) -> dict[str, Any]:
        """What `_go_to` needs of this trainer beside the snapshot of a training."""
        return {
            "stages": [asdict(stage) for stage in self._stages],
            "lines": list(training.record.lines), "before": self._before,
            "seconds": self._seconds, "batch_size": self._subject.settings.batch_size,
        }  # fmt: skip

    def _go_to(self, snapshot: Snapshot) -> None:
        """Go to a snapshot with `_facts`; one without stages is that of the untrained model."""
        facts = snapshot.facts
        if self._training is not None:
            self._training.leave()
            self._training = None
        self._stages = tuple(made("the saved stages", Stage, of) for of in facts["stages"])
        self._before, self._seconds = dict(facts["before"]), float(facts["seconds"])
        if not self._stages:
            set_random_states(self._subject.random, self._subject.model.device)
            return
        self._subject = self._subject.with_batch_size(facts["batch_size"])
        self._training = self._with_plan(self._stages, snapshot)
        self._training.record.lines = list(facts["lines"])
        self._training.begin_stage(self._facts(self._training))

    def _run(self) -> None:
        """Make all steps that are left."""
        training = self._refuse_untrained("train")
        started = time.perf_counter()
        try:
            with training.running():
                run_plan(training, self._subject.task, self._subject.settings)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped {self._place}; resume() finishes the stage") from None
        except ModelError as error:
            assert training.held is not None
            self._go_to(training.held)
            raise ModelError(f"{error}; the trainer is as before this stage") from None
        finally:
            self._seconds += time.perf_counter() - started
        training.record.go_to_end()

    def _copy(self, weights: Weights) -> Any:
        return copy_of(self._subject.model, self._training, weights)

    def _refuse_untrained(self, what: str) -> Training:
        if self._training is None:
            raise RunError(f"there is nothing to {what}: train a stage first, with fit_stage")
        return self._training

    def _file(self, name: str) -> CheckpointFile:
        return named_file(self.folder, name, self._subject.data, self._identity)
