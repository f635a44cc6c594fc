"""The endpoints of webhooks, which clients may poll for their payloads; nothing is ever sent out by itself."""

import base64
from collections.abc import Mapping
from typing import Any

from .feed import GRACE, LIFE, PAYLOADS_PER_CALL, payloads
from .instants import spelled
from .model import Base, Webhook
from .refusals import Refusal, invalid
from .world import World

MOST_WEBHOOKS = 10
"""How many a base may have."""


def create_webhook(world: World, base: Base, body: Mapping[str, Any]) -> dict[str, Any]:
    """Subscribe to a base, or to one of its tables if the filters name it."""
    if len(base.webhooks) >= MOST_WEBHOOKS:
        raise Refusal(422, "TOO_MANY_WEBHOOKS_IN_BASE", f"A base has at most {MOST_WEBHOOKS} webhooks")
    scope = _scope(base, body)
    webhook = Webhook(world.new_id("ach"), scope, len(base.transactions), world.clock.now() + LIFE)
    base.webhooks[webhook.id] = webhook
    secret = base64.b64encode(world.random.randbytes(32)).decode()
    return {"id": webhook.id, "macSecretBase64": secret, "expirationTime": spelled(webhook.expires)}


def list_webhooks(world: World, base: Base) -> dict[str, Any]:
    """Return the webhooks that can still be read."""
    return {"webhooks": [_row(world, base, webhook) for webhook in base.webhooks.values() if _lasts(world, webhook)]}


def list_payloads(world: World, base: Base, webhook_id: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of what a webhook tells; reading it makes it live longer."""
    webhook = _webhook(world, base, webhook_id)
    cursor, limit = _positive(query, "cursor", 1), _positive(query, "limit", PAYLOADS_PER_CALL)
    _extend(world, webhook)
    return payloads(base, webhook, now=world.clock.now(), cursor=cursor, limit=min(limit, PAYLOADS_PER_CALL))


def refresh_webhook(world: World, base: Base, webhook_id: str) -> dict[str, Any]:
    """Make a webhook live longer."""
    webhook = _webhook(world, base, webhook_id)
    _extend(world, webhook)
    return {"expirationTime": spelled(webhook.expires)}


def delete_webhook(world: World, base: Base, webhook_id: str) -> dict[str, Any]:
    """End a subscription."""
    del base.webhooks[_webhook(world, base, webhook_id).id]
    return {}


def _scope(base: Base, body: Mapping[str, Any]) -> str | None:
    try:
        filters = body["specification"]["options"]["filters"]
        data_types, scope = filters["dataTypes"], filters.get("recordChangeScope")
    except (KeyError, TypeError, AttributeError):
        raise invalid("specification.options.filters.dataTypes is missing") from None
    if "tableData" not in data_types:
        raise invalid("dataTypes: only tableData is simulated")
    if scope is not None and scope not in base.tables:
        raise invalid(f"recordChangeScope: there is no table {scope!r}")
    return None if scope is None else str(scope)


def _webhook(world: World, base: Base, webhook_id: str) -> Webhook:
    webhook = base.webhooks.get(webhook_id)
    if webhook is None or not _lasts(world, webhook):
        raise Refusal(404, "NOT_FOUND", shape="typed")
    return webhook


def _lasts(world: World, webhook: Webhook) -> bool:
    return world.clock.now() <= webhook.expires + GRACE


def _extend(world: World, webhook: Webhook) -> None:
    """An expired webhook stays expired: only its past payloads can be read."""
    if world.clock.now() <= webhook.expires:
        webhook.expires = world.clock.now() + LIFE


def _positive(query: Mapping[str, str], name: str, otherwise: int) -> int:
    value = query.get(name, str(otherwise))
    if not value.isdecimal() or int(value) < 1:
        raise invalid(f"{name} must be a positive number")
    return int(value)


def _row(world: World, base: Base, webhook: Webhook) -> dict[str, Any]:
    scope = {"recordChangeScope": webhook.scope} if webhook.scope else {}
    told = payloads(base, webhook, now=world.clock.now(), cursor=1, limit=len(base.transactions) + 1)
    return {
        "id": webhook.id,
        "specification": {"options": {"filters": {"dataTypes": ["tableData"], **scope}}},
        "areNotificationsEnabled": False,
        "isHookEnabled": world.clock.now() <= webhook.expires,
        "cursorForNextPayload": told["cursor"],
        "expirationTime": spelled(webhook.expires),
        "notificationUrl": None,
        "lastNotificationResult": None,
        "lastSuccessfulNotificationTime": None,
    }
