"""Write the folder of a small right run, and damage it: each damage changes one folder in one way.

A damage returns the check that has to find it and what the violation is about.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.files import swap_folders
from contracts.sealed_folder import seal_folder
from driver.run_state.state import STATE
from driver.tracking.line_logs import read_lines, replace_lines
from driver.tracking.run_folder import RunFolder
from driver.tracking.verify import draw_checks, reward_checks, step_checks
from driver.tracking.verify.checkpoint_records import Violation
from driver.tracking.verify.records import RunRecords
from tests.runs.recorded_run import RecordedRun, RecordedStep, a_draw

Line = dict[str, object]
Check = Callable[[RunRecords], Iterator[Violation]]
Found = tuple[Check, str]

STEPS = (
    RecordedStep(learned=(0, 1), no_signal=(2,), version=0, open=(3, 4)),
    RecordedStep(learned=(3, 5), rejected=(4,), version=1, ages=(1, 0), open=(6, 7, 8)),
    RecordedStep(learned=(7, 8), no_signal=(6,), version=2, ages=(1, 1)),
    RecordedStep(learned=(9, 10), rejected=(11,), version=3, open=(12, 13)),
)
UNUSED = (12, 13)


def finished(place: Path) -> RunFolder:
    """Return the folder of a run that came to its end."""
    run = RecordedRun(place)
    for step in STEPS:
        run.step(step)
    run.export()
    return run.finish(unused=UNUSED)


def killed(place: Path) -> RunFolder:
    """Return the folder of a run that was killed after its last step."""
    run = RecordedRun(place)
    for step in STEPS:
        run.step(step)
    return run.kill()


def group_id(number: int) -> str:
    return a_draw(number).group_id


# --- ways to change a folder ------------------------------------------------------------------------------------------


def change_lines(path: Path, change: Callable[[list[Line]], object]) -> None:
    lines: list[Line] = list(read_lines(path))
    change(lines)
    replace_lines(path, lines)


def change_metrics(folder: RunFolder, step: int, **values: float | None) -> None:
    """Set metrics of a step: `group_used` is "group/used"; None removes the metric."""

    def change(lines: list[Line]) -> None:
        metrics = lines[step - 1]["metrics"]
        assert isinstance(metrics, dict)
        for name, value in values.items():
            key = name.replace("_", "/", 1)
            metrics.pop(key) if value is None else metrics.update({key: value})

    change_lines(folder.metrics, change)


def change_rows(folder: RunFolder, change: Callable[[Line], list[Line]]) -> None:
    """Replace each row by those that `change` makes of it."""
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


# --- damages ----------------------------------------------------------------------------------------------------------


def double_a_step(folder: RunFolder) -> Found:
    change_lines(folder.metrics, lambda lines: lines.append(lines[-1]))
    return step_checks.steps_are_there_once, "step 4"


def lose_a_step(folder: RunFolder) -> Found:
    change_lines(folder.metrics, lambda lines: lines.pop(1))
    return step_checks.steps_are_there_once, "step 2"


def lose_the_last_steps_metrics(folder: RunFolder) -> Found:
    change_lines(folder.metrics, lambda lines: lines.pop())
    return step_checks.steps_are_there_once, "step 4"


def lose_a_loss(folder: RunFolder) -> Found:
    change_metrics(folder, 2, policy_loss=None)
    return step_checks.loss_curve_has_no_hole, "step 2"


def push_an_older_version(folder: RunFolder) -> Found:
    change_metrics(folder, 3, weights_policy_version=1.0)
    return step_checks.versions_only_go_up, "step 3"


def learn_with_an_older_version(folder: RunFolder) -> Found:
    for number in STEPS[2].learned:
        set_in_group(folder, number, learner_version=1, policy_version=1, last_policy_version=1)
    return step_checks.versions_only_go_up, "step 3"


def learn_with_two_versions(folder: RunFolder) -> Found:
    set_in_group(folder, 3, learner_version=2)
    return step_checks.versions_only_go_up, "step 2"


def learn_from_the_future(folder: RunFolder) -> Found:
    set_in_group(folder, 9, last_policy_version=4)
    return step_checks.no_sample_is_of_the_future, f"group {group_id(9)}"


def let_versions_fall(folder: RunFolder) -> Found:
    set_in_group(folder, 2, policy_version=1)
    return step_checks.no_sample_is_of_the_future, f"group {group_id(2)}"


def learn_from_too_old_a_sample(folder: RunFolder) -> Found:
    set_in_group(folder, 9, policy_version=1)
    return step_checks.no_sample_is_too_old, f"group {group_id(9)}"


def lose_a_row(folder: RunFolder) -> Found:
    seen: list[object] = []
    change_rows(folder, lambda row: [] if row["group_id"] == group_id(9) and not seen and not seen.append(1) else [row])
    return step_checks.groups_are_whole, f"group {group_id(9)}"


def count_an_unscored_sample_as_zero(folder: RunFolder) -> Found:
    change_rows(folder, lambda row: [row | {"reward": 0.0} if row["unscored_reason"] else row])
    return step_checks.groups_are_whole, f"group {group_id(0)}"


def count_unscored_samples_into_the_mean(folder: RunFolder) -> Found:
    """Step 1: draw 0 has 0 and 0.25, draw 1 has 0, 0.25 and 0.5, draw 2 three times 0, which is 1.0 over 8, not 9."""
    change_metrics(folder, 1, reward_mean=1.0 / 9)
    return step_checks.metrics_agree_with_samples, "step 1"


def learn_from_an_unscored_sample(folder: RunFolder) -> Found:
    change_rows(folder, lambda row: [row | {"learned": row["learner_version"] is not None}])
    return step_checks.groups_are_whole, f"group {group_id(0)}"


def forget_to_score(folder: RunFolder) -> Found:
    set_in_group(folder, 2, reward=None)
    return step_checks.groups_are_whole, f"group {group_id(2)}"


def say_more_was_learned(folder: RunFolder) -> Found:
    change_metrics(folder, 3, group_used=3.0)
    return step_checks.metrics_agree_with_samples, "step 3"


def lose_a_drop(folder: RunFolder) -> Found:
    change_lines(folder.events, lambda lines: [lines.remove(line) for line in lines if line["group_id"] == group_id(2)])
    return draw_checks.groups_are_closed_once, f"group {group_id(2)}"


def lose_a_drop_without_samples(folder: RunFolder) -> Found:
    change_lines(folder.events, lambda lines: [lines.remove(line) for line in lines if line["group_id"] == group_id(4)])
    return draw_checks.no_draw_is_lost, "draw 4"


def drop_twice(folder: RunFolder) -> Found:
    drop(folder, 6, step=4)
    return draw_checks.groups_are_closed_once, f"group {group_id(6)}"


def drop_what_was_learned(folder: RunFolder) -> Found:
    drop(folder, 5, step=3)
    return draw_checks.groups_are_closed_once, f"group {group_id(5)}"


def drop_without_a_reason(folder: RunFolder) -> Found:
    drop(folder, 14, step=4, reason=" ")
    return draw_checks.groups_are_closed_once, f"group {group_id(14)}"


def drop_an_unknown_group(folder: RunFolder) -> Found:
    change_lines(folder.events, lambda lines: lines[-1].update(group_id="13/set/6/fr"))
    return draw_checks.groups_are_known, "group 13/set/6/fr"


def learn_twice(folder: RunFolder) -> Found:
    change_rows(folder, lambda row: [row, row | {"step": 2, "learner_version": 1}] if row["step"] == 1 else [row])
    return draw_checks.groups_are_closed_once, f"group {group_id(0)}"


def make_a_draw_two_groups(folder: RunFolder) -> Found:
    set_in_group(folder, 10, group_id="9/set/5/de")
    return draw_checks.groups_are_known, "draw 9"


def lose_every_record_of_a_draw(folder: RunFolder) -> Found:
    change_rows(folder, lambda row: [] if row["group_id"] == group_id(1) else [row])
    change_metrics(folder, 1, group_used=1.0, reward_mean=0.05)
    return draw_checks.no_draw_is_lost, "draw 1"


def lose_an_open_draw(folder: RunFolder) -> Found:
    change_state(folder, 2, lambda state: state["open"]["again"].pop())  # type: ignore[index]
    return draw_checks.checkpoints_lose_and_repeat_nothing, "step-000002, draw 8"


def sample_again_what_was_learned(folder: RunFolder) -> Found:
    settled = {"number": 1, "language": "sw", "place": 0}
    change_state(folder, 2, lambda state: state["open"]["again"].append(settled))  # type: ignore[index]
    return draw_checks.checkpoints_lose_and_repeat_nothing, "step-000002, draw 1"


def keep_a_draw_twice(folder: RunFolder) -> Found:
    change_state(folder, 2, lambda state: state["open"]["again"].append(state["open"]["again"][0]))  # type: ignore[index]
    return draw_checks.checkpoints_lose_and_repeat_nothing, "step-000002, draw 7"


def start_a_draw_again(folder: RunFolder) -> Found:
    change_state(folder, 2, lambda state: state["open"]["stream"].update(number=8))  # type: ignore[index]
    return draw_checks.checkpoints_lose_and_repeat_nothing, "step-000002, draw 8"


def keep_older_weights(folder: RunFolder) -> Found:
    change_state(folder, 4, lambda state: state.update(policy_version=3))
    return draw_checks.checkpoints_belong_to_the_run, "step-000004"


def keep_a_step_that_never_was(folder: RunFolder) -> Found:
    change_state(folder, 4, lambda state: state.update(step=9))
    return draw_checks.checkpoints_belong_to_the_run, "step-000004"


def say_fewer_were_dropped(folder: RunFolder) -> Found:
    change_metrics(folder, 3, group_dropped_no_signal=0.0)
    return step_checks.metrics_agree_with_events, "step 3"


def summarise_a_step_too_many(folder: RunFolder) -> Found:
    folder.write_summary({"status": "finished", "steps": 5})
    return step_checks.steps_are_there_once, "summary.json"


def split_a_group_over_two_steps(folder: RunFolder) -> Found:
    seen: list[object] = []
    change_rows(
        folder,
        lambda row: [row | {"step": 4} if row["group_id"] == group_id(8) and not seen and not seen.append(1) else row],
    )
    return step_checks.groups_are_whole, f"group {group_id(8)}"


def split_a_groups_problem(folder: RunFolder) -> Found:
    seen: list[object] = []
    change_rows(
        folder,
        lambda row: (
            [row | {"question": "Wie alt?"}]
            if row["group_id"] == group_id(8) and not seen.append(1) and len(seen) == 1
            else [row]
        ),
    )
    return draw_checks.rows_are_of_their_draw, f"group {group_id(8)}"


def record_rows_in_another_language(folder: RunFolder) -> Found:
    set_in_group(folder, 9, language="de")
    return draw_checks.rows_are_of_their_draw, f"group {group_id(9)}"


def record_rows_of_another_item(folder: RunFolder) -> Found:
    set_in_group(folder, 9, item_id="set/5")
    return draw_checks.rows_are_of_their_draw, f"group {group_id(9)}"


# --- rewards ----------------------------------------------------------------------------------------------------------


def raise_a_reward(folder: RunFolder) -> Found:
    change_rows(folder, lambda row: [row | {"reward": 0.75} if row["reward"] == 0.5 else row])
    return reward_checks.rewards_follow_from_their_parts, f"group {group_id(1)}"


def lower_a_part(folder: RunFolder) -> Found:
    change_rows(folder, lambda row: [row | {"part_numbers": 0.0} if row["reward"] == 0.5 else row])
    return reward_checks.rewards_follow_from_their_parts, f"group {group_id(1)}"


def lose_a_part(folder: RunFolder) -> Found:
    set_in_group(folder, 3, part_answer=None)
    return reward_checks.rewards_follow_from_their_parts, f"group {group_id(3)}"


def pay_for_what_a_gate_shut_out(folder: RunFolder) -> Found:
    set_in_group(folder, 5, gate_language=False)
    return reward_checks.rewards_follow_from_their_parts, f"group {group_id(5)}"


def lose_a_gate(folder: RunFolder) -> Found:
    table = pq.read_table(folder.samples)
    pq.write_table(table.drop_columns(["gate_copying"]), folder.samples)
    return reward_checks.rewards_follow_from_their_parts, f"group {group_id(0)}"


# --- draws of the seed ------------------------------------------------------------------------------------------------


def learn_from_another_problem(folder: RunFolder) -> Found:
    set_in_group(folder, 9, group_id="9/set/5/sw", item_id="set/5")
    return draw_checks.draws_are_those_of_the_seed, "draw 9"


def learn_in_another_language(folder: RunFolder) -> Found:
    set_in_group(folder, 9, group_id="9/set/4/de", language="de")
    return draw_checks.draws_are_those_of_the_seed, "draw 9"


def learn_from_another_question(folder: RunFolder) -> Found:
    set_in_group(folder, 9, question="Wie alt?")
    return draw_checks.draws_are_those_of_the_seed, "draw 9"


def drop_another_problem(folder: RunFolder) -> Found:
    change_lines(
        folder.events,
        lambda lines: [line.update(group_id="4/set/9/de") for line in lines if line["group_id"] == group_id(4)],
    )
    return draw_checks.draws_are_those_of_the_seed, "draw 4"


def keep_another_draw_open(folder: RunFolder) -> Found:
    change_state(folder, 2, lambda state: state["open"]["again"][0].update(place=9))  # type: ignore[index]
    return draw_checks.draws_are_those_of_the_seed, "draw 7"


def go_on_with_another_seed(folder: RunFolder) -> Found:
    change_state(folder, 2, lambda state: state["open"]["stream"].update(seed=8))  # type: ignore[index]
    return draw_checks.checkpoints_belong_to_the_run, "step-000002"


# --- files ------------------------------------------------------------------------------------------------------------


def _file_damage(about: str) -> Found:
    return draw_checks.files_are_as_they_were_written, about


def lose_a_state(folder: RunFolder) -> Found:
    (folder.checkpoints / "step-000002" / STATE).unlink()
    return _file_damage(f"step-000002/{STATE}")


def garble_a_state(folder: RunFolder) -> Found:
    (folder.checkpoints / "step-000004" / STATE).write_text("[]", encoding="utf-8")
    return _file_damage(f"step-000004/{STATE}")


def garble_groups(folder: RunFolder) -> Found:
    (folder.checkpoints / "step-000002" / "groups.parquet").write_bytes(b"PAR1")
    return _file_damage("step-000002/groups.parquet")


def lose_a_manifest(folder: RunFolder) -> Found:
    (folder.checkpoints / "step-000002" / "manifest.json").unlink()
    return _file_damage("step-000002/manifest.json")


def lose_a_shard(folder: RunFolder) -> Found:
    (folder.checkpoints / "step-000002" / "learner" / "policy" / "shard.pt").unlink()
    return _file_damage("step-000002/learner/policy/shard.pt")


def cut_a_shard(folder: RunFolder) -> Found:
    (folder.checkpoints / "step-000002" / "learner" / "policy" / "shard.pt").write_bytes(b"weights")
    return _file_damage("step-000002/learner/policy/shard.pt")


def add_a_file(folder: RunFolder) -> Found:
    (folder.checkpoints / "step-000002" / "learner" / "more.pt").write_bytes(b"anything")
    return _file_damage("step-000002/learner/more.pt")


def exchange_two_checkpoints(folder: RunFolder) -> Found:
    swap_folders(folder.checkpoints / "step-000002", folder.checkpoints / "step-000004")
    return _file_damage("step-000004")


def lose_the_newest_checkpoint(folder: RunFolder) -> Found:
    shutil.rmtree(folder.checkpoints / "step-000004")
    return _file_damage("latest")


def lose_every_checkpoint(folder: RunFolder) -> Found:
    for path in folder.checkpoints.glob("step-*"):
        shutil.rmtree(path)
    return _file_damage("latest")


def lose_a_file_of_the_export(folder: RunFolder) -> Found:
    (folder.checkpoints / "final" / "model.safetensors").unlink()
    return _file_damage("final/model.safetensors")


def mix_two_exports(folder: RunFolder) -> Found:
    (folder.checkpoints / "final" / "model-00002-of-00002.safetensors").write_text("weights")
    return _file_damage("final/model-00002-of-00002.safetensors")


def lose_the_manifest_of_the_export(folder: RunFolder) -> Found:
    (folder.checkpoints / "final" / "manifest.json").unlink()
    return _file_damage("final/manifest.json")


def keep_an_export_of_before(folder: RunFolder) -> Found:
    place = folder.checkpoints / "final"
    seal_folder(place, {"format": 1, "run": folder.path.name, "step": 3}, sums={})
    return _file_damage("final")


DAMAGES = (
    *(double_a_step, lose_a_step, lose_the_last_steps_metrics, lose_a_loss),
    *(push_an_older_version, learn_with_an_older_version, learn_with_two_versions),
    *(learn_from_the_future, let_versions_fall, learn_from_too_old_a_sample),
    *(lose_a_row, count_an_unscored_sample_as_zero, count_unscored_samples_into_the_mean),
    *(learn_from_an_unscored_sample, forget_to_score, say_more_was_learned),
    *(lose_a_drop, lose_a_drop_without_samples, drop_twice, drop_what_was_learned, drop_without_a_reason),
    *(drop_an_unknown_group, learn_twice, make_a_draw_two_groups, lose_every_record_of_a_draw),
    *(lose_an_open_draw, sample_again_what_was_learned, keep_a_draw_twice, start_a_draw_again),
    *(keep_older_weights, keep_a_step_that_never_was),
    *(say_fewer_were_dropped, summarise_a_step_too_many, split_a_group_over_two_steps),
    *(split_a_groups_problem, record_rows_in_another_language, record_rows_of_another_item),
    *(raise_a_reward, lower_a_part, lose_a_part, pay_for_what_a_gate_shut_out, lose_a_gate),
    *(learn_from_another_problem, learn_in_another_language, learn_from_another_question, drop_another_problem),
    *(keep_another_draw_open, go_on_with_another_seed),
    *(lose_a_state, garble_a_state, garble_groups, lose_a_manifest, lose_a_shard, cut_a_shard, add_a_file),
    *(exchange_two_checkpoints, lose_the_newest_checkpoint, lose_every_checkpoint),
    *(lose_a_file_of_the_export, mix_two_exports, lose_the_manifest_of_the_export, keep_an_export_of_before),
)
