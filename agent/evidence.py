"""What was really run, and when. A summary may only cite runs that are in here and still count."""

from collections.abc import Sequence

from agent.progress import Message, Run


class Ledger:
    """The runs and edits of one conversation, in order."""

    def __init__(self) -> None:
        self.edits = 0  # made by the tools; what commands change is not counted
        self.runs: dict[str, Run] = {}
        self._last_number = 0
        self._lost: set[str] = set()

    @classmethod
    def resumed(cls, history: Sequence[Message], edits: int = 0) -> "Ledger":
        """The ledger that goes on after `history`, and counts edits from `edits` at least.

        Numbers are never used twice, not even that of a run whose result nobody saw. Runs from
        before count no longer: what was under way when the worker was lost may have changed files.
        """
        ledger = cls()
        for message in history:
            for block in message["content"] if isinstance(message["content"], list) else ():
                if block["type"] != "tool_use":
                    continue
                if block["name"] in {"edit", "write_file"}:
                    ledger.edits += 1
                elif block["name"] == "run_command":
                    ledger._lost.add(ledger.next_id())
        ledger.edits = max(ledger.edits, edits)
        return ledger

    def next_id(self) -> str:
        """The id for a run that starts now."""
        self._last_number += 1
        return f"r{self._last_number}"

    def objection(self, run_ids: Sequence[str]) -> str | None:
        """Why these runs cannot be cited for the files as they are now; None if they can."""
        for run_id in run_ids:
            run = self.runs.get(run_id)
            if run is None and run_id in self._lost:
                return f"{run_id} ran before the worker was replaced. Run the command again."
            if run is None:
                known = ", ".join(self.runs) or "none"
                return f"There is no run {run_id}; the runs are: {known}."
            if run.edits < self.edits:
                return f"The last edit is newer than {run_id}. Run the command again."
        return None
