"""A backup: everything that must not be lost, while the line goes on.

The order makes it complete. A worker commits a document to Postgres before it removes it from its lane, so the lanes
are copied first: what has left its lane by then is in Postgres, which is copied next. Events reach the results stream
after their commit, so that stream is copied after Postgres: what Postgres calls sent is in it. A checkpoint is in the
model store before the database names it, so the store is copied last.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from classifier.checkpoint_folder import read_checkpoint
from db.queries import embeddings, model_forms, model_versions, server
from db.session import session
from housekeeping.manifest import Manifest, write_manifest
from housekeeping.postgres_tools import dump
from housekeeping.store_files import fetch_store
from housekeeping.stream_files import write_stream
from sortline import __version__
from sortline.errors import BackupError, CheckpointError
from sortline.postgres_address import PostgresAddress
from sortline.redis_client import connect, reaching, told
from sortline.settings import LANES, Settings
from sortline.whole_file import file_sha256

DATABASE = "postgres.dump"
MODELS = "models"
_MOST_VERSIONS = 1_000_000


def stream_file(name: str) -> str:
    """A stream's file in the backup, by `live`, `bulk` and `results`."""
    return f"redis-{name}.entries"


def backup(settings: Settings, folder: Path, on_part: Callable[[str], None] = lambda _: None) -> Manifest:
    """Write a backup into an empty or new folder, which only its owner may open because it holds texts.

    Args:
        on_part: called with the name of each part before it is copied.

    Raises:
        BackupError: the folder is not empty, there is no schema, or a program is missing or fails.
        ServerUnreachableError: a server can't be reached.
    """
    _prepare(folder)
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    counts: dict[str, int] = {}
    with connect(settings.redis, socket_timeout=60) as client, reaching(client):
        streams = settings.streams
        for lane in LANES:
            on_part(f"lane {lane}")
            counts[str(lane)] = write_stream(client, streams[lane], folder / stream_file(lane))
        on_part("Postgres")
        with session(settings.postgres_url) as opened:
            revision, (major, _), only = server.revision(opened), server.version(opened), _only(opened)
        if revision is None:
            raise BackupError("the database has no tables of Sortline, so there is nothing to back up")
        pg_dump = dump(settings.postgres_url, major, folder / DATABASE, only)
        on_part("results")
        counts["results"] = write_stream(client, streams["results"], folder / stream_file("results"))
        redis_version = str(told(client, "server").get("redis_version", "unknown"))
    on_part("model store")
    (folder / MODELS).mkdir()
    counts["files"] = fetch_store(settings.models, folder / MODELS)
    parts = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    manifest = Manifest(
        __version__, revision, made_at, major, pg_dump, redis_version, settings.models, counts,
        _damaged(settings.postgres_url, folder / MODELS),
        {name: file_sha256(path) for name, path in parts.items()},
    )  # fmt: skip
    write_manifest(folder, manifest)
    return manifest


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BackupError(f"{folder} is not empty; name a new or empty folder")
        folder.chmod(0o700)
    except OSError as error:
        raise BackupError(f"{folder} can't be used: {error.strerror}") from None


def _only(opened: Session) -> list[str]:
    """pg_dump's options where Sortline has a schema of its own: others beside it may be closed to this role."""
    schema = server.schema(opened)
    if schema == server.PUBLIC:
        return []
    extensions = ["--extension=vector"] if embeddings.has_pgvector(opened) else []
    return [f"--schema={schema}", f"--schema={server.OPTUNA}", *extensions]


def _damaged(postgres: PostgresAddress, models: Path) -> list[int]:
    """Ids of the versions with a checkpoint that is missing in the copy, or differs from what its row says."""
    with session(postgres) as opened:
        versions = model_versions.listing(opened, _MOST_VERSIONS)
        forms = model_forms.of_versions(opened, [version.id for version in versions])
    sealed = {(version.id, version.checkpoint_uri, version.sha256) for version in versions}
    sealed |= {(form.model_version_id, form.uri, form.sha256) for form in forms if form.uri and form.sha256}
    found = set()
    for version_id, uri, sha256 in sealed:
        try:
            read_checkpoint(models / uri.rstrip("/").rpartition("/")[2], sha256)
        except CheckpointError:
            found.add(version_id)
    return sorted(found)
