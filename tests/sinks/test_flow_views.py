"""How flows fare, as SQL views and as statistics, out of the newest state of each flow."""

from __future__ import annotations

from typing import Any

from tests.sinks.samples import batch_of, data_of, record_of

from tradewire.schemas import Catalogue, FixedIds
from tradewire.sinks import StoredHistory
from tradewire.sinks.container import build_block
from tradewire.sinks.row_shape import RowShape
from tradewire.sinks.statistics import FlowCompletion, Statistics
from tradewire.sinks.store import Store, connect
from tradewire.sinks.tables import Tables

CATALOGUE = Catalogue.load()
STATE = CATALOGUE["flows.state.changed"].latest


def state(
    flow: int, status: str, duration_ns: int, *run_statuses: str, reached_ns: tuple[int, ...] = ()
) -> dict[str, Any]:
    """A state of one flow with a run of ``order`` for each of its statuses; the first has reached steps."""
    reached = [
        {
            "step": step,
            "reached_by": "e",
            "reached_type": "t",
            "reached_ns": at_ns,
            "reached_recorded_ns": at_ns,
            "late": at_ns > 50,
        }
        for step, at_ns in zip(("accepted", "ended"), reached_ns, strict=False)
    ]
    run = {
        "run_id": "r", "flow_name": "order", "run_subject": "", "begin_event_id": "e", "begun_ns": 0,
        "begun_recorded_ns": 0, "quiet": False, "waiting_step": None, "deadline_ns": None, "failed_by": None,
        "reached": [],
    }  # fmt: skip
    return data_of(STATE) | {
        "correlation_id": f"flow-{flow}", "flow_type": "order", "status": status, "duration_ns": duration_ns,
        "orphan_count": 0, "steps": [], "runs": [
            run | {"run_status": found, "reached": reached if not number else []}
            for number, found in enumerate(run_statuses)
        ],
    }  # fmt: skip


def test_completion_is_of_the_newest_state_of_each_flow(store: Store) -> None:
    """Four flows; the first was open before it completed. Of five runs that ended three completed, one is open."""
    Tables(store, CATALOGUE, FixedIds(), 1_000).ensure()
    states = [
        state(0, "OPEN", 1, "OPEN"),
        state(0, "COMPLETED", 10, "COMPLETED", reached_ns=(10, 15)),
        state(1, "COMPLETED", 30, "COMPLETED", "COMPLETED", reached_ns=(30, 55)),
        state(2, "STALLED", 50, "STALLED", "FAILED"),
        state(3, "OPEN", 5, "OPEN"),
    ]
    records = [record_of(STATE, 7, at, data=data, subject=data["correlation_id"]) for at, data in enumerate(states)]
    shape = RowShape.of(7, STATE.type, STATE.schema)
    block = build_block(batch_of(records, topic="flows.state"), range(len(records)), shape)
    store.insert_avro(f"landing_flows_state_changed_v{STATE.version}", block.body, token="1")

    def rows(view: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in store.query(f"SELECT * FROM `{store.database}`.{view} ORDER BY ALL")]

    completion = [("order", "COMPLETED", 2, 20.0), ("order", "OPEN", 1, 5.0), ("order", "STALLED", 1, 50.0)]
    assert completion == [row[:4] for row in rows("v_flow_completion")]
    assert [("order", 6, 3, 1, 1, 1, 0.6)] == rows("v_flow_runs")
    # Each of the two flows whose run reached steps: 10 or 30 ns to the first, 5 or 25 more to the second.
    assert [("order", "accepted", 2, 20.0, 29.8, 0), ("order", "ended", 2, 15.0, 24.8, 1)] == rows("v_flow_hops")
    history = StoredHistory(connect(store._settings), store.database)
    flows = Statistics(history).flows()
    history.close()
    assert FlowCompletion("order", "STALLED", 1, 50.0, 50.0) in flows
    assert {found.status: found.flows for found in flows} == {"COMPLETED": 2, "OPEN": 1, "STALLED": 1}
