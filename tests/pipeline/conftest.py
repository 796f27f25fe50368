"""The pipeline, run once for all tests of this folder."""

import pytest

from tests.pipeline.project import Project, copy_of_the_project


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Project:
    """A small copy of this repository after `dvc repro`."""
    copy = copy_of_the_project(tmp_path_factory.mktemp("project"))
    copy.dvc("repro")
    return copy
