"""A third adapter is one module (`plugin/image_backend.py`) and this file."""

from __future__ import annotations

import pytest
from image_backend import ImageBackend

from hmp_core.testing.backend_suite import BackendSuite, MakeBackend


class TestImageBackend(BackendSuite):
    @pytest.fixture
    def make(self) -> MakeBackend:
        return ImageBackend
