"""Declare the metrics of a step that do not come from the learner: rewards, groups, workers, weights and times.

<language> is a language code, or "all" for all languages together.
"""

from contracts.metrics.metric import Metric, MetricSection, Reduction, Unit


def _mean(name: str, title: str, unit: Unit, meaning: str, *, when: str = "") -> Metric:
    return Metric(name, title, unit, Reduction.MEAN, meaning, when=when)


def _sum(name: str, title: str, unit: Unit, meaning: str, *, when: str = "") -> Metric:
    return Metric(name, title, unit, Reduction.SUM, meaning, when=when)


def _max(name: str, title: str, unit: Unit, meaning: str, *, when: str = "") -> Metric:
    return Metric(name, title, unit, Reduction.MAX, meaning, when=when)


def _last(name: str, title: str, unit: Unit, meaning: str) -> Metric:
    return Metric(name, title, unit, Reduction.LAST, meaning)


def _ratio(name: str, title: str, unit: Unit, meaning: str, *, when: str = "") -> Metric:
    return Metric(name, title, unit, Reduction.RATIO, meaning, when=when)


REWARD = MetricSection(
    "Reward",
    (
        _mean("reward/mean", "Reward", Unit.REWARD, "Reward of a scored response."),
        Metric(
            "reward/std",
            "Spread of the reward",
            Unit.REWARD,
            Reduction.STD,
            "Standard deviation of the reward over all scored responses of the step.",
        ),
        _mean(
            "reward/<component>/<language>",
            "Component of the reward",
            Unit.REWARD,
            "One component of a scored response's reward, before its weight.",
        ),
        _mean("gate/<gate>/<language>", "Gate", Unit.SHARE, "Share of scored responses that the gate lets through."),
    ),
)

LANGUAGES = MetricSection(
    "Languages",
    (
        _mean("lang/<language>/reward_mean", "Reward", Unit.REWARD, "Reward of a scored response in the language."),
        _mean(
            "lang/<language>/accuracy",
            "Accuracy while training",
            Unit.SHARE,
            "Share of scored responses whose answer is the gold answer; it is only watched, and no reward reads it.",
            when="where the data has gold answers",
        ),
        _mean(
            "lang/<language>/agreement",
            "Agreement with the pivot",
            Unit.SHARE,
            "Share of scored responses whose answer is that of the English reference.",
        ),
        _mean(
            "lang/<language>/two_readings",
            "Answers with two readings",
            Unit.SHARE,
            'Share of declared answers that may be two numbers: "7,425" in a language with a decimal comma, "2 dozen".',
            when="where an answer was declared",
        ),
        _mean(
            "lang/<language>/language_consistency",
            "In the asked language",
            Unit.SHARE,
            "Share of scored responses whose reasoning and answer are in the language of the problem.",
        ),
        _mean("lang/<language>/response_length", "Length", Unit.TOKENS, "Tokens of a response in the language."),
        _mean(
            "lang/<language>/thinking_length",
            "Thinking",
            Unit.TOKENS,
            "Tokens of a response in the language up to the end of its thinking.",
            when="where the policy thinks before it answers",
        ),
        _mean(
            "lang/<language>/truncated",
            "Cut off",
            Unit.SHARE,
            "Share of responses in the language that reached the token limit.",
        ),
    ),
)

RESPONSES = MetricSection(
    "Groups and responses",
    (
        _sum("group/used", "Groups learned from", Unit.COUNT, "Groups that the step learned from."),
        _sum(
            "group/dropped_<reason>",
            "Groups dropped",
            Unit.COUNT,
            "Groups that the step did not learn from, for this reason.",
        ),
        _mean(
            "group/reward_std",
            "Spread of the reward inside groups",
            Unit.REWARD,
            "Standard deviation of the reward inside a group, of groups with at least two scored responses.",
        ),
        _sum(
            "group/replaced",
            "Groups replaced",
            Unit.COUNT,
            "Groups that were finished but replaced by others, because they could not be learned from.",
        ),
        _mean(
            "distillation/kl",
            "Distance from the teacher",
            Unit.NATS,
            "Mean of log p - log q of a response token, policy p, teacher q: it estimates KL(p || q).",
            when="with opd",
        ),
        _sum(
            "group/finished_tokens",
            "Tokens finished",
            Unit.TOKENS,
            "Response tokens of all groups that were finished since the step before.",
        ),
        _sum(
            "group/finished_texts",
            "Texts finished",
            Unit.TEXTS,
            "Responses of all groups that were finished since the step before.",
        ),
        _sum("response/unscored", "Responses without a score", Unit.COUNT, "Responses that could not be scored."),
        _sum(
            "response/unscored_<reason>",
            "Responses without a score",
            Unit.COUNT,
            "Responses that could not be scored, for this reason.",
        ),
        _mean("response_length/mean", "Response length, mean", Unit.TOKENS, "Tokens of a response."),
        _max("response_length/max", "Response length, longest", Unit.TOKENS, "Tokens of the longest response."),
        _last("queue/in_flight", "Groups in flight", Unit.COUNT, "Groups under way or ready when the step began."),
        _last(
            "queue/ready", "Groups ready", Unit.COUNT, "Groups that were ready to be learned from when the step began."
        ),
        _sum(
            "curriculum/passed_over",
            "Problems passed over",
            Unit.COUNT,
            "Problems that the curriculum passed over since the step before.",
        ),
        _mean(
            "staleness/mean",
            "Staleness, mean",
            Unit.VERSIONS,
            "Policy versions between the drawing of a token and its learning.",
        ),
        _max(
            "staleness/max", "Staleness, largest", Unit.VERSIONS, "The largest staleness of any token that was learned."
        ),
    ),
)

PIVOT = MetricSection(
    "Pivot",
    (
        _sum("pivot/requests", "Pivot: requests", Unit.COUNT, "Requests for a reference that went to the pivot."),
        _sum(
            "pivot/truncated",
            "Pivot: truncated",
            Unit.COUNT,
            "References that were rejected because all of their responses were cut off.",
        ),
        _sum(
            "pivot/undecided",
            "Pivot: undecided",
            Unit.COUNT,
            "References that were rejected because no answer had enough votes.",
        ),
        _mean("pivot/cache_hit_rate", "Pivot: cache hits", Unit.SHARE, "Share of problems whose reference was cached."),
        _mean("pivot/latency_s", "Pivot: latency", Unit.SECONDS, "Seconds of a request to the pivot."),
        _mean(
            "pivot/accuracy",
            "Pivot: accuracy",
            Unit.SHARE,
            "Share of accepted references that give the gold answer; it is only watched.",
            when="where the data has gold answers",
        ),
        _mean(
            "pivot/agreement",
            "Pivot: agreement with itself",
            Unit.SHARE,
            "Share of a reference's responses that gave its winning answer.",
            when="where the pivot draws several responses",
        ),
    ),
)

SCORER = MetricSection(
    "Scorers",
    (
        _last(
            "scorer/queue_depth", "Scorers: queue", Unit.COUNT, "Groups that wait to be scored now, over all scorers."
        ),
        _last(
            "scorer/queue_depth_max",
            "Scorers: longest queue",
            Unit.COUNT,
            "The most groups that waited at each scorer since the step before, summed over all scorers.",
        ),
        _sum("scorer/busy_s", "Scorers: busy", Unit.SECONDS, "Seconds in which a scorer scored, over all scorers."),
        _sum("scorer/encoded", "Scorers: texts encoded", Unit.TEXTS, "Texts that went through the encoder."),
        _sum(
            "scorer/truncated_texts",
            "Scorers: texts cut",
            Unit.TEXTS,
            "Texts that were too long for the encoder and were cut.",
        ),
        _sum(
            "scorer/truncated_tokens",
            "Scorers: tokens cut",
            Unit.TOKENS,
            "Tokens of those texts that the encoder did not read.",
        ),
        _sum(
            "scorer/translated", "Scorers: segments translated", Unit.COUNT, "Segments that the translator translated."
        ),
        _sum(
            "scorer/translations_unfinished",
            "Scorers: translations cut",
            Unit.COUNT,
            "Segments whose translation reached the translator's token limit.",
        ),
        _sum("scorer/comet_segments", "Scorers: COMET segments", Unit.COUNT, "Segments that COMET scored."),
        _sum("scorer/failures", "Scorers: failures", Unit.COUNT, "Groups on which the reward raised an error."),
        _sum(
            "scorer/expired",
            "Scorers: expired",
            Unit.COUNT,
            "Groups that were not scored because their turn came after their deadline.",
        ),
        _sum("scorer/retries", "Scorers: retries", Unit.COUNT, "Groups that were sent to a scorer again."),
        _sum("scorer/given_up", "Scorers: given up", Unit.COUNT, "Groups that no scorer could score in any attempt."),
        _ratio("scorer/texts_per_s", "Scorers: speed", Unit.TEXTS_PER_S, "Responses over the scorers' busy seconds."),
        _ratio("scorer/batch_size", "Scorers: batch size", Unit.TEXTS, "Responses that were scored together."),
        _ratio(
            "scorer/latency_s",
            "Scorers: latency",
            Unit.SECONDS,
            "Seconds from a group's arrival at a scorer to its scores.",
        ),
        _ratio("scorer/encoded_per_group", "Scorers: texts encoded a group", Unit.TEXTS, "Encoded texts over groups."),
    ),
)

WEIGHTS = MetricSection(
    "Weights",
    (
        _last(
            "weights/policy_version",
            "Policy version",
            Unit.VERSIONS,
            "The version under which the new weights were sent to the policy workers.",
        ),
        _sum(
            "weights/num_bytes",
            "Weights: size",
            Unit.BYTES,
            "Size of what is sent, counted once: all weights, or adapters alone.",
        ),
        _sum(
            "weights/push_s",
            "Weights: push",
            Unit.SECONDS,
            "Seconds of the weight push, with all attempts and the wait for replaced workers.",
        ),
        _last("weights/workers", "Weights: workers", Unit.COUNT, "Policy workers that serve the new version."),
        _sum(
            "weights/missed",
            "Weights: workers missed",
            Unit.COUNT,
            "Policy workers that an attempt did not reach, whether a later one did or not.",
        ),
    ),
)

FLEET = MetricSection(
    "Fleet",
    (
        _sum(
            "fleet/slow_workers",
            "Slow workers",
            Unit.COUNT,
            "Workers of all roles that were replaced since the step before, being far slower than the others.",
        ),
        _sum(
            "fleet/second_tries",
            "Second tries",
            Unit.COUNT,
            "Requests that were given to a second worker since the step before, while the first one had them too.",
        ),
    ),
)

MEMORY = MetricSection(
    "Memory",
    (
        _max(
            "memory/<actor>/own_gib",
            "Memory of its own",
            Unit.GIB,
            "The most anonymous memory that was seen so far of the process of this actor, or of the driver.",
        ),
        _max(
            "memory/<actor>/peak_gib",
            "Memory, peak",
            Unit.GIB,
            "The most memory that the process has held so far, with files and libraries that others share.",
        ),
        _max(
            "memory/<actor>/gpu_gib",
            "GPU memory, peak",
            Unit.GIB,
            "The most that torch has allocated so far on the GPUs of the process.",
            when="where the actor has a GPU",
        ),
    ),
)

SPEED = MetricSection(
    "Time and speed",
    (
        _sum(
            "timing_s/<stage>",
            "Time of a stage",
            Unit.SECONDS,
            "Seconds in which the stage had work; stages overlap, and `step` is the whole step.",
        ),
        _ratio(
            "throughput/policy_tokens_per_s",
            "Throughput: policy",
            Unit.TOKENS_PER_S,
            "Response tokens finished since the step before, over the seconds in which the policy generated.",
        ),
        _ratio(
            "throughput/pivot_tokens_per_s",
            "Throughput: pivot",
            Unit.TOKENS_PER_S,
            "Tokens of references over the seconds in which the pivot generated.",
        ),
        _ratio(
            "throughput/scorer_texts_per_s",
            "Throughput: scorers",
            Unit.TEXTS_PER_S,
            "Responses finished since the step before, over the seconds in which the scorers worked.",
        ),
        _ratio(
            "throughput/learner_tokens_per_s",
            "Throughput: learner",
            Unit.TOKENS_PER_S,
            "Tokens of the sequences learned from, over the learner's own seconds.",
        ),
    ),
)

SECTIONS = (REWARD, LANGUAGES, RESPONSES, PIVOT, SCORER, WEIGHTS, FLEET, MEMORY, SPEED)
