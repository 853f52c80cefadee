"""Measure the texts per second of a scorer worker, beside bare encoding of the same texts, and split the rest by part.

The worker judges gates and answers, encodes, compares and composes rewards; its time runs from the driver's first
request to the last score, Ray included. The bare sides only encode, timed inside their own actor, with the same model,
dtype, batch size and number of threads: once every text once, sorted by length, and once pair by pair, as one would
write it first.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import ray

from actors.fleets.scorers import ScorerPool
from actors.fleets.supervisor import Supervisor
from actors.remote.calls import ready
from actors.remote.process import ProcessInfo, RemoteActor, this_process
from actors.scorer import ScorerWorker
from actors.scoring.loaded_reward import RewardSetup
from benchmarks.measure import Round, Rounds, Side, Sizes, interleaved, timed
from benchmarks.outcomes import Comparison, Outcome, StageSplit
from benchmarks.start import reserved
from cluster.launch import start_actor
from contracts.config.reward import ScorerConfig
from contracts.rollouts import Score, ScoreRequest
from driver.problems.builtin.generate import builtin_items
from driver.tracking.consistency import LANGUAGE_GATES
from languages.facts import LANGUAGES
from rewards.answers.final import same_answer
from rewards.gates.gates import Gate, build_gates
from rewards.reading import read_group

Texts = list[str]
LONG_LEVELS = (3, 4)
"""Levels of the built-in set whose solutions are as long as a policy's responses."""


@ray.remote
class BareEncoder:
    """Encode with sentence-transformers alone, as one would without this project."""

    def __init__(self, config: ScorerConfig, device: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(config.model, device=device, model_kwargs={"dtype": config.dtype})
        self._batch_size = config.batch_size

    def ready(self) -> ProcessInfo:
        """Return this process, once the model is loaded."""
        return this_process()

    def encode(self, calls: Sequence[Texts]) -> Round:
        """Call the library once for each list of texts, and time it. The work is the number of texts."""

        def encode() -> float:
            vectors = [
                self._model.encode(texts, batch_size=self._batch_size, normalize_embeddings=True) for texts in calls
            ]
            return float(sum(map(len, vectors)))

        return timed(encode)


def run(sizes: Sizes) -> list[Outcome]:
    """Measure every group by itself, which is reproducible, and all waiting groups together (batch_across_groups)."""
    scorer = sizes.config.scorer
    outcomes: list[Outcome] = []
    with reserved(sizes.config, ("scorer",) * 3, threads=sizes.threads) as bundles, asyncio.Runner() as runner:
        *ours_at, bare_at = bundles.layout.placements
        bare = start_actor(BareEncoder, bare_at, bundles, (scorer, bundles.layout.device))
        bare_process = runner.run(ready([bare_at.name], [bare]))[bare_at.name].pid
        for place, together in zip(ours_at, (False, True), strict=True):
            worker = start_actor(
                ScorerWorker, place, bundles, (_setup(sizes, together=together), bundles.layout.device)
            )
            process = runner.run(ready([place.name], [worker]))[place.name].pid
            for pairwise in (False, True):
                ours = _Ours(sizes, worker, runner, pairwise=pairwise)
                our_rounds, bare_rounds = interleaved(
                    Side(turn=ours.turn, processes=(os.getpid(), process)),
                    Side(turn=_bare(sizes, bare, pairwise=pairwise), processes=(bare_process,)),
                    rounds=sizes.rounds,
                )
                outcomes.append(_comparison(sizes, (our_rounds, bare_rounds), ours, together=together))
                if not together and not pairwise:
                    outcomes.append(_split(sizes, our_rounds))
    return outcomes


def _setup(sizes: Sizes, *, together: bool) -> RewardSetup:
    """Return the run's reward without calibration, which is no part of scoring."""
    config = sizes.config
    reasoning = config.reward.reasoning.model_copy(update={"calibration": "off", "unit": "text"})
    return RewardSetup(
        scorer=config.scorer.model_copy(update={"batch_across_groups": together}),
        reward=config.reward.model_copy(update={"reasoning": reasoning}),
        comet=config.comet,
        translator=config.translator,
        languages=config.data.languages,
        calibration=None,
    )


class _Ours:
    """Run the worker's turns, and count the texts that it encoded in them."""

    def __init__(self, sizes: Sizes, worker: RemoteActor, runner: asyncio.Runner, *, pairwise: bool) -> None:
        self._sizes = sizes
        self._runner = runner
        self._fleet = ScorerPool(Supervisor.of_loaded("scorer", [worker]), timeout_s=sizes.config.scorer.timeout_s)
        self.pairwise = pairwise
        self.encoded: list[float] = []  # texts per group, of each turn

    def turn(self, number: int) -> Round:
        """Score the groups of one round."""
        requests = _requests(self._sizes, number, pairwise=self.pairwise)
        num_texts = float(len(_unique_texts(requests)))
        before = self._num_encoded()
        done = timed(lambda: self._runner.run(_score(self._fleet, requests)) or num_texts)
        self.encoded.append((self._num_encoded() - before) / len(requests))
        return done

    def _num_encoded(self) -> float:
        return self._runner.run(self._fleet.stats())["encoded"]


def _requests(sizes: Sizes, number: int, *, pairwise: bool) -> list[ScoreRequest]:
    """Return one round's groups. The second comparison has other rounds: the worker has cached the first one's."""
    return score_requests(sizes, number + pairwise * (sizes.rounds + 1))


def _bare(sizes: Sizes, bare: RemoteActor, *, pairwise: bool) -> Callable[[int], Round]:
    prefix = sizes.config.scorer.text_prefix

    def turn(number: int) -> Round:
        requests = _requests(sizes, number, pairwise=pairwise)
        unique = _unique_texts(requests)
        calls = [list(pair) for pair in _pairs(requests)] if pairwise else [unique]
        done: Round = ray.get(bare.encode.remote([[prefix + text for text in texts] for texts in calls]))
        return replace(done, work=float(len(unique)))

    return turn


def _comparison(sizes: Sizes, rounds: Rounds, ours: _Ours, *, together: bool) -> Comparison:
    our_rounds, bare_rounds = rounds
    bare = (
        "SentenceTransformer.encode of every response with its reference, pair by pair"
        if ours.pairwise
        else f"SentenceTransformer.encode of the same unique texts, batches of {sizes.config.scorer.batch_size}"
    )
    name = "scoring, groups together" if together else "scoring"
    return Comparison(
        name=f"{name}, beside pair by pair" if ours.pairwise else name,
        unit="texts",
        ours="scorer worker: gates, answers, embeddings, rewards, Ray; "
        + ("all groups that wait are encoded together" if together else "every group is encoded by itself"),
        bare=bare,
        aim=1.5 if ours.pairwise else 0.95,
        our_rounds=our_rounds,
        bare_rounds=bare_rounds,
        work=f"{sizes.groups} groups of {sizes.group_size} responses, references shared by the languages of an "
        f"item, {our_rounds[0].work:g} unique texts; {sizes.config.scorer.dtype}, threads: {sizes.threads}",
        notes={
            "texts encoded per group, at most": max(ours.encoded),
            "aim": f"at most {sizes.group_size + 1}",
        },
    )


def _split(sizes: Sizes, our_rounds: Sequence[Round]) -> StageSplit:
    """Time answers and gates in this process on the same rounds, beside the worker's whole time for them."""
    gates = build_gates(
        sizes.config.data.languages,
        min_length_ratio=sizes.config.reward.gates.min_length_ratio,
        max_length_ratio=sizes.config.reward.gates.max_length_ratio,
    )
    _by_part(score_requests(sizes, 0), gates)  # warms up: lingua loads a language's statistics at first use
    steps = [
        _by_part(score_requests(sizes, number), gates) | {"step": whole.seconds}
        for number, whole in enumerate(our_rounds, start=1)
    ]
    return StageSplit(
        name="scoring, by part",
        work=f"{sizes.groups} groups of {sizes.group_size} responses; step is the worker's whole time, the rest was "
        "timed in the driver",
        steps=tuple(steps),
        notes={"aim": "answers and language gates together under 5 % of a step"},
    )


def _by_part(requests: Sequence[ScoreRequest], gates: Sequence[Gate]) -> dict[str, float]:
    """Return the seconds of everything but encoding."""
    seconds = {"answers": 0.0, "language gates": 0.0, "other gates": 0.0}
    started = time.perf_counter()
    readings = [reading for request in requests for reading in read_group(request)]
    for reading in readings:
        if reading.answer is None or reading.task.reference_answer is None:
            raise RuntimeError(f"a text of the benchmark declares no answer: {reading.text}")
        same_answer(reading.answer, reading.task.reference_answer)
    seconds["answers"] = time.perf_counter() - started
    for gate in gates:
        started = time.perf_counter()
        for reading in readings:
            gate.is_open(reading)
        place = "language gates" if gate.name in LANGUAGE_GATES else "other gates"
        seconds[place] += time.perf_counter() - started
    return seconds


async def _score(fleet: ScorerPool, requests: Sequence[ScoreRequest]) -> None:
    groups = await asyncio.gather(*(fleet.score(request) for request in requests))
    for score in (score for group in groups for score in group):
        # A text that fails a gate is not encoded: then the two sides would not do the same work.
        if not isinstance(score, Score) or not all(score.gates.values()):
            raise RuntimeError(f"a text of the benchmark was not encoded: {score}")


def _pairs(requests: Sequence[ScoreRequest]) -> list[tuple[str, str]]:
    """Return (its reasoning, its reference's reasoning) of every response."""
    readings = [reading for request in requests for reading in read_group(request)]
    return [(reading.reasoning, reading.task.reference_reasoning) for reading in readings]


def _unique_texts(requests: Sequence[ScoreRequest]) -> list[str]:
    """Return the texts that the scorer has to encode."""
    return list(dict.fromkeys(text for pair in _pairs(requests) for text in pair))


def score_requests(sizes: Sizes, number: int) -> list[ScoreRequest]:
    """Return one round's groups: solutions of the built-in set, each of another problem, in their group's language.

    All pass the gates, so that every one is encoded. None appears twice, neither in a round nor in two rounds. As in a
    run on a parallel set, the groups take the languages in turn, and the groups of one item share its reference.
    """
    languages = sizes.config.data.languages
    in_round = sizes.groups * sizes.group_size
    items = list(
        builtin_items(seed=sizes.config.run.seed, split="train", num_items=(number + 1) * in_round, levels=LONG_LEVELS)
    )
    requests = []
    for index in range(sizes.groups):
        language = languages[index % len(languages)]
        start = number * in_round + index * sizes.group_size
        group = items[start : start + sizes.group_size]
        shared = items[number * in_round + index // len(languages)]
        english = shared.text("en")
        requests.append(
            ScoreRequest(
                language=language,
                question=shared.text(language).question,
                question_en=english.question,
                reference=_response(english.steps, english.answer, "en"),
                responses=tuple(
                    _response(text.steps, text.answer, language) for text in (item.text(language) for item in group)
                ),
                truncated=(False,) * sizes.group_size,
            )
        )
    return requests


def _response(steps: tuple[str, ...], answer: str, language: str) -> str:
    return "\n".join([*steps, LANGUAGES[language].closing.format(answer=answer)])
