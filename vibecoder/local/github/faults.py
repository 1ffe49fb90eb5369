"""Faults that tests inject: slow, failing and cut answers, lost and doubled deliveries."""

import re
from dataclasses import dataclass, field


@dataclass(slots=True)
class Fault:
    """One kind of trouble, for the next `times` matching requests or deliveries.

    `method` is an HTTP method, "*" for any, or "HOOK" for webhook deliveries, whose path is
    "event.action" (or "event").
    """

    method: str
    path: re.Pattern[str]
    times: int = 1
    status: int | None = None  # answer with this instead of the real answer
    late: bool = False  # the request takes effect first, only its answer is lost
    delay: float = 0.0  # seconds before anything happens
    cut: int | None = None  # send this many bytes of the real answer, then hang up
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"message":"Server Error"}'
    drop: bool = False  # HOOK only: never sent, and logged as such
    duplicate: bool = False  # HOOK only: sent twice with the same GUID


class Faults:
    """The faults that wait to happen, first added first."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def add(
        self,
        method: str,
        path: str,
        times: int = 1,
        *,
        status: int | None = None,
        late: bool = False,
        delay: float = 0.0,
        cut: int | None = None,
        headers: dict[str, str] | None = None,
        body: str = '{"message":"Server Error"}',
        drop: bool = False,
        duplicate: bool = False,
    ) -> Fault:
        """Adds a fault; `path` is a regular expression, searched in the path without /api/v3."""
        fault = Fault(
            method.upper(),
            re.compile(path),
            times,
            status,
            late,
            delay,
            cut,
            headers or {},
            body,
            drop,
            duplicate,
        )
        self.waiting.append(fault)
        return fault

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that strikes this request, used up by one."""
        for fault in self.waiting:
            if fault.method in ("*", method) and fault.path.search(path):
                if method == "HOOK" and fault.method != "HOOK":
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self.waiting.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        self.waiting.clear()
