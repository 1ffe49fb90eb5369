"""By which people are told."""

import structlog

from jobs.tell import Topic
from jobs.webpush import Vapid
from vibecoder.settings import Settings, SettingsError

log = structlog.get_logger()


def vapid(settings: Settings) -> Vapid | None:
    """The deployment's key for Web Push; None where this process has nothing to make it of.

    Raises SettingsError where what it has is no good.
    """
    if settings.session_secret is None and settings.github_client_secret is None:
        log.warning(
            "web push is off", why="neither SESSION_SECRET nor GITHUB_CLIENT_SECRET is set here"
        )
        return None
    origin = settings.origin() or ""
    return Vapid(settings.session_key(), origin if origin.startswith("https://") else None)


def topic(settings: Settings) -> Topic | None:
    """Where the operator wants to be told. Raises SettingsError."""
    if settings.vibecoder_ntfy_url is None:
        return None
    token = settings.vibecoder_ntfy_token
    try:
        return Topic.at(settings.vibecoder_ntfy_url, token.get_secret_value() if token else "")
    except ValueError as error:
        raise SettingsError(f"VIBECODER_NTFY_URL cannot be used: {error}.") from None
