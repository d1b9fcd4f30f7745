"""docs/settings.md says what sortline.settings says."""

import runpy
from pathlib import Path

from sortline.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_generator_writes() -> None:
    generated = runpy.run_path(str(DOCS / "generate_settings.py"))["page"]()
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == generated, "run: python docs/generate_settings.py"


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
