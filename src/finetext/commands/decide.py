"""`finetext decide`: another rule of decision for a model that is trained."""

from __future__ import annotations

from dataclasses import replace

from finetext import arguments, options
from finetext.console import Screen
from finetext.errors import DataError
from finetext.evaluation.deciding import Deciding, choose_decision
from finetext.report.deciding import decided_json, decided_lines, threshold_lines


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
    from finetext.artefact.folder import provenance, save_model
    from finetext.runs.predicted import open_predicted

    wanted = Deciding(aim, costs, abstain, coverage)
    predicted = open_predicted(run, method, "validation")
    if predicted.run is None or predicted.method is None:
        raise DataError(f"{run} is not a run folder or a rung in one, so it holds no model")
    model = predicted.run / predicted.method / "model"
    if out.resolve() == model.resolve():
        raise DataError(f"{out} is the model of the run; write the new one to another folder")
    decision = choose_decision(predicted.predictions, wanted)
    classifier = arguments.open_model(model, "cpu").with_decision(decision)
    save_model(classifier, out, provenance(model))
    screen = Screen()
    decided = replace(predicted.predictions, decision=decision)
    if as_json:
        written = {"model": str(out), "decision": decision.to_json()}
        screen.json(written | decided_json(decided))
        return
    print(f"{predicted.name}: {wanted.words or 'the likeliest label'}")
    print(f"on the {len(decided):,} validation rows that it was chosen on:")
    for line in decided_lines(decided):
        print(f"  {line}")
    for line in threshold_lines(decided):
        print(f"  {line}")
    print(f"model: {out}")
