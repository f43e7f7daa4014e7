"""Ports and keys of the service."""

import socket

import pytest

from expertnet.errors import UserError
from expertnet.service.server import KEY, api_key, listen


def test_an_answer_is_sent_at_once():
    with listen("127.0.0.1", 0) as opened, socket.create_connection(opened.getsockname()):
        connection, _ = opened.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_and_an_address_of_another_computer_are_named():
    with listen("127.0.0.1", 0) as opened:
        port = opened.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} of 127.0.0.1 is not available: .* --port or --host"):
            listen("127.0.0.1", port)
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(UserError, match=host):
            listen(host, 0)


def test_a_key_must_fit_into_a_header(monkeypatch):
    monkeypatch.setenv(KEY, "a key")
    assert api_key() == "a key"
    for bad in (" a", "\u00e9", "a\nb"):
        monkeypatch.setenv(KEY, bad)
        with pytest.raises(UserError, match="printable ASCII"):
            api_key()
