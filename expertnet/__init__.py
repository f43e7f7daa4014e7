"""ExpertNet Studio: train networks of experts, watch them, see where each picture is routed."""

__version__ = "0.1.0"
