"""The platforms under test: one line each."""

from collections.abc import Mapping

from dandi_pipeline_tests.conformance.airtable import served_airtable
from dandi_pipeline_tests.conformance.dandi import served_dandi
from dandi_pipeline_tests.conformance.notion import served_notion
from dandi_pipeline_tests.conformance.platform_under_test import PlatformUnderTest

UNDER_TEST: Mapping[str, PlatformUnderTest] = {
    "dandi": served_dandi,
    "airtable": served_airtable,
    "notion": served_notion,
}
