"""Whether a training is due, by a test's settings."""

from sqlalchemy.orm import Session

from sortline.settings import Settings
from trainer import trigger


def due(session: Session, settings: Settings) -> str | None:
    """Why one should start now; None: it should not."""
    return trigger.due(
        session,
        enough=settings.retrain_after,
        hours=settings.retrain_every_h,
        drift_trains=settings.drift_trains,
    )
