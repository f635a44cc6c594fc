"""Asks a simulated workspace over its socket, as any client of Notion would."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any

import requests

from dandi_pipeline_tests.simulators.notion import LATEST, TOKEN, SimulatedNotion

Params = dict[str, Any]


class Asker:
    """One connection's requests, all on one session; paths are relative to the API's URL."""

    def __init__(self, notion: SimulatedNotion, *, token: str | None = TOKEN, version: str | None = LATEST) -> None:
        self._notion = notion
        self._session = requests.Session()
        given = {"Authorization": token and f"Bearer {token}", "Notion-Version": version}
        self._session.headers.update({name: value for name, value in given.items() if value})

    def __enter__(self) -> "Asker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._session.close()

    def get(self, path: str, **params: Any) -> requests.Response:
        return self._session.get(f"{self._notion.api_url}{path}", params=params, timeout=30)

    def shown(self, path: str, **params: Any) -> Any:
        """Return one object without its request id, which every answer has."""
        shown = self.get(path, **params).json()
        assert shown.pop("request_id")
        return shown

    def post(self, path: str, body: object = None) -> requests.Response:
        return self._session.post(f"{self._notion.api_url}{path}", json=body, timeout=30)

    def post_raw(self, path: str, body: bytes) -> requests.Response:
        return self._session.post(f"{self._notion.api_url}{path}", data=body, timeout=30)

    def control(self, path: str, body: object = None) -> Any:
        """Ask the control API: a POST if there is a body, a GET otherwise."""
        url = f"{self._notion.url}/control/{path}"
        answer = self._session.get(url) if body is None else self._session.post(url, json=body)
        return answer.json()

    def query(self, source: str, **body: Any) -> Any:
        """Return one page of a query, which must succeed."""
        answer = self.post(f"/data_sources/{source}/query", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pages(self, source: str, **body: Any) -> Iterator[Any]:
        """Yield every page of a query."""
        page = self.query(source, **body)
        yield page
        while page["has_more"]:
            page = self.query(source, **body, start_cursor=page["next_cursor"])
            yield page

    def found(self, source: str, **body: Any) -> list[str]:
        """Return the ids of all that a query shows, in its order."""
        return [row["id"] for page in self.pages(source, **body) for row in page["results"]]
