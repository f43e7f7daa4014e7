"""Run a notebook of the documentation again, and keep what its cells print: python -m tools.notebook docs/any_network.ipynb"""

import argparse
import json
import tempfile
from pathlib import Path

from expertnet.utils.files import write_atomically
from tests.support.notebook import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", type=Path)
    path = parser.parse_args().notebook.absolute()
    with tempfile.TemporaryDirectory() as folder:
        notebook = run(path, Path(folder))
    write_atomically(path, (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    main()
