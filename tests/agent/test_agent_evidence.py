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
    history = [
        {"role": "user", "content": "task"},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "1", "name": "edit", "input": {}},
                {"type": "tool_use", "id": "2", "name": "run_command", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "Edited a at line 1."},
                {
                    "type": "tool_result",
                    "tool_use_id": "2",
                    "content": [{"type": "text", "text": "[r7] exit 0 in 0.10 s\n[r99] no"}],
                },
            ],
        },
    ]
    ledger = Ledger.resumed(history)
    assert ledger.edits == 1
    assert "Run the command again" in (ledger.objection(["r7"]) or "")
    assert ledger.next_id() not in {"r7", "r1"}
