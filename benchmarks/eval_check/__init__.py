"""Compare our evaluation with lm-evaluation-harness (PyPI: lm_eval) on the same model, prompts and items.

The package has an environment of its own (requirements/eval-check.txt). `our_side` runs `evaluate` and writes its items
and answers, `package_side` asks the package the same, and `compare` lists every item on which the two differ, with the
reason. Both sides compute in float32.
"""
