"""Stock Ray Serve LLM as it comes, on CPU: `python -m benchmarks.stock_ray BASE PORT NAME=ADAPTER...`.

It can't load a local adapter, so its loader of adapters, the one hook that it offers, finds them in folders. Models are
asked for as `base:NAME`. Sizes are those of the other servers.
"""

import json
import os
import signal
import sys
import tempfile
import threading
from typing import Any

from ray.llm._internal.serve.core.configs.llm_config import DiskMultiplexConfig
from ray.llm._internal.serve.core.server.llm_server import LLMServer
from ray.llm._internal.serve.utils.lora_serve_utils import LoraModelLoader

FOLDERS = "BENCHMARK_ADAPTERS"


class FolderLoader(LoraModelLoader):
    """Finds an adapter in the folder that a variable names."""

    async def load_model_from_config(self, lora_model_id: str, llm_config: Any) -> DiskMultiplexConfig:
        """Where it lies, and its number."""
        folders = json.loads(os.environ[FOLDERS])
        name = lora_model_id.partition(":")[2]
        number = sorted(folders).index(name) + 1
        return DiskMultiplexConfig(
            model_id=lora_model_id, max_total_tokens=None, local_path=folders[name], lora_assigned_int_id=number
        )


class FolderServer(LLMServer):
    """The stock server with that loader."""

    def _init_multiplex_loader(self, model_downloader_cls: Any = None) -> None:
        super()._init_multiplex_loader(FolderLoader)


def main() -> None:
    """Serve until SIGTERM."""
    base, port, *named = sys.argv[1:]
    import ray
    from ray import serve
    from ray.serve.llm import LLMConfig, build_openai_app

    folders = dict(part.split("=", 1) for part in named)
    variables = {FOLDERS: json.dumps(folders), "VLLM_CPU_KVCACHE_SPACE": "2", "HF_HUB_OFFLINE": "1"}
    config = LLMConfig(
        model_loading_config={"model_id": "base", "model_source": base},
        server_cls=FolderServer,
        engine_kwargs={
            "enable_lora": True, "max_loras": 8, "max_cpu_loras": 8, "max_lora_rank": 16, "enforce_eager": True,
            "dtype": "auto", "max_model_len": 2048, "max_num_seqs": 64,
        },
        lora_config={"max_num_adapters_per_replica": 8},
        placement_group_config={"bundles": [{"CPU": 1}]},
        deployment_config={"num_replicas": 1, "ray_actor_options": {"num_cpus": 0}},
        runtime_env={"env_vars": variables},
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="sr-") as folder:
        ray.init(address="local", include_dashboard=False, _temp_dir=folder, log_to_driver=False)
        serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
        options = {"ray_actor_options": {"num_cpus": 0.1}}
        serve.run(build_openai_app({"llm_configs": [config], "ingress_deployment_config": options}))
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        ended.wait()
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
