"""Define the config sections of the processes: engines, weight transfer, restarts and the cluster."""

from collections.abc import Mapping
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from contracts.config.section import Auto, MayChange, Section
from contracts.errors import BadInput

ThinkingMarker = Annotated[str, Field(min_length=2)]
WeightBackend = Literal["object_store", "nccl", "ipc", "adapters"]
"""How weights reach an engine: all of them through Ray's object store, by NCCL or, on the same GPU, by CUDA IPC; or
adapters alone, which are small, through the object store."""


class EngineConfig(Section):
    """The vLLM engines of one model."""

    model: MayChange[str]
    """Name on the Hugging Face hub, or a local folder. A run is continued only with the same files: its first start
    pins a model of the hub to a commit. `owner/name@revision` names a branch, a tag or a commit."""
    num_workers: MayChange[int] = Field(default=1, ge=1)
    """Number of vLLM workers; each holds the whole model."""
    tensor_parallel_size: MayChange[int] = Field(default=1, ge=1)
    """GPUs of one worker, all on one node."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Number format of weights and activations in the engine."""
    max_model_len: int = Field(default=1024, ge=16)
    """Longest prompt and response together, in tokens."""
    max_num_seqs: MayChange[Annotated[int, Field(ge=1)] | Auto] = "auto"
    """Sequences that one worker decodes at once. "auto" is 256 on a GPU, where a step takes hardly longer for them, and
    64 on a CPU."""
    max_num_batched_tokens: MayChange[Annotated[int, Field(ge=1)] | Auto] = "auto"
    """Tokens that one step of a worker computes at most: prompts, and one token of each sequence. "auto" is 16384 on a
    GPU and 2048 on a CPU, and at least `max_model_len`."""
    gpu_memory_utilization: MayChange[float] = Field(default=0.85, gt=0, le=1)
    """Share of each GPU's memory that vLLM takes; of the part of a GPU where a worker reserves a part."""
    kv_cache_gib: MayChange[float] = Field(default=0.5, gt=0)
    """Size of one worker's KV cache on a CPU, in GiB. On a GPU `gpu_memory_utilization` decides."""
    num_cpus: MayChange[float] = Field(default=1, gt=0)
    """CPU cores that Ray reserves for one worker. Rounded down, and at least 1, it is also the number of threads."""
    timeout_s: MayChange[float] = Field(default=1800, gt=0)
    """Longest time for one request, waiting in the queue included, in seconds."""
    chat_template: str | None = None
    """File with a Jinja chat template. Left out: the tokenizer's own template."""
    chat_template_arguments: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Arguments for the chat template, e.g. `{enable_thinking = false}`: it gets them for every prompt."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model."""
    stop_tokens: tuple[str, ...] = ()
    """Tokens that end a response, beside the tokenizer's end of sequence and those that the model's
    generation_config.json names. Needed where a chat template ends a turn with another token, e.g. ["<|im_end|>"]."""
    thinking_markers: tuple[tuple[ThinkingMarker, ThinkingMarker], ...] = (
        ("<think>", "</think>"),
        ("<thinking>", "</thinking>"),
        ("<thought>", "</thought>"),
        ("[THINK]", "[/THINK]"),
        ("<|begin_of_thought|>", "<|end_of_thought|>"),
        ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    )
    """Pairs of what opens and closes the thinking of a model that thinks before it answers. The answer is what follows
    the last closing marker. A chat template may write the opening one into the prompt."""

    @property
    def gpus(self) -> float:
        """Return the GPUs that one worker reserves, all on one node."""
        return float(self.tensor_parallel_size)

    @property
    def gpu_memory_share(self) -> float:
        """Return the share of each GPU's whole memory that vLLM takes."""
        return self.gpu_memory_utilization * min(1.0, self.gpus)


_GIVEN_BY_THE_PROGRAM = frozenset(
    {
        *("messages", "conversation", "tools", "documents", "add_generation_prompt", "continue_final_message"),
        *("chat_template", "tokenize", "padding", "truncation", "max_length", "tokenizer_kwargs", "strftime_now"),
        *("raise_exception", "return_tensors", "return_dict", "return_assistant_tokens_mask"),
        *(f"{kind}_token" for kind in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")),
    }
)


def check_template_arguments(engine: EngineConfig, section: str) -> None:
    """Check the names of the arguments that a section gives to its chat template.

    Raises:
        BadInput: one is no name in Jinja, or is given to every template by the program itself.
    """
    for name in engine.chat_template_arguments:
        key = f"{section}.chat_template_arguments"
        if not name.isidentifier() or iskeyword(name):
            raise BadInput(f"{key}: {name!r} is not a name that a template can read; write it as in Python", key=key)
        if name in _GIVEN_BY_THE_PROGRAM:
            raise BadInput(f"{key}.{name}: the program itself gives {name} to the template; leave it out", key=key)


class PolicyConfig(EngineConfig):
    """The model that is trained, and the vLLM workers that sample its responses."""

    timeout_s: MayChange[float] = Field(default=3600, gt=0)
    """Longest time for one request, waiting in the queue included, in seconds. Keep it above `learner.timeout_s`:
    requests wait during a weight push, and must outlive a learner that hangs in one."""
    min_workers: MayChange[int] = Field(default=1, ge=1)
    """The run goes on with fewer workers than `num_workers`, but not with fewer than this."""
    max_workers: MayChange[Annotated[int, Field(ge=1)] | Auto] = "auto"
    """Workers are added up to this number while the cluster has free resources. "auto" is `num_workers`."""
    max_response_tokens: int = Field(default=128, ge=1)
    """A longer response is cut off here, in tokens."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature while training. top-p and top-k are always off, so that log-probabilities are those of the
    whole distribution. An evaluation has a temperature of its own."""

    @property
    def most_workers(self) -> int:
        """Return the number of workers that a cluster with enough resources gets."""
        return self.num_workers if self.max_workers == "auto" else self.max_workers


class PivotConfig(EngineConfig):
    """The frozen model that writes the English reference responses."""

    num_gpus: MayChange[Annotated[float, Field(gt=0, lt=1)] | Auto] = "auto"
    """Part of a GPU that one worker reserves, to share the GPU with a scorer or another pivot worker: with 0.6, and
    `scorer.num_gpus` 0.4, both run on one GPU. "auto" is whole GPUs, `tensor_parallel_size` of them."""
    max_response_tokens: int = Field(default=192, ge=1)
    """A longer reference is cut off here, in tokens; a reference that is cut off is not used."""
    temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature; 0 is greedy."""
    num_exemplars: int = Field(default=0, ge=0, le=8)
    """Worked English examples before the question."""
    cache: MayChange[str] = ".cache/references"
    """Folder of the reference cache, which runs share. "off" keeps references for one run only."""
    num_references: int = Field(default=1, ge=1)
    """References drawn for each item. Of several, the answer that most of them give decides, and the first one with
    that answer is used. More than 1 needs a temperature above 0."""
    min_agreement: float = Field(default=0.5, ge=0, le=1)
    """With several references: least share of them that must give the winning answer. Below it the item is undecided
    and its groups are dropped."""

    @property
    def cache_folder(self) -> Path | None:
        """Return the folder of the reference cache; None if it is off."""
        return None if self.cache == "off" else Path(self.cache)

    @property
    def gpus(self) -> float:
        """Return the GPUs that one worker reserves, all on one node."""
        return super().gpus if self.num_gpus == "auto" else self.num_gpus

    @model_validator(mode="after")
    def _part_is_of_one_gpu(self) -> Self:
        if self.num_gpus != "auto" and self.tensor_parallel_size > 1:
            raise BadInput(
                f"pivot.num_gpus {self.num_gpus:g} is a part of one GPU, and pivot.tensor_parallel_size is "
                f"{self.tensor_parallel_size}: leave one of them out",
                key="pivot.num_gpus",
            )
        return self

    @model_validator(mode="after")
    def _references_differ(self) -> Self:
        if self.num_references > 1 and self.temperature == 0:
            raise BadInput(
                f"pivot.num_references is {self.num_references}, and at pivot.temperature 0 they are all the same; "
                "raise the temperature, or ask for one reference",
                key="pivot.num_references",
            )
        return self


MAX_ADAPTER_RANK = 512
"""Highest rank for which vLLM has LoRA kernels."""


class WeightsConfig(Section):
    """How weights are sent from the learner to the policy workers."""

    backend: Literal["auto", "object_store", "nccl"] = "auto"
    """Transport. "auto" is nccl on GPUs, and object_store (Ray's) without. Adapters always take object_store."""
    lora: Literal["adapter", "merged"] = "adapter"
    """What is sent with `learner.lora`. "adapter": the adapters alone, which vLLM applies beside the base weights.
    "merged": all weights with the adapters merged in, for models to which vLLM can't apply adapters. Merging rounds to
    the weights' number format: an update that is small beside a weight is lost."""
    bucket_mib: Annotated[int, Field(ge=1)] | Auto = "auto"
    """Most that a rank gathers at once, in MiB. A larger tensor is sent alone. "auto" is 512 on a GPU and 128 on a
    CPU."""
    timeout_s: float = Field(default=600, gt=0)
    """Longest time for one message of a push (announce, one bucket, finish), in seconds; never more than a quarter of
    `learner.timeout_s` (450 s with the defaults). With nccl, all weights are one message. A worker that misses a push
    is sent it once more, and is replaced when it misses that too. While weights are sent to a worker, its silence does
    not count (`fleet.dead_after_s`)."""


class FleetConfig(Section):
    """When a silent worker counts as dead, and how often it is restarted: policy, pivot, scorers, learner ranks."""

    heartbeat_s: float = Field(default=5.0, gt=0)
    """Time between two heartbeat requests to a worker, in seconds."""
    suspect_after_s: float = Field(default=20.0, gt=0)
    """A worker that was silent for this time gets no new work, in seconds."""
    dead_after_s: float = Field(default=60.0, gt=0)
    """A worker that was silent for this time is killed, in seconds. Others do its work, and a new worker is started."""
    max_restarts: int = Field(default=5, ge=0)
    """Restarts of one worker (of the learner as a whole) within `restart_window_s`. After one more failure it is not
    restarted."""
    restart_window_s: float = Field(default=3600.0, gt=0)
    """Time window in which restarts are counted, in seconds."""
    backoff_s: float = Field(default=1.0, ge=0)
    """Wait before a restart, in seconds; doubled before each further one within `restart_window_s`."""
    max_backoff_s: float = Field(default=60.0, ge=0)
    """Longest wait before a restart, in seconds."""
    slow_factor: Annotated[float, Field(gt=1)] | Literal["off"] = 10.0
    """A worker that is this many times slower than the median of the others of its role is killed. Others do its work,
    and a new worker is started. Only busy time counts: no worker is slow that has nothing to do, loads, or takes
    weights. A worker that is alone is never replaced for this, nor one with fewer than two restarts left."""
    slow_after_s: float = Field(default=120.0, gt=0)
    """Busy time over which a worker's speed is measured, in seconds."""
    second_try_after: float = Field(default=0.5, gt=0, le=1)
    """A request that has waited for this share of its role's `timeout_s` is given to a second worker as well, if one is
    ready whose own requests have waited at most half as long. The first answer counts. 1 turns this off."""

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> Self:
        if not self.heartbeat_s <= self.suspect_after_s <= self.dead_after_s:
            raise BadInput(
                f"fleet.heartbeat_s {self.heartbeat_s:g}, fleet.suspect_after_s {self.suspect_after_s:g} and "
                f"fleet.dead_after_s {self.dead_after_s:g} must be in ascending order",
                key="fleet.suspect_after_s",
            )
        if self.backoff_s > self.max_backoff_s:
            raise BadInput(
                f"fleet.backoff_s {self.backoff_s:g} is above fleet.max_backoff_s {self.max_backoff_s:g}",
                key="fleet.backoff_s",
            )
        return self


LabelKey = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, Field(pattern=r"^!?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$")]
NodeLabels = Mapping[LabelKey, LabelValue]
"""Ray's label selector of a node: each label has the value, or with "!" in front has another one or is missing."""


class NodesConfig(Section):
    """The nodes on which actors of a role may run, by the labels that `ray start --labels` or a launch file gives to
    a node: `policy = {role = "policy"}`. With "!" a node must not have the value: `learner = {market = "!spot"}`. Left
    out: any node. Actors that share a GPU need the same labels."""

    policy: NodeLabels = Field(default_factory=dict)
    """Labels of the nodes for policy workers."""
    pivot: NodeLabels = Field(default_factory=dict)
    """Labels of the nodes for pivot workers."""
    scorer: NodeLabels = Field(default_factory=dict)
    """Labels of the nodes for scorers."""
    learner: NodeLabels = Field(default_factory=dict)
    """Labels of the nodes for learner ranks."""


class ClusterConfig(Section):
    """Ray and its resources."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What models run on. "auto" is cuda if the installed torch and vLLM are built for it and the cluster has as many
    GPUs as the run needs, else cpu."""
    gpu_memory_gib: Annotated[float, Field(gt=0)] | Auto = "auto"
    """Memory of one GPU, in GiB, that the actors must fit into: about 79 for a GPU of 80 GB. "auto" asks the cluster's
    GPUs when a run starts, and in `plan --check`; `plan` alone asks nothing, and so compares nothing with "auto"."""
    colocate: bool = False
    """Put each learner rank on the GPU of a policy worker: they use it in turns, and the other's memory is given up or
    moved to the host meanwhile. For runs that wait for the learner anyway (`algorithm.max_staleness` 0). Needs as many
    ranks as policy workers."""
    placement_timeout_s: float = Field(default=300, gt=0)
    """Longest wait until the cluster has free resources for the run, in seconds."""
    start_timeout_s: float = Field(default=900, gt=0)
    """Longest time for an actor to load its model, in seconds."""
    include_dashboard: bool = False
    """Start Ray's dashboard (on loopback only) when the run starts its own local Ray."""
    nodes: NodesConfig = NodesConfig()
