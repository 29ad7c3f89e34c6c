"""The page's addresses into HTML: the list, one incident, the living kernels."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from kerneld.errors import KerneldError
from kerneld.model.base import to_us
from kerneld.model.vocabulary import Category, Cause
from kerneld.outputs.units import when
from kerneld.web.archive import Busy
from kerneld.web.asked import PERIODS, asked_of
from kerneld.web.gate import Unreachable
from kerneld.web.listing import life_of, row_of, summary_of
from kerneld.web.site import Site, errors_of
from kerneld.web.story import story_of
from kerneld.web.viewer import Viewer

PERIOD_WORDS = {
    "24h": "24 hours", "7d": "7 days", "30d": "30 days", "180d": "180 days", "all": "all that is kept",
}  # fmt: skip
Show = Callable[[Request, Viewer], Awaitable[Response]]


class Pages:
    """Each page is for who is let in; anybody else is asked in first."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        shown = {
            "/": self._incidents,
            "/incidents/{ref}": self._incident,
            "/kernels": self._kernels,
        }
        return [Route(path, self._for_viewers(show), methods=["GET"]) for path, show in shown.items()]

    def _for_viewers(self, show: Show) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            viewer: Viewer | None = None
            try:
                viewer = await self._site.gate.viewer(request)
                # the link that was printed: its token must not stay in the address
                if viewer is None or "token" in request.query_params:
                    return self._site.gate.ask_in(request)
                with self._site.turn(viewer):
                    return await show(request, viewer)
            except (KerneldError, Busy, Unreachable) as problem:
                return self._failure(problem, viewer)

        return endpoint

    def _failure(self, problem: Exception, viewer: Viewer | None) -> HTMLResponse:
        status, words = errors_of(problem)
        return self._page("error.html", viewer, status=status, words=words, code=status)

    async def _incidents(self, request: Request, viewer: Viewer) -> Response:
        now = datetime.now(UTC)
        asked = asked_of(request.query_params, now)
        page = await self._site.page(viewer, asked)
        counted = await self._site.counted(viewer, asked, now)
        view = self._site.renderer.view(now)
        summary = summary_of(
            counted.overview, counted.places, view,
            first_us=counted.first_us, column_us=counted.column_us, until_us=counted.until_us,
        )  # fmt: skip
        return self._page(
            "incidents.html",
            viewer,
            asked=asked,
            rows=[row_of(incident, view) for incident in page.incidents],
            older=page.older,
            is_first=asked.query.before is None,
            known_until=str(to_us(now)),
            summary=summary,
            periods={name: PERIOD_WORDS[name] for name in PERIODS},
            causes=list(Cause),
            categories=list(Category),
            zone=self._site.renderer.zone_name(now),
        )

    async def _incident(self, request: Request, viewer: Viewer) -> Response:
        incident = await self._site.incident(viewer, request.path_params["ref"])
        view = self._site.renderer.view(datetime.now(UTC))
        zone = self._site.renderer.zone_name(view.now)
        return self._page("incident.html", viewer, story=story_of(incident, view), zone=zone)

    async def _kernels(self, request: Request, viewer: Viewer) -> Response:
        now = datetime.now(UTC)
        living, states = await self._site.living(viewer)
        view = self._site.renderer.view(now)
        return self._page(
            "kernels.html",
            viewer,
            lives=[life_of(state, now) for state in states],
            runs=living.is_running(now),
            heard=when(living.at, view) if living.at else "",
        )

    def _page(
        self, template: str, viewer: Viewer | None, *, status: int = 200, **context: object
    ) -> HTMLResponse:
        gate = self._site.gate
        return self._site.renderer.page(
            template, viewer, status=status, can_leave=gate.can_leave, home=gate.home, **context
        )
