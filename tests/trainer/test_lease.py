"""Only who holds the lease of a run may write to it; what holds none is taken up again or can be ended."""

import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from labelled_lines import labelled_lines
from sqlalchemy.orm import Session

from db.models import AuditEvent, Label, TrainingRun, User
from db.queries import training_runs
from sortline.errors import ConflictError, NotFoundError
from sortline.settings import Settings
from tests import loaded
from tests.conftest import environment
from trainer import lease as lease_module
from trainer.fine_tuning.work_folder import work_folder
from trainer.lease import Lease

Sortline = Callable[..., subprocess.CompletedProcess[str]]

_MOST_LOOKS = 6000  # at least a minute, on a machine of any speed


def waiting_run(session: Session) -> TrainingRun:
    run = training_runs.create(session, "test", {})
    session.commit()
    return run


def claim(session: Session, run: TrainingRun) -> int:
    token = training_runs.claim(session, run.id)
    assert token is not None
    session.commit()
    session.refresh(run)
    return token


def take_away(session: Session, run: TrainingRun) -> None:
    """As housekeeping does with a run whose process is silent."""
    assert [each.id for each in training_runs.expire(session, 0.0, attempts=3)] == [run.id]
    session.commit()
    session.refresh(run)


def test_a_process_that_lost_its_run_can_write_nothing_more(session: Session) -> None:
    run = waiting_run(session)
    lost = claim(session, run)
    take_away(session, run)
    assert (run.state, run.attempts) == ("waiting", 1)
    assert not training_runs.beat(session, run.id, lost, {"stage": "evaluating"})
    assert not training_runs.finish(session, run.id, lost, state="done")

    holder = claim(session, run)

    assert (run.attempts, holder > lost) == (2, True)
    assert not training_runs.beat(session, run.id, lost, {"stage": "evaluating"})
    assert not training_runs.finish(session, run.id, lost, state="done")
    assert training_runs.beat(session, run.id, holder, {"stage": "fine-tuning"})
    assert training_runs.finish(session, run.id, holder, state="failed", error="x")
    session.commit()
    session.refresh(run)
    assert (run.state, run.progress) == ("failed", {"stage": "fine-tuning"})


def test_a_run_that_is_heard_of_is_left_alone(session: Session) -> None:
    run = waiting_run(session)
    token = claim(session, run)

    assert training_runs.expire(session, 60.0, attempts=3) == []
    assert training_runs.claim(session, run.id) is None
    assert training_runs.beat(session, run.id, token, {})


def test_the_heart_beats_on_while_a_stage_tells_nothing(
    session: Session, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "BEAT_EVERY_S", 0.01)
    run = waiting_run(session)
    token = claim(session, run)
    seen: set[datetime] = set()
    with Lease(settings.postgres_url, run.id, token, lambda _: None) as lease:
        lease.report("evaluating")
        for _ in range(_MOST_LOOKS):
            session.commit()
            session.refresh(run)
            assert run.heartbeat_at is not None
            seen.add(run.heartbeat_at)
            if len(seen) > 3:
                break
            time.sleep(0.01)
    assert len(seen) > 3
    assert run.progress == {"stage": "evaluating"}


@pytest.mark.parametrize(
    ("end", "reason"),
    [("cancel", "was cancelled"), ("take over", "no longer belongs to this process")],
)
def test_who_tells_of_progress_learns_that_the_run_is_lost(
    session: Session, settings: Settings, monkeypatch: pytest.MonkeyPatch, end: str, reason: str
) -> None:
    monkeypatch.setattr(lease_module, "BEAT_EVERY_S", 0.01)
    run = waiting_run(session)
    token = claim(session, run)
    with Lease(settings.postgres_url, run.id, token, lambda _: None) as lease:
        if end == "cancel":
            training_runs.cancel(session, run.id, "ann")
        else:
            training_runs.expire(session, 0.0, attempts=3)
        session.commit()
        with pytest.raises(ConflictError, match=f"training run {run.id} {reason}"):
            for _ in range(_MOST_LOOKS):
                lease.report("evaluating")
                time.sleep(0.01)


def test_what_waits_or_runs_can_be_cancelled_once(session: Session) -> None:
    run = waiting_run(session)
    training_runs.cancel(session, run.id, "ann")
    session.commit()

    assert (run.state, run.error, run.finished_at is None) == ("cancelled", "cancelled by ann", False)
    assert training_runs.claim(session, run.id) is None
    with pytest.raises(ConflictError, match=f"training run {run.id} is cancelled already"):
        training_runs.cancel(session, run.id, "bob")
    with pytest.raises(NotFoundError, match="there is no training run 999"):
        training_runs.cancel(session, 999, "bob")
    event = session.query(AuditEvent).one()
    assert (event.actor, event.action, event.subject) == ("ann", "cancel_training", f"training_run:{run.id}")


def test_the_command_line_waits_for_no_run_and_cancels_one(sortline: Sortline, session: Session) -> None:
    run = waiting_run(session)
    token = claim(session, run)
    training_runs.beat(session, run.id, token, {"stage": "fine-tuning", "step": 3, "steps": 1000})
    session.commit()

    busy = sortline("train")
    assert busy.returncode == 1
    assert f"training run {run.id} is running (fine-tuning, step 3 of 1,000); wait for it, or cancel it" in busy.stderr
    assert sortline("train", "--cancel").stdout == f"training run {run.id} was cancelled\n"
    none = sortline("train", "--cancel")
    assert (none.returncode, "no waiting or running training" in none.stderr) == (1, True)


def test_the_command_line_goes_on_with_a_run_whose_process_died(sortline: Sortline, session: Session) -> None:
    session.add_all([Label(id=1, name="card"), User(id=50, name="ann", role="reviewer")])
    run = waiting_run(session)
    claim(session, run)
    take_away(session, run)

    again = sortline("train")

    session.refresh(run)
    assert f"resuming training run {run.id}" in again.stderr
    assert (again.returncode, run.state, run.attempts) == (1, "failed", 2)
    assert run.error is not None
    assert run.error in again.stderr  # there is nothing to learn from


def test_a_command_line_that_is_told_to_stop_cancels_its_run(
    session: Session, settings: Settings, import_lines: Callable[..., object], tmp_path: Path
) -> None:
    import_lines(labelled_lines(60))
    command = ["sortline", "train", "--epochs", "100"]
    with loaded.start(command, tmp_path, environment(settings)) as process:
        for _ in range(_MOST_LOOKS):
            session.commit()
            session.expire_all()
            run = training_runs.unfinished(session)
            if run is not None and run.state == "running":
                break
            assert process.poll() is None
            time.sleep(0.01)
        assert run is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 1

    session.commit()
    session.refresh(run)
    assert (run.state, run.error) == ("cancelled", "interrupted")
    assert not work_folder(settings.data_dir, run.id).exists()
