"""Lets another process change the archive and read its counters, over the archive's own socket.

| request | does |
|---|---|
| `POST /control/ops` `{"op": "add_asset", "arguments": {…}}` | one operation of `World`; answers the row it returns |
| `GET /control/requests` | the counters (see `traffic`) |
| `POST /control/requests/reset` | starts them anew |
| `GET /control/snapshot[?token=…]` | what a perfect mirror would hold |
| `GET /control/faults` | how often faults struck |
| `POST /control/faults` `{"effect": "status", "status": 503, "times": 2, …}` | puts a fault in force |
| `POST /control/faults/clear` | takes all away |
| `POST /control/manifests` `{"mode": …, "dandiset_id": …, "version": …}` | how bulk copies are served |

What is refused is answered by 400 and `{"detail": …}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from dandi_pipeline_tests.simulators.messages import Reply

from .messages import Request
from .records import Asset, Dandiset, Version, as_instant
from .views import asset_row, listing_row

if TYPE_CHECKING:
    from .server import SimulatedArchive

OPERATIONS = frozenset(
    {
        "add_asset",
        "edit_asset",
        "move_asset",
        "swap_paths",
        "remove_asset",
        "create_dandiset",
        "edit_dandiset",
        "rename_dandiset",
        "delete_dandiset",
        "start_unembargo",
        "finish_unembargo",
        "publish",
        "store_doi",
        "fix_published_version",
        "delete_version",
        "validate_assets",
        "validate_version",
        "summarize_assets",
        "compute_sha256",
        "reopen_zarr",
        "ingest_zarr",
        "rewrite_dandiset",
        "rewrite_version",
        "rewrite_asset",
    }
)
"""The operations of `World` that can be asked for by name; `set_clock` (`{"to": instant}`) is one more."""


class Control:
    """Answers requests under `/control/`."""

    def __init__(self, archive: SimulatedArchive) -> None:
        self._archive = archive
        self._actions: Mapping[tuple[str, str], Callable[[Request, Any], object]] = {
            ("POST", "ops"): self._operate,
            ("GET", "requests"): lambda request, body: archive.requests.counts(),
            ("POST", "requests/reset"): lambda request, body: archive.requests.reset(),
            ("GET", "snapshot"): lambda request, body: archive.world.snapshot(request.query.get("token")),
            ("GET", "faults"): lambda request, body: {"struck": archive.faults.struck()},
            ("POST", "faults"): lambda request, body: archive.faults.add(**body),
            ("POST", "faults/clear"): lambda request, body: archive.faults.clear(),
            ("POST", "manifests"): lambda request, body: archive.manifests.set_mode(**body),
        }

    def answer(self, method: str, request: Request, body: bytes) -> Reply:
        action = self._actions.get((method, request.path.removeprefix("/control/").strip("/")))
        if action is None:
            return Reply(404, orjson.dumps({"detail": f"no control at {method} {request.path}"}))
        try:
            result = action(request, orjson.loads(body) if body else {})
        except (ValueError, TypeError, KeyError) as refusal:
            return Reply(400, orjson.dumps({"detail": str(refusal)}))
        return Reply(200, orjson.dumps(result))

    def _operate(self, request: Request, body: Mapping[str, Any]) -> object:
        operation, arguments = body["op"], body.get("arguments", {})
        if operation == "set_clock":
            self._archive.world.clock.set(as_instant(arguments["to"]))
            return None
        if operation not in OPERATIONS:
            raise ValueError(f"no operation is called {operation!r}")
        return _shown(getattr(self._archive.world, operation)(**arguments))


def _shown(result: object) -> object:
    """The row that an operation returned, as the API would show it."""
    if isinstance(result, tuple):
        return [_shown(item) for item in result]
    if isinstance(result, Asset):
        return asset_row(result)
    if isinstance(result, Dandiset):
        return listing_row(result)
    if isinstance(result, Version):
        return {"version": result.version, "status": result.status, "metadata": result.metadata}
    return result
