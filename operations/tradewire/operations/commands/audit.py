"""`tradewire audit`: proof that ClickHouse holds every record of Kafka once, and repair where it does not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from tradewire.core import ClickHouseUnavailable, KafkaUnavailable, QueryError, RegistryUnavailable, load_settings
from tradewire.core.settings import Settings
from tradewire.operations.audit_metrics import write_metrics
from tradewire.operations.consoles import stdout_console
from tradewire.schemas import Contract, TopicAdmin
from tradewire.sinks import sink_topics
from tradewire.sinks.audit import Auditor, AuditRange, AuditReport, Gap, PartitionReport
from tradewire.sinks.audit import Progress as AuditProgress
from tradewire.sinks.audit.heal import Healer, Repair, plan_repairs

EXIT_EQUAL = 0
EXIT_DIFFERS = 1
EXIT_NOT_AUDITED = 2
_FINDINGS_SHOWN = 50
_COLUMNS = {True: "payload and typed columns compared", False: "payload and typed columns not compared (--columns)"}


def audit(
    topic: Annotated[
        list[str] | None, typer.Option("--topic", help="again for more; all stored topics if none")
    ] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="one partition; all if none")] = None,
    lo: Annotated[int | None, typer.Option("--from", min=0, help="first offset; the oldest if none")] = None,
    hi: Annotated[int | None, typer.Option("--to", min=0, help="last offset, inclusive; the newest if none")] = None,
    heal: Annotated[bool, typer.Option("--heal", help="plan a repair; changes nothing without --yes")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="with --heal: also delete rows that are doubled, altered or unexpected")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="with --heal: do it, then audit again")] = False,
    complete: Annotated[bool, typer.Option("--complete", help="records not stored yet count as a difference")] = False,
    columns: Annotated[
        bool, typer.Option("--columns", help="also compare payload and typed columns with the bytes; slower")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the report on stdout as JSON")] = False,
    metrics_file: Annotated[
        Path | None, typer.Option("--metrics-file", help="write Prometheus metrics for a textfile collector")
    ] = None,
) -> None:
    """Compares Kafka, read committed, with ClickHouse: count, sum of offsets and XOR of hashes per 10,000 offsets.

    Exit code 0 when equal, 1 when anything is lost, doubled, altered or unexpected, 2 when it could not be audited.
    The sink may run meanwhile: what lies above its commits is not judged.
    """
    if (delete or yes) and not heal:
        raise typer.BadParameter("--delete and --yes belong to --heal")
    if (lo is not None or hi is not None) and (partition is None or len(topic or ()) != 1):
        raise typer.BadParameter("--from and --to need one --topic and a --partition: offsets are of one partition")
    notes = Console(stderr=True)
    settings = load_settings()
    try:
        contract = Contract.load(settings)
        wanted = AuditRange(topic or _existing(settings, contract), partition, lo, hi)

        def run() -> AuditReport:
            with _bars(notes) as show:
                return Auditor(settings, contract, columns=columns, on_progress=show).run(wanted)

        report = run()
        if heal and _heal(settings, contract, report, delete=delete, yes=yes, notes=notes):
            report = run()
        if metrics_file is not None:
            write_metrics(report, metrics_file)
    except (QueryError, KafkaUnavailable, ClickHouseUnavailable, RegistryUnavailable) as error:
        notes.print(f"[bold red]not audited:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(EXIT_NOT_AUDITED) from error
    if as_json:
        json.dump(report.to_json(), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        _show(report, stdout_console())
    waiting = complete and any(found.gaps.get(Gap.NOT_STORED_YET) for found in report.partitions)
    raise typer.Exit(EXIT_EQUAL if report.equal and not waiting else EXIT_DIFFERS)


def _existing(settings: Settings, contract: Contract) -> list[str]:
    """All stored topics that the broker has: a declared topic that was never made holds nothing."""
    return sorted(TopicAdmin(settings.kafka).found(sink_topics(list(contract.topics.values()))))


@contextmanager
def _bars(notes: Console) -> Iterator[Callable[[AuditProgress], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes, transient=True) as bars:
        tasks: dict[tuple[str, int], TaskID] = {}

        def show(at: AuditProgress) -> None:
            key = (at.topic, at.partition)
            if key not in tasks:
                tasks[key] = bars.add_task(f"{at.topic}[{at.partition}]".replace("[", "\\["), total=at.total)
            bars.update(tasks[key], completed=at.done, total=at.total)

        yield show


def _heal(
    settings: Settings,
    contract: Contract,
    report: AuditReport,
    *,
    delete: bool,
    yes: bool,
    notes: Console,
) -> bool:
    """Whether something was changed, so that it must be audited again."""
    repairs = plan_repairs(report, delete=delete)
    if not repairs:
        return False
    notes.print(_repairs_table(repairs))
    if not yes:
        notes.print("nothing was changed; --heal --yes does it")
        return False
    healer = Healer(settings, contract)
    try:
        for repair in repairs:
            done = healer.heal(repair)
            where = f"{repair.topic}\\[{repair.partition}]"
            notes.print(f"{where}: {done.inserted:,} inserted, rows of {done.deleted_offsets:,} offsets deleted")
    finally:
        healer.close()
    return True


def _repairs_table(repairs: Sequence[Repair]) -> Table:
    table = Table("topic", "partition", "insert", "delete and insert", "delete", "left as it is", title="repair")
    for repair in repairs:
        left = ", ".join(f"{count:,} {name}" for name, count in repair.left.items())
        cells = [f"{sum(hi - lo + 1 for lo, hi in part):,}" for part in (repair.insert, repair.replace, repair.delete)]
        table.add_row(repair.topic, str(repair.partition), *cells, f"{left} (see --delete)" if left else "")
    return table


def _show(report: AuditReport, console: Console) -> None:
    table = Table("topic", "partition")
    for name in ("from", "complete to", "records", "rows", "dead letters"):
        table.add_column(name, justify="right")
    table.add_column("gaps")
    table.add_column("verdict")
    for found in report.partitions:
        gaps = ", ".join(f"{count:,} {name}" for name, count in found.gaps.items())
        numbers = (found.lo, found.complete_to, found.records, found.rows, found.dead_letters)
        table.add_row(found.topic, str(found.partition), *(f"{number:,}" for number in numbers), gaps, _verdict(found))
    console.print(table)
    shown = [(found, finding) for found in report.partitions for finding in found.findings]
    if shown:
        console.print(_findings_table(report))
    if len(shown) > _FINDINGS_SHOWN:
        console.print(f"{len(shown) - _FINDINGS_SHOWN:,} more; --json has them")
    console.print(
        f"{'equal' if report.equal else 'DIFFERENT'}: {report.records:,} records in {report.seconds:.1f} s "
        f"({report.records_per_s:,.0f}/s); {_COLUMNS[report.columns]}"
    )


def _verdict(found: PartitionReport) -> str:
    if found.equal:
        return "[green]equal[/]" + (" (newest per key)" if found.compacted else "")
    return "[bold red]" + ", ".join(f"{count:,} {name}" for name, count in found.anomalies.items())


def _findings_table(report: AuditReport) -> Table:
    table = Table("topic", "partition", Column("from", justify="right"), Column("to", justify="right"), "anomaly")
    rows = [(found, finding) for found in report.partitions for finding in found.findings][:_FINDINGS_SHOWN]
    for found, finding in rows:
        table.add_row(found.topic, str(found.partition), f"{finding.lo:,}", f"{finding.hi:,}", str(finding.anomaly))
    return table
