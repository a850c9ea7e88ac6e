"""One of the plain gloo workers of a proof: `python -m finetune.proof_worker ORDER.json RANK`.

Each worker takes its share of the rows, the gradients are summed over a file in the order's folder, and worker 0
writes the sum there. No Ray: what is proved is that the arithmetic does not depend on the number of workers.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from finetune.proofs import gradient, load_for_proof
from finetune.render import Encoded
from tunegate_core.config import LoraBlock

TIMEOUT = timedelta(seconds=120)


def main(order_path: Path, rank: int) -> None:
    """Compute this worker's share and take part in the sum."""
    import torch
    from safetensors.torch import save_file
    from torch import distributed
    from torch.distributed import FileStore  # type: ignore[attr-defined]

    order: dict[str, Any] = json.loads(order_path.read_text("utf-8"))
    torch.set_num_threads(order["threads"])
    store = FileStore(str(order_path.with_name("rendezvous")), order["world"])
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=order["world"], timeout=TIMEOUT)
    examples = [Encoded(**example) for example in order["examples"]]
    model = load_for_proof(Path(order["folder"]), LoraBlock.model_validate(order["lora"]))
    total = gradient(model, [examples[rank :: order["world"]]], order["supervised"])
    distributed.all_reduce(total)
    if rank == 0:
        save_file({"gradient": total}, order_path.with_name("gradient.safetensors"))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
