"""One request straight into an ASGI application, without a listener."""

from __future__ import annotations

from starlette.applications import Starlette


async def request(
    app: Starlette, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer."""
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
    }
    await app(scope, receive, send)  # type: ignore[arg-type]  # plain dicts are what ASGI passes
    start, *bodies = sent
    answer = {name.decode(): value.decode() for name, value in start["headers"]}  # type: ignore[attr-defined]
    return start["status"], answer, b"".join(body.get("body", b"") for body in bodies)  # type: ignore[misc,return-value]
