"""A small run's books, right ones, and ways to spoil them: each wrong changes one folder and says how it is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from driver.tracking.verify.ledger import read_ledger
from driver.tracking.verify.statement import Statement, audit
from driver.run_state.checkpoint_files import STATE
from driver.tracking.json_lines import read_lines, replace_lines
from driver.tracking.run_folder import RunFolder
from tests.runs.booked import BookedRun, Turn, a_draw

Line = dict[str, object]

TURNS = (
    Turn(learned=(0, 1), dull=(2,), version=0, open=(3, 4)),
    Turn(learned=(3, 5), rejected=(4,), version=1, ages=(1, 0), open=(6, 7, 8)),
    Turn(learned=(7, 8), dull=(6,), version=2, ages=(1, 1)),
    Turn(learned=(9, 10), rejected=(11,), version=3, open=(12, 13)),
)
UNUSED = (12, 13)


def finished(place: Path) -> RunFolder:
    run = BookedRun(place)
    for turn in TURNS:
        run.turn(turn)
    return run.finish(unused=UNUSED)


def killed(place: Path) -> RunFolder:
    run = BookedRun(place)
    for turn in TURNS:
        run.turn(turn)
    return run.kill()


def verified(folder: RunFolder) -> Statement:
    return audit(read_ledger(folder.path))


def group_id(number: int) -> str:
    return a_draw(number).group_id


# --- ways to spoil a folder -------------------------------------------------------------------------------------------


def change_lines(path: Path, change: Callable[[list[Line]], object]) -> None:
    lines: list[Line] = list(read_lines(path))
    change(lines)
    replace_lines(path, lines)


def change_metrics(folder: RunFolder, step: int, **values: float | None) -> None:
    """`group_used` is "group/used"; None takes the metric out."""

    def change(lines: list[Line]) -> None:
        metrics = lines[step - 1]["metrics"]
        assert isinstance(metrics, dict)
        for name, value in values.items():
            key = name.replace("_", "/", 1)
            metrics.pop(key) if value is None else metrics.update({key: value})

    change_lines(folder.metrics, change)


def change_rows(folder: RunFolder, change: Callable[[Line], list[Line]]) -> None:
    """Each row becomes those that `change` makes of it."""
    table = pq.read_table(folder.samples)
    rows = [new for row in table.to_pylist() for new in change(row)]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder.samples)


def set_in_group(folder: RunFolder, number: int, **cells: object) -> None:
    change_rows(folder, lambda row: [row | cells if row["group_id"] == group_id(number) else row])


def change_state(folder: RunFolder, step: int, change: Callable[[Line], object]) -> None:
    path = folder.checkpoints / f"step-{step:06d}" / STATE
    state = json.loads(path.read_text(encoding="utf-8"))
    change(state)
    path.write_text(json.dumps(state), encoding="utf-8")


def drop(folder: RunFolder, number: int, *, step: int, reason: str = "no_signal") -> None:
    event = {"kind": "group_dropped", "reason": reason, "step": step, "group_id": group_id(number)}
    change_lines(folder.events, lambda lines: lines.append({**event, "detail": "", "time": 1.0}))


# --- one wrong each ---------------------------------------------------------------------------------------------------


def double_a_step(folder: RunFolder) -> str:
    change_lines(folder.metrics, lambda lines: lines.append(lines[-1]))
    return "step 4 is in metrics.jsonl more than once"


def lose_a_step(folder: RunFolder) -> str:
    change_lines(folder.metrics, lambda lines: lines.pop(1))
    return "metrics.jsonl has step 3 where step 2 was to come"


def lose_the_last_steps_metrics(folder: RunFolder) -> str:
    change_lines(folder.metrics, lambda lines: lines.pop())
    return "samples.parquet has groups of step 4, which metrics.jsonl does not have"


def lose_a_loss(folder: RunFolder) -> str:
    change_metrics(folder, 2, policy_loss=None)
    return "step 2 learned from 2 groups and has no policy/loss"


def push_an_older_version(folder: RunFolder) -> str:
    change_metrics(folder, 3, weights_policy_version=1.0)
    return "step 3 pushed version 1, after version 2"


def learn_with_an_older_version(folder: RunFolder) -> str:
    for number in TURNS[2].learned:
        set_in_group(folder, number, learner_version=1, policy_version=1, last_policy_version=1)
    return "step 3 learned with version 1, after version 2"


def learn_with_two_versions(folder: RunFolder) -> str:
    set_in_group(folder, 3, learner_version=2)
    return "step 2 learned with several versions of the weights: 1, 2"


def learn_from_the_future(folder: RunFolder) -> str:
    set_in_group(folder, 9, last_policy_version=4)
    return f"group {group_id(9)} in step 4 has a sample of version 4, and was learned from by version 3"


def let_versions_fall(folder: RunFolder) -> str:
    set_in_group(folder, 2, policy_version=1)
    return (
        f"group {group_id(2)} in step 1 has a sample whose newest token is of version 0 and whose oldest is of "
        "version 1"
    )


def learn_from_too_old_a_sample(folder: RunFolder) -> str:
    set_in_group(folder, 9, policy_version=1)
    return f"group {group_id(9)} in step 4 was learned from at age 2; algorithm.max_staleness allows 1"


def lose_a_row(folder: RunFolder) -> str:
    seen: list[object] = []
    change_rows(folder, lambda row: [] if row["group_id"] == group_id(9) and not seen and not seen.append(1) else [row])
    return f"group {group_id(9)} in step 4 has 2 rows; algorithm.group_size is 3"


def count_an_unscored_sample_as_zero(folder: RunFolder) -> str:
    change_rows(folder, lambda row: [row | {"reward": 0.0} if row["unscored_reason"] else row])
    return f"group {group_id(0)} in step 1 has an unscored sample (timeout) with the reward 0"


def count_unscored_samples_into_the_mean(folder: RunFolder) -> str:
    """Step 1: draw 0 has 0 and 0.25, draw 1 has 0, 0.25 and 0.5, draw 2 three times 0, which is 1.0 over 8, not 9."""
    change_metrics(folder, 1, reward_mean=1.0 / 9)
    return "step 1 has reward/mean 0.1111111111 in metrics.jsonl, and 0.125 by samples.parquet"


def learn_from_an_unscored_sample(folder: RunFolder) -> str:
    change_rows(folder, lambda row: [row | {"learned": row["learner_version"] is not None}])
    return (
        f"group {group_id(0)} in step 1 has a sample with learned = True, learner_version 0 and "
        "reason for being unscored"
    )


def forget_to_score(folder: RunFolder) -> str:
    set_in_group(folder, 2, reward=None)
    return f"group {group_id(2)} in step 1 has a sample with neither a reward nor a reason why it is unscored"


def say_more_was_learned(folder: RunFolder) -> str:
    change_metrics(folder, 3, group_used=3.0)
    return "step 3 has group/used 3 in metrics.jsonl, and 2 by samples.parquet"


def lose_a_drop(folder: RunFolder) -> str:
    change_lines(folder.events, lambda lines: [lines.remove(line) for line in lines if line["group_id"] == group_id(2)])
    return f"group {group_id(2)} has samples and was neither learned from nor dropped"


def lose_a_drop_without_samples(folder: RunFolder) -> str:
    change_lines(folder.events, lambda lines: [lines.remove(line) for line in lines if line["group_id"] == group_id(4)])
    return "draw 4 was handed out, and neither learned from nor dropped"


def drop_twice(folder: RunFolder) -> str:
    drop(folder, 6, step=4)
    return f"group {group_id(6)} was dropped more than once: in the steps 3, 4"


def drop_what_was_learned(folder: RunFolder) -> str:
    drop(folder, 5, step=3)
    return f"group {group_id(5)} was learned from in step 2 and dropped in step 3"


def drop_without_a_reason(folder: RunFolder) -> str:
    drop(folder, 14, step=4, reason=" ")
    return f"group {group_id(14)} was dropped in step 4 without a reason"


def drop_an_unknown_group(folder: RunFolder) -> str:
    change_lines(folder.events, lambda lines: lines[-1].update(group_id="13/set/6/fr"))
    return "group '13/set/6/fr' is no draw of this run: neither a number nor a language of data.languages"


def learn_twice(folder: RunFolder) -> str:
    change_rows(folder, lambda row: [row, row | {"step": 2, "learner_version": 1}] if row["step"] == 1 else [row])
    return f"group {group_id(0)} was learned from more than once: in the steps 1, 2"


def make_a_draw_two_groups(folder: RunFolder) -> str:
    set_in_group(folder, 10, group_id="9/set/5/de")
    return f"draw 9 is two groups: {group_id(9)} and 9/set/5/de"


def lose_all_trace_of_a_draw(folder: RunFolder) -> str:
    change_rows(folder, lambda row: [] if row["group_id"] == group_id(1) else [row])
    change_metrics(folder, 1, group_used=1.0, reward_mean=0.05)
    return "draw 1 was handed out, and neither learned from nor dropped"


def lose_an_open_draw(folder: RunFolder) -> str:
    change_state(folder, 2, lambda state: state["open"]["again"].pop())  # type: ignore[index]
    return "checkpoint step-000002 has draw 8 neither settled nor open: it is lost"


def ask_again_for_what_was_learned(folder: RunFolder) -> str:
    settled = {"number": 1, "language": "sw", "place": 0}
    change_state(folder, 2, lambda state: state["open"]["again"].append(settled))  # type: ignore[index]
    return f"checkpoint step-000002 has draw 1 open, and group {group_id(1)} was settled by then"


def keep_a_draw_twice(folder: RunFolder) -> str:
    change_state(folder, 2, lambda state: state["open"]["again"].append(state["open"]["again"][0]))  # type: ignore[index]
    return "checkpoint step-000002 has draw 7 open twice"


def hand_a_draw_out_again(folder: RunFolder) -> str:
    change_state(folder, 2, lambda state: state["open"]["stream"].update(number=8))  # type: ignore[index]
    return "checkpoint step-000002 has draw 8 that it was yet to hand out (8 is its next)"


def keep_older_weights(folder: RunFolder) -> str:
    change_state(folder, 4, lambda state: state.update(policy_version=3))
    return "checkpoint step-000004 has policy version 3, below 4, which had been pushed"


def keep_a_step_that_never_was(folder: RunFolder) -> str:
    change_state(folder, 4, lambda state: state.update(step=9))
    return "checkpoint step-000004 is of step 9, which metrics.jsonl does not have"


WRONGS = (
    *(double_a_step, lose_a_step, lose_the_last_steps_metrics, lose_a_loss),
    *(push_an_older_version, learn_with_an_older_version, learn_with_two_versions),
    *(learn_from_the_future, let_versions_fall, learn_from_too_old_a_sample),
    *(lose_a_row, count_an_unscored_sample_as_zero, count_unscored_samples_into_the_mean),
    *(learn_from_an_unscored_sample, forget_to_score, say_more_was_learned),
    *(lose_a_drop, lose_a_drop_without_samples, drop_twice, drop_what_was_learned, drop_without_a_reason),
    *(drop_an_unknown_group, learn_twice, make_a_draw_two_groups, lose_all_trace_of_a_draw),
    *(lose_an_open_draw, ask_again_for_what_was_learned, keep_a_draw_twice, hand_a_draw_out_again),
    *(keep_older_weights, keep_a_step_that_never_was),
)
