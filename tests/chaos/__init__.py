"""Inject faults into a real training run again and again; it has to reach its end and pass `verify`.

    python -m tests.chaos --steps 60 --faults 36 --seed 1        (or `make chaos`)

- `plan` decides from a seed what happens when.
- `tiny_run` is the run.
- `signals` finds processes and sends signals to them.
- `stages` finds the stage of a run's writing, `gate` holds the run there; `disk` is a small disk that can be filled.
- `injection` starts the run, waits for the moments, and starts the driver again where a fault has ended it.

At the end the run's own `verify` reads the folder. The run is started by its command line, and watched through its
folder and the process table alone.
"""
