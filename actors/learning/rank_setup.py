"""What a learner rank is told before it starts. Plain data: knows the config's sections and nothing else."""

from dataclasses import dataclass

from contracts.config.run import AlgorithmConfig, CriticConfig, LearnerConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class RankPlace:
    """Where a rank stands among the others."""

    rank: int
    world_size: int
    master_address: str
    master_port: int
    device: str  # "cpu" or "cuda": the one GPU that this process sees


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicySource:
    """The model that is trained, and how its responses were drawn."""

    model: str  # a Hugging Face name or a local folder
    temperature: float
    trust_remote_code: bool = False
    vocab_size: int | None = None  # tokens that the engine can draw, where the head has more rows
    chat_template: str = ""  # text; goes into exports in place of the tokenizer's own


@dataclass(frozen=True, kw_only=True, slots=True)
class RankSetup:
    """The same for every rank."""

    learner: LearnerConfig
    algorithm: AlgorithmConfig
    critic: CriticConfig
    policy: PolicySource
    total_optimizer_steps: int  # of the whole run: what a learning-rate schedule counts
    bucket_bytes: int  # gathered at once, when the weights are walked through
    seed: int

    @property
    def has_critic(self) -> bool:
        return self.algorithm.name == "ppo"

    @property
    def has_reference(self) -> bool:
        """Whether a frozen copy of the policy's first weights is needed."""
        return self.algorithm.kl != "none" and self.algorithm.name != "sft"

    @property
    def head_temperature(self) -> float:
        """What the logits are divided by: the temperature that drew the responses; what is imitated was not drawn."""
        return 1.0 if self.algorithm.name == "sft" else self.policy.temperature

    @property
    def critic_model(self) -> str:
        return self.critic.model or self.policy.model
