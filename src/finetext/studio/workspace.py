"""The projects of a workspace that are open: each with its learner and its training runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, final

from finetext.serving.requests import Refusal
from finetext.studio.label_source import ProjectLabels
from finetext.studio.learner import Learner
from finetext.studio.project import Project, create_project, open_project, projects_in
from finetext.studio.training import TrainingJobs

CACHE: Final = "cache"
MakeLearner = Callable[[Project], Learner]


def learner_of(project: Project) -> Learner:
    """Return a learner for a project, which keeps encoder states in its folder."""
    return Learner(ProjectLabels(project), project.folder / CACHE)


@final
@dataclass(frozen=True, eq=False)
class OpenProject:
    """A project, what learns from its labels, and its runs."""

    project: Project
    learner: Learner
    jobs: TrainingJobs


@final
class Workspace:
    """Opens projects when they are asked for, and closes all at the end; safe for threads."""

    def __init__(self, folder: Path, make_learner: MakeLearner = learner_of) -> None:
        """Take the folder of the projects."""
        self.folder, self._make_learner = folder, make_learner
        self._open: dict[str, OpenProject] = {}
        self._opening = Lock()

    def names(self) -> list[str]:
        """Return the names of all projects."""
        return projects_in(self.folder)

    def __getitem__(self, name: str) -> OpenProject:
        """Return a project, opened if it was not; raises a Refusal if there is none."""
        if (found := self._open.get(name)) is not None:
            return found
        with self._opening:
            if name in self._open:
                return self._open[name]
            if name not in self.names():
                there = ", ".join(self.names()) or "none yet"
                raise Refusal(404, f"there is no project {name[:80]!r}; there are: {there}")
            return self._begin(open_project(self.folder, name))
