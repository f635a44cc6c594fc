"""The endpoints of the API: which addresses there are, who may read what, and what is answered."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from zlib import crc32

import orjson

from dandi_pipeline_tests.simulators.messages import GZIP_FROM, HTML, Reply

from .messages import NOT_FOUND_PAGE, Rejection, Request, not_found
from .paging import counted_page, lazy_page, page_size
from .records import OPEN, VERSION_PATTERN, Asset, Dandiset, User, Version
from .views import asset_row, dandiset_detail, full_asset_row, listing_row, version_info, version_row
from .world import World

Captured = Mapping[str, str]
Row = TypeVar("Row", Asset, Dandiset, Version)

_TRUE, _FALSE = {"t", "y", "yes", "true", "on", "1"}, {"f", "n", "no", "false", "off", "0"}
_EMBARGOED_LISTING = "Authentication credentials must be provided when attempting to access embargoed dandisets"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="api"'}
_DANDISET_ORDERS: Mapping[str, Callable[[Dandiset], Any]] = {
    "id": lambda dandiset: dandiset.identifier,
    "name": lambda dandiset: _newest(dandiset).name,
    "modified": lambda dandiset: _newest(dandiset).modified,
    "size": lambda dandiset: _newest(dandiset).size,
    "stars": lambda dandiset: 0,
    "created": lambda dandiset: dandiset.created,
}
"""What `ordering` understands; each looks at the version created last, so not at a published one's draft."""
_ASSET_ORDERS: Mapping[str, Callable[[Asset], Any]] = {
    "created": lambda asset: asset.created,
    "modified": lambda asset: asset.modified,
    "path": lambda asset: asset.path,
}
_VERSION_ORDERS: Mapping[str, Callable[[Version], Any]] = {"created": lambda version: version.created}


@dataclass(frozen=True)
class _Route:
    kind: str
    pattern: re.Pattern[str]
    allow: str
    answer: Callable[["Api", Request, Captured, User | None], Reply]


class Api:
    """Answers requests from a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def answer(self, request: Request) -> Reply:
        """Answer a request from one state of the world."""
        route, captured = _find(request)
        if route is None:
            return _no_such_address(request)
        with self.world.lock:
            return self._answer(route, request, captured)

    def _answer(self, route: _Route, request: Request, captured: Captured) -> Reply:
        user: User | None = None
        try:
            user = self._user(request)
            reply = route.answer(self, request, captured, user)
        except Rejection as rejection:
            reply = rejection.reply
        encodings = "Accept-Encoding, " if len(reply.body) >= GZIP_FROM else ""
        headers = {
            **reply.headers,
            "Vary": f"Accept, Cookie, {encodings}origin",
            "Allow": route.allow,
            "X-Frame-Options": "DENY",
            "X-Request-Username": user.name if user else "AnonymousUser",
        }
        return replace(reply, headers=headers)

    def _user(self, request: Request) -> User | None:
        token = request.token
        if token is None:
            return None
        if token not in self.world.users:
            raise Rejection(401, {"detail": "Invalid token."}, _CHALLENGE)
        return self.world.users[token]

    # Finding what an address names

    def _dandiset(self, captured: Captured, user: User | None) -> Dandiset:
        dandiset = self.world.dandisets.get(captured["dandiset"])
        if dandiset is None:
            raise not_found()
        if dandiset.embargo_status != OPEN:
            self._require_sight(user, dandiset.identifier)
        return dandiset

    def _version(self, captured: Captured, user: User | None) -> tuple[Dandiset, Version]:
        dandiset = self._dandiset(captured, user)
        if captured["version"] not in dandiset.versions:
            raise not_found()
        return dandiset, dandiset.versions[captured["version"]]

    def _asset(self, captured: Captured, user: User | None) -> Asset:
        asset = self.world.assets.get(captured["asset"])
        if asset is None:
            raise not_found()
        if asset.embargoed:
            self._require_sight(user, asset.dandiset_id)
        return asset

    def _require_sight(self, user: User | None, dandiset_id: str) -> None:
        if user is None:
            raise Rejection(401, {"detail": "Authentication credentials were not provided."}, _CHALLENGE)
        if not self.world.sees(user, dandiset_id):
            raise Rejection(403, {"detail": "You do not have permission to perform this action."})

    # Endpoints

    def info(self, request: Request, captured: Captured, user: User | None) -> Reply:
        site = f"http://{request.headers.get('host', '')}"
        return Reply(200, orjson.dumps(_info(site)))

    def list_dandisets(self, request: Request, captured: Captured, user: User | None) -> Reply:
        listed = self._readable(request, user)
        if not _flag(request, "draft", default=True):
            listed = [dandiset for dandiset in listed if len(dandiset.versions) > 1]
        if not _flag(request, "empty", default=True):
            listed = [dandiset for dandiset in listed if _newest(dandiset).assets]
        if _only_mine(request):
            listed = [dandiset for dandiset in listed if user and user.name in dandiset.owners]
        for word in request.query.get("search", "").lower().split():
            listed = [dandiset for dandiset in listed if _mentions(dandiset, word)]
        ordering = request.query.get("ordering", "created")
        known = ordering if ordering.removeprefix("-") in _DANDISET_ORDERS else "created"
        return counted_page(request, _sorted(listed, known, _DANDISET_ORDERS), self._listing_row)

    def _readable(self, request: Request, user: User | None) -> list[Dandiset]:
        """Open dandisets, and with `embargoed=true` those that the user may see besides."""
        embargoed = _flag(request, "embargoed", default=False)
        if embargoed and user is None:
            raise Rejection(401, _EMBARGOED_LISTING)
        return [
            dandiset
            for dandiset in self.world.dandisets.values()
            if dandiset.embargo_status == OPEN or (embargoed and self.world.sees(user, dandiset.identifier))
        ]

    def _listing_row(self, dandiset: Dandiset) -> bytes:
        return self.world.derived(("listing row", dandiset.identifier), lambda: orjson.dumps(listing_row(dandiset)))

    def show_dandiset(self, request: Request, captured: Captured, user: User | None) -> Reply:
        return Reply(200, orjson.dumps(dandiset_detail(self._dandiset(captured, user))))

    def list_versions(self, request: Request, captured: Captured, user: User | None) -> Reply:
        dandiset = self._dandiset(captured, user)
        order = _order(request, _VERSION_ORDERS)
        listed = _sorted(list(dandiset.versions.values()), order, _VERSION_ORDERS)
        return counted_page(request, listed, lambda version: orjson.dumps(version_row(dandiset, version)))

    def show_version(self, request: Request, captured: Captured, user: User | None) -> Reply:
        return Reply(200, orjson.dumps(self._version(captured, user)[1].metadata))

    def show_version_info(self, request: Request, captured: Captured, user: User | None) -> Reply:
        return Reply(200, orjson.dumps(version_info(*self._version(captured, user))))

    def list_assets(self, request: Request, captured: Captured, user: User | None) -> Reply:
        dandiset, version = self._version(captured, user)
        full = _flag(request, "metadata", default=False)
        order = _order(request, _ASSET_ORDERS)
        ties = "" if "path" in order else f"{request.query.get('page', '1')} of {page_size(request)}"
        rows = self.world.derived(
            ("assets", dandiset.identifier, version.version, order, ties),
            lambda: _sorted(_in_no_order(version.assets.values(), ties), order, _ASSET_ORDERS),
        )
        return lazy_page(request, _filtered(request, version, rows), full_asset_row if full else self._bare_row)

    def _bare_row(self, asset: Asset) -> bytes:
        return self.world.derived(("bare row", asset.asset_id), lambda: orjson.dumps(asset_row(asset)))

    def show_asset(self, request: Request, captured: Captured, user: User | None) -> Reply:
        """Also the nested form, which minds neither the dandiset nor the version that it names."""
        if "dandiset" in captured:
            self._version(captured, user)
        return Reply(200, self._asset(captured, user).metadata_json)

    def show_asset_info(self, request: Request, captured: Captured, user: User | None) -> Reply:
        if "dandiset" in captured:
            self._version(captured, user)
        return Reply(200, full_asset_row(self._asset(captured, user)))


def _route(kind: str, pattern: str, allow: str, answer: Callable[..., Reply]) -> _Route:
    return _Route(kind, re.compile(f"/api/{pattern}"), allow, answer)


_DANDISET = r"dandisets/(?P<dandiset>\d{6})/"
_VERSION = rf"{_DANDISET}versions/(?P<version>{VERSION_PATTERN})/"
_ASSET = r"assets/(?P<asset>[0-9a-f-]{36})/"
_ROUTES = (
    _route("info", "info/", "OPTIONS, GET", Api.info),
    _route("dandisets", "dandisets/", "GET, POST, HEAD, OPTIONS", Api.list_dandisets),
    _route("dandiset", _DANDISET, "GET, DELETE, HEAD, OPTIONS", Api.show_dandiset),
    _route("versions", f"{_DANDISET}versions/", "GET, HEAD, OPTIONS", Api.list_versions),
    _route("version", _VERSION, "GET, PUT, DELETE, HEAD, OPTIONS", Api.show_version),
    _route("version_info", f"{_VERSION}info/", "GET, HEAD, OPTIONS", Api.show_version_info),
    _route("assets", f"{_VERSION}assets/", "GET, POST, HEAD, OPTIONS", Api.list_assets),
    _route("asset", f"{_VERSION}{_ASSET}", "GET, PUT, DELETE, HEAD, OPTIONS", Api.show_asset),
    _route("asset_info", f"{_VERSION}{_ASSET}info/", "GET, HEAD, OPTIONS", Api.show_asset_info),
    _route("asset", _ASSET, "GET, HEAD, OPTIONS", Api.show_asset),
    _route("asset_info", f"{_ASSET}info/", "GET, HEAD, OPTIONS", Api.show_asset_info),
)


def meaning(request: Request) -> tuple[str, dict[str, str]]:
    """Return the kind of a request and its parameters: what its path names, and its query.

    The kinds are those of the routes, but `assets_full` and `assets_bare` for pages of assets with and without
    metadata, which cost the server very differently; what is no address of the API is `unknown`.
    """
    route, captured = _find(request)
    kind = route.kind if route else "unknown"
    if kind == "assets":
        kind = "assets_full" if request.query.get("metadata", "").lower() in _TRUE else "assets_bare"
    return kind, {**captured, **request.query}


def _find(request: Request) -> tuple[_Route | None, Captured]:
    for route in _ROUTES:
        if found := route.pattern.fullmatch(request.path):
            return route, found.groupdict()
    return None, {}


def _no_such_address(request: Request) -> Reply:
    if any(route.pattern.fullmatch(f"{request.path}/") for route in _ROUTES):
        headers = {"Location": f"{request.path}/", "Vary": "Cookie, origin"}
        return Reply(301, b"", HTML, headers | {"Transfer-Encoding": "chunked"})
    headers = {
        "X-Frame-Options": "DENY",
        "X-Request-Username": "AnonymousUser",
        "Vary": "Cookie, origin",
    }
    return Reply(404, NOT_FOUND_PAGE, HTML, headers)


def _flag(request: Request, name: str, *, default: bool) -> bool:
    asked = request.query.get(name)
    if asked is None:
        return default
    if asked.lower() not in _TRUE | _FALSE:
        raise Rejection(400, {name: ["Must be a valid boolean."]})
    return asked.lower() in _TRUE


def _order(request: Request, known: Mapping[str, Callable[[Row], Any]]) -> str:
    """Return the `order` asked for, or refuse it; unlike `ordering`, which is ignored when unknown."""
    asked = request.query.get("order") or "created"
    for name in asked.split(","):
        if name.removeprefix("-") not in known:
            message = f"Select a valid choice. {name} is not one of the available choices."
            raise Rejection(400, {"order": [message]})
    return asked


def _sorted(rows: list[Row], order: str, known: Mapping[str, Callable[[Row], Any]]) -> list[Row]:
    for name in reversed(order.split(",")):
        rows = sorted(rows, key=known[name.removeprefix("-")], reverse=name.startswith("-"))
    return rows


def _in_no_order(assets: Iterable[Asset], ties: str) -> list[Asset]:
    """Return assets so that those which tie in an order come in another one on each page.

    The server adds no key of its own to `order` (api/views/asset.py), and PostgreSQL shows equal rows as the plan for
    each LIMIT and OFFSET happens to find them.
    """
    if not ties:
        return list(assets)
    return sorted(assets, key=lambda asset: crc32(f"{ties} {asset.asset_id}".encode()))


def _filtered(request: Request, version: Version, rows: list[Asset]) -> list[Asset]:
    """Apply `path` (exactly, else as a prefix), `glob` and `zarr`."""
    path, glob = request.query.get("path"), request.query.get("glob")
    if path and path in version.assets:
        rows = [version.assets[path]]
    elif path:
        rows = [asset for asset in rows if asset.path.lower().startswith(path.lower())]
    if glob:
        pattern = re.compile(".*".join(map(re.escape, glob.split("*"))), re.IGNORECASE | re.DOTALL)
        rows = [asset for asset in rows if pattern.fullmatch(asset.path)]
    if _flag(request, "zarr", default=False):
        rows = [asset for asset in rows if asset.zarr]
    return rows


def _newest(dandiset: Dandiset) -> Version:
    """The version created last: a published one as soon as there is any."""
    return dandiset.most_recent_published or dandiset.draft


def _only_mine(request: Request) -> bool:
    asked = request.query.get("user")
    if asked not in (None, "me"):
        raise Rejection(400, {"user": [f'"{asked}" is not a valid choice.']})
    return asked == "me"


def _mentions(dandiset: Dandiset, word: str) -> bool:
    """Whether any version's metadata has the word; search operators (`key:value`) are not understood."""
    return any(word in orjson.dumps(version.metadata).decode().lower() for version in dandiset.versions.values())


def _info(site: str) -> dict[str, Any]:
    return {
        "instance_config": {
            "instance_name": "DANDI",
            "instance_identifier": "RRID:SCR_017571",
            "instance_url": f"{site}/",
            "doi_prefix": "10.48324",
            "licenses": ["spdx:CC0-1.0", "spdx:CC-BY-4.0"],
        },
        "schema_version": "0.7.0",
        "schema_url": f"{site}/api/schemas/?model=Dandiset",
        "allowed_schema_versions": [
            "0.4.4",
            "0.5.1",
            "0.5.2",
            *(f"0.6.{minor}" for minor in range(11)),
            "0.7.0",
        ],
        "version": "1.0.0",
        "services": {
            "api": {"url": f"{site}/api"},
            "webui": {"url": site},
            "jupyterhub": {"url": f"{site}/hub"},
        },
        "cli-minimal-version": "0.74.0",
        "cli-requires-python": ">=3.10",
        "cli-bad-versions": [],
    }
