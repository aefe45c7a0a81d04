"""The page of benchmarks is what stands beside it."""

import json

from benchmarks.run import page
from tests.helpers.scripts import ROOT


def test_the_page_is_made_of_what_was_measured():
    sections = json.loads((ROOT / "docs/performance/sections.json").read_text())
    assert (ROOT / "docs/performance.md").read_text() == page(sections)
