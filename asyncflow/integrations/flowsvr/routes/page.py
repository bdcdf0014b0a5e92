"""The page /docs: the document for people, made here, of nothing that comes from elsewhere."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
pre{{background:#f4f4f4;padding:.5rem;overflow:auto}} summary{{cursor:pointer}} code{{font-size:90%}}
</style><h1>{title}</h1><p>{text}</p><p><a href="openapi.json">openapi.json</a></p>
"""


def page_route(document: Callable[[], dict[str, Any]]) -> Route:
    """Return the route of the page, which is made once."""
    made: list[str] = []

    async def page(_: Request) -> HTMLResponse:
        if not made:
            made.append(_page_of(document()))
        return HTMLResponse(made[0])

    return Route("/docs", page, include_in_schema=False)


def _page_of(document: dict[str, Any]) -> str:
    info = document["info"]
    head = _HEAD.format(title=html.escape(info["title"]), text=html.escape(info.get("description", "")))
    return head + "".join(_operations(document)) + "<h2>Schemas</h2>" + "".join(_schemas(document))


def _operations(document: dict[str, Any]) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name, text = operation["operationId"], operation.get("description", "")
            yield f'<h2 id="{name}"><code>{method.upper()} {html.escape(path)}</code></h2><p>{html.escape(text)}</p>'
            yield _details("Parameters", operation.get("parameters"))
            yield _details("Body", operation.get("requestBody"))
            answers = {status: answer["description"] for status, answer in operation["responses"].items()}
            yield _details("Answers", answers)


def _schemas(document: dict[str, Any]) -> Iterator[str]:
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        yield _details(name, schema)


def _details(name: str, content: Any) -> str:
    if not content:
        return ""
    text = html.escape(json.dumps(content, indent=2, ensure_ascii=False))
    return f"<details><summary>{html.escape(name)}</summary><pre>{text}</pre></details>"
