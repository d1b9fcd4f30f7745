"""Does this machine have what Sortline needs? Each check yields findings: ok, warn or fail, and what to do."""

import sys
from collections.abc import Iterator

from sortline.cli.checks.base_model import check_base_model
from sortline.cli.checks.finding import Finding
from sortline.cli.checks.libraries import check_libraries
from sortline.cli.checks.machine import check_disk, check_engines, check_model_store
from sortline.cli.checks.postgres import check_postgres
from sortline.cli.checks.redis import check_celery_broker, check_redis
from sortline.cli.checks.web import check_flower, check_web
from sortline.settings import Settings


def examine(settings: Settings) -> Iterator[Finding]:
    """Check everything, one finding after the other; nothing is changed."""
    yield Finding("Python", "ok", ".".join(map(str, sys.version_info[:3])))
    yield from check_libraries()
    yield from check_postgres(settings)
    yield from check_redis(settings)
    yield from check_celery_broker(settings)
    yield check_disk(settings.data_dir)
    yield check_model_store(settings.models)
    yield from check_engines()
    if settings.web_url:
        yield from check_web(settings.web_address, settings.web_path, settings.web_port)
    yield from check_base_model(settings.base_model)
    yield from check_flower(settings.flower_host, settings.flower_port, settings.flower_path)
