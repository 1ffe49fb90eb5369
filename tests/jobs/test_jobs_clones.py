"""A worker's folder for clones: what dead workers left goes, what living ones use stays."""

from pathlib import Path

from vibecoder.compose.clones import clones


def test_what_dead_workers_left_goes_and_what_living_ones_use_stays(tmp_path: Path) -> None:
    with clones(tmp_path) as living:
        (living / "job").mkdir()
        (tmp_path / "0dead000").mkdir()
        (tmp_path / "0dead000.lock").touch()
        # Its lock went with it, and a thread of it wrote on for a moment.
        (tmp_path / "1dead111" / "objects").mkdir(parents=True)

        with clones(tmp_path) as new:
            assert {it.name for it in tmp_path.iterdir() if it.is_dir()} == {living.name, new.name}
            assert (living / "job").is_dir()
    assert [it.name for it in tmp_path.iterdir()] == ["lock"]
