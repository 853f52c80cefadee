"""Describe a learner rank before it starts. Plain data."""

from dataclasses import dataclass

from contracts.config.learning import AlgorithmConfig, CriticConfig, LearnerConfig, PolicyGradientConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class RankPlace:
    """Say which rank this is, and where the ranks meet.

    They meet in a file, not at a port: torch's TCPStore asks for no credential, and a folder that only its owner may
    open takes no stranger. With several nodes it must be on a file system that they share, and that has locks.
    """

    rank: int
    world_size: int
    meeting: str  # a file that does not exist yet, the same for all ranks; a rank that is alone needs none
    device: str  # "cpu" or "cuda": the one GPU that this process sees

    @property
    def reduces_in_background(self) -> bool:
        """Return whether gradients are reduced while others are computed.

        NCCL can do so on a GPU. On a CPU, gloo would take the cores that compute.
        """
        return self.device == "cuda"


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicySource:
    """Describe the model that is trained, and how its responses are drawn."""

    model: str  # a Hugging Face name or a local folder
    temperature: float  # of the responses
    trust_remote_code: bool = False
    vocab_size: int | None = None  # number of tokens that the engine can draw, if the head has more rows
    chat_template: str = ""  # text; replaces the tokenizer's own in exports


@dataclass(frozen=True, kw_only=True, slots=True)
class RankSetup:
    """Hold the settings that are the same for every rank."""

    learner: LearnerConfig
    algorithm: AlgorithmConfig
    critic: CriticConfig
    policy: PolicySource
    total_optimizer_steps: int  # of the whole run; the learning-rate schedules use it
    bucket_bytes: int  # of weights that are gathered at once
    pushes_adapters: bool = False  # and not the weights with the adapters merged in
    seed: int
    gives_weights_on_every_rank: bool = False  # else on rank 0 only: each rank sends to the engine on its own GPU

    @property
    def has_critic(self) -> bool:
        """Return whether a critic learns."""
        return self.algorithm.name == "ppo"

    @property
    def has_reference(self) -> bool:
        """Return whether a frozen copy of the policy's first weights is needed."""
        return isinstance(self.algorithm, PolicyGradientConfig) and self.algorithm.kl != "none"

    @property
    def head_temperature(self) -> float:
        """Return the temperature of the logits: that of the responses, or 1 for SFT, whose texts were not drawn."""
        return 1.0 if self.algorithm.name == "sft" else self.policy.temperature

    @property
    def critic_model(self) -> str:
        """Return the name or folder of the critic's model."""
        return self.critic.model or self.policy.model
