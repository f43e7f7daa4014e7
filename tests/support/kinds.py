"""The kinds of networks besides the report's, by their settings in the section `model`."""

from typing import Any

KINDS: list[dict[str, Any]] = [
    {"gates": "se", "routing": "random"},
    {"mixing": "kernels"},
    {"mixing": "kernels", "router_output": "sigmoid", "gates": "se"},
    {"mixing": "kernels", "gates": "odconv"},
    {"router_output": "sigmoid"},
    {"router_input": "mean_deviation"},
    {"top_k": 1, "balance": 0.05},
    {"top_k": 2, "balance": 0.05, "mixing": "kernels"},
]
