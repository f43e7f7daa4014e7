"""`expertnet serve-model`: a network as an HTTP service."""

import re
from importlib.util import find_spec
from typing import Annotated

import typer

from expertnet.cli.options import Checkpoint, CheckpointKind, RunName, RunsDir, open_store
from expertnet.cli.output import ActivityPrinter, say, say_if_training
from expertnet.cli.serve import port_number
from expertnet.errors import UserError
from expertnet.utils.home import install_command
from expertnet.utils.text import listed

PACKAGES = {  # by the names that Python imports
    "fastapi": "fastapi",
    "python_multipart": "python-multipart",
    "uvicorn": "uvicorn",
    "httptools": "httptools",
    "prometheus_client": "prometheus-client",
    "onnx": "onnx",
    "onnxscript": "onnxscript",
    "onnxruntime": "onnxruntime",
}
ORIGIN = re.compile(r"\*|https?://[^/?#@\s]+")


def origin(text: str) -> str:
    """Return a web page's origin as browsers send it. Raises UserError."""
    found = text.rstrip("/").lower()
    if not ORIGIN.fullmatch(found):
        raise UserError(f"{text[:80]!r} is not the origin of a web page. Enter one like https://shop.example.org.")
    return found


def serve_model(
    run: RunName,
    port: Annotated[int, typer.Option(parser=port_number, metavar="PORT", help="The port to listen on.")] = 8600,
    host: Annotated[
        str, typer.Option(help="The address to listen on. 0.0.0.0 accepts connections from other computers.")
    ] = "127.0.0.1",
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processor cores for the network (default: all that it may use)."),
    ] = None,
    requests: Annotated[
        int, typer.Option(min=1, metavar="N", help="Requests answered at once. Others must try again later.")
    ] = 32,
    megapixels: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most pixels in all images of a request, in millions.")
    ] = 100,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            parser=origin, metavar="URL", help="A web page's origin that may use the service. May be repeated."
        ),
    ] = None,
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
) -> None:
    """Answer predictions over HTTP until Ctrl-C. If EXPERTNET_API_KEY is set, requests need it."""
    found = open_store(runs_dir).resolve(run, trained=True)
    require_packages()
    from expertnet.service.app import make_app
    from expertnet.service.limits import Limits
    from expertnet.service.model import load_served
    from expertnet.service.server import KEY, api_key, listen, run_server
    from expertnet.utils.devices import available_threads

    key = api_key()
    listen(host, port).close()  # or fail now, instead of after the conversion
    served = load_served(found, checkpoint.value, ActivityPrinter())
    say_if_training(found, served.predictor.epoch)
    is_local = host in ("127.0.0.1", "localhost", "::1")
    app = make_app(
        served,
        threads=threads or available_threads(),
        limits=Limits(requests=requests, pixels=megapixels * 10**6),
        key=key,
        hosts=() if key or not is_local else ("127.0.0.1", "localhost", "::1"),
        origins=allow_origin or (),
    )
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if not key and not is_local:
        say(f"Everybody who reaches {url} can use the network. Set {KEY} to require a key.")
    run_server(
        app, listen(host, port), lambda: say(f"Serving run {found.name} (epoch {served.predictor.epoch}) on {url}")
    )


def require_packages() -> None:
    """Raise UserError with the command that installs what is missing."""
    missing = [package for name, package in PACKAGES.items() if find_spec(name) is None]
    if missing:
        raise UserError(f"The service needs {listed(missing)}. Run '{install_command(*missing)}', then try again.")
