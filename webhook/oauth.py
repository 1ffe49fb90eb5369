"""GitHub's side of signing in: where people are sent, and what their code and tokens are worth.

Sources:
- https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
- https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
"""

import base64
import hashlib
import re
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

import httpx

from webhook.problems import GitHubFailed, GrantRefused, Unavailable

_NAME = re.compile(r"[a-z_]{1,60}")
_REFUSED = {
    "bad_verification_code": "GitHub does not take this sign-in any more. Please sign in again.",
    "bad_refresh_token": "GitHub does not renew this sign-in any more. Please sign in again.",
    "unverified_user_email": "GitHub lets nobody sign in here who has not verified their email "
    "address. Please do so at GitHub, then sign in again.",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """A person's tokens. Where they do not expire there is nothing to renew them with."""

    token: str = field(repr=False)
    expires_at: float | None  # seconds since the epoch
    refresh_token: str | None = field(repr=False)


def challenge_of(verifier: str) -> str:
    """PKCE's S256: what is shown at first of the secret that is shown in the end (RFC 7636)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class OAuth:
    """This App's client at GitHub. The secret goes there and nowhere else."""

    def __init__(self, url: str, api_url: str, client_id: str, client_secret: str) -> None:
        self._url = url
        self._api_url = api_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(10, connect=5),
            headers={"Accept": "application/json", "User-Agent": "cloud-vibecoder"},
        )

    async def close(self) -> None:
        await self._http.aclose()

    def page(self, *, back: str, state: str, verifier: str, choose: bool) -> str:
        """Where a person says yes. `choose`: GitHub asks in any case, also whoever said so before.

        https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
        """
        values = {
            "client_id": self._client_id,
            "redirect_uri": back,
            "state": state,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        if choose:
            values["prompt"] = "select_account"
        return f"{self._url}/login/oauth/authorize?{urlencode(values)}"

    async def exchange(self, code: str, verifier: str, back: str) -> Grant:
        """The tokens for a code. Raises GrantRefused, GitHubFailed, Unavailable."""
        return await self._ask(code=code, code_verifier=verifier, redirect_uri=back)

    async def renew(self, refresh_token: str) -> Grant:
        """New tokens; the old ones end with it. Raises GrantRefused, GitHubFailed, Unavailable.

        After an answer that got lost it may be asked again: GrantRefused then tells that the first
        time counted.
        """
        return await self._ask(grant_type="refresh_token", refresh_token=refresh_token)

    async def revoke(self, token: str) -> None:
        """Ends a token at GitHub. Raises Unavailable where it can't be reached.

        https://docs.github.com/rest/apps/oauth-applications#delete-an-app-token
        """
        try:
            await self._http.request(
                "DELETE",
                f"{self._api_url}/applications/{self._client_id}/token",
                auth=httpx.BasicAuth(self._client_id, self._client_secret),
                json={"access_token": token},
            )
        except httpx.RequestError:
            raise Unavailable("GitHub can't be reached right now.") from None

    async def _ask(self, **values: str) -> Grant:
        client = {"client_id": self._client_id, "client_secret": self._client_secret}
        asked_at = time.time()
        try:
            response = await self._http.post(
                f"{self._url}/login/oauth/access_token", data=client | values
            )
        except httpx.RequestError:
            # Without its cause: what was sent are secrets.
            raise Unavailable(
                "GitHub can't be reached right now. Please try again in a minute.", retry_after=60
            ) from None
        if response.status_code >= 500 or response.status_code == 429:
            raise Unavailable(
                "GitHub has trouble right now. Please try again in a minute.", retry_after=60
            )
        return _read(response, asked_at)


def _read(response: httpx.Response, asked_at: float) -> Grant:
    """GitHub tells errors with status 200 as well."""
    try:
        said = response.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise GitHubFailed(
            f"GitHub answered {response.status_code} in a form that I don't know. Please sign in "
            "again; if it stays, tell whoever runs this service."
        )
    error = said.get("error")
    if isinstance(error, str) and error in _REFUSED:
        raise GrantRefused(_REFUSED[error])
    token = said.get("access_token")
    if error is not None or not isinstance(token, str) or not token:
        # What GitHub calls it, such as redirect_uri_mismatch; the rest of the answer stays here.
        name = error if isinstance(error, str) and _NAME.fullmatch(error) else "no token"
        raise GitHubFailed(
            f"GitHub refused this service's own request ({name}). Please tell whoever runs it to "
            "compare the App's client id, client secret and callback URL."
        )
    refresh, lives = said.get("refresh_token"), said.get("expires_in")
    return Grant(
        token,
        asked_at + lives if isinstance(lives, int) and lives > 0 else None,
        refresh if isinstance(refresh, str) and refresh else None,
    )
