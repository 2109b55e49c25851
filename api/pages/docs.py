"""The documentation page: the OpenAPI document as plain HTML, without scripts or network."""

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

STYLE: Final = (resources.files("api.pages") / "docs.css").read_text()
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
    info, schemas = document["info"], document["components"]["schemas"]
    title = html.escape(info["title"])
    described = "".join(_schema(name, each) for name, each in sorted(schemas.items()))
    links = [*(tag["name"] for tag in document["tags"]), "Schemas"]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body><header><h1>{title}</h1>{_prose(info['description'])}"
        '<p class="quiet">The same for programs: '
        '<a href="/schema/openapi.json">/schema/openapi.json</a></p></header>'
        f"<nav>{''.join(_link(name) for name in links)}</nav>"
        f"{''.join(_section(tag, document['paths']) for tag in document['tags'])}"
        f'<section><h2 id="schemas">Schemas</h2>{described}</section></body></html>'
    )


def _link(name: str) -> str:
    return f'<a href="#{_anchor(name)}">{html.escape(name)}</a>'


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _section(tag: dict[str, Any], paths: dict[str, Any]) -> str:
    operations = [
        _operation(method, path, operation)
        for path, item in paths.items()
        for method, operation in item.items()
        if operation["tags"] == [tag["name"]]
    ]
    head = f'<h2 id="{_anchor(tag["name"])}">{html.escape(tag["name"])}</h2>'
    return f"<section>{head}{_prose(tag['description'])}{''.join(operations)}</section>"


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    needs = '<p class="quiet">Needs a token.</p>' if operation.get("security") else ""
    about = operation["description"].partition("\n\n")[2]
    return (
        f'<details><summary><span class="method {method}">{method.upper()}</span>'
        f'<code class="path">{html.escape(path)}</code>'
        f'<span class="quiet">{_inline(operation["summary"])}</span></summary>'
        f"{_prose(about)}{needs}{_table('Parameters', _parameters(operation))}"
        f"{_body(operation)}{_answers(operation['responses'])}</details>"
    )


def _parameters(operation: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            f'<code>{html.escape(each["name"])}</code> <span class="quiet">{each["in"]}</span>',
            f"{_inline(each['description'])}. {_kind(each['schema'])}",
        )
        for each in operation.get("parameters", [])
    ]


def _body(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return ""
    kinds = " or ".join(f"<code>{html.escape(kind)}</code>" for kind in content)
    media = next(iter(content.values()))
    return f"<h3>Body</h3><p>{_kind(media['schema'])} {kinds}</p>{_examples(media)}"


def _answers(responses: dict[str, Any]) -> str:
    """The good ones with their examples, the refusals as a table with theirs folded in."""
    good = "".join(_answer(status, each) for status, each in responses.items() if status < "300")
    refusals = [
        (f"<code>{status}</code>", f"{_inline(each['description'])}{_folded(each)}")
        for status, each in sorted(responses.items())
        if status >= "300"
    ]
    return f"{good}{_table('Refusals', refusals)}"


def _answer(status: str, response: dict[str, Any]) -> str:
    media: dict[str, Any] = next(iter(response.get("content", {}).values()), {})
    kind = _kind(media["schema"]) if media else ""
    about = _prose(response["description"])
    return f"<h3>Answer {status} {kind}</h3>{about}{_headers(response)}{_examples(media)}"


def _headers(response: dict[str, Any]) -> str:
    names = ", ".join(f"<code>{html.escape(name)}</code>" for name in response.get("headers", {}))
    return f'<p class="quiet">With the headers {names}.</p>' if names else ""


def _folded(response: dict[str, Any]) -> str:
    shown = "".join(_examples(media) for media in response.get("content", {}).values())
    return f"<details><summary>Example</summary>{shown}</details>" if shown else ""


def _examples(media: Mapping[str, Any]) -> str:
    return "".join(
        f'<p class="quiet example">{html.escape(each["summary"])}</p>'
        f"<pre>{html.escape(_json(each['value']))}</pre>"
        for each in media.get("examples", {}).values()
    )


def _json(value: object) -> str:
    text = msgspec.json.format(msgspec.json.encode(value)).decode()
    return text if text[0] in "{[" else text.strip('"')


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (f"<code>{html.escape(member)}</code>", _member(each, required=member in required))
        for member, each in schema.get("properties", {}).items()
    ]
    head = f'<summary><code class="path" id="{name}">{html.escape(name)}</code></summary>'
    return f"<details>{head}{_prose(schema['description'])}{_table('Members', rows)}</details>"


def _member(schema: dict[str, Any], *, required: bool) -> str:
    parts = [_kind(schema)]
    if not required and schema.get("default") is not None:
        default = _json(schema["default"]) or "empty"
        parts.append(f"by default <code>{html.escape(default)}</code>")
    if schema.get("description"):
        parts.append(_inline(schema["description"]))
    return ", ".join(parts)


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(f"<tr><td>{name}</td><td>{text}</td></tr>" for name, text in rows)
    return f"<h3>{title}</h3><table>{cells}</table>"


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words, linked to where it is described."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    options = schema.get("oneOf") or schema.get("anyOf")
    if options:
        kind = " or ".join(_kind(each) for each in options)
    elif "enum" in schema:
        return "one of " + ", ".join(f"<code>{html.escape(str(e))}</code>" for e in schema["enum"])
    elif schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    else:
        kind = "a file" if schema.get("format") == "binary" else str(schema.get("type", ""))
    return kind + _limits(schema)


def _limits(schema: dict[str, Any]) -> str:
    for least, most, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
    ):
        match schema.get(least), schema.get(most):
            case None, None:
                continue
            case low, None:
                return f" of at least {low:.10g}{unit}"
            case None, high:
                return f" of at most {high:.10g}{unit}"
            case low, high:
                return f" from {low:.10g} to {high:.10g}{unit}"
    return ""


def _prose(text: str) -> str:
    """Paragraphs; one that is indented is shown as it is."""
    return "".join(
        f"<pre>{html.escape(part)}</pre>" if part.startswith("    ") else f"<p>{_inline(part)}</p>"
        for part in text.split("\n\n")
        if part.strip()
    )


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
