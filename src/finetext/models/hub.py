"""Models on the Hugging Face Hub: names, fetching without any pickle, and errors in words.

The client is `huggingface_hub`, which reads HF_TOKEN, HF_ENDPOINT and HF_HUB_CACHE.
"""

from __future__ import annotations

import glob
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetext.core.budget import within_memory
from finetext.core.errors import FinetextError, ModelError
from finetext.core.terminal import unescaped
from finetext.models.files import CARD, DESCRIPTION, checked, names_of, refuse_pickles
from finetext.models.folder import WEIGHTS, is_described, read_description
from finetext.storage.files import check_new_folder, replaced_folder
from finetext.storage.received import copy_received, names_received, received_folder
from finetext.storage.unfinished import recover

PREFIX: Final = "hub:"
MAIN: Final = "main"
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WANTED: Final = (
    "*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.onnx", CARD,
)  # fmt: skip
"""Files to fetch from a repository that does not list its files."""
_NEVER: Final = (
    "*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.joblib", "*.npy", "*.npz", "*.h5",
    "*.msgpack", "*.py",
)  # fmt: skip


@dataclass(frozen=True)
class Repository:
    """A model on the Hub, "owner/name", and its branch, tag or commit; None for main."""

    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Return the repository "owner/name" or "owner/name@revision"; raises a ModelError."""
        name, at, revision = text.removeprefix(PREFIX).partition("@")
        if not _NAME.fullmatch(name) or (at and not revision):
            raise ModelError(
                f"{text!r} is not the name of a model on the Hub: write it as USER/NAME, or "
                "hub:USER/NAME@REVISION"
            )
        return cls(name, revision or None)

    def __str__(self) -> str:
        return self.name if self.revision is None else f"{self.name}@{self.revision}"


def model_folder(model: str | Path) -> Path:
    """Return the folder of a path, a method in a run, or "hub:owner/name"; raises a ModelError."""
    text = str(model)
    if text.startswith(PREFIX):  # as a path of Windows it has backslashes
        return fetched(Repository.parse(text.replace("\\", "/")))
    folder, of_method = Path(model), Path(model) / "model"
    recover(folder)
    if is_described(folder) or not is_described(of_method):
        return folder
    try:
        return received_folder(folder, "model")
    except OSError as error:
        raise ModelError(f"{folder}: {error}") from None


def fetched(repository: Repository) -> Path:
    """Return the cached folder of a model, fetched if there is a network; raises a ModelError."""
    with explained(repository.name, repository.revision), without_noise():
        try:
            folder = _fetch(repository)
        except Exception as error:  # the client raises errors of several packages
            if not _is_network(error):
                raise
            folder = _fetch(repository, from_cache=True)
    refuse_pickles(folder)
    if is_described(folder):
        found = checked(folder, read_description(folder))
        if not found.is_sound:
            raise ModelError(
                f"the model {repository} of the Hub is not as finetext wrote it ({found.words}); "
                f"it is in {folder}"
            )
    return folder


def _fetch(repository: Repository, from_cache: bool = False) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    name, revision = repository.name, repository.revision
    wanted, ignored = [*_WANTED], [*_NEVER, "*/*"]  # folders hold other formats
    try:
        path = hf_hub_download(name, DESCRIPTION, revision=revision, local_files_only=from_cache)
    except EntryNotFoundError:  # it is not a finetext model, or not in the cache
        pass
    else:
        description = Path(path)
        revision, ignored = description.parent.name, [*_NEVER]
        if (listed := names_of(read_description(description.parent))) is not None:
            wanted = [glob.escape(file) for file in (*listed, DESCRIPTION, CARD)]
    return Path(snapshot_download(
        name, revision=revision, allow_patterns=wanted, ignore_patterns=ignored,
        local_files_only=from_cache,
    ))  # fmt: skip


@within_memory
def pull(
    repository: str,
    out: str | Path | None = None,
    revision: str | None = None,
    force: bool = False,
) -> Path:
    """Fetch a model from the Hub into a folder, whole or not at all, and return the folder.

    Args:
        repository: "owner/name", also with "hub:" before and "@revision" after it.
        out: the folder; by default one named like the model in the working directory.
        revision: branch, tag or commit.
        force: replace a model folder that is there, if it holds nothing else.

    Raises:
        ModelError: the model cannot be fetched, is damaged or holds a pickle; or the folder holds
            something else.
        DataError: the folder holds a model, and `force` is not given.
    """
    source = Repository.parse(repository)
    if revision is not None:
        source = Repository(source.name, revision)
    folder = Path(source.name.partition("/")[2]) if out is None else Path(out)
    _check_place(folder, force)
    cached = fetched(source)
    if not is_described(cached) and not any(cached.glob(f"*{WEIGHTS}")):
        raise ModelError(f"{source} on the Hub holds no model that finetext can load")
    try:
        with replaced_folder(folder) as unfinished:
            for name in names_received(cached)[0]:
                (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
                copy_received(cached, name, unfinished / name)
    except OSError as error:
        raise ModelError(f"the model cannot be written to {folder}: {error}") from None
    return folder


def _check_place(folder: Path, force: bool) -> None:
    """Raise a `ModelError` if a folder holds something that replacing it would lose."""
    recover(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / DESCRIPTION).is_file():
        raise ModelError(f"{folder} exists and is not a finetext model; choose another folder")
    found = checked(folder, read_description(folder))
    if found.extra or found.changed:
        also = ", ".join((*found.changed, *found.extra))
        what = f"{folder} holds more than a model as it was written ({also})"
        raise ModelError(f"{what}; choose another folder")
    check_new_folder(folder, force)


_NO_NETWORK: Final = {
    "NetworkError", "TimeoutException", "RemoteProtocolError", "ProxyError", "OfflineModeIsEnabled"
}  # fmt: skip
_RESUME: Final = "; run it again to resume: what has arrived is not sent twice"
_OF_STATUS: Final = {
    401: "the Hub does not accept the token: log in again with `hf auth login`, or set HF_TOKEN to "
    "one of {endpoint}/settings/tokens",
    403: "the token may not write to {name}: use one with write permission "
    "({endpoint}/settings/tokens), and a name that begins with your user name or an organization "
    "of yours",
    404: "the Hub does not know it, or the token may not see it; check the name",
    **dict.fromkeys((409, 412), "somebody else is changing it at this moment"),
    429: "the Hub had too many requests from this address; wait some minutes",
}
_MAY_PASS: Final = {409, 412, 429, 500, 502, 503, 504}


@contextmanager
def explained(name: str, revision: str | None, is_push: bool = False) -> Iterator[None]:
    """Turn the errors of `huggingface_hub` into a `ModelError` that says what to do."""
    try:
        yield
    except FinetextError:
        raise
    except KeyboardInterrupt:
        if is_push:
            raise KeyboardInterrupt(f"the upload of {name} was stopped{_RESUME}") from None
        raise
    except Exception as error:  # the client raises errors of several packages
        doing = f"{name} cannot be sent to the Hub" if is_push else f"{name} cannot be fetched"
        raise ModelError(f"{doing}: {_reason(error, name, revision, is_push)}") from error


def _reason(error: BaseException, name: str, revision: str | None, is_push: bool) -> str:
    from huggingface_hub import errors
    from huggingface_hub.constants import ENDPOINT

    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, errors.GatedRepoError):
        return f"it is gated: ask for access on {ENDPOINT}/{name}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"it has no revision {revision or MAIN!r}"
    if isinstance(error, errors.RepositoryNotFoundError) and not is_push:
        login = "log in with `hf auth login` (or set HF_TOKEN) if it is private"
        return f"there is no such model, or it is private: check the name, and {login}"
    if _is_network(error) or isinstance(error, errors.LocalEntryNotFoundError):
        if is_push:
            reason = f"the Hub at {ENDPOINT} cannot be reached, or hung up; check the network"
            return reason + _RESUME
        partly = "only partly" if isinstance(error, errors.IncompleteSnapshotError) else "not"
        return f"it is {partly} on this machine, and the Hub at {ENDPOINT} cannot be reached"
    lines = str(error).strip().splitlines() or [""]
    status = getattr(getattr(error, "response", None), "status_code", None)
    if not isinstance(status, int):
        return f"{type(error).__name__}: {lines[0][:300]}" + (_RESUME if is_push else "")
    if status >= 500:
        reason = f"the Hub has an internal error (status {status})"
    else:
        refused = f"the Hub refuses it (status {status}): {lines[-1][:300]}"
        reason = _OF_STATUS.get(status, "").format(endpoint=ENDPOINT, name=name) or refused
    return reason + (_RESUME if is_push and status in _MAY_PASS else "")


def _is_network(error: BaseException) -> bool:
    """Return whether the Hub was not reached, or hung up; the HTTP package has changed before."""
    return any(kind.__name__ in _NO_NETWORK for kind in type(error).__mro__)


@contextmanager
def without_noise() -> Iterator[None]:
    """Keep the client from logging, and from showing progress bars outside a terminal."""
    from huggingface_hub import utils as exported

    utils: Any = exported  # at run time it has the functions of its modules
    verbosity, hidden = utils.logging.get_verbosity(), utils.are_progress_bars_disabled()
    utils.logging.set_verbosity(logging.ERROR)
    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    before, sys.stderr = sys.stderr, unescaped(sys.stderr)  # the bars of the client need codes
    try:
        yield
    finally:
        sys.stderr = before
        utils.logging.set_verbosity(verbosity)
        if not hidden:
            utils.enable_progress_bars()
