"""Views for analysts beyond those of one event: volume, errors and flows by the minute. Pure: SQL text only."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def event_views(at: str) -> Mapping[str, str]:
    """SELECTs over ``events`` and ``dead_letters``, by the name of their view. ``at`` is the database with its dot."""
    published = "toUnixTimestamp64Milli(recorded_at) - intDiv(time_ns, 1000000)"
    visible = "toUnixTimestamp64Milli(stored_at) - toUnixTimestamp64Milli(recorded_at)"
    return {
        "v_event_volume": (
            "SELECT toStartOfMinute(recorded_at) AS minute, topic, type, source, count() AS events, "
            f"sum(length(value)) AS bytes, quantile(0.5)({published}) AS published_ms_p50, "
            f"quantile(0.99)({published}) AS published_ms_p99, quantile(0.5)({visible}) AS visible_ms_p50, "
            f"quantile(0.99)({visible}) AS visible_ms_p99 FROM {at}events GROUP BY minute, topic, type, source"
        ),
        "v_errors_per_minute": (
            "SELECT toStartOfMinute(recorded_at) AS minute, if(origin_topic = '', topic, origin_topic) AS from_topic, "
            "origin_group, reason, count() AS errors "
            f"FROM {at}dead_letters GROUP BY minute, from_topic, origin_group, reason"
        ),
    }


def read_model_views(at: str, columns: Collection[str] | None = None) -> Mapping[str, str]:
    """SELECTs over tables of read models, which must be there first; all when ``columns`` of flow states are not given.

    The first version of a flow's state has no runs: a view of them would be refused.
    """
    views = {
        "v_flow_completion": (
            "SELECT flow_type, status, count() AS flows, quantile(0.5)(duration_ns) AS duration_ns_p50, "
            "quantile(0.99)(duration_ns) AS duration_ns_p99, sum(orphan_count) AS orphans "
            f"FROM {at}flows_state FINAL GROUP BY flow_type, status"
        ),
        "v_flow_runs": (
            "SELECT flow_name, count() AS runs, "
            + ", ".join(
                f"countIf(run_status = '{status.upper()}') AS {status}"
                for status in ("completed", "failed", "stalled", "open")
            )
            # Of those that ended: what is open yet says nothing about completion.
            + ", if(runs = open, NULL, completed / (runs - open)) AS completion_ratio FROM ("
            "SELECT tupleElement(run, 'flow_name') AS flow_name, tupleElement(run, 'run_status') AS run_status "
            f"FROM {at}flows_state FINAL ARRAY JOIN runs AS run) GROUP BY flow_name"
        ),
        "v_flow_hops": (
            "SELECT flow_name, hop.1 AS step, count() AS reached, quantile(0.5)(hop.2) AS latency_ns_p50, "
            "quantile(0.99)(hop.2) AS latency_ns_p99, sum(hop.3) AS late FROM ("
            "SELECT tupleElement(run, 'flow_name') AS flow_name, tupleElement(run, 'reached') AS steps, "
            # Of the first step from the run's beginning, of each other from the step before it.
            "arraySlice(arrayDifference(arrayConcat([tupleElement(run, 'begun_ns')], "
            "tupleElement(steps, 'reached_ns'))), 2) AS latencies, "
            "arrayJoin(arrayZip(tupleElement(steps, 'step'), latencies, tupleElement(steps, 'late'))) AS hop "
            f"FROM {at}flows_state FINAL ARRAY JOIN runs AS run) GROUP BY flow_name, step"
        ),
    }
    if columns is not None and "runs" not in columns:
        del views["v_flow_runs"], views["v_flow_hops"]
    return views
