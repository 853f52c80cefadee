"""Test what the first start of a run fixes: the commits of hub models, as the hub's cache has them, and the date."""

from datetime import date
from pathlib import Path

import pytest
from huggingface_hub import constants

from contracts.config.load import dump_config, load_config
from contracts.errors import BadInput
from driver.config_paths import loaded_models, resolve_model
from driver.first_start import with_first_start
from driver.run_state.model_fingerprints import differences, run_fingerprints
from tests.builders import a_config
from tests.refusals import refused

MODELS = ("policy", "pivot", "scorer")
FIRST, SECOND = "1" * 40, "2" * 40
NONE: tuple[str, ...] = ()
TODAY = date(2026, 5, 4)


class HubCache:
    """Write the folders that huggingface_hub keeps of what it has downloaded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def points(self, name: str, revision: str, commit: str) -> None:
        refs = self._folder / f"models--{name.replace('/', '--')}" / "refs"
        refs.mkdir(parents=True, exist_ok=True)
        (refs / revision).write_text(commit, encoding="utf-8")

    def holds(self, name: str, commit: str) -> None:
        snapshot = self._folder / f"models--{name.replace('/', '--')}" / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text("{}", encoding="utf-8")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubCache:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return HubCache(tmp_path / "hub")


def test_a_hub_model_is_pinned_to_the_commit_that_its_branch_has(hub: HubCache) -> None:
    hub.points("some-org/policy", "main", FIRST)
    hub.holds("some-org/pivot", SECOND)
    pinned = with_first_start(a_config(), ("policy", "pivot"))
    assert pinned.policy.model == f"some-org/policy@{FIRST}"
    assert pinned.pivot.model == "some-org/pivot"  # it is there, and nobody says at which commit its branch is
    assert [key for key, _, _ in differences(run_fingerprints(a_config()), run_fingerprints(pinned))] == [
        "policy.model"
    ]


def test_a_hub_that_cant_be_reached_leaves_the_word_to_the_cache(
    hub: HubCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    hub.points("some-org/policy", "main", FIRST)
    assert with_first_start(a_config(), ("policy",)).policy.model == f"some-org/policy@{FIRST}"


def test_models_that_can_be_neither_read_nor_downloaded_are_refused_together(
    hub: HubCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    hub.points("some-org/policy", "main", FIRST)
    with pytest.raises(BadInput) as caught:
        with_first_start(a_config(), MODELS)
    assert [mistake.key for mistake in caught.value.all] == ["pivot.model", "scorer.model"]


def test_a_named_branch_or_tag_is_pinned_and_a_commit_is_one(hub: HubCache) -> None:
    hub.points("some-org/policy", "v2", SECOND)
    asked = a_config(policy={"model": "some-org/policy@v2"})
    assert with_first_start(asked, ("policy",)).policy.model.endswith(SECOND)
    commit = f"some-org/policy@{FIRST}"
    assert with_first_start(a_config(policy={"model": commit}), ("policy",)).policy.model == commit


def test_a_revision_that_nobody_knows_is_refused(hub: HubCache) -> None:
    hub.points("some-org/policy", "main", FIRST)
    with refused("policy.model", "v3"):
        with_first_start(a_config(policy={"model": "some-org/policy@v3"}), ("policy",))


def test_a_continued_run_keeps_its_commit_when_the_branch_moves_on(hub: HubCache) -> None:
    hub.points("some-org/policy", "main", FIRST)
    before = with_first_start(a_config(), ("policy",))
    hub.points("some-org/policy", "main", SECOND)
    assert with_first_start(a_config(), ("policy",), before=before).policy.model == before.policy.model
    other = a_config(policy={"model": f"some-org/policy@{SECOND}"})  # asked for by name
    assert with_first_start(other, ("policy",), before=before).policy.model == f"some-org/policy@{SECOND}"
    assert with_first_start(a_config(), ("policy",)).policy.model == f"some-org/policy@{SECOND}"  # another run


def test_models_that_are_not_loaded_and_local_folders_stay_as_they_are(hub: HubCache, tmp_path: Path) -> None:
    hub.points("some-org/encoder", "main", FIRST)
    given = a_config(policy={"model": str(tmp_path)})
    pinned = with_first_start(given, ("policy",))
    assert (pinned.policy.model, pinned.scorer.model) == (str(tmp_path), "some-org/encoder")


def test_all_models_of_the_reward_are_pinned(hub: HubCache) -> None:
    for name in ("policy", "pivot", "encoder", "metric", "translator", "tokens"):
        hub.points(f"some-org/{name}", "main", FIRST)
    given = a_config(
        reward={"reasoning": {"method": "comet"}},
        comet={"model": "some-org/metric", "encoder": "some-org/tokens", "feeding": "forward"},
        translator={"model": "some-org/translator"},
    )
    pinned = with_first_start(given, loaded_models(given, MODELS))
    assert (pinned.comet.model, pinned.comet.encoder) == (f"some-org/metric@{FIRST}", f"some-org/tokens@{FIRST}")
    assert pinned.translator.model == f"some-org/translator@{FIRST}"
    assert {"comet.model", "translator.model"} <= run_fingerprints(pinned).keys()


@pytest.mark.parametrize("model", ["owner/name@", "@v1"])
def test_a_name_without_its_revision_or_the_other_way_round_is_refused(model: str) -> None:
    with refused("policy.model", model):
        resolve_model(model, "policy.model")


# --- the date ---------------------------------------------------------------------------------------------------------


def test_a_new_run_has_the_day_of_its_start_and_keeps_it() -> None:
    first = with_first_start(a_config(), NONE, today=TODAY)
    assert first.run.date == TODAY
    assert with_first_start(a_config(), NONE, before=first, today=date(2026, 5, 5)).run.date == TODAY


def test_a_date_of_the_config_is_kept_and_written_and_read_back(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(dump_config(a_config()), encoding="utf-8")
    given = load_config(tmp_path / "run.toml", ["run.date=2026-05-04"])
    assert given.run.date == TODAY
    assert with_first_start(given, NONE, today=date(2027, 1, 1)) == given
    (tmp_path / "again.toml").write_text(dump_config(given), encoding="utf-8")
    assert load_config(tmp_path / "again.toml") == given


@pytest.mark.parametrize("wrong", ["soon", "2026-02-30", "7"])
def test_what_is_no_date_is_refused(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "run.toml").write_text(dump_config(a_config()), encoding="utf-8")
    with refused("run.date"):
        load_config(tmp_path / "run.toml", [f"run.date={wrong}"])
