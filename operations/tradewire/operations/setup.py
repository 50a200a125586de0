"""`python -m tradewire.operations.setup`: topics as declared, schemas registered. Repeating it changes nothing."""

from __future__ import annotations

import sys

from tradewire.core import TradewireError, configure_logs, get_logger, load_settings
from tradewire.core.settings import Settings
from tradewire.schemas import Contract, TopicAdmin

_log = get_logger(__name__)


def apply_contract(settings: Settings) -> None:
    """Makes the declared topics and registers every schema, oldest version first.

    Raises:
        KafkaUnavailable, RegistryUnavailable: nothing is half done that a repetition would not complete.
        ContractError: broker or registry refuses something; names it.
    """
    contract = Contract.load(settings)
    for change in TopicAdmin(settings.kafka).ensure(contract.topics):
        _log.warning("topic_differs", topic=change.topic.name, detail=change.detail, left_because=change.refused)
    registered = contract.register_all(settings.registry)
    new = [item.title for item in registered if item.is_new]
    _log.info("contract_applied", topics=len(contract.topics), schemas=len(registered), new_schemas=len(new))


def main() -> None:
    """Exit code 0 when the contract is in place, 1 with the reason on stderr otherwise."""
    try:
        settings = load_settings()
        configure_logs(settings.log.level, settings.log.format, component="setup")
        apply_contract(settings)
    except TradewireError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
