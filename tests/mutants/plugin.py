"""Load the product with one constant shifted, as an environment variable says: a pytest plugin."""

import os

from tests.mutants.constants import SHIFTED, load_shifted

if chosen := os.environ.get(SHIFTED):
    module, constant, index, value = chosen.split("|")
    load_shifted(module, constant, int(index), float(value) if "." in value or "e" in value else int(value))
