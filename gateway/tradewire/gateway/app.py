"""The FastAPI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tradewire.core import Settings, TradewireError
from tradewire.gateway import event_routes, history_routes, service_routes
from tradewire.gateway.correlate import FollowCorrelation
from tradewire.gateway.documents import FieldErrorDocument, ProblemDocument
from tradewire.gateway.metrics import CountRequests, GatewayMetrics
from tradewire.gateway.problems import (
    FieldError,
    answer_any_error,
    answer_http_error,
    answer_tradewire_error,
    bad_parameter,
)
from tradewire.gateway.services import open_services

DESCRIPTION = (
    "Events in, history out. Prices and quantities are JSON strings in both directions; every error is "
    "`application/problem+json` (RFC 9457). This form has no authentication: keep it on loopback."
)


def create_app(settings: Settings) -> FastAPI:
    """The gateway as an ASGI application; connects to nothing before it is started, and starts without any server.

    Raises (when it is started):
        SchemaFileError: a file of the catalogue or of the topics is at fault.
    """
    metrics = GatewayMetrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings, metrics) as services:
            app.state.services = services
            yield

    app = FastAPI(title="Tradewire gateway", version="0.1.0", description=DESCRIPTION, lifespan=lifespan)
    app.include_router(event_routes.router)
    app.include_router(history_routes.router)
    app.include_router(service_routes.router)
    app.add_exception_handler(TradewireError, answer_tradewire_error)
    app.add_exception_handler(HTTPException, answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(Exception, answer_any_error)
    app.add_middleware(FollowCorrelation)
    app.add_middleware(CountRequests, metrics=metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [FieldError(f"?{item['loc'][-1]}", str(item["msg"])) for item in error.errors()]
    return bad_parameter(found).response(request.url.path)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document["components"]["schemas"]
        for model in (ProblemDocument, FieldErrorDocument):
            made = model.model_json_schema(ref_template="#/components/schemas/{model}")
            made.pop("$defs", None)
            schemas[model.__name__] = made
        # Validation by the framework answers as every other error does.
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        for operations in document["paths"].values():
            for operation in operations.values():
                if "HTTPValidationError" in str(operation["responses"].get("422", "")):
                    del operation["responses"]["422"]
        app.openapi_schema = document
    return app.openapi_schema
