"""How patient every Celery app of Sortline is with its broker.

Without these, a connection that the network forgot (a firewall, a machine that vanished) is waited on for ever: Redis
answers nobody there, and Celery's loop hangs in a read.
"""

TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "socket_timeout": 5,  # of one answer; messages are asked for a second at a time
}
