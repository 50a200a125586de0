"""The fault suite: publisher, worker, sink and subscriber under load, broker and engine behind them, faults of a seed.

``make test`` runs three seeds, which together make every fault; ``make chaos`` runs twenty, or those that ``SEEDS``
names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.needs import java_or_skip
from tests.operations.chaos_schedule import IN_EVERY_RUN, schedule, seeds_of
from tests.operations.chaos_stack import ChaosStack, chaos_stack

from tradewire.core.settings import RegistrySettings

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(600)]


class Stacks:
    """The stack that runs; after a seed that did not end well the next one gets a new one."""

    def __init__(self, registry: str, folders: pytest.TempPathFactory) -> None:
        self._registry, self._folders = registry, folders
        self._running = ExitStack()
        self._stack: ChaosStack | None = None

    def take(self) -> ChaosStack:
        """The stack, which whoever takes it gives back when it has ended well."""
        taken, self._stack = self._stack, None
        if taken is not None:
            return taken
        self.close()
        return self._running.enter_context(chaos_stack(self._folders.mktemp("chaos"), self._registry))

    def give_back(self, stack: ChaosStack) -> None:
        self._stack = stack

    def close(self) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def stacks(registry_settings: RegistrySettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    java_or_skip()
    made = Stacks(registry_settings.url, tmp_path_factory)
    yield made
    made.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        given = metafunc.config.getoption("--chaos-seeds")
        metafunc.parametrize("seed", seeds_of(given) if given else IN_EVERY_RUN)


def test_under_the_faults_of_a_seed_nothing_is_lost_and_nothing_is_doubled(seed: int, stacks: Stacks) -> None:
    faults = schedule(seed)
    print(f"seed {seed}, again with: make chaos SEEDS={seed}")
    stack = stacks.take()
    stack.publish(seed)
    stack.suffer(faults)
    stack.calm()
    stack.assert_nothing_is_lost_or_doubled(seed)
    stacks.give_back(stack)
