"""Share the fixtures of the integration tests with the tests that need GPUs."""

from tests.integration.conftest import environment, ray_folder, tiny_models

__all__ = ["environment", "ray_folder", "tiny_models"]
