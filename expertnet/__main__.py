"""python -m expertnet: Ctrl-C ends it at once, without a traceback; a command with something to tidy up says otherwise."""

import os
import signal

signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # in torch's imports a KeyboardInterrupt may get lost

from expertnet.cli.main import main  # noqa: E402

main()
