"""Databases, a gate and a base path into the application that a web server runs."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from kerneld.web.api import Api
from kerneld.web.feed import Feed
from kerneld.web.guards import Guards
from kerneld.web.pages import Pages
from kerneld.web.site import Site

KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
FOR_GOOD = {"cache-control": "public, max-age=31536000, immutable"}


def application(site: Site, hosts: Collection[str]) -> Starlette:
    """hosts: names by which the site may be reached, beside addresses and localhost."""
    pages = Pages(site)
    api = Api(site, Feed(site))
    routes: list[BaseRoute] = [
        *pages.routes(),
        *api.routes(),
        *site.gate.routes(),
        Route("/static/{name}", _static(site), methods=["GET"]),
    ]

    async def not_found(request: Request, problem: Exception) -> Response:
        status = problem.status_code if isinstance(problem, HTTPException) else 500
        return site.renderer.page(
            "error.html", None, status=status, code=status, words="", can_leave=False, home=""
        )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await site.archive.close()

    base = site.renderer.base.rstrip("/")
    return Starlette(
        routes=[Mount(base, routes=routes)] if base else routes,
        middleware=[Middleware(Guards, hosts=hosts)],
        exception_handlers={HTTPException: not_found},
        lifespan=lifespan,
    )


def _static(site: Site):  # type: ignore[no-untyped-def]
    async def endpoint(request: Request) -> Response:
        name = request.path_params["name"]
        content = site.renderer.static.get(name)
        if content is None:
            raise HTTPException(404)
        return Response(content, 200, FOR_GOOD, KINDS[name.rpartition(".")[2]])

    return endpoint
