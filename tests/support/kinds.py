"""The kinds of networks besides the report's, by their settings in the section `model`."""

from typing import Any

KINDS: list[dict[str, Any]] = [{"gates": "se", "num_experts": 3, "routing": "random"}]
