"""How patient every Celery app of Sortline is with its broker.

Without these, a connection that the network forgot (a firewall, a machine that vanished) is waited on for ever: Redis
answers nobody there, and Celery's loop hangs in a read.
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
    "socket_timeout": 5,  # of one answer; messages are asked for a second at a time
}
