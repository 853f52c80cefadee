"""Compare the scores of our COMET modules with those of the `unbabel-comet` package (`make comet-parity`).

The package needs transformers 4 and numpy 1, so it has an environment of its own (requirements/comet.txt). There
`package_side` builds small random checkpoints and scores texts with the package; `our_side` scores the same texts.
"""
