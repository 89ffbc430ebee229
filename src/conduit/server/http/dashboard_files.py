"""The dashboard: the files of its bundle, read once and kept in memory.

No path of a request ever becomes a path of a file: what is asked for is looked up among the files
that were there when the server started. Every other path is a page of the dashboard's own, which
is `index.html` again.
"""

from __future__ import annotations

import base64
import hashlib
import html
import secrets
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from conduit.server.http.dependencies import parts_of

BUNDLE = Path(__file__).parents[1] / "dashboard"
"""Where the package's build puts the bundle (`hatch_build.py`)."""

_INDEX = "/index.html"
_NONCE = '<meta name="csp-nonce" content="'
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""In the order of liking. The build writes these beside the files that gain by them."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; "
    "img-src 'self' blob: data:; font-src 'self'; connect-src 'self'; media-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class File(Struct, frozen=True):
    """A file of the bundle, as it is and compressed."""

    body: bytes
    media_type: str
    etag: str
    encoded: dict[str, bytes]

    def answer(self, request: Request, *, immutable: bool) -> Response:
        """The file, or that it is what the browser has already."""
        lasting = "public, max-age=31536000, immutable" if immutable else "no-cache"
        headers = {"Cache-Control": lasting, "ETag": self.etag, "Vary": "Accept-Encoding"}
        if _has(request, self.etag):
            return Response(status_code=304, headers=headers)
        encoding = next((name for name in self.encoded if _accepts(request, name)), None)
        if encoding is None:
            return Response(self.body, media_type=self.media_type, headers=headers)
        headers["Content-Encoding"] = encoding
        return Response(self.encoded[encoding], media_type=self.media_type, headers=headers)


def answer(request: Request) -> Response:
    """What stands at the request's path: a file, a page of the dashboard, or how to build it."""
    files = bundle(BUNDLE)
    if _INDEX not in files:
        return _missing(BUNDLE, for_strangers=parts_of(request).access.keys_required)
    path = request.url.path
    if (file := files.get(path)) is not None and path != _INDEX:
        return file.answer(request, immutable=path.startswith("/assets/"))
    if path.startswith("/assets/"):
        raise HTTPException(404, "there is no such file; the dashboard may have been updated")
    return _index(files[_INDEX])


@cache
def bundle(folder: Path) -> Mapping[str, File]:
    """The files of a bundle by their paths in URLs; none where there is no whole bundle."""
    if not (folder / "stamp").is_file():
        return {}
    found = [path for path in folder.rglob("*") if path.suffix in _MEDIA_TYPES]
    return {f"/{path.relative_to(folder).as_posix()}": _read(path) for path in found}


def _read(path: Path) -> File:
    body = path.read_bytes()
    beside = {name: path.with_name(path.name + end) for name, end in _ENCODINGS.items()}
    return File(
        body=body,
        media_type=_MEDIA_TYPES[path.suffix],
        etag=f'W/"{hashlib.sha256(body).hexdigest()[:32]}"',
        encoded={name: each.read_bytes() for name, each in beside.items() if each.is_file()},
    )


def _index(file: File) -> Response:
    """The first page, with a nonce of its own for style sheets that scripts add; so never cached.

    Dialogs add one, which keeps the page behind them from scrolling. The alternative would be to
    allow all inline styles.
    """
    nonce = secrets.token_urlsafe(16)
    body = file.body.replace(_NONCE.encode(), f"{_NONCE}{nonce}".encode(), 1)
    headers = {
        "Content-Security-Policy": _POLICY.format(nonce=nonce),
        "Cache-Control": "no-cache, no-store",
    }
    return Response(body, media_type=file.media_type, headers=headers)


def _has(request: Request, etag: str) -> bool:
    given = [each.strip() for each in request.headers.get("if-none-match", "").split(",")]
    return "*" in given or etag.removeprefix("W/") in [each.removeprefix("W/") for each in given]


def _accepts(request: Request, encoding: str) -> bool:
    for each in request.headers.get("accept-encoding", "").split(","):
        name, _, quality = each.partition(";")
        if name.strip().lower() == encoding:
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


# --- without a bundle --------------------------------------------------------------------------

_STYLE = """\
body{font:16px/1.6 system-ui,sans-serif;max-width:40rem;margin:15vh auto;padding:0 1.5rem;\
color:#222;background:#fafafa}
code,pre{background:#eee;padding:.1em .3em;border-radius:.2em}
pre{padding:1em;overflow:auto;font-size:.8em}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}\
code,pre{background:#2a2a2a}a{color:#8ab4f8}}"""

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Conduit</title>
<style>STYLE</style>
<h1>Conduit</h1>
<p>The server is running. Its dashboard hasn't been built: run <code>make dashboard</code> in the
folder that Conduit was installed from, then start the server again.
REASON
<ul>
<li>the API is at <code>/api/v1</code>, described by
<a href="/api/v1/openapi.json">openapi.json</a>
<li><a href="/api/v1/ready">whether its stores answer</a>
</ul>
</html>
"""

_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}


def _missing(folder: Path, *, for_strangers: bool) -> Response:
    """How to build the dashboard, and why the installation didn't; strangers aren't told that."""
    note = folder / "failure.txt"
    if not note.is_file():
        shown = ""
    elif for_strangers:
        shown = "<p>Why not is told by <code>conduit/server/dashboard/failure.txt</code> there."
    else:
        reason = note.read_text(encoding="utf-8", errors="replace")
        shown = f"<p>The last attempt ended with:\n<pre>{html.escape(reason)}</pre>"
    page = _PAGE.replace("STYLE", _STYLE).replace("REASON", shown)
    return Response(page, media_type="text/html; charset=utf-8", headers=_HEADERS)
