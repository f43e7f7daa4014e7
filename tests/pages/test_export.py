"""Exporting a run on the Runs page."""

import pytest

from expertnet.evaluation.outputs import cached_outputs
from expertnet.service import snippets
from expertnet.store.run_store import RunStore
from expertnet.transfer.onnx_precision import Precision
from expertnet.ui.export import CARD, FORMATS, ONNX, PAGE, RUN, SERVICE, in_own_process
from expertnet.utils.files import write_atomically
from expertnet.utils.home import launcher
from expertnet.utils.progress import Cancelled, silent
from tests.support.opening import finished, opened
from tests.support.small import until


def chosen(test, format):
    """Choose a format, and return the download if it is there."""
    test.radio[0].set_value(format).run()
    assert not test.exception
    return next(iter(test.get("download_button")), None)


def test_a_run_is_exported_in_the_format_you_choose():
    run = finished(RunStore())
    test = opened("runs", open=run.id)
    for format in FORMATS:
        download = chosen(test, format)
        if format in (ONNX, PAGE):
            assert download is None and "Convert the network" in [button.label for button in test.button]
        elif format == SERVICE:
            command, *codes = (code.value for code in test.code[-4:])
            assert download is None and command == f"{launcher()} serve-model {run.id}"
            expected = (snippets.curl(), snippets.python(run), snippets.javascript(run))
            assert codes == [each.strip() for each in expected]
        elif format == CARD:
            until(lambda: test.run().get("download_button"))
            assert cached_outputs(run, "test") is not None  # as for the card of the command
        else:
            assert not download.proto.disabled
    assert chosen(test, ONNX) is None
    test.segmented_control[0].set_value(Precision.FLOAT16).run()
    next(button for button in test.button if button.label == "Convert the network").click().run()
    until(lambda: test.run().get("download_button"))
    assert not test.get("download_button")[0].proto.disabled and not test.error
    (said,) = (caption.value for caption in test.caption if "onnxruntime's" in caption.value)
    assert said.startswith("In batches of 1, 3, 64, onnxruntime's float16 outputs") and "359 test images" in said


def test_a_conversion_in_another_process_can_fail_and_be_stopped():
    run = finished(RunStore())
    with pytest.raises(Cancelled):
        in_own_process(run, "onnx")(silent, lambda: True)
    with pytest.raises(Exception, match="not one of") as error:
        in_own_process(run, "sculpture")(silent, lambda: False)
    assert "\n" not in str(error.value)


def test_a_damaged_run_says_what_cannot_be_exported():
    run = finished(RunStore())
    write_atomically(run.path / "best.safetensors", b"")
    write_atomically(run.path / "last.safetensors", b"")
    test = opened("runs", open=run.id)
    for format, why in ((RUN, "damaged"), (ONNX, "No checkpoint"), (PAGE, "No checkpoint")):
        download = chosen(test, format)
        assert download.proto.disabled and why in download.proto.help
