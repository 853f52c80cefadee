"""Compare whole GRPO steps with TRL's GRPOTrainer, on the same prompts, lengths and reward (`make bench-trl`).

Each side is a program in an environment of its own. The sides take turns and never run at the same time.
"""
