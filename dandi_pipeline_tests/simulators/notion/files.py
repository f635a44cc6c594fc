"""Files that Notion keeps are shown by signed addresses, new on every read; here they are made and normalised."""

from datetime import datetime, timedelta
from typing import Any

HOST = "https://prod-files-secure.example"
VALID_FOR = timedelta(hours=1)


def signed(name: str, now: datetime, serial: int) -> dict[str, Any]:
    """Return what the API says of a kept file; another `serial` gives another signature."""
    query = f"X-Amz-Date={now:%Y%m%dT%H%M%SZ}&X-Amz-Expires={int(VALID_FOR.total_seconds())}&X-Amz-Signature={serial:x}"
    expiry = (now + VALID_FOR).strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
    return {"url": f"{HOST}/{name}?{query}", "expiry_time": expiry}


def normalised(document: Any) -> Any:
    """Return a copy of any JSON without what changes on every read, for comparing two reads.

    Of each `{"type": "file", "file": {"url", "expiry_time"}}`, wherever it occurs, the address loses its query
    and `expiry_time` becomes null.
    """
    if isinstance(document, list):
        return [normalised(item) for item in document]
    if not isinstance(document, dict):
        return document
    copied = {key: normalised(value) for key, value in document.items()}
    if copied.get("type") == "file" and isinstance(copied.get("file"), dict):
        copied["file"] = {**copied["file"], "url": copied["file"]["url"].split("?")[0], "expiry_time": None}
    return copied
