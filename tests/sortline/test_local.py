"""Where embedded servers keep their data."""

import os
import shutil
from pathlib import Path

import pytest

from sortline.local import embedded_postgres, make_runtime_dir
from sortline.settings import Settings


@pytest.mark.skipif(os.getuid() != 0, reason="only as root Postgres runs as a user who can't reach a private folder")
def test_a_removed_data_folder_leaves_nothing_to_the_next_one(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path / "data", database_url=None)
    make_runtime_dir(settings.runtime_dir)

    embedded_postgres(data_dir=settings.data_dir, runtime_dir=settings.runtime_dir)
    first = (settings.data_dir / "postgres").resolve()
    (first / "kept").touch()
    embedded_postgres(data_dir=settings.data_dir, runtime_dir=settings.runtime_dir)
    assert (settings.data_dir / "postgres").resolve() == first and (first / "kept").exists()

    shutil.rmtree(settings.data_dir)
    embedded_postgres(data_dir=settings.data_dir, runtime_dir=settings.runtime_dir)
    assert not (settings.data_dir / "postgres" / "kept").exists()
    assert (settings.data_dir / "postgres" / "PG_VERSION").exists()
    shutil.rmtree(first.parent)
