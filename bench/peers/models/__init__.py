"""The libraries on networks with convolutions and recurrences (``bench/models.py``); each file stands beside the one of its
library for dense networks, in the folder above."""
