"""The HTTP service as a deployment of Ray Serve: the same routes and answers, in many replicas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, final

from finetext.batch.predictor import on_this_node, use_given_cpus
from finetext.core.errors import MissingExtraError, ModelError, RecipeError
from finetext.core.settings import ServeSettings, made

if TYPE_CHECKING:
    from fastapi import FastAPI

ONGOING: Final = 100
"""Requests that Ray sends to a replica at once: its queue makes batches of them."""
_NOT_HERE: Final = {
    "workers": "Ray starts the processes; set num_replicas or autoscaling_config of the deployment",
    "log_format": "Ray writes the log; set logging_config of the deployment",
}
"""Settings of a server of its own, and what takes their place."""


@final
class Replica:
    """A copy of the service, which Ray Serve starts on a node, checks and replaces."""

    def __init__(self, model: str, settings: Mapping[str, Any] | None = None) -> None:
        """Load the model.

        Args:
            model: a model folder, a run folder for its best model, or "hub:owner/name", which each
                node finds under this name.
            settings: those of `ServeSettings` that differ from the default, by name, except
                `workers` and `log_format`, which are Ray's.

        Raises:
            FinetextError: the model cannot be loaded or predicts nothing, or a setting is wrong.
        """
        from finetext.runs.load import load_for
        from finetext.serving.app import make_app
        from finetext.serving.model import ServedModel, about
        from finetext.serving.server import find_token
        from finetext.serving.tracing import tracer_from_environment

        for name, instead in _NOT_HERE.items():
            if name in (settings or {}):
                raise RecipeError(f"settings: {name} is for finetext serve. {instead}")
        limits = made("settings", ServeSettings, settings or {})
        use_given_cpus()
        try:
            classifier = load_for("latency", model)
        except ModelError as error:
            raise ModelError(f"{error}{on_this_node()}") from None
        served = ServedModel(classifier)
        served.check()
        token, tracer = find_token(None), tracer_from_environment()
        self._app = make_app(served, limits, token, about(model), is_local=True, tracer=tracer)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the app that Ray Serve sends requests to."""
        return self._app

    def check_health(self) -> None:
        """Raise a ModelError if only another replica helps; Ray calls it every ten seconds."""
        if not (batcher := self._app.state.batcher).is_alive:
            raise ModelError(batcher.fault or "the model does not answer")


def deployment() -> Any:
    """Return `Replica` as what `serve.run` takes once bound: a `ray.serve.Deployment`.

    Raises a `MissingExtraError` if Ray Serve is not installed.
    """
    try:
        from ray import serve
    except ModuleNotFoundError:
        raise MissingExtraError("a deployment of Ray Serve", "ray[serve]", "ray") from None
    decorated = serve.deployment(name="finetext", max_ongoing_requests=ONGOING)
    return decorated(serve.ingress()(Replica))
