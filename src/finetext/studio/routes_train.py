"""Routes over the training runs of a project, and what can be done with their models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, final

from fastapi import FastAPI, Query
from fastapi.responses import FileResponse, Response
from pydantic import Field

from finetext.core.errors import UnknownNameError
from finetext.studio.project import Project
from finetext.studio.reading import read_settings
from finetext.studio.review import add_doubts
from finetext.studio.routing import (
    Asking,
    Body,
    Owner,
    ReadGiven,
    SentFile,
    attached,
    not_found,
    told,
)
from finetext.studio.training import JobState, TrainingJobs
from finetext.studio.using import (
    about_run,
    best_of,
    compared,
    errors_of,
    label_errors_of,
    predict,
    predict_table,
    uses_of,
)
from finetext.studio.workspace import Workspace

REPORT: Final = "report.html"
REPORT_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
"""A report brings its own scripts and styles. They run in an origin of their own, without the
network, so that no text in it can do what the page can."""
_LARGEST_SEED: Final = 2**32 - 1


class AskedRun(Body):
    """What to train; by default methods are chosen for the data, without a limit of time."""

    methods: Annotated[list[str], Field(max_length=50)] = Field(default_factory=list)
    minutes: float | None = None
    seed: Annotated[int, Field(ge=0, le=_LARGEST_SEED)] = 0


class AskedTexts(Body):
    """Texts to predict."""

    texts: list[str]


class AskedTable(SentFile):
    """A table to predict, and how to read it."""

    settings: ReadGiven = ReadGiven()


def add_training(app: FastAPI, workspace: Workspace) -> None:
    """Add the routes to the app."""
    routes, of = TrainRoutes(workspace), "/api/projects/{name}/runs"
    one = f"{of}/{{run}}"
    app.get("/api/compare")(routes.compare)
    app.post(f"{of}/estimate")(routes.estimate)
    app.post(of)(routes.start)
    app.get(of)(routes.runs)
    app.get(one)(routes.run)
    app.post(f"{one}/cancel")(routes.cancel)
    app.post(f"{one}/resume")(routes.resume)
    app.get(f"{one}/report", response_class=FileResponse)(routes.report)
    app.get(f"{one}/errors")(routes.errors)
    app.get(f"{one}/label-errors")(routes.label_errors)
    app.post(f"{one}/label-errors")(routes.review_label_errors)
    app.post(f"{one}/predict")(routes.predict)
    app.post(f"{one}/predict-file")(routes.predict_file)
    app.get(f"{one}/use")(routes.use)


@final
class TrainRoutes:
    """The handlers; `name` is that of the project, and `run` that of a run in it."""

    def __init__(self, workspace: Workspace) -> None:
        """Take the projects."""
        self._workspace = workspace
        self._suspects: dict[Path, list[dict[str, Any]]] = {}

    def compare(self, person: Asking) -> Response:
        """Return the finished runs of all projects; to others than the owner none."""
        return told(compared(self._workspace.projects()) if person.is_owner else [])

    def estimate(self, name: str, given: AskedRun, person: Owner) -> Response:
        """Return what a run would do, and how long it would take."""
        jobs = self._workspace.jobs(name)
        return told(jobs.estimate(given.methods, given.minutes, given.seed).to_json())

    def start(self, name: str, given: AskedRun, person: Owner) -> Response:
        """Begin a run, or queue it."""
        jobs = self._workspace.jobs(name)
        return told({"run": jobs.start(given.methods, given.minutes, given.seed)})

    def runs(self, name: str, person: Owner) -> Response:
        """Return all runs, the newest first."""
        project = self._workspace.project(name)
        return told([_summary(project, of) for of in self._workspace.jobs(name).states()])

    def run(self, name: str, run: str, person: Owner) -> Response:
        """Return a run with its leaderboard, verdict, findings and last lines."""
        project, jobs, state = self._of(name, run)
        more = {**about_run(project, run), "lines_of_log": jobs.log(run)}
        return told({**_summary(project, state), **more})

    def cancel(self, name: str, run: str, person: Owner) -> Response:
        """End a run; it can be resumed."""
        _, jobs, _ = self._of(name, run)
        jobs.cancel(run)
        return told(jobs.get(run).to_json())

    def resume(self, name: str, run: str, person: Owner) -> Response:
        """Resume a run that has ended before it was done."""
        _, jobs, _ = self._of(name, run)
        jobs.resume(run)
        return told(jobs.get(run).to_json())

    def report(self, name: str, run: str, person: Owner) -> Response:
        """Return the report of a run, for a frame."""
        project, _, _ = self._of(name, run)
        path = project.runs / run / REPORT
        if not path.is_file():
            not_found(f"the run {run} has no report yet; wait until it ends")
        return FileResponse(
            path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY}
        )

    def errors(
        self, name: str, run: str, person: Owner, limit: Annotated[int, Query(ge=1)] = 100
    ) -> Response:
        """Return wrong predictions of test rows."""
        project, _, _ = self._of(name, run)
        return told(errors_of(project, run)[:limit])

    def label_errors(self, name: str, run: str, person: Owner) -> Response:
        """Return labels that may be wrong."""
        return told(self._label_errors(name, run))

    def review_label_errors(self, name: str, run: str, person: Owner) -> Response:
        """Put labels that may be wrong into the review."""
        found = self._label_errors(name, run)
        doubts = [(of["id"], of["label"], of["suggested"], of["probability"]) for of in found]
        return told({"queued": add_doubts(self._workspace.project(name), run, doubts)})

    def predict(self, name: str, run: str, given: AskedTexts, person: Owner) -> Response:
        """Return the label and the probabilities of each text."""
        project, _, _ = self._of(name, run)
        return told(predict(project, run, given.texts))

    def predict_file(
        self,
        name: str,
        run: str,
        given: AskedTable,
        person: Owner,
        form: Annotated[str, Query(alias="format")] = "xlsx",
    ) -> Response:
        """Return a table with predictions as a file."""
        project, _, _ = self._of(name, run)
        settings = read_settings(given.settings.given())
        saved, data = predict_table(project, run, given.name, given.data(), settings, form)
        return attached(data, saved)

    def use(self, name: str, run: str, person: Owner) -> Response:
        """Return how to use the model of a run elsewhere."""
        project, _, _ = self._of(name, run)
        return told(uses_of(project, run))

    def _label_errors(self, name: str, run: str) -> list[dict[str, Any]]:
        """Return them from the last time: finding them fits a model, and a run does not change."""
        project, _, _ = self._of(name, run)
        place = project.runs / run
        if place not in self._suspects:
            self._suspects[place] = label_errors_of(project, run)
        return self._suspects[place]

    def _of(self, name: str, run: str) -> tuple[Project, TrainingJobs, JobState]:
        project, jobs = self._workspace.project(name), self._workspace.jobs(name)
        try:
            return project, jobs, jobs.get(run)
        except UnknownNameError as error:
            not_found(str(error))


def _summary(project: Project, state: JobState) -> dict[str, Any]:
    is_done = state.state == "done"
    headline = (
        (about_run(project, state.name)["verdict"] or {}).get("headline") if is_done else None
    )
    best = best_of(project, state.name) if is_done else None
    return {**state.to_json(), "best": best, "verdict": headline}
