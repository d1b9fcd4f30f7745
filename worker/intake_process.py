"""A further intake of a worker: ``python -m worker.intake_process DESCRIPTOR HOSTNAME WORKER NUMBER``.

The descriptor is its control socket to the process that computes, the host name that of the Celery worker; the worker's
name and the intake's number, from 2, are for its heartbeat. It stops when its standard input is closed, at the latest
with the worker's main process, or on SIGTERM.
"""

import logging
import os
import signal
import socket
import sys
import threading

from classifier.engines import remote
from classifier.engines.remote import Channel
from sortline import traces
from sortline.celery_app import celery_app, settings_or_exit
from sortline.logs import set_up_logging, silence_telemetry
from worker.intake import Intake, prepare_interpreter
from worker.processes import lost

log = logging.getLogger(__name__)


def main(control: int, hostname: str, worker: str, number: int) -> None:
    """Carry documents until asked to stop."""
    stopping = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the worker's main process too
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    settings = settings_or_exit("worker")
    silence_telemetry()
    set_up_logging(settings.log_level, settings.log_format)
    traces.set_up(settings.traces_url, "worker")
    remote.use(Channel(socket.socket(fileno=control), lost))
    prepare_interpreter()
    intake = Intake(settings, celery_app("worker", settings.celery_broker), hostname, worker, number)
    intake.start()
    threading.Thread(target=_wait_for_end, args=(stopping,), name="wait for end", daemon=True).start()
    stopping.wait()
    intake.stop()
    logging.shutdown()


def _wait_for_end(stopping: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    stopping.set()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
