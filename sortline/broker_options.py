"""How long every Celery app of Sortline waits for its broker.

Without these, Celery's loop hangs for ever in a read on a connection that the network dropped without notice (a
firewall, a vanished machine).
"""

import socket

# Who only listens, as Flower does, sends nothing that an answer could be missed of: the kernel asks for it. Names that
# a system lacks are left out.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}

TRANSPORT_OPTIONS = {
    "health_check_interval": 5,  # seconds that an answer is overdue, after which the consumer connects again
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "socket_keepalive_options": {
        getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)
    },
    "socket_timeout": 5,  # per answer; Celery asks for messages one second at a time
}
