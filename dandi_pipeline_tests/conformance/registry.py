"""The platforms under test: all there are, each served by the module here that has its name."""

from collections.abc import Mapping
from importlib import import_module

from dandi_pipeline.platforms.registry import PLATFORMS
from dandi_pipeline_tests.conformance.platform_under_test import PlatformUnderTest


def _under_test(platform: str) -> PlatformUnderTest:
    served: PlatformUnderTest = import_module(f"{__package__}.{platform}").served
    return served


UNDER_TEST: Mapping[str, PlatformUnderTest] = {name: _under_test(name) for name in PLATFORMS}
