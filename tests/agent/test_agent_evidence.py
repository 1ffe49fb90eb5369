"""Which runs may be cited."""

from agent.evidence import Ledger
from agent.progress import Run


def run(run_id: str, edits: int) -> Run:
    return Run(run_id, "pytest", "/", 0, 0.1, "0" * 64, "", edits)


def test_runs_newer_than_the_last_edit_may_be_cited() -> None:
    ledger = Ledger()
    ledger.edits = 2
    ledger.runs = {"r1": run("r1", 1), "r2": run("r2", 2)}
    assert ledger.objection(["r2"]) is None
    assert ledger.objection([]) is None
    assert "newer than r1" in (ledger.objection(["r2", "r1"]) or "")
    assert "no run r9; the runs are: r1, r2" in (ledger.objection(["r9"]) or "")


def test_after_a_lost_worker_numbers_go_on_and_old_runs_count_no_more() -> None:
    calls = [
        {"type": "tool_use", "id": str(number), "name": name, "input": {}}
        for number, name in enumerate(["edit", "run_command", "read_file", "run_command"])
    ]
    results = [{"type": "tool_result", "tool_use_id": "1", "content": "[r1] exit 0 in 0.10 s"}]
    ledger = Ledger.resumed(
        [
            {"role": "user", "content": "task"},
            {"role": "assistant", "content": calls},
            {"role": "user", "content": results},
        ]
    )
    assert ledger.edits == 1
    assert "Run the command again" in (ledger.objection(["r1"]) or "")
    assert "Run the command again" in (ledger.objection(["r2"]) or "")
    assert ledger.next_id() == "r3"
