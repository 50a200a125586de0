"""`tradewire topics`: the declared topics against a broker's."""

from __future__ import annotations

import typer
from rich.table import Table

from tradewire.core import load_settings
from tradewire.operations.consoles import stdout_console
from tradewire.schemas import TopicAdmin, TopicChange, Topics

topics_app = typer.Typer(no_args_is_help=True)


@topics_app.command("list")
def list_topics() -> None:
    """The declared topics."""
    table = Table("topic", "domain", "partitions", "cleanup", "retention", "key")
    for topic in Topics.load(load_settings().schemas.topics_file).values():
        days = "for ever" if topic.retention_ms < 0 else f"{topic.retention_ms / 86_400_000:g} days"
        retention = "newest per key" if topic.cleanup == "compact" else days
        table.add_row(topic.name, topic.domain, str(topic.partitions), topic.cleanup, retention, topic.key)
    stdout_console().print(table)


@topics_app.command()
def plan() -> None:
    """What `apply` would change. Exit code 0 when nothing, 3 when something."""
    changes = _plan()[1]
    _show(changes)
    raise typer.Exit(3 if changes else 0)


@topics_app.command()
def apply() -> None:
    """Makes the broker's topics as declared. Exit code 3 when a difference is left to a human."""
    admin, changes = _plan()
    admin.apply(changes)
    _show(changes)
    raise typer.Exit(3 if any(change.refused for change in changes) else 0)


def _plan() -> tuple[TopicAdmin, list[TopicChange]]:
    settings = load_settings()
    admin = TopicAdmin(settings.kafka)
    return admin, admin.plan(Topics.load(settings.schemas.topics_file))


def _show(changes: list[TopicChange]) -> None:
    console = stdout_console()
    if not changes:
        console.print("The broker has every declared topic as declared.")
        return
    table = Table("topic", "change", "detail", "left to you because")
    for change in changes:
        table.add_row(change.topic.name, change.action, change.detail, change.refused or "")
    console.print(table)
