"""`python -m worker.health`: exit 0 if a worker on this host has a current heartbeat in Redis.

It is the health check of containers. It imports no model library, so it is cheap.
"""

import socket
import sys

from sortline.errors import SortlineError
from sortline.queue import DocumentQueue
from sortline.redis_client import connect
from sortline.settings import get_settings


def is_alive(queue: DocumentQueue, host: str) -> bool:
    """Whether a worker on ``host`` has sent a heartbeat in the last 10 seconds.

    Raises:
        ServerUnreachableError: Redis can't be reached.
    """
    return any(worker["host"] == host for worker in queue.workers())


def main() -> None:
    """Exit 0 if a worker is alive; else 1, with the reason."""
    host = socket.gethostname()
    try:
        settings = get_settings()
        client = connect(settings.redis, socket_timeout=3, retry=None)
        alive = is_alive(DocumentQueue(client, settings), host)
    except SortlineError as error:
        sys.exit(f"worker.health: {error}")
    if not alive:
        sys.exit(f"worker.health: no worker on {host} has sent a heartbeat in the last 10 s")


if __name__ == "__main__":
    main()
