"""What the tests of the local stack share: the verified jars, fetched once, and waiting for a condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pytest
from tests.needs import java_or_skip
from tests.waiting import wait_until

from tradewire.operations.stack import Artifacts, Java, default_cache_dir, resolve_artifacts


@pytest.fixture(scope="session")
def java() -> Java:
    return java_or_skip()


@pytest.fixture(scope="session")
def artifacts(java: Java) -> Artifacts:
    return resolve_artifacts(default_cache_dir())


class Eventually(Protocol):
    """Returns as soon as the condition holds; fails the test if it does not within the time."""

    def __call__(self, condition: Callable[[], object], *, within_s: float = 60.0) -> None: ...


@pytest.fixture
def eventually() -> Eventually:
    def wait(condition: Callable[[], object], *, within_s: float = 60.0) -> None:
        wait_until(condition, within_s=within_s)

    return wait
