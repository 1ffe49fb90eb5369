"""One token for all who ask, never one that is about to end."""

import asyncio
import time

import pytest

from jobs.forge.errors import Suspended
from jobs.forge.tokens import EARLY, AppSettings, Token, Tokens


class Office:
    """Hands out numbered tokens once `opened`."""

    def __init__(self, life: float = 3_600.0) -> None:
        self.life = life
        self.made = 0
        self.opened = asyncio.Event()
        self.refuses: Exception | None = None

    async def mint(self, installation_id: int, repository_id: int) -> Token:
        self.made += 1
        number = self.made
        await self.opened.wait()
        if self.refuses is not None:
            raise self.refuses
        return Token(f"ghs_{installation_id}_{repository_id}_{number}", time.time() + self.life)


async def test_all_who_ask_at_once_get_the_same() -> None:
    office = Office()
    tokens = Tokens(office.mint)
    asking = [asyncio.create_task(tokens.token(1, 2)) for _ in range(20)]
    await asyncio.sleep(0)
    office.opened.set()
    assert set(await asyncio.gather(*asking)) == {"ghs_1_2_1"}
    assert await tokens.token(1, 3) == "ghs_1_3_2"


async def test_all_who_ask_at_once_get_the_same_refusal() -> None:
    office = Office()
    office.refuses = Suspended("suspended")
    tokens = Tokens(office.mint)
    asking = [asyncio.create_task(tokens.token(1, 2)) for _ in range(5)]
    await asyncio.sleep(0)
    office.opened.set()
    assert [type(e) for e in await asyncio.gather(*asking, return_exceptions=True)] == [
        Suspended
    ] * 5
    assert office.made == 1
    office.refuses = None
    assert await tokens.token(1, 2) == "ghs_1_2_2"


async def test_one_who_gives_up_does_not_stop_the_others() -> None:
    office = Office()
    tokens = Tokens(office.mint)
    first, second = (asyncio.create_task(tokens.token(1, 2)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    office.opened.set()
    assert await second == "ghs_1_2_1"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_token_near_its_end_is_not_handed_out() -> None:
    office = Office(life=EARLY - 1)
    office.opened.set()
    tokens = Tokens(office.mint)
    assert await tokens.token(1, 2) != await tokens.token(1, 2)


async def test_a_dropped_token_is_gone_but_not_its_successor() -> None:
    office = Office()
    office.opened.set()
    tokens = Tokens(office.mint)
    first = await tokens.token(1, 2)
    tokens.drop(1, 2, first)
    second = await tokens.token(1, 2)
    tokens.drop(1, 2, first)  # a slow request that was sent with the first
    assert await tokens.token(1, 2) == second != first


async def test_threads_share_it_too() -> None:
    office = Office()
    office.opened.set()
    tokens = Tokens(office.mint)
    read = tokens.current(1, 2)
    assert set(await asyncio.gather(*(asyncio.to_thread(read) for _ in range(8)))) == {"ghs_1_2_1"}
    assert read() == "ghs_1_2_1"  # known: nobody waits, so the loop may ask as well


def test_secrets_do_not_show() -> None:
    assert "hidden" not in repr(Token("hidden", 0)) + repr(AppSettings("1", "hidden"))


def test_noreply_addresses_are_of_the_same_github() -> None:
    assert AppSettings("1", "k").noreply == "users.noreply.github.com"
    ghes = AppSettings("1", "k", "https://ghe.example/api/v3", "https://ghe.example")
    assert ghes.noreply == "users.noreply.ghe.example"
