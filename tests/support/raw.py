"""A client of Streamlit's WebSocket that needs no browser and can send any message."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

PATIENCE = 120  # seconds


@contextmanager
def connected(server: str, cookies: Mapping[str, str] | None = None) -> Iterator["Raw"]:
    """Yield a session with the server, with the cookies of a login if given."""
    cookies = cookies or {}
    token = cookies.get("_streamlit_xsrf")
    with connect(
        server.replace("http", "ws", 1) + "/_stcore/stream",
        origin=Origin(server),
        subprotocols=[Subprotocol(name) for name in ("streamlit", token) if name],
        additional_headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())},
        open_timeout=PATIENCE,
        max_size=None,
    ) as socket:
        yield Raw(socket)


class Raw:
    """One session."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._buttons: dict[str, str] = {}

    def rerun(self, page: str, query: str = "", pressed: Iterable[str] = ()) -> str:
        """Run a page's script with the given button ids pressed, and return every answer of the server as text."""
        message = BackMsg()
        for button in pressed:
            state = message.rerun_script.widget_states.widgets.add()
            state.id, state.trigger_value = button, True
        return "\n".join(map(str, self.answers(page, query, message)))

    def answers(self, page: str, query: str = "", message: BackMsg | None = None) -> list[ForwardMsg]:
        """Run a page's script with the widgets and fragment of the message, and return every answer of the server."""
        message = message or BackMsg()
        message.rerun_script.page_name, message.rerun_script.query_string = page, query
        self._socket.send(message.SerializeToString())
        received = []
        while True:
            answer = ForwardMsg()
            answer.ParseFromString(bytes(self._socket.recv(timeout=PATIENCE, decode=False)))
            received.append(answer)
            if answer.delta.new_element.HasField("button"):
                button = answer.delta.new_element.button.id
                self._buttons[button.rpartition("-")[2]] = button
            ended = answer.WhichOneof("type") == "script_finished"
            if ended and answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return received

    def button_id(self, key: str) -> str:
        """Return the id of a button that the server has drawn, by its key."""
        return self._buttons[key]
