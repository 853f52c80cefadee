"""Hold the fields of KubeRay's RayCluster and RayJob that the launch files use, as strict models.

Kubernetes drops a field that a resource does not have without a word, so a misspelt one would have no effect. Here it
is an error. Names, types and meaning: "KubeRay CRD API reference" of Ray's documentation, KubeRay 1.7. What is inside a
pod's template is Kubernetes' own: `make cluster-check` compares it with Kubernetes' schemas.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

Labels = dict[str, Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$")]]
StartParams = dict[str, str]
"""Options of `ray start`, without their dashes. KubeRay writes all values as texts."""


class Fields(BaseModel):
    """Hold the fields of an object. Another field is an error, and a number is no text."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class PodTemplate(Fields):
    """Hold the template of a group's pods, whose parts are Kubernetes' own."""

    metadata: dict[str, JsonValue]
    spec: dict[str, JsonValue]


class AuthOptions(Fields):
    """Say whether Ray asks for a token. It must: nothing else protects its ports from other pods."""

    mode: Literal["token"]


class HeadGroup(Fields):
    """Hold the head's group, of one pod."""

    labels: Labels
    ray_start_params: StartParams
    template: PodTemplate


class WorkerGroup(Fields):
    """Hold a group of pods of one kind."""

    group_name: Annotated[str, Field(min_length=1)]
    replicas: int
    min_replicas: Annotated[int, Field(ge=0)]
    max_replicas: Annotated[int, Field(ge=1)]
    labels: Labels
    ray_start_params: StartParams
    template: PodTemplate

    @model_validator(mode="after")
    def _numbers_are_in_order(self) -> Self:
        if not self.min_replicas <= self.replicas <= self.max_replicas:
            raise ValueError(f"group {self.group_name}: minReplicas, replicas and maxReplicas are not in order")
        if "labels" in self.ray_start_params:
            raise ValueError("KubeRay refuses labels among rayStartParams; they are a field of the group")
        return self


class ClusterSpec(Fields):
    """Hold a Ray cluster: its head, and its groups of workers."""

    ray_version: str
    auth_options: AuthOptions
    head_group_spec: HeadGroup
    worker_group_specs: Annotated[list[WorkerGroup], Field(min_length=1)]


class JobSpec(Fields):
    """Hold a job with the cluster that is started for it. KubeRay itself accepts a job without an entrypoint."""

    entrypoint: Annotated[str, Field(min_length=1)]
    submission_mode: Literal["K8sJobMode", "HTTPMode", "SidecarMode"]
    backoff_limit: Annotated[int, Field(ge=0)]
    shutdown_after_job_finishes: Literal[True]
    ttl_seconds_after_finished: Annotated[int, Field(ge=0)]
    ray_cluster_spec: ClusterSpec


class Metadata(Fields):
    """Name an object."""

    name: str


class RayCluster(Fields):
    """Hold a cluster that stays."""

    api_version: Literal["ray.io/v1"]
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: ClusterSpec


class RayJob(Fields):
    """Hold a job and its cluster."""

    api_version: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: JobSpec
