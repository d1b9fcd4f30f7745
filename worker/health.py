"""`python -m worker.health`: exit 0 while a worker of this host is alive, as its presence in Redis tells.

For a container's health check: it imports no model library, so it costs little.
"""

import socket
import sys

from sortline.errors import SortlineError
from sortline.queue import DocumentQueue
from sortline.redis_client import connect
from sortline.settings import get_settings


def is_alive(queue: DocumentQueue, host: str) -> bool:
    """Whether a worker of ``host`` has told of itself in the last 10 seconds.

    Raises:
        ServerUnreachableError: Redis is away.
    """
    return any(worker["host"] == host for worker in queue.workers())


def main() -> None:
    """Exit 0 when alive; else 1, with the reason."""
    host = socket.gethostname()
    try:
        settings = get_settings()
        client = connect(settings.redis, socket_timeout=3, retry=None)
        alive = is_alive(DocumentQueue(client, settings), host)
    except SortlineError as error:
        sys.exit(f"worker.health: {error}")
    if not alive:
        sys.exit(f"worker.health: no worker of {host} has told of itself in the last 10 s")


if __name__ == "__main__":
    main()
