"""The change feed that webhooks keep, which clients may poll: the only answer of the API that tells deletions.

What is recomputed is not told, nor are changes of links that follow from a deletion elsewhere.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from .instants import spelled
from .model import Base, Cell, Field, Record, Table, Transaction, Webhook

LIFE = timedelta(days=7)
"""How long a webhook lives after it was made, refreshed or read, and how long its payloads are kept."""
GRACE = timedelta(days=7)
"""How long past payloads stay readable after that."""
PAYLOADS_PER_CALL = 50


def created(table: Table, record: Record) -> dict[str, Any]:
    """Return how a feed tells a new record."""
    return {"createdTime": spelled(record.created), "cellValuesByFieldId": _told(table, record.cells)}


def changed(table: Table, before: Mapping[str, Cell], after: Mapping[str, Cell]) -> dict[str, Any]:
    """Return how a feed tells an edit: the cells that differ, as they are and as they were; null for empty."""
    differing = [field_id for field_id in {**before, **after} if before.get(field_id) != after.get(field_id)]
    return {
        "current": {"cellValuesByFieldId": _told(table, {key: after.get(key) for key in differing})},
        "previous": {"cellValuesByFieldId": _told(table, {key: before.get(key) for key in differing})},
    }


def payloads(base: Base, webhook: Webhook, *, now: datetime, cursor: int, limit: int) -> dict[str, Any]:
    """Return the page of a webhook's payloads from a cursor on; payloads too old are passed over.

    The numbering of payloads, from 1, is never reset. An expired webhook tells nothing newer than its expiry.
    """
    told = [
        transaction
        for transaction in base.transactions
        if transaction.number > webhook.after
        and webhook.scope in (None, transaction.table_id)
        and transaction.at <= webhook.expires
    ]
    numbered = [(number, item) for number, item in enumerate(told, 1) if number >= cursor and item.at > now - LIFE]
    page = numbered[:limit]
    return {
        "cursor": page[-1][0] + 1 if page else max(cursor, len(told) + 1),
        "mightHaveMore": len(numbered) > len(page),
        "payloads": [_payload(transaction) for _, transaction in page],
    }


def _payload(transaction: Transaction) -> dict[str, Any]:
    return {
        "timestamp": spelled(transaction.at),
        "baseTransactionNumber": transaction.number,
        "payloadFormat": "v0",
        "actionMetadata": {"source": "client", "sourceMetadata": {"user": {"id": transaction.user_id}}},
        "changedTablesById": {transaction.table_id: transaction.change},
    }


def _told(table: Table, cells: Mapping[str, Cell]) -> dict[str, Cell]:
    return {field_id: _told_cell(table.fields[field_id], value) for field_id, value in cells.items()}


def _told_cell(field: Field, value: Cell) -> Cell:
    """Return a cell as feeds spell it: the choices of selects whole, where records give their names only."""
    choices = {choice["name"]: choice for choice in field.options.get("choices", ())}
    if field.type == "singleSelect" and value is not None:
        return choices.get(value, {"name": value})
    if field.type == "multipleSelects" and value is not None:
        return [choices.get(name, {"name": name}) for name in value]
    return value
