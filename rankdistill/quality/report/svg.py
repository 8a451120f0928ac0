"""A sheet to draw on: matplotlib sets paths and texts, and of its SVG only these are kept.

Fills and text colours become CSS classes, so that one picture suits light, dark and paper; no
metadata, ids, links, fonts or styles of matplotlib's reach the page. Units: points, y down.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable
from typing import Any, Literal
from xml.etree import ElementTree as Xml
from xml.sax.saxutils import escape

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import IdentityTransform

from rankdistill.quality.words import plain

SPACE = "{http://www.w3.org/2000/svg}"
# Classes of page.css, each drawn in a colour of its own that is told again in the SVG.
CLASSES = (
    *("s1", "s2", "s3", "s4", "rule", "warn-line", "fail-line", "ink", "muted", "paper"),
    *(f"h{step}" for step in range(10)),
)
COLOR = {name: f"#0000{place + 1:02x}" for place, name in enumerate(CLASSES)}
CLASS = {color: name for name, color in COLOR.items()}
TEXT_SIZE = 10
LETTER = 0.58 * TEXT_SIZE  # mean width; the browser's own font will differ a little
ROUNDED = re.compile(r"(\d+\.\d)\d+")
ANCHORS = {"left": "start", "center": "middle", "right": "end"}


class Sheet:
    """width, height: of the picture; `inner` is what stands within <svg>."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self._figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        self._figure.patch.set_visible(False)
        FigureCanvasSVG(self._figure)
        self._texts: list[Text] = []

    def boxes(self, boxes: Iterable[tuple[float, float, float, float]], cls: str) -> None:
        """Filled rectangles (left, top, width, height) as one path."""
        found = np.array([box for box in boxes if box[2] > 0 and box[3] > 0], dtype=float)
        if not len(found):
            return
        x, y, w, h = found.T
        y = self.height - y
        corners = [(x, y), (x, y - h), (x + w, y - h), (x + w, y), (x, y)]
        polygons = np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)
        self._add(Path.make_compound_path_from_polys(polygons), cls, fill=True)

    def line(self, points: Iterable[tuple[float, float]], cls: str) -> None:
        """A line through the points."""
        path = Path([(x, self.height - y) for x, y in points])
        self._add(path, cls, fill=False)

    def _add(self, path: Path, cls: str, *, fill: bool) -> None:
        color = COLOR[cls]
        face, edge = (color, "none") if fill else ("none", color)
        patch = PathPatch(path, facecolor=face, edgecolor=edge, transform=IdentityTransform())
        patch.set_snap(False)
        self._figure.add_artist(patch)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        cls: str = "muted",
        *,
        ha: Literal["left", "center", "right"] = "left",
        rotation: float = 0,
    ) -> None:
        """One line of text; what matplotlib would take for mathematics is text, too."""
        self._figure.add_artist(
            Text(
                x,
                self.height - y,
                plain(text),
                color=COLOR[cls],
                fontsize=TEXT_SIZE,
                horizontalalignment=ha,
                verticalalignment="center",
                rotation=rotation,
                rotation_mode="anchor",
                fontfamily="DejaVu Sans",
                parse_math=False,
                usetex=False,
                transform=IdentityTransform(),
            )
        )

    def inner(self) -> str:
        """Its paths and texts, as SVG without the <svg> around."""
        buffer = io.StringIO()
        own: Any = {"svg.fonttype": "none", "path.sketch": None, "path.effects": []}
        with mpl.rc_context(own), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # letters that matplotlib's font lacks, browsers have
            self._figure.savefig(buffer, format="svg")
        return "".join(_kept(Xml.fromstring(buffer.getvalue())))  # noqa: S314  our own text


def _kept(root: Xml.Element) -> Iterable[str]:
    for node in root.iter():
        style = _style(node)
        if node.tag == f"{SPACE}path" and "d" in node.attrib:
            cls = CLASS.get(style.get("fill", ""))
            kind = f"{cls}" if cls else f"{CLASS.get(style.get('stroke', ''), '')} line"
            yield f'<path class="{kind}" d="{_short(node.attrib["d"])}"/>'
        elif node.tag == f"{SPACE}text":
            yield _text(node, style)


def _text(node: Xml.Element, style: dict[str, str]) -> str:
    turned = "rotate(-0 " not in node.attrib.get("transform", "rotate(-0 ")
    names = ("x", "y", "transform") if turned else ("x", "y")
    places = "".join(f' {name}="{_short(node.attrib[name])}"' for name in names)
    anchor = style.get("text-anchor", "start")
    cls = CLASS.get(style.get("fill", ""), "muted")
    return f'<text class="{cls}" text-anchor="{anchor}"{places}>{escape(node.text or "")}</text>'


def _style(node: Xml.Element) -> dict[str, str]:
    pairs = (entry.partition(":") for entry in node.attrib.get("style", "").split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _short(numbers: str) -> str:
    return re.sub(r"\s+", " ", ROUNDED.sub(r"\1", numbers)).strip().replace('"', "")
