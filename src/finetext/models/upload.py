"""Uploads to the Hugging Face Hub: a model folder without extra files and without local paths."""

from __future__ import annotations

import glob
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.budget import within_memory
from finetext.core.contracts import Classifier
from finetext.core.errors import ModelError
from finetext.models import folder as folders
from finetext.models.card import is_ours, without_path
from finetext.models.files import (
    CARD,
    DESCRIPTION,
    KEPT_ROWS,
    checked,
    listed,
    names_of,
    refuse_pickles,
)
from finetext.models.folder import read_description
from finetext.models.hub import MAIN, Repository, explained, without_noise
from finetext.storage.received import copy_received, is_received_file, sha256_received

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CARD_HASH: Final = "card_sha256"


@dataclass(frozen=True)
class Pushed:
    """An upload to the Hub; `removed` are files that only the model there before had."""

    url: str
    commit: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]
    removed: tuple[str, ...]
    card: str


@within_memory
def push(
    model: str | Path | Classifier,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Pushed:
    """Send the files of a model, and its model card, to the Hub in one commit.

    The card is rewritten with the name on the Hub, unless the folder has a handwritten one. A
    handwritten card on the Hub stays.

    Args:
        model: a model folder, a run folder for its best model, or a classifier.
        repository: "owner/name"; created if it does not exist.
        private: whether a repository that is created is private.
        revision: the branch, "main" by default; created if it does not exist.
        message: of the commit.
        say: called with a line about what is being done.

    Returns:
        what was sent, and where it is.

    Raises:
        ModelError: it is not a finetext model, is damaged, holds a pickle, or cannot be sent. The
            message says why; sending again resumes.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.constants import ENDPOINT

    target = Repository.parse(repository)
    place = Repository(target.name, revision or target.revision or MAIN)
    with staged(model, target.name) as (folder, left_out):
        if get_token() is None:
            raise ModelError(
                "sending a model needs a token of the Hub with write permission: create one on "
                f"{ENDPOINT}/settings/tokens, then log in with `hf auth login`, or set HF_TOKEN"
            )
        with explained(place.name, place.revision, is_push=True), without_noise():
            api = HfApi()
            url = _create(api, place, private)
            say(f"sending it to {url}")
            return replace(_send(api, folder, place, message, say), url=url, left_out=left_out)


@contextmanager
def staged(model: str | Path | Classifier, name: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield a temporary folder that holds exactly what is to be sent, and the files left out."""
    with tempfile.TemporaryDirectory(prefix="finetext-") as temporary:
        place = Path(temporary)
        source = model.save(place / "saved") if isinstance(model, Classifier) else Path(model)
        source = kept_in = folders.best_model(source)
        described = read_description(source)
        refuse_pickles(source)
        found = checked(source, described)
        if not found.is_sound:
            raise ModelError(f"{source} is not as finetext wrote it: {found.words}")
        if not found.is_known:  # save it again, so that the files of the model are known
            classifier = folders.load_model(source, "cpu")
            made_by, record = folders.provenance(source), folders.record_of(source)
            again = folders.save_model(classifier, place / "again", made_by, record)
            if is_received_file(source, CARD):
                (again / CARD).unlink(missing_ok=True)
                copy_received(source, CARD, again / CARD)
            source, described = again, read_description(again)
        try:
            _fill(place / "stage", source, described, name)
            copied = checked(place / "stage", described)
        except OSError as error:
            raise ModelError(f"{source} cannot be prepared for the Hub: {error}") from None
        if not copied.is_sound:  # somebody changed a file after it was checked
            raise ModelError(f"{source} is not as finetext wrote it: {copied.words}")
        _describe(place / "stage", described, name)
        kept = (KEPT_ROWS,) if is_received_file(kept_in, KEPT_ROWS) else ()
        yield place / "stage", (*found.extra, *kept)


def _fill(folder: Path, source: Path, described: Mapping[str, Any], name: str) -> None:
    """Copy the files that `finetext.json` lists, and a card that somebody wrote."""
    folder.mkdir()
    for file in names_of(described) or {}:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        copy_received(source, file, folder / file)
    if folders.is_handwritten(source):
        copy_received(source, CARD, folder / CARD)


def _describe(folder: Path, described: Mapping[str, Any], name: str) -> None:
    """Write `finetext.json` without local paths, and the card if nobody wrote one.

    The hash of a card that somebody wrote is noted, so that a hash covers all that is sent.
    """
    known = dict(described.get("provenance", {}))
    if isinstance(settings := known.get("hyperparameters"), Mapping):
        known["hyperparameters"] = without_path(settings)
    card = {CARD_HASH: sha256_received(folder, CARD)} if folders.is_handwritten(folder) else {}
    rest = {key: of for key, of in described.items() if key != CARD_HASH}
    folders.write_description(folder, {**rest, **card, "provenance": known}, name)


def _create(api: HfApi, target: Repository, private: bool) -> str:
    url = str(api.create_repo(target.name, private=private or None, exist_ok=True))
    if private and not api.repo_info(target.name).private:
        raise ModelError(
            f"{target.name} exists already and is public; make it private on {url}/settings, or "
            "choose another name"
        )
    if target.revision not in (None, MAIN):
        api.create_branch(target.name, branch=str(target.revision), exist_ok=True)
    return url


def _send(
    api: HfApi, folder: Path, target: Repository, message: str | None, say: Callable[[str], None]
) -> Pushed:
    files, kind = [*listed(folder), DESCRIPTION, CARD], read_description(folder)["classifier"]
    card = "own" if folders.is_handwritten(folder) else "new"
    there = set(api.list_repo_files(target.name, revision=target.revision))
    if DESCRIPTION not in there and (lost := sorted(there & set(files) - {CARD})):
        raise ModelError(
            f"{target.name} holds a model that finetext did not write, whose {', '.join(lost[:3])} "
            "would be lost; choose another name"
        )
    before: Mapping[str, Any] = {}
    if DESCRIPTION in there:
        with suppress(ValueError, AttributeError, ModelError):
            before = names_of(json.loads(_read(api, target, DESCRIPTION))) or {}
    removed = tuple(name for name in before if name in there and name not in files)
    old = _read(api, target, CARD) if CARD in there else ""
    if card == "new" and old.strip() and not is_ours(old):
        files.remove(CARD)
        card = "kept"
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always")
        commit = api.upload_folder(
            repo_id=target.name,
            folder_path=folder,
            revision=target.revision,
            commit_message=message or f"A {kind} model of finetext",
            allow_patterns=[glob.escape(name) for name in files],
            delete_patterns=[glob.escape(name) for name in removed] or None,
        )
    for each in noticed:
        if issubclass(each.category, UserWarning):
            say(" ".join(str(each.message).split()))
    return Pushed("", str(commit.oid), tuple(files), (), removed, card)


def _read(api: HfApi, target: Repository, name: str) -> str:
    with tempfile.TemporaryDirectory() as place:
        path = api.hf_hub_download(target.name, name, revision=target.revision, cache_dir=place)
        return Path(path).read_text(encoding="utf-8", errors="replace")
