"""Whoever may not start work hears why, or, as a stranger in public, nothing."""

from house import House
from scripts import job, write

README = {"README.md": b"# A library\n"}
HELLO = job(("Say hello", [write("hello.txt", "hello\n")]))


async def test_a_stranger_on_a_public_repository_gets_silence_and_a_journal_entry(
    house: House,
) -> None:
    scene = house.scene(README, script=HELLO)

    said = await scene.say("/vibecode say hello", by="sam")

    assert "write permission" in await house.verdict(said.key)
    assert await scene.answers() == []
    assert await scene.reactions(said) == []
    assert await scene.get("/pulls?state=all") == []


async def test_a_reader_who_was_let_in_gets_a_sentence_in_public_too(house: House) -> None:
    scene = house.scene(README, script=HELLO)

    await scene.say("/vibecode say hello", by="rob")

    assert "write permission" in await scene.answer("write permission")
    assert await scene.get("/pulls?state=all") == []


async def test_a_reader_of_a_private_repository_gets_a_sentence(house: House) -> None:
    scene = house.scene(README, script=HELLO, private=True)

    await scene.say("/vibecode say hello", by="rob")

    answer = await scene.answer()
    assert "write permission" in answer
    assert "@rob" not in answer  # told without a mention that notifies


async def test_a_refused_stranger_does_not_keep_the_issue_from_a_maintainer(house: House) -> None:
    scene = house.scene(README, script=HELLO)

    await scene.say("/vibecode take this issue", by="sam")
    said = await scene.say("/vibecode say hello")

    verdict = await house.verdict(said.key)
    job_ = (
        await scene.job(said)
        if verdict == "followed"
        else await scene.job_until(await scene.newest(), "succeeded")
    )
    assert job_.state == "succeeded"


async def test_help_says_what_can_be_said(house: House) -> None:
    scene = house.scene(README)

    await scene.say("/vibecode help")

    answer = await scene.answer("/vibecode")
    assert "plan" in answer and "accept" in answer and "stop" in answer


async def test_an_accept_without_a_plan_hears_so(house: House) -> None:
    scene = house.scene(README)

    await scene.say("/vibecode accept")

    assert "No job" in await scene.answer()


async def test_an_edited_comment_starts_nothing(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    said = await scene.say("nothing for you")

    async with house.client("maya") as github:
        edited = await github.patch(
            f"/repos/{scene.repository}/issues/comments/{said.id}",
            json={"body": "/vibecode say hello"},
        )
    assert edited.is_success

    # A later command is answered; by then the edit was read too, and nothing came of it.
    await scene.say("/vibecode help")
    await scene.answer("/vibecode")
    assert await house.store.active_on(house.world.repository(scene.repository).id, 1) is None
    assert await scene.get("/pulls?state=all") == []


async def test_a_comment_of_200_kb_ends_in_a_sentence(house: House) -> None:
    scene = house.scene(README, script=HELLO)

    await scene.say("/vibecode " + "please " * 28_000)

    assert "characters" in await scene.answer()


async def test_a_comment_on_a_pull_request_is_answered(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    done = await scene.job(await scene.say("/vibecode say hello"))
    assert done.pull is not None
    on_pull = type(scene)(house, scene.repository, done.pull.number)

    await on_pull.say("/vibecode now say goodbye")

    assert "pull request" in await on_pull.answer("follow up")


async def test_a_suspended_installation_is_journalled_and_the_issue_stays_free(
    house: House,
) -> None:
    scene = house.scene(README, script=HELLO)
    first = await scene.say("just words")
    repository = house.world.repository(scene.repository)
    installation = house.world.installation_of(repository, house.world.app)
    assert installation is not None
    delivery = await house.until(
        lambda: next(
            (
                each
                for each in house.world.deliveries.values()
                if each.event == "issue_comment" and each.payload["comment"]["id"] == first.id
            ),
            None,
        )
    )
    asked = dict(delivery.payload, comment=delivery.payload["comment"] | {"body": "/vibecode go"})
    house.world.suspend(True, installation)
    try:
        # GitHub sends a suspended App nothing, but this one was on its way already.
        assert (await house.deliver("issue_comment", asked)).status_code == 202
        verdict = await house.verdict(first.key)
    finally:
        house.world.suspend(False, installation)

    assert "suspended" in verdict
    assert await house.store.active_on(repository.id, scene.issue) is None
