"""`python -m web`: serve the web."""

import logging
import sys
from contextlib import suppress

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from sortline.errors import ServerUnreachableError, SortlineError
from sortline.home import make_home
from sortline.listening import listen
from sortline.logs import set_up_logging
from sortline.redis_check import check_documents
from sortline.settings import get_settings
from web.app import create_app

log = logging.getLogger(__name__)


def main() -> None:
    """Serve until stopped; exit 1 if the settings are wrong."""
    try:
        settings = get_settings()
        make_home(settings.data_dir)
        set_up_logging(settings.log_level, settings.log_format)
        sockets = listen(settings.web_host, settings.web_port, "WEB")
        app = create_app(settings)
        check_documents(settings.redis)
    except ServerUnreachableError as error:
        log.error("%s", error)  # it serves all the same: /health/ready says so
    except SortlineError as error:
        sys.exit(f"web: {error}")
    config = uvicorn.Config(
        app, host=settings.web_host, port=settings.web_port, log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=10, forwarded_allow_ips=settings.proxies,
    )  # fmt: skip
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):
        server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


if __name__ == "__main__":
    main()
