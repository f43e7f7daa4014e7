"""What moves selected images of a dataset to another class."""

from collections.abc import Sequence

from streamlit.delta_generator import DeltaGenerator

from expertnet.data.own import edits
from expertnet.data.own.versions import Version
from expertnet.ui.shell import action


def move_popover(place: DeltaGenerator, version: Version, selected: Sequence[str], but: str = "") -> None:
    """Draw the button that moves images to a class, any but `but`, by its id."""
    others = {label: name for label, name in version.contents.classes.items() if label != but}
    if not others:
        return
    key = f"{version.number} {hash(tuple(selected))}"
    menu = place.popover("Move", icon=":material/drive_file_move:", key=f"move {key}")
    labels = sorted(others, key=others.__getitem__)
    target = menu.selectbox("To the class", labels, format_func=others.__getitem__, key=f"target {key}")

    def move() -> None:
        edits.move_images(version.dataset, selected, target)

    action(menu, "Move", "check", f"moved {key}", move, type="primary")
