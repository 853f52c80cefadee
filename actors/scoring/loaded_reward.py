"""Build a loaded reward from its config: the similarity, the gates, the scale and the models that were chosen.

A scorer runs it in its own process, the reward audit in the driver's. What was not chosen is not imported: chrF needs
no encoder, and only COMET needs its checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contracts.config.reward import (
    CalibratedReasoning,
    CometConfig,
    CometReasoning,
    EmbeddingReasoning,
    LikelihoodReasoning,
    ReasoningConfig,
    RewardConfig,
    ScorerConfig,
    TranslationReasoning,
    TranslatorConfig,
    needs_translator,
)
from contracts.paths import absolute
from languages.facts import use_own_languages
from languages.language import Language
from rewards.calibration import Calibration, LinearScale
from rewards.compose import Combination
from rewards.custom import CustomReward
from rewards.gates.gates import build_gates
from rewards.reasoning.answers import EmbeddingAnswers, ExactAnswers
from rewards.reasoning.similarity import ReasoningSimilarity
from rewards.reward import Reasoning, Scale, SemanticReward, TextAnswers

if TYPE_CHECKING:  # each loads torch
    from rewards.comet.metric import CometMetric
    from rewards.comet.pairs import PairScorer
    from rewards.models.encoder import SentenceEncoder
    from rewards.models.translator import Seq2SeqTranslator


@dataclass(frozen=True, kw_only=True)
class RewardSetup:
    """Hold the settings of a scorer; paths are absolute."""

    scorer: ScorerConfig
    reward: RewardConfig
    comet: CometConfig
    translator: TranslatorConfig
    languages: tuple[str, ...]  # of the requests
    own_languages: tuple[Language, ...] = ()  # of the config's own files: a process knows the built-in ones by itself
    calibration: Calibration | None = None  # None: it comes later, or reward.reasoning.calibration is "off"
    custom_source: str = ""  # the text of the file reward.custom.path
    translated_by: str = "pivot"  # what translates the requests, if the driver asks for translations

    @property
    def gates_off(self) -> tuple[str, ...]:
        """Return the gates that are switched off."""
        return tuple(name for name, is_on in self.reward.gates.switches.items() if not is_on)


class LoadedReward:
    """Hold the reward, with the models that were loaded for it."""

    def __init__(self, setup: RewardSetup, device: str) -> None:
        """Load the models.

        Raises:
            ValueError: settings and models don't fit together.
            Exception: a model can't be loaded, or the user's own file can't be run.
        """
        use_own_languages(setup.own_languages)
        self._languages = setup.languages
        self._models = _Models(setup, device)
        reasoning, gates = setup.reward.reasoning, setup.reward.gates
        self.reward = SemanticReward(
            gates=build_gates(
                setup.languages,
                min_length_ratio=gates.min_length_ratio,
                max_length_ratio=gates.max_length_ratio,
                thinking=setup.reward.thinking,
            ),
            switched_off=setup.gates_off,
            reasoning=Reasoning(
                similarity=self._models.similarity(),
                scale=_uncalibrated(reasoning),
                baseline=reasoning.baseline if isinstance(reasoning, CalibratedReasoning) else "language",
                with_thinking=setup.reward.thinking == "judged",
            ),
            combination=Combination(setup.reward),
            text_answers=self._models.text_answers(),
            custom=_custom(setup),
        )
        if setup.calibration is not None and _uncalibrated(reasoning) is None:
            self.use_calibration(setup.calibration)

    def use_calibration(self, calibration: Calibration) -> None:
        """Use this scale from now on.

        Raises:
            ValueError: it was measured with another similarity, or without one of the languages.
        """
        if calibration.similarity != self.reward.fingerprint:
            raise ValueError(
                f"the calibration was measured with {calibration.similarity}, the scorer uses "
                f"{self.reward.fingerprint}; measure it again with `calibrate`"
            )
        calibration.require(self._languages)
        self.reward.reasoning.scale = calibration

    def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Return one translation for each text, in order.

        Raises:
            ValueError: the translator does not know one of the languages.
        """
        return self._models.translator().translate(texts, source=source, target=target)

    def counters(self) -> dict[str, float]:
        """Return the counters of the loaded models since the start.

        They are: texts that the encoder encoded, texts that it cut and the tokens that were cut off; segments that the
        translator translated, and those that it did not finish; segments that COMET scored.
        """
        return self._models.counters()


class _Models:
    """Hold the models that a setup asks for. Each is loaded once, when it is first needed."""

    def __init__(self, setup: RewardSetup, device: str) -> None:
        self._setup = setup
        self._device = device
        self._loaded_encoder: SentenceEncoder | None = None
        self._loaded_translator: Seq2SeqTranslator | None = None
        self._loaded_comet: PairScorer | None = None
        self._loaded_metric: CometMetric | None = None

    def similarity(self) -> ReasoningSimilarity:
        match self._setup.reward.reasoning:
            case EmbeddingReasoning() as reasoning:
                return self._by_embedding(reasoning)
            case TranslationReasoning() as reasoning:
                return self._by_translation(reasoning)
            case CometReasoning():
                from rewards.comet.similarity import CometSimilarity

                return CometSimilarity(self._comet())
            case LikelihoodReasoning():
                from rewards.reasoning.without_encoder import LikelihoodSimilarity

                return LikelihoodSimilarity()

    def text_answers(self) -> TextAnswers | None:
        """Return what compares answers that no rule can compare; None if such groups stay unscored."""
        reward, comet = self._setup.reward, self._setup.comet
        match reward.unparsed_answers:
            case "unscored":
                return None
            case "exact":
                return ExactAnswers()
            case "embedding":
                return _Scaled(EmbeddingAnswers(self._encoder()), LinearScale(reward.answer_low, reward.answer_high))
            case "comet":
                from rewards.comet.similarity import CometAnswers

                return _Scaled(CometAnswers(self._comet()), LinearScale(comet.low, comet.high))

    def counters(self) -> dict[str, float]:
        counted: dict[str, int] = {}
        if self._loaded_encoder is not None:
            encoded = self._loaded_encoder.stats
            counted |= {
                "encoded": encoded.num_encoded,
                "truncated_texts": encoded.num_truncated_texts,
                "truncated_tokens": encoded.num_truncated_tokens,
            }
        if self._loaded_translator is not None:
            translated = self._loaded_translator.stats
            counted |= {"translated": translated.num_segments, "translations_unfinished": translated.num_unfinished}
        if self._loaded_metric is not None:
            counted["comet_segments"] = self._loaded_metric.num_scored
        return {name: float(value) for name, value in counted.items()}

    def _by_embedding(self, reasoning: EmbeddingReasoning | TranslationReasoning) -> ReasoningSimilarity:
        from rewards.reasoning.embedding import EmbeddingSimilarity

        limit = reasoning.chunk_tokens
        unit = reasoning.unit if isinstance(reasoning, EmbeddingReasoning) else "text"
        return EmbeddingSimilarity(self._encoder(), chunk_tokens=None if limit == "auto" else limit, unit=unit)

    def _by_translation(self, reasoning: TranslationReasoning) -> ReasoningSimilarity:
        from rewards.reasoning.translation import TranslationSimilarity
        from rewards.reasoning.without_encoder import ChrfSimilarity

        compare = ChrfSimilarity() if reasoning.compare == "chrf" else self._by_embedding(reasoning)
        translator = self.translator() if reasoning.translator == "seq2seq" else None
        return TranslationSimilarity(compare, translator, translated_by=self._setup.translated_by)

    def _encoder(self) -> "SentenceEncoder":
        from rewards.models.encoder import SentenceEncoder

        config = self._setup.scorer
        if self._loaded_encoder is None:
            self._loaded_encoder = SentenceEncoder(
                config.model,
                text_prefix=config.text_prefix,
                batch_size=config.batch_size,
                dtype=config.dtype,
                device=self._device,
                trust_remote_code=config.trust_remote_code,
            )
        return self._loaded_encoder

    def _comet(self) -> "PairScorer":
        from rewards.comet.feeding import make_feeding
        from rewards.comet.metric import load_comet
        from rewards.comet.pairs import PairScorer

        config = self._setup.comet
        if self._loaded_comet is None:
            metric = load_comet(
                config.model,
                encoder=config.encoder,
                dtype=config.dtype,
                device=self._device,
                batch_size=config.batch_size,
                cache_folder=absolute(".cache"),
            )
            translator = self.translator() if needs_translator(self._setup.reward, config) else None
            feeding = make_feeding(config.feeding, needs_reference=metric.needs_reference, translator=translator)
            self._loaded_metric, self._loaded_comet = metric, PairScorer(metric, feeding)
        return self._loaded_comet

    def translator(self) -> "Seq2SeqTranslator":
        """Return the translator, loaded when it is first asked for."""
        from rewards.models.translator import Seq2SeqTranslator

        config = self._setup.translator
        if self._loaded_translator is None:
            self._loaded_translator = Seq2SeqTranslator(
                config.model,
                batch_size=config.batch_size,
                max_tokens=config.max_tokens,
                dtype=config.dtype,
                device=self._device,
            )
        return self._loaded_translator


class _Scaled:
    """Rescale the raw scores of text answers to [0, 1]."""

    def __init__(self, answers: TextAnswers, scale: Scale) -> None:
        self._answers = answers
        self._scale = scale

    def compare(self, english: Sequence[str], native: Sequence[str], languages: Sequence[str]) -> NDArray[np.float64]:
        return self._scale.rescale(self._answers.compare(english, native, languages), languages)


def _uncalibrated(reasoning: ReasoningConfig) -> Scale | None:
    """Return the scale of a similarity that needs no calibration; None if it needs one."""
    if not isinstance(reasoning, CalibratedReasoning):
        return LinearScale(0.0, 1.0)
    return None if reasoning.is_calibrated else LinearScale(reasoning.low, reasoning.high)


def _custom(setup: RewardSetup) -> CustomReward | None:
    config = setup.reward.custom
    return CustomReward(source=setup.custom_source, path=config.path, function=config.function) if config.path else None
