"""A rule and a notice into its delivery: to a webhook, a program or the desktop."""

from kerneld import __version__
from kerneld.model.notices import NotifyRule, WebhookFormat
from kerneld.notify.outcome import Outcome
from kerneld.notify.program import desktop_argv, run
from kerneld.notify.webhook import post
from kerneld.outputs.notice import (
    Notice,
    as_json,
    as_markup,
    as_slack,
    ntfy_body,
    ntfy_headers,
    variables,
)


def deliver(rule: NotifyRule, told: Notice) -> Outcome:
    """Blocks until it is taken, refused, or late."""
    if rule.webhook is not None:
        return _to_webhook(rule.webhook.get_secret_value(), rule.format, told)
    if rule.command:
        return run(rule.command, as_json(told) + "\n", variables(told))
    argv = desktop_argv(told.title, as_markup(told.text))
    if argv is None:
        return Outcome("neither notify-send nor busctl is here to show it")
    return run(argv, "", {})


def _to_webhook(url: str, form: WebhookFormat, told: Notice) -> Outcome:
    headers = {"User-Agent": f"kerneld/{__version__}", "Idempotency-Key": told.key}
    if form is WebhookFormat.NTFY:
        headers |= {"Content-Type": "text/plain; charset=utf-8"} | ntfy_headers(told)
        return post(url, ntfy_body(told), headers)
    body = as_slack(told) if form is WebhookFormat.SLACK else as_json(told)
    return post(url, body.encode(), headers | {"Content-Type": "application/json"})
