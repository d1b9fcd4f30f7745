"""Labelled files become documents with reviews by `import`."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Document, DocumentSplit, Label, Review, User
from db.queries.labelled import labelled_documents
from db.session import session as open_session
from sortline.errors import ImportFileError
from sortline.settings import Settings
from trainer.import_file import ImportReport, import_file
from trainer.readers import Columns
from trainer.split import leaks

Import = Callable[..., ImportReport]
