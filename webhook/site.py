"""Where browsers reach us: our origin, our cookies, and what must come from our own pages."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from webhook.problems import NotAllowed

_SAFE = {"GET", "HEAD", "OPTIONS"}


class Site:
    """Our address as people know it. Without PUBLIC_URL it is whatever the request was sent to."""

    def __init__(self, public_url: str | None) -> None:
        self._public = public_url

    def origin(self, request: Request) -> str:
        """Scheme, host and port, such as https://bot.example.org."""
        return self._public or f"{request.url.scheme}://{request.headers.get('host', '')}"

    def cookie(self, request: Request, name: str) -> str | None:
        return request.cookies.get(self._named(request, name))

    def set_cookie(
        self, request: Request, response: Response, name: str, value: str, seconds: int
    ) -> None:
        """A cookie that no script reads and no other site's form or picture sends along."""
        response.set_cookie(
            self._named(request, name),
            value,
            max_age=seconds,
            path="/",
            secure=self._secure(request),
            httponly=True,
            samesite="lax",
        )

    def drop_cookie(self, request: Request, response: Response, name: str) -> None:
        response.delete_cookie(
            self._named(request, name),
            path="/",
            secure=self._secure(request),
            httponly=True,
            samesite="lax",
        )

    def require_own_page(self, request: Request) -> None:
        """Of a request that a cookie speaks for. Raises NotAllowed where a page of others sent it.

        Browsers name the page's origin with every write. Reads may come without one, as by typing
        an address.
        """
        origin = request.headers.get("origin")
        if origin is None and request.method in _SAFE:
            return
        if origin is None or not self._ours(request, origin):
            raise NotAllowed(
                "This was sent by a page of another site, or by none, so it was not done. Please "
                f"use the app at {self.origin(request)}/app/."
            )

    def _ours(self, request: Request, origin: str) -> bool:
        if origin == self._public:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        # A proxy may speak http with us, so that the scheme is only held against an insecure page.
        schemes = {"https"} if self._secure(request) else {"https", "http"}
        return parts.scheme in schemes and parts.netloc == request.headers.get("host")

    def _secure(self, request: Request) -> bool:
        return self.origin(request).startswith("https://")

    def _named(self, request: Request, name: str) -> str:
        # The prefix has the browser refuse it from other hosts and over http.
        return f"__Host-{name}" if self._secure(request) else name
