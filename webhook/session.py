"""Sessions: who is signed in, with the tokens that GitHub gave for them.

A session is named by a random token that only its owner has; we keep its hash. GitHub's tokens are
kept sealed, and renewed before they end: by one process at a time, because what renews them works
once.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from pydantic import TypeAdapter

from jobs.queue.errors import QueueError, StoreUnreachable
from jobs.queue.sessions import SessionStore
from jobs.seal import Seal, SealBroken
from webhook.oauth import Grant, OAuth, challenge_of
from webhook.problems import GrantRefused, NotSignedIn, Problem, Unavailable

PREFIX = "vcs_"  # tells a session's token from GitHub's
CODE_SECONDS = 60
EARLY = 300.0  # seconds before its end at which a token is renewed
PATIENCE = 15.0  # seconds that a request waits for another process to renew
_LOOK = 0.05  # seconds between two looks whether it has
LOOK = 1.0  # seconds between two looks at sessions that have streams open
_SAVING = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds before each further try to keep what was renewed
_GRANT = TypeAdapter(Grant)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in, on one device."""

    hash: str  # of its token: what it is kept under
    person: int  # GitHub's id
    grant: Grant
    sealed: bytes = field(repr=False)  # the grant as it is kept


@dataclass(slots=True)
class _Watched:
    """A session that somebody waits for the end of."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    by: int = 0  # how many wait


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a phone's one-time code stands for."""

    challenge: str
    person: int
    login: str
    grant: Grant


_OFFER = TypeAdapter(_Offer)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Sessions:
    """All sessions, over all web processes. Methods raise StoreUnreachable and StoreFull."""

    def __init__(
        self,
        store: SessionStore,
        oauth: OAuth,
        seal: Seal,
    ) -> None:
        self._store = store
        self._oauth = oauth
        self._seal = seal
        self._renewing: dict[str, asyncio.Task[Session]] = {}
        self._watched: dict[str, _Watched] = {}
        self._watching: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Waits for what GitHub was asked: an answer that nobody keeps would end a session."""
        if self._watching is not None:
            self._watching.cancel()
        await asyncio.gather(*self._renewing.values(), return_exceptions=True)

    async def begin(self, person: int, grant: Grant) -> str:
        """A new session's token."""
        token = PREFIX + secrets.token_urlsafe(32)
        hash = _hash(token)
        await self._store.open(hash, person, self._sealed(hash, grant), time.time())
        return token

    async def of(self, token: str) -> Session:
        """The session of that token, with a token of GitHub's that is good for minutes.

        Raises NotSignedIn where it ended, Unavailable where it cannot be renewed just now.
        """
        session = await self._load(_hash(token))
        if not self._ends_soon(session):
            return session
        task = self._renewing.get(session.hash)
        if task is None:
            task = asyncio.create_task(self._renew(session.hash))
            self._renewing[session.hash] = task
            task.add_done_callback(lambda done: self._done(session.hash, done))
        # Whoever asked may hang up; GitHub's answer is kept all the same.
        return await asyncio.shield(task)

    async def end(self, token: str) -> Session | None:
        """Signs out; None where that had happened. GitHub's tokens are the caller's to revoke."""
        hash = _hash(token)
        try:
            session = await self._load(hash)
        except NotSignedIn:
            return None
        await self._store.end(hash)
        return session

    async def until_ended(self, hash: str) -> None:
        """Returns when the session has ended, whoever ended it; a second later at most."""
        watched = self._watched.setdefault(hash, _Watched())
        watched.by += 1
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        try:
            await watched.ended.wait()
        finally:
            watched.by -= 1
            if not watched.by:
                del self._watched[hash]

    async def _watch(self) -> None:
        """One look for all who wait in this process."""
        while self._watched:
            await asyncio.sleep(LOOK)
            with suppress(QueueError):
                for hash in await self._store.ended(self._watched):
                    if hash in self._watched:
                        self._watched[hash].ended.set()

    async def end_all(self, person: int) -> int:
        """Ends all sessions of a person; how many there were."""
        return await self._store.end_all(person)

    async def refused(self, session: Session) -> Problem:
        """After GitHub's 401 to the session's token: what the person is to be told.

        It means that all of the person's tokens are revoked, unless this one was renewed since, or
        is being renewed.
        """
        if await self._store.end(session.hash, session.sealed):
            ended = 1 + await self.end_all(session.person)
            log.info("GitHub refused a token", person=session.person, sessions_ended=ended)
            return NotSignedIn(
                "GitHub no longer lets this App act for you, so you were signed out everywhere. "
                "Please sign in again."
            )
        try:
            await self._load(session.hash)
        except NotSignedIn as ended_before:
            return ended_before
        return Unavailable(
            "Your sign-in was renewed at this moment. Please try again.", retry_after=1
        )

    # One-time codes: the browser carries them to the phone's app, which alone has the verifier.

    async def offer(self, challenge: str, person: int, login: str, grant: Grant) -> str:
        """A code that is worth a session once, within a minute."""
        code = secrets.token_urlsafe(32)
        offer = _OFFER.dump_json(_Offer(challenge, person, login, grant))
        place = _hash(code)
        await self._store.keep_once(place, self._seal.seal(offer, place.encode()), CODE_SECONDS)
        return code

    async def redeem(self, code: str, verifier: str) -> tuple[str, str]:
        """The session's token and the person's login. Raises NotSignedIn.

        A wrong verifier uses the code up as well.
        """
        place = _hash(code)
        kept = await self._store.take_once(place)
        try:
            offer = kept and _OFFER.validate_json(self._seal.open(kept, place.encode()))
        except SealBroken:
            offer = None
        if not offer or not hmac.compare_digest(
            challenge_of(verifier).encode(), offer.challenge.encode()
        ):
            raise NotSignedIn(
                "This sign-in was finished already, took longer than a minute, or was begun "
                "elsewhere. Please sign in again."
            )
        return await self.begin(offer.person, offer.grant), offer.login

    # Renewing

    async def _renew(self, hash: str) -> Session:
        mark = secrets.token_hex(8)
        deadline = time.monotonic() + PATIENCE
        while True:
            session = await self._load(hash)
            if not self._ends_soon(session):
                return session  # another process was quicker
            if await self._store.begin_renewing(hash, mark):
                return await self._renew_alone(hash, mark)
            if time.monotonic() > deadline:
                raise Unavailable(
                    "Your sign-in is being renewed, and that takes long. Please try again in a "
                    "minute.",
                    retry_after=30,
                )
            await asyncio.sleep(_LOOK)

    async def _renew_alone(self, hash: str, mark: str) -> Session:
        session = await self._load(hash)
        grant = session.grant
        if grant.refresh_token is None or not self._ends_soon(session):
            await self._store.let_go(hash, mark)
            return session
        try:
            renewed = await self._oauth.renew(grant.refresh_token)
        except GrantRefused:
            # Also after an answer that was lost: it worked once, and is of no use any more.
            await self._store.end(hash, session.sealed, mark)
            await self._store.let_go(hash, mark)
            log.info("session could not be renewed", person=session.person)
            raise NotSignedIn("Your sign-in at GitHub has run out. Please sign in again.") from None
        except Problem:
            await self._store.let_go(hash, mark)
            raise
        sealed = self._sealed(hash, renewed)
        if not await self._save(hash, mark, sealed):
            with suppress(Problem):  # it ends by itself within hours
                await self._oauth.revoke(renewed.token)
            raise NotSignedIn("You were signed out. Please sign in again.")
        return Session(hash, session.person, renewed, sealed)

    async def _save(self, hash: str, mark: str, sealed: bytes) -> bool:
        """The old pair is gone at GitHub, so the new one is not given up with the first failure."""
        for pause in _SAVING:
            try:
                return await self._store.renewed(hash, mark, sealed)
            except StoreUnreachable:
                await asyncio.sleep(pause)
        return await self._store.renewed(hash, mark, sealed)

    def _done(self, hash: str, task: asyncio.Task[Session]) -> None:
        del self._renewing[hash]
        if not task.cancelled():
            task.exception()  # whoever waited has it; perhaps nobody did

    def _ends_soon(self, session: Session) -> bool:
        grant = session.grant
        if grant.refresh_token is None or grant.expires_at is None:
            return False
        return grant.expires_at - time.time() < EARLY

    async def _load(self, hash: str) -> Session:
        kept = await self._store.load(hash)
        if kept is not None:
            try:
                grant = _GRANT.validate_json(self._seal.open(kept.sealed, hash.encode()))
                return Session(hash, kept.person, grant, kept.sealed)
            except SealBroken:
                await self._store.end(hash)  # sealed with another SESSION_SECRET
        raise NotSignedIn("You are not signed in any more. Please sign in again.")

    def _sealed(self, hash: str, grant: Grant) -> bytes:
        return self._seal.seal(_GRANT.dump_json(grant), hash.encode())
