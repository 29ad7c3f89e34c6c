"""`kerneld web`: the page, on this machine alone, or behind a JupyterHub."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerneld.cli.options import Configuration, Database

if TYPE_CHECKING:
    from kerneld.config import Config
    from kerneld.web.viewer import Viewer

PORT = 8765


def command(
    behind_hub: Annotated[
        bool,
        typer.Option("--hub", help="As a service of a JupyterHub that JUPYTERHUB_… variables name."),
    ] = False,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="On this port; 0: a free one.")
    ] = PORT,
    db: Database = None,
    config_file: Configuration = None,
) -> None:
    """Show incidents and living kernels on a page, and answer in JSON.

    It listens on loopback alone, and lets in whoever has the token in the address that it prints;
    KERNELD_WEB_TOKEN sets one that lasts. It reads the database and writes nothing: recorder and
    page come and go without each other. With --hub it lets in whom the Hub lets in: its admins see
    all, its users their own.

    \b
    Examples:
      kerneld web
      kerneld web --port 9000
    """
    import gc

    from kerneld.cli.reading import configuration, existing_database, places
    from kerneld.errors import UsageError

    try:
        import kerneld.web.serving  # noqa: F401
    except ModuleNotFoundError as missing:
        raise UsageError(f"{missing.name} is missing: pip install 'kerneld[web]'") from None
    gc.enable()
    settings, database = configuration(config_file), existing_database(db)
    live = places(db).live
    if behind_hub:
        _serve_hub(settings, database, live)
        return
    viewer = _own_viewer(settings)
    _give_up_rights(database)
    _serve(port, viewer, database, live, names_users=settings.metrics.users)


def _serve_hub(settings: "Config", database: Path, live: Path) -> None:
    import os

    from kerneld.cli.terminal import complain, local_zone
    from kerneld.web.archive import Archive
    from kerneld.web.hub import HubGate, Rights, hub_of
    from kerneld.web.render import Renderer
    from kerneld.web.serving import listener, serve
    from kerneld.web.site import Site

    hub = hub_of(os.environ)
    _give_up_rights(database)
    at = listener(*hub.at)
    renderer = Renderer(hub.prefix, local_zone())
    rights = Rights(settings.web.hub_accounts, sees_code=settings.privacy.admin_sees_code)
    gate = HubGate(hub, rights, renderer)
    complain(f"the page reads {database}; the Hub's proxy finds it at {hub.at[0]} port {hub.at[1]}")
    site = Site(Archive(database, live), gate, renderer, settings.metrics.users)
    serve(site, at, settings.web.hosts)


def _serve(port: int, viewer: "Viewer", database: Path, live: Path, *, names_users: bool) -> None:
    import os
    import secrets

    from kerneld.cli.terminal import complain, local_zone, say
    from kerneld.web.archive import Archive
    from kerneld.web.gate import TokenGate
    from kerneld.web.render import Renderer
    from kerneld.web.serving import listener, serve
    from kerneld.web.site import Site

    at = listener("127.0.0.1", port)
    port = at.getsockname()[1]
    lasting = os.environ.pop("KERNELD_WEB_TOKEN", "")
    token = lasting or secrets.token_hex(24)
    renderer = Renderer("/", local_zone())
    gate = TokenGate(token, viewer, renderer, port=port)
    complain(f"the page reads {database}; Ctrl-C ends it")
    say(f"http://127.0.0.1:{port}/{'' if lasting else f'?token={token}'}\n")
    serve(Site(Archive(database, live), gate, renderer, names_users), at, ())


def _own_viewer(settings: "Config") -> "Viewer":
    """Whoever starts it sees what `kerneld show` shows them."""
    import os
    import pwd

    from kerneld.cli.reading import mode_of_reader
    from kerneld.model.vocabulary import Mode
    from kerneld.web.viewer import Viewer

    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    return Viewer(
        name=name,
        own_uid=uid,
        sees_all=True,
        is_admin=mode_of_reader() is Mode.SYSTEM,
        sees_code=settings.privacy.admin_sees_code,
    )


def _give_up_rights(database: Path) -> None:
    """Nothing with privilege listens: root becomes the owner of what is read, without capabilities."""
    import os

    from kerneld.reader.rights import drop_capabilities

    if os.geteuid() == 0:
        owner = database.stat()
        drop_capabilities((owner.st_uid, owner.st_gid))
