"""`vibecoder why`: what became of a delivery or a comment, for the operator."""

from rich.console import Console
from rich.markup import escape

from jobs import why
from jobs.queue.errors import QueueError
from vibecoder.compose.store import WEB_RETRIES, open_store
from vibecoder.settings import Settings


class WhyError(Exception):
    """Nothing can be told; the message says why and what to do."""


async def run(settings: Settings, target: str, screen: Console) -> None:
    """Prints a line for each delivery behind the target. Raises WhyError."""
    try:
        async with open_store(settings, WEB_RETRIES) as store:
            lines = await why.of_target(store, target)
    except QueueError as error:
        raise WhyError(str(error)) from error
    if not lines:
        raise WhyError(
            "Nothing is known of that. Ask with a comment's address "
            "(…/issues/7#issuecomment-1001) or a delivery's GUID, as the App's settings on GitHub "
            "list them under Advanced, Recent Deliveries; what came is remembered for three days."
        )
    for line in lines:
        screen.print(escape(line), soft_wrap=True)
