"""The libraries on networks around one kernel of cbp each (``bench/kernels.py``)."""
