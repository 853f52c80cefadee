"""Try torch on every GPU of this machine, and print what it says as JSON. Run as a program of its own."""

import json

import torch


def main() -> None:
    """Print the fields of `CudaFacts`."""
    print(json.dumps(_found()))  # noqa: T201 - read by the process that started this one


def _found() -> dict[str, object]:
    try:
        torch.cuda.init()
        gpus = range(torch.cuda.device_count())
        for index in gpus:
            torch.zeros(1, device=f"cuda:{index}")
        properties = [torch.cuda.get_device_properties(index) for index in gpus]
    except (RuntimeError, AssertionError) as failure:  # torch asserts where it is built without CUDA
        return {"problem": " ".join(str(failure).split()) or type(failure).__name__, "capability": (0, 0)}
    return {
        "num_gpus": len(properties),
        "capability": min(((one.major, one.minor) for one in properties), default=(0, 0)),
        "memory_gib": min((one.total_memory / (1 << 30) for one in properties), default=0.0),
    }


if __name__ == "__main__":
    main()
