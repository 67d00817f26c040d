"""The dashboard: one page that loads nothing else, built from the HTML, CSS and JavaScript files here.

``main.js`` is where the scripts start; ``bundle.py`` joins them.
"""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orchestrator.web.dashboard.bundle import bundle

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class _Page:
    """The response to ``GET /api/dashboard``."""

    html: str
    headers: dict[str, str]


@cache
def page() -> _Page:
    """Return the page. Its policy allows the script and the style inside it, and requests to the API."""
    style = "\n" + _read("style.css")
    script = "\n" + bundle({file.stem: _read(file.name) for file in sorted(_FOLDER.glob("*.js"))})
    html = (
        _read("page.html")
        .replace("<style></style>", f"<style>{style}</style>")
        .replace("<script></script>", f'<script type="module">{script}</script>')
    )
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; script-src {_source(script)}; style-src {_source(style)}"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return _Page(html=html, headers=headers)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _source(content: str) -> str:
    """Return the hash by which a policy allows exactly this content.

    See https://www.w3.org/TR/CSP3/#framework-directive-source-list.
    """
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
