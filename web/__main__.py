"""`python -m web`: serve the web."""

import logging
import sys

import uvicorn

from sortline.errors import ServerUnreachableError, SortlineError
from sortline.home import make_home
from sortline.logs import set_up_logging
from sortline.redis_check import check_documents
from sortline.settings import get_settings
from web.app import create_app

log = logging.getLogger(__name__)


def main() -> None:
    """Serve until told to stop; exit 1 where the settings are wrong."""
    try:
        settings = get_settings()
        make_home(settings)
        set_up_logging(settings.log_level, settings.log_format)
        app = create_app(settings)
        check_documents(settings)
    except ServerUnreachableError as error:
        log.error("%s", error)  # it serves: /health/ready says so
    except SortlineError as error:
        sys.exit(f"web: {error}")
    uvicorn.run(
        app, host=settings.web_host, port=settings.web_port, log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=10, forwarded_allow_ips=settings.forwarded_allow_ips,
    )  # fmt: skip


if __name__ == "__main__":
    main()
