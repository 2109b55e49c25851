"""Structured logs of all processes, those of the libraries included."""

import logging
import re
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from infra.settings import LogFormat

# These tell of every connection, request or rebalance at INFO.
QUIET: Final = ("urllib3", "httpx", "httpcore", "asyncio", "multipart", "anny")
# These warn at each try to reach a server that is away, and of much that is no trouble; we warn
# once in an outage (see `infra.outage`).
SILENT: Final = ("kafka", "psycopg.pool", "urllib3.connectionpool")
SECRET: Final = re.compile(
    r"(?P<kept>X-Amz-[A-Za-z-]+=|stream_token=|[Bb]earer |://[^/@\s:]+:)(?P<hidden>[^\s&\"'@]+)"
)


def configure(process: str, form: LogFormat = "auto") -> None:
    """Send all logs of this process to stderr, each line with the process's name."""
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_process(process),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    _route_stdlib(_formatter(as_text, shared))


def _formatter(as_text: bool, shared: list[Processor]) -> logging.Formatter:
    render: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        hide_secrets,
        # Plain tracebacks: the pretty ones print local variables, which hold personal data.
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if as_text
        else structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=render)


def _route_stdlib(formatter: logging.Formatter) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Where no line can be written, as on a full disk, there is no place to say so either.
    logging.raiseExceptions = False


def _name_process(process: str) -> Processor:
    def name(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)  # `up` passes on what its processes say
        return event

    return name


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blank out passwords in URLs, signatures of presigned URLs, and tokens."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = SECRET.sub(r"\g<kept>…", value)
    return event
