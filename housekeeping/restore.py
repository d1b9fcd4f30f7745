"""Restore a backup into empty servers; what has been erased since does not come back."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

import redis

from db.queries import audit, erasure, server
from db.queries.erasure import Erasure, name_hash
from db.session import session
from housekeeping.backup import DATABASE, MODELS, stream_file
from housekeeping.manifest import Manifest, read_manifest
from housekeeping.postgres_tools import load
from housekeeping.store_files import fill_store, holds_anything
from housekeeping.stream_files import load_stream
from housekeeping.streams import name_of
from migrations.upgrade import is_known, migrate
from sortline import __version__
from sortline.errors import BackupError, ConflictError
from sortline.postgres_address import PostgresAddress
from sortline.queue import DocumentQueue, order
from sortline.redis_client import connect, reaching
from sortline.settings import Settings
from trainer.report.texts import forget_erased, text_files


def restore(
    settings: Settings, folder: Path, actor: str, force: bool = False, erased: Iterable[str] = (),
    on_part: Callable[[str], None] = lambda _: None,
) -> Manifest:  # fmt: skip
    """Fill servers and model store from a backup, and upgrade the schema. No process of Sortline may be running.

    The restored database's audit log says who restored which backup, as its last row.

    Args:
        actor: who restores it, for the audit log.
        force: replace what is there.
        erased: erasures since the backup, as lines that `sortline erase --list` printed. Those that the servers
            know are kept too.
        on_part: called with the name of each part before it is restored.

    Raises:
        BackupError: the backup is damaged, incomplete, or not for this server; nothing was changed.
        ConflictError: the target is not empty, or workers are running; nothing was changed.
    """
    on_part("checking the backup")
    manifest, since = read_manifest(folder), _parse(erased)
    with connect(settings.redis, socket_timeout=60) as client, reaching(client):
        since += _check_target(settings, client, manifest, force)
        on_part("Postgres")
        major = _clear(client, settings.postgres_url, settings.prefix)
        load(settings.postgres_url, major, manifest.pg_dump, folder / DATABASE)
        migrate(settings.postgres_url)
        on_part("model store")
        fill_store(folder / MODELS, settings.models)
        gone, erased_again = _apply(settings.postgres_url, settings.models, manifest, since)
        for name, stream in settings.streams.items():
            on_part(f"Redis, {name}")
            load_stream(client, stream, folder / stream_file(name), _not_in(gone, name))
    _note(settings.postgres_url, actor, folder, manifest, erased_again)
    return manifest


def _parse(lines: Iterable[str]) -> list[Erasure]:
    try:
        rows = [json.loads(line) for line in lines if line.strip()]
        return [
            Erasure(bytes.fromhex(row["name_hash"]), dict(row["before"]), datetime.fromisoformat(row["erased_at"]))
            for row in rows
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"the list of erasures can't be read: {error}") from None


def _check_target(settings: Settings, client: redis.Redis, manifest: Manifest, force: bool) -> list[Erasure]:
    """Refuse a target that must not be overwritten or does not fit; returns the erasures that it knows."""
    if not is_known(manifest.schema):
        raise BackupError(
            f"the backup's schema {manifest.schema} is from a newer Sortline than this one ({__version__})"
        )
    if DocumentQueue(client, settings).workers():
        raise ConflictError("workers are running; stop every process of Sortline first")
    with session(settings.postgres_url) as opened:
        major, _ = server.version(opened)
        if major < manifest.postgres:
            raise BackupError(f"the backup is from Postgres {manifest.postgres}, but this server is older ({major})")
        used = server.used_tables(opened)
        known = erasure.listing(opened) if "erasures" in used else []
    streams = [stream for stream in settings.streams.values() if client.xlen(stream)]
    found = [f"the database ({', '.join(used[:3])})"] if used else []
    found += [f"Redis ({', '.join(streams)})"] if streams else []
    found += [f"the model store {settings.models}"] if holds_anything(settings.models) else []
    if found and not force:
        raise ConflictError(f"the target is not empty: {'; '.join(found)}; --force replaces what is there")
    return known


def _clear(client: redis.Redis, postgres: PostgresAddress, prefix: str) -> int:
    """Empty the database and Redis' keys; returns the server's major version."""
    with session(postgres) as opened:
        server.clear(opened)
        opened.commit()
        major, _ = server.version(opened)
    for key in client.scan_iter(match=f"{prefix}:*", count=1000):
        client.delete(key)
    return major


def _apply(
    postgres: PostgresAddress, models: str, manifest: Manifest, since: Sequence[Erasure]
) -> tuple[dict[bytes, Erasure], int]:
    """Erase again what the backup brought back, and note where the model store is now.

    Returns:
        All erasures by their name's hash, and how many documents were erased again.
    """
    with session(postgres) as opened:
        server.move_store(opened, manifest.models, models)
        erasure.add(opened, since)
        names = erasure.returned(opened)
        erasure.delete_letters(opened, names)
        gone = erasure.delete_documents(opened, erasure.find(opened, names), "request")
        forget_erased(opened, text_files(opened, models))
        opened.commit()
        return {each.name_hash: each for each in erasure.listing(opened)}, gone.documents


def _note(postgres: PostgresAddress, actor: str, folder: Path, manifest: Manifest, erased_again: int) -> None:
    """Add the row to the audit log that says which backup this database was restored from."""
    detail = {
        "backup": folder.resolve().name, "made_at": manifest.made_at, "counts": manifest.counts,
        "erased_again": erased_again,
    }  # fmt: skip
    with session(postgres) as opened:
        audit.note(opened, actor, "restored", "backup", detail)
        opened.commit()


def _not_in(gone: dict[bytes, Erasure], stream: str) -> Callable[[str, dict[bytes, bytes]], bool]:
    def wanted(entry_id: str, fields: dict[bytes, bytes]) -> bool:
        name = name_of(fields)
        found = None if name is None else gone.get(name_hash(*name))
        return found is None or order(entry_id) > order(found.before[stream])

    return wanted
