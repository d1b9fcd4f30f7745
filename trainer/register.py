"""What a training run leaves in the database: a model version with its forms, and what becomes of it."""

from collections.abc import Sequence

from db.queries import model_forms, model_versions, queue_items, training_runs
from db.session import session
from sortline.errors import ConflictError
from sortline.postgres_address import PostgresAddress
from trainer.data.training_data import TrainingData
from trainer.evaluation.drift_reference import freeze
from trainer.evaluation.forms import best
from trainer.evaluation.judge import Judged
from trainer.evaluation.label_errors import Suspect
from trainer.forms import store_forms
from trainer.lease import Lease
from trainer.publish import Published, PublishedForm


def register(
    postgres: PostgresAddress,
    lease: Lease,
    published: Published,
    judged: Judged,
    data: TrainingData,
    suspects: list[Suspect],
    forms: Sequence[PublishedForm],
    auto_promote: bool,
) -> int:
    """The checkpoint becomes a model version, the verdict is carried out, and the run ends: one transaction."""
    description = published.stored.description
    figures = judged.figures.model_copy(update={"report": published.report})
    with session(postgres) as opened:
        before = model_versions.active(opened)
        version = model_versions.create(
            opened,
            checkpoint_uri=published.uri,
            sha256=published.stored.sha256,
            base_model=description.base_model,
            parent_id=before.id if before else None,
            form=best([each.tried for each in forms]),
            label_ids=description.label_ids,
            metrics=figures.stored(),
            report_sha256=published.report_sha256,
        )
        model_versions.settle(
            opened, version.id, figures.gate.outcome, figures.gate.against, auto_promote, actor="trainer",
            asks=figures.gate.cross_validated,
        )  # fmt: skip
        model_forms.add(opened, version.id, "whole", "proved", uri=published.uri, sha256=published.stored.sha256)
        freeze(opened, version.id, data, judged, lease.run_id)
        store_forms(opened, version.id, forms, data, lease.run_id)
        names = dict(zip(description.label_ids, description.labels, strict=True))
        queue_items.add(opened, [each.as_item(names) for each in suspects], "label_error")
        ours = training_runs.finish(opened, lease.run_id, lease.token, state="done", model_version_id=version.id)
        if not ours:
            raise ConflictError(f"training run {lease.run_id} no longer belongs to this process")
        opened.commit()
        return version.id
