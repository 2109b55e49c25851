"""The documentation page: the OpenAPI document as plain HTML, without scripts or network."""

import base64
import hashlib
import html
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem 1.5rem;
  color: #1d2433; background: #fff }
h1 { margin-bottom: 0 } h2 { margin: 2rem 0 .5rem; border-bottom: 1px solid #d5dae3 }
h3 { margin: 1rem 0 .25rem; font-size: 1rem }
details { border: 1px solid #d5dae3; border-radius: .4rem; margin: .5rem 0; padding: .4rem .8rem }
summary { cursor: pointer }
code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: #f4f6fa; padding: .6rem .8rem; overflow-x: auto; border-radius: .3rem }
.method { display: inline-block; min-width: 4.2rem; font-weight: 700; color: #24539c }
.path { font-weight: 600 } .quiet { color: #5b6475 }
table { border-collapse: collapse; width: 100% }
td { padding: .2rem .8rem .2rem 0; vertical-align: top; border-top: 1px solid #e8ebf1 }
td:first-child { width: 17rem }
@media (prefers-color-scheme: dark) {
  body { background: #14181f; color: #e3e7ee } pre { background: #1e242e }
  details, h2, td { border-color: #38414f } .method { color: #8db8f5 } .quiet { color: #9aa4b5 } }
"""
HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY: Final = f"default-src 'none'; style-src 'sha256-{HASH}'; frame-ancestors 'none'"


class PageRenderPlugin(OpenAPIRenderPlugin):
    """Renders the document as one page."""

    def __init__(self) -> None:
        super().__init__(path=["/", "/docs"])

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page."""
        return page(openapi_schema).encode()


def page(document: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    by_tag: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            tag = (operation.get("tags") or ["Other"])[0]
            by_tag.setdefault(tag, []).append(_operation(method, path, operation))
    sections = [f"<h2>{html.escape(tag)}</h2>{''.join(each)}" for tag, each in by_tag.items()]
    schemas = document.get("components", {}).get("schemas", {})
    described = [_schema(name, schema) for name, schema in sorted(schemas.items())]
    title = html.escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1>"
        f"<p>{html.escape(document['info'].get('description') or '')}</p>"
        '<p class="quiet">The same for programs: '
        '<a href="/schema/openapi.json">/schema/openapi.json</a></p>'
        f"{''.join(sections)}<h2>Schemas</h2>{''.join(described)}</body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    about = operation.get("description") or operation.get("summary") or ""
    parameters = [
        (f"{each['name']} ({each['in']})", each.get("description") or _kind(each.get("schema", {})))
        for each in operation.get("parameters", [])
    ]
    answers = [
        (status, f"{answer.get('description', '')} {_names(answer.get('content', {}))}")
        for status, answer in sorted(operation["responses"].items())
    ]
    body = operation.get("requestBody", {}).get("content", {})
    return (
        f'<details><summary><span class="method">{method.upper()}</span> '
        f'<code class="path">{html.escape(path)}</code> '
        f'<span class="quiet">{html.escape(about.partition(chr(10))[0])}</span></summary>'
        f"<p>{html.escape(about)}</p>"
        f"{_table('Parameters', parameters)}"
        f"{_table('Body', [(kind, _names({kind: each})) for kind, each in body.items()])}"
        f"{''.join(_examples(each) for each in body.values())}"
        f"{_table('Answers', answers)}</details>"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = [
        (member, f"{_kind(each)} {each.get('description') or ''}")
        for member, each in schema.get("properties", {}).items()
    ]
    about = html.escape(schema.get("description") or "")
    head = f"<summary><code>{html.escape(name)}</code></summary><p>{about}</p>"
    return f"<details>{head}{_table('Members', rows)}</details>"


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(text)}</td></tr>"
        for name, text in rows
    )
    return f"<h3>{title}</h3><table>{cells}</table>"


def _examples(media: dict[str, Any]) -> str:
    values = [each["value"] for each in media.get("examples", {}).values() if "value" in each]
    shown = [msgspec.json.format(msgspec.json.encode(value)).decode() for value in values[:1]]
    return "".join(f"<h3>Example</h3><pre>{html.escape(text)}</pre>" for text in shown)


def _names(content: dict[str, Any]) -> str:
    return ", ".join(_kind(media.get("schema", {})) for media in content.values())


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    options = schema.get("oneOf") or schema.get("anyOf")
    if options:
        return " or ".join(_kind(each) for each in options)
    if "enum" in schema:
        return "one of " + ", ".join(str(each) for each in schema["enum"])
    kind = schema.get("type", "")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    limits = [f"{word} {schema[key]}" for key, word in LIMITS.items() if key in schema]
    return " ".join([" or ".join(kind) if isinstance(kind, list) else kind, *limits])


LIMITS: Final = {
    "minimum": "from",
    "maximum": "to",
    "minLength": "at least",
    "maxLength": "at most",
}
