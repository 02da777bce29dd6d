"""Routes over projects: list, make, labels, guidelines, settings, further texts, tables."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, final

from fastapi import FastAPI, Query
from fastapi.responses import Response
from pydantic import Field

from finetext.core.errors import DataError
from finetext.serving.requests import Refusal
from finetext.storage.unfinished import room_in
from finetext.studio.annotators import Person
from finetext.studio.exporting import export
from finetext.studio.imported import Imported, add_texts
from finetext.studio.label_set import (
    Label,
    guidelines_of,
    labels_of,
    rename_label,
    set_guidelines,
    set_labels,
)
from finetext.studio.progress import encoding_of, labeled_by
from finetext.studio.project import (
    Project,
    ProjectSettings,
    change_settings,
    counts_of,
    settings_of,
)
from finetext.studio.reading import read_settings
from finetext.studio.review import count_to_review
from finetext.studio.routing import Asking, Body, Owner, ReadGiven, SentFile, attached, told
from finetext.studio.workspace import Workspace

Allowed = Callable[[str], str]
"""Returns a path of this machine, or raises a Refusal."""
_LONGEST_GUIDELINES: Final = 100_000
_LABEL: Final = 500
Name = Annotated[str, Field(max_length=_LABEL)]


class GivenLabel(Body):
    """A label as the page sends it; what is counted of it is not stored."""

    name: Name
    description: str = Field("", max_length=5_000)
    color: str | None = None
    key: str | None = None
    retired: bool = False
    judged: int = 0

    def label(self) -> Label:
        """Return the label."""
        return Label(self.name, self.description, self.color or "", self.key or "", self.retired)


class GivenTexts(Body):
    """Texts to add: a file, or the path of one; and whether its labels are judgements."""

    file: SentFile | None = None
    path: str | None = None
    settings: ReadGiven = ReadGiven()
    take_labels: bool = False


class NewProject(GivenTexts):
    """A project to make; without texts it is empty at first."""

    name: str
    labels: list[GivenLabel] | None = None
    multilabel: bool | None = None
    random_share: float | None = None
    double_share: float | None = None
    suggestions: Literal["model", "none"] | None = None
    suggest_everywhere: bool | None = None


class ChangedSettings(Body):
    """Settings of a project to change."""

    multilabel: bool | None = None
    random_share: float | None = None
    double_share: float | None = None
    suggestions: Literal["model", "none"] | None = None
    suggest_everywhere: bool | None = None


class Patch(Body):
    """A change of a project."""

    settings: ChangedSettings


class Renamed(Body):
    """A label and its new name."""

    former: Name = Field(alias="from")
    to: Name


class GivenGuidelines(Body):
    """The guidelines of a project."""

    text: str = Field(max_length=_LONGEST_GUIDELINES)


def add_projects(app: FastAPI, workspace: Workspace, allowed: Allowed) -> None:
    """Add the routes to the app."""
    routes, of = ProjectRoutes(workspace, allowed), "/api/projects/{name}"
    app.post("/api/projects")(routes.create)
    app.get(of)(routes.project)
    app.patch(of)(routes.change)
    app.put(f"{of}/labels")(routes.labels)
    app.post(f"{of}/labels/rename")(routes.rename)
    app.put(f"{of}/guidelines")(routes.guidelines)
    app.post(f"{of}/texts")(routes.texts)
    app.get(f"{of}/export")(routes.export)


@final
class ProjectRoutes:
    """The handlers; `name` is that of the project."""

    def __init__(self, workspace: Workspace, allowed: Allowed) -> None:
        """Take the projects, and which paths may be read."""
        self._workspace, self._allowed = workspace, allowed

    def create(self, given: NewProject, person: Owner) -> Response:
        """Make a project with texts and labels; nothing stays if the texts cannot be read."""
        names = ProjectSettings().to_json().keys()
        settings = ProjectSettings(**given.model_dump(include=set(names), exclude_none=True))
        notes: list[str] = []

        def fill(project: Project) -> None:
            if given.labels is not None:
                set_labels(project, [of.label() for of in given.labels])
            if given.file is not None or given.path is not None:
                notes.extend(self._add(project, given).notes)

        project = self._workspace.create(given.name, settings, fill)
        return told({**self._shown(project, person), "notes": notes})

    def project(self, name: str, person: Asking) -> Response:
        """Return a project."""
        return told(self._shown(self._workspace.project(name), person))

    def change(self, name: str, given: Patch, person: Owner) -> Response:
        """Change settings."""
        project = self._workspace.project(name)
        change_settings(project, given.settings.model_dump(exclude_none=True))
        self._workspace.learner(name).notify()
        return told(self._shown(project, person))

    def labels(self, name: str, given: list[GivenLabel], person: Owner) -> Response:
        """Set the labels and their order."""
        project = self._workspace.project(name)
        set_labels(project, [of.label() for of in given])
        self._workspace.learner(name).notify()
        return told(self._shown(project, person))

    def rename(self, name: str, given: Renamed, person: Owner) -> Response:
        """Rename a label."""
        project = self._workspace.project(name)
        rename_label(project, given.former, given.to)
        self._workspace.learner(name).notify()
        return told(self._shown(project, person))

    def guidelines(self, name: str, given: GivenGuidelines, person: Owner) -> Response:
        """Store guidelines as a new version."""
        project = self._workspace.project(name)
        set_guidelines(project, given.text)
        return told(self._shown(project, person))

    def texts(self, name: str, given: GivenTexts, person: Owner) -> Response:
        """Add texts."""
        project = self._workspace.project(name)
        found = self._add(project, given)
        self._workspace.learner(name).notify(texts=True)
        return told({**found.to_json(), "skipped": found.repeated + found.empty})

    def export(
        self,
        name: str,
        person: Owner,
        what: str = "texts",
        form: Annotated[str, Query(alias="format")] = "csv",
        locale: str | None = None,
    ) -> Response:
        """Return a table as a file."""
        project = self._workspace.project(name)
        with room_in(project.folder) as room:
            path = room / f"{project.name}-{what}.{form}"
            if path.parent != room:
                raise DataError(f"there is no table {what[:60]!r} as {form[:20]!r}")
            export(project, what, path, locale)
            return attached(path.read_bytes(), path.name)

    def _add(self, project: Project, given: GivenTexts) -> Imported:
        settings = read_settings(given.settings.given())
        if given.file is not None:
            with given.file.placed(project.folder) as path:
                return add_texts(project, path, settings, given.take_labels)
        if given.path is None:
            raise Refusal(422, "there are no texts: send a file, or a path")
        return add_texts(project, self._allowed(given.path), settings, given.take_labels)

    def _shown(self, project: Project, person: Person) -> dict[str, Any]:
        guidelines, counts = guidelines_of(project), counts_of(project)
        to_review = count_to_review(project)
        return {
            "name": project.name,
            "settings": settings_of(project).to_json(),
            "labels": [
                {
                    "name": of.name,
                    "description": of.description,
                    "color": of.color,
                    "key": of.key,
                    "retired": of.retired,
                    "judged": of.judged,
                }
                for of in labels_of(project)
            ],
            "guidelines": {
                "version": guidelines.version,
                "text": guidelines.text,
                "time": guidelines.time,
            },
            "counts": {**vars(counts), "to_review": to_review},
            "me": {"judged": labeled_by(project, person.name)["mine"]},
            "encoding": encoding_of(self._workspace.learner(project.name)),
            "command": f"finetext studio {shlex.quote(str(project.folder))}",
            "python": (
                "from pathlib import Path\n\n"
                "from finetext.studio.exporting import texts_table\n"
                "from finetext.studio.project import opened\n\n"
                f"with opened(Path({str(project.folder)!r})) as project:\n"
                '    table = texts_table(project, "labeled")'
            ),
        }
