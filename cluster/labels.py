"""Say on which nodes an actor may run, by Ray's labels of nodes.

Ray itself holds actors to their labels, also when it places a bundle again (`bundle_label_selector`). It would wait for
ever for a node that does not exist, so the same rule is kept here: a run is refused before anything waits.
"""

from collections.abc import Mapping

from contracts.config.workers import NodeLabels

NOT = "!"


def matches(labels: Mapping[str, str], wanted: NodeLabels) -> bool:
    """Return whether a node with these labels is one of the wanted.

    Each wanted label has its value, or with "!" in front it has another one or is missing (Ray, label selectors).
    """
    return all(
        labels.get(key) != value.removeprefix(NOT) if value.startswith(NOT) else labels.get(key) == value
        for key, value in wanted.items()
    )


def described(wanted: NodeLabels) -> str:
    """Return the labels as `ray start --labels` has them, e.g. "role=policy, market=!spot"; empty: any node."""
    return ", ".join(f"{key}={value}" for key, value in wanted.items())
