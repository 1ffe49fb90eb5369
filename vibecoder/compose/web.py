"""The web process. It loads neither githubkit nor the model's and sandbox's clients."""

from pathlib import Path

from starlette.applications import Starlette

from jobs.queue.store import Store
from vibecoder.settings import Settings, required
from webhook.app import FrontDoor, app

PHONE = Path(__file__).parents[2] / "mobile" / "dist"  # there after `make mobile`


def front_door(settings: Settings, store: Store) -> Starlette:
    """The web app. Raises SettingsError where a setting that it needs is missing."""
    return app(
        FrontDoor(
            webhook_secrets=settings.webhook_secrets(),
            app_id=settings.app_id(),
            client_id=required(settings.github_client_id, "GITHUB_CLIENT_ID"),
            client_secret=required(settings.github_client_secret, "GITHUB_CLIENT_SECRET"),
            session_secret=settings.session_key(),
            public_url=settings.origin(),
            push_hosts=settings.push_hosts,
            redirects=settings.redirects(),
            api_url=settings.github_api_url.rstrip("/"),
            url=settings.github_url.rstrip("/"),
            usd=settings.vibecoder_job_usd,
            allow=tuple(sorted(settings.allowed_accounts)),
            phone=PHONE if PHONE.is_dir() else None,
        ),
        store,
    )
