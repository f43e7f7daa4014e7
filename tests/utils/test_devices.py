"""Which number format a device trains in."""

import pytest
import torch

from expertnet.utils.devices import resolve_precision

EPYC = {"cpu_name": "AMD EPYC", "avx512_bf16": True, "avx512_fp16": False, "amx_bf16": False}
COOPER_LAKE = EPYC | {"cpu_name": "Intel Xeon"}
SAPPHIRE_RAPIDS = {"cpu_name": "Intel Xeon", "avx512_bf16": True, "avx512_fp16": True, "amx_bf16": True}


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (EPYC, torch.bfloat16),
        (EPYC | {"avx512_fp16": True}, torch.bfloat16),
        (COOPER_LAKE, torch.bfloat16),
        (SAPPHIRE_RAPIDS, torch.bfloat16),
        (SAPPHIRE_RAPIDS | {"amx_bf16": False}, torch.float32),  # as in a virtual machine that does not offer them
        ({"cpu_name": "Intel Core i7", "avx512_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),  # of a PyTorch that tells less
        ({}, torch.float32),  # of another architecture
    ],
)
def test_auto_is_bfloat16_where_the_processor_computes_it_faster(processor, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor)
    cpu = torch.device("cpu")
    assert resolve_precision("auto", cpu) == expected
    assert resolve_precision("bf16", cpu) == torch.bfloat16 and resolve_precision("fp32", cpu) == torch.float32
