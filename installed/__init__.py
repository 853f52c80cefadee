"""Hold the project where it is installed as a package: its rooms lie in this folder, `site-packages/pb_rlsvr`.

Their names (`driver`, `contracts` and so on) are too common for the top level of an environment. So they can be
imported only in the program's own processes: `__main__` puts this folder on the path there, and Ray's workers get it.
"""
