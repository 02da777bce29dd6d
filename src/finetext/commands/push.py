"""`finetext push`: send a model to the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import asdict

from finetext import options
from finetext.console import Screen
from finetext.data.words import counted
from finetext.stopping import told_how_to_go_on


def push(
    model: options.Model,
    repository: options.HubName,
    private: options.Private = False,
    revision: options.Branch = None,
    message: options.CommitMessage = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Send MODEL to the Hugging Face Hub."""
    from finetext.artefact.hub import model_folder
    from finetext.artefact.hub import push as send

    screen = Screen(quiet or as_json)
    with told_how_to_go_on():
        sent = send(
            model_folder(model),
            repository,
            private=private,
            revision=revision,
            message=message,
            say=screen.say,
        )
    if sent.left_out:
        screen.say(f"left out, as it does not belong to the model: {', '.join(sent.left_out)}")
    if sent.removed:
        screen.say(f"removed there, as this model has none: {', '.join(sent.removed)}")
    if sent.card == "kept":
        screen.say(
            "README.md on the Hub was not written by finetext, or changed since: it stays; remove "
            "it there and push again for a new one"
        )
    if as_json:
        screen.json(asdict(sent))
        return
    screen.say(f"{counted(len(sent.files), 'file')} of {model}, commit {sent.commit[:12]}")
    print(sent.url)
