"""The declared topics on a real broker: look, plan, apply."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from tradewire.core.errors import ContractError, KafkaUnavailable
from tradewire.core.settings import KafkaSettings
from tradewire.schemas.topics import Topic, TopicChange, TopicOnBroker, plan_topics

_LOOK_AGAIN_S = 0.05
# Nobody has refused: the broker or its controller is away or busy.
_NO_ANSWER = (
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_CONTROLLER,
)


class TopicAdmin:
    """Topics of one cluster. Every call blocks for at most ``timeout_ms`` and raises KafkaUnavailable after it."""

    def __init__(self, kafka: KafkaSettings, timeout_ms: int = 15_000) -> None:
        # Level 2: a refused connection comes back as our error, not as a stream of lines on stderr.
        self._admin = AdminClient({**kafka.client_config(), "log_level": 2})
        self._servers = kafka.bootstrap_servers
        self._timeout = timeout_ms / 1000

    def found(self, names: Iterable[str]) -> Mapping[str, TopicOnBroker]:
        """What the broker has of the named topics."""
        wanted = set(names)
        try:
            metadata = self._admin.list_topics(timeout=self._timeout)
            present = {name: topic for name, topic in metadata.topics.items() if name in wanted and topic.error is None}
            resources = [ConfigResource(ResourceType.TOPIC, name) for name in present]
            answers = self._admin.describe_configs(resources, request_timeout=self._timeout) if resources else {}
            configs = {
                resource.name: {key: str(entry.value) for key, entry in future.result(self._timeout).items()}
                for resource, future in answers.items()
            }
        except (KafkaException, TimeoutError) as error:
            raise KafkaUnavailable(
                f"{self._servers}: topics cannot be read ({error.args[0]}): is a broker running there? "
                "`tradewire up` starts one"
            ) from error
        return {name: TopicOnBroker(len(topic.partitions), configs[name]) for name, topic in present.items()}

    def plan(self, declared: Mapping[str, Topic]) -> list[TopicChange]:
        """What ``apply`` would do; changes nothing."""
        return plan_topics(declared, self.found(declared))

    def apply(self, changes: Sequence[TopicChange]) -> list[TopicChange]:
        """Makes the changes that are not refused and returns those made. Safe to repeat and to run twice at once.

        When it returns, every partition of the topics it has made has a leader that answers.

        Raises:
            ContractError: the broker refuses a change; names the topic. Earlier changes stay made.
            KafkaUnavailable: no broker answers in time whether a change is made; or a topic is made, and no leader of a
                partition answers in time. Names the topic or the partitions.
        """
        made: list[TopicChange] = []
        new = [change for change in changes if change.action == "create" and change.refused is None]
        if new:
            futures = self._admin.create_topics(
                [
                    NewTopic(
                        change.topic.name,
                        num_partitions=change.topic.partitions,
                        replication_factor=change.topic.replication,
                        config=dict(change.config),
                    )
                    for change in new
                ],
                operation_timeout=self._timeout,
                request_timeout=self._timeout,
            )
            for change in new:
                self._settle(change, futures[change.topic.name])
                made.append(change)
        for change in changes:
            if change.action == "set config" and change.refused is None:
                entries = [
                    ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                    for key, value in change.config.items()
                ]
                resource = ConfigResource(ResourceType.TOPIC, change.topic.name, incremental_configs=entries)
                self._settle(change, self._admin.incremental_alter_configs([resource])[resource])
                made.append(change)
        self._wait_for_leaders([change.topic for change in new])
        return made

    def ensure(self, declared: Mapping[str, Topic]) -> list[TopicChange]:
        """``apply(plan(declared))``; returns the refused changes, which are left to a human."""
        changes = self.plan(declared)
        self.apply(changes)
        return [change for change in changes if change.refused is not None]

    def _wait_for_leaders(self, topics: Sequence[Topic]) -> None:
        """The controller says that topics are made before their brokers have made the logs, one after another: 1.2 s
        for the contract's 90 partitions on a busy machine. Until then a partition is unknown or has no leader."""
        places = [TopicPartition(topic.name, number) for topic in topics for number in range(topic.partitions)]
        deadline = time.monotonic() + self._timeout
        while places := self._without_leader(places):
            if time.monotonic() > deadline:
                names = ", ".join(f"{place.topic}[{place.partition}]" for place in places)
                raise KafkaUnavailable(f"{self._servers}: made, and no leader answers for it yet: {names}")
            time.sleep(_LOOK_AGAIN_S)
            # Who has asked too early is told "no leaders found" out of the client's memory for half a minute.
            with suppress(KafkaException):
                self._admin.list_topics(timeout=self._timeout)

    def _without_leader(self, places: Sequence[TopicPartition]) -> list[TopicPartition]:
        if not places:
            return []
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = dict.fromkeys(places, latest)
        missing = []
        for place, future in self._admin.list_offsets(wanted, request_timeout=self._timeout).items():
            try:
                future.result(self._timeout)
            except (KafkaException, TimeoutError):
                missing.append(place)
        return missing

    def _settle(self, change: TopicChange, future: object) -> None:
        try:
            future.result(self._timeout)  # type: ignore[attr-defined]
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.TOPIC_ALREADY_EXISTS:
                return
            if code in _NO_ANSWER:
                raise KafkaUnavailable(
                    f"{self._servers}: no answer to {change.action} {change.topic.name} ({error.args[0].str()}): it "
                    "may be done all the same; apply again"
                ) from error
            raise ContractError(f"topic {change.topic.name}: {change.action} refused by the broker: {error}") from error
        except TimeoutError as error:
            raise KafkaUnavailable(f"{self._servers}: no answer to {change.action} {change.topic.name}") from error
