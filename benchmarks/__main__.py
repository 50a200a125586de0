"""``python -m benchmarks [--rows publish,sink] [--events 100000] [--rounds 3] [--quick] [--ours-alone]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.details import machine, versions
from benchmarks.measure import Options, run_study
from benchmarks.report import Row, make_row, results_table, runs_detail, write_results
from benchmarks.servers import REPO, running_servers
from tradewire.core import Settings, StackError, configure_logs

_EVENTS: Final = 100_000
_EVENTS_QUICK: Final = 2_000


def _publish(settings: Settings, options: Options) -> Any:
    from benchmarks.publish import PublishStudy

    return PublishStudy(settings, options)


def _publish_latency(settings: Settings, options: Options) -> Any:
    from benchmarks.publish_paced import LatencyStudy

    return LatencyStudy(settings, options)


def _publish_wire(settings: Settings, options: Options) -> Any:
    from benchmarks.publish_paced import WireStudy

    return WireStudy(settings, options)


def _publish_priority(settings: Settings, options: Options) -> Any:
    from benchmarks.publish_priority import PriorityStudy

    return PriorityStudy(settings, options)


def _sink(settings: Settings, options: Options) -> Any:
    from benchmarks.sink import SinkStudy

    return SinkStudy(settings, options)


def _sink_latency(settings: Settings, options: Options) -> Any:
    from benchmarks.sink_paced import SinkLatencyStudy

    return SinkLatencyStudy(settings, options)


def _projection(settings: Settings, options: Options) -> Any:
    from benchmarks.projection import ProjectionStudy

    return ProjectionStudy(settings, options)


def _worker_latency(settings: Settings, options: Options) -> Any:
    from benchmarks.worker_paced import WorkerLatencyStudy

    return WorkerLatencyStudy(settings, options)


def _replay(settings: Settings, options: Options) -> Any:
    from benchmarks.replay import ReplayStudy

    return ReplayStudy(settings, options)


def _codec(_settings: Settings, options: Options) -> Any:
    from benchmarks.codec_rows import CodecStudy

    return CodecStudy(options)


STUDIES: Final[dict[str, Callable[[Settings, Options], Any]]] = {
    "publish": _publish,
    "publish_latency": _publish_latency,
    "publish_wire": _publish_wire,
    "publish_priority": _publish_priority,
    "sink": _sink,
    "sink_latency": _sink_latency,
    "projection": _projection,
    "worker_latency": _worker_latency,
    "replay": _replay,
    "codec": _codec,
}
# Rows that are measured together with others are asked for by their own name too.
_PART_OF: Final = {
    **dict.fromkeys(("publish_many", "publish_columns", "publish_aiokafka", "publish_faststream"), "publish"),
    **{f"publish_wire_{codec}": "publish_wire" for codec in ("none", "lz4", "zstd")},
    **dict.fromkeys(("projection_quix", "worker_noop", "worker_correlation", "worker_everything"), "projection"),
    **dict.fromkeys(("subscriber_latency", "worker_latency_everything"), "worker_latency"),
    "encode": "codec",
    "decode": "codec",
}
_NEED_ENGINE: Final = frozenset({"sink", "sink_latency", "replay"})


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything asked for was measured and verified, bars held or not; 1 otherwise; 2 for a bad argument."""
    given = _parser().parse_args(arguments)
    asked = [name.strip() for name in given.rows.split(",") if name.strip()] if given.rows else list(STUDIES)
    names = list(dict.fromkeys(_PART_OF.get(name, name) for name in asked))
    unknown = sorted(set(names) - set(STUDIES))
    if unknown:
        print(f"no row {', '.join(unknown)}; there are {', '.join(STUDIES)}", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 120)
    configure_logs("WARNING", "console", component="bench")
    options = Options(
        rounds=1 if given.quick and given.rounds is None else given.rounds or 3,
        events=given.events or (_EVENTS_QUICK if given.quick else _EVENTS),
        ours_alone=given.ours_alone,
        say=lambda text: console.print(f"  {text}", style="dim", highlight=False),
    )
    rows: list[Row] = []
    details: dict[str, Any] = {
        "machine": machine(),
        "versions": versions(),
        "rounds": options.rounds,
        "events": options.events,
        "studies": {},
        "failures": {},
    }
    try:
        with tempfile.TemporaryDirectory(prefix="tradewire-bench-") as folder:
            with running_servers(Path(folder), clickhouse=bool(_NEED_ENGINE & set(names))) as settings:
                for name in names:
                    console.print(f"[bold]{name}[/]")
                    try:
                        _one(name, settings, options, rows, details, console)
                    except Exception as error:  # the other rows can still be measured; the exit code tells
                        details["failures"][name] = f"{type(error).__name__}: {error}"
                        console.print(f"  [red]failed[/] {type(error).__name__}: {error}", highlight=False)
                        traceback.print_exc()
    except StackError as error:
        print(f"error: the servers of the benchmarks cannot run: {error}", file=sys.stderr)
        return 1
    console.print(results_table(rows))
    write_results(given.output, rows, details)
    return 1 if details["failures"] else 0


def _one(
    name: str, settings: Settings, options: Options, rows: list[Row], details: dict[str, Any], console: Console
) -> None:
    with closing(STUDIES[name](settings, options)) as study:
        for contender, reason in study.skipped.items():
            console.print(f"  {contender} is not measured: {reason}", style="yellow", highlight=False)
        runs = run_study(study, options)
        rows += [make_row(spec, runs) for spec in study.rows]
        details["studies"][name] = {"contenders": runs_detail(runs), "skipped": dict(study.skipped)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ours, the peer and the raw limit.")
    parser.add_argument("--rows", help=f"some of {','.join(STUDIES)}, by commas; default: all")
    parser.add_argument(
        "--events", type=int, help=f"of each fast contender, slow ones get a share; default: {_EVENTS:,}"
    )
    parser.add_argument("--rounds", type=int, help="rounds that count, after one that does not; default: 3")
    parser.add_argument("--quick", action="store_true", help="few events, one round: shows that it works, no figures")
    parser.add_argument("--ours-alone", action="store_true", help="no peers and no limits: rows without ratios")
    parser.add_argument("--output", type=Path, default=REPO / "benchmarks" / "results", help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
