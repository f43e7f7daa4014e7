"""What the server sends to a tab that watches a run, seen by a client without a browser."""

import json

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from expertnet.store.history import append_row
from expertnet.store.run_store import RunStore
from tests.support import stores
from tests.support.raw import connected
from tests.support.served import serving


@pytest.mark.slow
def test_a_tick_sends_charts_only_if_they_have_changed(tmp_path, shared_data):
    run = stores.running(RunStore(tmp_path / "runs"))
    with serving(tmp_path, shared_data) as server, connected(server) as tab:
        query = f"run={run.id}"
        known = tab.answers("train", query)
        timers = [answer.auto_rerun.fragment_id for answer in known if answer.HasField("auto_rerun")]

        def tick():
            answers = []
            for fragment in timers:
                message = BackMsg()
                message.rerun_script.fragment_id, message.rerun_script.is_auto_rerun = fragment, True
                message.rerun_script.cached_message_hashes.extend(
                    {answer.hash for answer in known if answer.metadata.cacheable}
                )
                answers += tab.answers("train", query, message)
            known.extend(answers)
            return answers

        def charts(answers):
            elements = [answer.delta.new_element for answer in answers]
            specs = [json.loads(each.vega_lite_chart.spec) for each in elements if each.HasField("vega_lite_chart")]
            return [spec["title"] for spec in specs if "title" in spec]

        assert len(timers) == 2 and charts(known) == ["Training loss", "Accuracy"]
        run.write_status(run.status().changed(step=4))
        answers = tick()
        assert "step 4 of 9" in str(answers) and charts(answers) == []
        append_row(run.path / "metrics.jsonl", run.metrics()[-1] | {"epoch": 3})
        assert charts(tick()) == ["Loss", "Accuracy"]


@pytest.mark.slow
def test_a_run_that_has_ended_is_drawn_once(tmp_path, shared_data):
    run = stores.failed(RunStore(tmp_path / "runs"))
    with serving(tmp_path, shared_data) as server, connected(server) as tab:
        query = f"run={run.id}"
        drawn = tab.answers("train", query)
        (timer,) = [answer.auto_rerun.fragment_id for answer in drawn if answer.HasField("auto_rerun")]
        message = BackMsg()
        message.rerun_script.fragment_id = timer
        assert not any(answer.delta.HasField("new_element") for answer in tab.answers("train", query, message))
        run.write_status(run.status().changed(state="stopped"))
        answers = tab.answers("train", query, message)
        assert "Evaluate on the test set" in str(answers)  # the whole page was drawn
