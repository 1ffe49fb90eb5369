"""Settings from the environment (and a `.env` file beside the process). The only reader of both.

Each name is the environment variable's name in lower case; an empty value counts as unset.
"""

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

# What a process of ours needs of its surroundings; never a setting, never a key.
_SURROUNDINGS = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "SSL_CERT_FILE",
    "HTTPS_PROXY",
    "NO_PROXY",
)

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
_REDIRECT = re.compile(r"(?!(?:javascript|data|blob|file):)[a-z][a-z0-9+.-]*://[^\s?#]+")


class SettingsError(Exception):
    """A setting is missing or wrong; the message names it and says what to do."""


class Settings(BaseSettings):
    """Everything an operator can set. Frozen; secrets do not show in its repr."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    # The App
    github_app_id: str | None = None
    github_client_id: str | None = None
    github_client_secret: SecretStr | None = None
    github_private_key: SecretStr | None = None  # PEM; literal \n is accepted
    github_private_key_path: Path | None = None
    github_webhook_secret: SecretStr | None = None  # a comma-separated list lets it be rotated
    github_api_url: str = "https://api.github.com"  # GHES: https://HOST/api/v3
    github_url: str = "https://github.com"

    # The store. Unset: the embedded server under the state directory
    redis_url: SecretStr | None = None

    # The sandbox
    vibecoder_sandbox: Literal["e2b", "local"] = "e2b"
    e2b_api_key: SecretStr | None = None
    e2b_api_url: str | None = None
    e2b_sandbox_url: str | None = None
    e2b_template: str | None = None

    # The model
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = None
    vibecoder_model: str = "claude-opus-5-5"

    # The operator's ceilings; a repository's own settings may only lower them
    vibecoder_job_minutes: int = Field(default=60, gt=0)
    vibecoder_job_usd: Decimal = Field(default=Decimal(5), gt=0)
    vibecoder_daily_usd: Decimal | None = Field(default=None, gt=0)
    vibecoder_allow: str = ""  # comma-separated people and owners; empty: whoever may write

    # Telling people: the address of a topic at an ntfy server, and push services on the operator's
    # own network as host:port with commas between (all others must be on the public internet)
    vibecoder_ntfy_url: str | None = None
    vibecoder_ntfy_token: SecretStr | None = None
    vibecoder_push_hosts: str = ""

    # Where people and GitHub reach it, and where it keeps things
    public_url: str | None = None
    # What people's tokens are sealed with; the client secret is, where this is unset
    session_secret: SecretStr | None = None
    vibecoder_redirects: str = ""  # comma-separated addresses of phone apps besides vibecoder://
    vibecoder_state_dir: Path = Path(".vibecoder")
    port: int = 8000
    ci: str | None = None  # set by CI services: what is missing is then a failure, not a detour

    @property
    def allowed_accounts(self) -> frozenset[str]:
        """Lower-case account names; empty where everybody may."""
        names = (name.strip().lower() for name in self.vibecoder_allow.split(","))
        return frozenset(name for name in names if name)

    def redirects(self) -> tuple[str, ...]:
        """Where phones may be sent after signing in, besides vibecoder://. Raises SettingsError."""
        found = tuple(text.strip() for text in self.vibecoder_redirects.split(",") if text.strip())
        for address in found:
            if not _REDIRECT.fullmatch(address):
                raise SettingsError(
                    "VIBECODER_REDIRECTS must hold addresses such as exp://192.168.1.5:8081/--/"
                    f"signed-in, without a query; {address!r} is none."
                )
        return found

    def session_key(self) -> str:
        """The secret that people's tokens are sealed with. Raises SettingsError."""
        if self.session_secret is None:
            return required(self.github_client_secret, "GITHUB_CLIENT_SECRET")
        secret = self.session_secret.get_secret_value()
        if len(secret) < 32:
            raise SettingsError(
                "SESSION_SECRET is shorter than 32 characters. Make one with "
                "`python3 -c 'import secrets; print(secrets.token_hex(32))'`."
            )
        return secret

    def origin(self) -> str | None:
        """PUBLIC_URL as scheme, host and port. Raises SettingsError for anything else."""
        if self.public_url is None:
            return None
        address = self.public_url.strip().rstrip("/")
        if not _ORIGIN.fullmatch(address):
            raise SettingsError(
                "PUBLIC_URL must be an address such as https://bot.example.org, without a path; "
                f"{self.public_url!r} is none."
            )
        usual = ":443" if address.lower().startswith("https:") else ":80"
        return address.lower().removesuffix(usual)  # as browsers have it in Origin

    @property
    def push_hosts(self) -> frozenset[str]:
        """Lower-case "host:port"."""
        hosts = (host.strip().lower() for host in self.vibecoder_push_hosts.split(","))
        return frozenset(host for host in hosts if host)

    def app_id(self) -> int:
        """Raises SettingsError where it is missing or no number."""
        text = required(self.github_app_id, "GITHUB_APP_ID")
        if not text.isdigit():
            raise SettingsError(f"GITHUB_APP_ID must be a number, as on the App's page: {text!r}.")
        return int(text)

    def private_key(self) -> str:
        """The App's private key as PEM. Raises SettingsError where it is missing or unusable."""
        pem = self._private_key_text().replace("\\n", "\n").strip() + "\n"
        try:
            key = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError):
            # The cause would show parts of the key.
            raise SettingsError(
                "GITHUB_PRIVATE_KEY is not a PEM private key. Download it again from the App's "
                "page (Private keys → Generate) and give its path in GITHUB_PRIVATE_KEY_PATH."
            ) from None
        if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:
            raise SettingsError("GITHUB_PRIVATE_KEY must be an RSA key of at least 2048 bits.")
        return pem

    def _private_key_text(self) -> str:
        if self.github_private_key is not None:
            return self.github_private_key.get_secret_value()
        if self.github_private_key_path is None:
            raise SettingsError(
                "GITHUB_PRIVATE_KEY or GITHUB_PRIVATE_KEY_PATH is missing: the worker signs in as "
                "the App with it. `vibecoder setup` makes an App and stores its keys."
            )
        try:
            return self.github_private_key_path.read_text()
        except OSError as error:
            raise SettingsError(
                f"GITHUB_PRIVATE_KEY_PATH cannot be read: {error.strerror}. Check the path "
                f"{self.github_private_key_path} and its permissions."
            ) from error

    def webhook_secrets(self) -> tuple[str, ...]:
        """One or more HMAC secrets. Raises SettingsError where none is set."""
        text = required(self.github_webhook_secret, "GITHUB_WEBHOOK_SECRET")
        secrets = tuple(part.strip() for part in text.split(",") if part.strip())
        if not secrets:
            raise SettingsError("GITHUB_WEBHOOK_SECRET holds no secret.")
        return secrets


def required(value: SecretStr | str | None, name: str) -> str:
    """The value of a setting that this process cannot do without. Raises SettingsError."""
    if value is None:
        raise SettingsError(
            f"{name} is missing. Put it into the environment or into .env (see .env.example); "
            "`vibecoder demo` runs without any."
        )
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def load() -> Settings:
    """Settings of this process. Raises SettingsError with one line per wrong value."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"{str(problem['loc'][0]).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError("\n".join(lines)) from None


def inherited() -> dict[str, str]:
    """The part of our environment that a process of ours gets besides its settings."""
    return {name: os.environ[name] for name in _SURROUNDINGS if name in os.environ}
