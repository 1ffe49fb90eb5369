"""Deliveries that did not get through, because we were down, say, are asked for again.

GitHub does not try again by itself, but keeps three days of deliveries.
https://docs.github.com/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from jobs.forge.hook import Attempt, Hook
from jobs.queue.store import Store

log = structlog.get_logger()

FOLLOWED = frozenset({"issue_comment", "installation"})  # from others nothing follows
KEPT = 3 * 86_400.0  # seconds
LONGEST_WAIT = 1800.0  # seconds between two attempts; each wait is twice the one before


@dataclass(frozen=True, slots=True)
class Missed:
    """What finding missed deliveries takes."""

    hook: Hook
    store: Store
    clock: Callable[[], float]
    grace: float  # seconds after an attempt, which may still be under way


async def ask_again(missed: Missed) -> list[str]:
    """Ask for each delivery that never got through once more; returns their GUIDs.

    Raises GitHubError and StoreUnreachable; the next round finds the same again.
    """
    now = missed.clock()
    asked = []
    for attempts in _by_delivery(await missed.hook.attempts(now - KEPT)).values():
        newest = attempts[0]
        if (
            newest.event in FOLLOWED
            and not any(attempt.got_through for attempt in attempts)
            # For as long as GitHub keeps it: the front door may be down for longer than we are.
            and newest.at < now - min(missed.grace * 2.0 ** (len(attempts) - 1), LONGEST_WAIT)
            # An answer that was lost: what it answered is in the store.
            and await missed.store.verdict(newest.guid) is None
        ):
            await missed.hook.ask_again(newest.id)
            asked.append(newest.guid)
    if asked:
        log.warning("deliveries asked for again", guids=asked)
    return asked


def _by_delivery(attempts: list[Attempt]) -> dict[str, list[Attempt]]:
    """Attempts at the same delivery together, newest first."""
    found = defaultdict[str, list[Attempt]](list)
    for attempt in sorted(attempts, key=lambda attempt: attempt.at, reverse=True):
        found[attempt.guid].append(attempt)
    return found
