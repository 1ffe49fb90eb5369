"""`.github/vibecode.yml` of the base branch. It may only narrow what the operator allows."""

from decimal import Decimal
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

PATH = ".github/vibecode.yml"


class RepoConfigError(Exception):
    """The repository's settings cannot be followed; the message says which line and why."""


class RepoConfig(BaseModel):
    """What a repository may say about jobs in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    approval: Literal["never", "always"] = "never"  # always: each plan waits for an accept
    usd: Decimal | None = Field(default=None, gt=0)
    minutes: int | None = Field(default=None, gt=0)


def read(text: bytes | None) -> RepoConfig:
    """The settings in `text`; the defaults where the file is missing. Raises RepoConfigError."""
    if text is None:
        return RepoConfig()
    try:
        data = yaml.safe_load(text)
        return RepoConfig.model_validate({} if data is None else data)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise RepoConfigError(f"`{PATH}` is not valid YAML{where}; please mend it.") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = "unknown setting" if first["type"] == "extra_forbidden" else first["msg"]
        raise RepoConfigError(f"`{PATH}`: {name}: {problem}. Please mend it.") from error
