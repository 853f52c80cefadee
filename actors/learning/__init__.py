"""What the learner's processes run: one ZeRO-3 rank each, the loss, and the way their weights leave them.

Plain code without Ray: the shell in actors/learner.py forwards to it, and a test runs it in ordinary processes.
"""
