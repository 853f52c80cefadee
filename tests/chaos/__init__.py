"""A real training run that is struck again and again, and has to come to its end with its books in order.

    python -m tests.chaos --steps 60 --faults 30 --seed 1        (or `make chaos`)

`plan` decides what happens when, from a seed; `tiny_run` is the run; `strikes` finds processes and hits them; `siege`
starts the run, waits for the moments and starts the driver again where a fault has ended it. In the end the run's own
`verify` reads the folder. Nothing here reaches into the run: it is started by its command line and seen through its
folder and the process table.
"""
