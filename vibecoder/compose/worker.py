"""The worker process."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from agent.model import PAUSES, Model, ModelSettings
from agent.sandbox import Sandboxes, SandboxSettings
from jobs.expire import expire_plans
from jobs.forge.github import GitHub
from jobs.forge.tokens import AppSettings
from jobs.missed import Missed, ask_again
from jobs.outward import Outward
from jobs.queue.lease import LeasedWorker
from jobs.queue.pace import Pace
from jobs.queue.spending import Spending
from jobs.queue.store import Store
from jobs.queue.sweep import SWEEP_SECONDS, Round
from jobs.queue.worker import LEASE_SECONDS, Handlers, make_worker
from jobs.rebuild import Rebuilding, rebuild_if_lost
from jobs.record import Workshop
from jobs.seal import Seal
from jobs.settle import Desk, give_up, settle
from jobs.tell import Teller, Ways, sees
from jobs.work import fail_poisoned, work
from vibecoder.compose.clones import clones
from vibecoder.compose.told import topic, vapid
from vibecoder.compose.web import PHONE
from vibecoder.settings import Settings, SettingsError, required
from webhook import deliveries

MISSED_SECONDS = 300.0
SANDBOXES_SECONDS = 60.0  # they also die by their own time limit
PLANS_SECONDS = 3_600.0


@asynccontextmanager
async def worker(
    settings: Settings,
    store: Store,
    *,
    concurrency: int = 10,
    model_pauses: Sequence[float] = PAUSES,
    lease_seconds: float = LEASE_SECONDS,
    sweep_seconds: float = SWEEP_SECONDS,
    missed_seconds: float = MISSED_SECONDS,
    sandboxes_seconds: float = SANDBOXES_SECONDS,
) -> AsyncIterator[LeasedWorker]:
    """A worker, not yet running: `await worker.async_run()`.

    `concurrency`: jobs at a time. `model_pauses`: seconds before each further try while the model
    does not answer. `lease_seconds`: how long a killed worker keeps its jobs. `sweep_seconds`,
    `missed_seconds`, `sandboxes_seconds`: between two looks for what was left lying here, for
    deliveries that failed, and for sandboxes that nobody needs.

    Raises SettingsError where a setting is missing, SandboxRefused where the sandbox chosen cannot
    be had here, ModelUnknown where no price is known for the model.
    """
    async with AsyncExitStack() as stack:
        boxes = await stack.enter_async_context(sandboxes(settings))
        model = Model(model_settings(settings), pauses=model_pauses)
        stack.push_async_callback(model.close)
        model.check()
        github = await stack.enter_async_context(GitHub(app_settings(settings), Pace(store)))
        desk = Desk(store, github, settings.vibecoder_job_usd)
        seal = Seal(settings.private_key())
        parse = deliveries.reader(settings.app_id(), settings.allowed_accounts)
        shop = Workshop(
            store=store,
            github=github,
            sandboxes=boxes,
            model=model,
            spending=Spending(store.redis),
            usd=settings.vibecoder_job_usd,
            daily_usd=settings.vibecoder_daily_usd,
            minutes=settings.vibecoder_job_minutes,
            folder=stack.enter_context(clones(settings.vibecoder_state_dir / "clones")),
            # Only where there is an app to watch a job in.
            public_url=settings.origin() if PHONE.is_dir() else None,
            seal=seal,
        )
        rebuilding = Rebuilding(store, github, seal, parse, shop.spending)
        outward = Outward(settings.push_hosts)
        stack.push_async_callback(outward.close)
        ways = Ways(outward, vapid(settings), topic(settings), shop.public_url)
        teller = Teller(store, ways, partial(sees, github), lease_seconds=lease_seconds)
        missed = Missed(github.hook, store, time.time, missed_seconds / 10)
        yield make_worker(
            store,
            Handlers(
                settle=partial(settle, desk),
                run=partial(work, shop),
                poisoned=partial(fail_poisoned, shop),
                parse=parse,
                given_up=partial(give_up, desk),
                rounds=(
                    Round("rebuild", sweep_seconds, partial(rebuild_if_lost, rebuilding)),
                    Round("sandboxes", sandboxes_seconds, partial(boxes.sweep, store.wanted)),
                    Round("missed", missed_seconds, partial(ask_again, missed)),
                    Round("plans", PLANS_SECONDS, partial(expire_plans, store, time.time)),
                ),
                beside=(teller.run,),
            ),
            concurrency=concurrency,
            lease_seconds=lease_seconds,
            sweep_seconds=sweep_seconds,
        )


def app_settings(settings: Settings) -> AppSettings:
    """What signing in as the App takes."""
    return AppSettings(
        app_id=required(settings.github_app_id, "GITHUB_APP_ID"),
        client_id=settings.github_client_id or "",
        private_key=settings.private_key(),
        api_url=settings.github_api_url.rstrip("/"),
        url=settings.github_url.rstrip("/"),
    )


def model_settings(settings: Settings) -> ModelSettings:
    """What the model's client takes. Raises SettingsError."""
    return ModelSettings(
        api_key=required(settings.anthropic_api_key, "ANTHROPIC_API_KEY"),
        base_url=settings.anthropic_base_url,
        model=settings.vibecoder_model,
    )


@asynccontextmanager
async def sandboxes(settings: Settings) -> AsyncIterator[Sandboxes]:
    """E2B, or the local server where the operator chose it; never the latter by accident.

    Raises SettingsError, and SandboxRefused where this machine cannot isolate.
    """
    owner = required(settings.github_app_id, "GITHUB_APP_ID")
    if settings.e2b_api_key is not None:
        yield Sandboxes(
            SandboxSettings(
                api_key=settings.e2b_api_key.get_secret_value(),
                api_url=settings.e2b_api_url,
                sandbox_url=settings.e2b_sandbox_url,
                template=settings.e2b_template,
            ),
            owner,
        )
        return
    if settings.vibecoder_sandbox != "local":
        raise SettingsError(
            "E2B_API_KEY is missing, and work on strangers' code is not done on this host unasked. "
            "Give a key, or set VIBECODER_SANDBOX=local for container-grade sandboxes here "
            "(docs/SECURITY.md says what they hold and what not)."
        )
    from vibecoder.local.stand_ins import sandbox

    async with sandbox(settings.vibecoder_state_dir) as local:
        yield Sandboxes(local, owner)
