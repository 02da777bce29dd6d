"""`finetext pull`: get a model from the Hugging Face Hub."""

from __future__ import annotations

from finetext import options
from finetext.console import Screen


def pull(
    repository: options.HubName,
    out: options.PulledOut = None,
    revision: options.Revision = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Get a model of the Hugging Face Hub into a folder."""
    from finetext.artefact.about import info
    from finetext.artefact.foreign import FOREIGN
    from finetext.artefact.hub import pull as get

    screen = Screen(quiet or as_json)
    folder = get(repository, out, revision)
    about = info(folder)
    if about.kind == "foreign":
        screen.say(FOREIGN)
    if as_json:
        screen.json(about.to_json())
        return
    print(f"model: {folder}")
    print(f"to use it: finetext predict {folder} TEXT")
