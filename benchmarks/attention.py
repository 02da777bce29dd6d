"""Is attention without padding worth it? Padded and packed texts, by turns.

    FINETEXT_DATA=../shared/data python benchmarks/attention.py --device cuda --model bert-base

Attention of one layer, forward and backward, over batches of real lengths: with padding and a mask,
as finetext computes it, and without padding over a jagged nested tensor of torch, for which a GPU
has a kernel. Batches are of texts in random order, and of texts sorted by length as finetext sorts
them. The outputs of both ways must agree. What a training would gain at most is this ratio for the
share of attention that `roofline.py` prints, as everything else is packed already or cheap to pack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import common
import numpy as np
from common import Answer, Job

BATCH: Final = 32
ROUNDS: Final = 5
MOST_TOKENS: Final = 256


def main() -> None:
    """Measure both ways and print the table."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--data", default="emotion", choices=common.SOURCES)
    parser.add_argument("--model", default="minilm", choices=common.MODELS)
    parser.add_argument("--rows", type=int, default=640, help="texts (640)")
    options = parser.parse_args()
    job = {
        "data": options.data, "model": options.model, "rows": options.rows,
        "device": options.device,
    }  # fmt: skip
    answer = common.answer_of(__file__, job, options.threads)
    titles = ["batches", "padding", "padded, ms", "packed, ms", "padded / packed", "apart"]
    rows = [
        [
            name, f"{of['padding']:.1%}", common.spread(of["padded"]), common.spread(of["packed"]),
            common.spread(np.divide(of["padded"], of["packed"]), 2), f"{of['apart']:.1e}",
        ]
        for name, of in answer["by order"].items()
    ]  # fmt: skip
    what = (
        f"One layer of {options.model} "
        f"({answer['heads']} heads of {answer['width']}), {answer['format']}, {options.rows} texts "
        f"in batches of {BATCH}, forward and backward. Median [least, greatest] of {ROUNDS} turns."
    )
    common.finish(options, f"Attention without padding: {options.data}", what, [
        common.table(titles, rows)
    ])  # fmt: skip


def work(job: Job) -> Answer:
    """Measure both ways in both orders of the texts."""
    import tempfile
    from pathlib import Path

    import torch
    from transformers import AutoConfig, AutoTokenizer

    rows = common.rows_of(job["data"], job["rows"], 50, 50)
    with tempfile.TemporaryDirectory() as scratch:
        folder = common.model_folder(job["model"], Path(scratch))
        config, tokenizer = (of.from_pretrained(folder) for of in (AutoConfig, AutoTokenizer))
    texts = list(rows.train.texts)
    ids = tokenizer(texts, truncation=True, max_length=MOST_TOKENS)["input_ids"]
    lengths, heads = [len(row) for row in ids], config.num_attention_heads
    width, device = (
        config.hidden_size // heads,
        torch.device("cuda" if common.on_gpu(job["device"]) else "cpu"),
    )
    fast = common.bf16_is_fast(job["device"])
    shape = heads, width, device, torch.bfloat16 if fast else torch.float32
    found = {
        name: measured(order, *shape)
        for name, order in (("in random order", lengths), ("sorted by length", sorted(lengths)))
    }
    return {
        "by order": found, "heads": heads, "width": width, "format": "bf16" if fast else "fp32",
    }  # fmt: skip


def measured(
    lengths: Sequence[int], heads: int, width: int, device: Any, number_format: Any
) -> dict[str, Any]:
    """Return milliseconds of all batches for each turn and way, and how far outputs are apart."""
    import torch

    torch.manual_seed(0)
    batches = [lengths[start : start + BATCH] for start in range(0, len(lengths), BATCH)]
    values = [
        torch.randn(3, sum(batch), heads, width, device=device, dtype=number_format)
        for batch in batches
    ]
    given = list(zip(values, batches, strict=True))
    ways = {"padded": [padded(*of) for of in given], "packed": [packed(*of) for of in given]}
    seconds: dict[str, list[float]] = {"padded": [], "packed": []}
    results: dict[str, list[Any]] = {}
    for turn in range(ROUNDS + 1):
        for name in sorted(ways, reverse=turn % 2 == 1):
            synchronize(device)
            started = time.perf_counter()
            results[name] = [work() for work in ways[name]]
            synchronize(device)
            if turn:  # the first one warms up
                seconds[name].append(1000 * (time.perf_counter() - started))
    apart = max(
        float((one[real_positions(batch, device)] - other).abs().max())
        for one, other, batch in zip(results["padded"], results["packed"], batches, strict=True)
    )
    positions = sum(max(batch) * len(batch) for batch in batches)
    return {**seconds, "apart": apart, "padding": 1 - sum(lengths) / positions}


def real_positions(lengths: Sequence[int], device: Any) -> Any:
    """Return which positions of a padded batch are tokens, (texts, positions)."""
    import torch

    limit = torch.tensor(lengths, device=device)
    return torch.arange(max(lengths), device=device)[None] < limit[:, None]


def padded(values: Any, lengths: Sequence[int]) -> Callable[[], Any]:
    """Return attention over positions filled up by zeros: (texts, positions, heads, width)."""
    from torch.nn.functional import scaled_dot_product_attention

    real = real_positions(lengths, values.device)
    filled = values.new_zeros(3, *real.shape, *values.shape[2:])
    filled[:, real] = values
    several = [of.transpose(1, 2).contiguous().requires_grad_() for of in filled]

    def work() -> Any:
        out = scaled_dot_product_attention(*several, attn_mask=real[:, None, None, :])
        out.sum().backward()
        return out.detach().transpose(1, 2)

    return work


def packed(values: Any, lengths: Sequence[int]) -> Callable[[], Any]:
    """Return attention over texts end to end, as a jagged tensor: (tokens, heads, width)."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    offsets = torch.tensor([0, *np.cumsum(lengths)], device=values.device)
    leaves = [of.detach().requires_grad_() for of in values]

    def work() -> Any:
        several = [
            torch.nested.nested_tensor_from_jagged(
                of, offsets, min_seqlen=min(lengths), max_seqlen=max(lengths)
            ).transpose(1, 2)
            for of in leaves
        ]
        out = scaled_dot_product_attention(*several).transpose(1, 2).values()
        out.sum().backward()
        return out.detach()

    return work


def synchronize(device: Any) -> None:
    """Wait until a GPU has done all that it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
