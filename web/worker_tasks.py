"""Tasks that pages ask a worker for."""

from kombu.exceptions import OperationalError

from sortline.celery_app import celery_app
from sortline.errors import ServerUnreachableError
from sortline.redis_address import Broker


def send_to_worker(broker: Broker, task: str, *arguments: int | str) -> None:
    """Send a task to the worker, by name so that the web need not load it.

    Raises:
        ServerUnreachableError: the broker can't be reached; ask again later.
    """
    try:
        with celery_app("web", broker.address) as app:
            app.send_task(task, list(arguments), queue="worker", retry=False, expires=60)
    except OperationalError as error:
        raise ServerUnreachableError(f"{broker} can't be reached: {error}") from None
