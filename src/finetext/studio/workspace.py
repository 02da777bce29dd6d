"""The projects of a workspace: opened when they are asked for, closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, final

from finetext.core.errors import FinetextError
from finetext.core.types import LabelScheme
from finetext.serving.requests import Refusal
from finetext.storage.unfinished import remove
from finetext.studio.label_set import scheme_of
from finetext.studio.learner import Learner
from finetext.studio.pool import PoolText
from finetext.studio.project import (
    Project,
    ProjectSettings,
    about,
    create_project,
    open_project,
    projects_in,
)
from finetext.studio.review import (
    count_to_review,
    decided_labels,
    pool_texts,
    undecided_random,
)
from finetext.studio.training import TrainingJobs

CACHE: Final = "cache"
MakeLearner = Callable[[Project], Learner]


@final
@dataclass(frozen=True)
class ProjectLabels:
    """The texts and labels of a project, as a `Learner` reads them."""

    project: Project

    def texts(self) -> list[PoolText]:
        """Return all texts in the order of their draw, which is random."""
        return pool_texts(self.project)

    def scheme(self) -> LabelScheme:
        """Return the labels that can be given."""
        return scheme_of(self.project)

    def decided(self) -> Mapping[int, tuple[str, ...]]:
        """Return the decided labels of texts by their numbers."""
        return decided_labels(self.project).labels

    def undecided_random(self) -> int:
        """Return how many texts of the random stream wait for a decision."""
        return undecided_random(self.project)


def learner_of(project: Project) -> Learner:
    """Return a learner for a project, which keeps encoder states in its folder."""
    return Learner(ProjectLabels(project), project.folder / CACHE)


@final
class Workspace:
    """Opens projects when they are asked for, and closes all at the end; safe for threads."""

    def __init__(self, folder: Path, make_learner: MakeLearner = learner_of) -> None:
        """Take the folder of the projects."""
        self.folder, self._make_learner = folder, make_learner
        self._open: dict[str, Project] = {}
        self._learners: dict[str, Learner] = {}
        self._jobs: dict[str, TrainingJobs] = {}
        self._changing, self._is_closed = Lock(), False

    def project(self, name: str) -> Project:
        """Return a project, opened if it was not; raises a Refusal if there is none."""
        if (found := self._open.get(name)) is not None:
            return found
        with self._changing:
            if name not in self._open:
                # only names of the list, so that none leads out of the workspace
                if name not in (names := projects_in(self.folder)):
                    there = ", ".join(names[:20]) or "none yet"
                    raise Refusal(404, f"there is no project {name[:80]!r}; there are: {there}")
                if self._is_closed:
                    raise Refusal(503, "the studio is stopping")
                self._open[name] = open_project(self.folder / name)
            return self._open[name]

    def learner(self, name: str) -> Learner:
        """Return what learns from the labels of a project, started if it was not."""
        if (found := self._learners.get(name)) is not None:
            return found
        project = self.project(name)
        with self._changing:
            if name not in self._learners:
                self._learners[name] = self._make_learner(project)
                self._learners[name].start()
            return self._learners[name]

    def jobs(self, name: str) -> TrainingJobs:
        """Return the training runs of a project."""
        project = self.project(name)
        with self._changing:
            return self._jobs.setdefault(name, TrainingJobs(project))

    def projects(self) -> dict[str, Project]:
        """Return all projects that can be opened, by name."""
        found = {}
        for name in projects_in(self.folder):
            with suppress(FinetextError, OSError):
                found[name] = self.project(name)
        return found

    def create(
        self, name: str, settings: ProjectSettings, fill: Callable[[Project], None]
    ) -> Project:
        """Make a project and fill it; if that fails, nothing of it stays."""
        with self._changing:
            self._open[name] = project = create_project(self.folder, name, settings)
        try:
            fill(project)
        except BaseException:
            with self._changing:
                del self._open[name]
            project.close()
            remove(project.folder)
            raise
        return project

    def summaries(self) -> list[dict[str, Any]]:
        """Return what the list of projects shows; of one that cannot be opened, why."""
        return [self._summary(name) for name in projects_in(self.folder)]

    def _summary(self, name: str) -> dict[str, Any]:
        try:
            project = self.project(name)
            runs, reviews = len(self.jobs(name).states()), count_to_review(project)
            return {**about(project), "runs": runs, "open_reviews": reviews}
        except (FinetextError, OSError) as error:
            return {"name": name, "problem": str(error)}

    def close(self) -> list[str]:
        """Stop learning and training, and close all projects; return runs that were cancelled."""
        with self._changing:
            self._is_closed = True
            stopped = [
                f"{run} of {name}"
                for name, project in self._open.items()
                for run in self._jobs.get(name, TrainingJobs(project)).stop()
            ]
            for learner in self._learners.values():
                learner.stop()
            for project in self._open.values():
                project.close()
            for of in (self._learners, self._jobs, self._open):
                of.clear()
        return stopped
