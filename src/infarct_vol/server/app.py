"""The application: routes behind a gate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlette.routing import Router
from starlette.types import ASGIApp

from infarct_vol.desk import Desk
from infarct_vol.server.assets import Asset, load_assets
from infarct_vol.server.facts import StudyFacts
from infarct_vol.server.gate import Gate
from infarct_vol.server.refusals import Wording
from infarct_vol.server.routes import Pages
from infarct_vol.server.sessions import Sessions


def make_app(
    desk: Desk,
    *,
    port: int,
    sessions: Sessions,
    suggested: str = "",
    assets: Mapping[str, Asset] | None = None,
) -> ASGIApp:
    """Return the application over a desk.

    Parameters
    ----------
    desk
        Where masks are read.
    port
        The port it is served on; requests to another are refused.
    sessions
        Launch token and sessions.
    suggested
        Name that the sign-in form starts with.
    assets
        Files of the page; default: those of the package.
    """
    study = getattr(desk, "study", None)
    folders = [desk.out, *([study] if isinstance(study, Path) else [])]
    is_blinded = desk.protocol.review.reads == 2
    wording = Wording(folders, blinded=is_blinded, hidden=desk.participant_ids if is_blinded else ())
    pages = Pages(
        desk,
        sessions=sessions,
        facts=StudyFacts(desk, suggested=suggested),
        assets=load_assets() if assets is None else assets,
        wording=wording,
        port=port,
    )
    # no redirections: an address is served as it stands, or not at all
    router = Router(pages.routes(), redirect_slashes=False)
    return Gate(router, sessions=sessions, port=port, wording=wording)
