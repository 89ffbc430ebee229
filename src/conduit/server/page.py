"""What stands at `/` while this build has no dashboard: one page, kept in memory.

No path of a request ever becomes a path of a file.
"""

from __future__ import annotations

import base64
import hashlib

from starlette.responses import Response

_STYLE = """\
body{font:16px/1.6 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1.5rem;\
color:#222;background:#fafafa}
code{background:#eee;padding:.1em .3em;border-radius:.2em}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}code{background:#2a2a2a}\
a{color:#8ab4f8}}"""

_PAGE = f"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Conduit</title>
<style>{_STYLE}</style>
<h1>Conduit</h1>
<p>The server is running. There is no dashboard in this build.
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


def page() -> Response:
    """The page."""
    return Response(_PAGE, media_type="text/html; charset=utf-8", headers=_HEADERS)
