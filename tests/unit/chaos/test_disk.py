"""A disk that is full takes not one byte more, and has room again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.chaos.disk import Disk

BLOCK = 4096

pytestmark = pytest.mark.skipif(not Disk.can_be_had(), reason="only root may mount a disk")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir(mode=0o711)
    disk = Disk(folder)
    disk.mount()
    yield disk
    disk.unmount()


def test_what_is_on_a_full_disk_stays_and_nothing_more_fits(disk: Disk) -> None:
    (disk.folder / "old").write_bytes(b"x" * 10 * BLOCK)
    with disk.full():
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "new").write_bytes(b"x" * BLOCK)
        assert (disk.folder / "old").stat().st_size == 10 * BLOCK
    (disk.folder / "new").write_bytes(b"x" * BLOCK)


def test_the_folder_keeps_its_rights_and_is_empty_and_whole_when_the_disk_is_gone(disk: Disk) -> None:
    assert disk.folder.stat().st_mode & 0o777 == 0o711
    disk.mount()
    (disk.folder / "old").write_bytes(b"x")
    disk.unmount()
    disk.unmount()
    assert list(disk.folder.iterdir()) == []
