"""A client of Streamlit's WebSocket without a browser, which sends what it likes.

In this module: connected, Raw.
"""

from contextlib import contextmanager

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Subprotocol

PATIENCE = 120  # seconds


@contextmanager
def connected(server, cookies=None):
    """A session with the cookies of a login, or with none."""
    cookies = cookies or {}
    token = cookies.get("_streamlit_xsrf")
    with connect(
        server.replace("http", "ws", 1) + "/_stcore/stream",
        origin=server,
        subprotocols=[Subprotocol(name) for name in ("streamlit", token) if name],
        additional_headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())},
        open_timeout=PATIENCE,
        max_size=None,
    ) as socket:
        yield Raw(socket)


class Raw:
    """One session."""

    def __init__(self, socket):
        self._socket, self._widgets = socket, {}

    def rerun(self, page, query="", pressed=()):
        """Runs a page's script, pressing buttons by their id; all that the server says, as text."""
        message = BackMsg()
        for widget in pressed:
            state = message.rerun_script.widget_states.widgets.add()
            state.id, state.trigger_value = widget, True
        return "\n".join(map(str, self.answers(page, query, message)))

    def answers(self, page, query="", message=None):
        """Runs a page's script, with what the message says of widgets and fragments; all that the server says."""
        message = message or BackMsg()
        message.rerun_script.page_name, message.rerun_script.query_string = page, query
        self._socket.send(message.SerializeToString())
        said = []
        while True:
            answer = ForwardMsg()
            answer.ParseFromString(self._socket.recv(timeout=PATIENCE))
            said.append(answer)
            if answer.delta.new_element.HasField("button"):
                widget = answer.delta.new_element.button.id
                self._widgets[widget.rpartition("-")[2]] = widget
            ended = answer.WhichOneof("type") == "script_finished"
            if ended and answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return said

    def widget(self, key):
        """The id of a button that was drawn."""
        return self._widgets[key]
