"""Native code that is kept: let go of whenever any source beside it has changed."""

from pathlib import Path

from tongbao.risk.models.native import STAMP, let_go_of_stale


def test_kept_code_is_let_go_of_when_any_source_changes(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("1")
    (tmp_path / "two.py").write_text("2")
    assert let_go_of_stale(tmp_path)
    kept = tmp_path / "__pycache__" / "one.f-1.py311.nbi"
    kept.write_text("compiled")
    assert not let_go_of_stale(tmp_path)
    assert kept.exists()
    (tmp_path / "two.py").write_text("22")
    assert let_go_of_stale(tmp_path)
    assert not kept.exists()
    assert (tmp_path / "__pycache__" / STAMP).exists()


def test_folder_that_cannot_be_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("1")
    (tmp_path / "__pycache__").write_text("a file where a folder should be")
    assert let_go_of_stale(tmp_path)
    assert (tmp_path / "__pycache__").is_file()
