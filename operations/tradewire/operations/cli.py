"""The `tradewire` command: its subcommands, and one place where an error becomes a message and an exit code."""

from __future__ import annotations

import logging
import sys
from importlib import import_module

import typer
from rich.console import Console
from rich.markup import escape

from tradewire.core import TradewireError, configure_logs, load_settings

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
app = typer.Typer(
    name="tradewire",
    help="Event streaming for trading services on Kafka, Faust and ClickHouse.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Command groups and where they live. A group is imported only when it is named on the command line, so that an
# installation without an extra has every command that does not need it, and `tradewire --help` stays quick.
_GROUPS = {
    "dlq": ("tradewire.operations.commands.dlq", "dlq_app", "Dead letters: list, show, edit, re-drive, discard."),
    "feed": ("tradewire.operations.commands.feed", "feed_app", "Publish market data files or simulated events."),
    "query": ("tradewire.operations.commands.query", "query_app", "Events and statistics out of the history."),
    "recover": ("tradewire.operations.commands.recover", "recover_app", "Find events that a group never processed."),
    "replay": ("tradewire.operations.commands.replay", "replay_app", "Read stretches of history again, byte for byte."),
    "retention": ("tradewire.operations.commands.retention", "retention_app", "Archive and delete old history."),
    "schemas": ("tradewire.operations.commands.schemas", "schemas_app", "The event contract: check and register."),
    "spool": ("tradewire.operations.commands.spool", "spool_app", "Events that Kafka refused: list, redrive, discard."),
    "topics": ("tradewire.operations.commands.topics", "topics_app", "Declared topics: list, plan, apply."),
}
_COMMANDS = {
    "audit": ("tradewire.operations.commands.audit", "audit", "Proof that ClickHouse holds all of Kafka once."),
    "demo": ("tradewire.operations.commands.demo", "demo", "The main job end to end, with proof."),
    "down": ("tradewire.operations.commands.stack", "down", "Stop the local stack."),
    "flows": ("tradewire.operations.commands.trace", "flows", "How declared flows fare: completion, hop latencies."),
    "settings": ("tradewire.operations.commands.settings", "settings", "Every setting as it is in force here."),
    "sql": ("tradewire.operations.commands.sql", "sql", "Read-only SQL over the history."),
    "status": ("tradewire.operations.commands.stack", "status", "What the local stack is doing."),
    "trace": ("tradewire.operations.commands.trace", "trace", "Draw one flow: causes, hops, orphans, deadlines."),
    "up": ("tradewire.operations.commands.stack", "up", "Start and supervise the local stack."),
    "watchdog": ("tradewire.operations.commands.watchdog", "watchdog", "End a worker whose commits stand."),
    "worker": ("tradewire.operations.commands.worker", "worker", "Run a worker: read models, flows, handlers."),
}
_EXTRA_OF = {
    "faust": "processors", "rocksdict": "processors", "uvloop": "processors", "mode": "processors",
    "aiokafka": "processors", "clickhouse_connect": "sinks", "xxhash": "sinks", "fastapi": "gateway",
    "uvicorn": "gateway", "chdb": "local", "aiohttp": "local", "psutil": "local",
}  # fmt: skip


def _mount(wanted: set[str]) -> None:
    for name, (module, attribute, said) in {**_GROUPS, **_COMMANDS}.items():
        if name in wanted:
            target = getattr(import_module(module), attribute)
            if name in _GROUPS:
                app.add_typer(target, name=name, help=said)
            else:
                app.command(name, help=said)(target)
        else:
            app.command(name, help=said)(lambda: None)


@app.callback()
def _root() -> None:
    """Event streaming for trading services on Kafka, Faust and ClickHouse."""


def main(arguments: list[str] | None = None) -> None:
    """Runs one command. Exit code 0 when it did what it says, 1 on an error of ours (on stderr), 2 on bad usage, 130
    after an interrupt."""
    arguments = sys.argv[1:] if arguments is None else arguments
    errors = Console(stderr=True, soft_wrap=True)
    try:
        settings = load_settings()
        configure_logs(settings.log.level, settings.log.format)
        # They warn of every attempt before the error that a command tells anyway.
        for chatty in ("urllib3.connectionpool", "clickhouse_connect"):
            logging.getLogger(chatty).setLevel(logging.ERROR)
        _mount({word for word in arguments[:1] if not word.startswith("-")})
        app(arguments)
    except TradewireError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        # Before a command has begun; typer answers alike afterwards.
        errors.print("Aborted.")
        sys.exit(EXIT_INTERRUPTED)
    except ModuleNotFoundError as error:
        extra = _EXTRA_OF.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        errors.print(
            f"[bold red]error:[/] this command needs {error.name}: install tradewire with the extra {extra}, "
            f"pip install '<checkout>\\[{extra}]'"
        )
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
