"""`python -m web`: serve the web."""

import sys

import uvicorn

from sortline.errors import SortlineError
from sortline.home import make_home
from sortline.logs import set_up_logging
from sortline.settings import get_settings
from web.app import create_app


def main() -> None:
    """Serve until told to stop; exit 1 where the settings are wrong."""
    try:
        settings = get_settings()
        make_home(settings)
        app = create_app(settings)
    except SortlineError as error:
        sys.exit(f"web: {error}")
    set_up_logging(settings.log_level, settings.log_format)
    uvicorn.run(
        app, host=settings.web_host, port=settings.web_port, log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=10,
    )  # fmt: skip


if __name__ == "__main__":
    main()
