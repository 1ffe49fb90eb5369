"""What the demo shows: a line for each thing that happened, then the pull request."""

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table

from jobs.events import (
    Approved,
    Claimed,
    Cloned,
    CommandRan,
    Finished,
    JobEvent,
    Planned,
    PullOpened,
    Received,
    SandboxReady,
    StepBegan,
    StepCommitted,
    StepSkipped,
)
from vibecoder.compose.web import PHONE
from vibecoder.result import Result

DIFF_LINES = 200
LINE = 200  # characters of a command; some carry a whole file
MARKS = {"succeeded": "[green]✓[/]", "failed": "[red]✗[/]"}


def show_head(
    screen: Console, repository: str, issue: int, title: str, *, model: str, sandbox: str
) -> None:
    """Where it happens and with what."""
    screen.print()
    screen.print(f"[bold]{escape(title)}[/]  [dim]{repository}#{issue}[/]")
    screen.print(f"[dim]model: {model} · sandbox: {sandbox}[/]")
    screen.print()


def show_event(screen: Console, event: JobEvent, asked: float) -> None:
    """One line with the seconds since the comment; what is only of inner interest shows nothing."""
    told = _told(event)
    if told is not None:
        what, about = told
        screen.print(
            f"[dim]{event.at - asked:7.2f} s[/]  [bold]{what:<10}[/] {about}", soft_wrap=True
        )


def _told(event: JobEvent) -> tuple[str, str] | None:
    match event:
        case Received(command=command):
            return "received", f"@{command.actor.login}: /vibecode {escape(command.text)}"
        case Claimed(worker=worker):
            return "queued", f"taken by {worker}"
        case Cloned():
            size = f"{event.files} files, {event.bytes / 1000:.0f} kB"
            return "cloned", f"{event.base} at {event.base_sha[:7]} ({size})"
        case SandboxReady(sandbox_id=sandbox_id, seconds=seconds):
            return "sandbox", f"{sandbox_id} in {seconds:.2f} s"
        case Planned(plan=plan, digest=digest):
            return "planned", f"{escape(plan.title)} ({len(plan.steps)} steps, {digest[:8]})"
        case Approved(actor=actor):
            return "approved", f"by @{actor.login}"
        case StepBegan(number=number):
            return f"step {number}", "begins"
        case CommandRan(command=command, exit_code=code, seconds=seconds):
            colour = "green" if code == 0 else "red"
            shown = "stopped" if code is None else f"exit {code}"
            words = escape(command if len(command) <= LINE else f"{command[:LINE]}…")
            return "ran", f"[{colour}]{shown}[/] in {seconds:.2f} s  [dim]{words}[/]"
        case StepCommitted():
            lines = f"[green]+{event.added}[/] [red]−{event.deleted}[/]"
            return "pushed", f"{event.sha[:7]} {escape(event.subject)}  {lines}"
        case StepSkipped(number=number, why=why):
            return f"step {number}", f"changed nothing: {escape(why)}"
        case PullOpened(number=number, url=url):
            return "PR", f"#{number} {url}"
        case Finished(outcome=outcome, summary=summary):
            return "finished", f"{MARKS.get(outcome, '■')} {outcome}: {escape(summary)}"
        case _:
            return None


def show_result(screen: Console, result: Result) -> None:
    """The pull request as a person would want to judge it."""
    screen.print()
    screen.rule(f"[bold]{escape(result.title)}", align="left")
    lines = result.diff.splitlines()
    shown = "\n".join(lines[:DIFF_LINES])
    more = f"\n… {len(lines) - DIFF_LINES} more lines" if len(lines) > DIFF_LINES else ""
    screen.print(Syntax(shown + more, "diff", background_color="default", word_wrap=True))

    tests = Table(
        "command", "exit", "ran against", title="Tests that were really run", expand=False
    )
    for test in result.tests:
        colour = "green" if test.exit_code == 0 else "red"
        commit = test.commit[:7] if test.commit else "work in progress"
        tests.add_row(escape(test.command[:LINE]), f"[{colour}]{test.exit_code}[/]", commit)
    times = Table("part", "seconds", title="How long it took", expand=False)
    for part, seconds in result.seconds.items():
        times.add_row(part, f"{seconds:.2f}")
    screen.print(Group("", tests, "", times, ""))

    mark = {"success": "green", "neutral": "yellow"}.get(result.conclusion or "", "red")
    words = [f"{result.pull_request_url}", f"check run: [{mark}]{result.conclusion}[/]"]
    if result.matches_release is not None:
        same = "[green]equal to[/]" if result.matches_release else "[red]different from[/]"
        words.append(f"changed sources are {same} the released fix")
    words.append(f"cost: ${result.usd}")
    screen.print(Panel("\n".join(words), title="Draft pull request", title_align="left"))


def show_addresses(screen: Console, result: Result, service: str, tokens: dict[str, str]) -> None:
    """Where to look while it stays up."""
    table = Table("what", "where", title="Still running; Ctrl-C ends it", expand=False)
    table.add_row("pull request", result.pull_request_url)
    table.add_row("issue", result.issue_url)
    table.add_row("service", service)
    if PHONE.is_dir():
        table.add_row("phone app", f"{service}/app/")
        table.add_row("sign in, say as maya", f"{service}/auth/github?next=/app/")
    for login, token in tokens.items():
        table.add_row(f"token of {login}", token)
    screen.print(table)
