"""Training runs: one at a time, and what is known of them after a restart."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from studio_toys import project_of, say

from finetext.core.errors import DataError, RecipeError, UnknownNameError
from finetext.storage.files import write_json
from finetext.studio import training
from finetext.studio.project import Project
from finetext.studio.training import TrainingJobs

TICK = Event()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setattr(training, "_MODULE", "toy_job")
    with project_of(tmp_path, 12, double_share=0) as made:
        for text in range(1, 13):
            say(made, "Anna", text, ("good", "bad")[text % 2])
        yield made
        TrainingJobs(made).stop()


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that a process brings about."""
    for _ in range(3_000):
        if holds():
            return
        TICK.wait(0.01)
    raise AssertionError("it never held")


def states(jobs: TrainingJobs) -> dict[str, str]:
    return {of.name: of.state for of in jobs.states()}


def test_runs_come_one_after_the_other(project: Project) -> None:
    jobs = TrainingJobs(project)
    first, second = jobs.start(["wait"]), jobs.start(["done"])
    until(lambda: jobs.get(first).stage == "toy: half of it")
    assert jobs.get(first).share == 0.5
    assert states(jobs) == {second: "waiting", first: "running"}
    assert jobs.log(first) == ["it has begun"]
    jobs.cancel(first)
    until(lambda: states(jobs) == {second: "done", first: "cancelled"})


def test_what_fails_is_told_as_on_the_command_line(project: Project) -> None:
    jobs = TrainingJobs(project)
    name = jobs.start(["fail"])
    until(lambda: jobs.get(name).state == "failed")
    assert jobs.get(name).message == "the data are odd; mend them"
    bug = jobs.start(["bug"])
    until(lambda: jobs.get(bug).state == "failed")
    assert "this is a bug in finetext" in jobs.get(bug).message
    assert "Traceback" not in jobs.get(bug).message
    assert any("ZeroDivisionError" in line for line in jobs.log(bug))


def test_a_killed_run_is_not_said_to_run_and_can_be_resumed(project: Project) -> None:
    jobs = TrainingJobs(project)
    name = jobs.start(["wait"])
    until(lambda: jobs.get(name).stage == "toy: half of it")
    os.kill(_process(project, name), signal.SIGKILL)
    until(lambda: jobs.get(name).state == "interrupted")
    jobs.resume(name)
    until(lambda: jobs.get(name).state == "running")
    with pytest.raises(DataError, match="nothing to resume"):
        jobs.resume(name)


def test_a_studio_that_starts_again_tells_the_same(project: Project) -> None:
    before = TrainingJobs(project)
    running, waiting = before.start(["wait"]), before.start(["done"])
    after = TrainingJobs(project)
    assert {of.name: of.state for of in after.peek()} == {waiting: "waiting", running: "running"}
    assert after.stop() == [running, waiting]
    assert states(before) == {waiting: "cancelled", running: "cancelled"}
    with pytest.raises(DataError, match="nothing to cancel"):
        after.cancel(running)


def test_another_process_with_the_number_of_a_run_is_not_taken_for_it(project: Project) -> None:
    jobs = TrainingJobs(project)
    name = jobs.start(["done"])
    until(lambda: jobs.get(name).state == "done")
    folder = project.folder / "jobs" / name
    (folder / "result.json").unlink()
    write_json(folder / "state.json", {"process": os.getpid(), "created": 1.0, "asked": 1.0})
    assert jobs.get(name).state == "interrupted"


def test_command_and_code_are_what_the_run_does(project: Project) -> None:
    jobs = TrainingJobs(project)
    name = jobs.start(["done", "tfidf"], minutes=1.5, seed=3)
    found = jobs.get(name)
    assert "--methods done,tfidf --minutes 1.5 --seed 3" in found.command
    assert f"jobs/{name}" not in found.command
    assert "methods=['done', 'tfidf'], minutes=1.5, seed=3" in found.python
    compile(found.python, "code", "exec")


@pytest.mark.parametrize("name", ["../x", "", "/etc", "run-99", "run-1/../run-1"])
def test_only_names_of_runs_lead_to_runs(project: Project, name: str) -> None:
    with pytest.raises(UnknownNameError, match="no run"):
        TrainingJobs(project).get(name)


def test_odd_minutes_and_projects_without_labels_are_refused(
    project: Project, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="above 0"):
        TrainingJobs(project).start(minutes=-1)
    (tmp_path / "other").mkdir()
    with project_of(tmp_path / "other") as empty:
        jobs = TrainingJobs(empty)
        with pytest.raises(DataError, match="no text has a label yet"):
            jobs.start()
        assert jobs.states() == []


def test_an_estimate_trains_nothing(project: Project) -> None:
    jobs = TrainingJobs(project)
    found = jobs.estimate(["tfidf"])
    assert found.problems == ()
    assert any("tfidf" in line for line in found.lines)
    assert "run-1" in found.command
    unknown = jobs.estimate(["tfidff"])
    assert "tfidff" in unknown.problems[0]
    assert not project.runs.exists()
    assert jobs.states() == []


def _process(project: Project, name: str) -> int:
    import json

    state = json.loads((project.folder / "jobs" / name / "state.json").read_text())
    return int(state["process"])
