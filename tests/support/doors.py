"""Requests to a server that no browser would send: uploads in pieces of any size, and foreign host names."""

import http.client
import itertools
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from tests.support.raw import Raw, connected

START = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\nContent-Type: image/png\r\n\r\n'
END = b"\r\n--x--\r\n"


class Uploader:
    """A page without a browser that uploads files."""

    def __init__(self, server: str, session: Raw) -> None:
        new, *_ = [answer.new_session for answer in session.answers("") if answer.HasField("new_session")]
        self.server, self.id, self.numbers = (
            urllib.parse.urlsplit(server).netloc,
            new.initialize.session_id,
            itertools.count(),
        )
        with urllib.request.urlopen(f"{server}/_stcore/health", timeout=60) as answer:
            self.token = answer.headers["Set-Cookie"].partition("=")[2].partition(";")[0]

    def put(self, pieces: Iterable[bytes], length: int | None = None) -> tuple[int, str]:
        """Upload the pieces of a file, with this Content-Length or in chunks. Returns the status and the text of the answer."""
        headers = {
            "X-Xsrftoken": self.token,
            "Cookie": f"_streamlit_xsrf={self.token}",
            "Content-Type": "multipart/form-data; boundary=x",
            **({} if length is None else {"Content-Length": str(length)}),
        }
        connection = http.client.HTTPConnection(self.server, timeout=60)
        path = f"/_stcore/upload_file/{self.id}/{next(self.numbers)}"
        body = itertools.chain([START], pieces, [END])
        with suppress(ConnectionError):  # the server has answered and closed before the end
            connection.request("PUT", path, body, headers, encode_chunked=length is None)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text


@contextmanager
def uploading(server: str) -> Iterator[Uploader]:
    """Yield a new page of the server, which stays open."""
    with connected(server) as session:
        yield Uploader(server, session)
