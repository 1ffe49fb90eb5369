"""The named points of a job's life, and what may happen to a process there."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.traps import Knock

Fits = Callable[[Knock], bool]


@dataclass(frozen=True, slots=True)
class Point:
    """The `nth` request that fits; `since` names what must have happened before it counts."""

    name: str
    fits: Fits
    nth: int = 1
    since: Fits | None = None


def _redis(script: str, words: str, who: str = "worker") -> Fits:
    pattern = re.compile(words)
    return lambda knock: (
        knock.place == "redis"
        and knock.method == script
        and knock.process.startswith(who)
        and pattern.search(knock.path) is not None
    )


def _http(place: str, method: str, path: str) -> Fits:
    pattern = re.compile(path)
    return lambda knock: (
        knock.place == place
        and knock.method == method
        and knock.process.startswith("worker")
        and pattern.search(knock.path) is not None
    )


def _event(kind: str) -> Fits:
    return _redis("APPEND", f'"type":"{kind}"')


_TURN = _http("model", "POST", "/v1/messages$")
_PUSH = _http("github", "POST", "/git-receive-pack$")
_RUN = _http("sandbox", "POST", "/process.Process/Start$")
_KILL = _http("sandbox", "DELETE", "/sandboxes/")
_COMMENT = _http("github", "PATCH", r"/issues/comments/\d+$")
_CHECK = _http("github", "PATCH", r"/check-runs/\d+$")

# In the order of a job's life.
POINTS = (
    Point("delivery stored", _redis("KEEP_DELIVERY", '^\\S+ issue_comment {"action": "cr', "web")),
    Point("command stored", _redis("SUBMIT", "start_job", "web")),
    Point("delivery settled", _redis("SETTLE_DELIVERY", "start_job j", "web")),
    Point("command claimed", _redis("CLAIM", "^c")),
    Point("permission asked", _http("github", "GET", "/collaborators/")),
    Point("receipt given", _http("github", "POST", "/reactions$")),
    Point("permission recorded", _event("allowed")),
    Point("command settled", _redis("SETTLE", "followed")),
    Point("command finished", _redis("FINISH", "^c")),
    Point("job claimed", _redis("CLAIM", "^j")),
    Point("claim recorded", _event("claimed")),
    Point("comment written", _http("github", "POST", r"/issues/\d+/comments$")),
    Point("cloned", _http("github", "POST", "/git-upload-pack$")),
    Point("clone recorded", _event("cloned")),
    Point("sandbox created", _http("sandbox", "POST", "/sandboxes$")),
    Point("sandbox recorded", _event("sandbox_ready")),
    Point("first turn of the plan", _TURN),
    Point("last turn of the plan", _TURN, nth=2),
    Point("plan recorded", _event("planned")),
    Point("first turn of the work", _TURN, nth=3),
    Point("turn journalled", _redis("JOURNAL", r" work\b"), nth=2),
    Point("command run", _RUN, since=_event("step_began"), nth=2),
    Point("step finished", _TURN, nth=5),
    Point("first push", _PUSH),
    Point("first step recorded", _event("step_committed")),
    Point("pull request opened", _http("github", "POST", "/pulls$")),
    Point("pull request recorded", _event("pull_opened")),
    Point("check run created", _http("github", "POST", "/check-runs$")),
    Point("check run recorded", _event("checked")),
    Point("comment on the pull request", _http("github", "POST", r"/issues/\d+/comments$"), nth=2),
    Point("comment updated", _COMMENT, nth=2),
    Point("second push", _PUSH, nth=2),
    Point("second step recorded", _event("step_committed"), nth=2),
    Point("check run superseded", _CHECK),
    Point("pull request updated", _http("github", "PATCH", r"/pulls/\d+$")),
    Point("last push", _PUSH, nth=3),
    Point("last turn", _http("model", "POST", "/v1/messages$"), nth=12),
    Point("sandbox killed", _KILL),
    Point("last word on the issue", _COMMENT, since=_KILL),
    Point("last word on the check run", _CHECK, since=_KILL),
    Point("end recorded", _event("finished")),
    Point("job finished", _redis("FINISH", "^j")),
)

INJURIES = {
    "kill": "SIGKILL once it took effect, before the answer arrives",
    "kill unsent": "SIGKILL just before it takes effect",
    "term": "SIGTERM once it took effect, before the answer arrives",
    "freeze": "SIGSTOP before it takes effect; it does, and SIGCONT, once another took over",
    "overlap": "SIGSTOP before it takes effect; it does, and SIGCONT, amid its successor's work",
    "zombie": "SIGSTOP before it takes effect; it does, and SIGCONT, once the job is over",
    "lost answer": "it takes effect, and the connection breaks before the answer",
    "redis": "Redis is killed once it took effect, and back a second later",
}
