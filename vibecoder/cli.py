"""The command line: verbs only; each imports what it needs when it is called."""

import asyncio
import gc
import json
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from vibecoder import settings

# Importing a worker makes 200,000 objects that live for ever. Looking through them again and again
# costs half a second at the start, and freeing them one by one as much at the end: `run.loaded`.
gc.disable()

main = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals may hold tokens
    help="Comment /vibecode on an issue; a draft pull request with real code appears.",
)


@main.command()
def demo(
    task: Annotated[
        str | None, typer.Option(help="another real task: PACKAGE or PACKAGE@NEW_VERSION")
    ] = None,
    tasks: Annotated[Path | None, typer.Option(help="a list of tasks of your own")] = None,
    repo: Annotated[Path | None, typer.Option(help="your own git repository (needs a key)")] = None,
    issue: Annotated[str | None, typer.Option(help="what is wrong with it, in words")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
    keep: Annotated[bool, typer.Option(help="leave everything running, with addresses")] = False,
) -> None:
    """A real issue of a real package becomes a real pull request, here and now."""
    from rich.console import Console

    from vibecoder import demo, run

    run.loaded()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it cleans up as after Ctrl-C
    screen = Console(stderr=as_json, highlight=False)
    wanted = demo.Wanted(task, tasks, repo, issue)
    then = partial(demo.stay, screen) if keep else None
    try:
        good = asyncio.run(demo.run(wanted, settings.load(), screen, as_json=as_json, then=then))
    except demo.ERRORS as error:
        _stop(error)
    except KeyboardInterrupt:
        if not keep:  # else that is the way to end it
            typer.secho("Interrupted; everything that was started has ended.", fg="red", err=True)
            raise typer.Exit(130) from None
        good = True
    raise typer.Exit(0 if good else 1)


@main.command()
def web() -> None:
    """The front door: webhooks in, answers out."""
    from uvicorn.loops.auto import auto_loop_factory

    from vibecoder import run

    try:
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:  # uvloop, where there is
            runner.run(run.web(settings.load()))
    except run.ERRORS as error:
        _stop(error)


@main.command()
def worker() -> None:
    """Does the jobs. Run as many as you like."""
    from vibecoder import run

    try:
        asyncio.run(run.worker(settings.load()))
    except run.ERRORS as error:
        _stop(error)


@main.command()
def redis() -> None:
    """The embedded Redis server, as a process of its own. Not needed where REDIS_URL is set."""
    from vibecoder import run
    from vibecoder.local import redis

    run.loaded()
    run.write_logs()
    try:
        redis.run_forever(settings.load().vibecoder_state_dir / "redis")
    except (settings.SettingsError, redis.StoreError) as error:
        _stop(error)


@main.command()
def local(
    as_json: Annotated[bool, typer.Option("--json", help="print one line of JSON")] = False,
) -> None:
    """Only the stand-ins for GitHub, E2B, the model and Redis, until stopped."""
    from vibecoder import run

    def ready(contract: dict[str, object]) -> None:
        text = json.dumps(contract) if as_json else json.dumps(contract, indent=2)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    try:
        asyncio.run(run.local(settings.load(), ready))
    except run.ERRORS as error:
        _stop(error)


@main.command()
def setup(
    public_url: Annotated[
        str, typer.Option(help="where GitHub and people reach `vibecoder web`: https://HOST")
    ],
    organization: Annotated[
        str | None, typer.Option(help="who shall own the App; without it, you yourself")
    ] = None,
    env_file: Annotated[Path, typer.Option(help="where the App's keys are written")] = Path(".env"),
    replace: Annotated[bool, typer.Option(help="overwrite an App that is in there")] = False,
) -> None:
    """Registers a GitHub App of your own and writes its keys into .env."""
    from rich.console import Console

    from vibecoder import run, setup

    run.loaded()
    wanted = setup.Wanted(public_url, organization, env_file, replace)
    try:
        asyncio.run(setup.run(wanted, settings.load(), Console()))
    except (settings.SettingsError, setup.SetupError) as error:
        _stop(error)


@main.command()
def doctor(
    live: Annotated[
        bool, typer.Option(help="ask github.com, E2B and the model too; costs a few cents")
    ] = False,
) -> None:
    """Checks the settings and this machine, and says how to mend what is wrong."""
    from vibecoder import doctor, run

    run.loaded()
    raise typer.Exit(0 if asyncio.run(doctor.check(settings.load(), live=live)) else 1)


@main.command()
def purge(
    installation: Annotated[
        int | None, typer.Argument(help="its id; without one, what is kept is listed")
    ] = None,
    job: Annotated[str | None, typer.Option(help="only this job")] = None,
) -> None:
    """Ends an installation's jobs and forgets what is kept of them."""
    from rich.console import Console

    from vibecoder import purge, run

    run.loaded()
    try:
        asyncio.run(purge.run(settings.load(), installation, job, Console(highlight=False)))
    except (settings.SettingsError, purge.PurgeError) as error:
        _stop(error)


@main.command()
def why(
    target: Annotated[
        str, typer.Argument(help="the address of a comment on GitHub, or a delivery's GUID")
    ],
) -> None:
    """Tells what became of what came in: followed, refused or ignored, and for what reason."""
    from rich.console import Console

    from vibecoder import run, why

    run.loaded()
    try:
        asyncio.run(why.run(settings.load(), target, Console(highlight=False)))
    except (settings.SettingsError, why.WhyError) as error:
        _stop(error)


@main.command()
def bench(
    only: Annotated[str | None, typer.Option(help="one measure by name, such as webhook")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Measures the service from its real processes and prints medians, all in one run."""
    from vibecoder import run
    from vibecoder.bench import run as bench

    run.loaded()
    try:
        asyncio.run(bench.run(settings.load(), only=only, as_json=as_json))
    except bench.ERRORS as error:
        _stop(error)


def _stop(error: BaseException) -> NoReturn:
    words = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        words = (
            f"{error.filename}: {error.strerror}. Choose another folder with VIBECODER_STATE_DIR, "
            "or mend its permissions."
        )
    typer.secho(words, fg="red", err=True)
    raise typer.Exit(2)
