"""Templates into pages: everything from outside is escaped, links stay below this site's own base."""

import hashlib
from datetime import datetime, tzinfo
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from kerneld import __version__
from kerneld.model.base import iso
from kerneld.model.vocabulary import Category
from kerneld.outputs.view import View
from kerneld.web.viewer import Viewer

STATIC = ("kerneld.css", "kerneld.js", "icon.svg")
# a shape beside each word: no meaning hangs on a colour alone
SIGNS = {
    Category.MEMORY: "■", Category.NATIVE: "▲", Category.LIMIT: "◆", Category.KILLED: "✕",
    Category.EXIT: "●", Category.HARDWARE: "✚", Category.HOST: "◗", Category.UNKNOWN: "○",
    Category.REQUESTED: "–",
}  # fmt: skip


class Renderer:
    """base: the path below which the site lies, `/` or `/services/kerneld/`. zone: of all times."""

    def __init__(self, base: str, zone: tzinfo) -> None:
        self.base, self.zone = base, zone
        self.static = {name: _static(name) for name in STATIC}
        # a changed file has another address: browsers keep each for good
        self._tags = {name: hashlib.sha256(text).hexdigest()[:12] for name, text in self.static.items()}
        self._environment = Environment(
            loader=PackageLoader("kerneld.web"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True, auto_reload=False,
        )  # fmt: skip
        self._environment.filters["iso"] = iso
        self._environment.globals.update(
            base=base, version=__version__, sign=lambda category: SIGNS[Category(category)],
            static=lambda name: f"{base}static/{name}?{self._tags[name]}",
        )  # fmt: skip

    def view(self, now: datetime) -> View:
        return View(now, self.zone)

    def page(
        self, template: str, viewer: Viewer | None = None, *, status: int = 200, **context: object
    ) -> HTMLResponse:
        return HTMLResponse(self.text(template, viewer=viewer, **context), status)

    def text(self, template: str, **context: object) -> str:
        return self._environment.get_template(template).render(context)

    def zone_name(self, now: datetime) -> str:
        return f"{now.astimezone(self.zone):%Z}"


def _static(name: str) -> bytes:
    return (files("kerneld.web") / "static" / name).read_bytes()
