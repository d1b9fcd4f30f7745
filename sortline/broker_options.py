"""How long every Celery app of Sortline waits for its broker.

Without these, Celery's loop hangs for ever in a read on a connection that the network dropped without notice (a
firewall, a vanished machine).
"""

TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "socket_timeout": 5,  # per answer; Celery asks for messages one second at a time
}
