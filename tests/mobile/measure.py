"""How heavy the app is, and how soon it shows: after `make mobile`,

PYTHONPATH=.:tests/e2e .venv/bin/python tests/mobile/measure.py
"""

import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

from phone import ROOT, Phone
from phone_place import Place, place

TIMES = 10
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
TRAVELLED = """
performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
  .filter(({ name }) => new URL(name).pathname.startsWith('/app/'))
  .reduce((sum, { transferSize }) => sum + transferSize, 0)
"""


async def measure(here: Place) -> None:
    """Prints a line for each figure: median, least, most."""
    figures: dict[str, list[float]] = {}

    async def note(what: str, phone: Phone, script: str) -> None:
        figures.setdefault(what, []).append(float(await phone.run(script)))

    for number in range(TIMES):
        phone = here.browser.phone(str(number))
        await phone.open()
        await phone.see("Sign in with GitHub", "button")
        await note("first visit: until it can be used, ms", phone, "performance.now()")
        await note("first visit: first paint, ms", phone, PAINT)
        await note("first visit: over the network, KB", phone, f"({TRAVELLED}) / 1000")
        await phone.sign_in()
        await phone.see("What should be built?", "heading")
        await phone.run("navigator.serviceWorker.ready.then(() => null)")
        await phone.reload()
        await phone.see("What should be built?", "heading")
        await note("next visits: until it can be used, ms", phone, "performance.now()")
        await note("next visits: first paint, ms", phone, PAINT)
        await phone.close()
    for what, values in figures.items():
        middle = statistics.median(values)
        tell(what, middle, min(values), max(values))


def weigh() -> None:
    """The script as it is built, and as it travels."""
    for script in ROOT.glob("mobile/dist/_expo/static/js/web/*.js"):
        small = Path(f"{script}.gz").stat().st_size
        tell("script: plain, compressed, KB", script.stat().st_size / 1000, small / 1000)


def tell(what: str, *figures: float) -> None:
    sys.stdout.write(f"{what:<40}" + "".join(f"{figure:8.0f}" for figure in figures) + "\n")


async def main() -> None:
    weigh()
    with tempfile.TemporaryDirectory() as folder:
        async with place(Path(folder)) as here:
            await measure(here)


if __name__ == "__main__":
    asyncio.run(main())
