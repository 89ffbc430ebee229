"""How `conduit run` writes log records to stderr: lines for people, or JSON for collectors."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec

from conduit.cli.output import messages, say
from conduit.cli.plan import LogFormat, RunPlan
from conduit.cli.problems import debugging
from conduit.sdk.console import StderrHandler, TextFormatter

logger = logging.getLogger("conduit.run")


def configure_logging(log_format: LogFormat) -> None:
    """Send records of INFO and above to stderr; those below only when debugging.

    A job's own DEBUG lines reach every handler, since they are kept with the job.
    """
    handler = StderrHandler()
    handler.setLevel(logging.DEBUG if debugging() else logging.INFO)
    if log_format is LogFormat.JSON:
        handler.setFormatter(JsonFormatter())
    else:
        console = messages()
        coloured = console.is_terminal and not console.no_color
        handler.setFormatter(TextFormatter(coloured=coloured))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it counts what we name
    if debugging():
        logging.getLogger("conduit").setLevel(logging.DEBUG)


def announce(plan: RunPlan, message: str) -> None:
    """Say what a run is doing: as a log record where stderr is JSON, else as it is."""
    if plan.log_format is LogFormat.JSON:
        logger.info(message)
    else:
        say(message)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts, level, logger, message; in a job its job_id."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        from conduit.engine.context import find_current_job

        fields = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        job = find_current_job()
        if job is not None:
            fields["job_id"] = job.job_id
        return msgspec.json.encode(fields).decode()
