"""`finetext decide`: another rule of decision for a model that is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from finetext import arguments, options
from finetext.console import Screen
from finetext.errors import DataError
from finetext.evaluation.deciding import Deciding, choose_decision
from finetext.report.deciding import decided_json, decided_lines, threshold_lines

_MEASURED: Final = frozenset({"scores", "validation_scores", "baselines", "decided", "slices"})
"""What is recorded of a model that hangs on how it decides."""


def decide(
    run: options.RunFolder,
    out: options.ModelOut,
    method: options.OneMethod = None,
    aim: options.Aim = None,
    costs: options.Costs = None,
    abstain: options.Abstain = None,
    coverage: options.Coverage = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Choose anew how a rung of RUN decides, on its validation rows."""
    from finetext.artefact.folder import provenance, record_of, save_model
    from finetext.runs.predicted import predicted_in

    wanted = Deciding(aim, costs, abstain, coverage)
    predicted = predicted_in(run, method, "validation")
    if predicted.run is None or predicted.method is None:
        raise DataError(f"{run} is not a run folder or a rung in one, so it holds no model")
    model = predicted.run / predicted.method / "model"
    if out.resolve() == model.resolve() or _is_of_run(out.resolve()):
        raise DataError(f"{out} is the model of a run; write the new one to another folder")
    decision = choose_decision(predicted.predictions, wanted)
    classifier = arguments.open_model(model, "cpu").with_decision(decision)
    known = {name: of for name, of in record_of(model).items() if name not in _MEASURED}
    save_model(classifier, out, provenance(model), known)
    screen = Screen()
    decided = replace(predicted.predictions, decision=decision)
    if as_json:
        written = {"model": str(out), "decision": decision.to_json()}
        screen.json(written | decided_json(decided))
        return
    print(f"{predicted.name}: {wanted.words or 'the likeliest label'}")
    if lines := [*decided_lines(decided), *threshold_lines(decided)]:
        print(f"on the {len(decided):,} validation rows that it was chosen on:")
        for line in lines:
            print(f"  {line}")
    print(f"model: {out}")


def _is_of_run(model: Path) -> bool:
    """Whether it is the model of a rung: another model must not take its place."""
    from finetext.runs.run import Run

    return model.name == "model" and Run.is_at(model.parent.parent)
