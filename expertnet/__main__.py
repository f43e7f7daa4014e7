"""`python -m expertnet`, and the command `expertnet`."""

import os
import signal


def main() -> None:
    """Run the command line. Ctrl-C ends it at once without a traceback; a command that has something to save says otherwise."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # before torch's imports, which may lose a KeyboardInterrupt
    from expertnet.cli.main import main as run_command

    run_command()


if __name__ == "__main__":
    main()
