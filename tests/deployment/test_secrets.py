"""deploy/make-secrets: random, private, and the same when run again."""

import re
import stat
import subprocess
from hashlib import sha256
from pathlib import Path

from sortline.settings import Settings

ROOT = Path(__file__).parents[2]


def _make(folder: Path) -> dict[str, str]:
    subprocess.run(["sh", ROOT / "deploy/make-secrets", folder], check=True, capture_output=True)
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_every_run_elsewhere_makes_other_passwords(tmp_path: Path) -> None:
    one, other = _make(tmp_path / "one"), _make(tmp_path / "other")
    assert one.keys() == other.keys()
    assert not set(one.values()) & set(other.values())
    assert all(re.fullmatch(r"[0-9a-f]{48}\n", one[name]) for name in one if name.endswith("_password"))


def test_a_second_run_keeps_the_passwords_and_mends_the_rest(tmp_path: Path) -> None:
    before = _make(tmp_path)
    (tmp_path / "redis_users.acl").unlink()
    assert _make(tmp_path) == before


def test_a_removed_password_is_made_anew_with_what_follows_from_it(tmp_path: Path) -> None:
    before = _make(tmp_path)
    (tmp_path / "redis_password").unlink()
    after = _make(tmp_path)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"redis_password", "redis_url", "redis_users.acl"}


def test_the_folder_is_its_owners_and_the_files_can_be_read_in_containers(tmp_path: Path) -> None:
    _make(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o444}


def test_redis_gets_hashes_and_no_passwords(secrets: Path) -> None:
    users = (secrets / "redis_users.acl").read_text()
    for name in ("redis_password", "redis_producer_password"):
        password = (secrets / name).read_text().strip()
        assert password not in users
        assert f"#{sha256(password.encode()).hexdigest()} " in users
    assert "SHA256" not in users


def test_the_settings_read_the_files(secrets: Path) -> None:
    settings = Settings(
        _env_file=None,
        database_url_file=secrets / "database_url",
        redis_url_file=secrets / "redis_url",
        flower_basic_auth_file=secrets / "flower_basic_auth",
    )
    assert re.fullmatch(r"postgresql://sortline:\w+@postgres:5432/sortline", settings.postgres_url.url)
    assert re.fullmatch(r"redis://sortline:\w+@redis:6379/1", settings.celery_broker.url)
    assert (settings.flower_password or "").startswith("sortline:")
    assert not settings.embedded


def test_git_and_docker_leave_the_secrets_out() -> None:
    assert "secrets/" in (ROOT / "deploy/.gitignore").read_text().splitlines()
    allowed = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert not [line for line in allowed if "deploy" in line or "env" in line]
