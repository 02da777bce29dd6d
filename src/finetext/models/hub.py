"""Models on the Hugging Face Hub: sending a folder there, and getting one from there.

The client is `huggingface_hub`, with its own places for token, address and cache (HF_TOKEN,
HF_ENDPOINT, HF_HUB_CACHE). Only files that belong to a model travel, and never a pickle.
"""

from __future__ import annotations

import glob
import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finetext.core.errors import ModelError
from finetext.models.files import CARD, DESCRIPTION, checked, names_of, refuse_pickles
from finetext.models.folder import read_description
from finetext.models.hub_errors import explained, is_network, without_noise
from finetext.models.staging import Stage, staged
from finetext.storage.files import replaced_folder

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from finetext.core.contracts import Classifier


PREFIX: Final = "hub:"
MAIN: Final = "main"
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WANTED: Final = (
    "*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.onnx", CARD,
)  # fmt: skip
"""What is fetched of a repository that does not list its files."""
_NEVER: Final = (
    "*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.joblib", "*.npy", "*.npz", "*.h5",
    "*.msgpack", "*.py",
)  # fmt: skip
_ELSEWHERE: Final = ("*/*",)
"""Folders of a repository that finetext did not write: copies in other formats."""


@dataclass(frozen=True)
class Repository:
    """A model on the Hub.

    Attributes:
        name: "owner/name".
        revision: branch, tag or commit; None for the newest state of the main branch.
    """

    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Repository:
        """From "owner/name" or "owner/name@revision", with or without "hub:" before it.

        Raises:
            ModelError: it is neither.
        """
        name, at, revision = text.removeprefix(PREFIX).partition("@")
        if not _NAME.fullmatch(name) or (at and not revision):
            raise ModelError(
                f"{text!r} is no model of the Hub: write it as USER/NAME, or hub:USER/NAME@REVISION"
            )
        return cls(name, revision or None)

    def __str__(self) -> str:
        return self.name if self.revision is None else f"{self.name}@{self.revision}"


@dataclass(frozen=True)
class Pushed:
    """What was sent to the Hub.

    Attributes:
        url: the page of the model.
        commit: hash of the state there that has it.
        files: the files that belong to it.
        left_out: files of the folder that do not, and were not sent.
        removed: files of the model that was there before, which it does not have.
        card: "new"; "own", if the folder has one written by hand; or "kept", if the one on the Hub
            was, and stays.
    """

    url: str
    commit: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]
    removed: tuple[str, ...]
    card: str


def on_hub(model: str | Path) -> Repository | None:
    """The repository that a model argument such as `hub:owner/name@v1` names, or None.

    Raises:
        ModelError: it begins with "hub:" and names none.
    """
    text = model.as_posix() if isinstance(model, Path) else str(model)
    return Repository.parse(text) if text.startswith(PREFIX) else None


def model_folder(model: str | Path) -> Path:
    """The folder of a model argument: a path, the model of a rung in a run, or one of the Hub.

    Args:
        model: a path, which is given back unless it is the folder of a rung; or `hub:owner/name`,
            which is fetched into the cache.

    Raises:
        ModelError: the model on the Hub cannot be fetched, is not as it was written, or holds a
            pickle.
    """
    repository = on_hub(model)
    if repository is not None:
        return fetched(repository)
    folder, of_rung = Path(model), Path(model) / "model"
    is_rung = (of_rung / DESCRIPTION).is_file() and not (folder / DESCRIPTION).is_file()
    return of_rung if is_rung else folder


def fetched(repository: Repository) -> Path:
    """The folder in the cache with the files of a model on the Hub; without a network as it is.

    A model of finetext has the files that its `finetext.json` lists, with the same hashes. Of any
    other repository the safetensors, tokenizer and configuration are fetched.

    Raises:
        ModelError: it cannot be fetched, is not as it was written, or holds a pickle.
    """
    with explained(repository.name, repository.revision), without_noise():
        try:
            folder = _fetched(repository)
        except Exception as error:  # the client raises errors of several packages
            if not is_network(error):
                raise
            folder = _fetched(repository, from_cache=True)
    refuse_pickles(folder)
    refuse_changed(folder, f"the model {repository} of the Hub")
    return folder


def _fetched(repository: Repository, from_cache: bool = False) -> Path:
    """Bring the files into the cache, unless they are there; or take what is there."""
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    name, revision = repository.name, repository.revision
    wanted, ignored = [*_WANTED], [*_NEVER, *_ELSEWHERE]
    try:
        path = hf_hub_download(name, DESCRIPTION, revision=revision, local_files_only=from_cache)
    except EntryNotFoundError:  # it is none of finetext, or not in the cache
        pass
    else:
        description = Path(path)
        revision, ignored = description.parent.name, [*_NEVER]
        if (listed := names_of(read_description(description.parent))) is not None:
            wanted = [glob.escape(file) for file in (*listed, DESCRIPTION, CARD)]
    return Path(
        snapshot_download(
            name,
            revision=revision,
            allow_patterns=wanted,
            ignore_patterns=ignored,
            local_files_only=from_cache,
        )
    )


def refuse_changed(folder: Path, what: str) -> None:
    """Refuse a model folder where files are missing or changed; a foreign one is let be.

    Args:
        folder: any folder.
        what: what to call it.

    Raises:
        ModelError: a file is missing or changed, or `finetext.json` is damaged.
    """
    if not (folder / DESCRIPTION).is_file():
        return
    found = checked(folder, read_description(folder))
    if not found.is_sound:
        raise ModelError(f"{what} is not as finetext wrote it ({found.words}); it lies in {folder}")


def pull(repository: str, out: str | Path | None = None, revision: str | None = None) -> Path:
    """Get a model from the Hub into a folder, which is there as a whole or not at all.

    Args:
        repository: "owner/name", also with "hub:" before and "@revision" after it.
        out: the folder; by default one called as the model, in the working directory. A model
            folder that is there already is replaced, if nothing else lies in it.
        revision: branch, tag or commit.

    Returns:
        the folder.

    Raises:
        ModelError: it cannot be fetched, is not as it was written, or holds a pickle; or something
            else is at the place.
    """
    source = Repository.parse(repository)
    if revision is not None:
        source = Repository(source.name, revision)
    folder = Path(source.name.partition("/")[2]) if out is None else Path(out)
    _check_place(folder)
    cached = fetched(source)
    if not (cached / DESCRIPTION).is_file() and not any(cached.glob("*.safetensors")):
        raise ModelError(f"{source} on the Hub holds no model that finetext can load")
    try:
        with replaced_folder(folder) as unfinished:
            shutil.copytree(cached, unfinished, dirs_exist_ok=True)
    except OSError as error:
        raise ModelError(f"the model cannot be written to {folder}: {error}") from None
    return folder


def _check_place(folder: Path) -> None:
    """Refuse a folder with something in it that a new model would be the end of."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / DESCRIPTION).is_file():
        raise ModelError(f"{folder} exists and is not a finetext model; choose another folder")
    found = checked(folder, read_description(folder))
    if found.extra or found.changed:
        also = ", ".join((*found.changed, *found.extra))
        raise ModelError(
            f"{folder} holds more than a model as it was written ({also}); choose another folder"
        )


def push(
    model: str | Path | Classifier,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Pushed:
    """Send a model to the Hub: the files that belong to it, and its model card, in one commit.

    The card is written anew with the name on the Hub, unless the folder has one that was written
    or changed by hand. One on the Hub that was is left as it is.

    Args:
        model: a model folder, a run folder for its best model, or a classifier.
        repository: "owner/name"; made if it is not there yet.
        private: whether a repository that is made is private.
        revision: the branch, "main" by default; made if it is not there yet.
        message: of the commit.
        say: called with a line on what goes on.

    Returns:
        what was sent, and where it is.

    Raises:
        ModelError: it is no model of finetext, is not as it was written, holds a pickle, or cannot
            be sent; the message says why, and sending again goes on where it ended.
    """
    from huggingface_hub import HfApi

    target = Repository.parse(repository)
    branch = revision or target.revision or MAIN
    with staged(model, target.name) as stage:
        _check_token()
        with explained(target.name, branch, is_push=True), without_noise():
            api, place = HfApi(), Repository(target.name, branch)
            url = _made(api, place, private)
            say(f"sending it to {url}")
            return _sent(api, stage, place, url, message or "", say)


def _made(api: HfApi, target: Repository, private: bool) -> str:
    """Make the repository and the branch where they are missing; returns the address of its page.

    Raises:
        ModelError: it is to be private, but is there already and is not.
    """
    url = str(api.create_repo(target.name, private=private or None, exist_ok=True))
    if private and not api.repo_info(target.name).private:
        raise ModelError(
            f"{target.name} is there already, and public; make it private in its settings "
            f"({url}/settings), or take another name"
        )
    if target.revision not in (None, MAIN):
        api.create_branch(target.name, branch=str(target.revision), exist_ok=True)
    return url


def _sent(
    api: HfApi, stage: Stage, target: Repository, url: str, message: str,
    say: Callable[[str], None],
) -> Pushed:  # fmt: skip
    """Send the files in one commit, and remove those of the model that was there before.

    Raises:
        ModelError: files of something that is no model of finetext would be written over.
    """
    before = _before(api, target)
    if lost := sorted(before.of_others & set(stage.files) - {CARD}):
        raise ModelError(
            f"{target.name} holds a model that finetext did not write, whose {', '.join(lost[:3])} "
            "would be lost; take another name"
        )
    files = list(stage.files)
    card = stage.card
    if card == "new" and before.has_own_card:
        files.remove(CARD)
        card = "kept"
    removed = tuple(name for name in before.files if name not in stage.files)
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always")
        commit = api.upload_folder(
            repo_id=target.name,
            folder_path=stage.folder,
            revision=target.revision,
            commit_message=message or f"A {stage.kind} model of finetext",
            allow_patterns=[glob.escape(name) for name in files],
            delete_patterns=[glob.escape(name) for name in removed] or None,
        )
    for each in noticed:
        if issubclass(each.category, UserWarning):
            say(" ".join(str(each.message).split()))
    return Pushed(url, str(commit.oid), tuple(files), stage.left_out, removed, card)


@dataclass(frozen=True)
class _Before:
    """What the branch has before.

    Attributes:
        files: those of a model of finetext.
        of_others: every file, if there is no model of finetext.
        has_own_card: whether its card was written by hand.
    """

    files: tuple[str, ...]
    of_others: frozenset[str]
    has_own_card: bool


def _before(api: HfApi, target: Repository) -> _Before:
    from finetext.models.card import is_ours

    known = set(api.list_repo_files(target.name, revision=target.revision))
    files: tuple[str, ...] = ()
    if DESCRIPTION in known:
        described = _read(api, target, DESCRIPTION)
        try:
            listed = names_of(json.loads(described)) or {}
        except (ValueError, AttributeError, ModelError):
            listed = {}
        files = tuple(name for name in listed if name in known)
    card = _read(api, target, CARD) if CARD in known else ""
    of_others = frozenset() if DESCRIPTION in known else frozenset(known)
    return _Before(files, of_others, bool(card.strip()) and not is_ours(card))


def _read(api: HfApi, target: Repository, name: str) -> str:
    """The text of a file on the Hub."""
    with tempfile.TemporaryDirectory() as place:
        path = api.hf_hub_download(target.name, name, revision=target.revision, cache_dir=place)
        return Path(path).read_text(encoding="utf-8", errors="replace")


def _check_token() -> None:
    """Refuse to send anything without a token.

    Raises:
        ModelError: there is none in the places of `huggingface_hub`.
    """
    from huggingface_hub import get_token
    from huggingface_hub.constants import ENDPOINT

    if get_token() is None:
        raise ModelError(
            "sending a model needs a token of the Hub with write permission: make one on "
            f"{ENDPOINT}/settings/tokens, then log in with `hf auth login`, or set HF_TOKEN"
        )
