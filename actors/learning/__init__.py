"""Run the learner: its ZeRO-3 ranks, their losses and checkpoints, and the weights that they give away.

Plain code without Ray: the learner's Ray actor forwards to it, and tests run it in ordinary processes.
"""
