"""What people say while the agent is at it: told before its next turn, once, whoever dies."""

from collections.abc import Sequence

import pytest
from test_agent_loop import END, SUBMIT, TWO_STEPS, World, finish, run, world, write

from agent.progress import Answered, Message
from agent.words import Word
from vibecoder.local.model.script import Request, Turn, say, text_of

__all__ = ["world"]

STEPS = (write("one", "1"), finish(), write("two", "2"), finish())


class People:
    """Who speaks when the model was asked so many times."""

    def __init__(self, world: World, **said: str) -> None:
        self._world = world
        self._said = {int(turn.removeprefix("at")): text for turn, text in said.items()}

    async def __call__(self) -> Sequence[Word]:
        asked = len(self._world.stage.requests)
        texts = [text for turn, text in self._said.items() if turn <= asked]
        return [Word(number, "maya", text) for number, text in enumerate(texts, 1)]


def told(request: Request) -> list[str]:
    """The messages in a request, each with what was said."""
    text = "\n".join(text_of(message["content"]) for message in request.messages)
    return [line for line in text.split("\n") if line.startswith(("Message ", "> "))]


def answers(world: World) -> list[Answered]:
    return [seen for seen in world.watcher.seen if isinstance(seen, Answered)]


async def test_words_come_before_the_next_turn_and_are_answered(world: World) -> None:
    await world.work(
        Turn(STEPS),
        Turn((say("In tabs then."), run("true"))),
        Turn((END,)),
        listen=People(world, at1="> use tabs"),
    )
    first, second, third = world.stage.requests
    assert told(first) == []
    assert [line[:20] for line in told(second)] == ["Message 1 from maya,", "> use tabs"]
    assert told(third) == told(second)
    assert answers(world) == [Answered(1, "In tabs then.")]


async def test_what_was_said_before_it_began_comes_with_the_task(world: World) -> None:
    await world.work(Turn(STEPS), Turn((END,)), listen=People(world, at0="> use tabs"))
    assert "> use tabs" in told(world.stage.requests[0])
    assert [answer.words for answer in answers(world)] == [1]


async def test_what_an_earlier_conversation_heard_is_not_told_again(world: World) -> None:
    await world.work(
        Turn(STEPS), Turn((END,)), listen=People(world, at0="> first", at1="> second"), heard=1
    )
    assert [line for line in told(world.stage.requests[1]) if line.startswith(">")] == ["> second"]


async def test_nothing_ends_over_unheard_words(world: World) -> None:
    report = await world.work(
        Turn(STEPS),
        Turn((END,)),
        Turn((END,)),
        listen=People(world, at2="> one more thing"),
    )
    assert report.outcome == "done"
    assert any("said something" in error for error in world.errors)
    assert "> one more thing" in told(world.stage.requests[2])


async def test_no_plan_is_handed_in_over_unheard_words(world: World) -> None:
    await world.plan(Turn((SUBMIT,)), Turn((SUBMIT,)), listen=People(world, at1="> in French"))
    assert "> in French" in told(world.stage.requests[1])
    assert [answer.words for answer in answers(world)] == [1]


async def test_a_plan_is_made_anew_in_the_same_conversation(world: World) -> None:
    await world.plan(Turn((SUBMIT,)))

    async def revised() -> Sequence[Word]:
        return [Word(1, "maya", "> smaller, please", TWO_STEPS)]

    history = list(world.journal.messages)
    await world.plan(Turn((SUBMIT,)), Turn((SUBMIT,)), history=history, listen=revised)
    _, second = world.stage.requests
    assert "> smaller, please" in told(second)
    assert "Write one" in text_of(second.news)  # the plan that it is about
    assert second.turns == 1


class Died(Exception):
    pass


@pytest.mark.parametrize("dies_at", range(2, 9))
async def test_a_death_neither_loses_nor_repeats_a_word(world: World, dies_at: int) -> None:
    """Each message of the conversation in turn is the last that the first worker kept."""
    people = People(world, at1="> first", at3="> second")
    moves = [Turn((step,)) for step in STEPS] + [Turn((END,))] * 2

    async def keep(message: Message) -> None:
        await world.journal(message)
        if len(world.journal.messages) == dies_at:
            raise Died

    def successor(request: Request) -> Turn:
        done = len(world.saved)
        if done < 2:
            return Turn((write(f"{done}", "x"), finish()))
        return Turn((END,))

    with pytest.raises(Died):
        await world.work(*moves, keep=keep, listen=people)
    heard = max((answer.words for answer in answers(world)), default=0)
    world.stage.play(successor)
    history, done = list(world.journal.messages), len(world.saved)
    await world.work(history=history, done=done, listen=people, heard=heard)
    words = told(world.stage.requests[-1])
    assert [line for line in words if line.startswith("> ")] == ["> first", "> second"]
    assert answers(world)[-1].words == 2
    assert world.stage.refused == []
