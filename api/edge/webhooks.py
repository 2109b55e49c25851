"""Where a client may have the end of its task told."""

from api.edge.errors import Invalid, Violation
from domain.picture import TaskOptions
from infra.settings import Settings
from infra.webhooks.targets import Forbidden, target


def allowed(options: TaskOptions, settings: Settings) -> str | None:
    """The address, if one is given; raises `Invalid` unless webhooks may be sent there."""
    if options.webhook_url is not None:
        try:
            target(options.webhook_url, settings.webhook_hosts)
        except Forbidden as error:
            violation = Violation(field="task_options.webhook_url", message=f"must {error}")
            raise Invalid(f"{violation.field} {violation.message}", [violation]) from error
    return options.webhook_url
