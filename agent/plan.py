"""What the planner hands over and a person approves: a plan of one to eight steps.

Pure data. The digest is what an approval names, so that nobody approves one plan and gets another.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Step:
    """One commit's worth of work."""

    id: str  # short slug, unique in the plan: "reproduce", "fix-timestamp"
    title: str  # becomes the commit's subject
    intent: str
    files: tuple[str, ...] = ()  # repository-relative paths that it expects to touch
    done_when: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Something only a person can answer; blocks approval only where `default` is empty."""

    text: str
    options: tuple[str, ...] = ()
    default: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as the planner submitted it."""

    title: str  # becomes the pull request's title
    summary: str
    steps: tuple[Step, ...]
    root_cause: str = ""
    evidence: tuple[str, ...] = ()  # "path/to/file.py:41"
    verification: tuple[str, ...] = ()  # commands
    risks: tuple[str, ...] = ()
    out_of_scope: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()

    def digest(self, base_sha: str, usd: Decimal, revision: int = 0) -> str:
        """64 hex digits over the plan, the commit it was made for and the money it may spend.

        `revision`: how many plans it replaces; one that a person sent back never counts again.
        """
        approved: dict[str, object] = {"plan": asdict(self), "base_sha": base_sha, "usd": str(usd)}
        if revision:
            approved["revision"] = revision
        text = json.dumps(approved, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
