"""Speed of a training step beside other libraries': ``python -m bench``, described in bench/README.md."""
