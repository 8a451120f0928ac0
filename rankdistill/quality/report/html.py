"""Templates of pages: everything they are given is escaped but for what is marked safe."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from rankdistill.quality.report import MARK


def template(name: str) -> Template:
    """A file of this folder; it has the page's `style`."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    folder = files("rankdistill.quality.report")
    # select_autoescape goes by a file's name; all that is rendered here is HTML.
    own = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
    )
    own.globals["mark"] = Markup(MARK)  # noqa: S704
    own.globals["style"] = Markup((folder / "page.css").read_text(encoding="utf-8"))  # noqa: S704
    return own
