"""The same as data: incidents as the command line's --json has them, and a document that says so."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from kerneld import __version__
from kerneld.errors import KerneldError, NothingFound
from kerneld.figures import figures_of
from kerneld.model.base import from_us, iso
from kerneld.model.incident import Incident
from kerneld.model.living import LivingState
from kerneld.model.vocabulary import Category, Cause
from kerneld.outputs import json
from kerneld.outputs.metrics import exposition
from kerneld.web.archive import Busy
from kerneld.web.asked import PERIODS, USUAL_PERIOD, asked_of, time_of
from kerneld.web.feed import Feed, TooMany, Wanted
from kerneld.web.gate import Unreachable
from kerneld.web.site import Counted, Site, errors_of
from kerneld.web.viewer import Viewer

Answer = Callable[[Request, Viewer], Awaitable[Response]]
NO_BUFFERS = {"x-accel-buffering": "no"}
"""a proxy that waits for more would hold events back"""


class Api:
    def __init__(self, site: Site, feed: Feed) -> None:
        self._site, self._feed = site, feed

    def routes(self) -> list[Route]:
        answers = {
            "/api/v1/incidents": self._incidents,
            "/api/v1/incidents/{ref}": self._incident,
            "/api/v1/kernels": self._kernels,
            "/api/v1/overview": self._overview,
            "/api/openapi.json": self._openapi,
            "/events": self._events,
            "/metrics": self._metrics,
        }
        listed = [
            Route(at, self._for_viewers(answer), methods=["GET"]) for at, answer in answers.items()
        ]
        return [*listed, Route("/healthz", self._health, methods=["GET"])]

    def _for_viewers(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                viewer = await self._site.gate.viewer(request)
                if viewer is None:
                    told = {"www-authenticate": 'Bearer realm="kerneld"'}
                    return JSONResponse({"error": "who asks is not known: send a token"}, 401, told)
                with self._site.turn(viewer):
                    return await answer(request, viewer)
            except (KerneldError, Busy, Unreachable) as problem:
                status, words = errors_of(problem)
                return JSONResponse({"error": words}, status)
            except TooMany:
                return JSONResponse({"error": "too many pages listen already"}, 503)

        return endpoint

    async def _incidents(self, request: Request, viewer: Viewer) -> Response:
        asked = asked_of(request.query_params, datetime.now(UTC))
        page = await self._site.page(viewer, asked)
        headers = {}
        if page.older:
            headers["link"] = f'<{asked.address(before=page.older)}>; rel="next"'
        return Response("".join(json.array(page.incidents)), 200, headers, "application/json")

    async def _incident(self, request: Request, viewer: Viewer) -> Response:
        incident = await self._site.incident(viewer, request.path_params["ref"])
        return Response(json.document(incident), 200, None, "application/json")

    async def _kernels(self, request: Request, viewer: Viewer) -> Response:
        _, states = await self._site.living(viewer)
        return Response("".join(json.array(states)), 200, None, "application/json")

    async def _overview(self, request: Request, viewer: Viewer) -> Response:
        now = datetime.now(UTC)
        counted = await self._site.counted(viewer, asked_of(request.query_params, now), now)
        return JSONResponse(_counts(counted))

    async def _metrics(self, request: Request, viewer: Viewer) -> Response:
        """Of everybody's incidents: for who may see those."""
        if not viewer.sees_all:
            raise NothingFound("no such page")
        archive, now = self._site.archive, datetime.now(UTC)
        names_users = self._site.names_users
        figures = await archive.ask(
            lambda store: figures_of(store, archive.live, now, names_users=names_users)
        )
        told = exposition(figures, request.headers.get("accept", ""))
        return Response(told.text, 200, {"content-type": told.content_type})

    async def _openapi(self, request: Request, viewer: Viewer) -> Response:
        return JSONResponse(document(self._site.renderer.base))

    async def _events(self, request: Request, viewer: Viewer) -> Response:
        shows_living = request.query_params.get("of") == "kernels"
        asked = None if shows_living else asked_of(request.query_params, datetime.now(UTC))
        seen = request.headers.get("last-event-id") or request.query_params.get("after", "")
        events = await self._feed.listen(Wanted(viewer, asked and asked.at_any_time()), time_of(seen))
        return StreamingResponse(events, 200, NO_BUFFERS, "text/event-stream")

    async def _health(self, request: Request) -> Response:
        """Whether this process answers and can read; of whom and what, it says nothing."""
        try:
            runs = await self._site.archive.recorder_runs(datetime.now(UTC))
        except (KerneldError, Busy):
            return JSONResponse({"database": False, "recorder": False}, 503)
        return JSONResponse({"database": True, "recorder": runs})


def _counts(counted: Counted) -> dict[str, object]:
    overview = counted.overview
    return {
        "count": overview.count,
        "column_s": counted.column_us // 1_000_000,
        "columns": [
            {"begin": iso(from_us(begin)), "category": category.value, "count": count}
            for begin, category, count in overview.columns
        ],
        "causes": [{"cause": cause.value, "count": count} for cause, count in overview.causes],
        "users": [{"name": each.name, "count": each.count} for each in overview.people],
        "notebooks": [{"path": each.name, "count": each.count} for each in overview.notebooks],
        "lines": [
            {
                "line": counted.places[each.uuid],
                "notebook": each.notebook,
                "count": each.count,
                "latest": each.uuid,
            }
            for each in overview.lines
            if each.uuid in counted.places
        ],
    }


# ---------------------------------------------------------------- the document


def document(base: str) -> dict[str, Any]:
    """OpenAPI 3.1: what can be asked, and the shape of what is told."""
    schemas: dict[str, Any] = {}
    for kind in (Incident, LivingState):
        told = kind.model_json_schema(
            by_alias=True, mode="serialization", ref_template="#/components/schemas/{model}"
        )
        schemas |= told.pop("$defs", {})
        schemas[kind.__name__] = told
    return {
        "openapi": "3.1.0",
        "info": {"title": "kerneld", "version": __version__, "description": _ABOUT},
        "servers": [{"url": base}],
        "security": [{"token": []}],
        "paths": _paths(),
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


_ABOUT = "Ends of Jupyter kernels: what killed them, and why. Fields are only ever added."


def _paths() -> dict[str, Any]:
    filters = [
        _parameter("period", "how far back", [*PERIODS], default=USUAL_PERIOD),
        _parameter("cause", "only this cause", [cause.value for cause in Cause]),
        _parameter("category", "only this category", [category.value for category in Category]),
        _parameter("user", "only of this person, as the Hub or the machine names it"),
        _parameter("notebook", "a part of the notebook's path, or a pattern with * and ?"),
    ]
    paging = [
        _parameter("all", "1: ends that were asked for, too", ["1"]),
        _parameter("before", "where a page begins: follow the header `Link`"),
    ]
    ref = _parameter("ref", "its number, its uuid, or the start of one") | {
        "in": "path",
        "required": True,
    }
    incidents = {"type": "array", "items": _schema("Incident")}
    kernels = {"type": "array", "items": _schema("LivingState")}
    return {
        "/api/v1/incidents": _get("Incidents, newest first, 50 a page", incidents, [*filters, *paging]),
        "/api/v1/incidents/{ref}": _get("One incident", _schema("Incident"), [ref]),
        "/api/v1/kernels": _get("The kernels that live now", kernels, []),
        "/api/v1/overview": _get("Counts over time, of whom and where", {"type": "object"}, filters),
    }


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameter(
    name: str, about: str, words: list[str] | None = None, *, default: str | None = None
) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    schema |= {"enum": words} if words else {}
    schema |= {"default": default} if default else {}
    return {"name": name, "in": "query", "description": about, "schema": schema}


def _get(about: str, schema: dict[str, Any], parameters: list[dict[str, Any]]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    responses = {
        "200": {"description": about, "content": content},
        "401": {"description": "no token, or none that is known"},
        "404": {"description": "not there, or another user's"},
    }
    return {"get": {"summary": about, "parameters": parameters, "responses": responses}}
