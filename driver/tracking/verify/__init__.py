"""The audit of a run's books: whether its folder proves that every group was settled exactly once.

    ledger  ─>  step_checks, draw_checks  ─>  statement
    (files)     (pure)                        (what was seen, and every violation)

`driver/commands/verify.py` is its command. It trusts no code of the run: it reads what lies on the disk.
"""
