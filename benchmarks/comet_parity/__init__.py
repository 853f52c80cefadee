"""Do our COMET modules give the scores of the `unbabel-comet` package? `make comet-parity` asks.

The package needs transformers 4 and numpy 1, so it has an environment of its own (requirements/comet.txt): there
`package_side` builds small random checkpoints and scores texts with the package; here `our_side` scores the same.
"""
